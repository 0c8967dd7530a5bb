"""Computes the colour of every ray from lamps, shadows, textures and reflections.

Legend: N tiles, T rays of a tile, P pairs of a tile and an object.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data_tools.stand_ins.render.casting import NOTHING, Objects, background, nearest, view_rays
from data_tools.stand_ins.render.shadows import Casters, blocked
from data_tools.stand_ins.render.shapes import NORMAL
from data_tools.stand_ins.render.textures import share
from data_tools.stand_ins.render.tiles import Pairs, Tiles, pair_up
from data_tools.stand_ins.render.vectors import Vec, columns, cut, dot, normalize
from data_tools.stand_ins.scenes import Lighting, Scenes, Surface

HAZE = 0.5
"""Brightness of fog."""


@dataclass(frozen=True)
class World:
    """Scenes with everything that is computed once per batch."""

    scenes: Scenes
    objects: Objects
    casters: Casters


def shade(tiles: Tiles, world: World) -> Tensor:
    """Compute linear red, green and blue of every ray: (N, 3, T)."""
    scenes, scene = world.scenes, tiles.scene
    camera, rays = view_rays(tiles, scenes, torch.float32)
    floor, behind = background(camera, rays, scenes.dome[scene, None])
    depth, number, pairs = nearest(tiles, world.objects, behind)
    number = number.to(torch.float32)
    points = _along(camera, rays, depth)
    axes = world.casters.axes[scene]
    across, up, toward = (dot(points, columns(axes[:, i])) for i in range(3))
    dark = blocked(tiles, (across, up, toward), number, world.casters)
    color = _shade_background(world, tiles, points, floor, dark)
    pairs = None if pairs is None else _seen(pairs, tiles, number, world)
    if pairs is not None:
        spots = _shade_objects(world, tiles, pairs, points, rays, number, dark)
        bare = (number - (NOTHING - 1)).clamp_min_(0)
        color = color * bare.unsqueeze(1) + pairs.fold(spots, 0, torch.add)
    return _through_air(color, tiles, depth, scenes.lighting)


def _seen(pairs: Pairs, tiles: Tiles, number: Tensor, world: World) -> Pairs | None:
    """Return the pairs whose object is visible in their tile."""
    hits = (number.index_select(0, pairs.tile) - pairs.slot.unsqueeze(1)).abs_().amin(1) == 0
    seen = torch.zeros(len(tiles), world.scenes.places, dtype=torch.bool, device=number.device)
    seen[pairs.tile[hits], pairs.slot[hits]] = True
    return pair_up(seen, tiles.scene, world.objects.shape)


def _along(camera: Vec, rays: Vec, depth: Tensor) -> Vec:
    return camera[0] + depth * rays[0], camera[1] + depth * rays[1], camera[2] + depth * rays[2]


def _shade_background(world: World, tiles: Tiles, points: Vec, floor: Tensor | None, dark: Tensor) -> Tensor:
    lighting, scene = world.scenes.lighting, tiles.scene
    key = (lighting.key_strength * lighting.key[:, 2])[scene, None]
    fill = (lighting.fill_strength * lighting.fill[:, 2])[scene, None]
    ambient = lighting.ambient[scene, None]
    x, y = points[0], points[1]
    pool = 1 + lighting.falloff[scene, None] * (x * x + y * y)
    light = ((key + fill + ambient) - key * dark[:, 0] - ambient * dark[:, 1]) / pool
    ground = _albedo(world.scenes.floor, scene, points) * light.unsqueeze(1)
    if floor is None:
        return ground
    glow = ambient + 0.5 * lighting.key_strength[scene, None]
    return torch.where(floor.unsqueeze(1), ground, _albedo(world.scenes.backdrop, scene, points) * glow.unsqueeze(1))


def _albedo(surface: Surface, row: Tensor, points: Vec) -> Tensor:
    """Return the colour (N, 3, T) of a floor or backdrop at points (N, T)."""
    color = surface.color_a[row].unsqueeze(2)
    if not bool(surface.texture.any()):
        return color
    offset, frequency = columns(surface.offset[row]), surface.frequency[row, None]
    x, y, z = (point * frequency + start for point, start in zip(points, offset, strict=True))
    other = surface.color_b[row].unsqueeze(2)
    return color + (other - color) * share(surface.texture[row], (x, y, z)).unsqueeze(1)


def _shade_objects(
    world: World, tiles: Tiles, pairs: Pairs, points: Vec, rays: Vec, number: Tensor, dark: Tensor
) -> Tensor:
    """Return colours (P, 3, T) of objects where they are visible, 0 elsewhere."""
    scenes, scene = world.scenes, tiles.scene[pairs.tile]
    x, y, z, rx, ry, rz, owner = (part.index_select(0, pairs.tile) for part in (*points, *rays, number))
    cx, cy, cz = columns(scenes.center.flatten(0, 1)[pairs.row])
    offset = (x - cx, y - cy, z - cz)
    normal = _normals(world.objects, pairs, offset)
    ray = normalize((rx, ry, rz))
    facing = 2 * dot(normal, ray)
    mirror = (ray[0] - facing * normal[0], ray[1] - facing * normal[1], ray[2] - facing * normal[2])
    hidden, corner = dark.index_select(0, pairs.tile).unbind(1)
    lighting = scenes.lighting
    lit = lighting.key_strength[scene, None] * (1 - hidden)
    diffuse = dot(normal, columns(lighting.key[scene])).clamp_min_(0) * lit
    diffuse += dot(normal, columns(lighting.fill[scene])).clamp_min_(0) * lighting.fill_strength[scene, None]
    diffuse += (0.72 + 0.28 * normal[2]) * (1 - 0.6 * corner) * lighting.ambient[scene, None]
    color = _glossy(scenes, pairs, scene, _object_albedo(scenes, pairs, offset), diffuse, mirror, lit)
    return color * (1 - (owner - pairs.slot.unsqueeze(1)).abs_().clamp_max_(1)).unsqueeze(1)


def _glossy(
    scenes: Scenes, pairs: Pairs, scene: Tensor, albedo: Tensor, diffuse: Tensor, mirror: Vec, lit: Tensor
) -> Tensor:
    """Add gloss: a broad weak highlight on dull surfaces; on metal, mirrored lamps, floor and darker surroundings."""
    lighting, metal = scenes.lighting, scenes.surface.metal.flatten()[pairs.row, None]
    key = torch.exp((dot(mirror, columns(lighting.key[scene])) - 1) * (9 + 111 * metal))
    fill = torch.exp((dot(mirror, columns(lighting.fill[scene])) - 1) * 30)
    down = (0.5 - 5 * mirror[2]).clamp_(0, 1)
    up = mirror[2].clamp_min(0)
    around = (0.1 + 0.75 * up * up) * (1 - down) + fill * (2.5 * lighting.fill_strength[scene, None])
    own = diffuse * (1 - 0.7 * metal) + around * (1.3 * metal)
    floor = scenes.floor.color_a[scene] * (1.5 * metal * lighting.key_strength[scene, None])
    gloss = lit * key * (0.07 + 2.2 * metal)
    return albedo * (own.unsqueeze(1) + floor.unsqueeze(2) * down.unsqueeze(1)) + gloss.unsqueeze(1)


def _object_albedo(scenes: Scenes, pairs: Pairs, offset: Vec) -> Tensor:
    """Return the colour (P, 3, T or 1) of objects at points given by their offset from the centre."""
    surface, row = scenes.surface, pairs.row
    color = surface.color_a.flatten(0, 1)[row].unsqueeze(2)
    texture = surface.texture.flatten()[row]
    if not bool(texture.any()):
        return color
    turn = scenes.rotation.flatten(0, 1)[row] * surface.frequency.flatten()[row, None, None]
    start = columns(surface.offset.flatten(0, 1)[row])
    x, y, z = (dot(offset, columns(turn[:, i])) + start[i] for i in range(3))
    other = surface.color_b.flatten(0, 1)[row].unsqueeze(2)
    return color + (other - color) * share(texture, (x, y, z)).unsqueeze(1)


def _normals(objects: Objects, pairs: Pairs, offset: Vec) -> Vec:
    """Return outward unit normals in the world at points (P, T) given by their offset from the object's centre."""
    matrix, stretch = objects.to_unit[pairs.row], objects.stretch[pairs.row, None]
    x, y, z = (dot(offset, columns(matrix[:, i])) for i in range(3))
    parts = [NORMAL[kind](cut((x, y, z), part), stretch[part]) for kind, part in pairs.segments]
    gx, gy, gz = (torch.cat(part) for part in zip(*parts, strict=True))
    nx, ny, nz = (dot((gx, gy, gz), columns(matrix[:, :, i])) for i in range(3))
    return normalize((nx, ny, nz))


def _through_air(color: Tensor, tiles: Tiles, depth: Tensor, lighting: Lighting) -> Tensor:
    """Apply fog and vignette."""
    step = tiles.step[:, None]
    u, v = tiles.u[:, None] + tiles.across * step, tiles.v[:, None] + tiles.down * step
    dim = 1 - lighting.vignette[tiles.scene, None] * (u * u + v * v)
    clear = torch.exp(-lighting.fog[tiles.scene, None] * depth)
    return color * (clear * dim).unsqueeze(1) + (HAZE * (1 - clear) * dim).unsqueeze(1)
