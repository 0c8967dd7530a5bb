"""Runs whose data are not here are found by what their records say, and never runs of other data than were named."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from slotnorm.data.manifest import SplitError
from slotnorm.training.spec import SpecError
from slotnorm_book import load_pretrained
from slotnorm_book.experiments import recipes
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import RunError, RunStore
from tests.helpers import hostile_store, tiny

HERE = "noise"
"""The name of tiny's data in their manifests."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Recipe, Path, pd.DataFrame]:
    """A recipe, the store with its runs and their scenes; the data are gone."""
    folder = tmp_path_factory.mktemp("gone")
    tried = tiny.recipe(tiny.make_data(folder / "data"))
    results = collect(tried, RunStore(folder / "store"), "train", tiny.QUIET)
    scenes = results.scenes
    shutil.rmtree(folder / "data")
    return tried, folder / "store", scenes


@pytest.fixture
def two(trained, tmp_path) -> tuple[Recipe, Path]:
    """The recipe, and a store that has its runs on two data of one name."""
    tried, root, _ = trained
    shutil.copytree(root, tmp_path / "store")
    data = tmp_path / "other"
    tiny.make_split(data / "train", seed=5)
    tiny.make_split(data / "test", seed=6)
    collect(tried.with_data(str(data)), RunStore(tmp_path / "store"), "train", tiny.QUIET)
    shutil.rmtree(data)
    return tried, tmp_path / "store"


def test_a_report_needs_no_data(trained):
    tried, root, scenes = trained
    found = collect(tried, RunStore(root))
    assert found.description == "2 of 2 runs at smoke scale"
    pd.testing.assert_frame_equal(found.scenes, scenes, check_exact=True)
    assert found.recipe.train.name == HERE


def test_a_report_without_data_lists_what_is_missing(trained):
    tried, root, _ = trained
    more = replace(tried, seeds=(0, 1))
    assert collect(more, RunStore(root)).description == (
        "2 of 4 runs at smoke scale; not run: weighted_mean seed 1; batch_norm seed 1"
    )
    wider = replace(tried, tests=tuple(replace(test, slots=(5,)) for test in tried.tests))
    assert collect(wider, RunStore(root)).description == (
        "0 of 2 runs at smoke scale; not completely evaluated: weighted_mean seed 0; batch_norm seed 0"
    )


@pytest.mark.parametrize(
    "changes", [{"batch_size": 5}, {"max_objects": 2}, {"precision": "bf16"}, {"seeds": (7,)}, {"task": None}]
)
def test_runs_of_another_recipe_do_not_say_what_the_data_were(trained, changes):
    tried, root, _ = trained
    if "task" in changes:
        changes = {"task": replace(tried.task, iterations=3)}
    with pytest.raises(SpecError, match=r"data = .*: no such folder"):
        collect(replace(tried, **changes), RunStore(root))


def test_to_train_needs_the_data(trained):
    tried, root, _ = trained
    with pytest.raises((SpecError, SplitError), match="no such folder"):
        collect(tried, RunStore(root), "train", tiny.QUIET)


@pytest.mark.parametrize("name", [HERE, f"/elsewhere/{HERE}", "digits"])
def test_data_are_named_as_in_the_records(trained, name):
    tried, root, scenes = trained
    (identity,) = {run.spec.data.identity for run in RunStore(root)}
    found = collect(tried.with_data(identity[:12] if name == "digits" else name), RunStore(root))
    pd.testing.assert_frame_equal(found.scenes, scenes, check_exact=True)


def test_other_data_than_were_named_are_not_taken(trained):
    tried, root, _ = trained
    with pytest.raises(
        SpecError, match=rf"data = 'nois': not here, and the runs in {root} are of noise \([0-9a-f]{{12}}\)"
    ):
        collect(tried.with_data("nois"), RunStore(root))


def test_among_several_data_one_must_be_named(two, trained):
    tried, root = two
    with pytest.raises(SpecError, match=r"the runs in .* are of noise \(.*\), noise \(.*\); name one of these"):
        collect(tried, RunStore(root))
    (identity,) = {run.spec.data.identity for run in RunStore(trained[1])}
    tests = {about["identity"] for run in RunStore(trained[1]) for about in run.evaluations.values()}
    found = collect(tried.with_data(identity[:12], *(digits[:12] for digits in tests)), RunStore(root))
    pd.testing.assert_frame_equal(found.scenes, trained[2], check_exact=True)
    assert collect(tried.with_data(identity[:12]), RunStore(root)).description == "2 of 2 runs at smoke scale"


def test_a_model_is_loaded_without_its_data(trained, monkeypatch):
    tried, root, _ = trained
    monkeypatch.setitem(recipes.EXPERIMENTS, "tiny", lambda scale: replace(tried, scale=scale))
    expected = next(run for run in RunStore(root) if run.spec.variant == "batch_norm").load_model()
    for data in (None, HERE, Path(HERE)):
        model = load_pretrained("tiny", "batch_norm", scale="smoke", store=root, data=data)
        assert tiny.equal(model, expected)
    with pytest.raises(SpecError, match=r"data = 'other': not here, and the runs in .* are of noise"):
        load_pretrained("tiny", "batch_norm", scale="smoke", store=root, data="other")
    with pytest.raises((SpecError, RunError), match="no such folder"):
        load_pretrained("tiny", "weighted_sum", scale="smoke", store=root)


def test_a_model_of_own_data_is_loaded(tmp_path, monkeypatch):
    data, own = tiny.make_data(tmp_path / "data"), tmp_path / "own"
    tiny.make_split(own / "train", seed=8)
    tiny.make_split(own / "test", seed=9)
    monkeypatch.setitem(recipes.EXPERIMENTS, "tiny", lambda scale: tiny.recipe(data, scale=scale))
    one = tiny.recipe(own).select(variants=["batch_norm"])
    (run,) = collect(one, RunStore(tmp_path / "store"), "train", tiny.QUIET).runs
    asked = {"scale": "smoke", "store": tmp_path / "store"}
    assert tiny.equal(load_pretrained("tiny", "batch_norm", data=own, **asked), run.load_model())
    with pytest.raises(RunError, match="has no run batch_norm-seed0-"):
        load_pretrained("tiny", "batch_norm", **asked)


def test_damaged_runs_do_not_stop_the_search(trained, tmp_path):
    tried, root, scenes = trained
    store = shutil.copytree(root, tmp_path / "store")
    hostile_store.make_hostile_store(next(root.glob("batch_norm-*")), store)
    pd.testing.assert_frame_equal(collect(tried, RunStore(store)).scenes, scenes, check_exact=True)
