"""The results of a recipe as tidy tables: all that chapters, figures, statistics and claims read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pandas as pd

from slotnorm.evaluation import COLUMNS, SET_COLUMNS
from slotnorm.training.spec import RunSpec
from slotnorm_book.experiments.engine import DEFAULT, Execution, Job, jobs, missing_settings, obtain
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.run_store import Run, RunStore

__all__ = ["Results", "collect"]

Missing = Literal["train", "report"]


@dataclass(frozen=True)
class Results:
    """The runs of a recipe that a store has.

    Args:
        recipe: what was asked for.
        runs: those that were found or made, in the recipe's order.
        missing: those that were not.

    Example:
        >>> from slotnorm_book.experiments.recipes import recipe
        >>> results = collect(recipe("clevr-6-7", "smoke"), RunStore("memory://none"))
        >>> results.summary, len(results.scenes)
        ('0 of 2 runs at smoke scale', 0)
    """

    recipe: Recipe
    runs: tuple[Run, ...]
    missing: tuple[RunSpec, ...]

    @cached_property
    def scenes(self) -> pd.DataFrame:
        """One row per run, scene and setting, with ``variant``, ``seed``, ``test``, then ``evaluation.COLUMNS``.

        Only what the recipe asks for: its tests by label, its slot counts and iterations.
        """
        return self._stacked(lambda run: run.evaluation.scenes, COLUMNS)

    @cached_property
    def sets(self) -> pd.DataFrame:
        """One row per run, setting and measure of all scenes together, with ``measure``, as ``ap@1``, and ``value``."""
        return self._stacked(lambda run: run.evaluation.sets, SET_COLUMNS)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per run and step, see :attr:`slotnorm_book.experiments.run_store.Run.curve`."""
        frames = [_named(run, run.curve) for run in self.runs]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    @property
    def summary(self) -> str:
        """How many of the runs are here, such as ``"2 of 12 runs at cpu scale"``."""
        total = len(self.runs) + len(self.missing)
        return f"{len(self.runs)} of {total} runs at {self.recipe.scale} scale"

    @property
    def description(self) -> str:
        """The summary, and which runs are missing, one line."""
        seeds: dict[str, list[str]] = {}
        for spec in self.missing:
            seeds.setdefault(spec.variant, []).append(str(spec.seed))
        lacking = "; ".join(f"{variant} seed {', '.join(which)}" for variant, which in seeds.items())
        return f"{self.summary}; not run: {lacking}" if self.runs and lacking else self.summary

    def _stacked(self, table: Callable[[Run], pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
        wanted = [(test.spec().key, test) for test in self.recipe.tests]
        frames = []
        for run in self.runs:
            rows = table(run)
            for key, test in wanted:
                fits = rows["slots"].isin(test.slots) & rows["iterations"].isin(test.iterations)
                chosen = rows[(rows["evaluation"] == key) & fits].drop(columns="evaluation")
                chosen.insert(0, "test", test.label)
                frames.append(_named(run, chosen))
        if not frames:
            shown = [name for name in columns if name != "evaluation"]
            return pd.DataFrame(columns=["variant", "seed", "test", *shown])
        return pd.concat(frames, ignore_index=True)


def collect(recipe: Recipe, store: RunStore, missing: Missing = "report", execution: Execution = DEFAULT) -> Results:
    """Gather the runs of a recipe from a store.

    Args:
        recipe: which runs, and which of their settings.
        store: where they are, and where they are put when they are made.
        missing: ``"train"`` makes what the store lacks, ``"report"`` goes on without it and lists it.
        execution: how they are made.

    Raises:
        RunError: a run in the store cannot be used.
        slotnorm.training.loop.TrainingDivergedError: in training, a loss or gradient is no number any more.

    Example:
        >>> from slotnorm_book.experiments.recipes import recipe
        >>> collect(recipe("clevr-6-7", "smoke").select(["weighted_sum"], [0]), RunStore("memory://none")).missing[0].variant
        'weighted_sum'
    """
    found: list[Run] = []
    lacking: list[RunSpec] = []
    for job in jobs(recipe):
        run = obtain(job, store, execution) if missing == "train" else whole(job, store)
        if run is None:
            lacking.append(job.spec)
        else:
            found.append(run)
    return Results(recipe, tuple(found), tuple(lacking))


def whole(job: Job, store: RunStore) -> Run | None:
    """The run of a job if the store has it with every setting that is asked for."""
    run = store.find(job.spec)
    return run if run is not None and not missing_settings(run, job.tests) else None


def _named(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    named = table.copy()
    named.insert(0, "seed", run.spec.seed)
    named.insert(0, "variant", run.spec.variant)
    return named
