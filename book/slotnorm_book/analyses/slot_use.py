"""How many slots stay unoccupied, as a text for the page."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def describe_unoccupied(scenes: pd.DataFrame, slots: int, names: Mapping[str, str]) -> str:
    """Write how many slots of each variant own no pixel of a scene: the median over runs of the mean over scenes.

    Args:
        scenes: rows of one test set, as in :attr:`slotnorm_book.experiments.results.Results.scenes`.
        slots: slot count of the evaluation.
        names: of the variants, for readers.

    Returns:
        Such as ``"0.2 of 7 (Baseline), 0.1 of 7 (Batch Norm)"``, or ``"not run"`` or ``"not evaluated with 7 slots"``.
    """
    if scenes.empty:
        return "not run"
    rows = scenes[scenes["slots"] == slots]
    if rows.empty:
        return f"not evaluated with {slots} slots"
    runs = slots - rows.groupby(["variant", "seed"], sort=False)["slots_in_use"].mean()
    medians = runs.groupby("variant", sort=False).median()
    return ", ".join(f"{free:.1f} of {slots} ({names.get(name, name)})" for name, free in medians.items())
