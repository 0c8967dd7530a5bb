"""Claims, the criteria that decide them, and the verdicts that measurements give."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Literal

import pandas as pd
import torch

from slotnorm_book.claims.comparisons import Quantities
from slotnorm_book.claims.evidence import Findings
from slotnorm_book.statistics.summaries import Side

Kind = Literal["mechanism", "result", "extension"]
Outcome = Literal["reproduced", "contradicted", "inconclusive", "not decidable", "not run"]
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "contradicted", "inconclusive", "not decidable", "not run")


@dataclass(frozen=True)
class Measurement:
    """A statistic with its interval.

    Args:
        value: the estimate.
        low: lower end of the interval; the estimate itself where nothing is estimated.
        high: upper end.
        cut_off: whether an end was beyond what is possible and has been moved there.
        decided_by: which comparison this is, where a criterion has several.

    Raises:
        ValueError: for a value outside its interval.
    """

    value: float
    low: float
    high: float
    cut_off: bool = False
    decided_by: str = ""

    def __post_init__(self) -> None:
        if self.value < self.low or self.value > self.high:
            raise ValueError(f"the value {self.value} lies outside its interval [{self.low}, {self.high}]")

    @classmethod
    def exact(cls, value: float) -> Measurement:
        """Return a computed number as a measurement whose interval is this one point."""
        return cls(value, value, value)


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One condition of a claim: a bound on a statistic.

    Args:
        statistic: key of the measurement.
        meaning: what the statistic is, for the reader.
        side: whether the bound is an upper or a lower one.
        bound: the threshold.
        reason: why this threshold.
        strict: whether a difference that is the bound itself, without any spread, is not enough.
        presumed: whether the criterion holds until the whole interval says otherwise. For a statement that nothing is
            there, such as "no consistent winner", which no interval could prove.
    """

    statistic: str
    meaning: str
    side: Side
    bound: float
    reason: str
    strict: bool = False
    presumed: bool = False

    def judge(self, measurement: Measurement) -> Outcome:
        """Return ``inconclusive`` where the interval contains the bound, or where a number is unknown.

        A presumed criterion is ``reproduced`` there, if the interval is known.

        Example:
            >>> criterion = Criterion(
            ...     statistic="gain", meaning="difference of two variants", side="at least", bound=0.0, reason="a sign"
            ... )
            >>> criterion.judge(Measurement(0.2, 0.1, 0.3)), criterion.judge(Measurement(0.2, -0.1, 0.5))
            ('reproduced', 'inconclusive')
        """
        sign = 1.0 if self.side == "at most" else -1.0
        worst, best = sorted((sign * measurement.low, sign * measurement.high), reverse=True)
        if worst < sign * self.bound or (worst == sign * self.bound and not (self.strict and best == worst)):
            return "reproduced"
        if best > sign * self.bound:
            return "contradicted"
        return "reproduced" if self.presumed and math.isfinite(worst) and math.isfinite(best) else "inconclusive"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement and the rule that decides it, which is fixed before anything is measured.

    Every claim is of one of three kinds: :class:`MechanismClaim`, :class:`ResultClaim` or :class:`Hypothesis`.

    Args:
        id: name in the ledger: a letter for the kind and a number.
        locus: place in the paper, such as ``"Fig. 1a-b"``.
        statement: the claim in our words.
        criteria: all of them must hold.
        shown_in: labels of the figures and tables of the book that show it.
    """

    kind: ClassVar[Kind]

    id: str
    locus: str
    statement: str
    criteria: tuple[Criterion, ...]
    shown_in: tuple[str, ...]

    def judge(
        self, measurements: Mapping[str, Measurement], undecidable: Mapping[str, str] = MappingProxyType({})
    ) -> Verdict:
        """Return the verdict that these measurements give.

        One failed criterion contradicts the claim, whatever the others are. Else one comparison that cannot be decided
        leaves the claim undecidable, however many runs there are.

        Args:
            measurements: at most one per criterion, by its statistic.
            undecidable: by statistic, why some or all of the criterion's comparisons cannot be decided.

        Raises:
            ValueError: a criterion has neither, or one of them belongs to no criterion.
        """
        expected = {criterion.statistic for criterion in self.criteria}
        if {*measurements, *undecidable} != expected:
            got = sorted({*measurements, *undecidable})
            raise ValueError(f"claim {self.id} needs the measurements {sorted(expected)}, got {got}")
        outcomes: list[Outcome] = [
            criterion.judge(measurements[criterion.statistic])
            for criterion in self.criteria
            if criterion.statistic in measurements
        ]
        if undecidable:
            outcomes.append("not decidable")
        worst_first: tuple[Outcome, ...] = ("contradicted", "not decidable", "inconclusive", "reproduced")
        outcome = next(one for one in worst_first if one in outcomes)
        return Verdict(self, outcome, dict(measurements), undecidable=dict(undecidable))


@dataclass(frozen=True, kw_only=True)
class MechanismClaim(Claim):
    """A claim of the paper that can be proved, or computed in seconds on random instances.

    Args:
        measure: function of a generator and a number of random instances, to one measurement per criterion.
    """

    kind: ClassVar[Kind] = "mechanism"

    measure: Callable[[torch.Generator, int], Mapping[str, Measurement]]


@dataclass(frozen=True, kw_only=True)
class ResultClaim(Claim):
    """A claim of the paper about trained models.

    Args:
        experiments: names of the experiments whose runs it needs.
        measure: function of the evidence to one or more quantities per criterion.
        origin: where a claim of the second edition comes from; empty where the first had it under the same name.
    """

    kind: ClassVar[Kind] = "result"

    experiments: tuple[str, ...]
    measure: Callable[[Findings], Quantities]
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class Hypothesis(Claim):
    """A claim of ours, about which the paper has no experiment.

    Args:
        measure: function of a table of scores to one or more quantities per criterion.
        experiment: whose models it is about; by them is decided whether there is an answer at all.
        test: label of the test set whose rows count.
        decided_by: ``"worst"`` where every comparison must hold, ``"best"`` where one is enough.
    """

    kind: ClassVar[Kind] = "extension"

    measure: Callable[[pd.DataFrame], Quantities]
    experiment: str
    test: str
    decided_by: Literal["worst", "best"] = "worst"


@dataclass(frozen=True)
class Verdict:
    """The outcome of a claim and the measurements behind it, or the reason why there are none.

    Args:
        claim: the claim.
        outcome: ``reproduced``, ``contradicted``, ``inconclusive``, ``not decidable`` or ``not run``.
        measurements: by statistic; empty where the claim was not run, without those that cannot be decided.
        undecidable: by statistic, why a comparison cannot be decided.
        scale: of the runs.
        measures: of the scores that were compared.
        missing: which evidence is missing, where the claim was not run.
        p_value: of the comparison that is least sure to hold.
        false_discovery_rate: the smallest rate at which this claim and all surer ones count as reproduced.
    """

    claim: Claim
    outcome: Outcome
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    scale: str = ""
    measures: frozenset[str] = frozenset()
    missing: str = ""
    undecidable: Mapping[str, str] = field(default_factory=dict)
    p_value: float = 1.0
    false_discovery_rate: float = 1.0

    @classmethod
    def not_run(cls, claim: Claim, missing: str, scale: str = "") -> Verdict:
        """Return the verdict on a claim whose evidence is missing."""
        return cls(claim, "not run", scale=scale, missing=missing)

    @property
    def was_run(self) -> bool:
        """Whether there are runs, decidable or not."""
        return self.outcome != "not run"

    @property
    def was_judged(self) -> bool:
        """Whether the measurements were judged: the claim was run and can be decided."""
        return self.outcome in ("reproduced", "contradicted", "inconclusive")

    @property
    def reason(self) -> str:
        """Why the claim was not run or cannot be decided, as text."""
        return self.missing or "; ".join(dict.fromkeys(self.undecidable.values()))

    @property
    def detail(self) -> str:
        """Every criterion with its measurement and its bound, as one line of text."""
        parts = []
        for criterion in self.claim.criteria:
            if criterion.statistic not in self.measurements:
                parts.append(f"{criterion.meaning}: not decidable, {self.undecidable[criterion.statistic]}")
                continue
            measurement = self.measurements[criterion.statistic]
            interval = f" [{measurement.low:.2g}, {measurement.high:.2g}]" if measurement.low < measurement.high else ""
            parts.append(
                f"{criterion.meaning}: {measurement.value:.2g}{interval}, {criterion.side} {criterion.bound:g}"
            )
        return "; ".join(parts)
