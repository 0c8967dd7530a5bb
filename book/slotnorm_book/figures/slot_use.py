"""How many slots a segmentation uses, beside how many there are: the figure, and the text about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slotnorm_book.figures.score_curves import AXIS_LABELS, PANEL_WIDTH, draw_score_lines
from slotnorm_book.figures.style import PHONE_WIDTH, placeholder_figure

_HEIGHT = 2.7
_ALL_SLOTS: dict[str, Any] = {"color": "0.4", "lw": 0.8, "zorder": 0}


@final
@dataclass(frozen=True)
class Training:
    """Runs of one training, on the scenes that resemble those of the training.

    Args:
        scenes: rows of one test set, as in :attr:`slotnorm_book.experiments.results.Results.scenes`.
        slots: number of slots in training.
    """

    scenes: pd.DataFrame
    slots: int


def draw_slots_in_use(trainings: Mapping[str, Training]) -> Figure:
    """Draw the slots in use over the number of slots: a panel per training, a curve per variant.

    A thin diagonal is where every slot is in use, a dotted upright the number of slots in training.

    Args:
        trainings: title of a panel to what it shows; those without scenes stay empty and say so.
    """
    if not any(len(training.scenes) for training in trainings.values()):
        return placeholder_figure("not run")
    size = (max(PANEL_WIDTH * len(trainings), PHONE_WIDTH), _HEIGHT)
    fig, axes = plt.subplots(1, len(trainings), figsize=size, squeeze=False, sharex=True, sharey=True)
    for ax, (title, training) in zip(axes[0], trainings.items(), strict=True):
        ax.set_title(title, fontsize=11)
        ax.axvline(training.slots, color="0.6", ls=":", zorder=0)
        if training.scenes.empty:
            ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", color="0.3")
            continue
        draw_score_lines(ax, training.scenes, "slots", "slots_in_use")
        _draw_diagonal(ax, training.scenes["slots"])
    axes[0][0].set_ylabel(AXIS_LABELS["slots_in_use"])
    return fig


def _draw_diagonal(ax: Axes, slots: pd.Series) -> None:
    ends = [slots.min(), slots.max()]
    ax.plot(ends, ends, label="all slots", **_ALL_SLOTS)
    ax.annotate(
        "all slots",
        (sum(ends) / 2, sum(ends) / 2),
        xytext=(0, 3),
        textcoords="offset points",
        rotation=45,
        rotation_mode="anchor",
        transform_rotates_text=True,
        ha="center",
        va="bottom",
        fontsize=9,
        color=_ALL_SLOTS["color"],
    )


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
