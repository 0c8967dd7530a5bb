"""Scores of segmentations and of predicted objects.

The scores of segmentations raise a ValueError for labels that :func:`contingency` refuses.
"""

from slotnorm.metrics.detection import THRESHOLDS, average_precision
from slotnorm.metrics.overlap import largest_share_of_background, matched_mean_iou, mean_best_overlap, slots_in_use
from slotnorm.metrics.segmentation import (
    adjusted_precision_and_recall,
    adjusted_rand_index,
    blind_foreground_adjusted_rand_index,
    contingency,
    foreground_adjusted_rand_index,
)

__all__ = ["adjusted_rand_index", "foreground_adjusted_rand_index", "blind_foreground_adjusted_rand_index"]
__all__ += ["adjusted_precision_and_recall", "contingency", "mean_best_overlap", "matched_mean_iou", "slots_in_use"]
__all__ += ["largest_share_of_background", "average_precision", "THRESHOLDS"]
