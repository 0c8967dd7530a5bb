"""Finds the settings in which a stored run was not evaluated, or has no values of a measure that was added later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from slotnorm.evaluation import COLUMNS, SETTING
from slotnorm_book.experiments.run_store import Run
from slotnorm_book.experiments.test_sets import EvaluationSpec, TestSet

Setting = tuple[EvaluationSpec, TestSet]
"""A part of a test set's evaluation: slot counts at one number of iterations, and the test set."""
UNDEFINED = "undefined"
"""What the record of a run says about an evaluation: the measures that no scene has a value of."""
RETRAIN_HINT = "it has no weights, so it must be trained again; remove its folder first"


def find_missing_settings(run: Run, tests: Sequence[TestSet]) -> list[Setting]:
    """List the settings of the tests that the run was not evaluated in, each once.

    A setting without values of a measure, which was added after the evaluation, counts as missing.
    """
    evaluation, measures = run.evaluation, set(run.spec.task.set_measures)
    evaluated = _evaluated_settings(evaluation.scenes, run.evaluations)
    if measures:
        measured = evaluation.sets.groupby(SETTING)["measure"].agg(lambda names: measures <= set(names))
        evaluated &= set(measured.index[measured])
    return list_missing(tests, evaluated)


def has_rows(run: Run, tests: Sequence[TestSet]) -> bool:
    """Return whether the run's table has rows of every setting of the tests, whatever columns it has."""
    return not list_missing(tests, set(run.evaluation.scenes.groupby(SETTING).groups))


def find_missing_columns(run: Run) -> list[str]:
    """Name the columns and the measures over all scenes that the run's tables do not have."""
    evaluation = run.evaluation
    measures = [name for name in run.spec.task.set_measures if not (evaluation.sets["measure"] == name).any()]
    return [*(column for column in COLUMNS if column not in evaluation.scenes), *measures]


def describe_missing(run: Run, missing: Sequence[Setting]) -> str:
    """Describe in half a sentence what of a run is not evaluated yet."""
    iterations: dict[str, list[str]] = {}
    for spec, _ in missing:
        where = f"{spec.label} with {', '.join(map(str, spec.slots))} slots"
        iterations.setdefault(where, []).extend(map(str, spec.iterations))
    places = [f"{where} and {', '.join(counts)} iterations" for where, counts in iterations.items()]
    columns = find_missing_columns(run)
    measures = f" (no column {', '.join(columns)})" if columns else ""
    return f"not evaluated on {'; '.join(places)}{measures}"


def list_undefined(scenes: pd.DataFrame) -> list[str]:
    """List the measures that no scene of an evaluation has a value of, such as the background's where there is none."""
    return [column for column in COLUMNS if column not in SETTING and scenes[column].isna().all()]


def join_notes(before: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Join what two records say about evaluations, by key; a measure that either calls undefined stays so."""
    joined = {**before, **new}
    for key in before.keys() & new.keys():
        if undefined := {*before[key].get(UNDEFINED, []), *new[key].get(UNDEFINED, [])}:
            joined[key] = {**new[key], UNDEFINED: [name for name in COLUMNS if name in undefined]}
    return joined


def _evaluated_settings(table: pd.DataFrame, about: Mapping[str, Any]) -> set[tuple[str, int, int]]:
    """Return the settings (key, slots, iterations) that have rows with a value in every column of an evaluation.

    The single value of a row may be NaN. A column that is NaN in all rows of a setting, but not in the whole table,
    was added to the table later, when only other settings were evaluated again; unless the record says ``about`` the
    evaluation that the measure is undefined there.
    """
    measures = [column for column in COLUMNS if column not in SETTING]
    if not set(measures) <= set(table.columns):
        return set()
    has_values = table.groupby(SETTING)[measures].count() > 0
    present = has_values.any()
    for key, said in about.items():
        undefined = [name for name in said.get(UNDEFINED, []) if name in measures]
        has_values.loc[has_values.index.get_level_values(0) == key, undefined] = True
    complete = has_values.loc[:, present].all(axis=1)
    return set(complete.index[complete])


def list_missing(tests: Sequence[TestSet], evaluated: set[tuple[str, int, int]]) -> list[Setting]:
    """List the settings of the tests that are not among these (key, slots, iterations), each once."""
    missing, seen = [], set(evaluated)
    for test in tests:
        spec = test.spec()
        for iterations in spec.iterations:
            wanted = {count: (spec.key, count, iterations) for count in spec.slots}
            slots = tuple(count for count, setting in wanted.items() if setting not in seen)
            if slots:
                missing.append((replace(spec, slots=slots, iterations=(iterations,)), test))
            seen.update(wanted.values())  # another test may ask for the same setting
    return missing
