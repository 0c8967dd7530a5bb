"""The forest plot of all claims: every criterion of the claims that were run, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from slotnorm_book.claims.claim import Verdict
from slotnorm_book.claims.tables import distance_from_bound
from slotnorm_book.figures.style import OKABE_ITO, PHONE_WIDTH, placeholder_figure

LOOKS = {
    "reproduced": (OKABE_ITO["blue"], "o", "holds"),
    "contradicted": (OKABE_ITO["vermillion"], "X", "does not hold"),
    "inconclusive": ("0.55", "s", "open"),
    "not decidable": (OKABE_ITO["purple"], "D", "not decidable"),
}
"""Outcome to color, marker and label; both colors and markers differ between outcomes."""
LINEAR, END = 0.05, 2.0
"""Distances below ``LINEAR`` are drawn to scale, larger ones by their logarithm; beyond ``END`` they are cut off."""
ROW_HEIGHT = 0.23


def draw_forest(rulings: Sequence[Verdict]) -> Figure:
    """Draw the distance of each criterion's measurement from its bound; the right-hand side is as claimed.

    A criterion that cannot be decided has no measurement and an open diamond on the bound.

    Args:
        rulings: judged claims; those without a verdict and mechanism claims are left out.
    """
    judged = [ruling for ruling in rulings if ruling.was_run and ruling.claim.kind == "result"]
    if not judged:
        return placeholder_figure("no claim has the runs that it needs")
    rows = sum(len(ruling.claim.criteria) for ruling in judged) + len(judged)
    fig, ax = plt.subplots(figsize=(PHONE_WIDTH, ROW_HEIGHT * rows + 1.2))
    place, labels = 0, {}
    for ruling in judged:
        for criterion in ruling.claim.criteria:
            labels[place] = f"{ruling.claim.id}  {criterion.statistic.replace('_', ' ')}"
            _draw(ax, place, ruling, criterion.statistic)
            place += 1
        place += 1
    ax.axvline(0, color="0.3", lw=0.8, zorder=0)
    ax.set_xscale("symlog", linthresh=LINEAR, linscale=1.2)
    ax.set(xlim=(-END, END), ylim=(place - 1.4, -0.6), xlabel="distance from the bound, right: as claimed")
    ax.set_xticks([-1, -0.2, -LINEAR, 0, LINEAR, 0.2, 1], ["-1", "-0.2", "-0.05", "0", "0.05", "0.2", "1"])
    ax.set_xticks([], minor=True)
    ax.set_yticks(list(labels), list(labels.values()), fontsize=9)
    ax.tick_params(axis="y", length=0)
    handles = [Line2D([], [], color=color, marker=marker, ls="", label=text) for color, marker, text in LOOKS.values()]
    fig.legend(handles=handles, loc="outside upper center", ncols=2)
    return fig


def _draw(ax: Axes, place: int, ruling: Verdict, statistic: str) -> None:
    (criterion,) = (one for one in ruling.claim.criteria if one.statistic == statistic)
    measured = ruling.measurements.get(statistic)
    if measured is None:
        color, marker, _ = LOOKS["not decidable"]
        ax.plot(0, place, color=color, marker=marker, ms=7, mew=1.4, mfc="white")
        return
    color, marker, _ = LOOKS[criterion.judge(measured)]
    value, low, high = np.clip(distance_from_bound(criterion, measured), -END, END)
    ax.plot([low, high], [place, place], color=color, lw=1.6, solid_capstyle="butt")
    ax.plot(value, place, color=color, marker=marker, ms=6, mec="white", mew=0.6)
