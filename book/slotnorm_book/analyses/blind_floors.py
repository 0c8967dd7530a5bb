"""The blind floor of each test set: the F-ARI of a segmentation that never sees a picture, for each slot count.

It has at most as many cells as there are slots, is fitted to training scenes of the same data and scored on the scenes
of the test set. ``slotnorm-book floors`` computes it for the recipes of the ``cpu`` scale, or of another one that it is
given, and writes ``book/floors.json``, which figures read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from slotnorm.atomic_files import write_whole
from slotnorm.data.splits import Split
from slotnorm.tasks import PropertyPrediction, Task
from slotnorm_book.checkout import FLOORS, ROOT, CheckoutError
from slotnorm_book.experiments.recipes import EXPERIMENTS, Recipe, recipe
from slotnorm_book.experiments.test_sets import TestSet, select
from slotnorm_book.statistics.blind_partition import fit_blind_partition, mean_f_ari

SCALE = "cpu"
"""The scale of the committed floors."""
FIT: dict[str, Any] = {"part": "train", "scenes": 200, "grid": 32, "seed": 0, "starts": 8, "moves": 400}
"""The scenes that a partition is fitted to, of which the test set's bound on objects leaves some; about how many pixels
a side the search scores; and how it searches."""
CELLS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13)
"""Numbers of cells that are tried, as far as there are slots. More cells only cut objects into pieces."""

Floors = Mapping[str, Mapping[int, float]]
"""Label of a test set to the floor at each slot count."""


def read_floors(shown: Recipe) -> dict[str, dict[int, float]]:
    """Read the floors of a recipe's test sets.

    Args:
        shown: a recipe, such as that of :class:`slotnorm_book.experiments.results.Results`.

    Returns:
        Label of each test set to the floor at each slot count. A test set of other data than ``book/floors.json`` has
        is left out.

    Raises:
        CheckoutError: the file cannot be read.
    """
    known = _read_file()
    names = {test.label: _name(shown.task, test) for test in shown.tests} if known else {}
    return {
        label: {int(slots): float(floor) for slots, floor in known[name]["f_ari"].items()}
        for label, name in names.items()
        if name in known
    }


def write_floors(experiments: Sequence[str] = (), scale: str = SCALE) -> Path:
    """Compute the floors that ``book/floors.json`` lacks, with a progress bar, and return the path of the file.

    The file is written after each test set, so that an interrupted call goes on where it stopped. Floors of other data
    stay. A test set of the stand-ins that no recipe of the ``cpu`` scale has any more is removed.

    Args:
        experiments: whose test sets; empty for all.
        scale: of their recipes.

    Raises:
        CheckoutError: the file cannot be read.
        SpecError, SplitError: there is no such experiment, scale or data, or a stand-in cannot be made.
        OSError: the file cannot be written.
    """
    known, wanted = _read_file(), list_wanted_floors(experiments, scale)
    replaced = {test.source.name for _, test in wanted.values()} if scale == SCALE and not experiments else set()
    others = {name: each for name, each in known.items() if name not in wanted and each["data"] not in replaced}
    kept = {name: known[name] for name, (_, test) in wanted.items() if name in known and _is_whole(known[name], test)}
    with tqdm(total=len(wanted) * len(CELLS), initial=len(kept) * len(CELLS), unit="partition") as bar:
        for name in [name for name in wanted if name not in kept]:
            task, test = wanted[name]
            bar.set_description(f"{test.label} of {test.source.name}")
            kept[name] = compute_floors(task, test, bar.update)
            ordered = {each: kept[each] for each in wanted if each in kept}
            write_whole(FLOORS, (json.dumps(others | ordered, indent=1) + "\n").encode())
    return FLOORS.relative_to(ROOT)


def _is_whole(entry: Mapping[str, Any], test: TestSet) -> bool:
    return entry["fit"] == _make_fit() and set(entry["f_ari"]) == set(map(str, test.slots))


def _make_fit() -> dict[str, Any]:
    return {**FIT, "cells": list(CELLS)}


def list_wanted_floors(experiments: Sequence[str] = (), scale: str = SCALE) -> dict[str, tuple[Task, TestSet]]:
    """List the test sets of experiments, by default of all, by the names of their floors.

    Returns:
        Name to a task that is evaluated on the test set, and the test set with all slot counts of any recipe.
    """
    wanted: dict[str, tuple[Task, TestSet]] = {}
    for experiment in experiments or EXPERIMENTS:
        each = recipe(experiment, scale)
        for test in each.tests:
            name = _name(each.task, test)
            slots = {*test.slots, *(wanted[name][1].slots if name in wanted else ())}
            wanted[name] = (each.task, replace(test, slots=tuple(sorted(slots))))
    return wanted


def compute_floors(task: Task, test: TestSet, told: Callable[[], object] = lambda: None) -> dict[str, Any]:
    """Compute the floor of a test set at each of its slot counts.

    Among the partitions of at most as many cells as slots, the one with the best F-ARI on the training scenes is taken.

    Args:
        task: says at which pixels segmentations are compared.
        test: the test set.
        told: is called when a partition has been fitted.

    Returns:
        An entry of the file: ``label``, ``data``, ``scenes``, ``fit``, ``fitted_scenes`` and ``f_ari`` by slot count.

    Raises:
        SpecError, SplitError: the data are not here, or a stand-in cannot be made.
    """
    source = replace(test.source, part=FIT["part"], scenes=FIT["scenes"])
    training = source.open().filter(max_objects=test.max_objects)
    fitted = _truths(training.select(range(min(len(training), FIT["scenes"]))), task)
    tested = _truths(select(test.source.open(), test.spec()), task)
    search = {name: FIT[name] for name in ("seed", "starts", "moves")}
    search["every"] = max(1, fitted.shape[1] // FIT["grid"])
    scores = {}
    for cells in CELLS:
        if cells <= max(test.slots):
            partition = fit_blind_partition(fitted, cells, **search)
            scores[cells] = mean_f_ari(fitted, partition), mean_f_ari(tested, partition)
        told()
    best = {slots: max(score for cells, score in scores.items() if cells <= slots)[1] for slots in test.slots}
    about = {"label": test.label, "data": test.source.name, "scenes": len(tested)}
    floors = {str(slots): round(floor, 4) for slots, floor in sorted(best.items())}
    return about | {"fit": _make_fit(), "fitted_scenes": len(fitted), "f_ari": floors}


def _truths(split: Split, task: Task) -> Tensor:
    step = _step(task)
    return torch.from_numpy(split["segmentation"][:, ::step, ::step]).long()


def _step(task: Task) -> int:
    """Return how many pixels lie from one compared pixel to the next: a token's side, where attention segments."""
    return math.prod(task.strides) if isinstance(task, PropertyPrediction) else 1


def _name(task: Task, test: TestSet) -> str:
    """Name a floor by the key of the evaluation, and by the compared pixels where they are not all."""
    step = _step(task)
    return test.spec().key + (f"-every-{step}" if step > 1 else "")


def _read_file() -> dict[str, Any]:
    if not FLOORS.exists():
        return {}
    try:
        known = json.loads(FLOORS.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckoutError(f"{FLOORS} cannot be read as JSON: {error}; `slotnorm-book floors` writes it") from error
    if not isinstance(known, dict):
        raise CheckoutError(f"{FLOORS} must map test sets to floors; `slotnorm-book floors` writes it")
    return known
