"""What a sweep will do before it does it: the grid, what the store has of it, and how long the rest takes."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import torch

from slotnorm.training.checkpoint import CheckpointError, read_progress
from slotnorm.training.spec import RunSpec
from slotnorm_book.experiments.engine import Job, jobs
from slotnorm_book.experiments.provenance import device_name
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.results import whole
from slotnorm_book.experiments.run_store import Run, RunError, RunStore, UnreadableError


@dataclass(frozen=True)
class Plan:
    """The runs still to be had, and a table of all of them for the reader."""

    jobs: tuple[Job, ...]
    text: str


def plan(recipe: Recipe, root: str, device: str) -> Plan:
    """Compare a recipe with a store.

    Args:
        recipe: what is wanted.
        root: of the store.
        device: that the runs would be on; times are those of recorded runs of the same size on the same device.

    Raises:
        RunError: the store or one of these runs may not be read.
    """
    store = RunStore(root)
    todo, lines, seconds = [], [], 0.0
    recorded = [run for run in store if run.provenance.get("device") == device_name(torch.device(device))]
    for job in jobs(recipe):
        state, left = _state(job, store)
        if left or state != "done":
            todo.append(job)
            speed = _speed(job.spec, recorded)
            seconds = seconds + left / speed if speed else float("nan")
        lines.append(f"  {job.spec.name:<40} {state}")
    head = f"{recipe.experiment} at {recipe.scale} scale in {root}: {len(lines) - len(todo)} of {len(lines)} runs done"
    estimate = f"about {seconds / 60:.0f} minutes of one worker are left, by recorded speeds on this device"
    if todo and seconds != seconds:
        estimate = "no run of this size on this device is recorded, so there is no estimate of the time"
    return Plan(tuple(todo), "\n".join([head, *lines, *([estimate] if todo else [])]))


def _state(job: Job, store: RunStore) -> tuple[str, int]:
    """How far a run is, and the training steps that it lacks."""
    steps = job.spec.schedule.steps
    try:
        if whole(job, store) is not None:
            return "done", 0
        if store.find(job.spec) is not None:
            return "trained; some settings are still to be evaluated", 0
    except UnreadableError:
        raise
    except RunError as error:
        return f"damaged: {error}; remove its folder to run it again", steps
    if store.local is None:
        return "not run", steps
    try:
        done = read_progress(store.checkpoint(job.spec))
    except CheckpointError as error:
        return str(error), steps
    return (f"stopped at step {done:,} of {steps:,}", steps - done) if done else ("not run", steps)


def _speed(spec: RunSpec, recorded: list[Run]) -> float | None:
    """Median steps per second of runs of the same model and batch, whatever the normalization."""
    alike = [
        float(run.provenance["steps_per_second"])
        for run in recorded
        if (run.spec.task, run.spec.batch_size, run.spec.precision) == (spec.task, spec.batch_size, spec.precision)
    ]
    return median(alike) if alike else None
