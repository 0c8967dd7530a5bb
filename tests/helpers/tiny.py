"""Scenes of noise, a tiny model, and a recipe of it; as a program, ``slotnorm-book`` with that recipe added."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_tools.writing.split_writer import ArraySpec, SplitWriter
from slotnorm.data.splits import Loader, Split, open_split
from slotnorm.tasks import ObjectDiscovery
from slotnorm.training.spec import Data, Optimizer, RunSpec, Schedule
from slotnorm_book.experiments import recipes
from slotnorm_book.experiments.data_sources import Source
from slotnorm_book.experiments.engine import Execution
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.test_sets import TestSet

SIZE = 16
TASK = ObjectDiscovery(
    image_size=SIZE, num_slots=2, slot_dim=4, channels=4, encoder_layers=1, hidden_dim=4, iterations=2
)
QUIET = Execution(bar=False)


def spec(**changes: Any) -> RunSpec:
    whole = RunSpec(
        task=TASK,
        data=Data("noise", "0" * 64),
        variant="weighted_mean",
        seed=0,
        schedule=Schedule(steps=8, peak=1e-2, warmup=2, half_life=20),
        batch_size=4,
    )
    return replace(whole, **changes)


def make_split(folder: Path, scenes: int = 8, seed: int = 0) -> Split:
    """Noise in two shades, labelled at random; scenes have 1 to 4 objects in turn."""
    rng = np.random.default_rng(seed)
    segmentation = rng.integers(0, 4, (scenes, SIZE, SIZE), dtype=np.uint8)
    noise = rng.integers(0, 60, (scenes, SIZE, SIZE, 3), dtype=np.uint8)
    arrays = {
        "image": (noise + 60 * segmentation[..., None]).astype(np.uint8),
        "segmentation": segmentation,
        "num_objects": np.arange(scenes) % 4 + 1,
        "scene_id": np.arange(100, 100 + scenes),
    }
    specs = {name: ArraySpec(str(array.dtype), array.shape[1:]) for name, array in arrays.items()}
    about = {"name": "noise", "source": "tests", "license": "MIT", "generator": {"seed": seed}}
    with SplitWriter(folder, arrays=specs, count=scenes, **about) as writer:
        writer.append(**arrays)
        return open_split(writer.finish())


def make_data(folder: Path) -> Path:
    """A folder of prepared splits."""
    make_split(folder / "train", seed=0)
    make_split(folder / "test", seed=1)
    return folder


def loader(split: Split, run: RunSpec, rank: int = 0, world_size: int = 1) -> Loader:
    return split.loader(batch_size=run.batch_size, seed=run.seed, flip=True, rank=rank, world_size=world_size)


def recipe(data: Path, **changes: Any) -> Recipe:
    run = spec()
    whole = Recipe(
        experiment="tiny",
        scale="smoke",
        locus="none",
        task=run.task,
        train=Source(str(data), "train", SIZE, 8),
        max_objects=3,
        schedule=run.schedule,
        optimizer=Optimizer(clip_norm=1.0),
        batch_size=run.batch_size,
        precision="fp32",
        tests=(
            TestSet("few", Source(str(data), "test", SIZE, 8), 4, 3, (2, 3), (2,)),
            TestSet("all", Source(str(data), "test", SIZE, 8), 6, None, (2, 3), (2,)),
        ),
        variants=("weighted_mean", "batch_norm"),
        seeds=(0,),
    )
    return replace(whole, **changes)


def equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    """Whether two models have the same weights and buffers, to the bit."""
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


if __name__ == "__main__":
    from slotnorm_book.__main__ import cli

    torch.set_num_threads(1)
    recipes.EXPERIMENTS["tiny"] = lambda scale: recipe(Path(os.environ["TINY_DATA"]), scale=scale)
    cli()
