"""How many runs a comparison needs: power of the t-test that the intervals amount to, from the spread of runs.

The estimate of a comparison scatters with the runs of each variant and with the scenes. A run's variance is known from
runs that exist; with n runs of every variant the estimate has their sum over n, and what the scenes add. The interval
is Student's with Welch and Satterthwaite's degrees of freedom, so the power is that of the noncentral t distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from slotnorm_book.statistics.summaries import LEVEL, Share, Side

POWER = 0.8
MOST_RUNS = 100


def power_with_runs(
    effect: float, run_variances: Sequence[float], scene_variance: float, runs: int, level: float = LEVEL
) -> float:
    """Compute the probability that the interval lies on the right side of the bound.

    Args:
        effect: distance of the truth from the bound, on the right side.
        run_variances: what one run of each variant adds to the variance of the estimate.
        scene_variance: what the choice of scenes adds, however many runs there are.
        runs: of each variant.
        level: of the interval.

    Returns:
        The power; 0 for a single run, which has no interval, and where the spread is unknown.

    Example:
        >>> round(power_with_runs(0.02, [0.01**2, 0.01**2], 0.0, runs=5), 2)
        0.79
    """
    if runs < 2 or not np.isfinite([effect, scene_variance, *run_variances]).all() or effect <= 0:
        return 0.0
    shares = np.asarray(run_variances, dtype=float) / runs
    total = shares.sum() + scene_variance
    if total == 0:
        return 1.0
    degrees = total**2 / (shares**2).sum() * (runs - 1) if shares.any() else np.inf
    degrees = min(float(degrees), 1e4)
    return float(stats.nct.sf(stats.t.ppf((1 + level) / 2, degrees), degrees, effect / np.sqrt(total)))


def runs_needed(effect: float, run_variances: Sequence[float], scene_variance: float) -> float:
    """Return the least number of runs of each variant with :data:`POWER`; infinity above :data:`MOST_RUNS`.

    Args:
        effect, run_variances, scene_variance: see :func:`power_with_runs`.
    """
    enough = (n for n in range(2, MOST_RUNS + 1) if power_with_runs(effect, run_variances, scene_variance, n) >= POWER)
    return float(next(enough, np.inf))


def share_power(side: Side, bound: float, truth: float, runs: int) -> float:
    """Compute the probability that the exact interval of a share lies on the right side of the bound.

    Args:
        side, bound: of the criterion.
        truth: the share among all runs that there could be.
        runs: all runs together that are counted.
    """
    counts = np.arange(runs + 1)
    ends = [Share(int(count), runs).interval()[0 if side == "at least" else 1] for count in counts]
    holds = np.array(ends) >= bound if side == "at least" else np.array(ends) <= bound
    return float(stats.binom.pmf(counts, runs, truth)[holds].sum())


def share_runs_needed(side: Side, bound: float, truth: float, variants: int) -> float:
    """Return the least number of runs of each variant from which on :data:`POWER` is kept; infinity if there is none.

    Args:
        side, bound, truth: see :func:`share_power`.
        variants: whose runs are counted together.
    """
    reached = [n for n in range(1, MOST_RUNS // variants + 1) if share_power(side, bound, truth, n * variants) < POWER]
    last = max(reached, default=0)
    return last + 1.0 if last < MOST_RUNS // variants else np.inf
