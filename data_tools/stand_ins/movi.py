"""`synth-movi`: a stand-in for MOVi-C and MOVi-D that any machine can make, in the format of the real splits.

    python -m data_tools synth-movi --out data/synth-movi-c --variant c --count 10000 --size 128 --seed 0

Balls, boxes, cylinders, cones, capsules and ellipsoids with solid procedural textures lie on or fall towards a
textured floor under a textured dome. The C-like variant has 3 to 10 large objects, the D-like one 11 to 23 smaller
ones, and in both they hide each other freely. **It is not MOVi**: the objects are no scanned things, the backdrops no
photographs, and every scene is one picture instead of a clip.

`num_objects` is the number of objects placed, all counts with equal chances; each of them shows at least
`Variant.pixels` pixels in the scene's 32 x 32 picture, or the layout is redrawn. Scene i of a seed and variant does not
depend on count or size.

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
    class_table,
    emerges,
    lamp,
    look_at,
    number_table,
    on_screen,
    place_in_turn,
    settle,
    tensor,
)
from data_tools.stand_ins.random_draws import Bools, Draws, Floats, Ints
from data_tools.stand_ins.scenes import MAX_OBJECTS, Scenes
from data_tools.stand_ins.textured_objects import (
    DOME,
    KINDS,
    Stream,
    Things,
    classes,
    ground,
    lamps,
    make_things,
    surfaces,
)
from data_tools.stand_ins.writer import Tables, check_objects, check_request, write_stand_in
from data_tools.writing.durable import DataError

TANGENT = 0.36
"""Of half the field of view."""
EDGE = 0.85
"""Objects' centres lie within this share of the picture's half width."""
FALLING = 0.35
"""Share of objects that are in the air."""
CANDIDATES = 32
SOURCE = "synthetic stand-in made by this project (data_tools.synth_movi); it is not MOVi and holds none of its data"


@dataclass(frozen=True)
class Variant:
    """How many objects of which size."""

    min_objects: int
    max_objects: int
    radius: tuple[float, float]
    """of a ball, in world units; see `data_tools.stand_ins.textured_objects.make_things`"""
    spread: float
    """half side of the square over which objects are scattered"""
    height: float
    """most air below a falling object"""
    pixels: int
    """of a 32 x 32 picture that every object must show"""


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
    """Make a split of `count` scenes; an interrupted call goes on where it was.

    Args:
        out: Folder of the split.
        count: Scenes.
        variant: "c" or "d", of `VARIANTS`.
        size: Pixels along a side.
        seed: Of the dataset; another seed gives other scenes.
        min_objects: Fewest objects of a scene; the variant's own if None.
        max_objects: Most objects of a scene; the variant's own if None.
        antialias: Average 2 x 2 rays per pixel.
        device: Where to draw.

    Raises:
        DataError: An argument is out of range.
        SplitWriteError: `out` exists and is something else, is being written, or the disk is full.
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
    """Scenes by their numbers, and their object tables.

    Args:
        seed: Of the dataset.
        scene_id: int64 (B,).
        variant: Of `VARIANTS`.
        min_objects: Fewest objects of a scene; the variant's own if None.
        max_objects: Most objects of a scene, M; the variant's own if None.
        device: Where the scenes shall be.

    Returns:
        B scenes, and `shape`, `texture`, `color`, `second_color`, `x`, `y`, `z`, `visibility`, each (B, 1 + M).
    """
    own = VARIANTS[variant]
    low = own.min_objects if min_objects is None else min_objects
    high = own.max_objects if max_objects is None else max_objects
    assert high <= MAX_OBJECTS

    def compose(draws: Draws, fixed: Draws) -> tuple[Scenes, Bools]:
        return _compose(draws, low + fixed.choice(Stream.COUNT, high - low + 1), high, own)

    scenes, draws = settle(seed, scene_id, compose, own.pixels, device)
    count, center = scenes.count.cpu().numpy(), scenes.center.cpu().numpy()
    named = zip(("shape", "texture", "color", "second_color"), classes(draws, high), strict=True)
    tables: dict[str, npt.NDArray[Any]] = {name: class_table(count, values) for name, values in named}
    tables |= {name: number_table(count, center[..., i]) for i, name in enumerate("xyz")}
    return scenes, tables | {"visibility": number_table(count, np.ones(center.shape[:2]), background=1)}


def _compose(draws: Draws, count: Ints, places: int, variant: Variant) -> tuple[Scenes, Bools]:
    """One attempt at B scenes."""
    things = make_things(draws, places, variant.radius)
    camera, view = _camera(draws)
    position, found = _place(draws, count, things, variant, camera, view)
    scenes = Scenes(
        count=torch.from_numpy(count),
        shape=torch.from_numpy(KINDS[things.shape]),
        center=tensor(position),
        scale=tensor(things.scale),
        rotation=tensor(things.rotation),
        surface=surfaces(draws, things),
        floor=ground(draws, Stream.FLOOR, 0.45),
        backdrop=ground(draws, Stream.BACKDROP, 0.12),
        dome=torch.full((len(count),), DOME),
        camera=tensor(camera),
        view=tensor(view),
        tangent=torch.full((len(count),), TANGENT),
        lighting=lamps(draws),
    )
    return scenes, found


def _camera(draws: Draws) -> tuple[Floats, Floats]:
    """Anywhere around the scene, looking slightly down at about its middle."""
    u = draws.uniform(Stream.CAMERA, 5).T
    camera = lamp(360 * u[0], 18 + 22 * u[1]) * (8.4 + 1.2 * u[2])[:, None]
    return camera, look_at(camera, np.stack([u[3] - 0.5, u[4] - 0.5, np.full_like(u[0], 0.8)], -1))


def _place(
    draws: Draws, count: Ints, things: Things, variant: Variant, camera: Floats, view: Floats
) -> tuple[Floats, Bools]:
    """Positions (B, M, 3) of the centres, and whether there is room for all."""
    room = things.room
    air = np.where(draws.uniform(Stream.FALL, room.shape[1]) < FALLING, variant.height, 0)

    def candidates(k: int) -> Floats:
        x, y, drop = draws.uniform(Stream.PLACE + k, 3, CANDIDATES).swapaxes(0, 1)
        x, y = (2 * x - 1) * variant.spread, (2 * y - 1) * variant.spread
        z = things.below[:, k, None] + air[:, k, None] * drop
        return np.stack([x, y, z, *on_screen(x, y, z, camera, view)])

    def fits(k: int, options: Floats, before: Floats) -> Bools:
        x, y, z = options[:3, ..., None] - before[:3, :, None]
        reach = (room[:, k, None] + room[:, :k])[:, None]
        clear = x * x + y * y + z * z >= reach * reach
        clear &= emerges(options[3:], before[3:], room[:, k, None], room[:, :k])
        good: Bools = clear.all(2) & (np.abs(options[3:5]).max(0) < EDGE * TANGENT)
        return good

    position, found = place_in_turn(count, candidates, fits, room.shape[1])
    return position[..., :3], found
