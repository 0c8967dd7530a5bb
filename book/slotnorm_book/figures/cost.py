"""Figures of the cost chapter: times of steps, and speed and memory compared with plain forms."""

from __future__ import annotations

import re
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from slotnorm_book.analyses.benchmark_results import NOT_MEASURED
from slotnorm_book.analyses.cost import NOT_RECORDED, compare_with_baseline
from slotnorm_book.figures.style import OKABE_ITO, PHONE_WIDTH, look_of, placeholder_figure


def draw_relative_times(runs: pd.DataFrame) -> Figure:
    """Draw the time of a step of every run, relative to its experiment's baseline on the same device.

    Args:
        runs: from :func:`slotnorm_book.analyses.cost.tabulate_runs`; runs that
            :func:`slotnorm_book.analyses.cost.compare_with_baseline` leaves out are not drawn.
    """
    known = compare_with_baseline(runs)
    if known.empty:
        return placeholder_figure("no run of a baseline is recorded on the same device" if len(runs) else NOT_RECORDED)
    groups = [rows for _, rows in known.groupby("experiment", sort=False)]
    fig, ax = plt.subplots(figsize=(PHONE_WIDTH, 0.55 * len(groups) + 0.9))
    for place, rows in enumerate(groups):
        variants = list(rows["variant"].unique())
        for order, variant in enumerate(variants):
            times = rows.loc[rows["variant"] == variant, "time"]
            heights = [place + 0.5 * ((order + 0.5) / len(variants) - 0.5)] * len(times)
            look = look_of(variant)
            ax.plot(times, heights, ls="", marker=look.marker, color=look.color, ms=5, alpha=0.8)
    ax.axvline(1, color="0.6", lw=0.8, zorder=0)
    ax.set(xlabel="time of a step, baseline on the same device = 1", ylim=(len(groups) - 0.4, -0.6))
    ax.set_yticks(range(len(groups)), [rows["experiment"].iloc[0] for rows in groups])
    return fig


DEVICES = (("o", OKABE_ITO["blue"]), ("D", OKABE_ITO["orange"]), ("s", OKABE_ITO["green"]), ("^", OKABE_ITO["purple"]))


def draw_benchmark_ratios(rows: pd.DataFrame) -> Figure:
    """Draw by which factor the project's forms are better, a line per measurement and a mark per device.

    A bar marks the aim. Where nothing is measured, the figure says so.

    Args:
        rows: from :func:`slotnorm_book.analyses.benchmark_results.read_benchmark`; rows without a plain form are
            left out.
    """
    known = rows[rows["ratio"].notna() & (rows["subject"] != "side by side")]
    if known.empty:
        return placeholder_figure(NOT_MEASURED)
    names = [f"{subject}: {what}" for subject, what in zip(known["subject"], known["what"], strict=True)]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    fig, ax = plt.subplots(figsize=(PHONE_WIDTH, 0.42 * len(places) + 1.1))
    looks = dict(zip(known["device"].unique(), cycle(DEVICES), strict=False))
    for device, (marker, color) in looks.items():
        own = [
            (row.ratio, places[name])
            for name, row in zip(names, known.itertuples(), strict=True)
            if row.device == device
        ]
        ax.plot(*zip(*own, strict=True), ls="", marker=marker, color=color, ms=6, label=device)
    wanted = {(parse_aim(aim), places[name]) for name, aim in zip(names, known["aim"], strict=True) if parse_aim(aim)}
    if wanted:
        ax.plot(*zip(*wanted, strict=True), ls="", marker="|", color="0.3", ms=11, mew=2, label="aim")
    for name, place in places.items():
        ax.text(0.01, place - 0.33, name, transform=ax.get_yaxis_transform(), fontsize=8.5, va="center")
        ax.axhline(place + 0.5, color="0.9", lw=0.6, zorder=0)
    ax.axvline(1, color="0.6", lw=0.8, zorder=0)
    ax.set(xscale="log", xlabel="plain form / ours (rates: ours / plain form)", yticks=[])
    ax.set_ylim(len(places) - 0.4, -0.6)
    ax.xaxis.set_major_formatter("{x:g}×")
    fig.legend(loc="outside upper center", ncols=2, frameon=False)
    return fig


def parse_aim(aim: str) -> float | None:
    """Return the ratio in an aim such as ``"≥ 1.5x"`` or ``"≤ 0.4x the memory"``, ``None`` for other aims."""
    found = re.match(r"([≥≤]) ([\d.]+)x", aim)
    if found is None:
        return None
    return float(found[2]) if found[1] == "≥" else 1 / float(found[2])
