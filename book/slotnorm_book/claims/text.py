"""Sentences about verdicts and slot counts, for the pages of the book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from slotnorm_book.claims.claim import Outcome, Verdict

OUTCOME_SENTENCES: dict[Outcome, str] = {
    "reproduced": "Holds here",
    "contradicted": "Does not hold here as it stands",
    "inconclusive": "Undecided by these runs",
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


def compare_slot_counts(scenes: pd.DataFrame, test: str, few: int, many: int, names: Mapping[str, str]) -> str:
    """Write each variant's F-ARI at two slot counts: the median over runs of the mean over scenes.

    Args:
        scenes: rows as in :attr:`slotnorm_book.experiments.results.Results.scenes`.
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
    if missing := {few, many} - set(rows["slots"]):
        return f"not evaluated with {' and '.join(map(str, sorted(missing)))} slots"
    runs = rows.groupby(["variant", "seed", "slots"], sort=False)["f_ari"].mean()
    medians = runs.groupby(["variant", "slots"], sort=False).median().unstack()
    return ", ".join(f"{names.get(name, name)} {row[few]:.2f} → {row[many]:.2f}" for name, row in medians.iterrows())
