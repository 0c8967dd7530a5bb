"""Draws `synth-clevr`, a stand-in for CLEVR, in the format of the real splits.

    python -m data_tools synth-clevr --out data/synth-clevr --count 10000 --size 64 --seed 0 --max-objects 10

Spheres, cubes and upright cylinders of two sizes, two materials and eight colours stand on a grey plane, under a camera
and lamps that move a little from scene to scene. The picture is framed like the crop of CLEVR that the paper trains on
(App. E). **It is not CLEVR**: `data_tools.stand_ins.render` draws it, objects do not mirror each other, only one lamp
casts shadows, and no object is outside the crop.

`num_objects` is the number of objects placed, 3 to 10 with equal chances; each of them shows at least `MIN_PIXELS`
pixels in the scene's 32 x 32 picture; otherwise another layout is drawn. Scene i of a seed does not depend on count or
size.

Legend: B scenes, M object places, C candidates for one place.
"""

from __future__ import annotations

import enum
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
    rotations_about_vertical,
    stay_visible,
    to_linear_color,
    to_tensor,
)
from data_tools.stand_ins.random_draws import Bools, Draws, Floats, Ints
from data_tools.stand_ins.scenes import Lighting, Scenes, Shape, Surface, plain_surface
from data_tools.stand_ins.writer import Tables, check_objects, check_request, write_stand_in

SHAPES = ("sphere", "cube", "cylinder")
SIZES = ("large", "small")
MATERIALS = ("rubber", "metal")
COLORS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
"""Class k + 1 of the split's `shape`, `size`, `material` and `color` is entry k; 0 is no object."""

PALETTE = np.array(
    [
        [87, 87, 87], [173, 35, 35], [42, 75, 215], [29, 105, 20],
        [129, 74, 25], [129, 38, 192], [41, 208, 208], [255, 238, 51],
    ]
)  # fmt: skip
"""sRGB of `COLORS`."""
SHAPE_KINDS = np.array([Shape.SPHERE, Shape.BOX, Shape.CYLINDER])
RADIUS = np.array([0.7, 0.35])
"""Radius of each of `SIZES` in world units: half the diagonal of a cube's face, half the height of other shapes."""
MAX_OBJECTS = 10
GAP = 0.25
"""Least distance between the edges of two objects, in world units."""
MARGIN = 0.2
"""Least distance between two centres across and along the view, so that left, right, front and behind are clear. In
CLEVR it is 0.4, for which ten objects hardly ever have room inside the crop."""
MIN_PIXELS = 6
"""Least pixels of an object in a 32 x 32 picture: CLEVR's 200 pixels of 320 x 240, as a share of the crop."""
EDGE = 0.96
"""Share of the picture's half width within which the centres of objects are."""
TANGENT = 0.285
"""Tangent of half the field of view: 192 of CLEVR's 320 pixels with its 35 mm lens, slightly wider."""
CANDIDATES = 40
SOURCE = "synthetic stand-in made by this project (data_tools.synth_clevr); it is not CLEVR and holds none of its data"


class Stream(enum.IntEnum):
    """An independent stream of a scene's random numbers."""

    COUNT = 1
    SHAPE = 2
    SIZE = 3
    MATERIAL = 4
    COLOR = 5
    TURN = 6
    CAMERA = 7
    LAMPS = 8
    FLOOR = 9
    PLACE = 100


def prepare(
    out: Path | str,
    *,
    count: int,
    size: int,
    seed: int = 0,
    min_objects: int = 3,
    max_objects: int = MAX_OBJECTS,
    antialias: bool = True,
    device: torch.device | str = "cpu",
) -> Path:
    """Draw a split of `count` scenes; call it again after an interruption to resume.

    Args:
        out: Folder of the split.
        count: Number of scenes.
        size: Side of the pictures in pixels.
        seed: Seed of the data set; another seed gives other scenes.
        min_objects: Fewest objects of a scene.
        max_objects: Most objects of a scene.
        antialias: Average 2 x 2 rays per pixel.
        device: Where to draw.

    Raises:
        DataError: An argument is out of range.
        SplitWriteError: `out` holds something else, is being written, or the disk is full.
    """
    check_request(count, size, seed, device)
    check_objects(min_objects, max_objects, 1, MAX_OBJECTS)

    def make(scene_id: Ints) -> tuple[Scenes, Tables]:
        return make_scenes(seed, scene_id, min_objects=min_objects, max_objects=max_objects, device=device)

    return write_stand_in(
        Path(out),
        make,
        name="synth-clevr",
        source=SOURCE,
        arguments={"seed": seed, "min_objects": min_objects, "max_objects": max_objects},
        count=count,
        size=size,
        antialias=antialias,
    )


def make_scenes(
    seed: int,
    scene_id: Ints,
    *,
    min_objects: int = 3,
    max_objects: int = MAX_OBJECTS,
    device: torch.device | str = "cpu",
) -> tuple[Scenes, Tables]:
    """Make scenes from their numbers, and their object tables.

    Args:
        seed: Seed of the data set.
        scene_id: Numbers of the scenes, int64 (B,).
        min_objects: Fewest objects of a scene.
        max_objects: Most objects of a scene, M.
        device: Device of the scenes.

    Returns:
        B scenes, and `shape`, `size`, `material`, `color`, `x`, `y`, `z`, `visibility` as
        `data_tools.writing.split_writer` has them.
    """

    def compose(draws: Draws, fixed: Draws) -> tuple[Scenes, Bools]:
        return _compose(draws, min_objects + fixed.choice(Stream.COUNT, max_objects - min_objects + 1), max_objects)

    scenes, draws = redraw_until_visible(seed, scene_id, compose, MIN_PIXELS, device)
    count, center = scenes.count.cpu().numpy(), scenes.center.cpu().numpy()
    classes = zip(("shape", "size", "material", "color"), _classes(draws, max_objects), strict=True)
    tables: dict[str, npt.NDArray[Any]] = {name: make_class_table(count, values) for name, values in classes}
    tables |= {name: make_number_table(count, center[..., i]) for i, name in enumerate("xyz")}
    return scenes, tables | {"visibility": make_number_table(count, np.ones(center.shape[:2]), background=1)}


def _classes(draws: Draws, places: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Draw class numbers of shape, size, material and colour, each (B, M) from 0."""
    return (
        draws.choice(Stream.SHAPE, len(SHAPES), places),
        draws.choice(Stream.SIZE, len(SIZES), places),
        draws.choice(Stream.MATERIAL, len(MATERIALS), places),
        draws.choice(Stream.COLOR, len(COLORS), places),
    )


def _compose(draws: Draws, count: Ints, places: int) -> tuple[Scenes, Bools]:
    """Lay out B scenes once, and return which of them have room for all objects."""
    shape, size, material, color = _classes(draws, places)
    half = np.where(shape == SHAPES.index("cube"), RADIUS[size] / np.sqrt(2), RADIUS[size])
    camera = np.array([7.36, -6.93, 4.96]) + draws.between(Stream.CAMERA, -0.5, 0.5, 3)
    view = look_at(camera, np.broadcast_to([0.0, 0.0, 0.3], camera.shape))
    position, found = _place(draws, count, half, camera, view)
    floor = _floor(draws)
    scenes = Scenes(
        count=torch.from_numpy(count),
        shape=torch.from_numpy(SHAPE_KINDS[shape]),
        center=to_tensor(np.concatenate([position, half[..., None]], 2)),
        scale=to_tensor(np.repeat(half[..., None], 3, 2)),
        rotation=to_tensor(rotations_about_vertical(draws.between(Stream.TURN, 0, 2 * np.pi, places))),
        surface=plain_surface(to_tensor(to_linear_color(PALETTE[color])), to_tensor(material)),
        floor=floor,
        backdrop=floor,
        dome=torch.full((len(count),), 1000.0),
        camera=to_tensor(camera),
        view=to_tensor(view),
        tangent=torch.full((len(count),), TANGENT),
        lighting=_lamps(draws),
    )
    return scenes, found


def _place(draws: Draws, count: Ints, half: Floats, camera: Floats, view: Floats) -> tuple[Floats, Bools]:
    """Choose positions (B, M, 2) on the floor, and return whether there is room for all, (B,)."""
    right, forward = _on_ground(view[:, 0]), _on_ground(view[:, 2])

    def candidates(k: int) -> Floats:
        x, y = draws.between(Stream.PLACE + k, -3, 3, 2, CANDIDATES).swapaxes(0, 1)
        return np.stack([x, y, *project(x, y, half[:, k, None], camera, view)])

    def fits(k: int, options: Floats, before: Floats) -> Bools:
        x, y = options[:2, ..., None] - before[:2, :, None]
        across, along = x * right[0] + y * right[1], x * forward[0] + y * forward[1]
        reach = (GAP + half[:, k, None] + half[:, :k])[:, None]
        clear = (x * x + y * y >= reach * reach) & (np.abs(across) >= MARGIN) & (np.abs(along) >= MARGIN)
        clear &= stay_visible(options[2:], before[2:], half[:, k, None], half[:, :k])
        good: Bools = clear.all(2) & (np.abs(options[2:4]).max(0) < EDGE * TANGENT)
        return good

    position, found = place_in_turn(count, candidates, fits, half.shape[1])
    return position[..., :2], found


def _on_ground(direction: Floats) -> tuple[Floats, Floats]:
    x, y = direction[:, 0, None, None], direction[:, 1, None, None]
    length = np.hypot(x, y)
    return x / length, y / length


def _floor(draws: Draws) -> Surface:
    gray = draws.between(Stream.FLOOR, 132, 144, 1)
    return plain_surface(to_tensor(to_linear_color(np.repeat(gray, 3, 1))), torch.zeros(len(gray)))


def _lamps(draws: Draws) -> Lighting:
    u = draws.between(Stream.LAMPS, -0.5, 0.5, 7).T
    one = torch.ones(u.shape[1])
    return Lighting(
        key=to_tensor(lamp_direction(-115 + 30 * u[0], 50 + 10 * u[1])),
        fill=to_tensor(lamp_direction(10 + 30 * u[2], 40 + 10 * u[3])),
        key_strength=to_tensor(0.95 + 0.2 * u[4]),
        fill_strength=to_tensor(0.3 + 0.1 * u[5]),
        ambient=to_tensor(0.45 + 0.1 * u[6]),
        softness=0.13 * one,
        fog=0.006 * one,
        falloff=0.012 * one,
        vignette=0.8 * one,
    )
