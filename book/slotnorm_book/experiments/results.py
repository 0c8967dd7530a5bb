"""The results of a recipe as tidy tables, which chapters, figures, statistics and claims read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pandas as pd

from slotnorm.evaluation import COLUMNS, SET_COLUMNS
from slotnorm.training.spec import RunSpec
from slotnorm_book.experiments.engine import DEFAULT, Execution, list_jobs, load_or_train
from slotnorm_book.experiments.missing_settings import find_missing_settings, has_rows
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.run_store import Run, RunStore

__all__ = ["Results", "collect"]

Missing = Literal["train", "report"]


@dataclass(frozen=True)
class Results:
    """The runs of a recipe that a store has.

    Args:
        recipe: the recipe.
        runs: the runs that were found or trained, in the recipe's order.
        missing: the runs that the store does not have, or that were not evaluated in all settings of the recipe.
        incomplete: runs in the store of which something is not evaluated. A run without some setting is also in
            ``missing``; a run that only has no column of a measure that was added later is also in ``runs``.

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
        """The summary, and which runs are missing or not completely evaluated, in one line."""
        trained = {run.spec for run in self.incomplete}
        untrained = [spec for spec in self.missing if spec not in trained] if self.runs else []
        parts = {
            "not run": untrained,
            "not completely evaluated": [run.spec for run in self.incomplete if run.has_weights],
            "not completely evaluated and without weights, must be trained again": [
                run.spec for run in self.incomplete if not run.has_weights
            ],
        }
        return "; ".join([self.summary, *(f"{what}: {_list_names(specs)}" for what, specs in parts.items() if specs)])

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
        missing: ``"train"`` trains and evaluates what is missing, ``"report"`` leaves it out and lists it.
        execution: how runs are trained and evaluated.

    Raises:
        RunError: a run in the store cannot be used; with ``missing="train"`` also where one must be trained again,
            since it was not evaluated in a setting and has no weights.
        slotnorm.training.loop.TrainingDivergedError: a loss or gradient was not finite.

    Example:
        >>> from slotnorm_book.experiments.recipes import recipe
        >>> one = recipe("clevr-6-7", "smoke").select(["weighted_sum"], [0])
        >>> collect(one, RunStore("memory://none")).missing[0].variant
        'weighted_sum'
    """
    jobs = list_jobs(recipe)
    if missing == "train":
        return Results(recipe, tuple(load_or_train(job, store, execution) for job in jobs), ())
    runs: list[Run] = []
    absent: list[RunSpec] = []
    incomplete: list[Run] = []
    for job in jobs:
        run = store.find(job.spec)
        if run is None:
            absent.append(job.spec)
        elif not find_missing_settings(run, job.tests):
            runs.append(run)
        else:
            incomplete.append(run)
            if has_rows(run, job.tests):
                runs.append(run)
            else:
                absent.append(job.spec)
    return Results(recipe, tuple(runs), tuple(absent), tuple(incomplete))


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
