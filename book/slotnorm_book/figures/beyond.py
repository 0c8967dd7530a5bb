"""Figures of the chapter *Beyond the paper*, drawn like those of :mod:`slotnorm_book.figures.score_curves`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from slotnorm.normalization import scale_factor
from slotnorm_book.analyses.blind_floors import read_floors
from slotnorm_book.claims.beyond import gains_of_scaled_codes, pair_runs
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.figures.score_curves import (
    AXIS_LABELS,
    PANEL_HEIGHT,
    PANEL_WIDTH,
    draw_floor,
    draw_score_lines,
    draw_training_curves,
)
from slotnorm_book.figures.style import PHONE_WIDTH, Look, look_of, placeholder_figure
from slotnorm_book.statistics.found_objects import with_found_objects
from slotnorm_book.variants import EM, EM_EQUAL, WEIGHTED_SUM

MANY_TICKS = (5, 7, 11, 21, 32, 64, 128)


def label_scales(names: Iterable[str]) -> dict[str, str]:
    """Return the label of each weighted sum among others with other scales; the paper's is ``"C = N"``."""
    return {name: "C = N" if name == WEIGHTED_SUM else look_of(name).label for name in names}


def draw_training_of_scales(curves: pd.DataFrame) -> Figure:
    """Draw the training curves of weighted sums, a line per scale.

    Args:
        curves: of the experiment ``scale``, see :func:`slotnorm_book.figures.score_curves.draw_training_curves`.
    """
    fig = draw_training_curves(curves)
    if len(curves):
        fig.set_figheight(fig.get_figheight() + 0.5)
        _add_legend_of_scales(fig, curves)
    return fig


def draw_scales(
    scenes: pd.DataFrame, baseline: pd.DataFrame, *, train_slots: int, recipe: Recipe | None = None
) -> Figure:
    """Draw F-ARI and found objects of weighted sums over slots on each test set, and over the scale on the last.

    A row per measure, a line per scale.

    Args:
        scenes: rows of the experiment ``scale``.
        baseline: rows of the weighted mean on the same scenes, whose medians are drawn as dashed lines; may be empty.
        train_slots: number of slots in training, marked by a dotted line.
        recipe: its test sets' blind floors are drawn over slots, where ``book/floors.json`` has them.
    """
    if scenes.empty:
        return placeholder_figure("not run")
    tests = list(scenes["test"].unique())
    panels, measures = len(tests) + 1, ("f_ari", "found_objects")
    size = (PANEL_WIDTH * panels, PANEL_HEIGHT * len(measures) + 0.7)
    fig, axes = plt.subplots(len(measures), panels, figsize=size, sharey="row")
    floors = read_floors(recipe) if recipe else {}
    scaled, plain = with_found_objects(scenes), with_found_objects(baseline) if len(baseline) else baseline
    for row, measure in zip(axes, measures, strict=True):
        for ax, test in zip(row, tests, strict=False):
            ax.axvline(train_slots, color="0.6", ls=":", zorder=0)
            if measure == "f_ari":
                draw_floor(ax, floors, test, scenes["slots"])
            draw_score_lines(ax, scaled[scaled["test"] == test], "slots", measure)
            ax.set_title(test, fontsize=11)
        last, level = (rows[rows["test"] == tests[-1]] if len(rows) else rows for rows in (scaled, plain))
        _draw_over_scales(row[-1], last, level, measure)
        row[-1].set_title(f"{tests[-1]}, all slot counts", fontsize=11)
        row[0].set_ylabel(AXIS_LABELS[measure])
    _add_legend_of_scales(fig, scenes)
    return fig


def _draw_over_scales(ax: Axes, table: pd.DataFrame, baseline: pd.DataFrame, measure: str) -> None:
    factors = table["variant"].map(scale_factor)
    # a scene's mean over slot counts, so that intervals are over scenes and runs
    means = table.assign(factor=factors).groupby(["seed", "scene_id", "factor"], as_index=False)[measure].mean()
    draw_score_lines(ax, means.assign(variant="weighted_sum"), "factor", measure)
    if len(baseline):
        level = baseline.groupby("seed")[measure].mean().median()
        ax.axhline(level, color=look_of("weighted_mean").color, ls="--", lw=1)
        ax.annotate("Baseline", (0.98, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=9)
    ax.set(xscale="log", xlabel="C / N")
    ticks = sorted(factors.unique())
    ax.set_xticks(ticks, [f"1/{1 / tick:g}" if tick < 1 else f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())


def draw_many_slots(
    scenes: pd.DataFrame, measures: Sequence[str], *, train_slots: int, recipe: Recipe | None = None
) -> Figure:
    """Draw measures over slot counts on a logarithmic axis, a panel each; a dotted line marks ``train_slots``.

    The blind floor of the recipe's test set is drawn beneath F-ARI, where ``book/floors.json`` has it.
    """
    if scenes.empty:
        return placeholder_figure("not run")
    fig, axes = plt.subplots(1, len(measures), figsize=(PANEL_WIDTH * len(measures), PANEL_HEIGHT))
    floors = read_floors(recipe) if recipe else {}
    for ax, measure in zip(axes, measures, strict=True):
        ax.axvline(train_slots, color="0.6", ls=":", zorder=0)
        if measure == "f_ari":
            draw_floor(ax, floors, scenes["test"].iloc[-1], scenes["slots"])
        draw_score_lines(ax, scenes, "slots", measure)
        ax.set(xscale="log", ylabel=AXIS_LABELS[measure])
        ticks = [tick for tick in MANY_TICKS if tick in set(scenes["slots"])]
        ax.set_xticks(ticks, [f"{tick}" for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    return fig


def draw_iterations(scenes: pd.DataFrame, measures: Sequence[str], *, trained: int) -> Figure:
    """Draw measures over iterations, a row each, with a panel per slot count; a dotted line marks ``trained``."""
    if scenes.empty:
        return placeholder_figure("not run")
    rows = with_found_objects(scenes)
    counts = sorted(scenes["slots"].unique())
    size = (PHONE_WIDTH / 2 * len(counts), PANEL_HEIGHT * len(measures))
    fig, axes = plt.subplots(len(measures), len(counts), figsize=size, sharey="row", squeeze=False)
    for line, measure in zip(axes, measures, strict=True):
        for ax, count in zip(line, counts, strict=True):
            ax.axvline(trained, color="0.6", ls=":", zorder=0)
            draw_score_lines(ax, rows[rows["slots"] == count], "iterations", measure)
            ax.set_title(f"{count} slots", fontsize=11)
        line[0].set_ylabel(AXIS_LABELS[measure])
    return fig


def draw_mixture_weight_gains(table: pd.DataFrame) -> Figure:
    """Draw the F-ARI and the found objects that the mixture weight adds over slots, a column of panels per strength.

    Args:
        table: from :func:`slotnorm_book.analyses.mixture_weights.evaluate_with_mixture_weights`, with strength 0.
    """
    if table.empty:
        return placeholder_figure("no model of this experiment is in the store")
    measures, rows = ["f_ari", "found_objects"], with_found_objects(table)
    strengths = sorted(set(table["strength"]) - {0})
    fig, axes = plt.subplots(
        2, len(strengths), figsize=(PHONE_WIDTH, 2 * PANEL_HEIGHT), sharex=True, sharey="row", squeeze=False
    )
    for column, strength in zip(axes.T, strengths, strict=True):
        gains = pair_runs(rows[rows["strength"] == strength], rows[rows["strength"] == 0], measures)
        for ax, measure in zip(column, measures, strict=True):
            ax.axhline(0, color="0.6", lw=0.8, zorder=0)
            draw_score_lines(ax, gains, "slots", measure)
        column[0].set(title=f"s = {strength:g}", xlabel="")
    for ax, measure in zip(axes[:, 0], measures, strict=True):
        ax.set_ylabel(f"{AXIS_LABELS[measure]} gained")
    return fig


def draw_code_length_gains(tables: Iterable[pd.DataFrame], *, train_slots: int) -> Figure:
    """Draw what baselines gain by scaled codes over slots: found objects and F-ARI, a row of panels per test set.

    Args:
        tables: from :func:`slotnorm_book.analyses.code_lengths.evaluate_with_scaled_codes`, one per test set; those
            without rows are left out.
        train_slots: number of slots in training, marked by a dotted line; codes are not changed there.
    """
    drawn = {table["test"].iloc[0]: gains_of_scaled_codes(table) for table in tables if len(table)}
    if not drawn:
        return placeholder_figure("no model of the baseline is in the store")
    size = (PHONE_WIDTH, PANEL_HEIGHT * len(drawn) + 0.4)
    fig, axes = plt.subplots(len(drawn), 2, figsize=size, sharey="row", squeeze=False)
    for row, (test, table) in zip(axes, drawn.items(), strict=True):
        for ax, measure in zip(row, ("found_objects", "f_ari"), strict=True):
            ax.axhline(0, color="0.6", lw=0.8, zorder=0)
            ax.axvline(train_slots, color="0.6", ls=":", zorder=0)
            draw_score_lines(ax, table, "slots", measure)
            ax.set_title(f"{test}, {AXIS_LABELS[measure]}", fontsize=11)
        row[0].set_ylabel("gained by scaled codes")
    return fig


def draw_models_and_em(table: pd.DataFrame) -> Figure:
    """Draw F-ARI, found objects and ARI of models over slots and of EM over components."""
    rows = with_found_objects(table)
    fig, axes = plt.subplots(1, 3, figsize=(3 * PANEL_WIDTH, PANEL_HEIGHT + 0.3))
    for ax, measure in zip(axes, ("f_ari", "found_objects", "ari"), strict=True):
        draw_score_lines(ax, rows, "slots", measure)
        ax.set(xlabel="slots or components", ylabel=AXIS_LABELS[measure])
    _add_legend(fig, [look_of(name) for name in (EM, EM_EQUAL)])
    return fig


def _add_legend_of_scales(fig: Figure, table: pd.DataFrame) -> None:
    ordered = sorted(table["variant"].unique(), key=lambda name: scale_factor(name) or 0)
    _add_legend(fig, [replace(look_of(name), label=label) for name, label in label_scales(ordered).items()])


def _add_legend(fig: Figure, looks: Sequence[Look]) -> None:
    """Add a legend of what this figure alone draws: the page's legend has the variants."""
    handles = [Line2D([], [], color=look.color, marker=look.marker, label=look.label) for look in looks]
    columns = min(5, len(handles)) if fig.get_figwidth() > PHONE_WIDTH else min(3, len(handles))
    fig.legend(handles=handles, loc="outside upper center", ncols=columns)
