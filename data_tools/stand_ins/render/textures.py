"""Computes solid textures: the share of the second colour, in [0, 1], at points in space.

Points are in periods of the texture. All are sums and products of sines, so they need no tables and look the same at
every size and on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from data_tools.stand_ins.render.vectors import Vec, by_kind
from data_tools.stand_ins.scenes import Texture

TURN = 2 * math.pi
_WAVES = (
    ((0.83, 0.41, -0.37), 0.7, 1.0),
    ((-0.52, 0.79, 0.46), 2.1, 1.0),
    ((0.31, -0.58, 0.87), 4.4, 1.0),
    ((1.67, 1.21, 0.93), 1.3, 0.55),
    ((-1.11, 1.72, -1.43), 5.2, 0.55),
    ((2.9, -2.3, 2.6), 3.3, 0.3),
)
"""(wave vector, phase, amplitude) of the waves that, bent by each other, make up the noise."""


def plain(p: Vec) -> Tensor:
    """Return the share for the first colour only, 0."""
    return torch.zeros_like(p[0])


def noise(p: Vec) -> Tensor:
    """Return soft irregular patches."""
    return (0.5 + 0.55 * _noise(p)).clamp_(0, 1)


def marble(p: Vec) -> Tensor:
    """Return thin wavy veins."""
    x, y, z = (0.7 * part for part in p)
    vein = torch.sin(TURN * x + 2.6 * _noise((x, y, z))).abs_()
    rest = 1 - vein
    return rest * (2 - rest) * rest


def stripes(p: Vec) -> Tensor:
    """Return straight bands across the first axis."""
    return _step(torch.sin(TURN * p[0]), 5)


def checks(p: Vec) -> Tensor:
    """Return cubes of alternating colour, half a period wide."""
    return _step(torch.sin(TURN * p[0]) * torch.sin(TURN * p[1]) * torch.sin(TURN * p[2]), 7)


def dots(p: Vec) -> Tensor:
    """Return balls on a cubic lattice."""
    x, y, z = (part - part.floor() - 0.5 for part in p)
    return _step(0.11 - (x * x + y * y + z * z), 14)


def _step(x: Tensor, slope: float) -> Tensor:
    return (0.5 + slope * x).clamp_(0, 1)


def _noise(p: Vec) -> Tensor:
    x, y, z = p
    bent = (x + 0.22 * torch.sin(TURN * y + 1.0), y + 0.22 * torch.sin(TURN * z + 2.0), z + 0.22 * torch.sin(TURN * x))
    total = torch.zeros_like(x)
    for (kx, ky, kz), phase, amplitude in _WAVES:
        wave = bent[0] * (TURN * kx) + bent[1] * (TURN * ky) + bent[2] * (TURN * kz)
        total += amplitude * torch.sin(wave + phase)
    return total * 0.45


PATTERN: dict[int, Callable[[Vec], Tensor]] = {
    Texture.PLAIN: plain,
    Texture.NOISE: noise,
    Texture.MARBLE: marble,
    Texture.STRIPES: stripes,
    Texture.CHECKS: checks,
    Texture.DOTS: dots,
}
"""Per texture: points -> share of the second colour."""


def share(texture: Tensor, p: Vec) -> Tensor:
    """Return the share of the second colour at every point.

    Args:
        texture: int64 (n,), a `Texture` per row.
        p: three tensors (n, ...), in periods.
    """

    def pattern(kind: int, rows: Tensor) -> Tensor:
        x, y, z = (part.index_select(0, rows) for part in p)
        return PATTERN[kind]((x, y, z))

    return by_kind(texture, pattern, torch.empty_like(p[0]))
