"""Rulings as a table of the book: one row per claim, which a narrow screen shows as a card (``ledger`` in book.css)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from slotnorm.claims import Criterion, Measurement, Verdict
from slotnorm.claims.paper_values import REPORTED
from slotnorm.claims.shown import SHOWN
from slotnorm.verdicts.ruling import Ruling

COLUMNS = ("claim", "paper", "ours", "verdict")
MARKS = {"reproduced": "✓", "contradicted": "✗", "inconclusive": "?", "not run": "–"}
"""Outcome to the sign that stands before it."""
BREAK = "<br>"


def ledger_table(rulings: Sequence[Ruling], beside: Mapping[str, Ruling] | None = None) -> pd.DataFrame:
    """The ledger for :func:`slotnorm.notebook.show_table`, in MyST Markdown.

    Args:
        rulings: one row each.
        beside: verdicts by claim that use every run, spatial ones included; told with each verdict.

    Returns:
        A table with :data:`COLUMNS`; without rulings, one row that says so.
    """
    rows = [_row(ruling, beside.get(ruling.claim.id) if beside else None) for ruling in rulings]
    return pd.DataFrame(rows or [("none", "", "", "")], columns=COLUMNS)


def _row(ruling: Ruling, other: Ruling | None) -> tuple[str, str, str, str]:
    claim = ruling.claim
    links = ", ".join(f"{{numref}}`{label}`" for label in SHOWN.get(claim.id, ()))
    reported = REPORTED.get(claim.id, "curves, no numbers" if claim.kind == "result" else "a proof or an argument")
    ours = BREAK.join(criteria(ruling.verdict)) if ruling.verdict else ruling.lacking
    return (
        f'<span id="{claim.id}"></span>**{claim.id}** {claim.statement}{BREAK}shown in {links}',
        f"{claim.locus}: {reported}",
        ours,
        BREAK.join(_verdict(ruling, other)),
    )


def _verdict(ruling: Ruling, other: Ruling | None) -> list[str]:
    outcome = ruling.outcome
    lines = [f'<strong class="verdict {outcome.replace(" ", "-")}">{MARKS[outcome]} {outcome}</strong>']
    if ruling.scale:
        lines.append(f"{ruling.scale} scale")
    if ruling.claim.kind == "mechanism":
        return [*lines, "computed"]
    if ruling.verdict:
        lines.append(f"false discovery rate {ruling.false_discovery_rate:.3f}")
    if other is not None and ruling.verdict:
        same = "the same" if other.outcome == outcome else f"**{other.outcome}**"
        lines.append(f"with spatial runs: {same}")
    return lines


def criteria(verdict: Verdict) -> list[str]:
    """A line per criterion: whether it holds, what it is, what was measured with its interval, what was asked for."""
    lines = []
    for criterion in verdict.claim.criteria:
        measured = verdict.measurements[criterion.statistic]
        asked = f"{criterion.side} {criterion.bound:g}"
        lines.append(f"{MARKS[criterion.judge(measured)]} {criterion.meaning}: {interval(measured)}, asked: {asked}")
    return lines


def interval(measured: Measurement) -> str:
    """The estimate in bold with its interval; none where nothing was estimated, or where one run leaves it open."""
    value = f"**{measured.value:.2g}**"
    if not np.isfinite([measured.low, measured.high]).all():
        return f"{value}, interval unknown"
    return f"{value} [{measured.low:.2g}, {measured.high:.2g}]" if measured.low < measured.high else value


def distance(criterion: Criterion, measured: Measurement) -> tuple[float, float, float]:
    """How far value, lower and upper end are on the side of the bound that the paper claims; negative beyond it."""
    sign = 1.0 if criterion.side == "at least" else -1.0
    ends = sorted(sign * (end - criterion.bound) for end in (measured.low, measured.high))
    return sign * (measured.value - criterion.bound), ends[0], ends[1]
