"""Figure of the chapter *Paper versus code*: how much each detail changes F-ARI and found objects."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slotnorm_book.figures.style import PHONE_WIDTH, look_of, placeholder_figure


def draw_changes(pairs: pd.DataFrame, found: pd.DataFrame | None = None) -> Figure:
    """Draw F-ARI with a detail minus F-ARI without it, a line per detail and slot count, a marker per run.

    Args:
        pairs: rows of :func:`slotnorm_book.analyses.paper_versus_code.effect_at_inference` and
            :func:`slotnorm_book.analyses.paper_versus_code.effect_in_training`.
        found: the same of found objects, for a second panel.
    """
    if not len(pairs):
        return placeholder_figure("no run is recorded")
    panels = {"F-ARI": pairs} if found is None else {"F-ARI": pairs, "found objects": found}
    groups = [name for name, _ in pairs.groupby(["detail", "slots"], sort=False)]
    size = (PHONE_WIDTH * (1 + 0.5 * (len(panels) - 1)), 0.32 * len(groups) + 0.8)
    fig, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    for ax, (measure, rows) in zip(axes[0], panels.items(), strict=True):
        _draw_panel(ax, rows, groups)
        ax.set(xlabel=f"change of {measure}")
    axes[0, 0].set(ylim=(len(groups) - 0.4, -0.6))
    axes[0, 0].set_yticks(range(len(groups)), [f"{detail}, K = {slots}" for detail, slots in groups])
    return fig


def _draw_panel(ax: Axes, pairs: pd.DataFrame, groups: Sequence[tuple[str, int]]) -> None:
    for place, (detail, slots) in enumerate(groups):
        rows = pairs[(pairs["detail"] == detail) & (pairs["slots"] == slots)]
        variants = list(rows["variant"].unique())
        for order, variant in enumerate(variants):
            gains = (rows["changed"] - rows["plain"])[rows["variant"] == variant]
            heights = [place + 0.4 * ((order + 0.5) / len(variants) - 0.5)] * len(gains)
            look = look_of(variant)
            ax.plot(gains, heights, ls="", marker=look.marker, color=look.color, ms=4.5, alpha=0.8)
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
