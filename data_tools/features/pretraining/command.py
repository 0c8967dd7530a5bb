"""The command that trains the stand-in backbone; see `data_tools.features.pretraining.loop`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pretrain(
    out: Annotated[Path, typer.Option(help="File for the weights; .csv and .json are written next to it.")],
    steps: Annotated[int, typer.Option(help="Number of updates.")] = 4000,
    batch: Annotated[int, typer.Option(help="Scenes in an update.")] = 24,
    scenes: Annotated[int, typer.Option(help="Number of different scenes.")] = 6144,
    seed: Annotated[int, typer.Option(help="Seed of scenes, order and initial weights; 0 to 2 are the splits'.")] = 100,
    width: Annotated[int, typer.Option(help="Features per patch.")] = 96,
    depth: Annotated[int, typer.Option(help="Blocks of the transformer.")] = 4,
) -> None:
    """Train a small vision transformer to tell which object each patch shows: the backbone of the stand-ins for MOVi.

    It is trained with labels, which DINO is not. When interrupted, the same command resumes where it stopped.
    """
    from data_tools.features.pretraining import loop

    settings = loop.Pretraining(steps=steps, batch=batch, scenes=scenes, seed=seed, width=width, depth=depth)
    about = loop.pretrain(settings, out)
    print(f"{out}: {about['bytes'] / 1e6:.1f} MB, {about['training_seconds']} s of training; on held-out scenes:")
    for name, value in about["held_out"].items():
        print(f"  {name:<12} {value:.3f}")


COMMANDS = {"pretrain": pretrain}
