"""Asks of every result claim how many runs would decide it, and whether the paper's own numbers pass its rule.

The spread of runs is that of the records. Runs that lack the control are used here too: how far runs scatter can be
seen before it is known whether they find objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from slotnorm_book.claims.claim import Criterion, ResultClaim
from slotnorm_book.claims.comparisons import (
    Comparison,
    MissingEvidenceError,
    Quantities,
    Quantity,
    UndecidableError,
)
from slotnorm_book.claims.evidence import Evidence, Findings
from slotnorm_book.claims.ledger import RESULT_CLAIMS
from slotnorm_book.claims.paper_passes import draw_evidence, would_paper_pass
from slotnorm_book.statistics.power import MOST_RUNS, runs_needed, share_runs_needed
from slotnorm_book.statistics.summaries import Share

RESAMPLES = 200
NO_SPREAD = "unknown: fewer than two runs of a variant that are not spatial"


@dataclass(frozen=True)
class Need:
    """What the comparison of a claim that needs the most runs needs.

    Args:
        runs: of each variant; infinity above :data:`slotnorm_book.statistics.power.MOST_RUNS`, NaN where unknown.
        effect: distance from the bound that is to be seen; NaN where one run is enough.
        of: whose effect that is: the paper's, or the margin.
        comparison: which comparison it is.
    """

    runs: float
    effect: float
    of: str
    comparison: str

    def __str__(self) -> str:
        if np.isnan(self.runs):
            return NO_SPREAD
        return f"more than {MOST_RUNS}" if np.isinf(self.runs) else f"{self.runs:.0f}"


def find_need(claim: ResultClaim, findings: Findings) -> Need:
    """Return what a claim needs, by the comparison that needs the most.

    Raises:
        MissingEvidenceError, UndecidableError: there are no runs to take the spread from.
    """
    theirs = _paper_quantities(claim.id)
    counts_alone = theirs is not None and all(isinstance(one, Share) for found in theirs.values() for one in found)
    quantities = theirs if theirs is not None and counts_alone else claim.measure(findings)
    needs = [
        _need(criterion, quantity, theirs[criterion.statistic][place] if theirs else None)
        for criterion in claim.criteria
        if not criterion.presumed
        for place, quantity in enumerate(quantities[criterion.statistic])
    ]
    unknown = [need for need in needs if np.isnan(need.runs)]
    return unknown[0] if unknown else max(needs, key=lambda need: need.runs)


def _need(criterion: Criterion, quantity: Quantity, theirs: Quantity | None) -> Need:
    sign = 1.0 if criterion.side == "at least" else -1.0
    if isinstance(quantity, Share):
        runs = share_runs_needed(criterion.side, criterion.bound, quantity.value, quantity.variants)
        effect = sign * (quantity.value - criterion.bound)
        return Need(runs, effect, "the paper", criterion.statistic.replace("_", " "))
    assert isinstance(quantity, Comparison)
    effect, of = (sign * (theirs.value - criterion.bound), "the paper") if theirs else (quantity.margin, "the margin")
    estimate = quantity.estimate
    if quantity.all_spatial:
        return Need(np.nan, effect, of, quantity.label)
    if not estimate.run_variances:  # of single runs, with intervals over scenes alone
        return Need(1.0, np.nan, "", quantity.label)
    if np.isnan(estimate.run_variances).any():
        return Need(np.nan, effect, of, quantity.label)
    return Need(runs_needed(effect, estimate.run_variances, estimate.scene_variance), effect, of, quantity.label)


@cache
def _paper_quantities(claim: str) -> Quantities | None:
    """Return the quantities of a claim at the paper's medians, where it prints them."""
    findings = Findings(draw_evidence(np.random.default_rng(0), exact=True), RESAMPLES)
    try:
        return RESULT_CLAIMS[claim].measure(findings)
    except (MissingEvidenceError, KeyError):
        return None


def needs_table(evidence: Mapping[str, Evidence]) -> pd.DataFrame:
    """Make a table with a row per result claim: would the paper's numbers pass, and how many runs are needed.

    Args:
        evidence: by experiment.

    Returns:
        A table with columns ``claim``, ``the paper's own numbers pass``, ``runs needed``, ``to see``, ``of`` and
        ``where``.
    """
    findings = Findings(evidence, RESAMPLES, controls=False)
    rows = []
    for name, claim in RESULT_CLAIMS.items():
        row = {"claim": name, "the paper's own numbers pass": would_paper_pass(name)}
        missing = [one for one in claim.experiments if one not in evidence or evidence[one].scenes.empty]
        try:
            if missing:
                raise MissingEvidenceError(f"no runs of {', '.join(missing)}")
            need = find_need(claim, findings)
            row |= {
                "runs needed": str(need),
                "to see": "" if np.isnan(need.effect) else f"{need.effect:.2g}",
                "of": need.of,
                "where": need.comparison,
            }
        except (MissingEvidenceError, UndecidableError) as error:
            row |= {"runs needed": "unknown", "to see": "", "of": "", "where": str(error)}
        rows.append(row)
    return pd.DataFrame(rows)
