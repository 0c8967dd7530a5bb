"""How long steps took, run by run."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from slotnorm.plots import PHONE_WIDTH, VARIANTS
from slotnorm.plots.clevr import note
from slotnorm.plots.experiments import variant_legend


def relative_times(runs: pd.DataFrame) -> Figure:
    """Time of a step in every run over the median of its experiment's baseline runs, a line per experiment.

    Args:
        runs: from :func:`slotnorm.cost.recorded`; experiments without a run of the baseline are left out.
    """
    known = runs.dropna(subset=["steps_per_second"]) if len(runs) else runs
    groups = [rows for _, rows in known.groupby("experiment", sort=False)] if len(known) else []
    groups = [rows for rows in groups if (rows["variant"] == "weighted_mean").any()]
    if not groups:
        return note("no run is recorded")
    fig, ax = plt.subplots(figsize=(PHONE_WIDTH, 0.55 * len(groups) + 1.5))
    for place, rows in enumerate(groups):
        baseline = rows.loc[rows["variant"] == "weighted_mean", "steps_per_second"].median()
        variants = list(rows["variant"].unique())
        for order, variant in enumerate(variants):
            times = baseline / rows.loc[rows["variant"] == variant, "steps_per_second"]
            heights = [place + 0.5 * ((order + 0.5) / len(variants) - 0.5)] * len(times)
            look = VARIANTS[variant]
            ax.plot(times, heights, ls="", marker=look.marker, color=look.color, ms=5, alpha=0.8)
    ax.axvline(1, color="0.6", lw=0.8, zorder=0)
    ax.set(xlabel="time of a step, baseline = 1", ylim=(len(groups) - 0.4, -0.6))
    ax.set_yticks(range(len(groups)), [rows["experiment"].iloc[0] for rows in groups])
    variant_legend(fig, [name for rows in groups for name in rows["variant"]])
    return fig
