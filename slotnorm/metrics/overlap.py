"""Overlap of the objects of a scene with the segments of a model, and how a model uses its slots.

Shape letters: B batch, R ground-truth labels, C predicted labels, M objects, the ground-truth labels without the
background.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Integer
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from slotnorm.metrics.segmentation import contingency, require_labels
from slotnorm.numerics import in_double_precision, move_result


def mean_best_overlap(
    true: Integer[Tensor, "batch *pixels"], pred: Integer[Tensor, "batch *pixels"]
) -> Float[Tensor, " batch"]:
    """Compute mBO: the intersection over union of each object and the segment that fits it best, mean over objects.

    Unlike the F-ARI it falls when a segment spills over into the background. A segment may be the best of several
    objects (Pont-Tuset et al., 2017).

    Args:
        true, pred: ground-truth and predicted labels, shape (B, ...); a true label of 0 is the background.

    Returns:
        float64, shape (B,), from 0 to 1; NaN for an image without an object.

    Example:
        >>> mean_best_overlap(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 3, 3, 3]])).round(decimals=3).tolist()
        [0.667]
    """
    iou_BMC, objects_B = _intersection_over_union(true, pred)
    return move_result(iou_BMC.amax(dim=2).sum(dim=1) / objects_B, true.device)


def matched_mean_iou(
    true: Integer[Tensor, "batch *pixels"], pred: Integer[Tensor, "batch *pixels"]
) -> Float[Tensor, " batch"]:
    """Compute the intersection over union of objects and segments that are matched one to one, mean over objects.

    The matching is the best one (Hungarian algorithm); an object that is left over counts as 0. So a segment that holds
    two objects counts once, and an object that is split counts with one of its parts.

    Args:
        true, pred: labels as in :func:`mean_best_overlap`.

    Returns:
        float64, shape (B,), from 0 to 1; NaN for an image without an object.

    Example:
        >>> matched_mean_iou(torch.tensor([[1, 1, 2, 2]]), torch.tensor([[3, 3, 3, 3]])).item()
        0.25
    """
    iou_BMC, objects_B = _intersection_over_union(true, pred)
    costs = (-iou_BMC).cpu().numpy()
    matched = [-cost[linear_sum_assignment(cost)].sum() for cost in costs]
    matched_B = torch.tensor(matched, dtype=iou_BMC.dtype, device=iou_BMC.device)
    return move_result(matched_B / objects_B, true.device)


def slots_in_use(pred: Integer[Tensor, "batch *pixels"]) -> Int[Tensor, " batch"]:
    """Count the slots that own at least one pixel.

    Args:
        pred: predicted labels, shape (B, ...).

    Returns:
        int64, shape (B,).

    Example:
        >>> slots_in_use(torch.tensor([[0, 5, 5, 9], [1, 1, 1, 1]])).tolist()
        [3, 1]
    """
    require_labels("pred", pred)
    return (contingency(torch.zeros_like(pred, dtype=torch.uint8), pred)[:, 0] > 0).sum(dim=1)


def largest_share_of_background(
    true: Integer[Tensor, "batch *pixels"], pred: Integer[Tensor, "batch *pixels"]
) -> Float[Tensor, " batch"]:
    """Compute which share of the background belongs to the slot that has most of it.

    Args:
        true, pred: labels as in :func:`mean_best_overlap`.

    Returns:
        float64, shape (B,), from 0 to 1: 1 if one slot has the whole background; NaN for an image without background.

    Example:
        >>> largest_share_of_background(torch.tensor([[0, 0, 0, 0, 1]]), torch.tensor([[2, 2, 2, 4, 4]])).item()
        0.75
    """
    counts_BC = contingency(true, pred)[:, 0]
    background_BC = in_double_precision(counts_BC)
    return move_result(background_BC.amax(dim=1) / background_BC.sum(dim=1), counts_BC.device)


def _intersection_over_union(true: Tensor, pred: Tensor) -> tuple[Tensor, Tensor]:
    """Return the IoU of every object and segment, shape (B, M, C), and the number of objects, shape (B,)."""
    counts_BRC = in_double_precision(contingency(true, pred))
    area_BRC = counts_BRC.sum(dim=2, keepdim=True)
    union_BRC = area_BRC + counts_BRC.sum(dim=1, keepdim=True) - counts_BRC
    iou_BRC = counts_BRC / union_BRC.clamp(min=1)  # labels that do not occur have no pixel, so 0
    return iou_BRC[:, 1:], (area_BRC[:, 1:, 0] > 0).sum(dim=1)
