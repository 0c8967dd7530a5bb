"""Finds out from the runs of a store what data they are of, where the data themselves are not here.

A run's name follows from its specification, and that from its data. Who only wants to see or load a run needs no data:
its record says what they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from slotnorm.data.manifest import SplitError
from slotnorm.training.spec import ID_LENGTH, Data, RunSpec, SpecError
from slotnorm_book.experiments.data_sources import Source
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.run_store import Run, RunStore
from slotnorm_book.experiments.test_sets import TestSet


def with_recorded_training_data(recipe: Recipe, store: RunStore) -> Recipe:
    """Return the recipe with training data that are not here replaced by what the records of its runs say of them.

    Raises:
        SpecError, SplitError: the data are not here, and the store has no run of the recipe on them, or runs on several
            data of which none is named; the message lists their names.
    """
    error = _why_absent(recipe.train, recipe.max_objects)
    if error is None:
        return recipe
    found = [run.spec.data for run in store if _is_run_of(recipe, run.spec)]
    return replace(recipe, train=_choose(recipe.train, found, error, store))


def with_recorded_data(recipe: Recipe, store: RunStore) -> Recipe:
    """Return the recipe with all data that are not here replaced by what the records of its runs say of them.

    Raises:
        SpecError, SplitError: as :func:`with_recorded_training_data`; or the runs were evaluated on several data.
    """
    chosen = with_recorded_training_data(recipe, store)
    errors = [_why_absent(test.source, test.max_objects) for test in recipe.tests]
    if not any(errors):
        return chosen
    names = {spec.name for spec in chosen.runs()}
    runs = [run for run in store if run.spec.name in names]
    tests = [
        test if error is None else _with_recorded_scenes(test, runs, error, store)
        for test, error in zip(recipe.tests, errors, strict=True)
    ]
    return replace(chosen, tests=tuple(tests))


def _why_absent(source: Source, max_objects: int | None) -> Exception | None:
    try:
        source.describe(max_objects)
    except (SpecError, SplitError) as error:
        return error
    return None


def _is_run_of(recipe: Recipe, spec: RunSpec) -> bool:
    """Return whether the run is one of the recipe's, whatever its data."""
    same = ("task", "schedule", "optimizer", "batch_size", "precision")
    return (
        all(getattr(spec, name) == getattr(recipe, name) for name in same)
        and spec.data.max_objects == recipe.max_objects
        and spec.variant in recipe.variants
        and spec.seed in recipe.seeds
    )


def _with_recorded_scenes(test: TestSet, runs: Sequence[Run], error: Exception, store: RunStore) -> TestSet:
    wanted = (test.label, test.max_objects, test.scenes, test.draw)
    found = [
        Data(about["name"], about["identity"], about["max_objects"])
        for run in runs
        for about in run.evaluations.values()
        if (about["label"], about["max_objects"], about["scenes"], about["draw"]) == wanted
    ]
    named = [data for data in found if _names(test.source.data, data)]
    return replace(test, source=_choose(replace(test.source, chosen=bool(named)), found, error, store))


def _choose(source: Source, found: Sequence[Data], error: Exception, store: RunStore) -> Source:
    """Choose the data that the source names; if it is the recipe's own choice, also the only ones that there are."""
    distinct = list(dict.fromkeys(found))
    fitting = [data for data in distinct if _names(source.data, data)]
    if not fitting and not source.chosen:
        fitting = distinct
    if len(fitting) == 1:
        return replace(source, recorded=fitting[0])
    if not distinct:
        raise error
    names = ", ".join(f"{data.name} ({data.identity[:ID_LENGTH]})" for data in distinct)
    raise SpecError(
        f"data = {source.data!r}: not here, and the runs in {store.root} are of {names}; name one of these, or the "
        "first digits in its brackets"
    ) from error


def _names(name: str, data: Data) -> bool:
    """Return whether it is the name of these data, of a folder of that name, or the beginning of their identity."""
    return Path(name).name == data.name or (len(name) >= 8 and data.identity.startswith(name))
