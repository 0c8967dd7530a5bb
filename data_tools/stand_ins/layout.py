"""Lays out scenes for the stand-ins: cameras, objects that do not overlap, and new layouts until all are visible.

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
"""Side in pixels of the picture in which every object must be visible, whatever the size of the stored one."""
MOST_LAYOUTS = 400
"""Layouts to try for a scene before giving up; the stand-ins need two or three on average."""
LEAST_TRIALS = 32
"""Fewest layouts to try at once: the last few scenes try several each, and the first good one counts."""
HIDDEN_DEPTH = 0.2
"""Share of an object's radius that its centre may be inside a nearer outline; see `stay_visible`."""

Compose = Callable[[Draws, Draws], tuple[Scenes, Bools]]
"""Makes scenes from the random numbers of an attempt and of the scene, and says which could be laid out."""


def redraw_until_visible(
    seed: int, scene_id: Ints, compose: Compose, minimum: int, device: torch.device | str
) -> tuple[Scenes, Draws]:
    """Make scenes in which every object is visible, by drawing layouts until it is.

    Args:
        seed: Seed of the data set.
        scene_id: Numbers of the scenes, int64 (B,).
        compose: Makes a batch of layouts.
        minimum: Pixels that each object must show at `REFERENCE_SIZE`.
        device: Where to draw.

    Returns:
        The scenes, and the random numbers that they were made from.

    Raises:
        RuntimeError: No attempt could lay out a scene.
    """
    done: Scenes | None = None
    rest, settled = np.arange(len(scene_id)), np.zeros(len(scene_id), np.int64)
    attempt = 1
    while len(rest) and attempt <= MOST_LAYOUTS:
        ahead = max(1, LEAST_TRIALS // len(rest))
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
        raise RuntimeError(f"scene {scene_id[rest[0]]} of seed {seed}: no layout of {MOST_LAYOUTS} shows every object")
    return done, Draws(seed, scene_id, settled)


def _check_visibility(scenes: Scenes, good: Bools, minimum: int) -> None:
    """Set `good` to false for layouts that hide an object."""
    laid_out = np.flatnonzero(good)
    if len(laid_out):
        good[laid_out] = all_visible(scenes[torch.from_numpy(laid_out)], minimum).cpu().numpy()


def all_visible(scenes: Scenes, minimum: int) -> Tensor:
    """Return whether every object shows at least `minimum` pixels at `REFERENCE_SIZE`: bool (B,)."""
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
    """Place objects one after the other, each at its first candidate that fits to the objects before.

    Coordinates are the first axis of all arrays, so that no sum runs over a short last axis.

    Args:
        count: Objects per scene, int64 (B,).
        candidates: Maps k to candidate positions of object k, (D, B, C).
        fits: Maps k, candidates (D, B, C) and positions of the objects before k (D, B, k) to bool (B, C).
        places: Object places of a scene, M.

    Returns:
        Positions (B, M, D), and bool (B,), whether all objects of a scene found a place.
    """
    scenes, found = np.arange(len(count)), np.ones(len(count), bool)
    placed = np.zeros((*candidates(0).shape[:2], places))
    for k in range(places):
        options = candidates(k)
        possible = fits(k, options, placed[:, :, :k])
        placed[:, :, k] = options[:, scenes, possible.argmax(1)]
        found &= possible.any(1) | (count <= k)
    return np.moveaxis(placed, 0, -1), found


def project(x: Floats, y: Floats, z: Floats, camera: Floats, view: Floats) -> tuple[Floats, Floats, Floats]:
    """Project points (B, C) to the image plane: right and down, which are the tangent at the border, and depth."""
    dx, dy, dz = x - camera[:, :1], y - camera[:, 1:2], z - camera[:, 2:]
    right, down, depth = (dx * a[:, :1] + dy * a[:, 1:2] + dz * a[:, 2:] for a in (view[:, 0], view[:, 1], view[:, 2]))
    return right / depth, down / depth, depth


def stay_visible(own: Floats, others: Floats, size: Floats, sizes: Floats) -> Bools:
    """Return whether neither of two objects obviously hides the other, a quick test before pixels are counted.

    Args:
        own: Result of `project` for the candidates, (3, B, C).
        others: Result of `project` for the objects before, (3, B, k).
        size: Radius of the object, (B, 1).
        sizes: Radii of the objects before, (B, k).

    Returns:
        bool (B, C, k): false if the farther centre is inside the nearer outline by more than `HIDDEN_DEPTH` of the
        farther radius.
    """
    right, down, depth = own[..., None] - others[:, :, None]
    mine, theirs = size[..., None] / own[2][..., None], (sizes / others[2])[:, None]
    cover = np.where(depth > 0, theirs - HIDDEN_DEPTH * mine, mine - HIDDEN_DEPTH * theirs).clip(0)
    visible: Bools = right * right + down * down >= cover * cover
    return visible


def look_at(camera: Floats, target: Floats) -> Floats:
    """Return unit vectors right, down and forward (B, 3, 3) of cameras (B, 3) that look at targets (B, 3)."""
    forward = _unit(target - camera)
    right = _unit(np.cross(forward, [0.0, 0.0, 1.0]))
    return np.stack([right, np.cross(forward, right), forward], 1)


def lamp_direction(azimuth: Floats, elevation: Floats) -> Floats:
    """Return unit vectors (B, 3) towards lamps from angles in degrees (B,)."""
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.stack([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)], -1)


def rotations_about_vertical(angle: Floats) -> Floats:
    """Return world-to-object rotations (..., 3, 3) about the vertical axis from angles in radians (...)."""
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([np.stack([c, s, zero], -1), np.stack([-s, c, zero], -1), np.stack([zero, zero, one], -1)], -2)


def to_linear_color(srgb: Floats) -> Floats:
    """Convert colour values from 0 to 255 to linear ones from 0 to 1: the inverse of the renderer's display gamma."""
    light: Floats = (np.clip(srgb, 0, 255) / 255) ** 2
    return light


def to_tensor(values: npt.NDArray[Any]) -> Tensor:
    """Convert an array to a float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def make_class_table(count: Ints, classes: Ints) -> npt.NDArray[np.uint8]:
    """Convert class numbers from 0 (B, M) to a split's table (B, 1 + M): from 1, and 0 for background or no object."""
    return _table(count, classes + 1).astype(np.uint8)


def make_number_table(count: Ints, values: npt.NDArray[Any], background: float = 0) -> npt.NDArray[np.float32]:
    """Convert numbers (B, M) to a split's table (B, 1 + M): the background first, 0 for no object."""
    table = _table(count, values).astype(np.float32)
    table[:, 0] = background
    return table


def _table(count: Ints, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    present = np.arange(values.shape[1]) < count[:, None]
    return np.concatenate([np.zeros((len(values), 1), values.dtype), np.where(present, values, 0)], 1)


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.sqrt((vectors * vectors).sum(-1, keepdims=True))
    return unit
