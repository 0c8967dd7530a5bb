"""Load or train: what the store has is not computed again, what is missing is, and nothing else."""

import json
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from slotnorm import evaluation, normalization
from slotnorm.data.manifest import SplitError
from slotnorm.tasks import PropertyPrediction
from slotnorm.training.loop import Interrupted
from slotnorm.training.spec import SpecError
from slotnorm_book.experiments import engine, test_sets
from slotnorm_book.experiments.data_sources import Source
from slotnorm_book.experiments.engine import Job, check_data, list_jobs, load_or_train
from slotnorm_book.experiments.missing_settings import find_missing_columns, find_missing_settings
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import Run, RunError, RunStore
from slotnorm_book.experiments.test_sets import TestSet
from tests.helpers import tiny


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> Recipe:
    return tiny.recipe(tiny.make_data(tmp_path_factory.mktemp("data")))


@pytest.fixture
def store(tmp_path) -> RunStore:
    return RunStore(tmp_path / "store")


@pytest.fixture
def work(monkeypatch) -> list[object]:
    """What is trained, by variant, and what is evaluated, by label, slots and iterations."""
    done: list[object] = []
    train, evaluate = engine.train, engine.evaluate

    def spied_train(spec, *rest):
        done.append(spec.variant)
        return train(spec, *rest)

    def spied_evaluate(task, model, split, spec, **options):
        done.append((spec.label, spec.slots, spec.iterations))
        return evaluate(task, model, split, spec, **options)

    monkeypatch.setattr(engine, "train", spied_train)
    monkeypatch.setattr(engine, "evaluate", spied_evaluate)
    return done


def with_slots(of: Recipe, *slots: int) -> Recipe:
    return of.select(slots=slots)


def test_a_run_is_trained_and_evaluated_once(tried, store, work):
    first = collect(tried, store, "train", tiny.QUIET)
    sets = [("few", (2, 3), (2,)), ("all", (2, 3), (2,))]
    assert work == ["weighted_mean", *sets, "batch_norm", *sets]
    work.clear()
    again = collect(tried, store, "train", tiny.QUIET)
    assert work == []
    pd.testing.assert_frame_equal(first.scenes, again.scenes, check_exact=True)
    assert again.description == "2 of 2 runs at smoke scale"


def test_a_new_slot_count_is_evaluated_from_the_weights_and_nothing_else_is(tried, store, work):
    some = collect(tried, store, "train", tiny.QUIET).scenes
    work.clear()
    more = collect(with_slots(tried, 2, 3, 5), store, "train", tiny.QUIET)
    assert work == [("few", (5,), (2,)), ("all", (5,), (2,))] * 2
    kept = more.scenes[more.scenes["slots"] < 5].reset_index(drop=True)
    key = ["variant", "test", "slots", "scene_id"]
    pd.testing.assert_frame_equal(
        kept.sort_values(key, ignore_index=True), some.sort_values(key, ignore_index=True), check_exact=True
    )


def test_settings_added_later_equal_settings_evaluated_at_once(tried, tmp_path):
    later, once = RunStore(tmp_path / "later"), RunStore(tmp_path / "once")
    collect(tried, later, "train", tiny.QUIET)
    wide = with_slots(tried, 2, 3, 5)
    frames = [collect(wide, store, "train", tiny.QUIET).scenes for store in (later, once)]
    key = ["variant", "test", "slots", "scene_id"]
    pd.testing.assert_frame_equal(*(f.sort_values(key, ignore_index=True) for f in frames), check_exact=True)


def test_the_results_hold_what_the_recipe_asks_for_and_no_more(tried, store):
    collect(with_slots(tried, 2, 3, 5), store, "train", tiny.QUIET)
    results = collect(with_slots(tried, 3), store)
    assert set(results.scenes["slots"]) == {3}
    assert results.scenes.groupby(["variant", "test"]).size().to_dict() == {
        (variant, test): count for variant in tried.variants for test, count in (("few", 4), ("all", 6))
    }
    assert results.scenes.columns[:3].tolist() == ["variant", "seed", "test"]
    assert len(results.curves) == 2 * tried.schedule.steps


def test_two_tests_on_the_same_scenes_are_both_in_the_results(tried, store, work):
    few = tried.tests[0]
    both = replace(tried, tests=(few, replace(few, label="longer", slots=(3,), iterations=(1, 2, 3))))
    results = collect(both.select(variants=["weighted_mean"]), store, "train", tiny.QUIET)
    settings = results.scenes[["test", "slots", "iterations"]].drop_duplicates().to_records(index=False).tolist()
    assert sorted(settings) == [("few", 2, 2), ("few", 3, 2), ("longer", 3, 1), ("longer", 3, 2), ("longer", 3, 3)]
    assert len(results.scenes) == few.scenes * len(settings)
    assert work == ["weighted_mean", ("few", (2, 3), (2,)), ("longer", (3,), (1,)), ("longer", (3,), (3,))]


def test_a_report_trains_nothing_and_lists_what_is_missing(tried, store, work):
    load_or_train(list_jobs(tried)[0], store, tiny.QUIET)
    work.clear()
    results = collect(tried, store, "report")
    assert work == []
    assert [run.spec.variant for run in results.runs] == ["weighted_mean"]
    assert [spec.variant for spec in results.missing] == ["batch_norm"]
    assert results.description == "1 of 2 runs at smoke scale; not run: batch_norm seed 0"
    assert set(results.scenes["variant"]) == {"weighted_mean"}
    wider = collect(with_slots(tried, 5), store, "report")
    assert wider.missing == tuple(job.spec for job in list_jobs(tried))
    assert [run.spec.variant for run in wider.incomplete] == ["weighted_mean"]
    assert wider.description == "0 of 2 runs at smoke scale; not completely evaluated: weighted_mean seed 0"


def test_an_empty_report_has_empty_tables(tried, store):
    results = collect(tried, store, "report")
    assert len(results.missing) == 2
    assert len(results.scenes) == len(results.sets) == len(results.curves) == 0
    trained = collect(tried, store, "train", tiny.QUIET)
    assert results.scenes.columns.equals(trained.scenes.columns)
    assert results.sets.columns.equals(trained.sets.columns)


def test_a_pruned_run_serves_its_settings_and_refuses_new_ones(tried, store):
    job = list_jobs(tried)[0]
    store.add(load_or_train(job, store, tiny.QUIET), weights=False)
    assert find_missing_settings(load_or_train(job, store, tiny.QUIET), job.tests) == []
    wide = list_jobs(with_slots(tried, 2, 5))[0]
    with pytest.raises(RunError, match=r"not evaluated on few with 5 slots and 2 iterations.*has no weights, so"):
        load_or_train(wide, store, tiny.QUIET)


def lose_column(store: RunStore, job: Job, column: str = "agreement") -> Run:
    """Give a run the table that it would have if it had been evaluated before a measure was added."""
    run = store.get(job.spec)
    scenes = run.evaluation.scenes.drop(columns=column)
    return store.replace_evaluation(run, replace(run.evaluation, scenes=scenes), run.evaluations)


def test_a_table_without_a_column_is_completed_and_the_other_columns_stay(tried, store, work):
    job = list_jobs(tried)[0]
    complete = load_or_train(job, store, tiny.QUIET).evaluation.scenes
    evaluations, short = store.get(job.spec).evaluations, lose_column(store, job).evaluation.scenes
    work.clear()
    again = load_or_train(job, store, tiny.QUIET)
    assert work == [("few", (2, 3), (2,)), ("all", (2, 3), (2,))], "the training is not repeated"
    pd.testing.assert_frame_equal(again.evaluation.scenes, complete, check_exact=True)
    pd.testing.assert_frame_equal(again.evaluation.scenes[short.columns], short, check_exact=True)
    assert again.evaluations == evaluations
    assert again.has_weights


def test_settings_of_another_recipe_stay_and_are_completed_when_they_are_asked_for(tried, store, work):
    narrow, wide = list_jobs(tried)[0], list_jobs(with_slots(tried, 2, 3, 5))[0]
    complete = load_or_train(wide, store, tiny.QUIET).evaluation.scenes
    lose_column(store, wide)
    some = load_or_train(narrow, store, tiny.QUIET).evaluation.scenes
    assert some.columns.tolist() == complete.columns.tolist()
    assert some[some["slots"] == 5]["agreement"].isna().all()
    assert find_missing_settings(store.get(narrow.spec), narrow.tests) == []
    work.clear()
    every = load_or_train(wide, store, tiny.QUIET).evaluation.scenes
    assert work == [("few", (5,), (2,)), ("all", (5,), (2,))]
    key = ["evaluation", "slots", "scene_id"]
    both = [table.sort_values(key, ignore_index=True) for table in (every, complete)]
    pd.testing.assert_frame_equal(*both, check_exact=True)


def test_a_measure_that_is_nan_everywhere_is_not_evaluated_again(tried, store):
    job = list_jobs(tried)[0]
    run = load_or_train(job, store, tiny.QUIET)
    undefined = replace(run.evaluation, scenes=run.evaluation.scenes.assign(agreement=np.nan))
    store.replace_evaluation(run, undefined, run.evaluations)
    assert find_missing_settings(store.get(job.spec), job.tests) == []


def test_a_measure_that_one_test_set_does_not_have_is_not_evaluated_again(tried, store, work, monkeypatch):
    whole = engine.evaluate

    def without_background(task, model, split, spec, **options):
        found = whole(task, model, split, spec, **options)
        return replace(found, scenes=found.scenes.assign(background_share=np.nan)) if spec.label == "few" else found

    monkeypatch.setattr(engine, "evaluate", without_background)
    job = list_jobs(tried)[0]
    run = load_or_train(job, store, tiny.QUIET)
    assert [about.get("undefined") for about in run.evaluations.values()] == [["background_share"], None]
    assert find_missing_settings(store.get(job.spec), job.tests) == []
    work.clear()
    load_or_train(job, store, tiny.QUIET)
    assert work == []
    lose_column(store, job, "ari")
    assert [spec.label for spec, _ in find_missing_settings(store.get(job.spec), job.tests)] == ["few", "all"]


def test_a_measure_stays_undefined_when_other_slot_counts_have_it(tried, store, monkeypatch):
    whole = engine.evaluate

    def overflow_at_two(task, model, split, spec, **options):
        found = whole(task, model, split, spec, **options)
        return replace(found, scenes=found.scenes.assign(loss=np.nan)) if spec.slots == (2,) else found

    monkeypatch.setattr(engine, "evaluate", overflow_at_two)
    job = list_jobs(tried.select(slots=(2,)))[0]
    load_or_train(job, store, tiny.QUIET)
    (wider,) = (each for each in list_jobs(tried.select(slots=(2, 3))) if each.spec == job.spec)
    run = load_or_train(wider, store, tiny.QUIET)
    assert run.evaluation.scenes.groupby("slots")["loss"].count().loc[2] == 0
    assert all(about["undefined"] == ["loss"] for about in run.evaluations.values())
    assert find_missing_settings(run, wider.tests) == []


def test_an_old_measure_without_values_is_not_missing_because_a_new_setting_says_so(tried, store):
    job = list_jobs(tried.select(slots=(2, 3)))[0]
    run = load_or_train(job, store, tiny.QUIET)
    scenes = run.evaluation.scenes.assign(loss=np.nan)
    first, *rest = run.evaluations
    notes = {**run.evaluations, first: {**run.evaluations[first], "undefined": ["loss"]}}
    store.replace_evaluation(run, replace(run.evaluation, scenes=scenes), notes)
    assert rest
    assert find_missing_settings(store.get(job.spec), job.tests) == []


def test_a_report_shows_the_rows_of_a_table_without_a_column(tried, store, work):
    complete = collect(tried, store, "train", tiny.QUIET).scenes
    jobs = list_jobs(tried)
    for job in jobs:
        lose_column(store, job)
    store.add(store.get(jobs[1].spec), weights=False)
    work.clear()
    report = collect(tried, store, "report")
    assert work == []
    assert report.missing == ()
    assert report.description == (
        "2 of 2 runs at smoke scale; not completely evaluated: weighted_mean seed 0; "
        "not completely evaluated and without weights, must be trained again: batch_norm seed 0"
    )
    assert report.scenes.columns.tolist() == complete.columns.tolist()
    assert report.scenes["agreement"].isna().all()
    rest = [scenes.drop(columns="agreement") for scenes in (report.scenes, complete)]
    pd.testing.assert_frame_equal(*rest, check_exact=True)


def test_a_run_without_a_column_and_without_weights_must_be_trained_again(tried, store):
    job = list_jobs(tried)[0]
    load_or_train(job, store, tiny.QUIET)
    store.add(lose_column(store, job), weights=False)
    reason = r"not evaluated on few .*all .*\(no column agreement\); it has no weights, so it must be trained again"
    with pytest.raises(RunError, match=reason):
        load_or_train(job, store, tiny.QUIET)


def test_a_measure_over_all_scenes_that_was_added_later_counts_as_missing(monkeypatch, store):
    (job,) = list_jobs(recipe("properties", "smoke").select(["weighted_mean"], [0]))
    run = load_or_train(job, store, tiny.QUIET)
    assert find_missing_settings(run, job.tests) == []
    monkeypatch.setattr(PropertyPrediction, "set_measures", (*PropertyPrediction.set_measures, "ap@9"))
    assert [spec.label for spec, _ in find_missing_settings(run, job.tests)] == [test.label for test in job.tests]
    assert find_missing_columns(run) == ["ap@9"]


def test_an_interrupted_run_goes_on_and_equals_an_uninterrupted_one(tried, store, tmp_path):
    job, asked = list_jobs(tried)[1], iter([False] * 3)
    with pytest.raises(Interrupted):
        load_or_train(job, store, replace(tiny.QUIET, stop=lambda: next(asked, True)))
    assert store.find(job.spec) is None
    run, other = load_or_train(job, store, tiny.QUIET), load_or_train(job, RunStore(tmp_path / "other"), tiny.QUIET)
    assert tiny.equal(run.load_model(), other.load_model())
    pd.testing.assert_frame_equal(run.curve, other.curve, check_exact=True)
    pd.testing.assert_frame_equal(run.evaluation.scenes, other.evaluation.scenes, check_exact=True)


def test_the_lock_is_free_after_a_failure(tried, store):
    job = replace(list_jobs(tried)[0], train=Source("/nowhere", "train", tiny.SIZE, 8))
    with pytest.raises(SpecError, match="/nowhere"):
        load_or_train(job, store, tiny.QUIET)
    with store.lock(job.spec) as held:
        assert held is not None


def first_test(of: Recipe, **changes) -> tuple[TestSet, ...]:
    return (replace(of.tests[0], **changes), *of.tests[1:])


WRONG = {
    "no slot": (lambda r: replace(r, tests=first_test(r, slots=(0,))), SpecError, "slots and iterations must be at"),
    "no iteration": (lambda r: replace(r, tests=first_test(r, iterations=())), SpecError, "at least 1"),
    "an odd size": (lambda r: replace(r, task=replace(r.task, image_size=17)), SpecError, "power of two.* got 17"),
    "no slot in training": (lambda r: replace(r, task=replace(r.task, num_slots=0)), SpecError, "num_slots must be"),
    "an unknown variant": (lambda r: r.select(variants=["median"]), SpecError, "'median'; there are weighted_mean"),
    "a negative seed": (lambda r: r.select(seeds=[-1]), SpecError, "seed must be at least 0"),
    "no variant": (lambda r: r.select(variants=[]), SpecError, "variants must name at least one"),
    "a seed twice": (lambda r: r.select(seeds=[1, 1]), SpecError, "seeds must name each once, got 1, 1"),
    "no such data": (lambda r: r.with_data("/nowhere"), SpecError, "no such folder, and no stand-in"),
    "no split": (lambda r: r.with_data(str(Path(__file__).parent)), SplitError, "manifest.json: missing"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_work_is_refused_before_any_work(tried, store, work, what):
    change, error, reason = WRONG[what]
    with pytest.raises(error, match=reason):
        collect(change(tried), store, "train", tiny.QUIET)
    assert work == []
    assert not store.local.exists()


@pytest.mark.parametrize("value", ["no_such_module:Lost", "slotnorm.normalization:Lost", "builtins:iter"])
def test_a_normalization_that_cannot_be_loaded_is_named_before_any_work(tried, store, work, monkeypatch, value):
    monkeypatch.setattr(normalization, "_installed", lambda: {"lost": EntryPoint("lost", value, normalization.GROUP)})
    with pytest.raises(SpecError, match=r"variant 'lost': its entry point in .*\.normalizations cannot be used: "):
        collect(tried.select(variants=["weighted_mean", "lost"]), store, "train", tiny.QUIET)
    assert work == []


def test_an_error_of_the_papers_normalizations_is_none_of_an_entry_point(tried, monkeypatch):
    def fails(dim):
        raise AttributeError("of ours")

    monkeypatch.setitem(normalization.NORMALIZATIONS, "weighted_mean", fails)
    with pytest.raises(AttributeError, match="of ours"):
        list_jobs(tried)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("array", ["image", "segmentation"])
def test_data_without_an_array_that_the_task_needs_are_refused_before_any_work(tmp_path, part, array):
    own = tiny.recipe(tiny.make_data(tmp_path))
    check_data(own)
    path = tmp_path / part / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["arrays"][array], manifest["digest"]
    path.write_text(json.dumps(manifest | {"format_version": 1}))  # which has no checksum of itself
    with pytest.raises(SplitError, match=f"{tmp_path / part}: has no array '{array}'"):
        check_data(own)


@pytest.mark.parametrize("scale", ["cpu", "gpu", "paper"])
def test_models_are_not_tested_on_the_scenes_of_their_training(tmp_path, scale):
    whole = tiny.recipe(tiny.make_data(tmp_path))
    one_split = whole.with_data(str(tmp_path / "train"))
    assert len(list_jobs(one_split)) == 2  # at the smoke scale, whose results nobody reads
    assert len(list_jobs(replace(whole, scale=scale))) == 2
    with pytest.raises(SpecError, match="few would be scenes of the training, as both are noise; give a folder"):
        list_jobs(replace(one_split, scale=scale))


def test_a_recipe_tested_on_another_data_set_needs_data_for_both(tmp_path):
    whole = tiny.recipe(tiny.make_data(tmp_path))
    tests = tuple(replace(test, source=replace(test.source, data="other")) for test in whole.tests)
    transfer = replace(whole, tests=tests)
    with pytest.raises(SpecError, match="is tested on other; name other data for both or for none"):
        transfer.with_data("new")
    changed = transfer.with_data("new", "far")
    assert (changed.train.data, {test.source.data for test in changed.tests}) == ("new", {"far"})


def test_an_evaluation_that_does_not_fit_the_memory_is_done_in_smaller_batches(tried, store, monkeypatch):
    (job, *_), whole, sizes = list_jobs(tried), evaluation.evaluate, []
    expected = load_or_train(job, store, tiny.QUIET).evaluation

    def needs_much(*arguments, batch_size, **rest):
        sizes.append(batch_size)
        if batch_size > 2:
            raise torch.OutOfMemoryError
        return whole(*arguments, batch_size=batch_size, **rest)

    monkeypatch.setattr(evaluation, "evaluate", needs_much)
    (test, *_) = job.tests
    model = store.get(job.spec).load_model()
    found = test_sets.evaluate(job.spec.task, model, test.source.open(), test.spec(), bar=False)
    assert sizes == [64, 32, 16, 8, 4, 2]
    own = expected.scenes[expected.scenes["evaluation"] == test.spec().key].reset_index(drop=True)
    pd.testing.assert_series_equal(found.scenes["f_ari"].astype("float32"), own["f_ari"].astype("float32"))


def test_training_data_without_a_suitable_scene_are_refused_before_any_work(tried):
    with pytest.raises(SplitError, match="no scene has 0 to 0 objects"):
        check_data(replace(tried, max_objects=0))


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"scenes": 9}, SpecError, "few: .* has 6 suitable scenes, 9 are asked for"),
        ({"max_objects": 1, "scenes": 3}, SpecError, "has 2 suitable scenes, 3 are asked for"),
    ],
)
def test_too_few_scenes_are_refused_before_the_training(tried, store, work, changes, error, reason):
    with pytest.raises(error, match=reason):
        collect(replace(tried, tests=first_test(tried, **changes)), store, "train", tiny.QUIET)
    assert work == []


def test_images_of_another_size_are_refused_before_the_training(tried, store, work):
    large = replace(tried, task=replace(tried.task, image_size=32), train=replace(tried.train, image_size=32))
    with pytest.raises(SplitError, match=r"images of 16x16 pixels, 32x32 are needed; .*--size 32"):
        collect(large, store, "train", tiny.QUIET)
    assert work == []


def test_the_paper_scale_without_its_data_says_what_would_be_right(store, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"data = 'data/clevr': no such folder, and no stand-in \(synth-clevr"):
        collect(recipe("clevr-6-7", "paper"), store)


@pytest.mark.parametrize(("experiment", "scale"), [("clevr-7-6", "cpu"), ("clevr-6-7", "huge")])
def test_an_unknown_experiment_or_scale_is_answered_with_those_that_exist(experiment, scale):
    with pytest.raises(SpecError, match=r"unknown .* [Tt]here are .*(clevr-6-7|paper)"):
        recipe(experiment, scale)


@pytest.mark.slow
def test_measures_of_all_scenes_together_are_kept_too(store, monkeypatch, tmp_path):
    monkeypatch.setenv("SLOTNORM_CACHE", str(tmp_path / "cache"))
    predicted = recipe("properties", "smoke").select(["weighted_mean"], slots=[7])
    collect(predicted, store, "train", tiny.QUIET)
    results = collect(predicted.select(slots=[7, 9]), store, "train", tiny.QUIET)
    measures = {"ap@inf", "ap@1", "ap@0.5", "ap@0.25", "ap@0.125"}
    assert set(zip(results.sets["slots"], results.sets["measure"], strict=True)) == {
        (slots, measure) for slots in (7, 9) for measure in measures
    }
    assert results.sets["value"].between(0, 1).all()
    assert len(results.scenes) == 2 * predicted.tests[0].scenes
