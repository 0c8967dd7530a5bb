"""Checks for a normalization: the conformance suite, and slow references of the paper's normalizations.

Nothing here needs pytest; the suite is a class of test methods, which pytest collects from a subclass.
"""

from slotnorm.testing.conformance import NormalizationConformance
from slotnorm.testing.references import REFERENCES, Reference

__all__ = ["REFERENCES", "NormalizationConformance", "Reference"]
