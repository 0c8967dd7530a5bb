"""The results of a recipe as tidy tables, which chapters, figures, statistics and claims read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import pandas as pd

from slotnorm.evaluation import COLUMNS, SET_COLUMNS
from slotnorm.training.spec import RunSpec
from slotnorm_book.experiments.engine import DEFAULT, Execution, Job, list_jobs, load_or_train
from slotnorm_book.experiments.missing_settings import find_missing_settings, has_rows
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.recorded_data import with_recorded_data
from slotnorm_book.experiments.run_store import Run, RunError, RunStore
from slotnorm_book.experiments.store_files import UnreadableError

__all__ = ["Results", "collect"]

Missing = Literal["train", "report"]


@dataclass(frozen=True)
class Results:
    """The runs of a recipe that a store has.

    Args:
        recipe: the recipe.
        runs: the runs that were found or trained, in the recipe's order.
        missing: the runs that the store does not have, that are damaged, or that were not evaluated in all settings of
            the recipe.
        incomplete: runs in the store of which something is not evaluated. A run without some setting is also in
            ``missing``; a run that only has no column of a measure that was added later is also in ``runs``.
        damaged: the runs in the store that cannot be used, and why; they are also in ``missing``.

    Example:
        >>> from slotnorm_book.experiments.recipes import recipe
        >>> results = collect(recipe("clevr-6-7", "smoke"), RunStore("memory://none"))
        >>> results.summary, len(results.scenes)
        ('0 of 2 runs at smoke scale', 0)
    """

    recipe: Recipe
    runs: tuple[Run, ...]
    missing: tuple[RunSpec, ...]
    incomplete: tuple[Run, ...] = ()
    damaged: Mapping[RunSpec, str] = field(default_factory=dict)

    @cached_property
    def scenes(self) -> pd.DataFrame:
        """One row per run, scene and setting, with ``variant``, ``seed``, ``test``, then ``evaluation.COLUMNS``.

        Only rows that the recipe asks for: its tests by label, its slot counts and iterations. A measure that was added
        after a run was evaluated is NaN for that run.
        """
        return self._stack(lambda run: run.evaluation.scenes, COLUMNS)

    @cached_property
    def sets(self) -> pd.DataFrame:
        """One row per run, setting and measure of all scenes together, with ``measure``, as ``ap@1``, and ``value``."""
        return self._stack(lambda run: run.evaluation.sets, SET_COLUMNS)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per run and step, see :attr:`slotnorm_book.experiments.run_store.Run.curve`."""
        frames = [_add_names(run, run.curve) for run in self.runs]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    @property
    def summary(self) -> str:
        """How many of the runs are here, such as ``"2 of 12 runs at cpu scale"``."""
        total = len(self.runs) + len(self.missing)
        return f"{len(self.runs)} of {total} runs at {self.recipe.scale} scale"

    @property
    def description(self) -> str:
        """The summary, and which runs are missing, damaged or not completely evaluated, in one line."""
        trained = {run.spec for run in self.incomplete} | set(self.damaged)
        untrained = [spec for spec in self.missing if spec not in trained] if self.runs else []
        parts = {
            "not run": untrained,
            "not completely evaluated": [run.spec for run in self.incomplete if run.has_weights],
            "not completely evaluated and without weights, must be trained again": [
                run.spec for run in self.incomplete if not run.has_weights
            ],
        }
        lists = [f"{what}: {_list_names(specs)}" for what, specs in parts.items() if specs]
        return "; ".join([self.summary, *lists, *(f"damaged: {reason}" for reason in self.damaged.values())])

    def _stack(self, table: Callable[[Run], pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
        wanted = [(test.spec().key, test) for test in self.recipe.tests]
        frames = []
        for run in self.runs:
            rows = table(run)
            rows = rows.reindex(columns=list(dict.fromkeys([*rows.columns, *columns])))
            for key, test in wanted:
                fits = rows["slots"].isin(test.slots) & rows["iterations"].isin(test.iterations)
                chosen = rows[(rows["evaluation"] == key) & fits].drop(columns="evaluation")
                chosen.insert(0, "test", test.label)
                frames.append(_add_names(run, chosen))
        if not frames:
            shown = [name for name in columns if name != "evaluation"]
            return pd.DataFrame(columns=["variant", "seed", "test", *shown])
        return pd.concat(frames, ignore_index=True)


def collect(recipe: Recipe, store: RunStore, missing: Missing = "report", execution: Execution = DEFAULT) -> Results:
    """Collect the runs of a recipe from a store.

    Args:
        recipe: which runs, and which of their settings.
        store: where the runs are, and where new ones are recorded.
        missing: ``"train"`` trains and evaluates what is missing, ``"report"`` leaves it out and lists it. That needs
            no data: where they are not here, runs are found by what their records say of them.
        execution: how runs are trained and evaluated.

    Raises:
        RunError: the store cannot be reached; with ``missing="train"`` also where a run is damaged, or must be trained
            again, since it was not evaluated in a setting and has no weights.
        SpecError, SplitError: the data are not here, and with ``missing="report"`` no record says what they were.
        slotnorm.training.loop.TrainingDivergedError: a loss or gradient was not finite.

    Example:
        >>> from slotnorm_book.experiments.recipes import recipe
        >>> one = recipe("clevr-6-7", "smoke").select(["weighted_sum"], [0])
        >>> collect(one, RunStore("memory://none")).missing[0].variant
        'weighted_sum'
    """
    if missing == "report":
        recipe = with_recorded_data(recipe, store)
    jobs = list_jobs(recipe)
    if missing == "train":
        return Results(recipe, tuple(load_or_train(job, store, execution) for job in jobs), ())
    runs: list[Run] = []
    absent: list[RunSpec] = []
    incomplete: list[Run] = []
    damaged: dict[RunSpec, str] = {}
    for job in jobs:
        try:
            run, complete, shown = _look_up(job, store)
        except UnreadableError:
            raise
        except RunError as error:
            damaged[job.spec] = str(error)
            run, complete, shown = None, False, False
        if run and shown:
            runs.append(run)
        else:
            absent.append(job.spec)
        if run and not complete:
            incomplete.append(run)
    return Results(recipe, tuple(runs), tuple(absent), tuple(incomplete), damaged)


def _look_up(job: Job, store: RunStore) -> tuple[Run | None, bool, bool]:
    """Find a run; returns it, whether it is completely evaluated, and whether its tables have rows of every setting.

    Raises:
        RunError: its record or a table is damaged.
    """
    if (run := store.find(job.spec)) is None:
        return None, False, False
    _ = run.curve  # a damaged one must not stop the page that draws it
    complete = not find_missing_settings(run, job.tests)
    return run, complete, complete or has_rows(run, job.tests)


def _add_names(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    named = table.copy()
    named.insert(0, "seed", run.spec.seed)
    named.insert(0, "variant", run.spec.variant)
    return named


def _list_names(specs: Sequence[RunSpec]) -> str:
    """List runs by variant, such as ``"layer_norm seed 0, 1; batch_norm seed 2"``."""
    seeds: dict[str, list[str]] = {}
    for spec in specs:
        seeds.setdefault(spec.variant, []).append(str(spec.seed))
    return "; ".join(f"{variant} seed {', '.join(which)}" for variant, which in seeds.items())
