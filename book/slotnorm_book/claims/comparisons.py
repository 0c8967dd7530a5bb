"""A measure over slot or object counts for all variants, and whatever a claim asks of it, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from slotnorm_book.statistics.bootstrap import Bootstrap, Estimate, Statistic
from slotnorm_book.statistics.summaries import Side, change, rank_correlation, ratio
from slotnorm_book.variants import BASELINE, BATCH_NORM, LAYER_NORM, OTHERS, PROPOSED, WEIGHTED_SUM


class LackingError(LookupError):
    """Something that a claim needs has not been run."""


@runtime_checkable
class Quantity(Protocol):
    """A number with an interval, such as an estimate or a share."""

    @property
    def value(self) -> float:
        """The number."""
        ...

    def interval(self, level: float) -> tuple[float, float]:
        """At this level of confidence."""
        ...

    def tail(self, side: Side, bound: float) -> float:
        """One-sided p-value of the hypothesis that the bound does not hold."""
        ...


Quantities = dict[str, Sequence[Quantity]]
"""What a claim's criteria are about: by statistic, one quantity per comparison."""


@dataclass(frozen=True)
class Panel:
    """One measure over some settings.

    Args:
        bootstrap: the scores by variant.
        settings: all of them, in the order of the scores.
        chosen: places of those that are looked at.
    """

    bootstrap: Bootstrap
    settings: tuple[int, ...]
    chosen: tuple[int, ...]

    def only(self, first: int, last: int) -> Panel:
        """The settings from ``first`` to ``last``.

        Raises:
            LackingError: one of the two is not there.
        """
        places = tuple(place for place in self.chosen if first <= self.settings[place] <= last)
        present = [self.settings[place] for place in places]
        if not places or (present[0], present[-1]) != (first, last):
            raise LackingError(f"no evaluation from {first} to {last}")
        return replace(self, chosen=places)

    def estimate(self, statistic: Statistic, *variants: str) -> Estimate:
        """A statistic of these variants' means over the chosen settings.

        Raises:
            LackingError: a variant has no run.
        """
        places = list(self.chosen)
        for variant in variants:
            if variant not in self.bootstrap.variants:
                raise LackingError(f"no run of {variant}")
        return self.bootstrap.estimate(lambda *means: statistic(*[mean[..., places] for mean in means]), *variants)

    def lead(self, better: str, worse: str) -> Estimate:
        """Difference of two variants, mean over settings."""
        return self.estimate(lambda left, right: (left - right).mean(axis=-1), better, worse)

    def leads(self, better: str, worse: str) -> list[Estimate]:
        """Difference of two variants at each setting."""
        return [replace(self, chosen=(place,)).lead(better, worse) for place in self.chosen]

    def growth(self, variant: str) -> Estimate:
        """What a line through the settings gains from the first to the last."""
        return self.estimate(self._change, variant)

    def loss(self, variant: str) -> Estimate:
        """What a line through the settings loses from the first to the last."""
        return self.estimate(lambda mean: -self._change(mean), variant)

    def relative_loss(self, variant: str) -> Estimate:
        """The same as a share of the mean over settings."""
        return self.estimate(lambda mean: ratio(-self._change(mean), mean.mean(axis=-1)), variant)

    def trend(self, variant: str) -> Estimate:
        """Rank correlation of the measure with the setting."""
        return self.estimate(rank_correlation, variant)

    def extra_growth(self, more: str, less: str) -> Estimate:
        """How much more one variant gains than another, which loses as much more."""
        return self.estimate(lambda left, right: self._change(left - right), more, less)

    def _change(self, means: np.ndarray) -> np.ndarray:
        return change(means, [self.settings[place] for place in self.chosen])


def joined(panels: Sequence[Panel]) -> Panel:
    """Panels of one bootstrap as one, settings of the first panel first."""
    return replace(panels[0], chosen=tuple(place for panel in panels for place in panel.chosen))


def losses(panels: list[Panel]) -> Quantities:
    """What each variant loses from the first slot count to the last, and how much more the baseline does."""
    names = {"baseline": BASELINE, "layer_norm": LAYER_NORM, "weighted_sum": WEIGHTED_SUM, "batch_norm": BATCH_NORM}
    found: Quantities = {f"{name}_loss": [panel.loss(variant) for panel in panels] for name, variant in names.items()}
    return found | {"advantage": [panel.extra_growth(variant, BASELINE) for panel in panels for variant in PROPOSED]}


def mean_leads(panels: list[Panel]) -> Quantities:
    """Lead of each proposed variant over baseline and layer norm, mean over slot counts."""
    return {
        f"{variant}_gain": [panel.lead(variant, other) for panel in panels for other in OTHERS] for variant in PROPOSED
    }
