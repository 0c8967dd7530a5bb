"""Figure of the chapter *Paper versus code*: how much each detail changes F-ARI."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from slotnorm_book.figures.style import PHONE_WIDTH, look_of, placeholder_figure


def draw_changes(pairs: pd.DataFrame) -> Figure:
    """Draw F-ARI with a detail minus F-ARI without it, a line per detail and slot count, a marker per run.

    Args:
        pairs: rows of :func:`slotnorm_book.analyses.paper_versus_code.effect_at_inference` and
            :func:`slotnorm_book.analyses.paper_versus_code.effect_in_training`.
    """
    if not len(pairs):
        return placeholder_figure("no run is recorded")
    groups = list(pairs.groupby(["detail", "slots"], sort=False))
    fig, ax = plt.subplots(figsize=(PHONE_WIDTH, 0.32 * len(groups) + 0.8))
    for place, (_, rows) in enumerate(groups):
        variants = list(rows["variant"].unique())
        for order, variant in enumerate(variants):
            gains = (rows["changed"] - rows["plain"])[rows["variant"] == variant]
            heights = [place + 0.4 * ((order + 0.5) / len(variants) - 0.5)] * len(gains)
            look = look_of(variant)
            ax.plot(gains, heights, ls="", marker=look.marker, color=look.color, ms=4.5, alpha=0.8)
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    ax.set(xlabel="change of F-ARI", ylim=(len(groups) - 0.4, -0.6))
    ax.set_yticks(range(len(groups)), [f"{detail}, K = {slots}" for (detail, slots), _ in groups])
    return fig
