"""From quantities to verdicts: the worst comparison decides, and comparisons are paid for.

A claim is reproduced only if every comparison is, and that needs no correction however many there are. One comparison
is enough to contradict it, so the end of an interval that can do so is Bonferroni's for the claim's comparisons.
Between claims the false discovery rate after Benjamini and Hochberg is told, and left to the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import stats

from slotnorm_book.claims.claim import Claim, Criterion, Measurement, Verdict
from slotnorm_book.claims.comparisons import Quantities, Quantity
from slotnorm_book.statistics.summaries import LEVEL


@dataclass(frozen=True)
class Ruling:
    """A claim and what came of it, or why nothing did.

    Args:
        claim: the claim.
        verdict: ``None`` where it was not run.
        scale: of the runs.
        lacking: which runs there are not.
        p_value: of the comparison that is least sure to hold.
        false_discovery_rate: the smallest at which this and all surer claims count as reproduced.
    """

    claim: Claim
    verdict: Verdict | None
    scale: str = ""
    lacking: str = ""
    p_value: float = 1.0
    false_discovery_rate: float = 1.0

    @property
    def outcome(self) -> str:
        """``reproduced``, ``contradicted``, ``inconclusive`` or ``not run``."""
        return self.verdict.outcome if self.verdict else "not run"


def rule(claim: Claim, quantities: Quantities, scale: str) -> Ruling:
    """Judge a claim by the quantities of its criteria.

    Raises:
        ValueError: quantities for other criteria than the claim's.
    """
    comparisons = sum(len(found) for found in quantities.values())
    criteria = {criterion.statistic: criterion for criterion in claim.criteria}
    if set(criteria) != set(quantities):
        raise ValueError(f"claim {claim.id} needs {sorted(criteria)}, got {sorted(quantities)}")
    measurements = {name: worst(criteria[name], found, comparisons) for name, found in quantities.items()}
    tails = [
        quantity.tail(criteria[name].side, criteria[name].bound)
        for name, found in quantities.items()
        for quantity in found
    ]
    return Ruling(claim, claim.judge(measurements), scale, p_value=max(tails))


def worst(criterion: Criterion, quantities: Sequence[Quantity], comparisons: int) -> Measurement:
    """The measurement of a criterion that must hold for each of several quantities.

    Args:
        criterion: what must hold.
        quantities: for each of them.
        comparisons: of the whole claim, for Bonferroni's end of the interval.
    """
    strict = 1 - (1 - LEVEL) / comparisons
    values = [quantity.value for quantity in quantities]
    plain = [quantity.interval(LEVEL) for quantity in quantities]
    wide = [quantity.interval(strict) for quantity in quantities]
    if criterion.side == "at least":
        return Measurement(min(values), min(low for low, _ in plain), min(high for _, high in wide))
    return Measurement(max(values), max(low for low, _ in wide), max(high for _, high in plain))


def with_false_discovery_rates(rulings: Sequence[Ruling]) -> list[Ruling]:
    """The same rulings, with the rate over all claims that were run."""
    p_values = [ruling.p_value for ruling in rulings if ruling.verdict]
    rates = iter(stats.false_discovery_control(p_values, method="bh") if p_values else [])
    return [
        replace(ruling, false_discovery_rate=float(next(rates))) if ruling.verdict else ruling for ruling in rulings
    ]
