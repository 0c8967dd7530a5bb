r"""Average precision of predicted objects (App. I, after Locatello et al., 2020).

Every slot is a detection, scored by its last entry. From the highest score to the lowest, a detection is a true
positive if, among the objects of its scene with the same shape, size, material and color, the nearest is closer than
the threshold and was not found before. Detections of equal score keep the order of scenes and slots. The precision at
some recall is the best precision at that recall or a higher one.

Shape letters: B batch (all scenes), K slots, M objects of a scene, absent ones included, S slots and O objects of all
scenes together, T thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from slotnorm.object_properties import (
    CLASS_COUNTS,
    COORDINATES,
    NUM_CLASS_ENTRIES,
    NUM_PROPERTIES,
    REAL,
    require_objects,
)

THRESHOLDS = (math.inf, 1.0, 0.5, 0.25, 0.125)
"""Distances in world units of Locatello et al. (2020); Figs. 13 and 15 show all but the first."""


def average_precision(
    predictions: Float[Tensor, "scenes slots 19"],
    targets: Float[Tensor, "scenes objects 19"],
    thresholds: float | Sequence[float] = THRESHOLDS,
    units: tuple[float, float, float] = (6.0, 6.0, 6.0),
) -> Float[Tensor, " thresholds"]:
    """Compute the average precision over all scenes at every distance threshold.

    Args:
        predictions, targets: shapes (B, K, 19) and (B, M, 19), entries as in :mod:`slotnorm.object_properties`.
        thresholds: distances in world units, one or several; with infinity only the classes count.
        units: world units per unit of a coordinate entry; the paper's code has 6 for z too, which it scales otherwise.

    Returns:
        float64 on the CPU, shape (T,); NaN if no scene has an object, since recall is then undefined.

    Raises:
        ValueError: if a prediction or target is not finite, the shapes do not fit, or there is no scene.

    Example:
        >>> scene = torch.zeros(1, 1, 19).index_fill(2, torch.tensor([0, 3, 5, 7, 18]), 1.0)
        >>> average_precision(scene, scene, thresholds=[0.5]).tolist()
        [1.0]
    """
    require_objects(predictions, targets, NUM_PROPERTIES)
    predictions, targets = predictions.detach().cpu().double(), targets.detach().cpu().double()
    if not predictions.isfinite().all():
        raise ValueError("predictions hold values that are not finite: the model has diverged")
    if not targets.isfinite().all():
        raise ValueError("targets hold values that are not finite")
    limits_T1 = predictions.new_tensor(thresholds).reshape(-1, 1)
    num_real = int((targets[..., REAL] > 0).sum())
    if num_real == 0:
        return torch.full_like(limits_T1[:, 0], math.nan)
    distance_BK, object_BK = _nearest_alike(predictions, targets, predictions.new_tensor(units))
    order_S = predictions[..., REAL].flatten().argsort(descending=True, stable=True)
    distance_S, object_S = distance_BK.flatten()[order_S], object_BK.flatten()[order_S]
    true_TS = _first_of_each(distance_S < limits_T1, object_S, count=targets.shape[:2].numel())
    return _area(true_TS, num_real)


def _nearest_alike(predictions: Tensor, targets: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
    """Find the nearest object of the same classes: distance (B, K), infinite if there is none, and number (B, K)."""
    alike_BKM = _kind(predictions).unsqueeze(2) == _kind(targets).unsqueeze(1)
    alike_BKM &= (targets[..., REAL] > 0).unsqueeze(1)
    offset_BKM3 = predictions[..., COORDINATES].unsqueeze(2) - targets[..., COORDINATES].unsqueeze(1)
    distance_BKM = (offset_BKM3 * units).norm(dim=-1).masked_fill(~alike_BKM, math.inf)
    nearest_BK1 = distance_BKM.argmin(dim=-1, keepdim=True)
    first_B1 = torch.arange(len(targets), device=targets.device).unsqueeze(-1) * targets.shape[1]
    return distance_BKM.take_along_dim(nearest_BK1, dim=-1).squeeze(-1), first_B1 + nearest_BK1.squeeze(-1)


def _kind(objects: Tensor) -> Tensor:
    """Encode the four most likely classes as one number."""
    kind = torch.zeros_like(objects[..., 0], dtype=torch.int64)
    for scores in torch.split(objects[..., :NUM_CLASS_ENTRIES], list(CLASS_COUNTS.values()), dim=-1):
        kind = kind * scores.shape[-1] + scores.argmax(dim=-1)
    return kind


def _first_of_each(hit_TS: Tensor, object_S: Tensor, count: int) -> Tensor:
    """Keep the hits (T, S) whose object no earlier hit has found."""
    rank_TS = torch.arange(len(object_S), device=object_S.device).where(hit_TS, len(object_S))
    first_TO = rank_TS.new_full((len(hit_TS), count), len(object_S))
    object_TS = object_S.expand_as(rank_TS)
    first_TO.scatter_reduce_(1, object_TS, rank_TS, reduce="amin")
    return hit_TS & (first_TO.gather(1, object_TS) == rank_TS)


def _area(true_TS: Tensor, num_real: int) -> Tensor:
    """Add up interpolated precision over steps of recall."""
    precision_TS = true_TS.double().cumsum(dim=1) / torch.arange(1, true_TS.shape[1] + 1, device=true_TS.device)
    best_TS = precision_TS.flip(1).cummax(dim=1).values.flip(1)
    return (best_TS * true_TS).sum(dim=1) / num_real
