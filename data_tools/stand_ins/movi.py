"""Draws `synth-movi-c` and `synth-movi-d`, stand-ins for MOVi-C and MOVi-D, in the format of the real splits.

    python -m data_tools synth-movi-c --out data/synth-movi-c --count 10000 --size 128 --seed 0

Balls, boxes, cylinders, cones, capsules and ellipsoids with solid procedural textures lie on or fall towards a
textured floor under a textured dome. Variant c has 3 to 10 large objects, variant d 11 to 23 smaller ones, and in both
objects may hide parts of each other. **It is not MOVi**: objects are not scanned, backdrops are not photographs, and
every scene is one picture instead of a clip.

`num_objects` is the number of objects placed, all counts with equal chances; each of them shows at least
`Variant.pixels` pixels in the scene's 32 x 32 picture; otherwise another layout is drawn. Scene i of a seed and variant
does not depend on count or size.

Legend: B scenes, M object places, C candidates for one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data_tools.stand_ins.layout import (
    lamp_direction,
    look_at,
    make_class_table,
    make_number_table,
    place_in_turn,
    project,
    redraw_until_visible,
    stay_visible,
    to_tensor,
)
from data_tools.stand_ins.random_draws import Bools, Draws, Floats, Ints
from data_tools.stand_ins.scenes import RENDERER_MAX_OBJECTS, Scenes
from data_tools.stand_ins.textured_objects import (
    DOME,
    SHAPE_KINDS,
    Stream,
    Things,
    draw_classes,
    draw_ground,
    draw_lamps,
    draw_surfaces,
    draw_things,
)
from data_tools.stand_ins.writer import Tables, check_objects, check_request, write_stand_in
from data_tools.writing.durable import DataError

TANGENT = 0.36
"""Tangent of half the field of view."""
EDGE = 0.85
"""Share of the picture's half width within which the centres of objects are."""
FALLING = 0.35
"""Share of objects that are in the air."""
CANDIDATES = 32
SOURCE = "synthetic stand-in made by this project (data_tools.synth_movi); it is not MOVi and holds none of its data"


@dataclass(frozen=True)
class Variant:
    """A variant: number and size of objects, and where they may be."""

    min_objects: int
    max_objects: int
    radius: tuple[float, float]
    """smallest and largest radius of a ball, in world units; see `textured_objects.draw_things`"""
    spread: float
    """half side of the square over which objects are scattered"""
    height: float
    """greatest height of a falling object above the floor"""
    pixels: int
    """least pixels of an object in a 32 x 32 picture"""


VARIANTS = {
    "c": Variant(3, 10, (0.6, 1.15), 2.9, 2.4, 6),
    "d": Variant(11, 23, (0.38, 0.72), 3.2, 2.6, 3),
}


def prepare(
    out: Path | str,
    *,
    count: int,
    variant: str = "c",
    size: int,
    seed: int = 0,
    min_objects: int | None = None,
    max_objects: int | None = None,
    antialias: bool = True,
    device: torch.device | str = "cpu",
) -> Path:
    """Draw a split of `count` scenes; call it again after an interruption to resume.

    Args:
        out: Folder of the split.
        count: Number of scenes.
        variant: "c" or "d", a name in `VARIANTS`.
        size: Side of the pictures in pixels.
        seed: Seed of the data set; another seed gives other scenes.
        min_objects: Fewest objects of a scene; None for the variant's.
        max_objects: Most objects of a scene; None for the variant's.
        antialias: Average 2 x 2 rays per pixel.
        device: Where to draw.

    Raises:
        DataError: An argument is out of range.
        SplitWriteError: `out` holds something else, is being written, or the disk is full.
    """
    check_request(count, size, seed, device)
    if variant not in VARIANTS:
        raise DataError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    own = VARIANTS[variant]
    low = own.min_objects if min_objects is None else min_objects
    high = own.max_objects if max_objects is None else max_objects
    check_objects(low, high, 1, own.max_objects)

    def make(scene_id: Ints) -> tuple[Scenes, Tables]:
        return make_scenes(seed, scene_id, variant=variant, min_objects=low, max_objects=high, device=device)

    return write_stand_in(
        Path(out),
        make,
        name=f"synth-movi-{variant}",
        source=SOURCE,
        arguments={"variant": variant, "seed": seed, "min_objects": low, "max_objects": high},
        count=count,
        size=size,
        antialias=antialias,
    )


def make_scenes(
    seed: int,
    scene_id: Ints,
    *,
    variant: str = "c",
    min_objects: int | None = None,
    max_objects: int | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Scenes, Tables]:
    """Make scenes from their numbers, and their object tables.

    Args:
        seed: Seed of the data set.
        scene_id: Numbers of the scenes, int64 (B,).
        variant: Name in `VARIANTS`.
        min_objects: Fewest objects of a scene; None for the variant's.
        max_objects: Most objects of a scene, M; None for the variant's.
        device: Device of the scenes.

    Returns:
        B scenes, and `shape`, `texture`, `color`, `second_color`, `x`, `y`, `z`, `visibility`, each (B, 1 + M).
    """
    own = VARIANTS[variant]
    low = own.min_objects if min_objects is None else min_objects
    high = own.max_objects if max_objects is None else max_objects
    assert high <= RENDERER_MAX_OBJECTS

    def compose(draws: Draws, fixed: Draws) -> tuple[Scenes, Bools]:
        return _compose(draws, low + fixed.choice(Stream.COUNT, high - low + 1), high, own)

    scenes, draws = redraw_until_visible(seed, scene_id, compose, own.pixels, device)
    count, center = scenes.count.cpu().numpy(), scenes.center.cpu().numpy()
    named = zip(("shape", "texture", "color", "second_color"), draw_classes(draws, high), strict=True)
    tables: dict[str, npt.NDArray[Any]] = {name: make_class_table(count, values) for name, values in named}
    tables |= {name: make_number_table(count, center[..., i]) for i, name in enumerate("xyz")}
    return scenes, tables | {"visibility": make_number_table(count, np.ones(center.shape[:2]), background=1)}


def _compose(draws: Draws, count: Ints, places: int, variant: Variant) -> tuple[Scenes, Bools]:
    """Lay out B scenes once, and return which of them have room for all objects."""
    things = draw_things(draws, places, variant.radius)
    camera, view = _camera(draws)
    position, found = _place(draws, count, things, variant, camera, view)
    scenes = Scenes(
        count=torch.from_numpy(count),
        shape=torch.from_numpy(SHAPE_KINDS[things.shape]),
        center=to_tensor(position),
        scale=to_tensor(things.scale),
        rotation=to_tensor(things.rotation),
        surface=draw_surfaces(draws, things),
        floor=draw_ground(draws, Stream.FLOOR, 0.45),
        backdrop=draw_ground(draws, Stream.BACKDROP, 0.12),
        dome=torch.full((len(count),), DOME),
        camera=to_tensor(camera),
        view=to_tensor(view),
        tangent=torch.full((len(count),), TANGENT),
        lighting=draw_lamps(draws),
    )
    return scenes, found


def _camera(draws: Draws) -> tuple[Floats, Floats]:
    """Draw cameras anywhere around the scene that look slightly down at about its middle; return places and views."""
    u = draws.uniform(Stream.CAMERA, 5).T
    camera = lamp_direction(360 * u[0], 18 + 22 * u[1]) * (8.4 + 1.2 * u[2])[:, None]
    return camera, look_at(camera, np.stack([u[3] - 0.5, u[4] - 0.5, np.full_like(u[0], 0.8)], -1))


def _place(
    draws: Draws, count: Ints, things: Things, variant: Variant, camera: Floats, view: Floats
) -> tuple[Floats, Bools]:
    """Choose positions (B, M, 3) of the centres, and return whether there is room for all, (B,)."""
    room = things.room
    air = np.where(draws.uniform(Stream.FALL, room.shape[1]) < FALLING, variant.height, 0)

    def candidates(k: int) -> Floats:
        x, y, drop = draws.uniform(Stream.PLACE + k, 3, CANDIDATES).swapaxes(0, 1)
        x, y = (2 * x - 1) * variant.spread, (2 * y - 1) * variant.spread
        z = things.below[:, k, None] + air[:, k, None] * drop
        return np.stack([x, y, z, *project(x, y, z, camera, view)])

    def fits(k: int, options: Floats, before: Floats) -> Bools:
        x, y, z = options[:3, ..., None] - before[:3, :, None]
        reach = (room[:, k, None] + room[:, :k])[:, None]
        clear = x * x + y * y + z * z >= reach * reach
        clear &= stay_visible(options[3:], before[3:], room[:, k, None], room[:, :k])
        good: Bools = clear.all(2) & (np.abs(options[3:5]).max(0) < EDGE * TANGENT)
        return good

    position, found = place_in_turn(count, candidates, fits, room.shape[1])
    return position[..., :3], found
