"""Intervals over seeds and scenes: a hierarchical bootstrap of tidy tables.

Runs and scenes are crossed: all runs are evaluated on the same scenes, from the same initial noise. The bootstrap
therefore draws scenes once for all runs and variants, which pairs the variants over scenes, and draws seeds for each
variant on its own. Seeds are not paired: equal seeds share initial parameters and the order of scenes, but training
amplifies any difference until they have nothing in common, and a run that is left out would break its pair.

With three to five seeds a plain bootstrap is too narrow: resampling R runs has a variance too small by (R - 1) / R, and
ignores how uncertain an estimate of their spread is. Deviations of resampled seed weights are therefore stretched
by sqrt(R / (R - 1)) t / z, with Student's and the normal quantile at 95 %, the degrees of freedom after Welch and
Satterthwaite. This is the expanded percentile interval of Hesterberg, *What Teachers Should Know About the Bootstrap*
(2015), Sec. 5. Few runs have few distinct resamples, whose extremes say nothing of levels above 95 %; there, and for
p-values, the distance of the value from the 95 % end is scaled by the quantiles of the same t. Intervals cover at about
their level when runs scatter normally; three runs still cannot show a rare failure, and a single run has no interval at
all. Noise of single runs on single scenes counts among runs and among scenes, which
makes intervals somewhat too wide. Frames of one MOVi clip are drawn as if they were scenes of their own.

Shape letters: R runs, S scenes, K settings (slot counts, or object counts), B resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from slotnorm_book.statistics.summaries import LEVEL, Side

Statistic = Callable[..., np.ndarray]
"""Function of the means over runs and scenes of one or several variants, of shape (…, K) each, to shape (…)."""

RESAMPLES = 2000


def samples(
    table: pd.DataFrame, value: str, setting: str | list[str] = "slots"
) -> dict[str, Float[np.ndarray, "runs scenes settings"]]:
    """Arrange a tidy table as one array per variant, over the same scenes; NaN where a scene is not in a setting.

    Args:
        table: one row per run, scene and setting, with ``variant``, ``seed`` and ``scene_id``.
        value: column to arrange.
        setting: column or columns that identify a setting; settings are in ascending order.

    Raises:
        ValueError: two rows for the same run, scene and setting.
    """
    scenes, settings = np.unique(table["scene_id"]), table.set_index(setting).index.unique().sort_values()
    arrays = {}
    for variant, rows in table.groupby("variant", sort=False):
        wide = rows.pivot(index=["seed", "scene_id"], columns=setting, values=value)
        seeds = np.unique(rows["seed"])
        whole = pd.MultiIndex.from_product([seeds, scenes], names=["seed", "scene_id"])
        wide = wide.reindex(index=whole, columns=settings)
        arrays[str(variant)] = wide.to_numpy(dtype=float).reshape(len(seeds), len(scenes), len(settings))
    return arrays


ALIKE = 1e-12
"""Scores that are nearer to each other differ by rounding."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its resampled values.

    Args:
        value: of the sample itself.
        replicates: of the resamples; NaN where the statistic has no value, all NaN for a single run.
        run_variances: what one run of each variant adds to the variance of the estimate; NaN for a single run, empty
            where the runs are not resampled.
        scene_variance: what the choice of scenes adds.
        degrees: of freedom of the spread over runs; infinite where the runs are not resampled.
    """

    value: float
    replicates: Float[np.ndarray, " resamples"]
    run_variances: tuple[float, ...] = ()
    scene_variance: float = 0.0
    degrees: float = np.inf

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the percentile interval, widened to contain the value; an unknown replicate counts on both sides.

        Over runs, the ends for any level but 95 % are those for 95 %, moved from or to the value as Student's t says.
        """
        if not np.isfinite(self.value):
            return -np.inf, np.inf
        if np.isinf(self.degrees):
            return self._percentiles(level)
        low, high = self._percentiles(LEVEL)
        scale = self._quantile(level) / self._quantile(LEVEL)
        return self.value - scale * (self.value - low), self.value + scale * (high - self.value)

    def tail(self, side: Side, bound: float) -> float:
        """Return the one-sided p-value of the hypothesis that the bound does not hold; unknown replicates support it.

        It is the share of resamples for which the bound does not hold. Over runs, it is that of Student's t whose 95 %
        end lies where that of the interval does. Where all resamples agree, as those of ranks often do, it is one over
        their number if they are beyond the bound, and 1 if they are not.
        """
        if np.isinf(self.degrees):
            held = self.replicates <= bound if side == "at most" else self.replicates >= bound
            return float((1 + (~held).sum()) / (1 + len(held)))
        low, high = self.interval()
        gap, room = (
            (self.value - bound, self.value - low) if side == "at least" else (bound - self.value, high - self.value)
        )
        if not np.isfinite(room):
            return 1.0
        if abs(room) < ALIKE:
            return 1.0 if gap < ALIKE else 1 / (1 + len(self.replicates))
        return float(stats.t.sf(gap / room * self._quantile(LEVEL), self.degrees))

    def _quantile(self, level: float) -> float:
        return float(stats.t.ppf((1 + level) / 2, self.degrees))

    def _percentiles(self, level: float) -> tuple[float, float]:
        tail = (1 - level) / 2
        unknown = np.isnan(self.replicates)
        low = np.quantile(np.where(unknown, -np.inf, self.replicates), tail, method="nearest")
        high = np.quantile(np.where(unknown, np.inf, self.replicates), 1 - tail, method="nearest")
        return min(float(low), self.value), max(float(high), self.value)


class Bootstrap:
    """Resamples of seeds and scenes, on which any statistic of the variants' means can be estimated.

    Args:
        arrays: scores by variant, see :func:`samples`; every variant has the same scenes.
        resamples: B.
        seed: of the resampling.
        fixed_runs: whether the statistic is about these very runs, so that only scenes are drawn.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], resamples: int = RESAMPLES, seed: int = 0, fixed_runs: bool = False
    ) -> None:
        rng = np.random.default_rng(seed)
        scenes = next(iter(arrays.values())).shape[1]
        weights = np.vstack([np.ones(scenes), _draws(rng, resamples, scenes)])
        self._runs = {name: _scene_means(values, weights) for name, values in arrays.items()}
        self._seeds = {name: _draws(rng, resamples, len(values)) / len(values) for name, values in arrays.items()}
        self._fixed = fixed_runs

    @property
    def variants(self) -> list[str]:
        """Return the variants that have scores."""
        return list(self._runs)

    def count_runs(self, variant: str) -> int:
        """Return how many runs a variant has."""
        return self._runs[variant].shape[1] if variant in self._runs else 0

    def estimate(self, statistic: Statistic, *variants: str) -> Estimate:
        """Compute a statistic of the means of these variants, on the sample and on every resample.

        A ratio may have no value on some resample, or on all; see :meth:`Estimate.interval`.
        """
        runs = [self._runs[name] for name in variants]
        plain = [values[0] for values in runs]
        value = float(statistic(*[values.mean(axis=0) for values in plain]))
        if self._fixed:
            return Estimate(value, statistic(*[values[1:].mean(axis=1) for values in runs]))
        over_scenes = float(np.var(statistic(*[values[1:].mean(axis=1) for values in runs])))
        if min(map(len, plain)) == 1:
            nothing = (np.nan,) * len(runs)
            return Estimate(value, np.full(len(runs[0]) - 1, np.nan), nothing, over_scenes)
        variances = _run_variances(statistic, plain)
        degrees = _degrees_of_freedom(variances, plain)
        weights = [_stretched(self._seeds[name], degrees) for name in variants]
        means = [np.einsum("br,brk->bk", weight, values[1:]) for weight, values in zip(weights, runs, strict=True)]
        single = tuple(float(variance) * len(values) for variance, values in zip(variances, plain, strict=True))
        return Estimate(value, statistic(*means), single, over_scenes, degrees)


def intervals(
    table: pd.DataFrame, value: str, setting: str = "slots", against: str | None = None, level: float = LEVEL
) -> pd.DataFrame:
    """Compute the mean of each variant at each setting with its interval, for figures.

    Args:
        table: see :func:`samples`; one test set, one number of iterations.
        value: column of the measure.
        setting: column of the settings.
        against: a variant; if given, the values are differences from it, paired over scenes.
        level: of the intervals, each on its own.

    Returns:
        One row per variant and setting: ``variant``, the setting, ``value``, ``low``, ``high``.
    """
    bootstrap = Bootstrap(samples(table, value, setting))
    rows = []
    for variant in bootstrap.variants:
        for place, at in enumerate(np.unique(table[setting])):
            if against is None:
                estimate = bootstrap.estimate(lambda mean, k=place: mean[..., k], variant)
            elif variant != against:
                estimate = bootstrap.estimate(lambda left, right, k=place: (left - right)[..., k], variant, against)
            else:
                continue
            rows.append((variant, at, estimate.value, *estimate.interval(level)))
    return pd.DataFrame(rows, columns=["variant", setting, "value", "low", "high"])


def _draws(rng: np.random.Generator, resamples: int, items: int) -> Float[np.ndarray, "resamples items"]:
    """Draw items with replacement and count how often each is drawn in each resample."""
    drawn = rng.integers(items, size=(resamples, items)) + items * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * items).reshape(resamples, items).astype(float)


def _scene_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return means (B, R, K) over scenes, weighted by (B, S), of scores (R, S, K) that may be NaN."""
    known = ~np.isnan(values)
    if known.all():
        return np.asarray(np.tensordot(weights, values, axes=(1, 1)) / values.shape[1])
    totals = np.tensordot(weights, np.where(known, values, 0.0), axes=(1, 1))
    counts = np.tensordot(weights, known.astype(float), axes=(1, 1))
    return np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)


def _stretched(weights: np.ndarray, degrees: float) -> np.ndarray:
    """Move seed weights (B, R) away from 1 / R by the factor in the module's text."""
    runs, tail = weights.shape[1], (1 + LEVEL) / 2
    stretch = stats.t.ppf(tail, degrees) / stats.norm.ppf(tail) * np.sqrt(runs / (runs - 1))
    return np.asarray(1 / runs + stretch * (weights - 1 / runs))


def _run_variances(statistic: Statistic, runs: Sequence[np.ndarray]) -> np.ndarray:
    """Return the jackknife variance of a statistic over each variant's runs (R, K)."""
    whole = [values.mean(axis=0) for values in runs]
    variances = np.zeros(len(runs))
    for place, values in enumerate(runs):
        without = (values.sum(axis=0) - values) / (len(values) - 1)
        moved = [float(statistic(*whole[:place], mean, *whole[place + 1 :])) for mean in without]
        variances[place] = (len(values) - 1) * np.var(moved)
    return variances


def _degrees_of_freedom(variances: np.ndarray, runs: Sequence[np.ndarray]) -> float:
    """Return Welch and Satterthwaite's degrees of freedom from the variances over each variant's runs (R, K)."""
    spare = np.array([len(values) - 1.0 for values in runs])
    total = variances.sum()
    return float(total**2 / (variances**2 / spare).sum()) if total > 0 else float(spare.sum())
