"""Draws pictures of one textured object each, to train a backbone that sees no scene of several objects and no mask.

Legend: B pictures.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from data_tools.stand_ins.layout import lamp_direction, look_at, to_tensor
from data_tools.stand_ins.random_draws import Draws, Floats, Ints
from data_tools.stand_ins.render import render
from data_tools.stand_ins.scenes import Scenes
from data_tools.stand_ins.textured_objects import (
    DOME,
    SHAPE_KINDS,
    Stream,
    draw_ground,
    draw_lamps,
    draw_surfaces,
    draw_things,
)
from data_tools.stand_ins.writer import check_request

RADIUS_RANGE = (0.6, 1.15)
TANGENT_RANGE = (0.13, 0.30)
"""Tangent of half the field of view: objects fill from the whole to a third of the picture's width."""
PIXELS_AT_ONCE = 1 << 22
"""Most pixels drawn at once."""


def draw_single_objects(
    seed: int, start: int, count: int, size: int, device: torch.device | str = "cpu", antialias: bool = True
) -> tuple[Tensor, dict[str, Tensor]]:
    """Draw pictures of one object of the MOVi stand-ins over a random floor and backdrop.

    Args:
        seed: Seed of the pictures; picture i of a seed is always the same.
        start: Number of the first picture.
        count: Number of pictures.
        size: Pixels along a side.
        device: Where to draw.
        antialias: Average 2 x 2 rays per pixel.

    Returns:
        uint8 (count, size, size, 3), and the classes `texture`, `color`, `second_color`, `shape`, int64 (count,), that
        index `TEXTURES`, `COLORS` and `SHAPES` of `data_tools.stand_ins.textured_objects`.

    Raises:
        DataError: An argument is out of range.

    >>> images, labels = draw_single_objects(seed=0, start=0, count=2, size=16)
    >>> images.shape, sorted(labels)
    (torch.Size([2, 16, 16, 3]), ['color', 'second_color', 'shape', 'texture'])
    """
    check_request(count, size, seed, device)
    step = max(1, PIXELS_AT_ONCE // (size * size))
    numbers = np.arange(start, start + count)
    parts = [_draw(seed, numbers[i : i + step], size, device, antialias) for i in range(0, count, step)]
    labels = {name: torch.cat([part[1][name] for part in parts]) for name in parts[0][1]}
    return torch.cat([part[0] for part in parts]), labels


def _draw(
    seed: int, number: Ints, size: int, device: torch.device | str, antialias: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    draws = Draws(seed, number, np.zeros(len(number), np.int64))
    things = draw_things(draws, 1, RADIUS_RANGE)
    center = np.stack([np.zeros(len(number)), np.zeros(len(number)), things.below[:, 0]], -1)
    center[:, 2] += 1.5 * (draws.uniform(Stream.FALL) - 0.5).clip(0)
    camera, view, tangent = _camera(draws, center)
    scenes = Scenes(
        count=torch.ones(len(number), dtype=torch.int64),
        shape=torch.from_numpy(SHAPE_KINDS[things.shape]),
        center=to_tensor(center[:, None]),
        scale=to_tensor(things.scale),
        rotation=to_tensor(things.rotation),
        surface=draw_surfaces(draws, things),
        floor=draw_ground(draws, Stream.FLOOR, 0.45),
        backdrop=draw_ground(draws, Stream.BACKDROP, 0.12),
        dome=torch.full((len(number),), DOME),
        camera=to_tensor(camera),
        view=to_tensor(view),
        tangent=to_tensor(tangent),
        lighting=draw_lamps(draws),
    )
    names = {"texture": things.texture, "color": things.color, "second_color": things.second_color}
    labels = {
        name: torch.from_numpy(values[:, 0]).to(device) for name, values in (names | {"shape": things.shape}).items()
    }
    return render(scenes.to(device), size, antialias).image, labels


def _camera(draws: Draws, center: Floats) -> tuple[Floats, Floats, Floats]:
    """Return camera, view and tangent such that the object is near the middle of the picture."""
    u = draws.uniform(Stream.CAMERA, 6).T
    tangent = TANGENT_RANGE[0] + (TANGENT_RANGE[1] - TANGENT_RANGE[0]) * u[3]
    camera = lamp_direction(360 * u[0], 12 + 33 * u[1]) * (8.4 + 1.2 * u[2])[:, None]
    view = look_at(camera, center)
    aside = (tangent - TANGENT_RANGE[0])[:, None] * 10
    target = center + aside * ((u[4] - 0.5)[:, None] * view[:, 0] + (u[5] - 0.5)[:, None] * view[:, 1])
    return camera, look_at(camera, target), tangent
