"""Figures of the CLEVR chapter: training, decompositions of scenes, measures over slot counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from slotnorm.models import Decomposition
from slotnorm.plots import PHONE_WIDTH, VARIANTS

BACKGROUND_GRAY = 0.82


def to_rgb(image: Float[Tensor, "*batch 3 height width"]) -> npt.NDArray[np.float32]:
    """Images in [-1, 1] as matplotlib wants them: channels last, in [0, 1]."""
    rgb: npt.NDArray[np.float32] = image.detach().movedim(-3, -1).add(1).div(2).clamp(0, 1).cpu().numpy()
    return rgb


def label_colors(labels: Int[Tensor, "*batch height width"], background: bool) -> npt.NDArray[np.float32]:
    """One color per label; with ``background``, label 0 is gray, as in a ground truth."""
    palette = np.array([*mpl.colormaps["tab20"].colors, *mpl.colormaps["tab20b"].colors], dtype=np.float32)  # type: ignore[attr-defined]
    ordered = np.concatenate([palette[:20:2], palette[1:20:2], palette[20:]])
    if background:
        ordered = np.concatenate([np.full((1, 3), BACKGROUND_GRAY, dtype=np.float32), ordered])
    colors: npt.NDArray[np.float32] = ordered[labels.cpu().numpy() % len(ordered)]
    return colors


def training_curves(curves: Mapping[str, Sequence[float]], window: int = 10) -> Figure:
    """Training loss of every variant over steps: faint as recorded, strong as a running mean."""
    fig, ax = plt.subplots(figsize=(PHONE_WIDTH, 3.2))
    for name, losses in curves.items():
        look, steps = VARIANTS[name], np.arange(1, len(losses) + 1)
        ax.plot(steps, losses, color=look.color, alpha=0.3, lw=1)
        smooth = pd.Series(losses).rolling(window, min_periods=1).mean()
        every = max(1, len(losses) // 8)
        ax.plot(steps, smooth, color=look.color, marker=look.marker, markevery=every, label=look.label)
    ax.set(xlabel="training step", ylabel="mean squared error", yscale="log")
    decades = np.log10(max(map(max, curves.values())) / min(map(min, curves.values())))
    ax.yaxis.set_major_locator(LogLocator(subs=range(1, 10) if decades < 0.7 else (1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.legend()
    return fig


def measure_over_slots(table: pd.DataFrame, train_slots: int, measures: Mapping[str, str]) -> Figure:
    """Measures over slot counts, one panel each: mean over scenes with a 95 % bootstrap interval.

    Args:
        table: rows of :func:`slotnorm.evaluation.evaluate` with a column ``variant``.
        train_slots: marked by a dotted line.
        measures: column to axis label.
    """
    fig, axes = plt.subplots(1, len(measures), figsize=(PHONE_WIDTH, 3.2), squeeze=False)
    looks = {name: VARIANTS[name] for name in table["variant"].unique()}
    for ax, (column, label) in zip(axes[0], measures.items(), strict=True):
        ax.axvline(train_slots, color="0.6", ls=":", zorder=0)
        sns.lineplot(
            table,
            x="slots",
            y=column,
            hue="variant",
            style="variant",
            palette={name: look.color for name, look in looks.items()},
            markers={name: look.marker for name, look in looks.items()},
            dashes=False,
            errorbar=("ci", 95),
            seed=0,
            ax=ax,
            legend=False,
        )
        ax.set(xlabel="slots", ylabel=label, xticks=sorted(table["slots"].unique())[::2])
    handles = [
        plt.Line2D([], [], color=look.color, marker=look.marker, label=look.label)  # type: ignore[attr-defined]
        for look in looks.values()
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return fig


def scenes_and_masks(
    image: Float[Tensor, "scenes 3 height width"], truth: Int[Tensor, "scenes height width"]
) -> Figure:
    """Scenes in a row, their ground-truth masks below."""
    side = PHONE_WIDTH / len(image)
    fig, axes = plt.subplots(2, len(image), figsize=(PHONE_WIDTH, 2 * side), squeeze=False)
    for ax, picture in zip(axes[0], to_rgb(image), strict=True):
        _picture(ax, picture)
    for ax, picture in zip(axes[1], label_colors(truth, background=True), strict=True):
        _picture(ax, picture)
    return fig


def decompositions(
    image: Float[Tensor, "scenes 3 height width"],
    truth: Int[Tensor, "scenes height width"],
    results: Mapping[str, Decomposition],
) -> Figure:
    """A row per scene: image and ground truth, then reconstruction and segmentation of every variant (as in Fig. 2)."""
    columns = {"Input": to_rgb(image), "Truth": label_colors(truth, background=True)}
    for name, result in results.items():
        columns[VARIANTS[name].label] = to_rgb(result.reconstruction)
        columns[f"{VARIANTS[name].label} "] = label_colors(result.segmentation, background=False)
    side = PHONE_WIDTH / len(columns)
    fig, axes = plt.subplots(len(image), len(columns), figsize=(PHONE_WIDTH, side * len(image) + 0.4), squeeze=False)
    for row, axes_row in enumerate(axes):
        for ax, (title, pictures) in zip(axes_row, columns.items(), strict=True):
            _picture(ax, pictures[row])
            if row == 0:
                ax.set_title(title if title.strip() == title else "slots", fontsize=9)
    return fig


def slots_of_a_scene(result: Decomposition, scene: int = 0, columns: int = 7) -> Figure:
    """Every slot's mask (black to white: least to largest) above what it paints, titled with its number and share."""
    masks, painted = result.masks[scene], to_rgb(result.components[scene])
    columns = min(columns, len(masks))
    blocks = -(-len(masks) // columns)
    side = PHONE_WIDTH / columns
    size = (PHONE_WIDTH, blocks * (2 * side + 0.3))
    fig, axes = plt.subplots(2 * blocks, columns, figsize=size, squeeze=False, subplot_kw={"frame_on": False})
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    gray = {"cmap": "gray", "vmin": masks.min().item(), "vmax": masks.max().item()}
    for slot, mask in enumerate(masks):
        block, column = divmod(slot, columns)
        top, bottom = axes[2 * block : 2 * block + 2, column]
        top.imshow(mask.cpu().numpy(), interpolation="nearest", **gray)
        top.set_title(f"{slot + 1}: {mask.mean().item():.0%}", fontsize=9)
        bottom.imshow(painted[slot], interpolation="nearest")
    return fig


def _picture(ax: Axes, picture: npt.NDArray[np.float32]) -> None:
    ax.imshow(picture, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color="0.7", lw=0.5)
