"""Statistics of runs: slopes, ranks, shares, medians, effect sizes. Intervals are in
:mod:`slotnorm_book.statistics.bootstrap`.

Shape letters: R runs, S scenes, K settings (slot counts, or object counts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from jaxtyping import Float
from scipy import stats

Side = Literal["at most", "at least"]
LEVEL = 0.95
"""Confidence level of every interval."""


@dataclass(frozen=True)
class Share:
    """Share of runs with some property, with the exact interval of Clopper and Pearson.

    Args:
        count: runs with the property.
        total: all runs.
        variants: whose runs these are.
    """

    count: int
    total: int
    variants: int = 1

    @property
    def value(self) -> float:
        """Return the share."""
        return self.count / self.total

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the exact interval."""
        low, high = stats.binomtest(self.count, self.total).proportion_ci(level, method="exact")
        return float(low), float(high)

    def tail(self, side: Side, bound: float) -> float:
        """Return the one-sided p-value of the hypothesis that the bound does not hold."""
        alternative = "less" if side == "at most" else "greater"
        return float(stats.binomtest(self.count, self.total, bound, alternative=alternative).pvalue)


def change_weights(settings: Sequence[int | float]) -> Float[np.ndarray, " settings"]:
    """Return the weight of each value in :func:`change`; they add up to zero."""
    centered = np.asarray(settings, dtype=float) - np.mean(settings)
    return np.asarray(centered / (centered @ centered) * (settings[-1] - settings[0]))


def change(
    values: Float[np.ndarray, "*batch settings"], settings: Sequence[int | float]
) -> Float[np.ndarray, "*batch"]:
    """Return how much the least-squares line rises from the first setting to the last."""
    return np.asarray(values @ change_weights(settings))


def ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return ``part / whole``; NaN where the whole is not positive, as may happen in stretched resamples of runs."""
    parts, wholes = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(parts, wholes, out=np.full(wholes.shape, np.nan), where=wholes > 0))


def rank_correlation(values: Float[np.ndarray, "*batch settings"]) -> Float[np.ndarray, "*batch"]:
    """Return Spearman's correlation with the position along the last axis; zero where nothing varies."""
    ranks = stats.rankdata(values, axis=-1)
    places = np.arange(1, values.shape[-1] + 1)
    left, right = ranks - ranks.mean(axis=-1, keepdims=True), places - places.mean()
    scale = np.sqrt((left**2).sum(axis=-1) * (right**2).sum())
    return np.asarray(np.divide(left @ right, scale, out=np.zeros_like(scale), where=scale > 0))


def run_means(table: pd.DataFrame, values: Sequence[str] = ("f_ari", "ari", "loss")) -> pd.DataFrame:
    """Return means over scenes, one row per run and setting."""
    keys = ["variant", "seed", "test", "slots", "iterations"]
    return table.groupby(keys, sort=False, as_index=False)[list(values)].mean()


def median_and_deviation(values: Float[np.ndarray, " runs"]) -> tuple[float, float]:
    """Return the median over runs and the largest deviation from it, as in Table 1 of the paper."""
    median = float(np.median(values))
    return median, float(np.abs(np.asarray(values) - median).max())


def paired_effect(left: Float[np.ndarray, " scenes"], right: Float[np.ndarray, " scenes"]) -> float:
    """Return Cohen's d of the differences over the same scenes: their mean over their standard deviation."""
    differences = np.asarray(left) - np.asarray(right)
    return float(differences.mean() / differences.std(ddof=1))


def superiority(left: Float[np.ndarray, " runs"], right: Float[np.ndarray, " others"]) -> float:
    """Return the probability that a run of the first kind exceeds one of the second; ties count half (Mann-Whitney)."""
    return float(stats.mannwhitneyu(left, right).statistic / (len(left) * len(right)))
