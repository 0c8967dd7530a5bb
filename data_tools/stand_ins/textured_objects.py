"""Draws the textured objects, floors, backdrops and lamps of the MOVi stand-ins from a scene's random numbers.

Legend: B scenes, M object places.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import torch

from data_tools.stand_ins.layout import lamp_direction, rotations_about_vertical, to_linear_color, to_tensor
from data_tools.stand_ins.random_draws import Draws, Floats, Ints
from data_tools.stand_ins.scenes import Lighting, Shape, Surface, Texture

SHAPES = ("sphere", "box", "cylinder", "cone", "capsule", "ellipsoid")
TEXTURES = ("noise", "marble", "stripes", "checks", "dots")
COLORS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "white", "black")
"""Class k + 1 of a split's `shape`, `texture`, `color` and `second_color` is entry k; 0 is no object."""

PALETTE = np.array(
    [
        [196, 44, 40], [232, 128, 36], [240, 206, 60], [62, 140, 60], [40, 150, 150], [48, 84, 190],
        [122, 60, 160], [226, 130, 170], [120, 78, 44], [232, 230, 222], [46, 44, 48],
    ]
)  # fmt: skip
"""sRGB of `COLORS`, to which every object adds a tint."""
SHAPE_KINDS = np.array([Shape.SPHERE, Shape.BOX, Shape.CYLINDER, Shape.CONE, Shape.CAPSULE, Shape.SPHERE])
TEXTURE_KINDS = np.array([Texture.NOISE, Texture.MARBLE, Texture.STRIPES, Texture.CHECKS, Texture.DOTS])
SYMMETRIC_TEXTURES = np.isin(TEXTURES, ("noise", "stripes", "checks"))
"""Whether a texture looks the same with its two colours exchanged: these are put in the order of `COLORS`."""
DOME = 14.0
"""Radius of the backdrop in world units."""


class Stream(enum.IntEnum):
    """An independent stream of a scene's random numbers."""

    COUNT = 1
    SHAPE = 2
    SIZE = 3
    ASPECT = 4
    TEXTURE = 5
    COLOR = 6
    TINT = 7
    PATTERN = 8
    TURN = 9
    POSE = 10
    FALL = 11
    METAL = 12
    CAMERA = 13
    LAMPS = 14
    FLOOR = 15
    BACKDROP = 16
    PLACE = 100


@dataclass(frozen=True)
class Things:
    """Objects that have no place yet; the first axes of all arrays are (B, M)."""

    shape: Ints
    texture: Ints
    color: Ints
    second_color: Ints
    """Class numbers from 0."""
    scale: Floats
    """(B, M, 3), half extents"""
    rotation: Floats
    """(B, M, 3, 3), world to object"""
    below: Floats
    """distance from the centre to the lowest point"""
    room: Floats
    """radius of the ball that no other object may enter"""


def draw_classes(draws: Draws, places: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Draw class numbers of shape, texture and two different colours of every object, each (B, M) from 0."""
    shape = draws.choice(Stream.SHAPE, len(SHAPES), places)
    texture = draws.choice(Stream.TEXTURE, len(TEXTURES), places)
    u = draws.uniform(Stream.COLOR, places, 2)
    first = (u[..., 0] * len(COLORS)).astype(np.int64)
    second = (first + 1 + (u[..., 1] * (len(COLORS) - 1)).astype(np.int64)) % len(COLORS)
    swap = SYMMETRIC_TEXTURES[texture] & (first > second)
    return shape, texture, np.where(swap, second, first), np.where(swap, first, second)


def draw_things(draws: Draws, places: int, radius: tuple[float, float]) -> Things:
    """Draw objects of random shape, size, texture and pose.

    Args:
        draws: Random numbers of B scenes.
        places: Object places of a scene, M.
        radius: Smallest and largest radius of a ball in world units; other shapes have about its volume.
    """
    shape, texture, first, second = draw_classes(draws, places)
    scale = _scales(shape, draws.between(Stream.SIZE, *radius, places), draws.uniform(Stream.ASPECT, places, 3))
    pose = draws.uniform(Stream.POSE, places, 2)
    turned = draws.rotation(Stream.TURN, places)
    rotation = np.where(
        (pose[..., 1] < 0.5)[..., None, None], rotations_about_vertical(2 * np.pi * pose[..., 0]), turned
    )
    return Things(shape, texture, first, second, scale, rotation, _below(shape, scale, rotation), _room(shape, scale))


def _scales(shape: Ints, radius: Floats, aspect: Floats) -> Floats:
    """Return half extents (B, M, 3) in proportions that suit each shape."""
    a, b, c = np.moveaxis(aspect, -1, 0)
    round_ = (np.ones_like(a), np.ones_like(a), np.ones_like(a))
    box = (0.6 + 0.35 * a, 0.6 + 0.35 * b, 0.6 + 0.35 * c)
    cylinder = (0.55 + 0.35 * a, 0.55 + 0.35 * a, 0.55 + 0.45 * b)
    cone = (0.75 + 0.25 * a, 0.75 + 0.25 * a, 0.75 + 0.3 * b)
    capsule = (0.42 + 0.15 * a, 0.42 + 0.15 * a, 0.85 + 0.3 * b)
    ellipsoid = (0.6 + 0.25 * a, 0.8 + 0.25 * b, 1 + 0.25 * c)
    proportions = np.choose(shape[None], [np.stack(kind) for kind in (round_, box, cylinder, cone, capsule, ellipsoid)])
    return np.moveaxis(proportions, 0, -1) * radius[..., None]


def _below(shape: Ints, scale: Floats, rotation: Floats) -> Floats:
    """Return the distance from each object's centre to its lowest point, (B, M)."""
    sx, sy, sz = np.moveaxis(scale, -1, 0)
    x, y, z = np.moveaxis(rotation[..., 2], -1, 0)
    flat = np.sqrt((1 - z * z).clip(0))
    ball = np.sqrt((sx * x) ** 2 + (sy * y) ** 2 + (sz * z) ** 2)
    box = np.abs(sx * x) + np.abs(sy * y) + np.abs(sz * z)
    cylinder = sz * np.abs(z) + sx * flat
    cone = np.maximum(-sz * z, sz * z + sx * flat)
    capsule = (sz - sx) * np.abs(z) + sx
    below: Floats = np.choose(shape, [ball, box, cylinder, cone, capsule, ball])
    return below


def _room(shape: Ints, scale: Floats) -> Floats:
    """Return the radius that no other object may enter; less than the bounding radius, as corners seldom meet."""
    sx, sy, sz = np.moveaxis(scale, -1, 0)
    corner, rim = np.sqrt(sx**2 + sy**2 + sz**2), np.hypot(sx, sz)
    room: Floats = np.choose(shape, [sx, 0.85 * corner, 0.9 * rim, 0.8 * rim, 0.9 * sz, 0.95 * sz])
    return room


def draw_surfaces(draws: Draws, things: Things) -> Surface:
    """Draw surfaces of objects: two tinted colours, a texture, and a little gloss for some."""
    places = things.shape.shape[1]
    tint = draws.between(Stream.TINT, 0.88, 1.12, places, 2, 3)
    pattern = draws.uniform(Stream.PATTERN, places, 4)
    return Surface(
        color_a=to_tensor(to_linear_color(PALETTE[things.color] * tint[:, :, 0])),
        color_b=to_tensor(to_linear_color(PALETTE[things.second_color] * tint[:, :, 1])),
        texture=torch.from_numpy(TEXTURE_KINDS[things.texture]),
        frequency=to_tensor((0.9 + 0.7 * pattern[..., 3]) / things.scale.mean(-1)),
        offset=to_tensor(pattern[..., :3]),
        metal=to_tensor(0.5 * draws.uniform(Stream.METAL, places) ** 3),
    )


def draw_ground(draws: Draws, stream: Stream, frequency: float) -> Surface:
    """Draw the surface of a floor or backdrop, of two similar greyish colours."""
    u = draws.uniform(stream, 11)
    gray = 60 + 130 * u[:, :1]
    return Surface(
        color_a=to_tensor(to_linear_color(gray * (0.85 + 0.3 * u[:, 1:4]))),
        color_b=to_tensor(to_linear_color(gray * (0.7 + 0.5 * u[:, 4:7]))),
        texture=torch.from_numpy(TEXTURE_KINDS[(u[:, 7] * len(TEXTURE_KINDS)).astype(np.int64)]),
        frequency=to_tensor(frequency * (0.7 + 0.6 * u[:, 8])),
        offset=to_tensor(np.stack([u[:, 9], u[:, 10], np.full(len(u), 0.25)], -1)),
        metal=torch.zeros(len(u)),
    )


def draw_lamps(draws: Draws) -> Lighting:
    """Draw a key lamp from anywhere above, with sharp or soft shadows, and a weak lamp."""
    u = draws.uniform(Stream.LAMPS, 8).T
    zero = torch.zeros(u.shape[1])
    return Lighting(
        key=to_tensor(lamp_direction(360 * u[0], 40 + 30 * u[1])),
        fill=to_tensor(lamp_direction(360 * u[2], 30 + 30 * u[3])),
        key_strength=to_tensor(0.8 + 0.3 * u[4]),
        fill_strength=to_tensor(0.2 + 0.15 * u[5]),
        ambient=to_tensor(0.45 + 0.15 * u[6]),
        softness=to_tensor(0.05 + 0.15 * u[7]),
        fog=zero,
        falloff=zero,
        vignette=zero + 0.3,
    )
