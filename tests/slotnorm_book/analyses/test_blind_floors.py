"""The blind floors: every test set of the book has them, they are what they say, and other data have none."""

import json
from dataclasses import replace

import pytest
import torch

from slotnorm.metrics import foreground_adjusted_rand_index
from slotnorm.tasks import PropertyPrediction
from slotnorm_book.analyses import blind_floors
from slotnorm_book.analyses.blind_floors import (
    CELLS,
    FIT,
    compute_floors,
    list_wanted_floors,
    read_floors,
    write_floors,
)
from slotnorm_book.checkout import FLOORS, CheckoutError
from slotnorm_book.experiments.recipes import EXPERIMENTS, recipe
from slotnorm_book.experiments.test_sets import select
from slotnorm_book.statistics.blind_partition import fit_blind_partition, mean_f_ari
from tests.helpers import tiny

COUNTS = (2, 3)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A recipe of a few scenes, and a file of floors that is not there yet."""
    data = tiny.make_data(tmp_path / "data")
    monkeypatch.setattr(blind_floors, "FLOORS", tmp_path / "floors.json")
    monkeypatch.setattr(blind_floors, "ROOT", tmp_path)
    chosen = tiny.recipe(data).select(slots=COUNTS)
    monkeypatch.setattr(blind_floors, "EXPERIMENTS", ["tiny"])
    monkeypatch.setitem(FIT, "moves", 10)
    monkeypatch.setattr(blind_floors, "recipe", lambda name, scale: chosen)
    return chosen


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_slot_count_of_the_book_has_a_committed_floor(experiment):
    shown = recipe(experiment, blind_floors.SCALE)
    floors = read_floors(shown)
    for test in shown.tests:
        assert set(test.slots) <= set(floors[test.label]), f"{test.label}: run `slotnorm-book floors`"
        assert all(0 < floor < 1 for floor in floors[test.label].values())


def test_the_committed_floors_are_of_this_fit_and_of_no_other_test_set():
    known, wanted = json.loads(FLOORS.read_text()), list_wanted_floors()
    stand_ins = {test.source.name for _, test in wanted.values()}
    assert {name for name, entry in known.items() if entry["data"] in stand_ins} == set(wanted)
    assert all(entry["fit"] == {**FIT, "cells": list(CELLS)} for entry in known.values())


def test_data_of_another_scale_have_no_floor():
    assert read_floors(recipe("clevr-6-7", "gpu")) == {}


def test_written_floors_are_read_and_kept(small, monkeypatch):
    assert read_floors(small) == {}
    write_floors()
    floors = read_floors(small)
    assert {label: set(each) for label, each in floors.items()} == {test.label: set(COUNTS) for test in small.tests}
    monkeypatch.setattr(blind_floors, "compute_floors", None)  # nothing is lacking any more
    write_floors()
    assert read_floors(small) == floors


def test_floors_of_other_data_stay_and_those_that_no_recipe_has_go(small):
    write_floors(["tiny"], "paper")
    floors = json.loads(blind_floors.FLOORS.read_text())
    data = small.tests[-1].source.name
    stale, foreign = ({"label": "X", "data": name, "fit": {}, "f_ari": {}} for name in (data, "clevr"))
    blind_floors.FLOORS.write_text(json.dumps(dict(list(floors.items())[1:]) | {"stale": stale, "foreign": foreign}))
    write_floors(["tiny"], "paper")
    assert json.loads(blind_floors.FLOORS.read_text()) == floors | {"stale": stale, "foreign": foreign}
    blind_floors.FLOORS.write_text(json.dumps(dict(list(floors.items())[1:]) | {"stale": stale, "foreign": foreign}))
    write_floors()
    assert json.loads(blind_floors.FLOORS.read_text()) == floors | {"foreign": foreign}


def test_a_floor_is_the_score_of_the_best_partition_with_no_more_cells_than_slots(small):
    test = small.tests[-1]
    entry = compute_floors(small.task, test)
    training = replace(test.source, part=FIT["part"]).open().filter(max_objects=test.max_objects)
    fitted, tested = (
        torch.from_numpy(split["segmentation"].copy()).long()
        for split in (training, select(test.source.open(), test.spec()))
    )
    assert entry["fitted_scenes"] == len(fitted)
    search = {name: FIT[name] for name in ("seed", "starts", "moves")}
    fits = {cells: fit_blind_partition(fitted, cells, **search) for cells in (1, 2, 3)}
    for slots in COUNTS:
        best = max((fits[cells] for cells in fits if cells <= slots), key=lambda cells: mean_f_ari(fitted, cells))
        score = foreground_adjusted_rand_index(tested, best.expand(tested.shape)).mean().item()
        assert entry["f_ari"][str(slots)] == pytest.approx(score, abs=1e-4)


def test_each_partition_that_is_tried_is_told(small):
    told = []
    compute_floors(small.task, small.tests[-1], lambda: told.append(None))
    assert len(told) == len(CELLS)


def test_attention_is_compared_at_its_tokens(small):
    test = small.tests[-1]
    half = PropertyPrediction(image_size=tiny.SIZE, strides=(2, 1))
    write_floors()
    assert read_floors(small)
    assert compute_floors(half, test)["f_ari"] != compute_floors(small.task, test)["f_ari"]
    assert read_floors(replace(small, task=half)) == {}


def test_a_damaged_file_is_named(small):
    blind_floors.FLOORS.write_text("[")
    with pytest.raises(CheckoutError, match=r"floors\.json cannot be read as JSON"):
        read_floors(small)
    blind_floors.FLOORS.write_text("[]")
    with pytest.raises(CheckoutError, match=r"floors\.json must map test sets to floors"):
        read_floors(small)
