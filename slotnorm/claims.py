"""The claims ledger: what the paper claims, how each claim is decided, and what came of it.

A claim carries its criteria, fixed here before anything is measured; a verdict follows from measurements alone and is
never typed in. The mechanism claims M1 to M6 are measured by :mod:`slotnorm.mechanisms`. A result claim needs trained
runs and is judged the same way, from measurements with an interval over seeds and scenes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["reproduced", "contradicted", "inconclusive"]


@dataclass(frozen=True)
class Measurement:
    """A statistic with its interval.

    Args:
        value: the estimate.
        low: lower end of the interval; the estimate itself where nothing is estimated.
        high: upper end.

    Raises:
        ValueError: for a value outside its interval.
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if self.value < self.low or self.value > self.high:
            raise ValueError(f"the value {self.value} lies outside its interval [{self.low}, {self.high}]")

    @classmethod
    def exact(cls, value: float) -> Measurement:
        """A computed number, which has no interval."""
        return cls(value, value, value)


@dataclass(frozen=True)
class Criterion:
    """One condition of a claim: a bound on a statistic.

    Args:
        statistic: key of the measurement.
        meaning: what it is, for the reader.
        side: whether the bound is an upper or a lower one.
        bound: the threshold.
        reason: why this threshold.
    """

    statistic: str
    meaning: str
    side: Literal["at most", "at least"]
    bound: float
    reason: str

    def judge(self, measurement: Measurement) -> Outcome:
        """``inconclusive`` where the interval contains the bound, or holds no number at all.

        Example:
            >>> criterion = Criterion("gain", "difference of two variants", "at least", 0.0, "the claim is a sign")
            >>> criterion.judge(Measurement(0.2, 0.1, 0.3)), criterion.judge(Measurement(0.2, -0.1, 0.5))
            ('reproduced', 'inconclusive')
        """
        sign = 1.0 if self.side == "at most" else -1.0
        worst, best = sorted((sign * measurement.low, sign * measurement.high), reverse=True)
        if worst <= sign * self.bound:
            return "reproduced"
        return "contradicted" if best > sign * self.bound else "inconclusive"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Args:
        id: its name in the ledger: M for mechanism, R for result.
        locus: where the paper makes it.
        kind: ``mechanism`` is provable or computable in seconds; ``result`` needs trained runs.
        statement: the claim in our words.
        criteria: all of them must hold.
    """

    id: str
    locus: str
    kind: Literal["mechanism", "result"]
    statement: str
    criteria: tuple[Criterion, ...]

    def judge(self, measurements: Mapping[str, Measurement]) -> Verdict:
        """The verdict that these measurements give.

        Args:
            measurements: one per criterion, by its statistic.

        Raises:
            ValueError: for a measurement too few or too many.
        """
        expected = {criterion.statistic for criterion in self.criteria}
        if set(measurements) != expected:
            raise ValueError(f"claim {self.id} needs the measurements {sorted(expected)}, got {sorted(measurements)}")
        outcomes = [criterion.judge(measurements[criterion.statistic]) for criterion in self.criteria]
        outcome: Outcome = "reproduced"
        if "contradicted" in outcomes:
            outcome = "contradicted"
        elif "inconclusive" in outcomes:
            outcome = "inconclusive"
        return Verdict(self, dict(measurements), outcome)


@dataclass(frozen=True)
class Verdict:
    """What came of a claim; made by :meth:`Claim.judge`.

    Args:
        claim: the claim.
        measurements: by statistic.
        outcome: ``reproduced``, ``contradicted`` or ``inconclusive``.
    """

    claim: Claim
    measurements: Mapping[str, Measurement]
    outcome: Outcome

    @property
    def detail(self) -> str:
        """Every criterion with what was measured and what was asked for."""
        parts = []
        for criterion in self.claim.criteria:
            measurement = self.measurements[criterion.statistic]
            interval = f" [{measurement.low:.2g}, {measurement.high:.2g}]" if measurement.low < measurement.high else ""
            parts.append(
                f"{criterion.meaning}: {measurement.value:.2g}{interval}, {criterion.side} {criterion.bound:g}"
            )
        return "; ".join(parts)


_ROUNDING = "exact but for rounding in double precision, which the sums over tokens amplify by some orders of magnitude"

CLAIMS: dict[str, Claim] = {
    claim.id: claim
    for claim in (
        Claim(
            "M1",
            "Prop. 1, App. C",
            "mechanism",
            "With weighted mean or layer norm, no function of an update code gives the column mean of the attention",
            (
                Criterion(
                    "weighted_mean_gap",
                    "gap between weighted-mean codes of one slot and of K copies",
                    "at most",
                    1e-9,
                    _ROUNDING,
                ),
                Criterion(
                    "layer_norm_gap",
                    "the same for layer norm",
                    "at most",
                    1e-4,
                    "equal but for the eps of Eq. 14, whose trace is about eps K^2 / 2 over the variance of the sums",
                ),
                Criterion(
                    "column_mean_gap", "difference of their column means", "at least", 0.49, "1 against 1/2 by design"
                ),
            ),
        ),
        Claim(
            "M2",
            "Prop. 2, App. D",
            "mechanism",
            "With weighted sum, a linear function of the update code is the column mean, for almost all parameters",
            (
                Criterion(
                    "recovery_error",
                    "largest error",
                    "at most",
                    1e-8,
                    "rounding in double precision, amplified by the ratio of the values' length to that of a",
                ),
                Criterion(
                    "recoverable", "share of parameters with a ≠ 0", "at least", 1.0, "the rest has measure zero"
                ),
            ),
        ),
        Claim(
            "M3",
            "Eq. 11",
            "mechanism",
            "With C = N an update code is bounded by the largest value, whatever the number of tokens",
            (
                Criterion(
                    "bound_ratio",
                    "ratio of the largest code entry to the largest value",
                    "at most",
                    1 + 1e-9,
                    _ROUNDING,
                ),
                Criterion(
                    "growth",
                    "exponent of the growth with N",
                    "at most",
                    0.1,
                    "a bounded quantity has exponent 0, one that grows with N has 1; the margin is for random inputs",
                ),
            ),
        ),
        Claim(
            "M4",
            "Lemmas 1-3",
            "mechanism",
            "LayerNorm's image spans an affine subspace of dimension D - 1, which almost never contains the origin",
            (
                Criterion("hull_error", "distance of outputs from the subspace", "at most", 1e-9, _ROUNDING),
                Criterion("rank_error", "deviation of the rank from D - 1", "at most", 0.0, "a rank is an integer"),
                Criterion(
                    "offset",
                    "least distance of the origin, over the length of β",
                    "at least",
                    1e-6,
                    "the ratio has a bounded density at zero: a thousand draws come this near once in a thousand times",
                ),
            ),
        ),
        Claim(
            "M5",
            "Sec. 3.1, Eq. 6",
            "mechanism",
            "Attention factors into a weight per slot, the analogue of π, and a data term",
            (
                Criterion("identity_error", "largest gap between the sides of Eq. 6", "at most", 1e-9, _ROUNDING),
                Criterion(
                    "correlation",
                    "correlation of the slot weight with the true π",
                    "at least",
                    0.9,
                    "an estimate from some hundred points per mixture explains more than 80 % of the variance",
                ),
            ),
        ),
        Claim(
            "M6",
            "Sec. 4.2",
            "mechanism",
            "Batch norm is one fixed affine map in inference; every variant is slot-permutation equivariant",
            (
                Criterion("affine_error", "deviation from one affine map", "at most", 1e-9, _ROUNDING),
                Criterion("equivariance_error", "deviation from equivariance", "at most", 1e-9, _ROUNDING),
            ),
        ),
    )
}
"""The ledger by id."""
