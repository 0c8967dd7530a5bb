"""Segmentations that are right or wrong in a known way, and what the measures say about them.

Shape letters: B batch, K slots, H W image.
"""

from __future__ import annotations

import pandas as pd
import torch
from jaxtyping import Int, Integer
from torch import Tensor
from torch.nn.functional import max_pool2d

from slotnorm.metrics import adjusted_rand_index, foreground_adjusted_rand_index, mean_best_overlap
from slotnorm_book.statistics.blind_partition import fit_blind_partition

HALO = 2
"""Width in pixels of the seam around objects in the third example."""
STRIPES = 4
"""Number of stripes into which the background is cut in the second example."""


def example_segmentations(
    truth: Integer[Tensor, "batch height width"], cells: int
) -> dict[str, Int[Tensor, "batch height width"]]:
    """Make segmentations of scenes with known faults.

    Args:
        truth: ground-truth labels, shape (B, H, W); 0 is the background.
        cells: number of cells of the partition that sees no picture.

    Returns:
        Description to labels, shape (B, H, W).
    """
    truth, most = truth.long(), int(truth.max()) + 1
    rows, columns = truth.shape[1:]
    stripe = (torch.arange(rows) * STRIPES // rows)[:, None].expand(rows, columns) + most
    return {
        "the truth": truth,
        "the truth, its background cut into stripes": torch.where(truth == 0, stripe, truth),
        "the truth, each object with a seam of background": _widen(truth),
        "the truth, each object cut into halves": _halve(truth) * most + truth,
        "cells that never see the picture": fit_blind_partition(truth, cells).expand(truth.shape),
        "everything in one slot": torch.zeros_like(truth),
    }


def _widen(truth: Tensor) -> Tensor:
    """Give the background within :data:`HALO` pixels of an object to the object."""
    wide = max_pool2d(truth[:, None].double(), 2 * HALO + 1, stride=1, padding=HALO)[:, 0].long()
    return torch.where(truth == 0, wide, truth)


def _halve(truth: Tensor) -> Tensor:
    """Return 1 for the pixels of an object that are right of the middle of its extent, otherwise 0."""
    column = torch.arange(truth.shape[2]).expand(truth.shape)
    right = torch.zeros_like(truth)
    for label in range(1, int(truth.max()) + 1):
        inside = truth == label
        least = column.where(inside, truth.shape[2]).amin(dim=(1, 2), keepdim=True)
        largest = column.where(inside, -1).amax(dim=(1, 2), keepdim=True)
        right += inside & (2 * column > least + largest)
    return right


def score_examples(truth: Integer[Tensor, "batch height width"], cells: int) -> pd.DataFrame:
    """Score the :func:`example_segmentations` by the measures of the book, as means over scenes.

    Args:
        truth, cells: see :func:`example_segmentations`; there have to be two scenes at least.

    Returns:
        A row per segmentation: ``segmentation``, ``F-ARI``, ``ARI``, ``mBO``, ``blind F-ARI``, against the truth of the
        next scene, and ``found``, the difference of F-ARI and blind F-ARI.

    Raises:
        ValueError: there are fewer than two scenes.
    """
    if len(truth) < 2:
        raise ValueError(f"truth must hold two scenes at least, got {len(truth)}")
    rows = []
    for name, labels in example_segmentations(truth, cells).items():
        own, other = (
            foreground_adjusted_rand_index(scenes, labels).mean().item() for scenes in (truth, truth.roll(1, dims=0))
        )
        measured = {
            "F-ARI": own,
            "ARI": adjusted_rand_index(truth, labels).mean().item(),
            "mBO": mean_best_overlap(truth, labels).nanmean().item(),
            "blind F-ARI": other,
            "found": own - other,
        }
        rows.append({"segmentation": name} | measured)
    return pd.DataFrame(rows)
