"""The book's figures, and the only matplotlib of the package. Needs the extra ``book``.

One color, marker and label per variant through the whole book, from the Okabe-Ito palette, which readers with any
common color-vision deficiency can tell apart. Labels are the paper's.
"""

from dataclasses import dataclass
from typing import final

from slotnorm.plots.style import OKABE_ITO, PHONE_WIDTH

__all__ = ["LABELS", "OKABE_ITO", "PHONE_WIDTH", "VARIANTS", "Variant"]


@final
@dataclass(frozen=True)
class Variant:
    """How the book draws a normalization."""

    label: str
    color: str
    marker: str


VARIANTS = {
    "weighted_mean": Variant("Baseline", OKABE_ITO["black"], "o"),
    "layer_norm": Variant("Layer Norm", OKABE_ITO["orange"], "s"),
    "weighted_sum": Variant("Weighted Sum", OKABE_ITO["blue"], "^"),
    "batch_norm": Variant("Batch Norm", OKABE_ITO["vermillion"], "D"),
    "kd_layer_norm": Variant("K-D-Layer Norm", OKABE_ITO["green"], "v"),
    "unnormalized": Variant("Unnormalized", OKABE_ITO["purple"], "X"),
}
"""Normalization name to its look, in the order of :data:`slotnorm.NORMALIZATIONS`."""

LABELS = {name: look.label for name, look in VARIANTS.items()}
"""Normalization name to the paper's name for it."""
