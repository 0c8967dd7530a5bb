"""Power: known values, what it depends on, and trials that it must predict."""

import numpy as np
import pytest
from scipy import stats

from slotnorm_book.statistics.bootstrap import Bootstrap
from slotnorm_book.statistics.power import (
    MOST_RUNS,
    POWER,
    power_with_runs,
    runs_needed,
    share_power,
    share_runs_needed,
)


def test_two_groups_of_seventeen_see_one_standard_deviation() -> None:
    """A textbook value: d = 1, two-sided 5 %, power 0.8."""
    assert runs_needed(1.0, [1.0, 1.0], 0.0) == 17.0
    assert power_with_runs(1.0, [1.0, 1.0], 0.0, 17) == pytest.approx(0.807, abs=0.001)


def test_power_grows_with_runs_and_effect_and_falls_with_the_spread() -> None:
    base = power_with_runs(0.02, [1e-4, 1e-4], 1e-5, 5)
    assert power_with_runs(0.02, [1e-4, 1e-4], 1e-5, 6) > base
    assert power_with_runs(0.03, [1e-4, 1e-4], 1e-5, 5) > base
    assert power_with_runs(0.02, [2e-4, 1e-4], 1e-5, 5) < base
    assert power_with_runs(0.02, [1e-4, 1e-4], 1e-4, 5) < base


def test_no_number_of_runs_makes_up_for_few_scenes() -> None:
    assert runs_needed(0.02, [1e-4], 4e-4) == np.inf
    assert power_with_runs(0.02, [1e-4], 4e-4, MOST_RUNS) < POWER


@pytest.mark.parametrize(
    ("effect", "variances", "runs"), [(0.02, [1e-4], 1), (0.02, [np.nan], 5), (0.0, [1e-4], 5), (-0.1, [1e-4], 5)]
)
def test_what_cannot_be_seen_has_no_power(effect: float, variances: list[float], runs: int) -> None:
    assert power_with_runs(effect, variances, 0.0, runs) == 0


def test_runs_that_do_not_differ_decide_at_once() -> None:
    assert runs_needed(0.01, [0.0, 0.0], 0.0) == 2


def test_trials_come_out_as_predicted() -> None:
    rng, runs = np.random.default_rng(0), 6
    scores = rng.normal(0.02, 0.015, (4000, runs)) - rng.normal(0, 0.01, (4000, runs))
    seen = stats.ttest_1samp(scores, 0, axis=1, alternative="greater").pvalue <= 0.025
    assert seen.mean() == pytest.approx(power_with_runs(0.02, [0.015**2 + 0.01**2], 0.0, runs), abs=0.02)


def test_the_bootstrap_tells_the_variance_of_one_run_and_of_the_scenes() -> None:
    rng = np.random.default_rng(0)
    runs, scenes = rng.normal(0, 0.3, (200, 1, 1)), rng.normal(0, 1.0, (1, 400, 1))
    found = Bootstrap({"a": runs + scenes, "b": 0 * runs + scenes}, 500).estimate(
        lambda a, b: (a - 2 * b)[..., 0], "a", "b"
    )
    assert found.run_variances == pytest.approx((0.3**2, 0), rel=0.2, abs=1e-12)
    assert found.scene_variance == pytest.approx(1 / 400, rel=0.2)


def test_a_single_run_tells_nothing_of_the_spread() -> None:
    found = Bootstrap({"a": np.zeros((1, 4, 1))}, 10).estimate(lambda a: a[..., 0], "a")
    assert np.isnan(found.run_variances).all()


def test_power_of_a_share_is_that_of_exact_intervals() -> None:
    assert share_power("at most", 0.4, 0.0, 6) == 0
    assert share_power("at most", 0.4, 0.0, 8) == 1
    assert share_power("at least", 0.05, 0.4, 10) == pytest.approx(1 - stats.binom.cdf(2, 10, 0.4))
    needed = share_runs_needed("at least", 0.05, 0.4, variants=2)
    assert (
        share_power("at least", 0.05, 0.4, 2 * int(needed))
        >= POWER
        > share_power("at least", 0.05, 0.4, 2 * int(needed) - 2)
    )
    assert share_runs_needed("at least", 0.5, 0.4, variants=1) == np.inf
