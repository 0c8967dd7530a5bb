"""Scales frames bicubically and masks by nearest neighbour.

*Which bicubic.* Cubic convolution with a = -0.75 on half-pixel centres, with repeated border pixels and without
antialiasing, as `torch.nn.functional.interpolate(mode="bicubic", align_corners=False)` computes and as the paper's code
uses. Pillow's bicubic differs: a = -0.5, and its kernel widens when an image shrinks. Stored frames are rounded to the
nearest grey level and clipped to 0...255 after scaling.

*Which nearest.* A mask's pixel takes the label under its centre, so that masks stay aligned with frames. If the centre
is on the border of two pixels (every seventh from 256 to 224), it takes the later one. torch's `nearest` would shift
masks by up to half a pixel, and Pillow takes sometimes one and sometimes the other pixel on a border.

Shape letters: B batch, C channels, H W image, S new side.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

BICUBIC = "bicubic, a = -0.75, half-pixel centres, not antialiased, rounded and clipped"
NEAREST = "nearest, half-pixel centres, the later pixel on a tie"


def bicubic(image: Tensor, size: int) -> Tensor:
    """Scale float images (B, C, H, W) to (B, C, S, S) without rounding or clipping.

    >>> bicubic(torch.ones(1, 3, 8, 8), 7).shape
    torch.Size([1, 3, 7, 7])
    """
    if image.shape[-2:] == (size, size):
        return image
    return interpolate(image, size=(size, size), mode="bicubic", align_corners=False, antialias=False)


def resize_images(image: Tensor, size: int) -> Tensor:
    """Scale uint8 RGB images (B, H, W, 3) to uint8 (B, S, S, 3), bicubically.

    >>> resize_images(torch.full((1, 8, 8, 3), 200, dtype=torch.uint8), 7).unique()
    tensor([200], dtype=torch.uint8)
    """
    if image.shape[1:3] == (size, size):
        return image
    scaled = bicubic(image.permute(0, 3, 1, 2).float(), size)
    return scaled.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def resize_masks(masks: Tensor, size: int) -> Tensor:
    """Scale uint8 masks (B, H, W) to uint8 (B, S, S) by nearest neighbour.

    >>> resize_masks(torch.tensor([[[1, 2], [3, 4]]], dtype=torch.uint8), 1)
    tensor([[[4]]], dtype=torch.uint8)
    """
    if masks.shape[1:] == (size, size):
        return masks
    rows, columns = (_nearest(length, size).to(masks.device) for length in masks.shape[1:])
    return masks[:, rows[:, None], columns]


def _nearest(length: int, size: int) -> Tensor:
    """Return the index of the source pixel under the centre of each of `size` pixels; the later one on a border."""
    return (2 * torch.arange(size) + 1) * length // (2 * size)
