"""Turns the quantities of a claim into its verdict.

A claim is reproduced only if every comparison is, and that needs no correction however many there are. One comparison
is enough to contradict it, so the end of an interval that can do so has Bonferroni's correction for the number of the
claim's comparisons. For the number of claims, verdicts state the false discovery rate after Benjamini and Hochberg.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from scipy import stats

from slotnorm_book.claims.claim import Claim, Criterion, Hypothesis, Measurement, Verdict
from slotnorm_book.claims.comparisons import MissingEvidenceError, Quantities, Quantity
from slotnorm_book.statistics.summaries import LEVEL


def judge_measured(claim: Claim, measure: Callable[[], Quantities], scale: str) -> Verdict:
    """Measure and judge a claim; where a run or an evaluation is missing, say which.

    Args:
        claim: the claim.
        measure: the claim's measure with its evidence.
        scale: of the runs.
    """
    try:
        quantities = measure()
    except MissingEvidenceError as error:
        return Verdict.not_run(claim, str(error), scale)
    return judge_quantities(claim, quantities, scale)


def judge_quantities(claim: Claim, quantities: Quantities, scale: str) -> Verdict:
    """Judge a claim by the quantities of its criteria.

    Raises:
        ValueError: the quantities are not those of the claim's criteria.
    """
    criteria = {criterion.statistic: criterion for criterion in claim.criteria}
    if set(criteria) != set(quantities):
        raise ValueError(f"claim {claim.id} needs {sorted(criteria)}, got {sorted(quantities)}")
    comparisons = sum(len(found) for found in quantities.values())
    tails = [
        quantity.tail(criteria[name].side, criteria[name].bound)
        for name, found in quantities.items()
        for quantity in found
    ]
    if isinstance(claim, Hypothesis) and claim.decided_by == "best":
        measurements = {name: take_best(found) for name, found in quantities.items()}
        p_value = min(1.0, min(tails) * comparisons)
    else:
        measurements = {name: take_worst(criteria[name], found, comparisons) for name, found in quantities.items()}
        p_value = max(tails)
    return replace(claim.judge(measurements), scale=scale, p_value=p_value)


def take_worst(criterion: Criterion, quantities: Sequence[Quantity], comparisons: int) -> Measurement:
    """Return the measurement of a criterion that must hold for each of several quantities.

    Args:
        criterion: what must hold.
        quantities: one per comparison of the criterion.
        comparisons: of the whole claim, for Bonferroni's end of the interval.
    """
    strict = 1 - (1 - LEVEL) / comparisons
    values = [quantity.value for quantity in quantities]
    plain = [quantity.interval(LEVEL) for quantity in quantities]
    wide = [quantity.interval(strict) for quantity in quantities]
    if criterion.side == "at least":
        return Measurement(min(values), min(low for low, _ in plain), min(high for _, high in wide))
    return Measurement(max(values), max(low for low, _ in wide), max(high for _, high in plain))


def take_best(leads: Sequence[Quantity]) -> Measurement:
    """Return the best of several leads; the lower end of its interval has Bonferroni's correction for the choice.

    The upper end is the largest of the plain ones, so that the best is negative only if every lead is.
    """
    strict = 1 - (1 - LEVEL) / len(leads)
    value, low = max(lead.value for lead in leads), max(lead.interval(strict)[0] for lead in leads)
    return Measurement(value, low, max(lead.interval(LEVEL)[1] for lead in leads))


def with_false_discovery_rates(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the same verdicts, with the false discovery rate over all claims that were run."""
    p_values = [verdict.p_value for verdict in verdicts if verdict.was_run]
    rates = iter(stats.false_discovery_control(p_values, method="bh") if p_values else [])
    return [
        replace(verdict, false_discovery_rate=float(next(rates))) if verdict.was_run else verdict
        for verdict in verdicts
    ]
