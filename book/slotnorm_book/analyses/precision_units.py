"""Average precision of properties in world units, and in the units in which the paper's code measures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from torch import Tensor

from slotnorm.metrics.detection import THRESHOLDS, average_precision
from slotnorm.object_properties import COORDINATE_SCALINGS
from slotnorm.tasks import PropertyPrediction
from slotnorm_book.experiments.results import Results
from slotnorm_book.experiments.test_sets import TestSet, evaluate, first_scenes

COLUMNS = ["variant", "seed", "threshold", "world", "code"]


@dataclass(frozen=True)
class InBothUnits(PropertyPrediction):
    """Property prediction that also measures average precision as the paper's code does, as ``code ap@1`` and so on.

    The code scales z by its own range and counts an offset as 6 units on every axis. A model that was trained with
    coordinates (p + 3) / 6 is measured in the same way if its offset in z counts 6 times the ratio of the two scalings.
    """

    def summarize(self, detections: tuple[Tensor, ...]) -> dict[str, float]:
        """Add the measures in the code's units to those of :meth:`slotnorm.tasks.PropertyPrediction.summarize`."""
        ours, theirs = (COORDINATE_SCALINGS[name].extent[2] for name in ("google", "authors"))
        predictions, targets = detections
        precision = average_precision(predictions, targets, THRESHOLDS, (6.0, 6.0, 6.0 * ours / theirs))
        named = zip(THRESHOLDS, precision, strict=True)
        return super().summarize(detections) | {f"code ap@{threshold:g}": float(value) for threshold, value in named}


def average_precision_in_both_units(results: Results, test: TestSet, *, scenes: int, slots: int) -> pd.DataFrame:
    """Measure average precision of the same predictions in world units and in the units of the paper's code.

    Args:
        results: of property prediction, trained with the coordinates of Locatello et al. (2020); runs without weights
            are left out.
        test: one of the recipe's test sets.
        scenes: number of its first scenes to measure on.
        slots: number of slots.

    Returns:
        A row per run and distance threshold: ``variant``, ``seed``, ``threshold``, ``world`` and ``code``.
    """
    split, spec = first_scenes(test, scenes, [slots])
    rows = []
    for run in results.runs:
        if not run.has_weights:
            continue
        sets = evaluate(InBothUnits(**vars(run.spec.task)), run.load_model(), split, spec, bar=False).sets
        found = dict(zip(sets["measure"], sets["value"], strict=True))
        for threshold in THRESHOLDS:
            world, code = (found[f"{units}ap@{threshold:g}"] for units in ("", "code "))
            rows.append(dict(zip(COLUMNS, (run.spec.variant, run.spec.seed, threshold, world, code), strict=True)))
    return pd.DataFrame(rows, columns=COLUMNS)


def precision_table(precisions: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Tabulate the medians over runs of both measures.

    Args:
        precisions: of :func:`average_precision_in_both_units`.
        labels: variant to its name in the table.

    Returns:
        A row per variant: its name, the number of its runs, and a column per threshold with the per cent in world units
        and in the code's units, such as ``"20.00 / 1.00"``.
    """
    names = {threshold: "∞" if threshold == float("inf") else f"{threshold:g}" for threshold in THRESHOLDS}
    rows = []
    for variant, runs in precisions.groupby("variant", sort=False):
        medians = 100 * runs.groupby("threshold")[["world", "code"]].median()
        cells = [f"{medians.loc[t, 'world']:.2f} / {medians.loc[t, 'code']:.2f}" for t in names]
        rows.append((labels.get(variant, variant), runs["seed"].nunique(), *cells))
    return pd.DataFrame(rows, columns=["variant", "runs", *names.values()])
