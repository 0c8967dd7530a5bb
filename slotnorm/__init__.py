"""Attention normalization in Slot Attention: the module, its variants and measures.

After Krimmel, Achterhold & Stueckler, *Attention Normalization Impacts Cardinality Generalization in Slot Attention*
(TMLR 2024). ``SlotAttention(..., normalization=...)`` is all that a model of your own needs.
"""

from slotnorm.attention import SlotAttention
from slotnorm.normalization import NORMALIZATIONS, Normalization, make_normalization

__version__ = "0.1.0"
__all__ = ["NORMALIZATIONS", "Normalization", "SlotAttention", "make_normalization"]
