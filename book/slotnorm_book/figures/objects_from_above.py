"""Objects of a CLEVR scene, true or predicted, seen from above."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from slotnorm.object_properties import CLASS_COUNTS, COORDINATES, REAL

PALETTE = ("#575757", "#ad2323", "#2a4bd7", "#1d6914", "#814a19", "#8126c0", "#29d0d0", "#ffee33")
"""CLEVR's gray, red, blue, green, brown, purple, cyan and yellow, in the stand-in's order of classes."""
MARKERS = ("o", "s", "D")
"""Markers of sphere, cube and cylinder."""
AREAS = (70.0, 24.0)
"""Areas of the markers of large and small objects, in square points."""
CAMERA = (7.4, -6.9)
"""Position of CLEVR's camera, up to half a unit, in world units; the map shows it below the scene."""
HALF = 0.68
"""Half the side of the map, as a share of the six units that coordinates span."""


def draw_objects_from_above(
    ax: Axes, objects: Float[Tensor, "objects 19"], truth: Float[Tensor, "others 19"] | None = None
) -> None:
    """Draw a map of the ground, with the camera below: every object as its most likely shape, size and color.

    Args:
        ax: axes to draw on.
        objects: properties as in :mod:`slotnorm.object_properties`; an object is as opaque as it is real.
        truth: true objects, marked by crosses.
    """
    table = objects.detach().cpu().numpy()
    shapes, sizes, _, colors = _classes(table)
    places = _places(table)
    for row, (x, y), shape, size, color in zip(table, places, shapes, sizes, colors, strict=True):
        ax.scatter(
            x,
            y,
            c=PALETTE[color],
            s=AREAS[size],
            marker=MARKERS[shape],
            alpha=float(row[REAL]),
            edgecolors="black",
            linewidths=0.5,
        )
    if truth is not None:
        real = truth.detach().cpu().numpy()
        x, y = _places(real[real[:, REAL] > 0.5]).T
        ax.scatter(x, y, c="black", marker="+", s=14, linewidths=0.7)
    ax.set_axis_on()
    ax.set(xlim=(-HALF, HALF), ylim=(-HALF, HALF), aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color="0.7", lw=0.5)


def _classes(table: npt.NDArray[np.float32]) -> list[npt.NDArray[np.int64]]:
    ends = np.cumsum(list(CLASS_COUNTS.values()))
    return [table[:, end - count : end].argmax(axis=1) for end, count in zip(ends, CLASS_COUNTS.values(), strict=True)]


def _places(table: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return positions to the right and away from the camera, shape (objects, 2); the middle of the scene is 0."""
    away = -np.array(CAMERA) / np.hypot(*CAMERA)
    right = np.array([away[1], -away[0]])
    ground: npt.NDArray[np.float64] = (table[:, COORDINATES][:, :2] - 0.5) @ np.stack([right, away], axis=1)
    return ground
