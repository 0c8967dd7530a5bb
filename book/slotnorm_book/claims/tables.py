"""Rulings as a table of the book: one row per claim, which a narrow screen shows as a card (``ledger`` in book.css)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from slotnorm_book.claims.claim import Criterion, Measurement, Verdict
from slotnorm_book.claims.paper_values import REPORTED
from slotnorm_book.claims.verdicts import Ruling

COLUMNS = ("claim", "paper", "ours", "verdict")
MARKS = {"reproduced": "✓", "contradicted": "✗", "inconclusive": "?", "not run": "–"}
"""Outcome to the sign that stands before it."""
BREAK = "<br>"


def ledger_table(rulings: Sequence[Ruling], beside: Mapping[str, Ruling] | None = None) -> pd.DataFrame:
    """The ledger for :func:`slotnorm_book.notebook.show_table`, in MyST Markdown.

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


SHOWN: dict[str, tuple[str, ...]] = {
    "M1": ("tab-vmf-prop1",),
    "M2": ("fig-vmf-recovery",),
    "M3": ("fig-vmf-bound",),
    "M4": ("tab-vmf-criteria",),
    "M5": ("fig-vmf-slot-weights",),
    "M6": ("tab-vmf-criteria",),
    "R1": ("fig-clevr-slots",),
    "R2": ("fig-clevr-slots",),
    "R3": ("fig-clevr-slots",),
    "R4": ("fig-clevr-slots",),
    "R5": ("fig-clevr-slots", "fig-clevr-excess"),
    "R6": ("fig-clevr-excess",),
    "R7": ("fig-movi-10-11",),
    "R8": ("fig-movi-10-11",),
    "R9": ("fig-movi-6-7", "fig-movi-10-11"),
    "R10": ("fig-movi-6-11",),
    "R11": ("tab-transfer",),
    "R12": ("tab-transfer",),
    "R13": ("fig-clevr-loss", "fig-clevr-excess", "fig-movi-10-11", "fig-movi-6-7", "fig-movi-6-11"),
    "R14": ("fig-properties-slots",),
    "R15": ("fig-properties-precision",),
    "R16": ("fig-ablations-slots", "fig-ablations-precision"),
    "R17": ("tab-clevr-spatial",),
}
"""Claim to labels, which are unique in the book."""


SAID = {
    "reproduced": "Holds here",
    "contradicted": "Does not hold here as it stands",
    "inconclusive": "Undecided by these runs",
    "not run": "Not run",
}
"""Outcome to how a page says it, of the paper's claims and of our own hypotheses."""


def answer(rulings: Sequence[Ruling]) -> str:
    """A Markdown list with an entry per outcome that occurs: how many claims came out so, and what they say.

    Args:
        rulings: on the claims of a page, one or more.

    Raises:
        ValueError: without rulings.
    """
    if not rulings:
        raise ValueError("a page without claims has no answer to give")
    entries = [_entry(said, [r for r in rulings if r.outcome == outcome]) for outcome, said in SAID.items()]
    text = "\n".join(entry for entry in entries if entry)
    if "smoke" in {scale for ruling in rulings for scale in ruling.scale.split(", ")}:
        text += "\n\nAt `smoke` scale models have learned nothing, and none of this says anything about the paper."
    return text


def _entry(said: str, rulings: Sequence[Ruling]) -> str:
    claims = " ".join(f"*{ruling.claim.id}*: {_sentence(ruling.claim.statement)}" for ruling in rulings)
    return f"- **{said}.** {claims}" if rulings else ""


def _sentence(statement: str) -> str:
    return statement if statement.endswith((".", "!", "?")) else f"{statement}."


def more_slots(scenes: pd.DataFrame, test: str, few: int, many: int, names: Mapping[str, str]) -> str:
    """What more slots do to each variant: median over runs of the mean F-ARI over scenes, at two slot counts.

    Args:
        scenes: rows as of :attr:`slotnorm_book.experiments.results.Results.scenes`.
        test: label of the test set.
        few: slots, such as those of the training.
        many: slots.
        names: of the variants, for readers.

    Returns:
        Such as ``"Baseline 0.71 → 0.56, Weighted Sum 0.51 → 0.47"``, or ``"not run"`` or
        ``"not evaluated with 7 slots"``.
    """
    if scenes.empty:
        return "not run"
    rows = scenes[(scenes["test"] == test) & scenes["slots"].isin([few, many])]
    if lacking := {few, many} - set(rows["slots"]):
        return f"not evaluated with {' and '.join(map(str, sorted(lacking)))} slots"
    runs = rows.groupby(["variant", "seed", "slots"], sort=False)["f_ari"].mean()
    medians = runs.groupby(["variant", "slots"], sort=False).median().unstack()
    return ", ".join(f"{names.get(name, name)} {row[few]:.2f} → {row[many]:.2f}" for name, row in medians.iterrows())
