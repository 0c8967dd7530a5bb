"""What the ledger is made of: measurements, criteria, claims and verdicts."""

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
        id: its name in the ledger: M for mechanism, R for result, B for what is beyond the paper.
        locus: where the paper makes it.
        kind: ``mechanism`` is provable or computable in seconds; ``result`` needs trained runs; ``extension`` is ours.
        statement: the claim in our words.
        criteria: all of them must hold.
    """

    id: str
    locus: str
    kind: Literal["mechanism", "result", "extension"]
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
