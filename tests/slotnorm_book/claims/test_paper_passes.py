"""The rules, held against runs that have the paper's numbers."""

import numpy as np
import pytest

from slotnorm_book.claims import paper_passes
from slotnorm_book.claims.judge import judge
from slotnorm_book.claims.ledger import RESULT_CLAIMS
from slotnorm_book.claims.paper_passes import (
    DRAWS,
    NO_NUMBERS,
    count_passes,
    draw_evidence,
    draw_runs,
    would_paper_pass,
)
from slotnorm_book.claims.paper_values import TABLE_1, Spread
from slotnorm_book.statistics.summaries import median_and_deviation


@pytest.mark.parametrize("runs", [3, 5, 9])
def test_drawn_runs_have_the_median_and_the_deviation(runs: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = draw_runs(Spread(0.7, 0.04), runs, rng)
        assert len(scores) == runs
        assert median_and_deviation(scores) == pytest.approx((0.7, 0.04))


@pytest.mark.parametrize("runs", [1, 2, 4])
def test_an_even_number_of_runs_is_refused(runs: int) -> None:
    with pytest.raises(ValueError, match="must be odd and at least 3"):
        draw_runs(Spread(0.7, 0.04), runs, np.random.default_rng(0))


def test_evidence_has_the_numbers_of_table_1() -> None:
    drawn = draw_evidence(np.random.default_rng(0))
    for experiment, variants in TABLE_1.items():
        for variant, measures in variants.items():
            rows = drawn[experiment].scenes.query("variant == @variant")
            for measure, spread in measures.items():
                found = median_and_deviation(rows[measure].to_numpy())
                assert found == pytest.approx((spread.median, spread.deviation)), (experiment, variant, measure)


def test_no_rule_asks_for_more_than_the_paper_has() -> None:
    """Each rule that the paper prints numbers for is passed by most of the runs that have these numbers."""
    passes = count_passes()
    assert set(passes) == {"R11", "R12", "R17", "R27"}
    assert all(2 * count > DRAWS for count in passes.values()), passes
    assert would_paper_pass("R17") == f"in {DRAWS} of {DRAWS} draws"
    assert would_paper_pass("R1") == NO_NUMBERS


def test_numbers_unlike_the_paper_s_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = {"weighted_mean": "weighted_sum", "weighted_sum": "weighted_mean"}
    table = {
        name: {swapped.get(variant, variant): measures for variant, measures in rows.items()}
        for name, rows in TABLE_1.items()
    }
    monkeypatch.setattr(paper_passes, "TABLE_1", table)
    (verdict,) = judge(draw_evidence(np.random.default_rng(0)), ["R11"], resamples=200)
    assert verdict.outcome == "contradicted"
    assert verdict.claim is RESULT_CLAIMS["R11"]
