"""Plans a sweep: which runs the store has, which are to be made, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from statistics import median

import torch

from slotnorm.training.checkpoint import CheckpointError, read_progress
from slotnorm.training.spec import RunSpec
from slotnorm_book.experiments.engine import Job, list_jobs
from slotnorm_book.experiments.missing_settings import RETRAIN_HINT, describe_missing, find_missing_settings
from slotnorm_book.experiments.provenance import device_name
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.run_store import Run, RunError, RunStore
from slotnorm_book.experiments.store_files import UnreadableError


@dataclass(frozen=True)
class Plan:
    """The runs that are still to be made or evaluated, and a table of all runs for the reader."""

    jobs: tuple[Job, ...]
    text: str


@dataclass(frozen=True)
class _State:
    """How far a run is: in words, and the training steps that are left. ``done`` runs need nothing."""

    text: str
    steps_left: int = 0
    done: bool = False


def make_plan(recipe: Recipe, root: str, device: str) -> Plan:
    """Compare a recipe with a store.

    Args:
        recipe: the experiment.
        root: folder of the store.
        device: the device that the runs would use; times are estimated from recorded runs of the same size on it.

    Raises:
        RunError: the store cannot be reached.
    """
    store = RunStore(root)
    todo, lines, seconds = [], [], 0.0
    recorded = [run for run in store if run.provenance.get("device") == device_name(torch.device(device))]
    for job in list_jobs(recipe):
        state = _find_state(job, store)
        if not state.done:
            todo.append(job)
            speed = _median_speed(job.spec, recorded)
            seconds += state.steps_left / speed if speed else nan
        lines.append(f"  {job.spec.name:<40} {state.text}")
    head = f"{recipe.experiment} at {recipe.scale} scale in {root}: {len(lines) - len(todo)} of {len(lines)} runs done"
    estimate = f"about {seconds / 60:.0f} minutes of one worker are left, by recorded speeds on this device"
    if isnan(seconds):
        estimate = "no run of this size on this device is recorded, so there is no estimate of the time"
    others = [f"  damaged, but not of this sweep: {error}" for error in _find_others(store, recipe)]
    return Plan(tuple(todo), "\n".join([head, *lines, *others, *([estimate] if todo else [])]))


def _find_others(store: RunStore, recipe: Recipe) -> list[str]:
    """List the errors of the runs that cannot be read and are not the recipe's."""
    names = [spec.name for spec in recipe.runs()]
    return [error for error in map(str, store.damaged()) if not any(f"/{name}/" in error for name in names)]


def _find_state(job: Job, store: RunStore) -> _State:
    steps = job.spec.schedule.steps
    try:
        run = store.find(job.spec)
        missing = find_missing_settings(run, job.tests) if run else []
    except UnreadableError as error:
        return _State(f"cannot be read: {error}", steps)
    except RunError as error:
        return _State(f"damaged: {error}; remove its folder to run it again", steps)
    if run and not missing:
        return _State("done", done=True)
    if run and run.has_weights:
        return _State(f"trained, {describe_missing(run, missing)}")
    if run:
        return _State(f"{describe_missing(run, missing)}; {RETRAIN_HINT}", steps)
    return _find_progress(job, store)


def _find_progress(job: Job, store: RunStore) -> _State:
    steps = job.spec.schedule.steps
    if store.local is None:
        return _State("not run", steps)
    try:
        done = read_progress(store.checkpoint_path(job.spec))
    except CheckpointError as error:
        return _State(str(error), steps)
    return _State(f"stopped at step {done:,} of {steps:,}", steps - done) if done else _State("not run", steps)


def _median_speed(spec: RunSpec, recorded: list[Run]) -> float | None:
    """Return the median steps per second of runs of the same model and batch, whatever the normalization."""
    alike = [
        float(speed)
        for run in recorded
        if (speed := run.provenance["steps_per_second"]) is not None
        and (run.spec.task, run.spec.batch_size, run.spec.precision) == (spec.task, spec.batch_size, spec.precision)
    ]
    return median(alike) if alike else None
