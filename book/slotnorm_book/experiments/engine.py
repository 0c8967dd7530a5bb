"""Runs a recipe. Each run is loaded from the store if it is there; otherwise it is trained, evaluated and recorded.

Chapters, the command line and a cluster all take this one path. A stored run that was not evaluated in a setting that
is asked for now, such as another slot count, or whose table has no column for a measure that was added later, is
evaluated from its weights. Nothing else of it is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import pandas as pd
import torch
import torch.distributed as dist

from slotnorm.data.loader import Loader
from slotnorm.data.splits import Split
from slotnorm.evaluation import Evaluation
from slotnorm.models import SlotModel
from slotnorm.normalization import GROUP, NORMALIZATIONS
from slotnorm.training.build import build_model
from slotnorm.training.checkpoint import read_progress
from slotnorm.training.loop import Trained, Watch, train
from slotnorm.training.spec import RunSpec, SpecError
from slotnorm_book.experiments.data_sources import Source
from slotnorm_book.experiments.missing_settings import (
    RETRAIN_HINT,
    UNDEFINED,
    Setting,
    describe_missing,
    find_missing_settings,
    join_notes,
    list_missing,
    list_undefined,
)
from slotnorm_book.experiments.probe import Probe
from slotnorm_book.experiments.provenance import collect_provenance
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.run_store import Run, RunError, RunStore
from slotnorm_book.experiments.run_tables import merge_evaluations
from slotnorm_book.experiments.test_sets import TestSet, evaluate, select

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A run to carry out: its specification, training data and test sets."""

    spec: RunSpec
    train: Source
    tests: tuple[TestSet, ...]


def _never_stop() -> bool:
    return False


def _ignore_progress(step: int, loss: float) -> None:
    pass


@dataclass(frozen=True)
class Execution:
    """How runs are executed. None of it changes a result of one CPU, except that ``compile`` rounds differently.

    On a GPU some kernels add in an order of their own, so that two runs may differ by rounding, which training can
    amplify.

    Args:
        device: of training and evaluation.
        compile: whether to compile the training step with ``torch.compile``. On the CPU this needs a C++ compiler. The
            results are rounded differently, as on another machine, and the record says that it was used.
        stop: called before every training step; ``True`` interrupts the run.
        report: called now and then with the number of finished steps and the loss.
        checkpoint_seconds: time between two checkpoints.
        bar: whether to show progress bars.
    """

    device: torch.device | str = "cpu"
    compile: bool = False
    stop: Callable[[], bool] = _never_stop
    report: Callable[[int, float], None] = _ignore_progress
    checkpoint_seconds: float = 60.0
    bar: bool = True


DEFAULT = Execution()
"""On the CPU, with progress bars."""


def list_jobs(recipe: Recipe) -> list[Job]:
    """List the runs of a recipe, after checking that its models can be built. Nothing is computed.

    Raises:
        SpecError: a setting is impossible, the models would be tested on the scenes of their training, or the entry
            point of a normalization cannot be used.
        SplitError: the data cannot be opened.
    """
    wanted = [Job(spec, recipe.train, recipe.tests) for spec in recipe.runs()]
    for test in recipe.tests:
        data = test.spec().data
        if recipe.scale != "smoke" and wanted and data.identity == wanted[0].spec.data.identity:
            raise SpecError(
                f"{recipe.experiment} at {recipe.scale} scale: {test.label} would be scenes of the training, as both "
                f"are {data.name}; give a folder with the splits train and test, or other scenes for the test"
            )
    for job in {job.spec.variant: job for job in wanted}.values():
        try:
            build_model(job.spec)
        except ValueError as error:
            raise SpecError(f"{recipe.experiment} at {recipe.scale} scale: {error}") from None
        except Exception as error:
            if (name := job.spec.variant) in NORMALIZATIONS:
                raise
            reason = f"{type(error).__name__}: {error}"
            raise SpecError(f"variant {name!r}: its entry point in {GROUP} cannot be used: {reason}") from error
    return wanted


def check_data(recipe: Recipe) -> None:
    """Check that the data of a recipe have enough scenes and the needed arrays; stand-ins are not generated for this.

    Raises:
        SpecError: too few scenes; the message names the data, how many scenes it has and how many are needed.
        SplitError: an array is absent, or no scene is suitable; the message names the data.
    """
    if not recipe.train.is_generated:
        train = recipe.train.open().filter(max_objects=recipe.max_objects)
        train.require(*recipe.task.fields, *recipe.task.evaluation_fields)
    for test in recipe.tests:
        if not test.source.is_generated:
            select(test.source.open(), test.spec()).require(*recipe.task.evaluation_fields)


def load_or_train(job: Job, store: RunStore, execution: Execution = DEFAULT) -> Run:
    """Return the run from the store; train or evaluate it first where something is missing.

    Raises:
        Interrupted: ``execution.stop`` returned ``True``; the same call continues from the checkpoint.
        BusyError: another process is working on this run.
        RunError: the stored run cannot be used, or was not evaluated in a setting and has no weights.
        TrainingDivergedError, CheckpointError, SplitError, SpecError: from training and from opening the data.
    """
    with ExitStack() as stack:
        if (device := torch.device(execution.device)).type == "cuda":
            stack.enter_context(torch.cuda.device(device))
        if _in_first_process(lambda: _lock_and_find(job, store, stack), device):
            _in_first_process(lambda: _complete(job, store, execution), device)
        else:
            trained, digest = _train(job, store, execution)
            _in_first_process(lambda: _record(job, store, execution, trained, digest), device)
    return store.get(job.spec)


def _in_first_process(work: Callable[[], bool | None], device: torch.device) -> bool:
    """Do this in the first of several processes, while the others wait; all return its answer, or raise its error."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return bool(work())
    told: list[Any] = [None]
    if dist.get_rank() == 0:
        try:
            told = [work()]
        except Exception as error:
            told = [error]
    dist.broadcast_object_list(told, device=device)
    if isinstance(told[0], Exception):
        raise told[0]
    return bool(told[0])


def _in_every_process(work: Callable[[], T]) -> T:
    """Do this in each of several processes; if it fails in one, all raise its error, so that none waits for another."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return work()
    errors: list[Any] = [None] * dist.get_world_size()
    result, error = None, None
    try:
        result = work()
    except Exception as raised:
        error = raised
    dist.all_gather_object(errors, error)
    for each in errors:
        if each is not None:
            raise each
    return cast("T", result)


def _lock_and_find(job: Job, store: RunStore, stack: ExitStack) -> bool:
    """Lock the run until the stack is left, and return whether the store has it."""
    stack.enter_context(store.lock(job.spec))
    return store.find(job.spec) is not None


def _complete(job: Job, store: RunStore, execution: Execution) -> None:
    """Evaluate a run of the store in what it was not evaluated in."""
    store.remove_leftovers(job.spec)
    evaluate_missing(store.get(job.spec), job.tests, store, execution)


def evaluate_missing(run: Run, tests: Sequence[TestSet], store: RunStore, execution: Execution = DEFAULT) -> Run:
    """Evaluate a stored run in the settings of the tests that it was not evaluated in, and extend its tables.

    Raises:
        RunError: something is missing, and the run has no weights; the message says what.
    """
    missing = find_missing_settings(run, tests)
    if not missing:
        return run
    if not run.has_weights:
        raise RunError(f"{run.address}: {describe_missing(run, missing)}; {RETRAIN_HINT}")
    model = run.load_model().to(execution.device)
    evaluation, about = _evaluate(run.spec, model, missing, execution)
    evaluations = join_notes(run.evaluations, about)
    return store.replace_evaluation(run, merge_evaluations(run.evaluation, evaluation), evaluations)


def _train(job: Job, store: RunStore, execution: Execution) -> tuple[Trained, str]:
    if torch.device(execution.device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()  # of the runs before in this process
    split, loader = _in_every_process(lambda: _open(job, store, execution))
    watch = Watch(
        checkpoint=store.checkpoint_path(job.spec),
        checkpoint_seconds=execution.checkpoint_seconds,
        stop=execution.stop,
        probe=Probe(job.spec.task, split, device=execution.device),
        report=execution.report,
        label=f"{job.spec.variant}, seed {job.spec.seed}",
        bar=execution.bar,
    )
    return train(job.spec, loader, execution.device, watch, execution.compile), split.manifest.digest


def _open(job: Job, store: RunStore, execution: Execution) -> tuple[Split, Loader]:
    """Open what a training reads; whatever is wrong with it is found now, in the test sets and the checkpoint too."""
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    for test in job.tests:
        select(test.source.open(), test.spec())
    read_progress(store.checkpoint_path(job.spec))
    split = job.train.open().filter(max_objects=job.spec.data.max_objects)
    loader = split.loader(
        batch_size=job.spec.batch_size,
        seed=job.spec.seed,
        device=execution.device,
        fields=job.spec.task.fields,
        flip=job.spec.task.flip,
        rank=rank,
        world_size=ranks,
    )
    return split, loader


def _record(job: Job, store: RunStore, execution: Execution, trained: Trained, digest: str) -> None:
    """Evaluate a trained model, and write the run."""
    about = collect_provenance(
        torch.device(execution.device),
        seconds=trained.seconds,
        steps=job.spec.schedule.steps,
        data_digest=digest,
        ranks=dist.get_world_size() if dist.is_initialized() else 1,
        compiled=execution.compile,
    )
    evaluation, evaluations = _evaluate(job.spec, trained.model, list_missing(job.tests, set()), execution)
    store.write(
        job.spec,
        model=trained.model,
        curve=trained.curve,
        evaluation=evaluation,
        evaluations=evaluations,
        provenance=about,
    )


def _evaluate(
    spec: RunSpec, model: SlotModel[Any], settings: Sequence[Setting], execution: Execution
) -> tuple[Evaluation, dict[str, Any]]:
    """Evaluate a model in these settings; returns the tables, and what the record says of each test set."""
    parts: list[Evaluation] = []
    about: dict[str, Any] = {}
    splits: dict[Source, Split] = {}
    for wanted, test in settings:
        if test.source not in splits:
            splits[test.source] = test.source.open()
        split = splits[test.source]
        parts.append(evaluate(spec.task, model, split, wanted, bar=execution.bar))
        chosen = {"scenes": wanted.scenes, "draw": wanted.draw, "seed": wanted.seed}
        undefined = list_undefined(parts[-1].scenes)
        note = {"label": wanted.label, **vars(wanted.data), **chosen} | ({UNDEFINED: undefined} if undefined else {})
        about = join_notes(about, {wanted.key: note})
    scenes, sets = ([getattr(part, name) for part in parts] for name in ("scenes", "sets"))
    return Evaluation(pd.concat(scenes, ignore_index=True), pd.concat(sets, ignore_index=True)), about
