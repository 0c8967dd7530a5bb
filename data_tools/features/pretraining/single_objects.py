"""Pictures of one textured object each, to train a backbone that never sees a scene of several objects or a mask.

Legend: B pictures.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from data_tools.stand_ins.layout import lamp, look_at, tensor
from data_tools.stand_ins.random_draws import Draws, Floats, Ints
from data_tools.stand_ins.render import render
from data_tools.stand_ins.scenes import Scenes
from data_tools.stand_ins.textured_objects import DOME, KINDS, Stream, ground, lamps, make_things, surfaces
from data_tools.stand_ins.writer import check_request

RADIUS = (0.6, 1.15)
TANGENT = (0.13, 0.30)
"""Of half the field of view, from an object that fills the picture to one of a third of its width."""
BATCH = 1 << 22
"""Pixels drawn at a time."""


def single_objects(
    seed: int, start: int, count: int, size: int, device: torch.device | str = "cpu", antialias: bool = True
) -> tuple[Tensor, dict[str, Tensor]]:
    """One object of the world of `synth-movi` over a random floor and backdrop.

    Args:
        seed: Of the series; picture i of a seed is always the same.
        start: Number of the first picture.
        count: Pictures.
        size: Pixels along a side.
        device: Where to draw.
        antialias: Average 2 x 2 rays per pixel.

    Returns:
        uint8 (count, size, size, 3), and the classes `texture`, `color`, `second_color`, `shape`, int64 (count,), that
        index `TEXTURES`, `COLORS` and `SHAPES` of `data_tools.stand_ins.textured_objects`.

    Raises:
        DataError: An argument is out of range.

    >>> images, labels = single_objects(seed=0, start=0, count=2, size=16)
    >>> images.shape, sorted(labels)
    (torch.Size([2, 16, 16, 3]), ['color', 'second_color', 'shape', 'texture'])
    """
    check_request(count, size, seed, device)
    step = max(1, BATCH // (size * size))
    numbers = np.arange(start, start + count)
    parts = [_draw(seed, numbers[i : i + step], size, device, antialias) for i in range(0, count, step)]
    labels = {name: torch.cat([part[1][name] for part in parts]) for name in parts[0][1]}
    return torch.cat([part[0] for part in parts]), labels


def _draw(
    seed: int, number: Ints, size: int, device: torch.device | str, antialias: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    draws = Draws(seed, number, np.zeros(len(number), np.int64))
    things = make_things(draws, 1, RADIUS)
    center = np.stack([np.zeros(len(number)), np.zeros(len(number)), things.below[:, 0]], -1)
    center[:, 2] += 1.5 * (draws.uniform(Stream.FALL) - 0.5).clip(0)
    camera, view, tangent = _camera(draws, center)
    scenes = Scenes(
        count=torch.ones(len(number), dtype=torch.int64),
        shape=torch.from_numpy(KINDS[things.shape]),
        center=tensor(center[:, None]),
        scale=tensor(things.scale),
        rotation=tensor(things.rotation),
        surface=surfaces(draws, things),
        floor=ground(draws, Stream.FLOOR, 0.45),
        backdrop=ground(draws, Stream.BACKDROP, 0.12),
        dome=torch.full((len(number),), DOME),
        camera=tensor(camera),
        view=tensor(view),
        tangent=tensor(tangent),
        lighting=lamps(draws),
    )
    names = {"texture": things.texture, "color": things.color, "second_color": things.second_color}
    labels = {
        name: torch.from_numpy(values[:, 0]).to(device) for name, values in (names | {"shape": things.shape}).items()
    }
    return render(scenes.to(device), size, antialias).image, labels


def _camera(draws: Draws, center: Floats) -> tuple[Floats, Floats, Floats]:
    """A camera that has the object somewhere near the middle of its picture."""
    u = draws.uniform(Stream.CAMERA, 6).T
    tangent = TANGENT[0] + (TANGENT[1] - TANGENT[0]) * u[3]
    camera = lamp(360 * u[0], 12 + 33 * u[1]) * (8.4 + 1.2 * u[2])[:, None]
    view = look_at(camera, center)
    aside = (tangent - TANGENT[0])[:, None] * 10
    target = center + aside * ((u[4] - 0.5)[:, None] * view[:, 0] + (u[5] - 0.5)[:, None] * view[:, 1])
    return camera, look_at(camera, target), tangent
