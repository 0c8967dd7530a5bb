"""The commands `synth-clevr` and `synth-movi`; see `data_tools.stand_ins.clevr` and `data_tools.stand_ins.movi`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help="Folder of the new split.")]
Count = Annotated[int, typer.Option(help="Scenes.")]
Seed = Annotated[int, typer.Option(help="Of the dataset: another seed gives other scenes.")]
Antialias = Annotated[bool, typer.Option(help="Average 2 x 2 rays per pixel.")]
Device = Annotated[str, typer.Option(help="Where to draw: cpu, cuda, ...")]


def synth_clevr(
    out: Out,
    count: Count,
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels.")] = 64,
    seed: Seed = 0,
    min_objects: Annotated[int, typer.Option(help="Fewest objects of a scene.")] = 3,
    max_objects: Annotated[int, typer.Option(help="Most objects of a scene, at most 10.")] = 10,
    antialias: Antialias = True,
    device: Device = "cpu",
) -> None:
    """Draw a stand-in for CLEVR: spheres, cubes and cylinders on a grey plane.

    It is made here and is not CLEVR. When interrupted, the same command goes on where it was.
    """
    from data_tools.stand_ins import clevr as clevr  # not above: torch takes seconds to import, for every command

    print(
        clevr.prepare(
            out,
            count=count,
            size=size,
            seed=seed,
            min_objects=min_objects,
            max_objects=max_objects,
            antialias=antialias,
            device=device,
        )
    )


def synth_movi(
    out: Out,
    count: Count,
    variant: Annotated[str, typer.Option(help="c: 3 to 10 large objects; d: 11 to 23 smaller ones.")] = "c",
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels.")] = 128,
    seed: Seed = 0,
    min_objects: Annotated[int | None, typer.Option(help="Fewest objects of a scene.")] = None,
    max_objects: Annotated[int | None, typer.Option(help="Most objects of a scene.")] = None,
    antialias: Antialias = True,
    device: Device = "cpu",
) -> None:
    """Draw a stand-in for MOVi-C or MOVi-D: textured objects that lie on or fall towards a textured floor.

    It is made here and is not MOVi. When interrupted, the same command goes on where it was.
    """
    from data_tools.stand_ins import movi as movi  # not above: torch takes seconds to import, for every command

    print(
        movi.prepare(
            out,
            count=count,
            variant=variant,
            size=size,
            seed=seed,
            min_objects=min_objects,
            max_objects=max_objects,
            antialias=antialias,
            device=device,
        )
    )
