"""Plans a sweep: which runs the store has, which are to be made, and how long that takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch

from slotnorm.training.checkpoint import CheckpointError, Curve, read_curve, read_progress
from slotnorm.training.spec import RunSpec
from slotnorm_book.experiments.engine import Job, list_jobs
from slotnorm_book.experiments.missing_settings import RETRAIN_HINT, describe_missing, find_missing_settings
from slotnorm_book.experiments.provenance import device_name
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.run_store import Run, RunError, RunStore
from slotnorm_book.experiments.store_files import UnreadableError
from slotnorm_book.experiments.test_sets import TestSet

LAST_STEPS = 100
"""Steps over which the plan averages the loss of an unfinished run."""


@dataclass(frozen=True)
class Plan:
    """The runs that are still to be made or evaluated, and a table of all runs for the reader."""

    jobs: tuple[Job, ...]
    text: str


@dataclass(frozen=True)
class _State:
    """How far a run is: in words, and the training steps that are left.

    ``done`` runs need nothing; those that are ``wrong`` are there and cannot be used.
    """

    text: str
    steps_left: int = 0
    done: bool = False
    wrong: bool = False


def list_all_jobs(recipes: Sequence[Recipe]) -> list[Job]:
    """List the runs of several experiments, each once, seed by seed.

    All experiments have their runs with one seed before any has a run with the next one. So whenever a sweep stops, the
    runs that are there compare the variants fairly. A run that several experiments share has the test sets of all.
    """
    found: dict[str, Job] = {}
    jobs = [job for recipe in recipes for job in list_jobs(recipe)]
    for job in sorted(jobs, key=lambda job: job.spec.seed):  # which keeps the order among runs with one seed
        known = found.get(job.spec.name)
        found[job.spec.name] = job if known is None else replace(known, tests=_join(known.tests, job.tests))
    return list(found.values())


def _join(first: tuple[TestSet, ...], second: tuple[TestSet, ...]) -> tuple[TestSet, ...]:
    return (*first, *(test for test in second if test not in first))


def make_plan(recipes: Sequence[Recipe], root: str, device: str) -> Plan:
    """Compare recipes with a store.

    Args:
        recipes: the experiments; of a single one every run is listed, of several how many runs are done.
        root: folder of the store.
        device: the device that the runs would use; times are estimated from recorded runs of the same size on it.

    Raises:
        RunError: the store cannot be reached.
    """
    store = RunStore(root)
    states = {job.spec.name: (job, _find_state(job, store)) for job in list_all_jobs(recipes)}
    todo = [(job, state) for job, state in states.values() if not state.done]
    names = [recipe.experiment for recipe in recipes]
    what = names[0] if len(names) == 1 else f"{len(names)} experiments"
    head = f"{what} at {recipes[0].scale} scale in {root}: {len(states) - len(todo)} of {len(states)} runs done"
    if len(recipes) == 1:
        lines = [f"  {name:<40} {state.text}" for name, (_, state) in states.items()]
    else:
        lines = [_count_done(recipe, states, store) for recipe in recipes]
    others = [f"  damaged, but not of this sweep: {error}" for error in _find_others(store, list(states))]
    estimate = [_estimate_time(todo, store, device)] if todo else []
    return Plan(tuple(job for job, _ in todo), "\n".join([head, *lines, *others, *estimate]))


def _count_done(recipe: Recipe, joint: Mapping[str, tuple[Job, _State]], store: RunStore) -> str:
    """Return a line on an experiment: how many of its runs have all that it asks for, and what is wrong with others.

    Args:
        recipe: the experiment.
        joint: the runs of all experiments with their states; those that others need more of are looked at again.
        store: where the runs are.
    """
    states = dict[str, _State]()
    for job in list_jobs(recipe):
        whole, state = joint[job.spec.name]
        states[job.spec.name] = state if state.done or whole.tests == job.tests else _find_state(job, store)
    wrong = [f"; {name}: {state.text}" for name, state in states.items() if state.wrong]
    return f"  {recipe.experiment:<16} {sum(state.done for state in states.values())} of {len(states)}{''.join(wrong)}"


def _estimate_time(todo: Sequence[tuple[Job, _State]], store: RunStore, device: str) -> str:
    recorded = [run for run in store if run.provenance.get("device") == device_name(torch.device(device))]
    seconds, unknown = 0.0, 0
    for job, state in todo:
        speed = _median_speed(job.spec, recorded)
        seconds += state.steps_left / speed if speed else 0
        unknown += speed is None
    if unknown == len(todo):
        return "no run of this size on this device is recorded, so there is no estimate of the time"
    rest = f", and {unknown} runs of sizes that are not recorded" if unknown else ""
    return f"about {seconds / 60:.0f} minutes of one worker are left, by recorded speeds on this device{rest}"


def _find_others(store: RunStore, names: Sequence[str]) -> list[str]:
    """List the errors of the runs that cannot be read and are not among these."""
    return [error for error in map(str, store.damaged()) if not any(f"/{name}/" in error for name in names)]


def _find_state(job: Job, store: RunStore) -> _State:
    steps = job.spec.schedule.steps
    try:
        run = store.find(job.spec)
        missing = find_missing_settings(run, job.tests) if run else []
    except UnreadableError as error:
        return _State(f"cannot be read: {error}", steps, wrong=True)
    except RunError as error:
        return _State(f"damaged: {error}; remove its folder to run it again", steps, wrong=True)
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
    path = store.checkpoint_path(job.spec)
    try:
        done, curve = read_progress(path), read_curve(path)
    except CheckpointError as error:
        return _State(str(error), steps)
    if not done:
        return _State("not run", steps)
    return _State(f"saved at step {done:,} of {steps:,}{_describe_end(curve)}", steps - done)


def _describe_end(curve: Curve) -> str:
    """Say where the curve of an unfinished run is: its last losses in mean, and the last scores on a few scenes."""
    last = curve.loss[-LAST_STEPS:]
    told = [f": loss {float(last.mean()):.4g} in the last {len(last)} steps"] if len(last) else []
    if len(curve.probe_step):
        f_ari, blind = float(curve.probe_f_ari[-1]), float(curve.probe_blind_f_ari[-1])
        told.append(f"F-ARI {f_ari:.3f}, blind {blind:.3f}, found objects {f_ari - blind:.3f}")
    return ", ".join(told)


def _median_speed(spec: RunSpec, recorded: list[Run]) -> float | None:
    """Return the median steps per second of runs of the same model and batch, whatever the normalization."""
    alike = [
        float(speed)
        for run in recorded
        if (speed := run.provenance["steps_per_second"]) is not None
        and (run.spec.task, run.spec.batch_size, run.spec.precision) == (spec.task, spec.batch_size, spec.precision)
    ]
    return median(alike) if alike else None
