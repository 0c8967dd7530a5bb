"""Turns the quantities of a claim into its verdict.

A claim is reproduced only if every comparison is, and that needs no correction however many there are. One comparison
is enough to contradict it, so the end of an interval that can do so has Bonferroni's correction for the number of the
claim's comparisons. For the number of claims, verdicts state the false discovery rate after Benjamini and Hochberg.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from slotnorm_book.claims.claim import Claim, Criterion, Hypothesis, Measurement, Verdict
from slotnorm_book.claims.comparisons import (
    Comparison,
    MissingEvidenceError,
    Quantities,
    Quantity,
    UndecidableError,
)
from slotnorm_book.statistics.summaries import LEVEL


def judge_measured(
    claim: Claim, measure: Callable[[], Quantities], scale: str, why_not: Callable[[Quantity], str] = lambda _: ""
) -> Verdict:
    """Measure and judge a claim; where a run or an evaluation is missing, say which.

    Args:
        claim: the claim.
        measure: the claim's measure with its evidence.
        scale: of the runs.
        why_not: function of a quantity to the reason why it cannot be decided, or to an empty text.
    """
    try:
        quantities = measure()
        return judge_quantities(claim, quantities, scale, why_not)
    except MissingEvidenceError as error:
        return Verdict.not_run(claim, str(error), scale)
    except UndecidableError as error:
        reasons = {criterion.statistic: str(error) for criterion in claim.criteria}
        return replace(claim.judge({}, reasons), scale=scale)


def judge_quantities(
    claim: Claim, quantities: Quantities, scale: str, why_not: Callable[[Quantity], str] = lambda _: ""
) -> Verdict:
    """Judge a claim by the quantities of its criteria.

    Args:
        claim, scale, why_not: see :func:`judge_measured`.
        quantities: one or more per criterion.

    Raises:
        ValueError: the quantities are not those of the claim's criteria.
    """
    criteria = {criterion.statistic: criterion for criterion in claim.criteria}
    if set(criteria) != set(quantities):
        raise ValueError(f"claim {claim.id} needs {sorted(criteria)}, got {sorted(quantities)}")
    reasons = {name: [why_not(quantity) for quantity in found] for name, found in quantities.items()}
    undecidable = {name: "; ".join(dict.fromkeys(filter(None, found))) for name, found in reasons.items() if any(found)}
    decidable = {
        name: [quantity for quantity, reason in zip(found, reasons[name], strict=True) if not reason]
        for name, found in quantities.items()
    }
    if isinstance(claim, Hypothesis) and claim.decided_by == "best":
        return _judge_best(claim, decidable, undecidable, scale)
    comparisons = sum(map(len, decidable.values()))
    measurements = {name: take_worst(criteria[name], found, comparisons) for name, found in decidable.items() if found}
    tails = [
        quantity.tail(criteria[name].side, criteria[name].bound)
        for name, found in decidable.items()
        for quantity in found
        if not criteria[name].presumed
    ]
    verdict = claim.judge(measurements, undecidable)
    measures = frozenset(
        measure
        for found in quantities.values()
        for quantity in found
        if isinstance(quantity, Comparison)
        for measure in quantity.source.measures
    )
    p_value = max(tails, default=1.0) if verdict.was_judged else 1.0
    return replace(verdict, scale=scale, measures=measures, p_value=p_value)


def _judge_best(
    claim: Claim, decidable: Mapping[str, Sequence[Quantity]], undecidable: Mapping[str, str], scale: str
) -> Verdict:
    """Judge a claim for which one comparison is enough, on those that can be decided."""
    ((criterion, found),) = ((criterion, decidable[criterion.statistic]) for criterion in claim.criteria)
    if not found:
        return replace(claim.judge({}, undecidable), scale=scale)
    p_value = min(1.0, min(quantity.tail(criterion.side, criterion.bound) for quantity in found) * len(found))
    return replace(claim.judge({criterion.statistic: take_best(found)}), scale=scale, p_value=p_value)


def take_worst(criterion: Criterion, quantities: Sequence[Quantity], comparisons: int) -> Measurement:
    """Return the measurement of the comparison that decides a criterion, which must hold for each of several.

    A comparison that contradicts the criterion decides it, the surest if there are several; else the comparison that is
    least sure to hold does. Of its interval, the end that can contradict has Bonferroni's correction.

    Args:
        criterion: what must hold.
        quantities: one per comparison of the criterion.
        comparisons: of the whole claim, for Bonferroni's end of the interval.
    """
    measured = [_measure(criterion, quantity, comparisons) for quantity in quantities]
    sign = 1.0 if criterion.side == "at least" else -1.0

    def how_sure(one: Measurement) -> tuple[float, float]:
        """Return how far the interval reaches on the right side of the bound at its better, then at its worse end."""
        ends = sorted(np.nan_to_num(sign * (end - criterion.bound), nan=0.0) for end in (one.low, one.high))
        return float(ends[1]), float(ends[0])

    contradicting = [one for one in measured if criterion.judge(one) == "contradicted"]
    if contradicting:
        return min(contradicting, key=how_sure)
    return min(measured, key=lambda one: (how_sure(one)[1], sign * one.value))


def _measure(criterion: Criterion, quantity: Quantity, comparisons: int) -> Measurement:
    strict = 1 - (1 - LEVEL) / comparisons
    levels = (LEVEL, strict) if criterion.side == "at least" else (strict, LEVEL)
    low, high = quantity.interval(levels[0])[0], quantity.interval(levels[1])[1]
    if not isinstance(quantity, Comparison):
        return Measurement(quantity.value, low, high)
    cut_off = quantity.estimate.interval(levels[0])[0] < low or quantity.estimate.interval(levels[1])[1] > high
    return Measurement(quantity.value, low, high, cut_off, quantity.label)


def take_best(leads: Sequence[Quantity]) -> Measurement:
    """Return the best of several leads; the lower end of its interval has Bonferroni's correction for the choice.

    The upper end is the largest of the plain ones, so that the best is negative only if every lead is.
    """
    strict = 1 - (1 - LEVEL) / len(leads)
    value, low = max(lead.value for lead in leads), max(lead.interval(strict)[0] for lead in leads)
    return Measurement(value, low, max(lead.interval(LEVEL)[1] for lead in leads))


def with_false_discovery_rates(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the same verdicts, with the false discovery rate over all claims that were run and can be decided."""
    p_values = [verdict.p_value for verdict in verdicts if verdict.was_judged]
    rates = iter(stats.false_discovery_control(p_values, method="bh") if p_values else [])
    return [
        replace(verdict, false_discovery_rate=float(next(rates))) if verdict.was_judged else verdict
        for verdict in verdicts
    ]
