"""Compares variants over slot counts or object counts: leads, losses and trends, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np

from slotnorm_book.statistics.bootstrap import Bootstrap, Estimate, Statistic
from slotnorm_book.statistics.summaries import LEVEL, Side, change, change_weights, rank_correlation, ratio
from slotnorm_book.variants import BASELINE, BATCH_NORM, LAYER_NORM, OTHERS, PROPOSED, WEIGHTED_SUM

NAMES = {"baseline": BASELINE, "layer_norm": LAYER_NORM, "weighted_sum": WEIGHTED_SUM, "batch_norm": BATCH_NORM}
"""Name of a variant in statistics, such as ``baseline_loss``, to the variant."""
ANYTHING = (-np.inf, np.inf)
F_ARI_MARGIN, PRECISION_MARGIN, LOSS_MARGIN, TREND_MARGIN = 0.02, 0.1, 0.01, 0.5
"""The smallest differences that count: of F-ARI and ARI, of shares of a precision, of shares of a loss, of a rank
correlation. :mod:`slotnorm_book.claims.criteria` gives the reasons for the first two; the others decide nothing."""


class MissingEvidenceError(LookupError):
    """A run or an evaluation that a claim needs does not exist."""


class UndecidableError(LookupError):
    """The runs exist, and none of them can be used: every one is spatial."""


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
class Source:
    """What the scores of a panel are.

    Args:
        experiments: whose runs; the panel's variants are named ``experiment/variant`` where there are several.
        test: label of the test set.
        measures: such as ``("f_ari",)``, or ``("ap@1", "ap@0.5")`` for precision at several distances.
        possible: the least and the largest value that a score can have.
        margin: the smallest difference of scores that counts.
    """

    experiments: tuple[str, ...] = ()
    test: str = ""
    measures: tuple[str, ...] = ()
    possible: tuple[float, float] = ANYTHING
    margin: float = np.nan

    def resolve(self, variant: str) -> tuple[str, str]:
        """Return experiment and variant of a panel's variant."""
        if len(self.experiments) == 1:
            return self.experiments[0], variant
        experiment, _, name = variant.partition("/")
        return experiment, name


@dataclass(frozen=True)
class Comparison:
    """An estimate together with what it compares, from which the judge tells whether it can be decided at all.

    Args:
        estimate: the statistic with its resamples.
        source: of the scores.
        variants: of the panel that were compared.
        rests_on: those of them that must find objects for the comparison to say anything.
        possible: the least and the largest value that the statistic can have.
        settings: such as ``"11 slots"``.
        runs: how many runs of each variant there are.
        all_spatial: variants of which every run is spatial and left out; without them there is no estimate.
        margin: the smallest difference that counts, for the question how many runs it takes to see it.
    """

    estimate: Estimate
    source: Source = Source()
    variants: tuple[str, ...] = ()
    rests_on: tuple[str, ...] = ()
    possible: tuple[float, float] = ANYTHING
    settings: str = ""
    runs: tuple[int, ...] = ()
    all_spatial: tuple[str, ...] = ()
    margin: float = np.nan

    @property
    def value(self) -> float:
        """The estimate itself."""
        return self.estimate.value

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the interval, cut off at what is possible; unknown ends stay infinite.

        The stretch for few runs can carry a resampled mean beyond, say, an F-ARI of 1.
        """
        low, high = self.estimate.interval(level)
        return (
            max(low, self.possible[0]) if np.isfinite(low) else low,
            min(high, self.possible[1]) if np.isfinite(high) else high,
        )

    def is_cut_off(self, level: float = LEVEL) -> bool:
        """Whether :meth:`interval` is shorter than that of the estimate."""
        return self.interval(level) != self.estimate.interval(level)

    def tail(self, side: Side, bound: float) -> float:
        """Return the one-sided p-value of the hypothesis that the bound does not hold."""
        return self.estimate.tail(side, bound)

    @property
    def label(self) -> str:
        """What is compared, for the reader: variants, test set and settings."""
        who = " / ".join(self.variants) if len(self.variants) <= 2 else f"{len(self.variants)} means"
        return ", ".join(part for part in (who, self.source.test, *self._distances, self.settings) if part)

    @property
    def _distances(self) -> list[str]:
        return [measure for measure in self.source.measures if measure.startswith("ap@")]


@dataclass(frozen=True)
class Panel:
    """Scores of all variants over slot or object counts: what one panel of a figure shows.

    Args:
        bootstrap: the scores by variant.
        settings: slot or object counts, in the order of the scores.
        chosen: indices of the settings that statistics are about.
        source: of the scores.
        unit: of the settings, such as ``"slots"``.
        all_spatial: variants that have runs, of which every one is spatial and left out.
    """

    bootstrap: Bootstrap
    settings: tuple[int, ...]
    chosen: tuple[int, ...]
    source: Source = Source()
    unit: str = "slots"
    all_spatial: frozenset[str] = field(default_factory=frozenset)

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

    def estimate(
        self,
        statistic: Statistic,
        *variants: str,
        rests_on: Sequence[str] | None = None,
        possible: tuple[float, float] = ANYTHING,
        margin: float | None = None,
    ) -> Comparison:
        """Estimate a statistic of these variants' means at the chosen settings.

        Args:
            statistic: function of one array of means per variant.
            variants: of the panel.
            rests_on: those that must find objects for the comparison to say anything; all of them by default.
            possible: the least and the largest value that the statistic can have.
            margin: the smallest difference that counts; that of the source by default.

        Raises:
            MissingEvidenceError: a variant has no run.
        """
        places = list(self.chosen)
        for variant in variants:
            if variant not in self.bootstrap.variants and variant not in self.all_spatial:
                raise MissingEvidenceError(f"no run of {variant}")
        found, left_out = Estimate(np.nan, np.full(1, np.nan)), tuple(v for v in variants if v in self.all_spatial)
        if not left_out:
            found = self.bootstrap.estimate(lambda *means: statistic(*[mean[..., places] for mean in means]), *variants)
        counts = list(dict.fromkeys(self.settings[place] for place in self.chosen))
        at = f"{counts[0]} {self.unit}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} {self.unit}"
        runs = tuple(self.bootstrap.count_runs(variant) for variant in variants)
        least = self.source.margin if margin is None else margin
        needed = variants if rests_on is None else tuple(rests_on)
        return Comparison(found, self.source, variants, needed, possible, at, runs, left_out, least)

    def lead(self, better: str, worse: str) -> Comparison:
        """Estimate the difference of two variants, averaged over settings."""
        return self.lead_of_groups((better,), (worse,))

    def lead_of_groups(self, better: Sequence[str], worse: Sequence[str]) -> Comparison:
        """Estimate the mean of some variants less that of others, averaged over settings."""

        def difference(*means: np.ndarray) -> np.ndarray:
            left, right = np.mean(means[: len(better)], axis=0), np.mean(means[len(better) :], axis=0)
            return np.asarray((left - right).mean(axis=-1))

        return self.estimate(difference, *better, *worse, possible=(-self._span, self._span))

    def leads(self, better: str, worse: str) -> list[Comparison]:
        """Estimate the difference of two variants at each setting."""
        return [replace(self, chosen=(place,)).lead(better, worse) for place in self.chosen]

    def levels(self, variant: str, rests_on: Sequence[str] | None = None) -> list[Comparison]:
        """Estimate the mean of a variant at each setting."""
        return [
            replace(self, chosen=(place,)).estimate(
                lambda mean: mean[..., 0], variant, rests_on=rests_on, possible=self.source.possible
            )
            for place in self.chosen
        ]

    def mean_level(self, variant: str) -> Comparison:
        """Estimate the mean of a variant over the settings."""
        return self.estimate(lambda mean: mean.mean(axis=-1), variant, possible=self.source.possible)

    def growth(self, variant: str) -> Comparison:
        """Estimate how much a line fitted over the settings rises from the first to the last."""
        return self.estimate(self._change, variant, possible=self._changes(1))

    def loss(self, variant: str) -> Comparison:
        """Estimate how much a line fitted over the settings falls from the first to the last."""
        return self.estimate(lambda mean: -self._change(mean), variant, possible=self._changes(1))

    def relative_loss(self, variant: str) -> Comparison:
        """Estimate :meth:`loss` as a share of the mean over settings, of scores that are not negative."""
        most = len(self.chosen) * float(np.abs(self._weights).max())
        return self.estimate(
            lambda mean: ratio(-self._change(mean), mean.mean(axis=-1)), variant, possible=(-most, most)
        )

    def trend(self, variant: str) -> Comparison:
        """Estimate the rank correlation of the score with the setting."""
        return self.estimate(rank_correlation, variant, possible=(-1.0, 1.0), margin=TREND_MARGIN)

    def extra_growth(self, more: str, less: str) -> Comparison:
        """Estimate how much more one variant gains than another; where both lose, how much less it loses."""
        return self.estimate(lambda left, right: self._change(left - right), more, less, possible=self._changes(2))

    def flatter(self, less: str, more: str) -> Comparison:
        """Estimate how much smaller the change over the settings is for one variant than for another, up or down."""
        return self.estimate(
            lambda first, second: np.abs(self._change(second)) - np.abs(self._change(first)),
            less,
            more,
            possible=self._changes(1),
        )

    @property
    def _chosen_settings(self) -> list[int]:
        return [self.settings[place] for place in self.chosen]

    @property
    def _span(self) -> float:
        return self.source.possible[1] - self.source.possible[0]

    @property
    def _weights(self) -> np.ndarray:
        return change_weights(self._chosen_settings)

    def _change(self, means: np.ndarray) -> np.ndarray:
        return change(means, self._chosen_settings)

    def _changes(self, variants: int) -> tuple[float, float]:
        """Return the least and the largest change of a line through possible scores, or through their differences."""
        most = variants * self._span * float(np.abs(self._weights).sum()) / 2
        return -most, most


def join_panels(panels: Sequence[Panel]) -> Panel:
    """Return panels that share a bootstrap as one, with the settings of the first panel first."""
    chosen = tuple(place for panel in panels for place in panel.chosen)
    measures = tuple(measure for panel in panels for measure in panel.source.measures)
    return replace(panels[0], chosen=chosen, source=replace(panels[0].source, measures=measures))


def estimate_losses(panels: Sequence[Panel]) -> dict[str, list[Comparison]]:
    """Estimate each variant's loss from the first slot count to the last, on each panel, by ``…_loss``."""
    return {f"{name}_loss": [panel.loss(variant) for panel in panels] for name, variant in NAMES.items()}


def estimate_advantage(panels: Sequence[Panel]) -> list[Comparison]:
    """Estimate how much more the baseline loses than each proposed variant, on each panel."""
    return [panel.extra_growth(variant, BASELINE) for panel in panels for variant in PROPOSED]


def estimate_mean_leads(panels: Sequence[Panel]) -> dict[str, list[Comparison]]:
    """Estimate each proposed variant's lead over baseline and layer norm, averaged over slot counts, by ``…_gain``."""
    return {
        f"{variant}_gain": [panel.lead(variant, other) for panel in panels for other in OTHERS] for variant in PROPOSED
    }
