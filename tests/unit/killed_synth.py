"""A program that is killed while it draws a stand-in, at many moments, and run again each time."""

import os
import shutil
import sys
from pathlib import Path

import torch

from data_tools import synth_clevr, synthesis
from tests.unit.toy_split import content, die_at, in_child

COUNT, SIZE, STEP = 10, 16, 3


def draw(out: Path) -> Path:
    return synth_clevr.prepare(out, count=COUNT, size=SIZE, seed=4)


def kill_here_and_there(folder: Path, stride: int) -> int:
    """Kill at every `stride`-th change to the file system; returns how many kills there were."""
    synthesis.PIXELS = STEP * SIZE * SIZE  # several appends
    whole = content(draw(folder / "whole"))
    for kills, step in enumerate(range(0, 1000, stride)):
        out = folder / "split"

        def run(out: Path = out, step: int = step) -> None:
            die_at(step)
            draw(out)

        finished = in_child(run) == 0
        assert (content(out) if out.exists() else None) in (None, whole), f"step {step}: half a split appeared"
        assert content(draw(out)) == whole, f"step {step}: the resumed split differs"
        shutil.rmtree(out)
        if finished:
            return kills
    raise AssertionError("the writer never finishes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.environ["TQDM_DISABLE"] = "1"
    print(kill_here_and_there(Path(sys.argv[1]), stride=int(sys.argv[2])))
