"""Computes pictures, segmentations and pixel counts of scenes, tile by tile.

Legend: B scenes, M object places, N tiles, T rays of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from data_tools.stand_ins.render.casting import NOTHING, background, nearest, place_objects, view_rays
from data_tools.stand_ins.render.shading import World, shade
from data_tools.stand_ins.render.shadows import place_casters
from data_tools.stand_ins.render.tiles import SIDE, Tiles, make_tiles, untile
from data_tools.stand_ins.scenes import RENDERER_MAX_OBJECTS, Scenes

SIZE_RANGE = (8, 1024)
"""Smallest and largest picture, in pixels along a side."""
CPU_RAYS, GPU_RAYS = 1 << 16, 1 << 22
"""Rays at once: on a CPU few enough to stay in the cache, and enough that starting an operation costs little."""


@dataclass(frozen=True)
class Rendered:
    """The pictures of B scenes."""

    image: Tensor
    """uint8 (B, size, size, 3), RGB with a display gamma of 2"""
    segmentation: Tensor
    """uint8 (B, size, size): k + 1 for object k of a scene, 0 for the background, whichever the ray through a pixel's
    centre meets first"""


def render(scenes: Scenes, size: int, antialias: bool = True) -> Rendered:
    """Draw scenes.

    Args:
        scenes: B scenes, on any device.
        size: Side of the pictures in pixels.
        antialias: Average 2 x 2 rays per pixel. The segmentation is the same with and without.

    Raises:
        ValueError: `size` or the number of object places is out of range.
    """
    _check(scenes, size)
    sub = 2 if antialias else 1
    world = World(scenes, place_objects(scenes, torch.float32), place_casters(scenes))
    parts = [_develop(shade(tiles, world), sub) for tiles in _chunks(make_tiles(scenes, size, sub, torch.float32))]
    image = torch.cat(parts).view(len(scenes), -1, (SIDE // sub) ** 2, 3)
    return Rendered(untile(image, size, sub).contiguous(), label_maps(scenes, size))


def label_maps(scenes: Scenes, size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Compute segmentations only, uint8 (B, size, size).

    Raises:
        ValueError: `size` or the number of object places is out of range.
    """
    _check(scenes, size)
    objects = place_objects(scenes, dtype)
    parts = []
    for tiles in _chunks(make_tiles(scenes, size, 1, dtype)):
        camera, rays = view_rays(tiles, scenes, dtype)
        _, behind = background(camera, rays, scenes.dome.to(dtype)[tiles.scene, None])
        number = nearest(tiles, objects, behind)[1]
        parts.append(((number + 1) & NOTHING).to(torch.uint8))
    return untile(torch.cat(parts).view(len(scenes), -1, SIDE * SIDE), size, 1).contiguous()


def visible_pixels(scenes: Scenes, size: int) -> Tensor:
    """Count the pixels that show each object: int64 (B, M), computed in float64 so that rounding does not decide.

    Raises:
        ValueError: `size` or the number of object places is out of range.
    """
    labels = label_maps(scenes, size).flatten(1).long()
    index = labels + torch.arange(len(scenes), device=labels.device)[:, None] * (RENDERER_MAX_OBJECTS + 1)
    return torch.bincount(index.flatten(), minlength=len(scenes) * (RENDERER_MAX_OBJECTS + 1)).view(len(scenes), -1)[
        :, 1 : scenes.places + 1
    ]


def _check(scenes: Scenes, size: int) -> None:
    if not SIZE_RANGE[0] <= size <= SIZE_RANGE[1]:
        raise ValueError(f"size must be from {SIZE_RANGE[0]} to {SIZE_RANGE[1]} pixels, got {size}")
    if scenes.places > RENDERER_MAX_OBJECTS:
        raise ValueError(f"a scene holds at most {RENDERER_MAX_OBJECTS} objects, these have room for {scenes.places}")


def _chunks(tiles: Tiles) -> Iterator[Tiles]:
    rays = CPU_RAYS if tiles.u.device.type == "cpu" else GPU_RAYS
    step = rays // (SIDE * SIDE)
    for start in range(0, len(tiles), step):
        yield tiles[slice(start, start + step)]


def _develop(color: Tensor, sub: int) -> Tensor:
    """Average the sub-samples of (N, 3, T) and apply the display gamma: uint8 (N, T / sub^2, 3)."""
    pixels = SIDE * SIDE // (sub * sub)
    total = color[:, :, :pixels].clone()
    for start in range(pixels, color.shape[2], pixels):
        total += color[:, :, start : start + pixels]
    bright = (total / (sub * sub)).clamp_(0, 1).sqrt_()
    return (bright * 255).round_().to(torch.uint8).transpose(1, 2)
