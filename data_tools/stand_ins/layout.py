"""What the stand-in datasets share in making scenes: cameras, placement without overlap, and redrawing what fails.

Legend: B scenes, M object places, C candidates for one place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data_tools.stand_ins.random_draws import Bools, Draws, Floats, Ints
from data_tools.stand_ins.render import visible_pixels
from data_tools.stand_ins.scenes import Scenes

REFERENCE_SIZE = 32
"""Side of the picture, in pixels, in which an object must be visible, whatever the size that is asked for."""
ATTEMPTS = 400
"""Layouts tried for one scene before giving up; the datasets here need two or three on average."""
TOGETHER = 32
"""Layouts tried at once, at least: the last few scenes try several of theirs, and the first good one counts."""
EMERGE = 0.2
"""Share of its own radius; see `emerges`."""

Compose = Callable[[Draws, Draws], tuple[Scenes, Bools]]
"""Scenes from the numbers of one attempt and from those of the scene itself, and which of them could be laid out."""


def settle(
    seed: int, scene_id: Ints, compose: Compose, minimum: int, device: torch.device | str
) -> tuple[Scenes, Draws]:
    """Scenes in which every object is visible: layouts are redrawn until they are.

    Args:
        seed: Of the dataset.
        scene_id: int64 (B,).
        compose: Makes a batch of layouts.
        minimum: Pixels that each object must show at `REFERENCE_SIZE`.
        device: Where to draw.

    Returns:
        The scenes, and the random numbers that they were made of.

    Raises:
        RuntimeError: A scene that no attempt could lay out.
    """
    done: Scenes | None = None
    rest, settled = np.arange(len(scene_id)), np.zeros(len(scene_id), np.int64)
    attempt = 1
    while len(rest) and attempt <= ATTEMPTS:
        ahead = max(1, TOGETHER // len(rest))
        trial, number = np.repeat(rest, ahead), np.tile(np.arange(attempt, attempt + ahead), len(rest))
        scenes, good = compose(Draws(seed, scene_id[trial], number), Draws(seed, scene_id[trial], 0 * number))
        scenes = scenes.to(device)
        _check_visibility(scenes, good, minimum)
        first = np.arange(len(rest)) * ahead + good.reshape(-1, ahead).argmax(1)
        won = first[good[first]]
        settled[trial[won]] = number[won]
        done = scenes[torch.from_numpy(first)] if done is None else done
        done = _put(done, torch.from_numpy(trial[won]).to(device), scenes[torch.from_numpy(won)])
        rest, attempt = rest[~good[first]], attempt + ahead
    if done is None or len(rest):
        raise RuntimeError(f"scene {scene_id[rest[0]]} of seed {seed}: none of {ATTEMPTS} layouts shows every object")
    return done, Draws(seed, scene_id, settled)


def _check_visibility(scenes: Scenes, good: Bools, minimum: int) -> None:
    """Set to false what is good so far but hides an object."""
    laid_out = np.flatnonzero(good)
    if len(laid_out):
        good[laid_out] = all_visible(scenes[torch.from_numpy(laid_out)], minimum).cpu().numpy()


def all_visible(scenes: Scenes, minimum: int) -> Tensor:
    """Whether every object shows at least `minimum` pixels at `REFERENCE_SIZE`: bool (B,)."""
    absent = torch.arange(scenes.places, device=scenes.count.device) >= scenes.count[:, None]
    return ((visible_pixels(scenes, REFERENCE_SIZE) >= minimum) | absent).all(1)


def _put(target: Any, rows: Tensor, source: Any) -> Any:
    values = []
    for field in fields(target):
        old, new = getattr(target, field.name), getattr(source, field.name)
        values.append(old.index_copy(0, rows, new) if isinstance(old, Tensor) else _put(old, rows, new))
    return type(target)(*values)


def place_in_turn(
    count: Ints, candidates: Callable[[int], Floats], fits: Callable[[int, Floats, Floats], Bools], places: int
) -> tuple[Floats, Bools]:
    """Place objects one after the other, each at the first of its candidates that fits with those before.

    Coordinates come first in all arrays, so that nothing is summed over a short last axis.

    Args:
        count: int64 (B,), objects per scene.
        candidates: k -> (D, B, C), where object k may go.
        fits: (k, candidates (D, B, C), positions of the objects before k (D, B, k)) -> bool (B, C).
        places: M.

    Returns:
        positions (B, M, D), and (B,) whether all objects of a scene found a place.
    """
    scenes, found = np.arange(len(count)), np.ones(len(count), bool)
    placed = np.zeros((*candidates(0).shape[:2], places))
    for k in range(places):
        options = candidates(k)
        possible = fits(k, options, placed[:, :, :k])
        placed[:, :, k] = options[:, scenes, possible.argmax(1)]
        found &= possible.any(1) | (count <= k)
    return np.moveaxis(placed, 0, -1), found


def on_screen(x: Floats, y: Floats, z: Floats, camera: Floats, view: Floats) -> tuple[Floats, Floats, Floats]:
    """Image-plane coordinates (to the right, down; the tangent at the border) and depth of points (B, C)."""
    dx, dy, dz = x - camera[:, :1], y - camera[:, 1:2], z - camera[:, 2:]
    right, down, depth = (dx * a[:, :1] + dy * a[:, 1:2] + dz * a[:, 2:] for a in (view[:, 0], view[:, 1], view[:, 2]))
    return right / depth, down / depth, depth


def emerges(own: Floats, others: Floats, size: Floats, sizes: Floats) -> Bools:
    """Whether neither of two objects is obviously hidden by the other: a quick test before pixels are counted.

    Args:
        own: (3, B, C), `on_screen` of the candidates.
        others: (3, B, k), of the objects before.
        size: (B, 1), radius of the object in question.
        sizes: (B, k), of the objects before.

    Returns:
        bool (B, C, k): false if the farther centre is inside the nearer outline by more than `EMERGE` of its radius.
    """
    right, down, depth = own[..., None] - others[:, :, None]
    mine, theirs = size[..., None] / own[2][..., None], (sizes / others[2])[:, None]
    cover = np.where(depth > 0, theirs - EMERGE * mine, mine - EMERGE * theirs).clip(0)
    visible: Bools = right * right + down * down >= cover * cover
    return visible


def look_at(camera: Floats, target: Floats) -> Floats:
    """Unit vectors to the right, down and forward of cameras (B, 3) that look at targets (B, 3): (B, 3, 3)."""
    forward = _unit(target - camera)
    right = _unit(np.cross(forward, [0.0, 0.0, 1.0]))
    return np.stack([right, np.cross(forward, right), forward], 1)


def lamp(azimuth: Floats, elevation: Floats) -> Floats:
    """Unit vectors (B, 3) towards lamps, from angles in degrees (B,)."""
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.stack([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)], -1)


def upright(angle: Floats) -> Floats:
    """World-to-object rotations (..., 3, 3) about the vertical."""
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([np.stack([c, s, zero], -1), np.stack([-s, c, zero], -1), np.stack([zero, zero, one], -1)], -2)


def linear(srgb: Floats) -> Floats:
    """Linear colour of values from 0 to 255, the inverse of the display gamma with which the caster ends."""
    light: Floats = (np.clip(srgb, 0, 255) / 255) ** 2
    return light


def tensor(values: npt.NDArray[Any]) -> Tensor:
    """float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def class_table(count: Ints, classes: Ints) -> npt.NDArray[np.uint8]:
    """Class numbers from 0 (B, M) as a split stores them: (B, 1 + M) from 1, 0 for background and absent objects."""
    return _table(count, classes + 1).astype(np.uint8)


def number_table(count: Ints, values: npt.NDArray[Any], background: float = 0) -> npt.NDArray[np.float32]:
    """Numbers (B, M) as a split stores them: (B, 1 + M), the background first, 0 for absent objects."""
    table = _table(count, values).astype(np.float32)
    table[:, 0] = background
    return table


def _table(count: Ints, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    present = np.arange(values.shape[1]) < count[:, None]
    return np.concatenate([np.zeros((len(values), 1), values.dtype), np.where(present, values, 0)], 1)


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.sqrt((vectors * vectors).sum(-1, keepdims=True))
    return unit
