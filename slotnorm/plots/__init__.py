"""The book's figures, and the only matplotlib of the package. Needs the extra ``book``.

One color, marker and label per variant through the whole book, from the Okabe-Ito palette, which readers with any
common color-vision deficiency can tell apart. Labels are the paper's.
"""

import math
from dataclasses import dataclass
from typing import final

import matplotlib as mpl
from matplotlib.colors import to_hex

from slotnorm.normalization import known_names, scale_factor
from slotnorm.plots.style import OKABE_ITO, PHONE_WIDTH

__all__ = ["LABELS", "OKABE_ITO", "PHONE_WIDTH", "VARIANTS", "Variant", "scaled_look"]


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

It also knows ``weighted_sum@0.25`` and the like, the EM of :mod:`slotnorm.clustering`, and by its name a normalization
that somebody has added.
"""

LABELS = {name: look.label for name, look in _PAPER.items()}
"""Normalization name to the paper's name for it."""
