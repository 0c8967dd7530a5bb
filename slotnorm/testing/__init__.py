"""Checks for a normalization: test methods that pytest collects from a subclass, and the paper's slow references."""

from slotnorm.testing.conformance import NormalizationConformance
from slotnorm.testing.references import REFERENCES, Reference

__all__ = ["REFERENCES", "NormalizationConformance", "Reference"]
