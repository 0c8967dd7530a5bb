"""Computes, for every kind of object in its unit space, where a ray enters and the surface normal there.

Unit space: the sphere, the cube [-1, 1]^3, the cylinder of radius 1 with |z| <= 1, the cone from a base of radius 1 at
z = -1 to its tip at z = 1, the capsule of radius 1 around |z| <= stretch. Rays are o + t d with d not normalised, so t
is the same in unit space and in the world. A ray that misses gets NaN or a t beyond everything.

Legend: P pairs of a tile and an object, T rays of a tile, H points on objects.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from data_tools.stand_ins.render.vectors import Vec, dot
from data_tools.stand_ins.scenes import Shape

FAR = 1e12
"""Penalty per unit by which a ray misses."""
TOUCH = 1e-3
"""Tolerance, in unit space, of being on a flat face."""


def enter_sphere(o: Vec, d: Vec, stretch: Tensor) -> Tensor:
    """Return where rays enter the unit sphere."""
    a, b = dot(d, d), dot(o, d)
    return (-b - (b * b - a * (dot(o, o) - 1)).sqrt()) / a


def enter_box(o: Vec, d: Vec, stretch: Tensor) -> Tensor:
    """Return where rays enter the cube [-1, 1]^3: at the last of three slabs, unless they leave one before."""
    (nx, fx), (ny, fy), (nz, fz) = (_slab(o[i], d[i]) for i in range(3))
    near, far = torch.maximum(torch.maximum(nx, ny), nz), torch.minimum(torch.minimum(fx, fy), fz)
    return near + (near - far).clamp_min(0) * FAR


def enter_cylinder(o: Vec, d: Vec, stretch: Tensor) -> Tensor:
    """Return where rays enter the cylinder: inside the tube and between the caps."""
    a, b, c = d[0] * d[0] + d[1] * d[1], o[0] * d[0] + o[1] * d[1], o[0] * o[0] + o[1] * o[1] - 1
    root, (near, far) = (b * b - a * c).sqrt(), _slab(o[2], d[2])
    near, far = torch.maximum(near, (-b - root) / a), torch.minimum(far, (root - b) / a)
    return near + (near - far).clamp_min(0) * FAR


def enter_cone(o: Vec, d: Vec, stretch: Tensor) -> Tensor:
    """Return where rays enter the cone x^2 + y^2 <= (1 - z)^2 / 4, -1 <= z <= 1: first of side and base."""
    tip = o[2] - 1
    a = d[0] * d[0] + d[1] * d[1] - d[2] * d[2] * 0.25
    b = o[0] * d[0] + o[1] * d[1] - tip * d[2] * 0.25
    root = (b * b - a * (o[0] * o[0] + o[1] * o[1] - tip * tip * 0.25)).sqrt()
    base = (-1 - o[2]) / d[2]
    x, y = o[0] + base * d[0], o[1] + base * d[1]
    first = base + (x * x + y * y - 1).clamp_min(0) * FAR
    for t in ((-b - root) / a, (root - b) / a):
        z = o[2] + t * d[2]
        side = t + (z.abs() - 1).clamp_min(0) * FAR
        first = torch.minimum(first, side.nan_to_num_(FAR))
    return first


def enter_capsule(o: Vec, d: Vec, stretch: Tensor) -> Tensor:
    """Return where rays enter the capsule: its tube between the ends, or the ball at either end."""
    a, b, c = d[0] * d[0] + d[1] * d[1], o[0] * d[0] + o[1] * d[1], o[0] * o[0] + o[1] * o[1] - 1
    tube = (-b - (b * b - a * c).sqrt()) / a
    first = (tube + ((o[2] + tube * d[2]).abs() - stretch).clamp_min(0) * FAR).nan_to_num_(FAR)
    for end in (-stretch, stretch):
        ball = enter_sphere((o[0], o[1], o[2] - end), d, stretch)
        first = torch.minimum(first, ball.nan_to_num_(FAR))
    return first


def _slab(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    inverse = d.reciprocal()
    middle, half = o * inverse, inverse.abs()
    return -middle - half, half - middle


ENTER: dict[int, Callable[[Vec, Vec, Tensor], Tensor]] = {
    Shape.SPHERE: enter_sphere,
    Shape.BOX: enter_box,
    Shape.CYLINDER: enter_cylinder,
    Shape.CONE: enter_cone,
    Shape.CAPSULE: enter_capsule,
}
"""Per shape: (o, d, stretch) -> t, all broadcast to (P, T)."""


def normal_sphere(p: Vec, stretch: Tensor) -> Vec:
    """Return the gradient at points of the sphere."""
    return p


def normal_box(p: Vec, stretch: Tensor) -> Vec:
    """Return the gradient at points of the cube: along the largest coordinate."""
    ax, ay, az = p[0].abs(), p[1].abs(), p[2].abs()
    largest = torch.maximum(torch.maximum(ax, ay), az) - 1e-6
    x, y, z = (part * _positive(size - largest) for part, size in zip(p, (ax, ay, az), strict=True))
    return x, y, z


def normal_cylinder(p: Vec, stretch: Tensor) -> Vec:
    """Return the gradient at points of the cylinder: along z on a cap, away from the axis elsewhere."""
    cap = _positive(p[2].abs() - (1 - TOUCH))
    side = 1 - cap
    return p[0] * side, p[1] * side, p[2] * cap


def normal_cone(p: Vec, stretch: Tensor) -> Vec:
    """Return the gradient at points of the cone."""
    base = _positive(TOUCH - 1 - p[2])
    side = 1 - base
    return p[0] * side, p[1] * side, (1 - p[2]) * 0.25 * side - base


def normal_capsule(p: Vec, stretch: Tensor) -> Vec:
    """Return the gradient at points of the capsule: away from the nearest point of its axis."""
    return p[0], p[1], p[2] - torch.maximum(torch.minimum(p[2], stretch), -stretch)


def _positive(x: Tensor) -> Tensor:
    """Return 1 where x > 0, else 0; cheaper than a comparison, which would make a bool tensor first."""
    return x.sign().clamp_min_(0)


NORMAL: dict[int, Callable[[Vec, Tensor], Vec]] = {
    Shape.SPHERE: normal_sphere,
    Shape.BOX: normal_box,
    Shape.CYLINDER: normal_cylinder,
    Shape.CONE: normal_cone,
    Shape.CAPSULE: normal_capsule,
}
"""Per shape: (points (P, T), stretch (P, 1)) -> unnormalised outward normals (P, T) in unit space."""
