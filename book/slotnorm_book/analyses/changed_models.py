"""Evaluates trained models whose Slot Attention has been changed, on the first scenes of a test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from torch import nn

from slotnorm.attention import SlotAttention
from slotnorm_book.experiments.results import Results
from slotnorm_book.experiments.test_sets import TestSet, evaluate, first_scenes

Change = Callable[[SlotAttention], nn.Module]
"""Function of a trained module to what takes its place; the trained module must stay as it is."""


def evaluate_changed(
    results: Results,
    test: TestSet,
    changes: Mapping[Any, Change],
    column: str,
    *,
    scenes: int,
    slots: Sequence[int],
) -> pd.DataFrame:
    """Evaluate trained models once with each change, all on the same scenes from the same initial slots.

    Args:
        results: runs to evaluate; those without weights are left out.
        test: one of the recipe's test sets.
        changes: value of ``column`` to the change.
        column: of the result, which tells the changes apart.
        scenes: number of scenes, at most those of the test set.
        slots: slot counts.

    Returns:
        Rows like those of :attr:`slotnorm_book.experiments.results.Results.scenes`, and ``column``; empty where no run
        has weights.
    """
    runs = [run for run in results.runs if run.has_weights]
    if not runs:
        return pd.DataFrame()
    split, spec = first_scenes(test, scenes, slots)
    frames = []
    for run in runs:
        model: Any = run.load_model()
        trained = model.slot_attention
        for name, change in changes.items():
            model.slot_attention = change(trained)
            rows = evaluate(run.spec.task, model, split, spec, bar=False).scenes
            labels = {"variant": run.spec.variant, "seed": run.spec.seed, "test": test.label}
            frames.append(rows.assign(**(labels | {column: name})))
    return pd.concat(frames, ignore_index=True)
