"""The ledger's rules: a verdict follows from measurements alone."""

import math

import pytest

from slotnorm.claims import CLAIMS, Claim, Criterion, Measurement

UPPER = Criterion("error", "an error", "at most", 1.0, "by hand")
LOWER = Criterion("gain", "a gain", "at least", 0.0, "by hand")


@pytest.mark.parametrize(
    ("criterion", "low", "high", "outcome"),
    [
        (UPPER, 0.0, 1.0, "reproduced"),
        (UPPER, 0.5, 1.5, "inconclusive"),
        (UPPER, 1.1, 1.5, "contradicted"),
        (LOWER, 0.0, 2.0, "reproduced"),
        (LOWER, -0.5, 0.5, "inconclusive"),
        (LOWER, -0.5, -0.1, "contradicted"),
        (LOWER, math.nan, math.nan, "inconclusive"),
        (UPPER, math.nan, math.nan, "inconclusive"),
        (UPPER, math.inf, math.inf, "contradicted"),
    ],
)
def test_an_interval_that_holds_the_bound_is_inconclusive(
    criterion: Criterion, low: float, high: float, outcome: str
) -> None:
    assert criterion.judge(Measurement((low + high) / 2, low, high)) == outcome


@pytest.mark.parametrize(
    ("error", "gain", "outcome"),
    [
        (Measurement.exact(0.5), Measurement.exact(0.5), "reproduced"),
        (Measurement.exact(0.5), Measurement(0.5, -0.5, 1.0), "inconclusive"),
        (Measurement.exact(2.0), Measurement(0.5, -0.5, 1.0), "contradicted"),
    ],
)
def test_all_criteria_must_hold(error: Measurement, gain: Measurement, outcome: str) -> None:
    verdict = Claim("X", "nowhere", "result", "a claim", (UPPER, LOWER)).judge({"error": error, "gain": gain})
    assert verdict.outcome == outcome


def test_detail_names_what_was_measured_and_asked_for() -> None:
    verdict = Claim("X", "nowhere", "result", "a claim", (UPPER, LOWER)).judge(
        {"error": Measurement.exact(0.5), "gain": Measurement(0.25, -0.5, 1.0)}
    )
    assert verdict.detail == "an error: 0.5, at most 1; a gain: 0.25 [-0.5, 1], at least 0"


def test_missing_and_unknown_measurements_are_refused() -> None:
    claim = Claim("X", "nowhere", "result", "a claim", (UPPER,))
    with pytest.raises(ValueError, match=r"needs the measurements \['error'\], got \['gain'\]"):
        claim.judge({"gain": Measurement.exact(0.0)})


def test_a_value_outside_its_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="outside its interval"):
        Measurement(1.0, 2.0, 3.0)


def test_every_entry_of_the_ledger_says_where_and_how() -> None:
    for key, claim in CLAIMS.items():
        assert key == claim.id
        assert claim.id[0] == {"mechanism": "M", "result": "R"}[claim.kind]
        assert claim.locus
        assert claim.criteria
        assert all(criterion.reason and criterion.meaning for criterion in claim.criteria)
        assert len({criterion.statistic for criterion in claim.criteria}) == len(claim.criteria)
