"""Computes how much light of the key lamp, and of the surroundings, other objects keep from a point.

Seen from a lamp at infinity every object is a flat silhouette, and a point is in its shadow if it lies behind that
silhouette. The signed distance to the silhouette's outline, divided by the width of the lamp's penumbra there, gives a
soft edge for the cost of one test. Points are in light coordinates: (a, b) across, s towards the lamp.

Legend: B scenes, M object places, N tiles, T rays of a tile, P pairs of a tile and an object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from data_tools.stand_ins.render.casting import bounding_radius
from data_tools.stand_ins.render.tiles import Tiles, pair_up
from data_tools.stand_ins.render.vectors import Vec, by_kind, columns, cross, dot, split
from data_tools.stand_ins.scenes import Scenes, Shape

REACH = 2.2
"""Distance from an object's centre, in its radii, at which contact darkening ends."""
SHARPEST = 0.02
"""Least half width of a penumbra in world units."""


@dataclass(frozen=True)
class Casters:
    """Objects as the key lamp sees them, flattened to (B M, ...)."""

    axes: Tensor
    """(B, 3, 3), the light coordinates' axes in the world: two across, one towards the lamp"""
    center: Tensor
    """(B, M, 3) in light coordinates"""
    radius: Tensor
    """(B, M), of the bounding sphere; negative for a place without object"""
    outline: Tensor
    """(B M, 9), parameters of the silhouette, in the order in which its distance function reads them"""
    size: Tensor
    """(B M,), mean half extent"""
    shape: Tensor
    softness: Tensor
    """(B,)"""


def place_casters(scenes: Scenes) -> Casters:
    """Project every object along the key lamp's direction."""
    toward = scenes.lighting.key
    pole = torch.tensor([1.0, 0.0, 0.0], device=toward.device).expand_as(toward)
    first = torch.stack(_unit(split(cross(toward, pole))), -1)
    axes = torch.stack([first, cross(toward, first), toward], 1)
    present = torch.arange(scenes.places, device=toward.device) < scenes.count[:, None]
    shape, scale = scenes.shape.flatten(), scenes.scale.flatten(0, 1)
    # The object's axes in light coordinates, [object axis][light axis].
    turned = [
        [dot(split(scenes.rotation[:, :, i]), split(axes[:, None, j])).flatten() for j in range(3)] for i in range(3)
    ]
    outlines = {kind: make(turned, split(scale)) for kind, make in OUTLINE.items()}
    outline = by_kind(shape, lambda kind, rows: outlines[kind][rows], torch.zeros_like(outlines[Shape.BOX]))
    center = torch.stack([dot(split(scenes.center), split(axes[:, None, j])) for j in range(3)], -1)
    radius = bounding_radius(scenes.shape, scenes.scale)
    x, y, z = split(scale)
    return Casters(
        axes, center, torch.where(present, radius, -1e9), outline, (x + y + z) / 3, shape, scenes.lighting.softness
    )


def _unit(a: Vec) -> Vec:
    length = dot(a, a).clamp_min(1e-12).sqrt()
    return a[0] / length, a[1] / length, a[2] / length


def blocked(tiles: Tiles, points: Vec, number: Tensor, casters: Casters) -> Tensor:
    """Return the shares of key light and ambient light that do not reach each point: (N, 2, T) in [0, 1].

    Args:
        tiles: N tiles.
        points: Points (N, T) in light coordinates.
        number: Number of the object that a point is on, (N, T); a convex object casts no shadow on itself.
        casters: Objects of all scenes.
    """
    pairs = pair_up(_in_reach(tiles, points, casters), tiles.scene, casters.shape)
    if pairs is None:
        return torch.zeros_like(points[0]).unsqueeze(1).expand(-1, 2, -1)
    x, y, z = columns(casters.center.flatten(0, 1).index_select(0, pairs.row))
    a, b = points[0].index_select(0, pairs.tile) - x, points[1].index_select(0, pairs.tile) - y
    ahead = z - points[2].index_select(0, pairs.tile)
    outline, size = casters.outline.index_select(0, pairs.row), casters.size.index_select(0, pairs.row).unsqueeze(1)
    outside = pairs.per_kind(lambda kind, part: OUTSIDE[kind](a[part], b[part], outline[part]))
    other = (number.index_select(0, pairs.tile) - pairs.slot.unsqueeze(1)).abs_().clamp_max_(1)
    half = 0.5 / (casters.softness[tiles.scene[pairs.tile], None] * ahead.clamp_min(0) + SHARPEST)
    hidden = (0.5 - outside * half).clamp_(0, 1)
    shadow = hidden * hidden * (3 - 2 * hidden) * other * (ahead * (4 / size)).clamp_(0, 1)
    near = (1 - (a * a + b * b + ahead * ahead) * (1 / (REACH * size) ** 2)).clamp_min_(0)
    return pairs.fold(torch.stack([shadow, near * near * other], 1), 0, torch.maximum)


def _in_reach(tiles: Tiles, points: Vec, casters: Casters) -> Tensor:
    """Return whether an object may darken a tile, by the box around its points in light coordinates: bool (N, M)."""
    center, radius = split(casters.center[tiles.scene]), casters.radius[tiles.scene]
    beyond = []
    for coordinate, middle in zip(points, center, strict=True):
        low, high = coordinate.amin(1, keepdim=True), coordinate.amax(1, keepdim=True)
        beyond.append((torch.maximum(low - middle, middle - high).clamp_min_(0), middle - low))
    across = beyond[0][0] * beyond[0][0] + beyond[1][0] * beyond[1][0]
    ahead = beyond[2][1]
    edge = radius + casters.softness[tiles.scene, None] * ahead.clamp_min(0) + SHARPEST
    size = casters.size.view_as(casters.radius)[tiles.scene]
    near = across + beyond[2][0] * beyond[2][0] < size * size * (REACH * REACH)
    return (((across < edge * edge) & (ahead > 0)) | near) & (radius > 0)


def _outline_ellipsoid(turned: list[list[Tensor]], scale: Vec) -> Tensor:
    """Return the coefficients of A a^2 + 2 B ab + C b^2 = 1, and the mean radius."""
    unit = [[turned[i][j] / scale[i] for i in range(3)] for j in range(3)]
    u, v, w = ((unit[j][0], unit[j][1], unit[j][2]) for j in range(3))
    uw, vw, ww = dot(u, w), dot(v, w), dot(w, w)
    terms = [
        dot(u, u) - uw * uw / ww,
        dot(u, v) - uw * vw / ww,
        dot(v, v) - vw * vw / ww,
        (scale[0] + scale[1] + scale[2]) / 3,
    ]
    return _padded(terms)


def _outside_ellipsoid(a: Tensor, b: Tensor, outline: Tensor) -> Tensor:
    p, q, r, size = _parameters(outline, 4)
    return ((p * (a * a) + (2 * q) * (a * b) + r * (b * b)).clamp_min_(0).sqrt_() - 1) * size


def _outline_box(turned: list[list[Tensor]], scale: Vec) -> Tensor:
    """Return three strips (normal, half width), whose intersection is the hexagonal silhouette of a box."""
    edges = [(turned[i][0] * scale[i], turned[i][1] * scale[i]) for i in range(3)]
    terms: list[Tensor] = []
    for x, y in edges:
        inverse = (x * x + y * y).clamp_min(1e-12).rsqrt()
        normal = (-y * inverse, x * inverse)
        reach = [(ex * normal[0] + ey * normal[1]).abs() for ex, ey in edges]
        terms += [*normal, reach[0] + reach[1] + reach[2]]
    return _padded(terms)


def _outside_box(a: Tensor, b: Tensor, outline: Tensor) -> Tensor:
    p = _parameters(outline, 9)
    strips = [(a * p[i] + b * p[i + 1]).abs_() - p[i + 2] for i in (0, 3, 6)]
    return torch.maximum(torch.maximum(strips[0], strips[1]), strips[2])


def _outline_round(turned: list[list[Tensor]], scale: Vec) -> Tensor:
    """Return the axis' direction across, radius, half length across, and the caps' half thickness."""
    x, y, toward = turned[2]
    across = (x * x + y * y).clamp_min(1e-8).sqrt()
    return _padded([x / across, y / across, scale[0], scale[2] * across, scale[0] * toward.abs(), across])


def _outside_cylinder(a: Tensor, b: Tensor, outline: Tensor) -> Tensor:
    x, y, radius, half, cap = _parameters(outline, 5)
    side, along = (a * y - b * x).abs_(), (a * x + b * y).abs_()
    share = side / radius
    return torch.maximum(side - radius, along - half - cap * (1 - share * share).clamp_min_(0).sqrt_())


def _outside_cone(a: Tensor, b: Tensor, outline: Tensor) -> Tensor:
    """Return the distance to the hull of an ellipse (the base) and a point (the tip); the ellipse is made a circle."""
    x, y, radius, half, cap = _parameters(outline, 5)
    flat = (cap / radius).clamp_min(0.05)
    side, along = (a * y - b * x).abs_(), (a * x + b * y + half) / flat
    sine = (radius * flat / (2 * half)).clamp_max(1)
    cosine = (1 - sine * sine).sqrt()
    circle, line = (side * side + along * along).sqrt_(), side * cosine + along * sine
    beyond = ((along * cosine - side * sine) * (1e3 / radius)).clamp_(0, 1)
    return circle + (line - circle) * beyond - radius


def _outside_capsule(a: Tensor, b: Tensor, outline: Tensor) -> Tensor:
    x, y, radius, _, _, across = _parameters(outline, 6)
    half = outline[:, 3:4] - radius * across
    side, along = a * y - b * x, a * x + b * y
    along = (along.abs_() - half).clamp_min_(0)
    return (side * side + along * along).sqrt_() - radius


def _padded(terms: list[Tensor]) -> Tensor:
    return torch.stack([*terms, *[torch.zeros_like(terms[0])] * (9 - len(terms))], -1)


def _parameters(outline: Tensor, count: int) -> tuple[Tensor, ...]:
    return outline[:, :count].unsqueeze(-1).unbind(1)


OUTLINE: dict[int, Callable[[list[list[Tensor]], Vec], Tensor]] = {
    Shape.SPHERE: _outline_ellipsoid,
    Shape.BOX: _outline_box,
    Shape.CYLINDER: _outline_round,
    Shape.CONE: _outline_round,
    Shape.CAPSULE: _outline_round,
}
OUTSIDE: dict[int, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    Shape.SPHERE: _outside_ellipsoid,
    Shape.BOX: _outside_box,
    Shape.CYLINDER: _outside_cylinder,
    Shape.CONE: _outside_cone,
    Shape.CAPSULE: _outside_capsule,
}
"""Per shape: signed distance (p, T), roughly in world units, of (a, b) (p, T) to the silhouette."""
