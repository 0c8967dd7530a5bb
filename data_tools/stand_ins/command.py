"""The commands that draw stand-ins, one for each name in `data_tools.stand_ins.PICTURES`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from data_tools.stand_ins import PICTURES

Out = Annotated[Path, typer.Option(help="Folder of the new split.")]
Count = Annotated[int, typer.Option(help="Number of scenes.")]
Size = Annotated[int, typer.Option(help="Side of the pictures in pixels.")]
Seed = Annotated[int, typer.Option(help="Seed of the data set; another seed gives other scenes.")]
MinObjects = Annotated[int | None, typer.Option(help="Fewest objects in a scene; by default as few as above.")]
MaxObjects = Annotated[int | None, typer.Option(help="Most objects in a scene; by default as many as above.")]
Antialias = Annotated[bool, typer.Option(help="Average 2 x 2 rays per pixel.")]
Device = Annotated[str, typer.Option(help="Where to draw: cpu, cuda, ...")]


def make_command(name: str) -> Callable[..., None]:
    """Return the command that draws the stand-in `name`."""
    stand_in = PICTURES[name]

    def draw(
        out: Out,
        count: Count,
        size: Size = stand_in.size,
        seed: Seed = 0,
        min_objects: MinObjects = None,
        max_objects: MaxObjects = None,
        antialias: Antialias = True,
        device: Device = "cpu",
    ) -> None:
        objects = {"min_objects": min_objects, "max_objects": max_objects}
        chosen = {key: value for key, value in objects.items() if value is not None}
        print(stand_in.prepare(out, count=count, size=size, seed=seed, antialias=antialias, device=device, **chosen))

    draw.__doc__ = (
        f"Draw a stand-in: {stand_in.shows}.\n\n"
        "The pictures are drawn on this machine. When interrupted, the same command resumes where it stopped."
    )
    return draw


COMMANDS = {name: make_command(name) for name in PICTURES}
