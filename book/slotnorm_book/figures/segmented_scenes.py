"""Figures of scenes: images, masks and the decompositions of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import fill
from types import MappingProxyType

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
    """Convert images in [-1, 1] to the form of matplotlib: channels last, in [0, 1]."""
    rgb: npt.NDArray[np.float32] = image.detach().movedim(-3, -1).add(1).div(2).clamp(0, 1).cpu().numpy()
    return rgb


def color_labels(labels: Int[Tensor, "*batch height width"], background: bool) -> npt.NDArray[np.float32]:
    """Give every label a color; with ``background``, label 0 is gray, as in a ground truth."""
    palette = np.array([*mpl.colormaps["tab20"].colors, *mpl.colormaps["tab20b"].colors], dtype=np.float32)  # type: ignore[attr-defined]
    ordered = np.concatenate([palette[:20:2], palette[1:20:2], palette[20:]])
    if background:
        ordered = np.concatenate([np.full((1, 3), BACKGROUND_GRAY, dtype=np.float32), ordered])
    colors: npt.NDArray[np.float32] = ordered[labels.cpu().numpy() % len(ordered)]
    return colors


def draw_scenes_and_masks(
    image: Float[Tensor, "scenes 3 height width"], truth: Int[Tensor, "scenes height width"]
) -> Figure:
    """Draw scenes in a row, with their ground-truth masks below."""
    side = PHONE_WIDTH / len(image)
    fig, axes = plt.subplots(2, len(image), figsize=(PHONE_WIDTH, 2 * side), squeeze=False)
    for ax, picture in zip(axes[0], to_rgb(image), strict=True):
        _draw_picture(ax, picture)
    for ax, picture in zip(axes[1], color_labels(truth, background=True), strict=True):
        _draw_picture(ax, picture)
    return fig


def draw_decompositions(examples: Examples, labels: Mapping[str, str] = MappingProxyType({})) -> Figure:
    """Draw a row per scene: the input, every variant's segmentation, scored above it, and its output below.

    The output is the reconstruction, next to the truth (as in Fig. 2 and Table 6), or the predicted objects, next to
    the true ones. Features cannot be shown: for models of features (as in Table 7) there is no second line, and the
    truth is next to the input.

    Args:
        examples: scenes and their segmentations.
        labels: variant to its title, where it is not that of its look.
    """
    if not examples.segmentations:
        return placeholder_figure(examples.missing or "no model of this experiment is in the store")
    draw_output = _choose_output(examples)
    lines, first = (1, 2) if draw_output is None else (2, 1)
    columns = max(4, first + len(examples.segmentations))
    side = max(PHONE_WIDTH / columns, 0.9)
    size = (columns * side, (side * lines + 0.25 * lines + 0.15) * len(examples.names))
    fig, axes = plt.subplots(len(examples.names) * lines, columns, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    inputs, truths = to_rgb(examples.image), color_labels(examples.truth, background=True)
    for row, name in enumerate(examples.names):
        _draw_picture(axes[lines * row, 0], inputs[row], name)
        if draw_output is None:
            _draw_picture(axes[row, 1], truths[row], "truth")
        else:
            draw_output(axes[2 * row + 1, 0], None, row)
        for column, (variant, segmented) in enumerate(examples.segmentations.items(), start=first):
            title = fill(labels.get(variant, look_of(variant).label), 13) + "\n" if row == 0 else ""
            colors = color_labels(segmented[row], background=False)
            _draw_picture(axes[lines * row, column], colors, title + describe_scores(examples, variant, row))
            if draw_output is not None:
                draw_output(axes[2 * row + 1, column], variant, row)
    return fig


def draw_growth(growth: Mapping[int, Examples], name: str = "median") -> Figure:
    """Draw the segmentations of one scene, a row per slot count and a column per variant, beside the scene.

    Args:
        growth: slot count to the same scenes at this count.
        name: name of the scene to draw, such as ``"median"``.
    """
    whole = {count: examples for count, examples in growth.items() if examples.segmentations}
    if not whole:
        why = next((examples.missing for examples in growth.values() if examples.missing), "")
        return placeholder_figure(why or "no model of this experiment is in the store")
    first = next(iter(whole.values()))
    scene, columns = first.names.index(name), 1 + len(first.segmentations)
    side = PHONE_WIDTH / max(columns, 4)
    size = (columns * side + 0.2, (side + 0.4) * len(whole) + 0.2)
    fig, axes = plt.subplots(len(whole), columns, figsize=size, squeeze=False)
    beside = [(to_rgb(first.image)[scene], "scene"), (color_labels(first.truth, background=True)[scene], "truth")]
    for ax in axes[2:, 0]:
        ax.set_axis_off()
    for ax, (picture, title) in zip(axes[:, 0], beside, strict=False):
        _draw_picture(ax, picture, title)
    for row, (count, examples) in zip(axes, whole.items(), strict=True):
        for ax, (variant, labels) in zip(row[1:], examples.segmentations.items(), strict=True):
            name = f"{look_of(variant).label}\n" if examples is first else ""
            scores = describe_scores(examples, variant, scene)
            _draw_picture(ax, color_labels(labels[scene], background=False), name + scores)
        row[1].set_ylabel(f"{count} slots", fontsize=9)
    return fig


def draw_scenes_in_columns(examples: Examples) -> Figure:
    """Draw a column per scene: the input, the truth, and every variant's segmentation, scored above it."""
    if not examples.segmentations:
        return placeholder_figure(examples.missing or "no model of this experiment is in the store")
    lines, scenes = 2 + len(examples.segmentations), len(examples.names)
    side = 0.9
    fig, axes = plt.subplots(
        lines,
        scenes,
        figsize=(side * scenes + 0.9, (side + 0.35) * lines),
        squeeze=False,
        subplot_kw={"frame_on": False},
    )
    pictures = [to_rgb(examples.image), color_labels(examples.truth, background=True)]
    pictures += [color_labels(labels, background=False) for labels in examples.segmentations.values()]
    variants = [None, None, *examples.segmentations]
    for row, variant, shown in zip(axes, variants, pictures, strict=True):
        for place, (ax, picture) in enumerate(zip(row, shown, strict=True)):
            _draw_picture(ax, picture, describe_scores(examples, variant, place) if variant else "")
    names = ["scene", "truth", *(look_of(variant).label for variant in examples.segmentations)]
    for row, name in zip(axes, names, strict=True):
        row[0].set_ylabel(fill(name, 9), fontsize=9)
    return fig


def describe_scores(examples: Examples, variant: str, scene: int) -> str:
    """Write the F-ARI of a segmentation and, in a line below, its control on other scenes.

    Args:
        examples: the scenes.
        variant: whose segmentation.
        scene: position of the scene.

    Returns:
        Such as ``"F-ARI 0.62\\nblind 0.21"``; with a dash where there is no control.
    """
    own, blind = (scores[variant][scene] for scores in (examples.f_ari, examples.blind_f_ari))
    return f"F-ARI {own:z.2f}\nblind {'–' if np.isnan(blind) else format(blind, 'z.2f')}"


def _choose_output(examples: Examples) -> Callable[[Axes, str | None, int], None] | None:
    """Return a function that draws an output, or ``None``.

    Its arguments are axes, the variant (``None`` for the truth) and the position of the scene.
    """

    def draw_painting(ax: Axes, variant: str | None, row: int) -> None:
        if variant is None:
            _draw_picture(ax, color_labels(examples.truth[row], background=True), "truth")
        else:
            _draw_picture(ax, to_rgb(examples.results[variant].reconstruction[row]))

    def draw_prediction(ax: Axes, variant: str | None, row: int) -> None:
        predictions, targets = examples.detections[variant or next(iter(examples.detections))]
        if variant is None:
            draw_objects_from_above(ax, targets[row])
            ax.set_title("truth", fontsize=9)
        else:
            draw_objects_from_above(ax, predictions[row], targets[row])

    if all(isinstance(result, Decomposition) for result in examples.results.values()):
        return draw_painting
    return draw_prediction if all(examples.detections.values()) else None


def draw_slots(examples: Examples, name: str = "median", columns: int = 7) -> Figure:
    """Draw every slot's mask, from black (smallest value) to white, above the picture that the slot paints.

    The title is the number of the slot and its share of the picture. The first variant with a model is shown.

    Args:
        examples: the scenes.
        name: name of the scene to draw, such as ``"median"``.
        columns: slots in a row.
    """
    if not examples.results:
        return placeholder_figure(examples.missing or "no model of this experiment is in the store")
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


def _draw_picture(ax: Axes, picture: npt.NDArray[np.float32], title: str = "") -> None:
    ax.set_axis_on()
    ax.imshow(picture, interpolation="nearest")
    if title:
        ax.set_title(title, fontsize=9)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color="0.7", lw=0.5)
