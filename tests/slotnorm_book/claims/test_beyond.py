"""Our hypotheses: each is answered one way and the other by tables made for it, and not at all without runs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from slotnorm_book.claims.beyond import (
    compare_code_lengths,
    compare_mixture_weights,
    compare_scales,
    gains_of_scaled_codes,
)
from slotnorm_book.claims.claim import Verdict
from slotnorm_book.claims.comparisons import MissingEvidenceError, UndecidableError
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
from slotnorm_book.variants import BASELINE, EM, EM_EQUAL, PROPOSED, SCALED_MEAN, VARIANTS
from tests.slotnorm_book.claims.worlds import evidence

SCENES, SEEDS = 20, 4
ALL = evidence(1)
MODELS, CLEVR = ALL["movi-c-6-7"], ALL["clevr-6-7"]
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


def judge(tables: dict[str, pd.DataFrame], models: Evidence = MODELS, clevr: Evidence = CLEVR) -> list[Verdict]:
    return judge_hypotheses(tables, {"movi-c-6-7": models, "clevr-6-7": clevr})


def lengths(gain: float, test: str = "CLEVR10") -> pd.DataFrame:
    """Baselines with codes as they are and scaled; that gain is had at 21 slots, half of it lost at 5."""

    def score(row):
        return 0.5 + gain * (row["variant"] == SCALED_MEAN) * (row["slots"] - 7) / 14

    rows = table(score, variant=(BASELINE, SCALED_MEAN), slots=PAPER_SLOT_COUNTS)
    return rows.assign(test=test, blind_f_ari=0.1, agreement=0.1)


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
        "B1": table(scales, variant=SCALES, slots=PAPER_SLOT_COUNTS).assign(blind_f_ari=0.1),
        "B2": table(given, variant=VARIANTS, slots=WEIGHTED_SLOTS, strength=STRENGTHS),
        "B3": table(slots, variant=VARIANTS, slots=MANY_SLOTS),
        "B4": table(iterations, variant=VARIANTS, slots=ITERATED_SLOTS, iterations=ITERATIONS),
        "B5": table(em, variant=(*VARIANTS, EM, EM_EQUAL), slots=EM_COUNTS),
        "B6": lengths(0.1 * sign),
        "B7": lengths(0.1 * sign, "MOVi-C10"),
    }


@pytest.mark.parametrize(("sign", "outcome"), [(1, "reproduced"), (-1, "contradicted")])
def test_every_hypothesis_can_hold_and_fail(sign, outcome):
    verdicts = judge(world(sign))
    assert {verdict.claim.id: verdict.outcome for verdict in verdicts} == dict.fromkeys(HYPOTHESES, outcome)
    answer = {"reproduced": "✓ holds", "contradicted": "✗ does not hold"}[outcome]
    assert all(f">{answer}</strong><br>cpu scale" in cell for cell in hypotheses_table(verdicts)["answer"])


def test_one_seed_decides_nothing():
    single = {name: rows[rows["seed"] == 0] for name, rows in world(1).items()}
    assert {verdict.outcome for verdict in judge(single)} == {"inconclusive"}


def test_what_has_not_been_run_is_not_judged():
    worlds = world(1)
    incomplete = {
        "B1": worlds["B1"][worlds["B1"]["variant"] == "weighted_sum"],
        "B2": pd.DataFrame(),
        "B3": worlds["B3"][worlds["B3"]["slots"] < 128],
        "B4": worlds["B4"][worlds["B4"]["iterations"] < 10],
        "B6": worlds["B6"][worlds["B6"]["variant"] == SCALED_MEAN],
        "B7": worlds["B7"][worlds["B7"]["slots"] < 21],
    }
    verdicts = judge(incomplete)
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
    verdicts = judge(incomplete)
    assert {verdict.outcome for verdict in verdicts} == {"not run"}
    assert all(verdict.missing for verdict in verdicts)


def test_only_the_paper_s_harder_scenes_are_judged():
    worlds = world(1)
    other = worlds["B3"].assign(test="MOVi-C6", f_ari=0.0)
    verdicts = judge({"B3": pd.concat([worlds["B3"], other])})
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
    assert list(HYPOTHESES) == ["B1", "B2", "B3", "B4", "B5", "B6", "B7"]
    assert not set(HYPOTHESES) & set(CLAIMS)
    for claim in HYPOTHESES.values():
        assert claim.kind == "extension"
        assert all(criterion.reason and criterion.meaning for criterion in claim.criteria)


def models_that_find(found: float, *variants: str) -> Evidence:
    scenes = MODELS.scenes
    blind = scenes["blind_f_ari"].where(~scenes["variant"].isin(variants), scenes["f_ari"] - found)
    return replace(MODELS, scenes=scenes.assign(blind_f_ari=blind))


def test_where_the_baseline_finds_too_little_no_hypothesis_is_answered() -> None:
    verdicts = judge(world(1), models_that_find(0.1, "weighted_mean"))
    about_clevr = verdicts.pop(5)
    assert (about_clevr.claim.id, about_clevr.outcome) == ("B6", "reproduced")
    assert {verdict.outcome for verdict in verdicts} == {"not decidable"}
    assert verdicts[0].reason == "movi-c-6-7: weighted_mean finds too few objects on MOVi-C10 (0.100, 0.2 asked)"
    assert all(">⊘ not decidable</strong>" in cell for cell in hypotheses_table(verdicts)["answer"])


def test_a_hypothesis_about_a_variant_that_finds_nothing_is_not_answered() -> None:
    verdicts = {one.claim.id: one for one in judge(world(1), models_that_find(0.0, "weighted_sum"))}
    assert {name for name, one in verdicts.items() if one.outcome == "not decidable"} == {"B1", "B2", "B3", "B4", "B5"}
    assert set(verdicts["B2"].undecidable) == {"weighted_sum_gain"}
    assert "lead" in verdicts["B5"].measurements
    answered = judge(world(1), models_that_find(0.0, "layer_norm"))
    assert [one.outcome for one in answered[:2]] == ["reproduced", "reproduced"]


def with_spatial_runs(variant: str, seeds: int) -> Evidence:
    """The models, of which the first runs of a variant are spatial."""
    scenes = MODELS.scenes
    spatial = (scenes["variant"] == variant) & (scenes["seed"] < seeds)
    changed = scenes["agreement"].mask(spatial, 0.9), scenes["blind_f_ari"].mask(spatial, scenes["f_ari"])
    return replace(MODELS, scenes=scenes.assign(agreement=changed[0], blind_f_ari=changed[1]))


def test_spatial_runs_have_no_say_in_any_hypothesis() -> None:
    holds, breaks = world(1), world(-1)
    models, first = with_spatial_runs("weighted_sum", 1), {}
    for name in ("B2", "B3", "B4", "B5"):
        spatial = (holds[name]["variant"] == "weighted_sum") & (holds[name]["seed"] == 0)
        first[name] = pd.concat([holds[name][~spatial], breaks[name][spatial]])
    verdicts = {one.claim.id: one for one in judge(first, models)}
    assert [verdicts[name].outcome for name in first] == ["reproduced"] * 4
    assert {one.outcome for one in judge(first) if one.claim.id in first} != {"reproduced"}  # were they not left out


def test_a_hypothesis_is_not_answered_for_a_variant_whose_every_run_is_spatial() -> None:
    only_first = {name: rows[rows["seed"] == 0] for name, rows in world(1).items()}
    verdict = {one.claim.id: one for one in judge(only_first, with_spatial_runs("weighted_sum", 1))}["B3"]
    assert set(verdict.undecidable) == {"weighted_sum_loss", "gain"}
    assert verdict.outcome == "not decidable"


def test_a_scale_whose_models_find_nothing_is_not_the_best() -> None:
    rows = world(1)["B1"]
    blind = rows["variant"].map({"weighted_sum@4": 1.0}).mul(rows["f_ari"]).fillna(0.1)
    (lead,) = compare_scales(rows.assign(blind_f_ari=blind))["best_gain"]
    assert lead.variants == ("weighted_sum@0.0625", "weighted_sum")
    with pytest.raises(UndecidableError, match="no other C find objects"):
        compare_scales(rows.assign(blind_f_ari=rows["f_ari"]))
    with pytest.raises(MissingEvidenceError, match="blind_f_ari"):
        compare_scales(rows.drop(columns="blind_f_ari"))


def test_scales_of_which_every_run_is_spatial_are_not_said_to_be_missing() -> None:
    rows = world(1)["B1"]
    others = rows["variant"] != "weighted_sum"
    table = rows.assign(agreement=np.where(others, 0.9, 0.1), blind_f_ari=rows["f_ari"].where(others, 0.1))
    verdict = {one.claim.id: one for one in judge({"B1": table})}["B1"]
    assert verdict.outcome == "not decidable"
    assert verdict.undecidable == {"best_gain": "every run with another C is spatial"}


def test_models_without_the_control_leave_every_hypothesis_open() -> None:
    old, clevr = (replace(one, scenes=one.scenes.drop(columns="blind_f_ari")) for one in (MODELS, CLEVR))
    assert {verdict.outcome for verdict in judge(world(1), old, clevr)} == {"not run"}


def test_gains_of_scaled_codes_are_paired_by_run_scene_and_slots() -> None:
    rows = lengths(0.1).sample(frac=1, random_state=0)
    gains = gains_of_scaled_codes(rows)
    assert len(gains) == len(rows) / 2
    one = {"seed": 2, "slots": 21, "scene_id": 5}
    plain, scaled = (
        rows[(rows[list(one)] == pd.Series(one)).all(axis=1) & (rows["variant"] == name)]["f_ari"].item()
        for name in (BASELINE, SCALED_MEAN)
    )
    gain = gains[(gains[list(one)] == pd.Series(one)).all(axis=1)]
    assert gain[["f_ari", "found_objects"]].to_numpy() == pytest.approx(scaled - plain)  # float64, one more difference
    with pytest.raises(MissingEvidenceError, match="not evaluated on the same scenes"):
        gains_of_scaled_codes(rows.drop(rows.index[3]))


def test_the_mixture_weight_is_compared_within_each_run() -> None:
    """Runs that differ by far more than the weight changes in each of them do not hide what it changes."""
    rows = world(1)["B2"]
    level = rows["seed"].map({seed: 0.1 * seed for seed in range(SEEDS)})
    gain = 0.05 * ((rows["strength"] == 1) & (rows["variant"] == BASELINE))
    (estimate,) = compare_mixture_weights(rows.assign(f_ari=0.3 + level + gain))["baseline_gain"]
    assert estimate.value == pytest.approx(0.05)
    assert estimate.interval(0.95) == pytest.approx((0.05, 0.05))


def test_spatial_runs_have_no_say_about_code_lengths() -> None:
    rows = lengths(0.1)
    spatial = rows["seed"] == 0
    scores = rows["f_ari"].where(~spatial | (rows["variant"] == BASELINE), 0.0)
    mixed = rows.assign(f_ari=scores, spatial=spatial)
    (gain,) = compare_code_lengths(mixed)["surplus_f_ari_gain"]
    assert gain.runs == (SEEDS - 1,)
    assert gain.value == pytest.approx(0.1 * 8 / 14, abs=0.002)  # 15 slots on average; the table's noise
    with pytest.raises(UndecidableError, match="every run is spatial"):
        compare_code_lengths(mixed[spatial])


@pytest.mark.parametrize(("gain", "fewer", "outcome"), [(0.1, -0.1, "contradicted"), (0.025, 0.0, "contradicted")])
def test_a_small_gain_and_a_loss_with_fewer_slots_are_no_answer_yes(gain: float, fewer: float, outcome: str) -> None:
    rows = lengths(gain)
    lost = fewer * ((rows["slots"] == 5) & (rows["variant"] == SCALED_MEAN))
    verdicts = {one.claim.id: one for one in judge({"B6": rows.assign(f_ari=rows["f_ari"] + lost)})}
    assert verdicts["B6"].outcome == outcome
    assert verdicts["B7"].outcome == "not run"
