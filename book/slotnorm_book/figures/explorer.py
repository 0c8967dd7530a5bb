"""Pictures of the explorer: one color per role in every view, and a figure for readers without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from slotnorm_book.analyses.explorer_views import FURTHER, SPARE, Frames, roles
from slotnorm_book.figures.segmented_scenes import BACKGROUND_GRAY, to_rgb
from slotnorm_book.figures.style import PHONE_WIDTH, VARIANTS, note

GRAYS = (0.62, 0.9, 0.72, 0.54, 0.87, 0.67, 0.94, 0.58)
"""Of further slots on the background, neighbors apart."""


@cache
def palette() -> npt.NDArray[np.uint8]:
    """Color of every role of :func:`slotnorm_book.analyses.explorer_views.roles`, shape (roles, 3).

    Gray is background and nothing else; objects are saturated, their further slots pale or dark.
    """
    strong, pale = (np.delete(mpl.colormaps["tab20"].colors[i::2], 7, axis=0) for i in (0, 1))  # type: ignore[attr-defined]
    dark = np.array(mpl.colormaps["tab20b"].colors)  # type: ignore[attr-defined]
    objects = np.concatenate([strong, dark[:1], pale])
    further = np.concatenate([pale, dark[1:]])
    colors = np.empty((SPARE + FURTHER, 3))
    colors[0] = BACKGROUND_GRAY
    colors[1:FURTHER] = np.resize(objects, (FURTHER - 1, 3))
    colors[FURTHER:SPARE] = np.resize(further, (SPARE - FURTHER, 3))
    colors[SPARE:] = np.resize(GRAYS, (FURTHER, 1))
    return (colors * 255).round().astype(np.uint8)


def role_colors(segmentation: Int[Tensor, "height width"], truth: Int[Tensor, "height width"]) -> npt.NDArray[np.uint8]:
    """A segmentation in the colors of its roles, shape (H, W, 3)."""
    return palette()[roles(segmentation, truth)]


def pixels(image: Float[Tensor, "3 height width"]) -> npt.NDArray[np.uint8]:
    """An image in [-1, 1] as bytes, shape (H, W, 3)."""
    return (to_rgb(image) * 255).round().astype(np.uint8)


def glance(sets: list[Frames], columns: int = 4) -> Figure:
    """The middle scene of the first set: a row per variant, from the slots in training to the most.

    Args:
        sets: data sets of the explorer.
        columns: slot counts, evenly spaced among those from :attr:`slotnorm_book.analyses.explorer_views.Frames.start`
            on.
    """
    if not sets:
        return note("no data set has a model of every variant yet")
    frames = sets[0]
    scene = len(frames.scene_ids) // 2
    after = range(frames.start, len(frames.slots))
    places = [after[i] for i in np.unique(np.linspace(0, len(after) - 1, columns).round().astype(int))]
    rows, side = max(2, len(frames.views)), PHONE_WIDTH / (len(places) + 1)
    size = (PHONE_WIDTH, (side + 0.22) * rows + 0.2)
    fig, axes = plt.subplots(rows, len(places) + 1, figsize=size, squeeze=False, subplot_kw={"frame_on": False})
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    _draw(axes[0, 0], pixels(frames.image[scene]), "picture")
    _draw(axes[1, 0], role_colors(frames.truth[scene], frames.truth[scene]), "truth")
    for row, (variant, view) in enumerate(frames.views.items()):
        line = axes[row]
        line[1].set_ylabel(VARIANTS[variant].label, fontsize=9)
        for ax, place in zip(line[1:], places, strict=True):
            score = round(view.f_ari[place, scene].item(), 2) + 0.0  # no -0.00
            heading = f"{frames.slots[place]} slots\n" if row == 0 else ""
            _draw(ax, role_colors(view.segmentation[place, scene], frames.truth[scene]), f"{heading}{score:.2f}")
    return fig


def _draw(ax: Axes, picture: npt.NDArray[np.uint8], title: str) -> None:
    ax.imshow(picture, interpolation="nearest")
    ax.set_title(title, fontsize=9)


def answer(sets: Sequence[Frames]) -> str:
    """What more slots do, in Markdown: an entry per set with each variant's mean F-ARI in training and at most slots.

    Args:
        sets: of :func:`slotnorm_book.analyses.explorer_views.frames`; without any, the text says so. A set that was
            not evaluated with the slots in training is told from
            :attr:`slotnorm_book.analyses.explorer_views.Frames.start` on.
    """
    entries = []
    for each in sets:
        first, last = each.start, len(each.slots) - 1
        pairs = {VARIANTS[name].label: view.average[[first, last]] for name, view in each.views.items()}
        means = [f"{label} {few:.2f} → {many:.2f}" for label, (few, many) in pairs.items()]
        trained = "" if each.slots[first] == each.train_slots else f" (trained with {each.train_slots})"
        counts = f"{each.slots[first]} → {each.slots[last]} slots{trained}"
        entries.append(f"- {each.test.label}, {counts}: {', '.join(means)}")
    return "\n".join(entries) or "- no set can be shown yet"
