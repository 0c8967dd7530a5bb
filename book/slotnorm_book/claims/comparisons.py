"""Compares variants over slot counts or object counts: leads, losses and trends, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from slotnorm_book.statistics.bootstrap import Bootstrap, Estimate, Statistic
from slotnorm_book.statistics.summaries import Side, change, rank_correlation, ratio
from slotnorm_book.variants import BASELINE, BATCH_NORM, LAYER_NORM, OTHERS, PROPOSED, WEIGHTED_SUM

NAMES = {"baseline": BASELINE, "layer_norm": LAYER_NORM, "weighted_sum": WEIGHTED_SUM, "batch_norm": BATCH_NORM}
"""Name of a variant in statistics, such as ``baseline_loss``, to the variant."""


class MissingEvidenceError(LookupError):
    """A run or an evaluation that a claim needs does not exist."""


@runtime_checkable
class Quantity(Protocol):
    """A number with an interval, such as an estimate or a share."""

    @property
    def value(self) -> float:
        """The number."""
        ...

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval at this level of confidence."""
        ...

    def tail(self, side: Side, bound: float) -> float:
        """Return the one-sided p-value of the hypothesis that the bound does not hold."""
        ...


Quantities = Mapping[str, Sequence[Quantity]]
"""Statistic to its quantities, one per comparison."""


@dataclass(frozen=True)
class Panel:
    """Scores of all variants over slot or object counts: what one panel of a figure shows.

    Args:
        bootstrap: the scores by variant.
        settings: slot or object counts, in the order of the scores.
        chosen: indices of the settings that statistics are about.
    """

    bootstrap: Bootstrap
    settings: tuple[int, ...]
    chosen: tuple[int, ...]

    def restrict(self, first: int, last: int) -> Panel:
        """Return the panel with only the settings from ``first`` to ``last``, both included.

        Raises:
            MissingEvidenceError: ``first`` or ``last`` has not been evaluated.
        """
        places = tuple(place for place in self.chosen if first <= self.settings[place] <= last)
        present = [self.settings[place] for place in places]
        if not places or (present[0], present[-1]) != (first, last):
            raise MissingEvidenceError(f"no evaluation from {first} to {last}")
        return replace(self, chosen=places)

    def estimate(self, statistic: Statistic, *variants: str) -> Estimate:
        """Estimate a statistic of these variants' means at the chosen settings.

        Raises:
            MissingEvidenceError: a variant has no run.
        """
        places = list(self.chosen)
        for variant in variants:
            if variant not in self.bootstrap.variants:
                raise MissingEvidenceError(f"no run of {variant}")
        return self.bootstrap.estimate(lambda *means: statistic(*[mean[..., places] for mean in means]), *variants)

    def lead(self, better: str, worse: str) -> Estimate:
        """Estimate the difference of two variants, averaged over settings."""
        return self.estimate(lambda left, right: (left - right).mean(axis=-1), better, worse)

    def leads(self, better: str, worse: str) -> list[Estimate]:
        """Estimate the difference of two variants at each setting."""
        return [replace(self, chosen=(place,)).lead(better, worse) for place in self.chosen]

    def growth(self, variant: str) -> Estimate:
        """Estimate how much a line fitted over the settings rises from the first to the last."""
        return self.estimate(self._change, variant)

    def loss(self, variant: str) -> Estimate:
        """Estimate how much a line fitted over the settings falls from the first to the last."""
        return self.estimate(lambda mean: -self._change(mean), variant)

    def relative_loss(self, variant: str) -> Estimate:
        """Estimate :meth:`loss` as a share of the mean over settings."""
        return self.estimate(lambda mean: ratio(-self._change(mean), mean.mean(axis=-1)), variant)

    def trend(self, variant: str) -> Estimate:
        """Estimate the rank correlation of the score with the setting."""
        return self.estimate(rank_correlation, variant)

    def extra_growth(self, more: str, less: str) -> Estimate:
        """Estimate how much more one variant gains than another; where both lose, how much less it loses."""
        return self.estimate(lambda left, right: self._change(left - right), more, less)

    def _change(self, means: np.ndarray) -> np.ndarray:
        return change(means, [self.settings[place] for place in self.chosen])


def join_panels(panels: Sequence[Panel]) -> Panel:
    """Return panels that share a bootstrap as one, with the settings of the first panel first."""
    return replace(panels[0], chosen=tuple(place for panel in panels for place in panel.chosen))


def estimate_losses(panels: Sequence[Panel]) -> dict[str, list[Estimate]]:
    """Estimate each variant's loss from the first slot count to the last, on each panel, by ``…_loss``."""
    return {f"{name}_loss": [panel.loss(variant) for panel in panels] for name, variant in NAMES.items()}


def estimate_advantage(panels: Sequence[Panel]) -> list[Estimate]:
    """Estimate how much more the baseline loses than each proposed variant, on each panel."""
    return [panel.extra_growth(variant, BASELINE) for panel in panels for variant in PROPOSED]


def estimate_mean_leads(panels: Sequence[Panel]) -> dict[str, list[Estimate]]:
    """Estimate each proposed variant's lead over baseline and layer norm, averaged over slot counts, by ``…_gain``."""
    return {
        f"{variant}_gain": [panel.lead(variant, other) for panel in panels for other in OTHERS] for variant in PROPOSED
    }
