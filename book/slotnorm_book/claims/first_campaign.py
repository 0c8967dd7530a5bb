"""The claims' verdicts in the first campaign beside those of today, and what changed in between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from slotnorm_book.checkout import FIRST_VERDICTS, CheckoutError
from slotnorm_book.claims.claim import OUTCOMES, ResultClaim, Verdict
from slotnorm_book.claims.tables import MARKS
from slotnorm_book.markup import MarkdownTable, escape_markdown

COLUMNS = ("claim", "first campaign", "today", "what changed")
_COLUMNS_OF_FILE = ["claim", "first outcome", "change of the rule"]
_RUNS = {
    "clevr": "other recipes",
    "movi": "another backbone and other recipes; the first campaign's models found no objects",
    "properties": "other recipes",
    "ablations": "other recipes",
}
"""First part of an experiment's name to what happened to its runs since."""


def changes_table(verdicts: Sequence[Verdict], file: Path = FIRST_VERDICTS) -> MarkdownTable:
    """Tabulate the result claims that the first campaign had, with their verdicts then and today.

    Args:
        verdicts: of today; claims that the file does not name are left out.
        file: claims, their outcomes in the first campaign, and how their rules changed since.

    Returns:
        A row per claim, with the columns :data:`COLUMNS`; a verdict that changed is in bold.

    Raises:
        CheckoutError: the file is absent, lacks a column, or has an outcome that does not exist.
    """
    first, rows = _read(file), []
    for verdict in verdicts:
        if not isinstance(verdict.claim, ResultClaim) or verdict.claim.id not in first.index:
            continue
        then, rule = first.loc[verdict.claim.id]
        today = f"{MARKS[verdict.outcome]} {verdict.outcome}"
        kinds = dict.fromkeys(experiment.split("-")[0] for experiment in verdict.claim.experiments)
        changes = [*dict.fromkeys(_RUNS[kind] for kind in kinds), *([f"rule: {rule}"] if rule else [])]
        if verdict.outcome == "not decidable":
            changes.append("rule: a comparison needs models that find objects, or a least precision")
        rows.append(
            (
                f"**{verdict.claim.id}** {escape_markdown(verdict.claim.statement)}",
                f"{MARKS[then]} {then}",
                today if then == verdict.outcome else f"**{today}**",
                escape_markdown("; ".join(changes)),
            )
        )
    return MarkdownTable(rows, columns=COLUMNS)


def _read(file: Path) -> pd.DataFrame:
    try:
        first = pd.read_csv(file, keep_default_na=False).set_index("claim")[_COLUMNS_OF_FILE[1:]]
    except (OSError, ValueError, KeyError) as error:
        asked = f"a table with the columns {', '.join(_COLUMNS_OF_FILE)} is needed"
        raise CheckoutError(f"{file}: {asked} ({error})") from None
    if unknown := set(first["first outcome"]) - set(OUTCOMES):
        raise CheckoutError(f"{file}: an outcome is one of {', '.join(OUTCOMES)}, not {', '.join(sorted(unknown))}")
    return first
