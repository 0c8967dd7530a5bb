"""The verdicts of a page in words, which hold whatever came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from slotnorm.verdicts.ruling import Ruling

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
        scenes: rows as of :attr:`slotnorm.results.Results.scenes`.
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
