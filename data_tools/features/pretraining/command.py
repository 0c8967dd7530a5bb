"""The command `pretrain`, which makes the stand-in backbone; see `data_tools.features.pretraining.loop` and
`data_tools.features.pretraining.pretext_task`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pretrain(
    out: Annotated[Path, typer.Option(help="File of the weights; .csv and .json are written beside it.")],
    steps: Annotated[int, typer.Option(help="Updates.")] = 2500,
    batch: Annotated[int, typer.Option(help="Pictures in an update.")] = 32,
    pictures: Annotated[int, typer.Option(help="Different pictures.")] = 6144,
    seed: Annotated[int, typer.Option(help="Of pictures, order and initial weights.")] = 0,
    width: Annotated[int, typer.Option(help="Features of a patch.")] = 96,
    depth: Annotated[int, typer.Option(help="Blocks of the transformer.")] = 2,
) -> None:
    """Train a small vision transformer on pictures of single objects: the backbone of the stand-ins for MOVi.

    It sees no scene of several objects and no mask. When interrupted, the same command goes on where it was.
    """
    from data_tools.features.pretraining import (
        loop as pretraining,  # not above: timm takes seconds that the other commands need not wait for
    )

    settings = pretraining.Pretraining(steps=steps, batch=batch, pictures=pictures, seed=seed, width=width, depth=depth)
    about = pretraining.pretrain(settings, out)
    print(f"{out}: {about['bytes'] / 1e6:.1f} MB, {about['training_seconds']} s of training; on held-out pictures:")
    for name, value in about["held_out"].items():
        print(f"  {name:<12} {value:.3f}")
