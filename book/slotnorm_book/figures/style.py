"""Colors, markers, labels and sizes that all figures of the book share."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import fill
from typing import Any, final

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from slotnorm.normalization import known_names, scale_factor
from slotnorm_book.variants import EM, EM_EQUAL

OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
}
PHONE_WIDTH = 5.4
"""Width of a figure in inches at which 10-point text is still readable on a phone."""

MARKS = {
    "o": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "s": "M-4-4h8v8h-8z",
    "^": "M0-5L5 4h-10z",
    "D": "M0-5.5L5.5 0L0 5.5L-5.5 0z",
    "v": "M0 5L5-4h-10z",
    "X": "M-4-4L4 4M4-4L-4 4",
    "P": "M-5 0h10M0-5v10",
    "p": "M0-5L4.8-1.5L2.9 4L-2.9 4L-4.8-1.5z",
    "*": "M0-5L1.2-1.6L4.8-1.5L1.9 0.6L2.9 4L0 2L-2.9 4L-1.9 0.6L-4.8-1.5L-1.2-1.6z",
}
"""Marker of matplotlib to an SVG path of the same shape around the origin."""

FLOOR_LINE: dict[str, Any] = {"color": "0.45", "lw": 1.0, "ls": (0, (5, 2)), "zorder": 0, "label": "blind floor"}
"""How the F-ARI of a partition that never sees a picture is drawn."""


@final
@dataclass(frozen=True)
class Look:
    """How the figures draw a variant: its label, color and matplotlib marker."""

    label: str
    color: str
    marker: str


_PAPER = {
    "weighted_mean": Look("Baseline", OKABE_ITO["black"], "o"),
    "layer_norm": Look("Layer Norm", OKABE_ITO["orange"], "s"),
    "weighted_sum": Look("Weighted Sum", OKABE_ITO["blue"], "^"),
    "batch_norm": Look("Batch Norm", OKABE_ITO["vermillion"], "D"),
    "kd_layer_norm": Look("K-D-Layer Norm", OKABE_ITO["green"], "v"),
    "unnormalized": Look("Unnormalized", OKABE_ITO["purple"], "X"),
}
_RIVALS = {
    "scaled_mean": Look("Scaled Mean", "#7F7F7F", "p"),
    "weighted_sum@sqrt": Look("C = √N", OKABE_ITO["green"], "P"),
    "weighted_sum@learned": Look("C learned", OKABE_ITO["sky"], "X"),
}
_NOT_TRAINED = {
    EM: Look("EM", OKABE_ITO["sky"], "P"),
    EM_EQUAL: Look("EM, equal weights", "#7F7F7F", "*"),
}
VARIANT_LABELS = {name: look.label for name, look in _PAPER.items()}
"""Name of each of the paper's normalizations to the paper's label for it."""


def look_of(name: str) -> Look:
    """Return the look of a variant.

    Every normalization has one: those of the paper, a scaled weighted sum such as ``weighted_sum@0.25``, and those that
    another package adds, which are labeled with their names. So have the two kinds of EM of
    :mod:`slotnorm_book.analyses.em_segmentation`.

    Args:
        name: of a normalization, or :data:`slotnorm_book.variants.EM` or :data:`slotnorm_book.variants.EM_EQUAL`.

    Raises:
        KeyError: no variant has this name.
    """
    for looks in (_PAPER, _RIVALS, _NOT_TRAINED):
        if name in looks:
            return looks[name]
    factor = scale_factor(name)
    if factor is not None:
        return _scaled_look(factor)
    if name not in known_names():
        raise KeyError(name)
    return Look(name, OKABE_ITO["sky"], "p")


def sort_variants(names: Iterable[str]) -> list[str]:
    """Return each name once: first the paper's in the paper's order, then the others in the order given."""
    given = dict.fromkeys(names)
    return [*(name for name in _PAPER if name in given), *(name for name in given if name not in _PAPER)]


def _scaled_look(factor: float) -> Look:
    """Return a look that is brown where C is smaller than N and green where it is larger, the darker the farther."""
    distance = min(1.0, abs(math.log2(factor)) / 6)
    color = mpl.colormaps["YlOrBr" if factor < 1 else "YlGn"](0.35 + 0.6 * distance)
    shown = f"N/{1 / factor:g}" if (1 / factor).is_integer() else f"{factor:g} N"
    return Look(f"C = {shown}", to_hex(color), "v" if factor < 1 else "P")


def placeholder_figure(text: str) -> Figure:
    """Return a figure that only shows a text, which says why there is nothing to draw."""
    fig = plt.figure(figsize=(PHONE_WIDTH, 1.2))
    fig.text(0.5, 0.5, fill(text, 60), ha="center", va="center", color="0.3")
    return fig
