"""The book's figures."""

from slotnorm_book.figures.style import LABELS, OKABE_ITO, PHONE_WIDTH, VARIANTS, Variant, scaled_look

__all__ = ["LABELS", "OKABE_ITO", "PHONE_WIDTH", "VARIANTS", "Variant", "scaled_look"]
