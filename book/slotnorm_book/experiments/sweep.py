"""``slotnorm-book sweep``: trains and evaluates the runs of an experiment that a store does not have yet.

The command can be interrupted at any time and continues when it is given again. Under ``torchrun``, the processes share
the batches of each run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
import torch.distributed as dist

from slotnorm.data.manifest import SplitError
from slotnorm.training.checkpoint import CheckpointError
from slotnorm.training.loop import Interrupted, TrainingDivergedError
from slotnorm.training.spec import SpecError
from slotnorm_book.experiments.engine import Execution, Job, check_data, load_or_train
from slotnorm_book.experiments.launch.local import run_side_by_side
from slotnorm_book.experiments.launch.progress import JobOutcome
from slotnorm_book.experiments.launch.ray_cluster import run_on_cluster
from slotnorm_book.experiments.launch.stop import EXIT_RESUMABLE, Stop
from slotnorm_book.experiments.recipes import EXPERIMENTS, recipe
from slotnorm_book.experiments.recipes.recipe import SCALES, Recipe
from slotnorm_book.experiments.run_store import BusyError, RunError, RunStore
from slotnorm_book.experiments.sweep_plan import make_plan
from slotnorm_book.process_memory import keep_freed_memory
from slotnorm_book.suggestions import describe_unknown

Executor = Callable[[Sequence[Job], str, Execution, int | None, Callable[[], bool]], JobOutcome]
EXECUTORS: dict[str, Executor] = {"local": run_side_by_side, "ray": run_on_cluster}
LONGEST_WAIT = timedelta(hours=6)
"""How long processes under ``torchrun`` wait for the first one, which evaluates alone; NCCL waits for 10 minutes."""


@dataclass(frozen=True)
class Request:
    """How a sweep is carried out.

    Args:
        store: folder of the run store.
        device: ``"cpu"``, ``"cuda"`` or the like; ``"auto"`` is a GPU if there is one.
        workers: number of runs at the same time; ``None`` leaves it to the executor.
        time_budget: seconds after which checkpoints are saved and the sweep stops; ``None`` for no limit.
        executor: a name in :data:`EXECUTORS`.
        compile: whether the training step is compiled.
        dry_run: whether only the plan is shown.
    """

    store: str
    device: str = "auto"
    workers: int | None = None
    time_budget: float | None = None
    executor: str = "local"
    compile: bool = False
    dry_run: bool = False


def list_experiments() -> str:
    """List all experiments with their sizes and places in the paper, one line per experiment and scale."""
    lines = []
    for name in EXPERIMENTS:
        for scale in SCALES:
            r = recipe(name, scale)
            size = f"{len(r.variants)} variants x {len(r.seeds)} seeds, {r.schedule.steps:,} steps of {r.batch_size}"
            lines.append(f"{name:<16} {scale:<6} {size:<52} {r.train.data:<18} {r.locus}")
    return "\n".join(lines)


def choose_recipe(
    experiment: str,
    scale: str,
    variants: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    slots: Sequence[int] | None = None,
    data: str | None = None,
    test_data: str | None = None,
) -> Recipe:
    """Return the recipe of an experiment, restricted to what is named, over other data if some is named.

    Raises:
        SpecError: there is no such experiment, scale or variant.
    """
    chosen = recipe(experiment, scale).select(variants or None, seeds or None, slots or None)
    return chosen.with_data(data or chosen.train.data, test_data) if data or test_data else chosen


def choose_all_recipes(scale: str) -> list[Recipe]:
    """Return the recipes of all experiments at a scale.

    Raises:
        SpecError: there is no such scale.
    """
    return [recipe(experiment, scale) for experiment in EXPERIMENTS]


def run_sweep(chosen: Sequence[Recipe], request: Request) -> int:
    """Carry out a sweep of one or more experiments and return its exit status.

    Raises:
        SpecError: the executor or the device does not exist, or processes of ``torchrun`` cannot do this together.
        RunError: the store cannot be read or written.
        SplitError: the data cannot be opened.
    """
    if request.executor not in EXECUTORS:
        raise SpecError(describe_unknown("executor", request.executor, EXECUTORS))
    together = "RANK" in os.environ and "WORLD_SIZE" in os.environ
    if together:
        _check_together(chosen, request)
    device = choose_device(request.device, request.executor)
    todo = make_plan(chosen, request.store, device)
    if os.environ.get("RANK", "0") == "0":
        print(todo.text, flush=True)
    if request.dry_run or not (todo.jobs or together):
        return 0
    RunStore(request.store).check_writable()
    for each in chosen:
        check_data(each)
    execution = Execution(device, request.compile)
    if together:
        return _train_together(todo.jobs, request, execution)
    return _run_side_by_side(todo.jobs, request, execution)


def _run_side_by_side(jobs: Sequence[Job], request: Request, execution: Execution) -> int:
    """Hand the runs to the executor and report how they ended."""
    with Stop(request.time_budget) as stop:
        outcome = EXECUTORS[request.executor](jobs, request.store, execution, request.workers, stop)
    _tell(outcome)
    return _exit_status(outcome)


def _tell(outcome: JobOutcome) -> None:
    """Say how the runs ended."""
    for reason in outcome.busy.values():
        print(f"{reason}; when that has ended, the same command goes on", file=sys.stderr)
    for name, reason in outcome.failed.items():
        print(f"{name} failed: {reason}", file=sys.stderr)
    print(f"{len(outcome.done)} done, {len(outcome.stopped)} to continue, {len(outcome.failed)} failed")


def _exit_status(outcome: JobOutcome) -> int:
    return 1 if outcome.failed else EXIT_RESUMABLE if outcome.stopped else 0


def _check_together(chosen: Sequence[Recipe], request: Request) -> None:
    """Check that the processes of ``torchrun`` can carry out the sweep together.

    Raises:
        SpecError: they cannot; the message says which option or setting is in the way.
    """
    ranks = os.environ["WORLD_SIZE"]
    if not os.environ.get("LOCAL_RANK"):
        raise SpecError(
            "RANK and WORLD_SIZE are set and LOCAL_RANK is not; start the command by torchrun, or unset them"
        )
    if request.executor != "local" or request.workers:
        raise SpecError("under torchrun all processes train one run at a time; leave out --executor and --jobs")
    if request.device.startswith("cuda:"):
        raise SpecError(f"under torchrun each process has a GPU of its own; give --device cuda, not {request.device}")
    for each in chosen:
        if each.batch_size % int(ranks):
            raise SpecError(f"{each.experiment}: {ranks} processes cannot share batches of {each.batch_size} equally")


def _train_together(jobs: Sequence[Job], request: Request, execution: Execution) -> int:
    """Carry out one run after the other; each process of ``torchrun`` takes its share of each run's batches."""
    keep_freed_memory()
    cuda = str(execution.device).startswith("cuda")
    where = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device(execution.device)
    if cuda:
        torch.cuda.set_device(where)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=LONGEST_WAIT)
    outcome = JobOutcome()
    try:
        plans = [jobs]  # a run may end between the looks of two processes: all do what the first has seen
        dist.broadcast_object_list(plans, device=where)
        with Stop(request.time_budget) as stop:
            for place, job in enumerate(jobs := plans[0]):
                try:
                    load_or_train(job, RunStore(request.store), replace(execution, device=where, stop=stop))
                    outcome.done.append(job)
                except Interrupted:
                    outcome.stopped += jobs[place:]
                    break
                except BusyError as error:  # this and the next are raised by all processes alike
                    outcome.stopped.append(job)
                    outcome.busy[job.spec.name] = str(error)
                except (TrainingDivergedError, RunError, CheckpointError, SplitError, SpecError) as error:
                    outcome.failed[job.spec.name] = str(error)
        if dist.get_rank() == 0:
            _tell(outcome)
    finally:
        dist.destroy_process_group()
    return _exit_status(outcome)


def choose_device(name: str, executor: str = "local") -> str:
    """Return the name of a device that exists here, or that may exist on a node of Ray's cluster.

    Raises:
        SpecError: there is no such device.
    """
    if name == "auto" and executor == "ray":
        raise SpecError("with --executor ray, give --device cuda or cpu: auto knows of this machine alone")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        here = torch.get_device_module(device).device_count()
    except RuntimeError:
        raise SpecError(f"device must be auto, cpu, cuda or the like, got {name!r}") from None
    if executor != "ray" and (device.index or 0) >= here:
        raise SpecError(f"device {name!r} is not available; use auto or cpu")
    return name
