"""Trained models out of a store, by experiment and variant."""

import pandas as pd
import pytest
import torch

import slotnorm_book
from slotnorm.training.spec import SpecError
from slotnorm_book.experiments.engine import Execution, list_jobs, load_or_train
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.run_store import RunError, RunStore
from slotnorm_book.experiments.test_sets import evaluate


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOTNORM_CACHE", str(tmp_path_factory.mktemp("cache")))
        (job,) = list_jobs(recipe("clevr-6-7", "smoke").select(["weighted_sum"], [0], [7]))
        yield job, store, load_or_train(job, RunStore(store), Execution(bar=False))


def test_the_model_is_the_one_that_was_evaluated(trained):
    job, store, run = trained
    model = slotnorm_book.load_pretrained("clevr-6-7", "weighted_sum", scale="smoke", store=store)
    assert not model.training
    test = job.tests[0]
    again = evaluate(job.spec.task, model, test.source.open(), test.spec(), bar=False).scenes
    recorded = run.evaluation.scenes
    pd.testing.assert_frame_equal(again, recorded[recorded["evaluation"] == test.spec().key].reset_index(drop=True))


def test_any_number_of_slots_can_be_asked_of_it(trained):
    model = slotnorm_book.load_pretrained("clevr-6-7", "weighted_sum", scale="smoke", store=trained[1])
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32), num_slots=13).masks.shape == (1, 13, 32, 32)


def test_a_run_that_is_not_there_is_named(trained):
    with pytest.raises(RunError, match="has no run weighted_mean-seed0-"):
        slotnorm_book.load_pretrained("clevr-6-7", "weighted_mean", scale="smoke", store=trained[1])


def test_an_experiment_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(SpecError, match=r"unknown experiment 'clevr'; do you mean clevr-6-7\? There are clevr-6-7, "):
        slotnorm_book.load_pretrained("clevr", "weighted_mean")
