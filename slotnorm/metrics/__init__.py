"""Scores of segmentations and of predicted objects."""

from slotnorm.metrics.detection import THRESHOLDS, average_precision
from slotnorm.metrics.segmentation import adjusted_rand_index, contingency, foreground_adjusted_rand_index

__all__ = ["adjusted_rand_index", "foreground_adjusted_rand_index", "contingency", "average_precision", "THRESHOLDS"]
