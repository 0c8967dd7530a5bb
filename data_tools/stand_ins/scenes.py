"""Describes synthetic scenes, objects, surfaces and lamps, for the ray caster to draw.

Legend: B scenes, M object places of a scene. World units, z up, the floor is z = 0; colours are linear RGB.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from torch import Tensor

RENDERER_MAX_OBJECTS = 30
"""Most objects in a scene: the caster keeps an object's number in five bits, and one value is the background."""


class Shape(enum.IntEnum):
    """A kind of object; each fills the unit ball or the cube [-1, 1]^3 before it is scaled."""

    SPHERE = 1
    BOX = 2
    CYLINDER = 3
    CONE = 4
    CAPSULE = 5


class Texture(enum.IntEnum):
    """A procedural solid texture, which mixes two colours by a function of the point in space."""

    PLAIN = 0
    NOISE = 1
    MARBLE = 2
    STRIPES = 3
    CHECKS = 4
    DOTS = 5


@dataclass(frozen=True)
class Surface:
    """The look of objects, with leading axes (B, M), or of a floor or backdrop, with leading axis (B,)."""

    color_a: Tensor
    """(..., 3), the colour of a plain texture."""
    color_b: Tensor
    """(..., 3), the other colour of a texture."""
    texture: Tensor
    """int64 (...), a `Texture`."""
    frequency: Tensor
    """(...), periods of the texture per world unit."""
    offset: Tensor
    """(..., 3), position of the object's centre in the texture, in periods."""
    metal: Tensor
    """(...), from 0, dull, to 1, like a mirror."""


@dataclass(frozen=True)
class Lighting:
    """Lamps at infinity. Strengths are irradiance on a surface that faces the lamp; directions point to the lamp."""

    key: Tensor
    """(B, 3), unit length: the lamp that casts shadows."""
    fill: Tensor
    """(B, 3), unit length: a weak lamp without shadows."""
    key_strength: Tensor
    fill_strength: Tensor
    ambient: Tensor
    """(B,), light from everywhere, darkened in corners."""
    softness: Tensor
    """(B,), tangent of the key lamp's angular radius: the penumbra's width per unit of distance."""
    fog: Tensor
    """(B,), optical density per world unit."""
    falloff: Tensor
    """(B,), darkening of the floor with the squared distance from the middle, per squared world unit."""
    vignette: Tensor
    """(B,), share of light lost in the picture's corners."""


@dataclass(frozen=True)
class Scenes:
    """B scenes of up to M objects each; object k of a scene has label k + 1 in its segmentation."""

    count: Tensor
    """int64 (B,), objects in the scene: the first `count` of the M places."""
    shape: Tensor
    """int64 (B, M), a `Shape`."""
    center: Tensor
    """(B, M, 3)"""
    scale: Tensor
    """(B, M, 3), half extents along the object's own axes; cylinder, cone and capsule have equal x and y."""
    rotation: Tensor
    """(B, M, 3, 3), world to object: row i is the object's axis i in the world."""
    surface: Surface
    """of the objects, (B, M)"""
    floor: Surface
    """(B,)"""
    backdrop: Surface
    """(B,), of the dome around the scene"""
    dome: Tensor
    """(B,), radius of the dome around the origin; the camera is at most 0.7 of it away"""
    camera: Tensor
    """(B, 3)"""
    view: Tensor
    """(B, 3, 3), unit vectors to the right, down and forward"""
    tangent: Tensor
    """(B,), tangent of half the field of view, at most 0.4"""
    lighting: Lighting

    def __len__(self) -> int:
        return len(self.count)

    @property
    def places(self) -> int:
        """M, the most objects that a scene of this batch can hold."""
        return self.shape.shape[1]

    def __getitem__(self, index: Tensor | slice) -> Scenes:
        """Select some of the scenes."""
        return cast(Scenes, _map(self, lambda tensor: tensor[index]))

    def to(self, device: torch.device | str) -> Scenes:
        """Copy the scenes to a device."""
        return cast(Scenes, _map(self, lambda tensor: tensor.to(device)))


def plain_surface(color: Tensor, metal: Tensor) -> Surface:
    """Return a surface of one colour (..., 3), with `metal` (...)."""
    shape = color.shape[:-1]
    texture = torch.full(shape, int(Texture.PLAIN), device=color.device)
    return Surface(color, color, texture, torch.ones_like(metal), torch.zeros_like(color), metal)


def _map(part: Any, function: Callable[[Tensor], Tensor]) -> Any:
    values = (getattr(part, field.name) for field in fields(part))
    return type(part)(*(function(v) if isinstance(v, Tensor) else _map(v, function) for v in values))
