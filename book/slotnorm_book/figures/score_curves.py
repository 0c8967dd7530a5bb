"""Figures that all experiments share: training curves, and measures over slot and object counts as in the paper.

Every run is a faint line, the median over the runs of a variant a strong one, and their range a band. Whiskers are 95 %
bootstrap intervals of each variant's mean over seeds and scenes (:mod:`slotnorm_book.statistics.bootstrap`), computed
separately at each setting. The legend is the page's, :mod:`slotnorm_book.figures.legend`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from slotnorm_book.analyses.blind_floors import Floors, read_floors
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.figures.style import FLOOR_LINE, PHONE_WIDTH, look_of, placeholder_figure
from slotnorm_book.statistics.bootstrap import intervals
from slotnorm_book.statistics.found_objects import with_found_objects

PANEL_WIDTH, PANEL_HEIGHT = 2.9, 2.7
WHISKERS = 3
"""Number of settings of a panel at which intervals are drawn: the first, the last and one between."""
FEWEST_RUNS = 3
"""Smallest number of runs for an interval: over two runs, it is several times wider than the range of a measure."""
AXIS_LABELS = {
    "f_ari": "F-ARI",
    "ari": "ARI",
    "found_objects": "found objects",
    "loss": "loss",
    "slots_in_use": "slots in use",
    "objects": "objects",
    "slots": "slots",
    "iterations": "iterations",
}
"""Name of a column to the label of its axis."""


def draw_over_counts(
    scenes: pd.DataFrame,
    measures: Sequence[str],
    *,
    train_slots: int,
    object_slots: int | None = 11,
    spatial: pd.DataFrame | None = None,
    recipe: Recipe | None = None,
    ylim: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> Figure:
    """Draw measures over slot counts, a panel per test set, and over object counts; a row per measure (as in Fig. 1).

    Args:
        scenes: :attr:`slotnorm_book.experiments.results.Results.scenes`.
        measures: columns of ``scenes``.
        train_slots: number of slots in training, marked by a dotted line.
        object_slots: slot count of the panel over object counts, on the last test set; ``None`` for no such panel.
        spatial: rows of spatial runs (Sec. 5.1): they are drawn dotted and do not count in medians, ranges and
            intervals.
        recipe: its test sets' blind floors are drawn beneath F-ARI over slots, where ``book/floors.json`` has them.
        ylim: measure to the range of its axis.
    """
    aside = scenes.iloc[:0] if spatial is None else spatial
    both = pd.concat([scenes, aside]) if len(aside) else scenes
    if both.empty:
        return placeholder_figure("not run")
    tests = list(both["test"].unique())
    panels = len(tests) + (object_slots is not None)
    size = (max(PANEL_WIDTH * panels, PHONE_WIDTH), PANEL_HEIGHT * len(measures))
    fig, axes = plt.subplots(len(measures), panels, figsize=size, squeeze=False, sharey="row")
    floors = read_floors(recipe) if recipe else {}
    for row, measure in zip(axes, measures, strict=True):
        for ax, test in zip(row, tests, strict=False):
            ax.axvline(train_slots, color="0.6", ls=":", zorder=0)
            if measure == "f_ari":
                draw_floor(ax, floors, test, both["slots"])
            _draw_dotted(ax, aside[aside["test"] == test], "slots", measure)
            draw_score_lines(ax, scenes[scenes["test"] == test], "slots", measure)
            ax.set_title(test, fontsize=11)
        if object_slots is not None:
            shown = [rows[(rows["test"] == tests[-1]) & (rows["slots"] == object_slots)] for rows in (scenes, aside)]
            _draw_dotted(row[-1], shown[1], "objects", measure)
            draw_score_lines(row[-1], shown[0], "objects", measure)
            row[-1].set_title(f"{tests[-1]}, {object_slots} slots", fontsize=11)
        row[0].set_ylabel(AXIS_LABELS.get(measure, measure))
        if ylim and measure in ylim:
            row[0].set_ylim(*ylim[measure])
    return fig


def draw_floor(ax: Axes, floors: Floors, test: str, slots: pd.Series) -> None:
    """Draw the blind floor of a test set over slots as a thin gray line beneath the curves.

    Args:
        ax: axes of F-ARI over slots.
        floors: from :func:`slotnorm_book.analyses.blind_floors.read_floors`.
        test: label of the test set.
        slots: slot counts that the axes show; the line goes from the least to the most.
    """
    of = floors.get(test, {})
    shown = [count for count in sorted(of) if slots.min() <= count <= slots.max()]
    if shown:
        ax.plot(shown, [of[count] for count in shown], **FLOOR_LINE)


def draw_set_measures(sets: pd.DataFrame, measures: Mapping[str, str], *, train_slots: int, columns: int = 2) -> Figure:
    """Draw measures of a whole test set over slot counts, a panel each (as in Fig. 13).

    Args:
        sets: :attr:`slotnorm_book.experiments.results.Results.sets`.
        measures: name in the table to axis label.
        train_slots: number of slots in training, marked by a dotted line.
        columns: panels in a row.
    """
    if sets.empty:
        return placeholder_figure("not run")
    rows = -(-len(measures) // columns)
    size = (PHONE_WIDTH / 2 * columns, PANEL_HEIGHT * rows)
    fig, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax, (measure, label) in zip(axes.flat, measures.items(), strict=False):
        ax.axvline(train_slots, color="0.6", ls=":", zorder=0)
        draw_score_lines(ax, sets[sets["measure"] == measure], "slots", "value")
        ax.set(ylabel=label, ylim=(0, None))
    return fig


def draw_score_lines(ax: Axes, table: pd.DataFrame, x: str, y: str) -> None:
    """Draw ``y`` over ``x`` on axes: each run, and per variant the median of its runs, their range and intervals.

    Args:
        ax: axes to draw on.
        table: rows with columns ``variant`` and ``seed``; rows of a run with the same ``x`` are averaged. With a column
            ``scene_id``, intervals are over seeds and scenes, otherwise over seeds.
        x, y: names of the columns to draw.
    """
    runs = table.groupby(["variant", "seed", x], sort=False)[y].mean().reset_index()
    for variant in runs["variant"].unique():
        look = look_of(variant)
        by_run = runs[runs["variant"] == variant].pivot(index=x, columns="seed", values=y).sort_index()
        ax.plot(by_run.index, by_run, color=look.color, alpha=0.3, lw=0.8)
        ax.fill_between(by_run.index, by_run.min(axis=1), by_run.max(axis=1), color=look.color, alpha=0.12, lw=0)
        ax.plot(by_run.index, by_run.median(axis=1), color=look.color, marker=look.marker, ms=5)
    _draw_whiskers(ax, table, x, y)
    values = sorted(table[x].unique())
    ax.set(xlabel=AXIS_LABELS.get(x, x))
    if 0 < len(values) <= 10:
        ax.set_xticks(values[:: 2 if len(values) > 6 else 1])
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _draw_dotted(ax: Axes, table: pd.DataFrame, x: str, y: str) -> None:
    for (variant, _), rows in table.groupby(["variant", "seed"], sort=False):
        means = rows.groupby(x)[y].mean()
        ax.plot(means.index, means, color=look_of(variant).color, ls=":", lw=1.4)


def _draw_whiskers(ax: Axes, table: pd.DataFrame, x: str, y: str) -> None:
    """Draw intervals next to each other at a few settings; they do not widen the range of the axis."""
    of = table.groupby("variant")["seed"].transform("nunique")
    table = table[of >= FEWEST_RUNS]
    if table.empty:
        return
    values = sorted(table[x].unique())
    chosen = [
        values[place] for place in np.linspace(0, len(values) - 1, min(WHISKERS, len(values))).round().astype(int)
    ]
    scenes = table if "scene_id" in table else table.assign(scene_id=0)
    found = intervals(scenes[scenes[x].isin(chosen)], y, x)
    variants = list(found["variant"].unique())
    step = 0.14 * float(np.diff(values).min()) if len(values) > 1 else 0.1
    for place, variant in enumerate(variants):
        rows = found[(found["variant"] == variant) & np.isfinite(found["low"])]
        shifted = rows[x] + step * (place - (len(variants) - 1) / 2)
        ends = np.stack([rows["low"], rows["high"]], axis=1)
        spans = [[(at, low), (at, high)] for at, (low, high) in zip(shifted, ends, strict=True)]
        ax.add_collection(LineCollection(spans, colors=look_of(variant).color, linewidths=1.0), autolim=False)


def draw_training_curves(curves: pd.DataFrame) -> Figure:
    """Draw training loss (left) and what training scenes show (right) over steps: each run, and the median.

    On the right are found objects, F-ARI less that on other scenes; F-ARI itself if no run has recorded the control.

    Args:
        curves: :attr:`slotnorm_book.experiments.results.Results.curves`.
    """
    if curves.empty:
        return placeholder_figure("not run")
    fig, (left, right) = plt.subplots(1, 2, figsize=(PHONE_WIDTH, 2.7))
    every = max(1, curves["step"].max() // 60)
    smooth = curves.assign(step=(curves["step"] - 1) // every * every + every)
    _draw_bare_lines(left, smooth, "loss")
    probed = with_found_objects(curves.dropna(subset=["f_ari"]))
    controlled = probed.dropna(subset=["found_objects"])
    measure, table = ("found_objects", controlled) if len(controlled) else ("f_ari", probed)
    _draw_bare_lines(right, table, measure)
    left.set(yscale="log", ylabel="training loss")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter(NullFormatter())
    right.set(ylabel=f"{AXIS_LABELS[measure]} in training")
    return fig


def _draw_bare_lines(ax: Axes, curves: pd.DataFrame, y: str) -> None:
    means = curves.groupby(["variant", "seed", "step"], sort=False)[y].mean().reset_index()
    for variant in means["variant"].unique():
        look = look_of(variant)
        by_run = means[means["variant"] == variant].pivot(index="step", columns="seed", values=y)
        ax.plot(by_run.index, by_run, color=look.color, alpha=0.3, lw=0.8)
        marks = np.arange(0, len(by_run), max(1, len(by_run) // 6)).tolist()
        ax.plot(by_run.index, by_run.median(axis=1), color=look.color, marker=look.marker, ms=5, markevery=marks)
    ax.set(xlabel="step")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
