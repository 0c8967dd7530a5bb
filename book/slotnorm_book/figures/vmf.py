"""Figures of the vMF chapter: mixtures on the sphere, slot weights, codes and excess components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from slotnorm_book.figures.style import OKABE_ITO, PHONE_WIDTH, look_of
from slotnorm_book.theory.em import Fit
from slotnorm_book.theory.vmf import VonMisesFisherMixture

COMPONENTS = [OKABE_ITO[name] for name in ("blue", "orange", "green", "vermillion", "sky", "purple", "black")]
MARKERS = ["o", "s", "D", "^", "v", "X"]
EM_LOOKS = {
    "estimated": ("π estimated", look_of("weighted_sum")),
    "fixed": ("π fixed at 1/K", look_of("weighted_mean")),
}
Array = npt.NDArray[np.float64]


def draw_mixture_on_sphere(
    points: Float[Tensor, "points 3"], labels: Int[Tensor, " points"], mixture: VonMisesFisherMixture
) -> Figure:
    """Draw points in the color and marker of their component, and mean directions as arrows with their weights."""
    fig = plt.figure(figsize=(PHONE_WIDTH, 4.4))
    ax = _draw_sphere(fig, 1, 1, zoom=1.3)
    _draw_points(ax, points, labels, size=18)
    for k, (direction, weight) in enumerate(zip(mixture.directions.cpu(), mixture.weights.cpu(), strict=True)):
        color = COMPONENTS[k % len(COMPONENTS)]
        ax.quiver(*direction, *(0.3 * direction), color=color, lw=2.5, arrow_length_ratio=0.3)
        name = ax.text(*(1.5 * direction), f"π = {weight:.2f}", ha="center", va="center", fontsize=13)
        name.set_path_effects([withStroke(linewidth=5, foreground="white")])
    return fig


def draw_fits_on_sphere(points: Float[Tensor, "points 3"], fits: Mapping[str, Fit]) -> Figure:
    """Draw one sphere per fit, with the points in the look of their most responsible component.

    Args:
        points: on the unit sphere.
        fits: key of :data:`EM_LOOKS` to the fit.
    """
    fig = plt.figure(figsize=(PHONE_WIDTH, 2.8))
    for column, (name, fit) in enumerate(fits.items(), start=1):
        ax = _draw_sphere(fig, len(fits), column, zoom=1.55)
        _draw_points(ax, points, fit.responsibilities.argmax(dim=1), size=14)
        ax.set_title(EM_LOOKS[name][0], fontsize=13)
    return fig


def draw_slot_weights(pairs: Mapping[str, tuple[Array, Array]]) -> Figure:
    """Draw slot factors over true mixture weights, per normalization, with the identity as a line."""
    fig, ax = plt.subplots(figsize=(PHONE_WIDTH, 4.2))
    top = max(float(truth.max()) for truth, _ in pairs.values()) * 1.05
    ax.plot([0, top], [0, top], color="0.6", ls=":", zorder=0)
    for name, (truth, factor) in pairs.items():
        look = look_of(name)
        ax.scatter(truth, factor, s=22, color=look.color, marker=look.marker, alpha=0.7, lw=0, label=look.label)
    ax.set(xlabel="true mixture weight", ylabel="slot weight in the attention")
    ax.legend()
    return fig


def draw_recovery(panels: Mapping[str, Mapping[str, tuple[Array, Array]]]) -> Figure:
    """Draw recovered over true column means: a panel per set of slot counts, with the codes of every normalization."""
    fig, axes = plt.subplots(1, len(panels), figsize=(PHONE_WIDTH, 3.6), squeeze=False)
    for ax, (title, codes) in zip(axes[0], panels.items(), strict=True):
        for name, (truth, found) in codes.items():
            look = look_of(name)
            ax.scatter(truth, found, s=14, color=look.color, marker=look.marker, alpha=0.5, lw=0, label=look.label)
        ax.axline((0, 0), slope=1, color="0.6", ls=":", zorder=0)
        ax.set(xlabel="column mean", title=title, xlim=(-0.03, 1.03), ylim=(-0.15, 1.03))
    axes[0, 0].set_ylabel("recovered from the code")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    legend = fig.legend(handles, labels, loc="outside upper center", ncols=len(handles), handletextpad=0.1)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set(alpha=1.0, sizes=[40])
    return fig


def draw_code_sizes(counts: Sequence[int], bound: Array, sizes: Mapping[str, Array]) -> Figure:
    """Draw the largest entry of the codes over the number of tokens, on logarithmic axes, and the bound of Eq. 11."""
    fig, ax = plt.subplots(figsize=(PHONE_WIDTH, 3.8))
    labels = {"weighted_sum": "C = N", "unnormalized": "C = 1"}
    for name, size in sizes.items():
        look = look_of(name)
        ax.plot(counts, size, color=look.color, marker=look.marker, label=f"largest |u|, {labels[name]}")
    ax.plot(counts, bound, color="0.45", ls="--", label="bound: largest |v|")
    ax.set(xscale="log", yscale="log", xlabel="input tokens N", ylabel="largest entry of a code")
    ax.legend()
    return fig


def draw_what_codes_tell(table: pd.DataFrame) -> Figure:
    """Draw a panel per normalization: the code's component along the offset of the values over the slot's share.

    Args:
        table: from :func:`slotnorm_book.theory.random_instances.measure_what_codes_tell`.
    """
    names, counts = list(dict.fromkeys(table["normalization"])), list(dict.fromkeys(table["slots"]))
    rows = -(-len(names) // 2)
    fig, axes = plt.subplots(rows, 2, figsize=(PHONE_WIDTH, 2.1 * rows + 0.4), sharex=True, squeeze=False)
    fills = [{"color": OKABE_ITO["black"], "marker": "o"}, {"color": OKABE_ITO["orange"], "marker": "^"}]
    for ax, name in zip(axes.flat, names, strict=False):
        for count, look in zip(counts, fills, strict=True):
            some = table[(table["normalization"] == name) & (table["slots"] == count)]
            ax.scatter(some["share"], some["component"], s=16, alpha=0.6, lw=0, label=f"{count} slots", **look)
        low, high = table.loc[table["normalization"] == name, "component"].agg(["min", "max"])
        middle, half = (low + high) / 2, max(0.6 * (high - low), 0.1)
        ax.set(title=look_of(name).label, ylim=(middle - half, middle + half))
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("share of the tokens")
    for ax in axes[:, 0]:
        ax.set_ylabel("code along a")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(counts), handletextpad=0.1)
    return fig


def draw_excess_components(table: pd.DataFrame, truth: int) -> Figure:
    """Draw the agreement with the truth and the components in use over K, with and without estimated weights.

    Args:
        table: rows of :class:`slotnorm_book.theory.excess_components.Partition` with a column ``weights``, a key of
            :data:`EM_LOOKS`.
        truth: number of components of the mixtures, marked by a dotted line.
    """
    fig, axes = plt.subplots(1, 2, figsize=(PHONE_WIDTH, 3.6))
    for name, (_, look) in EM_LOOKS.items():
        rows = table[table["weights"] == name]
        for ax, solid, dashed in zip(axes, ("ari", "owners"), ("merged_ari", "directions"), strict=True):
            interval: dict[str, Any] = {"errorbar": ("ci", 95), "seed": 0}
            sns.lineplot(rows, x="components", y=solid, color=look.color, marker=look.marker, ax=ax, **interval)
            ax.plot(rows.groupby("components")[dashed].mean(), color=look.color, ls="--")
            ax.axvline(truth, color="0.6", ls=":", zorder=0)
    axes[0].set(xlabel="components K", ylabel="ARI", ylim=(None, 1.02))
    axes[1].set(xlabel="components K", ylabel="components in use", ylim=(0, None))
    axes[1].yaxis.set_major_locator(MaxNLocator(integer=True))
    fig.legend(handles=_make_em_handles(), loc="outside upper center", ncols=2)
    return fig


def _make_em_handles() -> list[Line2D]:
    looks = EM_LOOKS.values()
    weights = [Line2D([], [], color=look.color, marker=look.marker, label=label) for label, look in looks]
    styles = {"most responsible component": "-", "coincident ones merged": "--"}
    return [*weights, *(Line2D([], [], color="0.4", ls=style, label=label) for label, style in styles.items())]


def _draw_points(ax: Any, points: Tensor, labels: Tensor, size: float) -> None:
    """Draw points of a sphere by label, seen from the side where most are; those on the far side are fainter."""
    place, label = points.cpu().numpy(), labels.cpu().numpy()
    towards = place.mean(axis=0)
    elevation, azimuth = np.arctan2(towards[2], np.hypot(*towards[:2])), np.arctan2(towards[1], towards[0])
    ax.view_init(elev=np.rad2deg(elevation), azim=np.rad2deg(azimuth))
    near = place @ towards > 0
    for k in np.unique(label):
        look = {"color": COMPONENTS[k % len(COMPONENTS)], "marker": MARKERS[(k + k // len(COMPONENTS)) % len(MARKERS)]}
        for side, alpha in ((near, 0.9), (~near, 0.3)):
            ax.scatter(*place[(label == k) & side].T, s=size, lw=0, alpha=alpha, depthshade=False, **look)


def _draw_sphere(fig: Figure, columns: int, column: int, zoom: float) -> Any:
    ax: Any = fig.add_subplot(1, columns, column, projection="3d")
    longitude, latitude = np.mgrid[0 : 2 * np.pi : 25j, 0 : np.pi : 13j]
    x, y = np.cos(longitude) * np.sin(latitude), np.sin(longitude) * np.sin(latitude)
    ax.plot_wireframe(x, y, np.cos(latitude), color="0.85", lw=0.5)
    ax.set_box_aspect((1, 1, 1), zoom=zoom)
    ax.set_axis_off()
    return ax
