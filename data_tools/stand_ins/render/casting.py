"""Finds the nearest surface along every primary ray.

Legend: B scenes, M object places, N tiles, T rays of a tile, P pairs of a tile and an object.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data_tools.stand_ins.render.shapes import ENTER
from data_tools.stand_ins.render.tiles import SIDE, Pairs, Tiles, pair_up
from data_tools.stand_ins.render.vectors import Vec, apply, columns, cut, dot, split
from data_tools.stand_ins.scenes import Scenes, Shape

NOTHING = 31
"""Object number of the background."""
SURELY_INSIDE = 0.25
"""Share of the dome's radius within which a floor point is certainly inside the dome; see `Scenes.dome`."""
_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


@dataclass(frozen=True)
class Objects:
    """The object places of all scenes, flattened to (B M, ...), as the rays need them."""

    origin: Tensor
    """(B M, 3), the camera in the object's unit space; the next three are the view's axes there"""
    forward: Tensor
    right: Tensor
    down: Tensor
    to_unit: Tensor
    """(B M, 3, 3), world offsets from the centre to unit space"""
    stretch: Tensor
    """(B M,), half length of a capsule's axis in unit space"""
    shape: Tensor
    """int64 (B M,)"""
    direction: Tensor
    """(B, M, 3), the unit vector from camera to centre: right, down, forward"""
    sine: Tensor
    """(B, M), of the angle under which the bounding sphere is seen; -2 for a place without object"""


def bounding_radius(shape: Tensor, scale: Tensor) -> Tensor:
    """Return the radius of a sphere around the object's centre that contains the object.

    Args:
        shape: Kinds of objects, int64 (...), as in `Shape`.
        scale: Half extents (..., 3).
    """
    x, y, z = split(scale)
    longest, rim = torch.maximum(torch.maximum(x, y), z), (x * x + z * z).sqrt()
    corner = (x * x + y * y + z * z).sqrt()
    radius = torch.where(shape == Shape.BOX, corner, longest)
    return torch.where((shape == Shape.CYLINDER) | (shape == Shape.CONE), rim, radius)


def place_objects(scenes: Scenes, dtype: torch.dtype) -> Objects:
    """Move the camera into every object's unit space."""
    scale, rotation, center = scenes.scale.to(dtype), scenes.rotation.to(dtype), scenes.center.to(dtype)
    capsule = scenes.shape == Shape.CAPSULE
    length, radius = scale[..., 2], scale[..., 0]
    unit = torch.where(capsule[..., None], scale[..., :1], scale)
    to_unit = rotation / unit[..., None]
    view = scenes.view.to(dtype)
    offset = center - scenes.camera.to(dtype)[:, None]
    axes = [apply(to_unit, view[:, None, i].expand_as(center)) for i in range(3)]
    seen = torch.stack([dot(split(offset), split(view[:, None, i])) for i in range(3)], -1)
    distance = dot(split(offset), split(offset)).sqrt()
    present = torch.arange(scenes.places, device=center.device) < scenes.count[:, None]
    sine = bounding_radius(scenes.shape, scale) / distance
    return Objects(
        origin=apply(to_unit, -offset).flatten(0, 1),
        forward=axes[2].flatten(0, 1),
        right=axes[0].flatten(0, 1),
        down=axes[1].flatten(0, 1),
        to_unit=to_unit.flatten(0, 1),
        stretch=torch.where(capsule, length / radius - 1, 0).flatten(),
        shape=scenes.shape.flatten(),
        direction=seen / distance[..., None],
        sine=torch.where(present, sine.clamp_max(1), -2),
    )


def overlaps(tiles: Tiles, objects: Objects) -> Tensor:
    """Return whether the cone of a tile's rays meets the cone around an object's bounding sphere: bool (N, M)."""
    half = 0.5 * (SIDE - 1) * tiles.step
    u, v, reach = tiles.u + half, tiles.v + half, 0.71 * SIDE * tiles.step
    length = (u * u + v * v + 1).rsqrt()
    x, y, z = split(objects.direction[tiles.scene])
    cosine = (x * u[:, None] + y * v[:, None] + z) * length[:, None]
    sine = objects.sine[tiles.scene]
    tile_cosine = (1 + reach * reach).rsqrt()[:, None]
    both = (1 - sine * sine).clamp_min(0).sqrt() * tile_cosine - sine * tile_cosine * reach[:, None]
    return (cosine >= both) & (sine > 0)


def view_rays(tiles: Tiles, scenes: Scenes, dtype: torch.dtype) -> tuple[Vec, Vec]:
    """Return camera (N, 1) and rays (N, T) in the world; depth along a ray is in units of the forward vector."""
    view, step = scenes.view.to(dtype)[tiles.scene], tiles.step[:, None]
    right, down = view[:, 0], view[:, 1]
    first = view[:, 2] + tiles.u[:, None] * right + tiles.v[:, None] * down
    return columns(scenes.camera.to(dtype)[tiles.scene]), spread(tiles, first, step * right, step * down)


def background(camera: Vec, rays: Vec, dome: Tensor) -> tuple[Tensor | None, Tensor]:
    """Find where every ray ends on the floor or on the dome of radius `dome` (N, 1).

    Returns:
        bool (N, T), true for the floor, or None if all rays end there; and the depth (N, T).
    """
    ground = -camera[2] / rays[2]
    if bool((ground.amin() > 0) & (ground.amax() < SURELY_INSIDE * dome.amin())):
        return None, ground
    a, b, c = dot(rays, rays), dot(camera, rays), dot(camera, camera) - dome * dome
    far = ((b * b - a * c).sqrt_() - b) / a
    floor = (ground > 0) & (ground < far)
    return floor, torch.where(floor, ground, far)


def nearest(tiles: Tiles, objects: Objects, behind: Tensor) -> tuple[Tensor, Tensor, Pairs | None]:
    """Find depth and number of the object that every ray meets first.

    Depth and number are kept in one integer, with the number in the lowest bits of the depth. The bits of positive
    floats are ordered like the floats, so the smallest integer is the nearest surface (and a NaN without its sign the
    farthest). The depth is thereby rounded, with a relative error of at most 4e-6 in float32.

    Args:
        tiles: N tiles.
        objects: Objects of all scenes.
        behind: Depth of the background, (N, T).

    Returns:
        Depth (N, T); number (N, T), integers with `NOTHING` for the background; and the pairs that were tested.
    """
    bits = _BITS[behind.dtype]
    keys = behind.view(bits) | NOTHING
    pairs = pair_up(overlaps(tiles, objects), tiles.scene, objects.shape)
    if pairs is not None:
        o, d, stretch = _unit_rays(tiles, objects, pairs)
        depth = pairs.per_kind(lambda kind, part: ENTER[kind](cut(o, part), cut(d, part), stretch[part]))
        found = depth.abs_().view(bits).bitwise_and_(~NOTHING).bitwise_or_(pairs.slot.to(bits).unsqueeze(1))
        keys = torch.minimum(keys, pairs.fold(found, torch.iinfo(bits).max, torch.minimum))
    return (keys & ~NOTHING).view(behind.dtype), keys & NOTHING, pairs


def _unit_rays(tiles: Tiles, objects: Objects, pairs: Pairs) -> tuple[Vec, Vec, Tensor]:
    """Return origins (P, 1), directions (P, T) and stretch (P, 1) in the objects' unit spaces."""
    u, v, step = (part[pairs.tile, None] for part in (tiles.u, tiles.v, tiles.step))
    right, down = objects.right[pairs.row], objects.down[pairs.row]
    first = objects.forward[pairs.row] + u * right + v * down
    directions = spread(tiles, first, step * right, step * down)
    return columns(objects.origin[pairs.row]), directions, objects.stretch[pairs.row, None]


def spread(tiles: Tiles, first: Tensor, across: Tensor, down: Tensor) -> Vec:
    """Return vectors (n, T) that grow linearly over a tile, from the first one and two steps, each (n, 3)."""
    parts = zip(columns(first), columns(across), columns(down), strict=True)
    x, y, z = (start + tiles.across * right + tiles.down * below for start, right, below in parts)
    return x, y, z
