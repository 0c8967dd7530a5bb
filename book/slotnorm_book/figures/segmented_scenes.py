"""Pictures of scenes: images, masks, and what models make of them."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import fill

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from slotnorm.models import Decomposition
from slotnorm_book.analyses.example_scenes import Examples
from slotnorm_book.figures.objects_from_above import draw_objects_from_above
from slotnorm_book.figures.style import PHONE_WIDTH, look_of, placeholder_figure

BACKGROUND_GRAY = 0.82


def to_rgb(image: Float[Tensor, "*batch 3 height width"]) -> npt.NDArray[np.float32]:
    """Images in [-1, 1] as matplotlib wants them: channels last, in [0, 1]."""
    rgb: npt.NDArray[np.float32] = image.detach().movedim(-3, -1).add(1).div(2).clamp(0, 1).cpu().numpy()
    return rgb


def color_labels(labels: Int[Tensor, "*batch height width"], background: bool) -> npt.NDArray[np.float32]:
    """One color per label; with ``background``, label 0 is gray, as in a ground truth."""
    palette = np.array([*mpl.colormaps["tab20"].colors, *mpl.colormaps["tab20b"].colors], dtype=np.float32)  # type: ignore[attr-defined]
    ordered = np.concatenate([palette[:20:2], palette[1:20:2], palette[20:]])
    if background:
        ordered = np.concatenate([np.full((1, 3), BACKGROUND_GRAY, dtype=np.float32), ordered])
    colors: npt.NDArray[np.float32] = ordered[labels.cpu().numpy() % len(ordered)]
    return colors


def draw_scenes_and_masks(
    image: Float[Tensor, "scenes 3 height width"], truth: Int[Tensor, "scenes height width"]
) -> Figure:
    """Scenes in a row, their ground-truth masks below."""
    side = PHONE_WIDTH / len(image)
    fig, axes = plt.subplots(2, len(image), figsize=(PHONE_WIDTH, 2 * side), squeeze=False)
    for ax, picture in zip(axes[0], to_rgb(image), strict=True):
        _picture(ax, picture)
    for ax, picture in zip(axes[1], color_labels(truth, background=True), strict=True):
        _picture(ax, picture)
    return fig


def draw_decompositions(examples: Examples) -> Figure:
    """A row per scene: input, then every variant's segmentation and F-ARI, and below it what the model makes of it.

    That is the picture that it paints, beside the truth (as in Fig. 2 and Table 6), or the objects that it predicts,
    beside those that are there. Features cannot be looked at: models of features (as in Table 7) have no second line,
    and the truth stands beside the input.
    """
    if not examples.segmentations:
        return placeholder_figure(examples.lacking or "no model of this experiment is in the store")
    below = _below(examples)
    lines, first = (1, 2) if below is None else (2, 1)
    columns = max(4, first + len(examples.segmentations))
    side = max(PHONE_WIDTH / columns, 0.9)
    size = (columns * side, (side + 0.25) * len(examples.names) * lines)
    fig, axes = plt.subplots(len(examples.names) * lines, columns, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    inputs, truths = to_rgb(examples.image), color_labels(examples.truth, background=True)
    for row, name in enumerate(examples.names):
        _picture(axes[lines * row, 0], inputs[row], name)
        if below is None:
            _picture(axes[row, 1], truths[row], "truth")
        else:
            below(axes[2 * row + 1, 0], None, row)
        for column, (variant, labels) in enumerate(examples.segmentations.items(), start=first):
            title = fill(look_of(variant).label, 13) + "\n" if row == 0 else ""
            score = round(examples.f_ari[variant][row], 2) + 0.0  # no -0.00
            colors = color_labels(labels[row], background=False)
            _picture(axes[lines * row, column], colors, f"{title}{score:.2f}")
            if below is not None:
                below(axes[2 * row + 1, column], variant, row)
    return fig


def _below(examples: Examples) -> Callable[[Axes, str | None, int], None] | None:
    """What draws the second line, given axes, the variant, ``None`` for the truth, and the scene's place."""

    def painted(ax: Axes, variant: str | None, row: int) -> None:
        if variant is None:
            _picture(ax, color_labels(examples.truth[row], background=True), "truth")
        else:
            _picture(ax, to_rgb(examples.results[variant].reconstruction[row]))

    def predicted(ax: Axes, variant: str | None, row: int) -> None:
        predictions, targets = examples.detections[variant or next(iter(examples.detections))]
        if variant is None:
            draw_objects_from_above(ax, targets[row])
            ax.set_title("truth", fontsize=9)
        else:
            draw_objects_from_above(ax, predictions[row], targets[row])

    if all(isinstance(result, Decomposition) for result in examples.results.values()):
        return painted
    return predicted if all(examples.detections.values()) else None


def draw_slots(examples: Examples, name: str = "median", columns: int = 7) -> Figure:
    """Every slot's mask (black to white: least to largest) above what it paints, titled with its number and share.

    Of the first variant whose model there is.
    """
    if not examples.results:
        return placeholder_figure(examples.lacking or "no model of this experiment is in the store")
    result, scene = next(iter(examples.results.values())), examples.names.index(name)
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


def _picture(ax: Axes, picture: npt.NDArray[np.float32], title: str = "") -> None:
    ax.set_axis_on()
    ax.imshow(picture, interpolation="nearest")
    if title:
        ax.set_title(title, fontsize=9)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color="0.7", lw=0.5)
