"""Draws scenes of the MOVi stand-ins and says, for every patch, which object it shows.

Legend: B scenes, N patches row by row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data_tools.stand_ins.movi import make_scenes
from data_tools.stand_ins.render import render
from data_tools.stand_ins.textured_objects import COLORS, SHAPES, TEXTURES
from data_tools.stand_ins.writer import check_request
from data_tools.writing.durable import DataError

LABEL_CLASSES = {
    "texture": 1 + len(TEXTURES),
    "color": 1 + len(COLORS),
    "second_color": 1 + len(COLORS),
    "shape": 1 + len(SHAPES),
}
"""Labels of a patch, and the number of classes of each; class 0 is the background."""


def draw_labelled_scenes(
    seed: int, start: int, count: int, *, variant: str, size: int, patch: int
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Draw scenes of a MOVi stand-in with the classes of the objects that their patches show.

    Args:
        seed: Seed of the scenes; scene i of a seed and variant is always the same.
        start: Number of the first scene.
        count: Number of scenes.
        variant: "c" or "d", a name in `data_tools.stand_ins.movi.VARIANTS`.
        size: Pixels along a side of a picture.
        patch: Pixels along a side of a patch.

    Returns:
        Pictures uint8 (B, size, size, 3); the labels of `LABEL_CLASSES`, each uint8 (B, N), of the object or background
        that covers most of a patch; and the share of the patch that it covers, float32 (B, N).

    Raises:
        DataError: An argument is out of range.

    >>> images, labels, share = draw_labelled_scenes(seed=9, start=0, count=2, variant="c", size=16, patch=8)
    >>> images.shape, sorted(labels), share.shape
    (torch.Size([2, 16, 16, 3]), ['color', 'second_color', 'shape', 'texture'], torch.Size([2, 4]))
    """
    check_request(count, size, seed, "cpu")
    if patch < 1 or size % patch:
        raise DataError(f"size must be a multiple of patch, got {size} and {patch}")
    scenes, tables = make_scenes(seed, np.arange(start, start + count), variant=variant)
    drawn = render(scenes, size, antialias=True)
    segment_BN, share_BN = find_main_segments(drawn.segmentation, patch)
    labels = {name: _look_up(tables[name], segment_BN) for name in LABEL_CLASSES}
    return drawn.image, labels, share_BN


def find_main_segments(segmentation: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """Find the segment that covers most of each patch, the one of lower number where two cover the same.

    Args:
        segmentation: Integers (B, H, W), not negative.
        patch: Pixels along a side of a patch; divides H and W.

    Returns:
        The segments, int64 (B, N), and the shares of the patches that they cover, float32 (B, N).
    """
    pixels = segmentation.unfold(1, patch, patch).unfold(2, patch, patch).flatten(3).flatten(1, 2).long()
    counts_BNS = torch.zeros(*pixels.shape[:2], int(pixels.max()) + 1)
    counts_BNS.scatter_add_(2, pixels, torch.ones_like(pixels, dtype=counts_BNS.dtype))
    most_BN, segment_BN = counts_BNS.max(dim=2)
    return segment_BN, most_BN / patch**2


def _look_up(table: npt.NDArray[np.uint8], segment_BN: Tensor) -> Tensor:
    return torch.from_numpy(table).gather(1, segment_BN)
