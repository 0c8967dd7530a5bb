"""A small split, and a program that is killed at every step of writing it. Needs no torch, so it starts quickly."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.writing.split_writer import ArraySpec, SplitWriteError, SplitWriter

COUNT = 10
SPECS = {
    "image": ArraySpec("uint8", (8, 8, 3)),
    "segmentation": ArraySpec("uint8", (8, 8)),
    "num_objects": ArraySpec("int64", ()),
    "scene_id": ArraySpec("int64", ()),
    "x": ArraySpec("float32", (3,)),
}


def items(start: int, stop: int) -> dict[str, np.ndarray[Any, Any]]:
    scenes = np.arange(start, stop)
    segmentation = (scenes[:, None] + np.arange(64)).reshape(-1, 8, 8) % 3
    return {
        "image": np.repeat(segmentation[..., None] * 90 + scenes[:, None, None, None], 3, -1).astype(np.uint8),
        "segmentation": segmentation.astype(np.uint8),
        "num_objects": scenes % 4 + 1,
        "scene_id": scenes + 100,
        "x": scenes[:, None].astype(np.float32) / np.arange(1, 4, dtype=np.float32),
    }


def writer(out: Path, *, count: int | None = COUNT, seed: int = 0) -> SplitWriter:
    about = {"name": "toy", "source": "tests", "license": "MIT", "generator": {"seed": seed, "side": (8, 8)}}
    return SplitWriter(out, **about, arrays=SPECS, count=count)


def make(out: Path, *, count: int | None = COUNT, chunk: int = 3, seed: int = 0) -> Path:
    with writer(out, count=count, seed=seed) as split:
        for start in range(split.written, COUNT, chunk):
            split.append(**items(start, min(start + chunk, COUNT)))
        return split.finish()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def in_child(run: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        run()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def die_at(step: int) -> None:
    """Kill this process, as `kill -9` would, when it is about to do its `step`-th change to the file system."""
    left = step

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for name in ("open", "pwrite", "fsync", "ftruncate", "mkdir", "rename", "replace", "unlink"):
        setattr(os, name, dying(getattr(os, name)))


def kill_everywhere(folder: Path, count: int | None, stride: int = 1) -> int:
    """Kill the writer at its first step, its second, ..., run it again each time, and compare; returns the steps."""
    os.fsync = lambda _: None  # costs most of the time, and a killed process loses nothing by it
    whole = content(make(folder / "whole", count=count))
    for step in range(0, 1000, stride):
        out = folder / "split"

        def run(out: Path = out, step: int = step) -> None:
            die_at(step)
            make(out, count=count, chunk=5)

        finished = in_child(run) == 0
        appeared = content(out) if out.exists() else None
        assert appeared in (None, whole), f"step {step}: half a split appeared"
        assert content(make(out, count=count, chunk=5)) == whole, f"step {step}: the resumed split differs"
        assert sorted(os.listdir(folder)) == ["split", "whole"], f"step {step}: {os.listdir(folder)}"
        shutil.rmtree(out)
        if finished:
            return step
    raise AssertionError("the writer never finishes")


def fill_up(folder: Path) -> None:
    """Write under a limit on file sizes: a true failure of the operating system in the middle of an append."""

    def run() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
        try:
            make(folder / "split", chunk=2)
        except SplitWriteError as error:
            print(error)
            os._exit(7)

    assert os.waitstatus_to_exitcode(in_child(run)) == 7


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "kill":
        print(kill_everywhere(folder / "known", COUNT), kill_everywhere(folder / "unknown", None, stride=3))
    elif what == "fill":
        fill_up(folder)
    else:
        make(folder)
