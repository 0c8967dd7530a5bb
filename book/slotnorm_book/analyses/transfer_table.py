"""Table 1 of the paper, with our numbers next to it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from slotnorm_book.claims.paper_values import TABLE_1, Spread
from slotnorm_book.experiments.recipes.movi import TRANSFER_SLOTS
from slotnorm_book.experiments.recipes.recipe import PAPER_VARIANTS
from slotnorm_book.markup import MarkdownTable, escape_markdown
from slotnorm_book.statistics.found_objects import with_found_objects
from slotnorm_book.statistics.summaries import median_and_deviation, run_means

COLUMNS = {"f_ari": "F-ARI", "loss": "ℓ2", "ari": "ARI"}
"""Measure to the paper's name for it, in the order of Table 1."""
CONTROLS = {"found_objects": "found objects", "mbo": "mBO"}
"""Measures that the paper does not report, by column of the table."""
BEST = {"f_ari": max, "loss": min, "ari": max}
"""Measure to what chooses the most advantageous of several medians."""


def mark_paper_value(experiment: str, variant: str, measure: str) -> str:
    """Write a number of Table 1 in Markdown, underlined and bold where the paper has it so.

    The most advantageous variant of each training is underlined, that of all trainings is bold.
    """
    choose, spread = BEST[measure], TABLE_1[experiment][variant][measure]
    section = choose(row[measure].median for row in TABLE_1[experiment].values())
    whole = choose(row[measure].median for rows in TABLE_1.values() for row in rows.values())
    text = f"<u>{spread}</u>" if spread.median == section else str(spread)
    return f"**{text}**" if spread.median == whole else text


def transfer_table(scenes: Mapping[str, pd.DataFrame], labels: Mapping[str, str] | None = None) -> MarkdownTable:
    """Tabulate median ± largest deviation over the runs of every training and variant, and the paper's numbers.

    Args:
        scenes: :attr:`slotnorm_book.experiments.results.Results.scenes` of experiments on MOVi-D, by their names.
        labels: variant to its name in the table.

    Returns:
        A row per training and variant, with "not run" where there is no run with 24 slots; a single run has no
        deviation. The paper's numbers are marked by :func:`mark_paper_value`. The last columns, found objects and mBO,
        are ours alone.
    """
    rows = []
    for experiment, evaluated in scenes.items():
        table = evaluated[evaluated["slots"] == TRANSFER_SLOTS] if len(evaluated) else evaluated
        measures = [*COLUMNS, *CONTROLS]
        means = (
            run_means(with_found_objects(table), measures)
            if len(table)
            else pd.DataFrame(columns=["variant", *measures])
        )
        training = experiment.removeprefix("movi-d-").replace("-", ", ")
        for variant in PAPER_VARIANTS:
            runs = means[means["variant"] == variant]
            row = {
                "variant": escape_markdown(f"{(labels or {}).get(variant, variant)} ({training})"),
                "runs": len(runs),
            }
            for measure, name in COLUMNS.items():
                paper = mark_paper_value(experiment, variant, measure)
                row |= {f"{name}, ours": _summarize(runs[measure]), f"{name}, paper": paper}
            for measure, name in CONTROLS.items():
                row[name] = _summarize(runs[measure].dropna(), "not evaluated" if len(runs) else "not run")
            rows.append(row)
    return MarkdownTable(rows)


def _summarize(runs: pd.Series, absent: str = "not run") -> str:
    """Write median ± largest deviation of the runs' means; of one run its mean, and without any that it is absent."""
    if len(runs) < 2:
        return f"{runs.iloc[0]:.3f}" if len(runs) else absent
    return str(Spread(*median_and_deviation(runs.to_numpy())))
