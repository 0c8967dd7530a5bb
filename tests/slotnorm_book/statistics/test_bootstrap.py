"""Intervals over seeds and scenes: by hand, by their properties, and by how often they hold the truth."""

import math
from collections.abc import Callable
from time import process_time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from slotnorm_book.statistics.bootstrap import Bootstrap, Estimate, intervals, samples
from slotnorm_book.statistics.summaries import ratio


def first(mean: np.ndarray) -> np.ndarray:
    return mean[..., 0]


def difference(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return left[..., 0] - right[..., 0]


def table(values: dict[str, list[list[float]]]) -> pd.DataFrame:
    """One slot count; a list of scenes per seed."""
    rows = [
        (variant, seed, scene, 5, value)
        for variant, runs in values.items()
        for seed, scenes in enumerate(runs)
        for scene, value in enumerate(scenes)
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "scene_id", "slots", "f_ari"])


def test_samples_are_runs_by_scenes_by_settings() -> None:
    one = table({"a": [[1, 2, 3], [4, 5, 6]], "b": [[7, 8, 9]]})
    both = pd.concat([one, one.assign(slots=7, f_ari=-one["f_ari"])]).sample(frac=1, random_state=0)
    arrays = samples(both, "f_ari")
    np.testing.assert_array_equal(arrays["a"][..., 0], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(arrays["a"][..., 1], [[-1, -2, -3], [-4, -5, -6]])
    assert arrays["b"].shape == (1, 3, 2)


def test_samples_leave_scenes_of_other_settings_open() -> None:
    one = table({"a": [[1, 2, 3]]}).assign(objects=[4, 3, 4])
    np.testing.assert_array_equal(samples(one, "f_ari", "objects")["a"][0], [[np.nan, 1], [2, np.nan], [np.nan, 3]])


def test_samples_over_two_columns() -> None:
    one = pd.concat([table({"a": [[1]]}).assign(slots=slots, distance=-slots) for slots in (7, 5)])
    assert samples(one, "f_ari", ["distance", "slots"])["a"].shape == (1, 1, 2)


def test_duplicate_rows_are_refused() -> None:
    one = table({"a": [[1, 2]]})
    with pytest.raises(ValueError, match="duplicate"):
        samples(pd.concat([one, one]), "f_ari")


def test_the_value_is_the_mean_over_runs_and_known_scenes() -> None:
    scores = np.array([[[1.0, np.nan], [3.0, 5.0]], [[5.0, np.nan], [7.0, 7.0]]])
    bootstrap = Bootstrap({"a": scores}, resamples=10)
    assert bootstrap.estimate(first, "a").value == 4
    assert bootstrap.estimate(lambda mean: mean[..., 1], "a").value == 6


def test_without_any_spread_the_interval_is_a_point() -> None:
    bootstrap = Bootstrap({"a": np.full((3, 4, 1), 0.5), "b": np.full((3, 4, 1), 0.25)}, resamples=50)
    assert bootstrap.estimate(difference, "a", "b").interval() == pytest.approx((0.25, 0.25), abs=1e-12)


def test_scenes_are_paired() -> None:
    """Scenes differ a lot, variants by the same on each scene: nothing is uncertain about the difference."""
    scenes = np.random.default_rng(0).normal(size=(1, 30, 1))
    bootstrap = Bootstrap({"a": scenes.repeat(3, axis=0) + 0.1, "b": scenes.repeat(3, axis=0)}, resamples=200)
    low, high = bootstrap.estimate(difference, "a", "b").interval()
    assert (low, high) == pytest.approx((0.1, 0.1))
    low, high = bootstrap.estimate(first, "a").interval()
    assert high - low > 0.5


def test_seeds_alone_give_students_spread() -> None:
    """Without scene noise the replicates' standard deviation is the standard error, times t / z."""
    runs = np.array([0.1, 0.4, 0.5, 0.8])
    estimate = Bootstrap({"a": runs.reshape(4, 1, 1)}, resamples=20_000).estimate(first, "a")
    expected = runs.std(ddof=1) / math.sqrt(4) * stats.t.ppf(0.975, 3) / stats.norm.ppf(0.975)
    assert estimate.replicates.std() == pytest.approx(expected, rel=0.03)  # 20,000 draws: 0.5 % standard error


def test_degrees_of_freedom_are_welchs() -> None:
    """One variant scatters, the other does not: only the first one's two spare runs count."""
    loud, still = np.array([0.1, 0.2, 0.6]).reshape(3, 1, 1), np.full((9, 1, 1), 0.2)
    pair = Bootstrap({"a": loud, "b": still}, resamples=500)
    alone = Bootstrap({"a": loud}, resamples=500)
    assert pair.estimate(difference, "a", "b").replicates.max() == pytest.approx(
        alone.estimate(first, "a").replicates.max() - 0.2
    )


def test_a_single_run_has_no_interval() -> None:
    bootstrap = Bootstrap({"a": np.ones((1, 5, 1)), "b": np.ones((3, 5, 1))}, resamples=20)
    estimate = bootstrap.estimate(difference, "a", "b")
    assert estimate.interval() == (-math.inf, math.inf)
    assert estimate.tail("at least", 0.0) == 1
    assert bootstrap.estimate(first, "b").interval() == pytest.approx((1, 1))


def test_fixed_runs_draw_scenes_alone() -> None:
    scores = np.stack([np.zeros((10, 1)), np.ones((10, 1))])
    assert Bootstrap({"a": scores}, resamples=50, fixed_runs=True).estimate(first, "a").interval() == (0.5, 0.5)


def test_interval_and_tail_by_hand() -> None:
    estimate = Estimate(0.5, np.linspace(0, 1, 101))
    assert estimate.interval(0.9) == pytest.approx((0.05, 0.95))
    assert estimate.tail("at least", 0.095) == pytest.approx(11 / 102)  # 0.00 to 0.09 and the sample itself
    assert estimate.tail("at most", 0.905) == pytest.approx(11 / 102)
    assert Estimate(2.0, np.linspace(0, 1, 101)).interval(0.9) == pytest.approx((0.05, 2.0))


def test_a_replicate_without_a_value_may_lie_on_either_side() -> None:
    known = np.linspace(0, 1, 100)
    estimate = Estimate(0.5, np.append(known, [np.nan] * 4))
    assert estimate.interval(0.95) == (-math.inf, math.inf)
    low, high = estimate.interval(0.9)
    assert 0 < low < 0.05
    assert 0.95 < high < 1


def test_a_share_that_one_run_decides_alone_has_no_interval() -> None:
    """Without the other runs' zeros the share would be the same in every resample, as if it were certain."""
    scores = np.zeros((3, 20, 2))
    scores[0] = [0.2, 0.1]
    estimate = Bootstrap({"a": scores}).estimate(lambda mean: ratio(mean[..., 1], mean[..., 0]), "a")
    assert estimate.value == pytest.approx(0.5)
    assert estimate.interval() == (-math.inf, math.inf)
    assert estimate.tail("at least", 0.1) > 0.2


def test_more_certainty_is_wider_and_resampling_repeats() -> None:
    scores = {"a": np.random.default_rng(0).normal(size=(3, 20, 1))}
    narrow, wide = (Bootstrap(scores).estimate(first, "a").interval(level) for level in (0.9, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert Bootstrap(scores).estimate(first, "a").interval(0.9) == narrow


def test_levels_beyond_the_resamples_follow_students_t() -> None:
    """Three runs have ten distinct resamples; their extremes would miss the strict level twenty times too often."""
    rng, strict = np.random.default_rng(0), 1 - 0.05 / 20
    found = [Bootstrap({"a": rng.normal(size=(3, 1, 1))}, 300, seed).estimate(first, "a") for seed in range(1500)]
    missed = sum(estimate.interval(strict)[0] > 0 for estimate in found)
    assert missed <= 8  # of 1,500, 1.9 expected: the chance of nine or more is below 0.001
    surprising = sum(estimate.tail("at least", 0.0) <= 0.005 for estimate in found)
    assert surprising <= 18  # 7.5 expected
    for estimate in found[:20]:
        assert (estimate.tail("at least", estimate.interval()[0])) == pytest.approx(0.025)
        assert (estimate.tail("at most", estimate.interval(0.9)[1])) == pytest.approx(0.05)


def test_a_p_value_without_spread_is_one_of_all_resamples_and_never_zero() -> None:
    estimate = Bootstrap({"a": np.full((3, 4, 1), 0.5)}, resamples=20).estimate(first, "a")
    assert [estimate.tail("at least", bound) for bound in (0.25, 0.5, 0.75)] == pytest.approx([1 / 21, 1, 1])
    assert [estimate.tail("at most", bound) for bound in (0.25, 0.5, 0.75)] == pytest.approx([1, 1, 1 / 21])


def _coverage(draw: Callable[[np.random.Generator, int], np.ndarray], runs: int, repeats: int = 400) -> float:
    """How often the interval of a difference holds the truth, 0.05."""
    rng, hits = np.random.default_rng(0), 0
    for repeat in range(repeats):
        scenes = rng.normal(0, 0.1, (1, 60, 1))
        pair = {"a": 0.7 + scenes + draw(rng, runs), "b": 0.65 + scenes + draw(rng, runs)}
        low, high = Bootstrap(pair, resamples=300, seed=repeat).estimate(difference, "a", "b").interval()
        hits += low <= 0.05 <= high
    return hits / repeats


@pytest.mark.parametrize("runs", [3, 5])
def test_coverage_where_seeds_decide(runs: int) -> None:
    """At its level but for three percent: four hundred repeats have a standard error of one, and few runs are few."""
    coverage = _coverage(lambda rng, count: rng.normal(0, 0.02, (count, 1, 1)), runs)
    assert 0.92 <= coverage <= 0.98


@pytest.mark.parametrize("runs", [3, 5])
def test_coverage_where_scenes_add_noise(runs: int) -> None:
    """Never below: noise of a run on a scene is seen twice, among runs and among scenes, so intervals are too wide."""

    def draw(rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.normal(0, 0.02, (count, 1, 1)) + rng.normal(0, 0.1, (count, 60, 1))

    assert _coverage(draw, runs) >= 0.94


def test_a_plain_percentile_interval_would_be_far_too_narrow() -> None:
    """Why seed weights are stretched: the largest and the smallest of three runs miss the mean one time in four."""
    rng = np.random.default_rng(0)
    runs = rng.normal(size=(4000, 3))
    held = (runs.min(axis=1) < 0) & (runs.max(axis=1) > 0)
    assert held.mean() == pytest.approx(0.75, abs=0.02)


@pytest.mark.slow
def test_four_hundred_resamples_of_twelve_runs_are_quick() -> None:
    """640 scenes at nine slot counts: takes 20 ms; a hundred times that would be noticed."""
    rng = np.random.default_rng(0)
    scores = {variant: rng.normal(size=(3, 640, 9)) for variant in "abcd"}
    began = process_time()
    bootstrap = Bootstrap(scores, resamples=400)
    estimates = [bootstrap.estimate(lambda a, b, k=k: (a - b)[..., k], "a", "b") for k in range(9)]
    assert process_time() - began < 2
    assert len({estimate.value for estimate in estimates}) == 9


def test_a_ratio_without_a_value_has_no_interval() -> None:
    bootstrap = Bootstrap({"a": np.ones((3, 4, 1)), "b": np.zeros((3, 4, 1))}, resamples=20)
    for names in (("a", "b"), ("b", "b")):
        estimate = bootstrap.estimate(lambda left, right: ratio(left, right)[..., 0], *names)
        assert estimate.interval() == (-math.inf, math.inf)
        assert [estimate.tail(side, 0.0) for side in ("at least", "at most")] == [1, 1]


def test_intervals_of_means_and_of_differences() -> None:
    one = table({"a": [[1, 2], [2, 3]], "b": [[0, 1], [1, 2], [2, 3]]})
    means = intervals(one, "f_ari")
    assert list(means["variant"]) == ["a", "b"]
    assert list(means["value"]) == pytest.approx([2.0, 1.5])
    (difference,) = intervals(one, "f_ari", against="b").itertuples(index=False)
    assert (difference.variant, difference.slots, difference.value) == ("a", 5, pytest.approx(0.5))
    assert difference.low < 0.5 < difference.high
