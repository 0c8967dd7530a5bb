"""Our hypotheses: each is answered one way and the other by tables made for it, and not at all without runs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from slotnorm_book.claims.evidence import Evidence
from slotnorm_book.claims.judge import judge_hypotheses
from slotnorm_book.claims.ledger import CLAIMS, HYPOTHESES
from slotnorm_book.claims.tables import hypotheses_table
from slotnorm_book.claims.verdicts import take_best
from slotnorm_book.experiments.recipes.beyond import (
    EM_COUNTS,
    ITERATED_SLOTS,
    ITERATIONS,
    MANY_SLOTS,
    STRENGTHS,
    WEIGHTED_SLOTS,
)
from slotnorm_book.experiments.recipes.recipe import PAPER_SLOT_COUNTS
from slotnorm_book.statistics.bootstrap import Estimate
from slotnorm_book.variants import EM, EM_EQUAL, PROPOSED, VARIANTS
from tests.slotnorm_book.claims.worlds import evidence

SCENES, SEEDS = 20, 4
MODELS = evidence(1)["movi-c-6-7"]
SCALES = ("weighted_sum", "weighted_sum@0.0625", "weighted_sum@4")
Score = Callable[[dict[str, object]], float]


def table(score: Score, **settings: tuple[object, ...]) -> pd.DataFrame:
    """Every combination of the settings, with a little noise."""
    rng = np.random.default_rng(0)
    keys = {"iterations": (3,), **settings, "seed": range(SEEDS), "scene_id": range(SCENES)}
    rows = pd.MultiIndex.from_product(keys.values(), names=list(keys)).to_frame(index=False).assign(test="MOVi-C10")
    values = [score(row) + rng.normal(0, 0.002) for row in rows.to_dict("records")]
    return (
        rows.assign(f_ari=values, strength=rows["strength"].astype(float))
        if "strength" in rows
        else rows.assign(f_ari=values)
    )


def world(sign: int) -> dict[str, pd.DataFrame]:
    """A world in which every hypothesis holds, or for -1 none."""
    proposed = set(PROPOSED)

    def scales(row):
        return (
            0.5 + 0.05 * (row["variant"] == "weighted_sum@4") * sign - 0.05 * (row["variant"] == "weighted_sum@0.0625")
        )

    def given(row):
        gain = 0.1 * sign if row["variant"] == "weighted_mean" else 0.0 if sign > 0 else 0.1
        return 0.5 + gain * row["strength"]

    def slots(row):
        loses = (row["variant"] in proposed) == (sign < 0)
        return 0.5 - 0.1 * loses * np.log2(row["slots"] / 21)

    def iterations(row):
        return 0.5 - 0.1 * sign / row["iterations"]

    def em(row):
        level = {EM: -0.1, EM_EQUAL: -0.1 - 0.01 * sign * (row["slots"] - 7)}.get(row["variant"], 0.0)
        return 0.5 + level * (1 if sign > 0 or row["variant"] == EM_EQUAL else -1)

    return {
        "B1": table(scales, variant=SCALES, slots=PAPER_SLOT_COUNTS),
        "B2": table(given, variant=VARIANTS, slots=WEIGHTED_SLOTS, strength=STRENGTHS),
        "B3": table(slots, variant=VARIANTS, slots=MANY_SLOTS),
        "B4": table(iterations, variant=VARIANTS, slots=ITERATED_SLOTS, iterations=ITERATIONS),
        "B5": table(em, variant=(*VARIANTS, EM, EM_EQUAL), slots=EM_COUNTS),
    }


@pytest.mark.parametrize(("sign", "outcome"), [(1, "reproduced"), (-1, "contradicted")])
def test_every_hypothesis_can_hold_and_fail(sign, outcome):
    verdicts = judge_hypotheses(world(sign), MODELS)
    assert {verdict.claim.id: verdict.outcome for verdict in verdicts} == dict.fromkeys(HYPOTHESES, outcome)
    answer = {"reproduced": "✓ holds", "contradicted": "✗ does not hold"}[outcome]
    assert all(f">{answer}</strong><br>cpu scale" in cell for cell in hypotheses_table(verdicts)["answer"])


def test_one_seed_decides_nothing():
    single = {name: rows[rows["seed"] == 0] for name, rows in world(1).items()}
    assert {verdict.outcome for verdict in judge_hypotheses(single, MODELS)} == {"inconclusive"}


def test_what_has_not_been_run_is_not_judged():
    worlds = world(1)
    incomplete = {
        "B1": worlds["B1"][worlds["B1"]["variant"] == "weighted_sum"],
        "B2": pd.DataFrame(),
        "B3": worlds["B3"][worlds["B3"]["slots"] < 128],
        "B4": worlds["B4"][worlds["B4"]["iterations"] < 10],
    }
    verdicts = judge_hypotheses(incomplete, MODELS)
    assert {verdict.outcome for verdict in verdicts} == {"not run"}
    assert all(verdict.missing for verdict in verdicts)
    assert all(">– not run</strong>" in cell for cell in hypotheses_table(verdicts)["answer"])


@pytest.mark.parametrize("slots", [[5], [5, 9], [9], [7, 11]])
def test_nothing_is_judged_without_the_slot_counts_that_it_is_about(slots):
    incomplete = {}
    for name, rows in world(1).items():
        chosen = rows["slots"].isin(slots) | rows["variant"].isin([EM, EM_EQUAL])
        incomplete[name] = rows[chosen]
    del incomplete["B2"]  # computed with slot counts of its own
    verdicts = judge_hypotheses(incomplete, MODELS)
    assert {verdict.outcome for verdict in verdicts} == {"not run"}
    assert all(verdict.missing for verdict in verdicts)


def test_only_the_paper_s_harder_scenes_are_judged():
    worlds = world(1)
    other = worlds["B3"].assign(test="MOVi-C6", f_ari=0.0)
    verdicts = judge_hypotheses({"B3": pd.concat([worlds["B3"], other])}, MODELS)
    (verdict,) = [one for one in verdicts if one.claim.id == "B3"]
    assert verdict.outcome == "reproduced"


def test_the_best_of_several_pays_for_being_picked():
    rng = np.random.default_rng(1)
    leads = [Estimate(mean, rng.normal(mean, 0.01, 4000)) for mean in (-0.05, 0.02)]
    found = take_best(leads)
    assert found.value == 0.02
    assert found.low < leads[1].interval(0.95)[0]
    assert found.high == leads[1].interval(0.95)[1]


def test_the_hypotheses_are_kept_apart_from_the_paper_s_claims():
    assert list(HYPOTHESES) == ["B1", "B2", "B3", "B4", "B5"]
    assert not set(HYPOTHESES) & set(CLAIMS)
    for claim in HYPOTHESES.values():
        assert claim.kind == "extension"
        assert all(criterion.reason and criterion.meaning for criterion in claim.criteria)


def models_that_find(found: float, *variants: str) -> Evidence:
    scenes = MODELS.scenes
    blind = scenes["blind_f_ari"].where(~scenes["variant"].isin(variants), scenes["f_ari"] - found)
    return replace(MODELS, scenes=scenes.assign(blind_f_ari=blind))


def test_where_the_baseline_finds_too_little_no_hypothesis_is_answered() -> None:
    verdicts = judge_hypotheses(world(1), models_that_find(0.1, "weighted_mean"))
    assert {verdict.outcome for verdict in verdicts} == {"not decidable"}
    assert verdicts[0].reason == "movi-c-6-7: weighted_mean finds too few objects on MOVi-C10 (0.10, 0.2 asked)"
    assert all(">⊘ not decidable</strong>" in cell for cell in hypotheses_table(verdicts)["answer"])


def test_a_hypothesis_about_a_variant_that_finds_nothing_is_not_answered() -> None:
    verdicts = {one.claim.id: one for one in judge_hypotheses(world(1), models_that_find(0.0, "weighted_sum"))}
    assert {name for name, one in verdicts.items() if one.outcome == "not decidable"} == {"B1", "B2", "B3", "B4", "B5"}
    assert set(verdicts["B2"].undecidable) == {"weighted_sum_gain"}
    assert "lead" in verdicts["B5"].measurements
    answered = judge_hypotheses(world(1), models_that_find(0.0, "layer_norm"))
    assert [one.outcome for one in answered[:2]] == ["reproduced", "reproduced"]


def test_models_without_the_control_leave_every_hypothesis_open() -> None:
    old = replace(MODELS, scenes=MODELS.scenes.drop(columns="blind_f_ari"))
    assert {verdict.outcome for verdict in judge_hypotheses(world(1), old)} == {"not run"}
