"""A program whose data maker is killed at many moments, as `kill -9` would, and run again each time."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from data_tools.converters import clevr
from data_tools.features.backbone import FrozenBackbone
from data_tools.features.writer import write_features
from data_tools.stand_ins import clevr as synth_clevr
from data_tools.stand_ins import writer as synthesis
from slotnorm.data.splits import open_split
from tests.data_tools.converters.movi_folder import convert as convert_movi
from tests.data_tools.converters.test_clevr import FILE
from tests.data_tools.features import vit
from tests.helpers.toy_split import content, die_at, in_child


def draw(out: Path) -> Path:
    synthesis.PIXELS_PER_WRITE = 3 * 16 * 16  # several appends
    return synth_clevr.prepare(out, count=10, size=16, seed=4)


def convert_clevr(out: Path) -> Path:
    clevr.SCENES_PER_WRITE = 3
    return clevr.convert(FILE, clevr.list_parts(out, "all"), size=16)[0]


def store_features(out: Path) -> Path:
    images, weights = out.with_name("images"), out.with_name("weights.safetensors")
    if not weights.exists():
        vit.split(images)
        vit.saved(weights)
    return write_features(open_split(images), FrozenBackbone.load(vit.NAME, weights), out, batch=3)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "synth": draw,
    "clevr": convert_clevr,
    "movi": lambda out: convert_movi(out, split="train", size=16),
    "features": store_features,
}


def kill_here_and_there(make: Callable[[Path], Path], folder: Path, stride: int) -> int:
    """Kill at every `stride`-th change to the file system; returns how many kills there were."""
    whole = content(make(folder / "whole"))
    for kills, step in enumerate(range(0, 1000, stride)):
        out = folder / "split"

        def run(out: Path = out, step: int = step) -> None:
            die_at(step)
            make(out)

        finished = in_child(run) == 0
        assert (content(out) if out.exists() else None) in (None, whole), f"step {step}: half a split appeared"
        assert content(make(out)) == whole, f"step {step}: the resumed split differs"
        shutil.rmtree(out)
        if finished:
            return kills
    raise AssertionError("the writer never finishes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(kill_here_and_there(MAKERS[sys.argv[1]], Path(sys.argv[2]), stride=int(sys.argv[3])))
