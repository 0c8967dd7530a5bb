"""Colors and sizes that every figure of the book shares."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from slotnorm.normalization import known_names, scale_factor

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


@final
@dataclass(frozen=True)
class Variant:
    """How the book draws a normalization."""

    label: str
    color: str
    marker: str


class _Looks(dict[str, Variant]):
    """Looks by name; what stands beside the normalizations has its own from when it is first drawn."""

    def __missing__(self, name: str) -> Variant:
        if name in _BESIDE:
            return self.setdefault(name, _BESIDE[name])
        factor = scale_factor(name)
        if factor is not None:
            return self.setdefault(name, scaled_look(factor))
        if name not in known_names():
            raise KeyError(name)
        return self.setdefault(name, Variant(name, OKABE_ITO["sky"], "p"))


def scaled_look(factor: float) -> Variant:
    """Brown where C is smaller than N, green where it is larger, the darker the farther."""
    distance = min(1.0, abs(math.log2(factor)) / 6)
    color = mpl.colormaps["YlOrBr" if factor < 1 else "YlGn"](0.35 + 0.6 * distance)
    shown = f"N/{1 / factor:g}" if (1 / factor).is_integer() else f"{factor:g} N"
    return Variant(f"C = {shown}", to_hex(color), "v" if factor < 1 else "P")


_PAPER = {
    "weighted_mean": Variant("Baseline", OKABE_ITO["black"], "o"),
    "layer_norm": Variant("Layer Norm", OKABE_ITO["orange"], "s"),
    "weighted_sum": Variant("Weighted Sum", OKABE_ITO["blue"], "^"),
    "batch_norm": Variant("Batch Norm", OKABE_ITO["vermillion"], "D"),
    "kd_layer_norm": Variant("K-D-Layer Norm", OKABE_ITO["green"], "v"),
    "unnormalized": Variant("Unnormalized", OKABE_ITO["purple"], "X"),
}


_BESIDE = {
    "em": Variant("EM", OKABE_ITO["sky"], "P"),
    "em_equal": Variant("EM, equal weights", "#7F7F7F", "*"),
}


VARIANTS: dict[str, Variant] = _Looks(_PAPER)
"""Normalization name to its look, in the order of :data:`slotnorm.normalization.NORMALIZATIONS`.

It also knows ``weighted_sum@0.25`` and the like, the EM of :mod:`slotnorm_book.analyses.em_segmentation`, and by its
name a normalization that somebody has added.
"""


LABELS = {name: look.label for name, look in _PAPER.items()}
"""Normalization name to the paper's name for it."""


def note(text: str) -> Figure:
    """A figure that says why there is none."""
    fig = plt.figure(figsize=(PHONE_WIDTH, 1.2))
    fig.text(0.5, 0.5, text, ha="center", va="center", color="0.3")
    return fig


def variant_legend(fig: Figure, variants: Sequence[str], *, spatial: bool = False) -> None:
    """The looks of these variants above the panels, in the book's order; with ``spatial`` that of such runs, too."""
    looks = [look for name, look in VARIANTS.items() if name in set(variants)]
    handles = [Line2D([], [], color=look.color, marker=look.marker, label=look.label) for look in looks]
    if spatial:
        handles.append(Line2D([], [], color="0.3", ls=":", lw=1.4, label="spatial run"))
    columns = min(5, len(handles)) if fig.get_figwidth() > PHONE_WIDTH else min(3, len(handles))
    fig.legend(handles=handles, loc="outside upper center", ncols=columns)
