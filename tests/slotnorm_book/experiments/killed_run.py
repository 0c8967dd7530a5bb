"""Programs that are killed, as `kill -9` would, at many moments of training, recording, extending and pruning a run."""

from __future__ import annotations

import io
import itertools
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from slotnorm.training import loop as training
from slotnorm.training.spec import Schedule
from slotnorm_book.experiments import engine
from slotnorm_book.experiments.engine import Execution, Job, evaluate_missing, load_or_train
from slotnorm_book.experiments.run_store import RECORD, RUNNING, RunStore
from tests.helpers import tiny
from tests.helpers.toy_split import content, die_at, in_child

BUSY = Execution(bar=False, checkpoint_seconds=-1.0)
Files = dict[str, bytes]


def tables_and_weights(folder: Path) -> Files:
    """What of a run must repeat to the bit: everything but the record, which tells the time."""
    return {name: data for name, data in content(folder).items() if name != RECORD}


def die_at_any(step: int) -> None:
    """As `die_at`, files opened by Python's own `open` included."""
    die_at(step)
    dying_open = os.open

    def open_(path: Any, *args: Any, **kwargs: Any) -> Any:
        os.close(dying_open(os.devnull, os.O_RDONLY))
        return builtin_open(path, *args, **kwargs)

    builtin_open, io.open = io.open, open_


def kill_at(step: int, what: Callable[[], Any]) -> bool:
    """Do it in a child that is killed at a change to the file system; whether it came to its end."""

    def run() -> None:
        die_at_any(step)
        what()

    return in_child(run) == 0


def train(job: Job, folder: Path, stride: int) -> int:
    """Kill an obtained run, go on with it, compare; returns the kills."""
    load_or_train(job, RunStore(folder / "whole"), BUSY)
    whole = tables_and_weights(folder / "whole" / job.spec.name)
    for kills, step in enumerate(range(0, 1000, stride)):
        root = folder / "store"
        finished = kill_at(step, lambda root=root: load_or_train(job, RunStore(root), BUSY))
        place = root / job.spec.name
        assert not place.exists() or tables_and_weights(place) == whole, f"step {step}: half a run appeared"
        load_or_train(job, RunStore(root), BUSY)
        assert tables_and_weights(place) == whole, f"step {step}: the resumed run differs"
        left = {path.suffix for path in (root / RUNNING).iterdir()}
        assert left <= {".lock"}, f"step {step}: {left} stay"
        shutil.rmtree(root)
        if finished:
            return kills
    raise AssertionError("the run never finishes")


def pausing_reporter(pipe: int, after: int) -> Callable[[int, float], None]:
    """Return a report that writes the step to a pipe, and the last time waits for a signal, so that no run is too fast.

    However late the parent is, it finds the run alive.
    """
    reports = itertools.count(1)

    def report(step: int, loss: float) -> None:
        os.write(pipe, bytes([step]))
        if next(reports) >= after:
            signal.pause()

    return report


def train_at_random(job: Job, folder: Path, kills: int) -> int:
    """Kill a living run at moments drawn at random, go on each time; returns the steps that were reached."""
    load_or_train(job, RunStore(folder / "whole"), BUSY)
    rng, reached = random.Random(0), 0
    for _ in range(kills):
        receiver, sender = os.pipe()
        child = os.fork()
        if child == 0:
            load_or_train(job, RunStore(folder / "store"), replace(BUSY, report=pausing_reporter(sender, after=6)))
            os._exit(0)
        for _ in range(rng.randint(1, 4)):
            reached = os.read(receiver, 1)[0]
        time.sleep(rng.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "it was not alive any more"
    load_or_train(job, RunStore(folder / "store"), BUSY)
    results = [tables_and_weights(folder / name / job.spec.name) for name in ("whole", "store")]
    assert results[0] == results[1], "the resumed run differs"
    return reached


def rewrite(job: Job, folder: Path, stride: int, change: Callable[[RunStore], Any]) -> int:
    """Kill what changes a finished run, do it again, compare; returns the kills."""
    before = folder / "before"
    load_or_train(job, RunStore(before), BUSY)
    shutil.copytree(before, folder / "after")
    change(RunStore(folder / "after"))
    old, new = (content(folder / name / job.spec.name) for name in ("before", "after"))
    assert old != new
    for kills, step in enumerate(range(0, 1000, stride)):
        root = folder / "store"
        shutil.copytree(before, root)
        finished = kill_at(step, lambda root=root: change(RunStore(root)))
        store = RunStore(root)
        run = store.get(job.spec)
        assert [other.spec for other in store] == [job.spec], f"step {step}: the store lost its run"
        assert not store.damaged(), f"step {step}: {store.damaged()}"
        files = {name: data for name, data in old.items() if name != RECORD}, new
        assert run.read_files() in [{k: v for k, v in f.items() if k != RECORD} for f in files], f"step {step}"
        change(RunStore(root))
        assert content(root / job.spec.name) == new, f"step {step}: done again it differs"
        shutil.rmtree(root)
        if finished:
            return kills
    raise AssertionError("the change never finishes")


def main(what: str, folder: Path, stride: int) -> int:
    training.FLUSH_EVERY = 2
    steps = Schedule(steps=100 if what == "random" else 8, peak=1e-2, warmup=2)
    job = engine.list_jobs(tiny.recipe(tiny.make_data(folder / "data"), variants=("batch_norm",), schedule=steps))[0]
    wider = tuple(replace(test, slots=(2, 3, 4)) for test in job.tests)
    if what == "train":
        return train(job, folder, stride)
    if what == "random":
        return train_at_random(job, folder, kills=6)
    if what == "extend":
        return rewrite(job, folder, stride, lambda store: evaluate_missing(store.get(job.spec), wider, store, BUSY))
    return rewrite(job, folder, stride, lambda store: store.add(store.get(job.spec), weights=False))


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.fsync = lambda _: None  # costs most of the time, and a killed process loses nothing by it
    print(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
