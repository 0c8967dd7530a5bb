"""From a recipe to its results: for each run, in the store? load it : train, evaluate, record it.

This is the one path that chapters, the command line and a cluster take. A run that is in the store and lacks a setting
that is asked for now, such as another slot count, is evaluated there from its weights, and only there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
import torch.distributed as dist

from slotnorm.data.splits import Split
from slotnorm.evaluation import SETTING, Evaluation, Probe
from slotnorm.models import SlotModel
from slotnorm.normalization import GROUP, NORMALIZATIONS
from slotnorm.training.build import build_model
from slotnorm.training.loop import Trained, Watch, train
from slotnorm.training.spec import RunSpec, SpecError
from slotnorm_book.experiments.data_sources import Source
from slotnorm_book.experiments.provenance import provenance
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.run_store import Run, RunError, RunStore
from slotnorm_book.experiments.test_sets import EvaluationSpec, TestSet, evaluate, select


@dataclass(frozen=True)
class Job:
    """One run to be had: what to train, on which scenes, and what to evaluate it on."""

    spec: RunSpec
    train: Source
    tests: tuple[TestSet, ...]


def _never() -> bool:
    return False


def _quietly(step: int, loss: float) -> None:
    pass


@dataclass(frozen=True)
class Execution:
    """How runs are executed; nothing here changes a result on one machine, but for the rounding of ``compile``.

    Args:
        device: of training and evaluation.
        compile: whether ``torch.compile`` makes the training step, which needs a C++ compiler on the CPU; it rounds
            otherwise, as another machine does, and the record says so.
        stop: asked before every training step; ``True`` interrupts.
        report: called now and then with the steps done and the loss.
        checkpoint_seconds: between two checkpoints.
        bar: whether to show progress bars.
    """

    device: torch.device | str = "cpu"
    compile: bool = False
    stop: Callable[[], bool] = _never
    report: Callable[[int, float], None] = _quietly
    checkpoint_seconds: float = 60.0
    bar: bool = True


DEFAULT = Execution()
"""On the CPU, with progress bars."""


def jobs(recipe: Recipe) -> list[Job]:
    """The runs of a recipe.

    Raises:
        SpecError: for settings that cannot work; SplitError: for data that are not there. Nothing has been done then.
    """
    wanted = [Job(spec, recipe.train, recipe.tests) for spec in recipe.runs()]
    for test in recipe.tests:
        test.spec()
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
    """Refuse data with too few scenes or without an array; a stand-in that is not drawn yet is not looked at.

    Raises:
        SpecError: naming the data, how many scenes it has and how many are asked for.
        SplitError: naming the data, and the array or the scenes that it lacks.
    """
    if not recipe.train.is_made:
        train = recipe.train.open().filter(max_objects=recipe.max_objects)
        train.require(*recipe.task.fields, *recipe.task.evaluation_fields)
    for test in recipe.tests:
        if not test.source.is_made:
            select(test.source.open(), test.spec()).require(*recipe.task.evaluation_fields)


def obtain(job: Job, store: RunStore, execution: Execution = DEFAULT) -> Run:
    """The run from the store, trained and evaluated first as far as that is missing.

    Raises:
        Interrupted: ``execution.stop`` said so; the same call goes on.
        TrainingDivergedError, CheckpointError, RunError, BusyError, SplitError, SpecError: see where they are defined.
    """
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    with ExitStack() as stack:
        if rank == 0:
            stack.enter_context(store.lock(job.spec))
        if (run := store.find(job.spec)) is None:
            trained, digest = _train(job, store, execution, rank, ranks)
            if rank == 0:
                run = _record(job, store, execution, trained, digest, ranks)
        elif rank == 0:
            store.tidy(job.spec)
            run = complete(run, job.tests, store, execution)
        if ranks > 1:
            dist.barrier()
    return run or store.get(job.spec)


def complete(run: Run, tests: Sequence[TestSet], store: RunStore, execution: Execution = DEFAULT) -> Run:
    """Evaluate a finished run in the settings that its table lacks.

    Raises:
        RunError: some are lacking, and the run keeps no weights.
    """
    if not missing_settings(run, tests):
        return run
    if not run.has_weights:
        lacking = ", ".join(f"{spec.label} at {spec.slots} slots" for spec, _ in missing_settings(run, tests))
        raise RunError(f"{run.address}: was not evaluated on {lacking}, and keeps no weights to do it now")
    model = run.load_model().to(execution.device)
    evaluation, about = _evaluated(run.spec, model, tests, execution, run)
    return store.extend(run, evaluation, about)


def missing_settings(run: Run, tests: Sequence[TestSet]) -> list[tuple[EvaluationSpec, TestSet]]:
    """What of these tests is not in the run's table: for each its slot counts and iterations that are not."""
    return _missing(run.evaluation.scenes, tests)


def _train(job: Job, store: RunStore, execution: Execution, rank: int, ranks: int) -> tuple[Trained, str]:
    for test in job.tests:  # what cannot work is refused before any work
        select(test.source.open(), test.spec())
    split = job.train.open().filter(max_objects=job.spec.data.max_objects)
    task = job.spec.task
    loader = split.loader(
        batch_size=job.spec.batch_size,
        seed=job.spec.seed,
        device=execution.device,
        fields=task.fields,
        flip=task.flip,
        rank=rank,
        world_size=ranks,
    )
    watch = Watch(
        checkpoint=store.checkpoint(job.spec),
        checkpoint_seconds=execution.checkpoint_seconds,
        stop=execution.stop,
        probe=Probe(task, split, device=execution.device),
        report=execution.report,
        label=f"{job.spec.variant}, seed {job.spec.seed}",
        bar=execution.bar,
    )
    return train(job.spec, loader, execution.device, watch, execution.compile), split.manifest.digest


def _record(job: Job, store: RunStore, execution: Execution, trained: Trained, digest: str, ranks: int) -> Run:
    about = provenance(
        torch.device(execution.device),
        seconds=trained.seconds,
        steps=job.spec.schedule.steps,
        data_digest=digest,
        ranks=ranks,
        compiled=execution.compile,
    )
    evaluation, evaluations = _evaluated(job.spec, trained.model, job.tests, execution)
    return store.write(
        job.spec,
        model=trained.model,
        curve=trained.curve,
        evaluation=evaluation,
        evaluations=evaluations,
        provenance=about,
    )


def _evaluated(
    spec: RunSpec, model: SlotModel[Any], tests: Sequence[TestSet], execution: Execution, run: Run | None = None
) -> tuple[Evaluation, dict[str, object]]:
    """The run's evaluation, with what was missing added."""
    before = run.evaluation if run else None
    scenes, sets = ([before.scenes], [before.sets]) if before else ([], [])
    about: dict[str, object] = dict(run.evaluations) if run else {}
    splits: dict[Source, Split] = {}
    for wanted, test in _missing(before.scenes if before else None, tests):
        split = splits.setdefault(test.source, test.source.open())
        more = evaluate(spec.task, model, split, wanted, bar=execution.bar)
        scenes.append(more.scenes)
        sets.append(more.sets)
        about[wanted.key] = {"label": wanted.label, **vars(wanted.data), **_chosen(wanted)}
    return Evaluation(pd.concat(scenes, ignore_index=True), pd.concat(sets, ignore_index=True)), about


def _chosen(spec: EvaluationSpec) -> dict[str, object]:
    return {"scenes": spec.scenes, "draw": spec.draw, "seed": spec.seed}


def _missing(table: pd.DataFrame | None, tests: Sequence[TestSet]) -> list[tuple[EvaluationSpec, TestSet]]:
    """What is to be evaluated, each setting once, though two tests may ask for it."""
    rows = [] if table is None else [table[column] for column in SETTING]
    present = set(zip(*rows, strict=True)) if rows else set()
    missing = []
    for test in tests:
        spec = test.spec()
        for iterations in spec.iterations:
            slots = tuple(count for count in spec.slots if (spec.key, count, iterations) not in present)
            present |= {(spec.key, count, iterations) for count in slots}
            if slots:
                missing.append((replace(spec, slots=slots, iterations=(iterations,)), test))
    return missing
