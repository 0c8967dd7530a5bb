"""Arranges rays in tiles, and finds the objects that matter in each tile.

Legend: N tiles, T rays of a tile, M object places of a scene, P pairs of a tile and an object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from data_tools.stand_ins.scenes import Scenes

SIDE = 8
"""Rays along a tile's side: 64 rays suffice for vectorised loops, and few objects matter in a tile."""


@dataclass(frozen=True)
class Tiles:
    """Square tiles of rays; `u` and `v` are the image-plane coordinates of a tile's first ray."""

    scene: Tensor
    """int64 (N,)"""
    u: Tensor
    v: Tensor
    step: Tensor
    """(N,), distance of neighbouring rays"""
    across: Tensor
    down: Tensor
    """(1, T), position within the tile in rays; the sub-samples of a pixel are T / sub^2 apart"""

    def __len__(self) -> int:
        return len(self.scene)

    def __getitem__(self, part: slice) -> Tiles:
        return Tiles(self.scene[part], self.u[part], self.v[part], self.step[part], self.across, self.down)


def make_tiles(scenes: Scenes, size: int, sub: int, dtype: torch.dtype) -> Tiles:
    """Make the tiles of all scenes, scene by scene and row by row, for pictures of size x size pixels.

    Args:
        scenes: Scenes to look at.
        size: Side of the pictures in pixels. The last tiles extend beyond it if it is no multiple of SIDE / sub.
        sub: Rays along a pixel's side, 1 or 2.
        dtype: Type of the coordinates.
    """
    device, tangent = scenes.count.device, scenes.tangent.to(dtype)
    side = tiles_per_side(size, sub)
    start = torch.arange(side, device=device, dtype=dtype) * SIDE
    first = tangent[:, None] * ((2 * start + 1) / (size * sub) - 1)
    offset = torch.arange(SIDE, device=device, dtype=dtype).view(-1, sub)
    down, across = torch.meshgrid(offset.reshape(-1), offset.reshape(-1), indexing="ij")
    return Tiles(
        scene=torch.arange(len(scenes), device=device).repeat_interleave(side * side),
        u=first[:, None, :].expand(-1, side, -1).reshape(-1),
        v=first[:, :, None].expand(-1, -1, side).reshape(-1),
        step=(2 * tangent / (size * sub)).repeat_interleave(side * side),
        across=_subsample_major(across, sub),
        down=_subsample_major(down, sub),
    )


def tiles_per_side(size: int, sub: int) -> int:
    """Return the number of tiles along a picture's side."""
    return -(-size * sub // SIDE)


def untile(values: Tensor, size: int, sub: int) -> Tensor:
    """Arrange values (B, tiles, pixels of a tile, ...) as pictures (B, size, size, ...)."""
    side, pixels = tiles_per_side(size, sub), SIDE // sub
    grid = values.view(len(values), side, side, pixels, pixels, *values.shape[3:]).transpose(2, 3)
    return grid.reshape(len(values), side * pixels, side * pixels, *values.shape[3:])[:, :size, :size]


def _subsample_major(coordinate: Tensor, sub: int) -> Tensor:
    pixels = SIDE // sub
    return coordinate.view(pixels, sub, pixels, sub).permute(1, 3, 0, 2).reshape(1, -1)


@dataclass(frozen=True)
class Pairs:
    """The pairs of a tile and an object that may be seen in it, sorted by kind, so that each kind is one slice.

    Combining the objects of a tile needs no scatter: layer r holds the r-th object of every tile that has one, with
    the tiles in order of falling number of objects, so that each layer covers the leading tiles of the one before.
    """

    tile: Tensor
    """int64 (P,)"""
    slot: Tensor
    """int64 (P,), the object's place in its scene"""
    row: Tensor
    """int64 (P,), the object's row in tables of (B M)"""
    segments: list[tuple[int, slice]]
    """(kind, its pairs)"""
    layered: Tensor
    """int64 (P,), the pairs layer by layer"""
    layers: list[int]
    """tiles in each layer"""
    position: Tensor
    """int64 (N,), of every tile in the order of the layers"""

    def __len__(self) -> int:
        return len(self.tile)

    def per_kind(self, function: Callable[[int, slice], Tensor]) -> Tensor:
        """Join (p, T) of all kinds to (P, T)."""
        return torch.cat([function(kind, part) for kind, part in self.segments])

    def fold(self, values: Tensor, empty: float, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Combine the values (P, ...) of every tile's objects: (N, ...), with `empty` where there is no object."""
        values = values.index_select(0, self.layered)
        width = self.layers[0]
        total = torch.cat([values[:width], torch.full_like(values[:1], empty)])
        end = width
        for length in self.layers[1:]:
            total[:length] = combine(total[:length], values[end : end + length])
            end += length
        return total.index_select(0, self.position.clamp_max(width))


def pair_up(overlap: Tensor, scene: Tensor, kinds: Tensor) -> Pairs | None:
    """Return the pairs of tiles and objects that overlap, or None if there are none.

    Args:
        overlap: Whether object and tile overlap, bool (N, M).
        scene: Scenes of the tiles, int64 (N,).
        kinds: Kind of every object place, int64 (B M,).
    """
    tile, slot = overlap.nonzero(as_tuple=True)
    if not len(tile):
        return None
    row = scene[tile] * overlap.shape[1] + slot
    kind, by_kind = kinds[row].sort(stable=True)
    tile, slot, row = tile[by_kind], slot[by_kind], row[by_kind]
    number = overlap.sum(1)
    order = number.argsort(descending=True, stable=True)
    position = torch.empty_like(order)
    position[order] = torch.arange(len(order), device=order.device)
    layers = (number.unsqueeze(1) > torch.arange(overlap.shape[1], device=overlap.device)).sum(0)
    rank = overlap.cumsum(1)[tile, slot] - 1
    layered = torch.empty_like(tile)
    layered[(layers.cumsum(0) - layers)[rank] + position[tile]] = torch.arange(len(tile), device=tile.device)
    return Pairs(tile, slot, row, _segments(kind), layered, [length for length in layers.tolist() if length], position)


def _segments(kind: Tensor) -> list[tuple[int, slice]]:
    ends = kind.bincount().cumsum(0).tolist()
    starts = [0, *ends[:-1]]
    return [(k, slice(start, end)) for k, (start, end) in enumerate(zip(starts, ends, strict=True)) if end > start]
