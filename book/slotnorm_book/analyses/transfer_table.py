"""Table 1 of the paper, with our numbers next to it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from slotnorm_book.claims.paper_values import TABLE_1, Spread
from slotnorm_book.experiments.recipes.recipe import PAPER_VARIANTS
from slotnorm_book.statistics.summaries import median_and_deviation, run_means

COLUMNS = {"f_ari": "F-ARI", "loss": "ℓ2", "ari": "ARI"}
"""Measure to the paper's name for it, in the order of Table 1."""


def transfer_table(scenes: Mapping[str, pd.DataFrame], labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Tabulate median ± largest deviation over the runs of every training and variant, and the paper's numbers.

    Args:
        scenes: :attr:`slotnorm_book.experiments.results.Results.scenes` of experiments on MOVi-D, by their names.
        labels: variant to its name in the table.

    Returns:
        A row per training and variant, with "not run" where there is no run.
    """
    rows = []
    for experiment, table in scenes.items():
        means = run_means(table) if len(table) else pd.DataFrame(columns=["variant"])
        training = experiment.removeprefix("movi-d-").replace("-", ", ")
        for variant in PAPER_VARIANTS:
            runs = means[means["variant"] == variant]
            row = {
                "variant": f"{(labels or {}).get(variant, variant)} ({training})",
                "runs": len(runs),
            }
            for measure, name in COLUMNS.items():
                ours = Spread(*median_and_deviation(runs[measure].to_numpy())) if len(runs) else "not run"
                row |= {f"{name}, ours": str(ours), f"{name}, paper": str(TABLE_1[experiment][variant][measure])}
            rows.append(row)
    return pd.DataFrame(rows)
