"""Tables and sentences about verdicts, for the pages of the book.

A narrow screen shows the rows of a table as cards (``ledger`` in book.css).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd

from slotnorm_book.claims.claim import Criterion, Measurement, Outcome, ResultClaim, Verdict
from slotnorm_book.claims.paper_values import REPORTED
from slotnorm_book.markup import MarkdownTable, escape_markdown
from slotnorm_book.statistics.found_objects import with_found_objects

COLUMNS = ("claim", "paper", "ours", "verdict")
MARKS: dict[Outcome, str] = {
    "reproduced": "✓",
    "contradicted": "✗",
    "inconclusive": "?",
    "not decidable": "⊘",
    "not run": "–",
}
"""Outcome to the sign before it."""
ANSWERS: dict[Outcome, str] = {"reproduced": "holds", "contradicted": "does not hold"}
"""Outcome to its name where the claim is a hypothesis of ours, which nobody has claimed."""
BREAK = "<br>"


def ledger_table(
    verdicts: Sequence[Verdict], beside: Mapping[str, Mapping[str, Verdict]] = MappingProxyType({})
) -> MarkdownTable:
    """Make a table of the paper's claims for :func:`slotnorm_book.notebook.show_table`, in MyST Markdown.

    Args:
        verdicts: one row each.
        beside: what is judged otherwise, such as ``"with spatial runs"``, to verdicts by claim; each row states the
            outcomes of its own.

    Returns:
        A table with :data:`COLUMNS`; without verdicts, one row that says so.
    """
    rows = [_row(verdict, beside) for verdict in verdicts]
    return MarkdownTable(rows or [("none", "", "", "")], columns=COLUMNS)


def _row(verdict: Verdict, beside: Mapping[str, Mapping[str, Verdict]]) -> tuple[str, str, str, str]:
    claim = verdict.claim
    reported = REPORTED.get(claim.id, "curves, no numbers" if claim.kind == "result" else "a proof or an argument")
    origin = f" ({claim.origin})" if isinstance(claim, ResultClaim) and claim.origin else ""
    return (
        f"{_anchor(verdict)} {claim.statement}{origin}{BREAK}shown in {_links(verdict)}",
        f"{claim.locus}: {reported}",
        _measured(verdict),
        BREAK.join(_outcome_lines(verdict, beside)),
    )


def _outcome_lines(verdict: Verdict, beside: Mapping[str, Mapping[str, Verdict]]) -> list[str]:
    lines = [_outcome(verdict, verdict.outcome)]
    if verdict.scale:
        lines.append(f"{escape_markdown(verdict.scale)} scale")
    if verdict.claim.kind == "mechanism":
        return [*lines, "computed"]
    if verdict.was_judged and verdict.outcome != "contradicted":  # the rate is that of calling it reproduced
        lines.append(f"false discovery rate {verdict.false_discovery_rate:.3f}")
    for how, others in beside.items():
        if verdict.claim.id in others and verdict.was_run:
            outcome = others[verdict.claim.id].outcome
            lines.append(f"{how}: {'the same' if outcome == verdict.outcome else f'**{outcome}**'}")
    return lines


def hypotheses_table(verdicts: Sequence[Verdict]) -> MarkdownTable:
    """Make a table of our hypotheses and their answers for :func:`slotnorm_book.notebook.show_table`."""
    rows = []
    for verdict in verdicts:
        lines = [_outcome(verdict, ANSWERS.get(verdict.outcome, verdict.outcome))]
        if verdict.scale:
            lines.append(f"{escape_markdown(verdict.scale)} scale")
        if verdict.was_judged and verdict.outcome != "contradicted":
            lines.append(f"false discovery rate {verdict.false_discovery_rate:.3f}")
        statement = f"{_anchor(verdict)} {verdict.claim.statement}{BREAK}shown in {_links(verdict)}"
        locus = verdict.claim.locus.removeprefix("after ")
        rows.append((statement, locus, _measured(verdict), BREAK.join(lines)))
    return MarkdownTable(rows, columns=["hypothesis", "paper", "ours", "answer"])


def _anchor(verdict: Verdict) -> str:
    return f'<span id="{verdict.claim.id}"></span>**{verdict.claim.id}**'


def _links(verdict: Verdict) -> str:
    return ", ".join(f"{{numref}}`{label}`" for label in verdict.claim.shown_in)


def _measured(verdict: Verdict) -> str:
    return BREAK.join(criterion_lines(verdict)) if verdict.was_run else escape_markdown(verdict.missing)


def _outcome(verdict: Verdict, text: str) -> str:
    css = verdict.outcome.replace(" ", "-")
    return f'<strong class="verdict {css}">{MARKS[verdict.outcome]} {text}</strong>'


def criterion_lines(verdict: Verdict) -> list[str]:
    """Return a line per criterion: whether it holds, its meaning, its measurement with the interval, and its bound."""
    lines = []
    for criterion in verdict.claim.criteria:
        reason = escape_markdown(verdict.undecidable.get(criterion.statistic, ""))
        measured = verdict.measurements.get(criterion.statistic)
        if measured is None:
            lines.append(f"{MARKS['not decidable']} {criterion.meaning}: not decidable, {reason}")
            continue
        bound = f"{criterion.side} {criterion.bound:g}" + (", unless refuted" if criterion.presumed else "")
        line = f"{MARKS[criterion.judge(measured)]} {criterion.meaning}: {format_measurement(measured)}, asked: {bound}"
        lines.append(f"{line}; elsewhere not decidable: {reason}" if reason else line)
    return lines


def format_measurement(measured: Measurement) -> str:
    """Write the estimate in bold with its interval; without one where nothing was estimated, or where it is unknown."""
    value = f"**{measured.value:.2g}**"
    if not np.isfinite([measured.low, measured.high]).all():
        return f"{value}, interval unknown"
    if not measured.low < measured.high:
        return value
    note = ", cut off at what is possible" if measured.cut_off else ""
    return f"{value} [{measured.low:.2g}, {measured.high:.2g}{note}]"


def distance_from_bound(criterion: Criterion, measured: Measurement) -> tuple[float, float, float]:
    """Return how far value, lower and upper end are from the bound; positive on the side that the paper claims."""
    sign = 1.0 if criterion.side == "at least" else -1.0
    ends = sorted(sign * (end - criterion.bound) for end in (measured.low, measured.high))
    return sign * (measured.value - criterion.bound), ends[0], ends[1]


OUTCOME_SENTENCES: dict[Outcome, str] = {
    "reproduced": "Holds here",
    "contradicted": "Does not hold here as it stands",
    "inconclusive": "Undecided by these runs",
    "not decidable": "Not decidable here, as models find too few objects, predict too few right, or are all spatial",
    "not run": "Not run",
}
"""Outcome to how a page names it, for the paper's claims and for our own hypotheses."""


def summarize_verdicts(verdicts: Sequence[Verdict]) -> str:
    """Write a Markdown list with one entry per outcome that occurs, each with the statements of its claims.

    Args:
        verdicts: on the claims of a page, one or more.

    Raises:
        ValueError: there is no verdict.
    """
    if not verdicts:
        raise ValueError("there must be at least one verdict to summarize")
    entries = [
        _entry(name, [verdict for verdict in verdicts if verdict.outcome == outcome])
        for outcome, name in OUTCOME_SENTENCES.items()
    ]
    text = "\n".join(entry for entry in entries if entry)
    if "smoke" in {scale for verdict in verdicts for scale in verdict.scale.split(", ")}:
        text += "\n\nAt `smoke` scale models have learned nothing, and none of this says anything about the paper."
    return text


def _entry(name: str, verdicts: Sequence[Verdict]) -> str:
    claims = " ".join(f"*{verdict.claim.id}*: {_sentence(verdict.claim.statement)}" for verdict in verdicts)
    return f"- **{name}.** {claims}" if verdicts else ""


def _sentence(statement: str) -> str:
    return statement if statement.endswith((".", "!", "?")) else f"{statement}."


def compare_slots(scenes: pd.DataFrame, test: str, few: int, many: int, names: Mapping[str, str]) -> str:
    """Write each variant's F-ARI and found objects at two slot counts: the median over runs of the mean over scenes.

    Args:
        scenes: rows as in :attr:`slotnorm_book.experiments.results.Results.scenes`.
        test: label of the test set.
        few: slots, such as those of the training.
        many: slots.
        names: of the variants, for readers.

    Returns:
        Such as ``"Baseline 0.71 → 0.56 (found 0.36 → 0.22)"``, one after the other, or ``"not run"`` or
        ``"not evaluated with 7 slots"``.
    """
    if scenes.empty:
        return "not run"
    rows = scenes[(scenes["test"] == test) & scenes["slots"].isin([few, many])]
    if missing := {few, many} - set(rows["slots"]):
        return f"not evaluated with {' and '.join(map(str, sorted(missing)))} slots"
    measures = ["f_ari", "found_objects"]
    runs = with_found_objects(rows).groupby(["variant", "seed", "slots"], sort=False)[measures].mean()
    medians = runs.groupby(["variant", "slots"], sort=False).median().unstack()
    parts = []
    for name, row in medians.iterrows():
        score, found = (f"{row[measure][few]:z.2f} → {row[measure][many]:z.2f}" for measure in measures)
        parts.append(f"{names.get(name, name)} {score} (found {found})")
    return ", ".join(parts)
