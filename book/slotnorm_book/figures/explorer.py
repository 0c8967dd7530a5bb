"""Colors of the explorer's pictures, a figure for readers without JavaScript, and a summary in words."""

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

from slotnorm_book.analyses.explorer_views import FURTHER, SPARE, Frames, assign_roles
from slotnorm_book.figures.segmented_scenes import BACKGROUND_GRAY, to_rgb
from slotnorm_book.figures.style import PHONE_WIDTH, look_of, placeholder_figure
from slotnorm_book.markup import escape_markdown

GRAYS = (0.62, 0.9, 0.72, 0.54, 0.87, 0.67, 0.94, 0.58)
"""Gray levels of further slots on the background; neighbors differ clearly."""


@cache
def make_role_palette() -> npt.NDArray[np.uint8]:
    """Return the color of every role of :func:`slotnorm_book.analyses.explorer_views.assign_roles`, shape (roles, 3).

    Only the background is gray. Objects have saturated colors, their further slots pale or dark ones.
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


def color_roles(segmentation: Int[Tensor, "height width"], truth: Int[Tensor, "height width"]) -> npt.NDArray[np.uint8]:
    """Return a segmentation in the colors of its roles, shape (H, W, 3)."""
    return make_role_palette()[assign_roles(segmentation, truth)]


def to_bytes(image: Float[Tensor, "3 height width"]) -> npt.NDArray[np.uint8]:
    """Return an image in [-1, 1] as bytes, shape (H, W, 3)."""
    return (to_rgb(image) * 255).round().astype(np.uint8)


def draw_middle_scene(sets: list[Frames], columns: int = 4) -> Figure:
    """Draw the middle scene of the first set: a row per variant, from the slots in training to the most slots.

    Args:
        sets: data sets of the explorer.
        columns: number of slot counts to show, evenly spaced from
            :attr:`slotnorm_book.analyses.explorer_views.Frames.start` on.
    """
    if not sets:
        return placeholder_figure("no data set has a model of every variant yet")
    frames = sets[0]
    scene = len(frames.scene_ids) // 2
    after = range(frames.start, len(frames.slots))
    places = [after[i] for i in np.unique(np.linspace(0, len(after) - 1, columns).round().astype(int))]
    rows, side = max(2, len(frames.views)), PHONE_WIDTH / (len(places) + 1)
    size = (PHONE_WIDTH, (side + 0.36) * rows + 0.2)
    fig, axes = plt.subplots(rows, len(places) + 1, figsize=size, squeeze=False, subplot_kw={"frame_on": False})
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    _draw_picture(axes[0, 0], to_bytes(frames.image[scene]), "picture")
    _draw_picture(axes[1, 0], color_roles(frames.truth[scene], frames.truth[scene]), "truth")
    for row, (variant, view) in enumerate(frames.views.items()):
        line = axes[row]
        line[1].set_ylabel(look_of(variant).label, fontsize=9)
        for ax, place in zip(line[1:], places, strict=True):
            own, blind = (float(each[place, scene]) for each in (view.f_ari, view.blind))
            heading = f"{frames.slots[place]} slots\n" if row == 0 else ""
            colors = color_roles(view.segmentation[place, scene], frames.truth[scene])
            _draw_picture(ax, colors, f"{heading}{own:z.2f}\nblind {blind:z.2f}")
    return fig


def _draw_picture(ax: Axes, picture: npt.NDArray[np.uint8], title: str) -> None:
    ax.imshow(picture, interpolation="nearest")
    ax.set_title(title, fontsize=9)


def describe_more_slots(sets: Sequence[Frames]) -> str:
    """Return a Markdown list of each variant's mean F-ARI and its control, with the training's slots and with the most.

    Args:
        sets: a data set per entry, see :func:`slotnorm_book.analyses.explorer_views.explorer_frames`; if there are
            none, the text says so. The first slot count is :attr:`slotnorm_book.analyses.explorer_views.Frames.start`,
            which an entry mentions if it is not that of the training.
    """
    entries = []
    for each in sets:
        first, last = each.start, len(each.slots) - 1
        means = []
        for name, view in each.views.items():
            few, many = (f"{view.average[k]:z.2f} (blind {view.average_blind[k]:z.2f})" for k in (first, last))
            means.append(f"{escape_markdown(look_of(name).label)} {few} → {many}")
        trained = "" if each.slots[first] == each.train_slots else f" (trained with {each.train_slots})"
        counts = f"{each.slots[first]} → {each.slots[last]} slots{trained}"
        entries.append(f"- {escape_markdown(each.test.label)}, {counts}: {', '.join(means)}")
    return "\n".join(entries) or "- no set can be shown yet"
