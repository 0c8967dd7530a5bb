"""Average precision in world units and in those of the paper's code."""

import pandas as pd
import torch

from slotnorm.metrics.detection import THRESHOLDS
from slotnorm.object_properties import COORDINATES, property_targets
from slotnorm_book.analyses.precision_units import (
    COLUMNS,
    InBothUnits,
    average_precision_in_both_units,
    precision_table,
)
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import Results


def test_without_runs_the_table_is_empty():
    properties = Results(recipe("properties", "smoke"), (), ())
    found = average_precision_in_both_units(properties, properties.recipe.tests[-1], scenes=2, slots=3)
    assert precision_table(found, {}).empty


def test_an_error_in_z_counts_as_in_the_papers_code():
    """0.04 off in z in world units, within the least threshold; in the code's units 0.04 * 6 / 0.35 = 0.69."""
    one = {name: torch.tensor([[0, 1]]) for name in ("shape", "size", "material", "color", "visibility")}
    one |= {axis: torch.tensor([[0.0, 0.5]]) for axis in "xyz"}
    targets = property_targets(one)
    predictions = targets.clone()
    predictions[..., COORDINATES.start + 2] += 0.04 / 6
    found = InBothUnits().summarize((predictions, targets))
    assert [found[f"ap@{threshold:g}"] for threshold in THRESHOLDS] == [1.0] * 5
    assert [found[f"code ap@{threshold:g}"] for threshold in THRESHOLDS] == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_a_row_of_precisions_has_both_units_by_threshold():
    rows = [("weighted_sum", seed, threshold, 0.1 * (seed + 1), 0.01) for seed in (0, 1, 2) for threshold in THRESHOLDS]
    table = precision_table(pd.DataFrame(rows, columns=COLUMNS), {"weighted_sum": "WS"})
    assert list(table) == ["variant", "runs", "∞", "1", "0.5", "0.25", "0.125"]
    assert table.iloc[0].tolist() == ["WS", 3, *["20.00 / 1.00"] * 5]
