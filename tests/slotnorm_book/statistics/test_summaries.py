"""Slopes, ranks, shares, medians and effect sizes, against values worked out by hand and against scipy."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from slotnorm_book.statistics.summaries import (
    Share,
    change,
    change_weights,
    median_and_deviation,
    paired_effect,
    rank_correlation,
    ratio,
    run_means,
    superiority,
)

FINITE = st.floats(-10, 10)


def test_change_of_a_line_and_of_three_points() -> None:
    assert change(np.array([1.0, 0.8, 0.6]), [5, 7, 9]) == pytest.approx(-0.4)
    assert change(np.array([0.0, 3.0, 0.0]), [0, 1, 2]) == 0
    assert change(np.array([0.0, 0.0, 1.0]), [0, 1, 2]) == 1


@given(st.lists(FINITE, min_size=3, max_size=9))
def test_change_is_least_squares_and_shifts_out(values: list[float]) -> None:
    slots = np.arange(5, 5 + 2 * len(values), 2)
    fitted = change(np.array(values), list(map(int, slots)))
    assert fitted == pytest.approx(np.polyfit(slots, values, 1)[0] * (slots[-1] - slots[0]), abs=1e-7)
    assert change(np.array(values) + 7, list(map(int, slots))) == pytest.approx(fitted, abs=1e-7)
    assert change_weights(list(map(int, slots))).sum() == pytest.approx(0, abs=1e-12)


def test_change_is_taken_over_the_last_axis() -> None:
    values = np.arange(24.0).reshape(2, 4, 3) ** 1.5
    batch = change(values, [5, 7, 9])
    assert batch.shape == (2, 4)
    assert batch[1, 2] == pytest.approx(change(values[1, 2], [5, 7, 9]))


@given(st.lists(st.integers(0, 5), min_size=3, max_size=8).filter(lambda values: len(set(values)) > 1))
def test_rank_correlation_is_spearmans_with_ties(values: list[int]) -> None:
    expected = reference.spearmanr(values, range(len(values))).statistic
    assert rank_correlation(np.array([values], dtype=float))[0] == pytest.approx(expected, abs=1e-12)


def test_rank_correlation_by_hand() -> None:
    assert rank_correlation(np.array([1.0, 4.0, 9.0])) == pytest.approx(1)
    assert rank_correlation(np.array([9.0, 4.0, 1.0])) == pytest.approx(-1)
    assert rank_correlation(np.array([2.0, 1.0, 3.0])) == pytest.approx(0.5)  # 1 - 6 (1 + 1) / (3 · 8)
    assert rank_correlation(np.full(3, 2.0)) == 0


def test_a_ratio_is_of_something_positive() -> None:
    found = ratio(np.array([1.0, 1.0, 0.0, -3.0]), np.array([2.0, 0.0, 0.0, -1.0]))
    np.testing.assert_array_equal(found, [0.5, np.nan, np.nan, np.nan])
    assert ratio(np.float64(-1), np.float64(4)) == -0.25


def test_median_and_deviation_as_in_table_1() -> None:
    assert median_and_deviation(np.array([0.70, 0.65, 0.66])) == pytest.approx((0.66, 0.04))
    assert median_and_deviation(np.array([0.2, 0.4])) == pytest.approx((0.3, 0.1))


def test_paired_effect_by_hand() -> None:
    left, right = np.array([3.0, 5.0, 7.0]), np.array([2.0, 3.0, 4.0])  # differences 1, 2, 3
    assert paired_effect(left, right) == pytest.approx(2.0)
    assert paired_effect(right, left) == pytest.approx(-2.0)


def test_superiority_by_hand() -> None:
    assert superiority(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1
    assert superiority(np.array([1.0, 2.0]), np.array([2.0, 0.0])) == 0.625  # 0, 1, a tie, 1


def test_share_has_the_exact_interval() -> None:
    none, some = Share(0, 5), Share(4, 10)
    assert none.interval() == pytest.approx((0, 1 - 0.025 ** (1 / 5)))
    low, high = some.interval()
    assert reference.binom.sf(3, 10, low) == pytest.approx(0.025)
    assert reference.binom.cdf(4, 10, high) == pytest.approx(0.025)
    assert some.value == 0.4


def test_tail_of_a_share() -> None:
    assert Share(5, 5).tail("at least", 0.5) == pytest.approx(1 / 32)
    assert Share(0, 5).tail("at most", 0.5) == pytest.approx(1 / 32)


def test_run_means_are_over_scenes_alone() -> None:
    rows = [("batch_norm", seed, "CLEVR6", slots, 5, scene, scene + seed, 0.0, 1.0)
            for seed in (0, 1) for slots in (5, 7) for scene in (0, 1, 2)]  # fmt: skip
    columns = ["variant", "seed", "test", "slots", "iterations", "scene_id", "f_ari", "ari", "loss"]
    means = run_means(pd.DataFrame(rows, columns=columns))
    assert list(means["f_ari"]) == [1, 1, 2, 2]
    assert list(means["slots"]) == [5, 7, 5, 7]
