"""Whether models found objects: the sentence with which a chapter begins, and the table of their mean scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from slotnorm_book.experiments.results import Results
from slotnorm_book.statistics.bootstrap import intervals
from slotnorm_book.statistics.found_objects import (
    ENOUGH_FOUND,
    LEAST_FOUND,
    found_by_run,
    nearest_slots,
    with_found_objects,
)
from slotnorm_book.variants import BASELINE

SHOWN = {"f_ari": "F-ARI", "found_objects": "found objects", "ari": "ARI", "mbo": "mBO", "loss": "loss"}
"""Measure to its name in a table, in order."""
RUNS_FOR_CORRELATION = 8
"""Runs from which a correlation over runs is told."""
RUNS_FOR_INTERVAL = 3
"""Runs of a variant from which found objects are given with an interval, as in the figures."""


def mean_scores(scenes: pd.DataFrame, slots: Collection[int], names: Mapping[str, str]) -> pd.DataFrame:
    """Tabulate the means of :data:`SHOWN` over scenes and runs, a row per variant, test set and slot count.

    Found objects are text, with their interval over runs and scenes in brackets from :data:`RUNS_FOR_INTERVAL` runs on.

    Args:
        scenes: rows as in :attr:`slotnorm_book.experiments.results.Results.scenes`.
        slots: slot counts to show.
        names: of the variants, for readers.
    """
    rows = with_found_objects(scenes[scenes["slots"].isin(slots)])
    means = rows.groupby(["variant", "test", "slots"], sort=False)[[*SHOWN]].mean()
    written = {
        (variant, test, count): text
        for (test, count), part in rows.groupby(["test", "slots"], sort=False)
        for variant, text in _write_found(part).items()
    }
    means["found_objects"] = [written[key] for key in means.index]
    return means.rename(columns=SHOWN, index=names).reset_index()


def describe_found(results: Results, test: str, names: Mapping[str, str]) -> str:
    """Say which variants found objects on a test set with the slots of the training.

    A variant found objects if its found objects reach :data:`slotnorm_book.statistics.found_objects.LEAST_FOUND` in
    mean over runs and scenes, as in the rule of *not decidable*.

    Args:
        results: runs; of the evaluated slot counts, the one nearest to that of the training is used.
        test: label of the test set.
        names: of the variants, for readers.

    Returns:
        Such as ``"with 7 slots on CLEVR10, objects were found by Baseline (0.36)"``, or ``"not run"``. In parentheses
        is the mean over runs and scenes.
    """
    trained, scenes = results.recipe.task.num_slots, results.scenes
    rows = scenes[scenes["test"] == test]
    if rows.empty:
        return "not run"
    slots = nearest_slots(rows["slots"], trained)
    runs = found_by_run(rows, trained).dropna()
    if runs.empty:
        return f"with {slots} slots on {test}, not evaluated on other scenes"
    each = runs.groupby("variant", sort=False)["found_objects"]
    means, missed = each.mean(), each.agg(lambda found: int((found < LEAST_FOUND).sum()))
    written = _write_found(with_found_objects(rows[rows["slots"] == slots]).dropna(subset="found_objects"))
    label = {variant: names.get(variant, variant) for variant in means.index}
    found, lost = (
        _list([f"{label[variant]} ({written[variant]})" for variant in part.index])
        for part in (means[means >= LEAST_FOUND], means[means < LEAST_FOUND])
    )
    told = [f"objects were found by {found}"] if found else []
    told += [f"no objects were found by {lost}, where less than {LEAST_FOUND:g} is none"] if lost else []
    some = [
        f"{missed[name]} of {len(each.get_group(name))} runs of {label[name]} found none"
        for name, mean in means.items()
        if missed[name] and mean >= LEAST_FOUND
    ]
    if LEAST_FOUND <= means.get(BASELINE, 1.0) < ENOUGH_FOUND:
        some.append(f"{label[BASELINE]} finds too few to compare others with")
    return "; ".join([f"with {slots} slots on {test}, {', and '.join(told)}", *some])


def correlate_with_background(results: Results, test: str) -> dict[str, str]:
    """Correlate scores of runs with the share of the background in its largest slot, at the slots of the training.

    A segment of background lies on the objects of other scenes too, so that a whole background lowers the blind part of
    F-ARI and raises found objects.

    Args:
        results: runs; of the evaluated slot counts, the one nearest to that of the training is used.
        test: label of the test set.

    Returns:
        Pearson's correlation over runs by ``f_ari`` and ``found_objects``, as text; ``"(unknown)"`` for fewer than
        :data:`RUNS_FOR_CORRELATION` runs.
    """
    rows = results.scenes
    rows = rows[rows["test"] == test] if len(rows) else rows
    measures = ["f_ari", "found_objects"]
    if rows.empty or "background_share" not in rows:
        return dict.fromkeys(measures, "(unknown)")
    rows = with_found_objects(rows[rows["slots"] == nearest_slots(rows["slots"], results.recipe.task.num_slots)])
    runs = rows.groupby(["variant", "seed"])[[*measures, "background_share"]].mean().dropna()
    if len(runs) < RUNS_FOR_CORRELATION:
        return dict.fromkeys(measures, "(unknown)")
    return {measure: f"{runs[measure].corr(runs['background_share']):.2f}" for measure in measures}


def _write_found(rows: pd.DataFrame) -> dict[str, str]:
    """Write the found objects of each variant on one test set with one slot count, several runs with an interval."""
    if rows.empty:
        return {}
    runs = rows.groupby("variant")["seed"].nunique()
    return {
        row.variant: _write(row.value)
        + (f" [{_write(row.low)}, {_write(row.high)}]" if runs[row.variant] >= RUNS_FOR_INTERVAL else "")
        for row in intervals(rows, "found_objects").itertuples()
    }


def _write(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # without -0.00


def _list(items: Sequence[str]) -> str:
    """Write a list in words, such as ``"a, b and c"``."""
    return " and ".join(part for part in (", ".join(items[:-1]), *items[-1:]) if part)
