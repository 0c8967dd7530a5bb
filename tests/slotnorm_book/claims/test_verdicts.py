"""Verdicts on R1 to R30: a world as the paper tells it, its opposite, and one of chance give each its own."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from slotnorm_book.claims.claim import Criterion, Measurement, Verdict
from slotnorm_book.claims.clevr import distance_difference
from slotnorm_book.claims.comparisons import Comparison, Panel, Source
from slotnorm_book.claims.evidence import Evidence
from slotnorm_book.claims.judge import judge, judge_otherwise
from slotnorm_book.claims.ledger import RESULT_CLAIMS
from slotnorm_book.claims.tables import (
    compare_slots,
    distance_from_bound,
    format_measurement,
    ledger_table,
    summarize_verdicts,
)
from slotnorm_book.claims.verdicts import judge_quantities, take_worst
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import Results
from slotnorm_book.statistics.bootstrap import Bootstrap, Estimate
from slotnorm_book.statistics.summaries import Share
from tests.slotnorm_book.claims.worlds import evidence

CRITERIA = [(claim.id, c.statistic) for claim in RESULT_CLAIMS.values() for c in claim.criteria]
SHARES = [case for case in CRITERIA if case[0] in ("R17", "R27")]
EMPTY = Evidence(pd.DataFrame(), pd.DataFrame(), 7, "cpu")


@cache
def judged(sign: int) -> dict[str, Verdict]:
    return {verdict.claim.id: verdict for verdict in judge(evidence(sign), resamples=500)}


@pytest.mark.parametrize(("sign", "outcome"), [(1, "reproduced"), (-1, "contradicted"), (0, "inconclusive")])
@pytest.mark.parametrize(("name", "statistic"), [case for case in CRITERIA if case not in SHARES])
def test_each_criterion_tells_the_worlds_apart(name: str, statistic: str, sign: int, outcome: str) -> None:
    verdict = judged(sign)[name]
    (criterion,) = (c for c in verdict.claim.criteria if c.statistic == statistic)
    if criterion.presumed and sign == 0:
        outcome = "reproduced"
    assert criterion.judge(verdict.measurements[statistic]) == outcome, verdict.measurements[statistic]


@pytest.mark.parametrize(
    ("proposed", "others", "outcome"),
    [
        (Share(4, 10), Share(0, 10), "reproduced"),
        (Share(0, 100), Share(0, 10), "contradicted"),
        (Share(4, 10), Share(10, 10), "contradicted"),
        (Share(0, 6), Share(0, 10), "inconclusive"),
        (Share(4, 10), Share(0, 6), "inconclusive"),
    ],
)
def test_shares_of_spatial_runs(proposed: Share, others: Share, outcome: str) -> None:
    shares = {"proposed_share": [proposed], "others_share": [others]}
    assert judge_quantities(RESULT_CLAIMS["R17"], shares, "cpu").outcome == outcome


@pytest.mark.parametrize(
    ("spatial", "runs", "outcome"), [(1, 3, "reproduced"), (1, 6, "reproduced"), (0, 6, "inconclusive")]
)
def test_one_spatial_run_shows_that_it_happens(spatial: int, runs: int, outcome: str) -> None:
    (criterion, _) = RESULT_CLAIMS["R27"].criteria
    shares = {"batch_norm_share": [Share(spatial, runs)], "others_share": [Share(0, 3 * runs)]}
    verdict = judge_quantities(RESULT_CLAIMS["R27"], shares, "cpu")
    assert criterion.judge(verdict.measurements["batch_norm_share"]) == verdict.outcome == outcome


def test_spatial_runs_are_counted_and_left_out() -> None:
    assert judged(1)["R17"].measurements["proposed_share"].value == 0.4
    world = evidence(1)
    scenes = world["clevr-6-7"].scenes
    object_wise = scenes["agreement"] < 0.5
    spoilt = scenes.assign(
        f_ari=scenes["f_ari"].where(object_wise, 0.0), blind_f_ari=scenes["blind_f_ari"].where(object_wise, 0.0)
    )
    world["clevr-6-7"] = replace(world["clevr-6-7"], scenes=spoilt)
    left_out, kept = (
        {r.claim.id: r.outcome for r in judge(world, spatial_runs=keep, resamples=200)} for keep in (False, True)
    )
    assert (left_out["R2"], kept["R2"]) == ("reproduced", "inconclusive")
    assert left_out["R17"] == kept["R17"] == "reproduced"


def test_without_runs_there_is_no_verdict() -> None:
    for verdict in judge({"clevr-6-7": EMPTY}):
        assert verdict.outcome == "not run"
        assert verdict.missing == f"no runs of {', '.join(RESULT_CLAIMS[verdict.claim.id].experiments)}"


@pytest.mark.parametrize(("experiment", "slots"), [("clevr-6-7", 7), ("clevr-6-11", 11), ("properties", 10)])
def test_results_are_evidence_of_their_recipe(experiment: str, slots: int) -> None:
    one = Evidence.of(Results(recipe(experiment, "cpu"), (), ()))
    assert (one.train_slots, one.scale, one.scenes.empty) == (slots, "cpu", True)


@pytest.mark.parametrize(
    ("spoil", "missing"),
    [
        (lambda rows: rows[rows["variant"] != "batch_norm"], "no run of batch_norm"),
        (lambda rows: rows[rows["slots"] < 21], "no evaluation from 9 to 21"),
        (lambda rows: rows[rows["test"] != "CLEVR10"], "clevr-6-7: nothing evaluated for f_ari, CLEVR10"),
    ],
)
def test_missing_evidence_is_named(spoil, missing: str) -> None:
    world = {"clevr-6-7": replace(evidence(1)["clevr-6-7"], scenes=spoil(evidence(1)["clevr-6-7"].scenes))}
    verdict = judge(world, resamples=100)[0]
    assert (verdict.outcome, verdict.missing) == ("not run", missing)


def test_one_seed_decides_nothing() -> None:
    one = evidence(1)["clevr-6-7"]
    single = judge({"clevr-6-7": replace(one, scenes=one.scenes[one.scenes["seed"] == 4])}, resamples=100)
    assert [verdict.outcome for verdict in single[:4]] == ["inconclusive"] * 4


AT_LEAST = Criterion(statistic="gain", meaning="a gain", side="at least", bound=0.0, reason="by hand")
AT_MOST = replace(AT_LEAST, side="at most")


class Plain:
    """A quantity that is 1 wider on either side where more certainty is asked for."""

    def __init__(self, value: float) -> None:
        self.value = value

    def interval(self, level: float) -> tuple[float, float]:
        width = 1.0 if level <= 0.95 else 2.0
        return self.value - width, self.value + width

    def tail(self, side: str, bound: float) -> float:
        return 0.01


def test_the_interval_is_that_of_the_comparison_that_decides() -> None:
    """It contradicts surely, or is the least sure to hold; the end that contradicts pays for their number."""
    assert take_worst(AT_LEAST, [Plain(3.0), Plain(5.0)], comparisons=2) == Measurement(3.0, 2.0, 5.0)
    assert take_worst(AT_MOST, [Plain(-3.0), Plain(-5.0)], comparisons=2) == Measurement(-3.0, -5.0, -2.0)
    assert take_worst(AT_LEAST, [Plain(3.0)], comparisons=1) == Measurement(3.0, 2.0, 4.0)
    assert take_worst(AT_LEAST, [Plain(0.5), Plain(9.0), Plain(-3.0)], comparisons=3) == Measurement(-3.0, -4.0, -1.0)
    assert take_worst(AT_MOST, [Plain(0.5), Plain(3.0), Plain(4.0)], comparisons=3) == Measurement(4.0, 2.0, 5.0)


def test_a_comparison_that_contradicts_decides_before_one_that_is_less_sure() -> None:
    """The first has the lowest end, and leaves the bound inside; the second fails with its whole interval."""
    wide, failed = Estimate(-1.0, np.linspace(-9, 7, 500)), Estimate(-1.0, np.linspace(-1.5, -0.5, 500))
    measured = take_worst(AT_LEAST, [wide, failed], comparisons=2)
    assert AT_LEAST.judge(measured) == "contradicted"
    assert measured.low >= -1.5


def test_an_interval_ends_at_what_is_possible_and_says_so() -> None:
    source = Source(("clevr-6-7",), "CLEVR6", ("f_ari",), (-0.5, 1.0))
    beyond = Comparison(Estimate(0.9, np.linspace(0.5, 1.4, 500)), source, ("a",), (), (-0.5, 1.0), "11 slots")
    assert beyond.interval(0.95)[1] == 1.0
    measured = take_worst(replace(AT_LEAST, bound=0.4), [beyond], comparisons=1)
    assert (measured.high, measured.cut_off, measured.decided_by) == (1.0, True, "a, CLEVR6, 11 slots")
    assert format_measurement(measured) == "**0.9** [0.52, 1, cut off at what is possible]"
    within = replace(beyond, estimate=Estimate(0.9, np.linspace(0.8, 0.95, 500)))
    assert not take_worst(AT_LEAST, [within], comparisons=1).cut_off
    unknown = replace(beyond, estimate=Estimate(0.9, np.full(500, np.nan)))
    assert unknown.interval(0.95) == (-np.inf, np.inf)


@pytest.mark.parametrize(("slots", "variants"), [((7, 21), 1), ((5, 7, 9), 1), ((5, 9, 11, 21), 2)])
def test_the_possible_change_of_a_line_is_reached_and_not_passed(slots: tuple[int, ...], variants: int) -> None:
    rng = np.random.default_rng(0)
    centered = np.array(slots) - np.mean(slots)
    best = np.where(centered > 0, 1.0, 0.0)
    scores = {"a": np.tile(best, (2, 3, 1)), "b": np.tile(1 - best, (2, 3, 1))}
    source = Source(("x",), "t", ("precision",), (0.0, 1.0))
    panel = Panel(Bootstrap(scores, 10), slots, tuple(range(len(slots))), source)
    extreme = panel.growth("a") if variants == 1 else panel.extra_growth("a", "b")
    assert extreme.value == pytest.approx(extreme.possible[1])
    for _ in range(50):
        panel = replace(panel, bootstrap=Bootstrap({name: rng.uniform(size=(2, 3, len(slots))) for name in "ab"}, 10))
        for found in (panel.growth("a"), panel.extra_growth("a", "b"), panel.relative_loss("a"), panel.lead("a", "b")):
            assert found.possible[0] <= found.value <= found.possible[1]


def test_false_discovery_rates_are_over_the_claims_that_were_run() -> None:
    world = evidence(1)
    some = [verdict for verdict in judge({"clevr-6-7": world["clevr-6-7"]}, resamples=500) if verdict.was_run]
    ordered = sorted(some, key=lambda verdict: verdict.p_value)
    last = ordered[-1]
    assert last.false_discovery_rate == pytest.approx(last.p_value)
    assert all(verdict.p_value <= verdict.false_discovery_rate <= last.p_value for verdict in ordered)


def test_the_ledger_as_a_table() -> None:
    ran = [judged(1)["R2"], Verdict.not_run(RESULT_CLAIMS["R7"], "no runs of movi-c-10-11")]
    table = ledger_table(ran, {"with spatial runs": judged(1) | {"R7": ran[1]}, "in found objects": {}})
    assert "**R2** Both proposed variants" in table["claim"][0]
    assert "{numref}`fig-clevr-slots`" in table["claim"][0]
    criteria = table["ours"][0].split("<br>")
    assert [line[:30] for line in criteria] == ["✓ F-ARI of weighted sum less t", "✓ F-ARI of batch norm less the"]
    assert criteria[0].endswith("], asked: at least 0")
    assert table["ours"][1] == "no runs of movi-c-10-11"
    assert "✓ reproduced</strong><br>cpu scale<br>false discovery rate 0.0" in table["verdict"][0]
    assert table["verdict"][0].endswith("with spatial runs: the same")
    assert table["verdict"][1] == '<strong class="verdict not-run">– not run</strong>'


def test_the_ledger_tells_where_spatial_runs_change_a_verdict() -> None:
    beside = {"with spatial runs": {"R2": judged(-1)["R2"]}, "in found objects": {"R2": judged(1)["R2"]}}
    (row,) = ledger_table([judged(1)["R2"]], beside)["verdict"]
    assert row.endswith("with spatial runs: **contradicted**<br>in found objects: the same")


def test_a_lead_in_the_blind_part_alone_is_none_in_found_objects() -> None:
    """Proposed variants lead in F-ARI, and in blind F-ARI by more."""
    one = evidence(1)["clevr-6-7"]
    ahead = one.scenes["f_ari"] - one.scenes["f_ari"].mean()
    worlds = {"clevr-6-7": replace(one, scenes=one.scenes.assign(blind_f_ari=0.1 + 2 * ahead))}
    assert judge(worlds, ["R2"], resamples=200)[0].outcome == "reproduced"
    beside = judge_otherwise(worlds, ["R2", "R28"])
    assert beside["in found objects"]["R2"].outcome == "contradicted"
    assert set(beside["in found objects"]) == {"R2"}  # R28 is about losses
    assert set(beside["with spatial runs"]) == {"R2", "R28"}


def test_an_empty_ledger_says_so() -> None:
    assert ledger_table([]).to_numpy().tolist() == [["none", "", "", ""]]


def test_distances_are_positive_where_the_claim_lies() -> None:
    assert distance_from_bound(replace(AT_LEAST, bound=1.0), Measurement(3.0, 2.0, 5.0)) == (2.0, 1.0, 4.0)
    assert distance_from_bound(replace(AT_MOST, bound=1.0), Measurement(3.0, 2.0, 5.0)) == (-2.0, -4.0, -1.0)


def test_judging_repeats() -> None:
    world = {"clevr-6-7": evidence(0)["clevr-6-7"]}
    first, again = (judge(world, resamples=100) for _ in range(2))
    assert [r.measurements for r in first] == [r.measurements for r in again]


def test_models_that_detect_nothing_decide_nothing() -> None:
    one = evidence(1)["properties"]
    blind = replace(one, sets=one.sets.assign(value=0.0))
    (verdict,) = judge({"properties": blind}, ["R15"], resamples=100)
    assert verdict.outcome == "not decidable"


def test_only_the_claims_asked_for_are_judged() -> None:
    some = judge({"clevr-6-7": evidence(1)["clevr-6-7"]}, ["R3", "R2"], resamples=100)
    assert [verdict.claim.id for verdict in some] == ["R3", "R2"]


def test_the_answer_says_of_every_claim_what_came_of_it() -> None:
    found = [judged(1)["R1"], judged(-1)["R2"], judged(0)["R3"], Verdict.not_run(RESULT_CLAIMS["R4"], "no runs")]
    lines = summarize_verdicts(found).splitlines()
    said = ["Holds here", "Does not hold here as it stands", "Undecided by these runs", "Not run"]
    assert lines == [
        f"- **{words}.** *{name}*: {RESULT_CLAIMS[name].statement}."
        for words, name in zip(said, ["R1", "R2", "R3", "R4"], strict=True)
    ]
    smoke = summarize_verdicts([replace(found[0], scale="smoke")])
    assert "none of this says anything about the paper" in smoke
    with pytest.raises(ValueError, match="at least one verdict"):
        summarize_verdicts([])


def test_more_slots_tells_the_median_run_of_each_variant_at_both_counts() -> None:
    rows = [
        (variant, seed, "many", slots, scene, base + seed / 10 + scene / 100 - (slots > 7) * loss)
        for variant, base, loss in (("a", 0.4, 0.2), ("b", 0.3, 0.0))
        for seed in (0, 1, 4)
        for slots in (7, 9, 21)
        for scene in (0, 2)
    ]
    scenes = pd.DataFrame(rows, columns=["variant", "seed", "test", "slots", "scene_id", "f_ari"]).assign(
        blind_f_ari=0.1
    )
    # The median run is that of seed 1, its scenes' mean 0.01 above the first.
    assert compare_slots(scenes, "many", 7, 21, {"a": "A", "b": "B"}) == (
        "A 0.51 → 0.31 (found 0.41 → 0.21), B 0.41 → 0.41 (found 0.31 → 0.31)"
    )
    assert compare_slots(pd.DataFrame(), "many", 7, 21, {}) == "not run"
    assert compare_slots(scenes, "many", 5, 21, {}) == "not evaluated with 5 slots"
    assert compare_slots(scenes, "many", 5, 23, {}) == "not evaluated with 5 and 23 slots"
    assert compare_slots(scenes, "many", 7, 7, {"a": "A", "b": "B"}) == (
        "A 0.51 → 0.51 (found 0.41 → 0.41), B 0.41 → 0.41 (found 0.31 → 0.31)"
    )


def test_a_lead_that_turns_into_a_larger_lag_is_no_smaller_distance() -> None:
    """R5: ahead by 0.02 after training with 7 slots, behind by 0.1 after training with 11."""
    seven, eleven = ([np.array([level + 0.3])] * 2 + [np.array([0.3])] for level in (0.02, -0.1))
    assert distance_difference(*seven, *eleven) == pytest.approx(-0.08)
    assert distance_difference(*eleven, *seven) == pytest.approx(0.08)
