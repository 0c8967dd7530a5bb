"""Finished runs are copied into the book's records: once, few with weights, never more than fit."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from slotnorm.evaluation import Evaluation
from slotnorm_book import checkout
from slotnorm_book.experiments import keep
from slotnorm_book.experiments.engine import list_jobs, load_or_train
from slotnorm_book.experiments.keep import keep_runs
from slotnorm_book.experiments.run_store import Run, RunError, RunStore
from tests.helpers import tiny
from tests.helpers.command import command


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with a run of seed 0 and one of seed 1."""
    folder = tmp_path_factory.mktemp("source")
    recipe = replace(tiny.recipe(tiny.make_data(folder / "data")), seeds=(0, 1), variants=("weighted_mean",))
    for job in list_jobs(recipe):
        load_or_train(job, RunStore(folder / "runs"), tiny.QUIET)
    return str(folder / "runs")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """An empty folder of records in a repository of its own."""
    folder = tmp_path / "book" / "results"
    folder.mkdir(parents=True)
    git(tmp_path, "init", "--quiet")
    for name, value in {
        "user.name": "somebody",
        "user.email": "somebody@example.org",
        "commit.gpgsign": "false",
    }.items():
        git(tmp_path, "config", name, value)
    return folder


def test_runs_are_copied_once_and_only_seed_0_with_weights(source: str, records: Path) -> None:
    names = keep_runs(source, records)
    assert sorted(names) == sorted(run.spec.name for run in RunStore(source))
    for original in RunStore(source):
        kept = RunStore(records).get(original.spec)
        assert kept.has_weights == (original.spec.seed == 0)
        assert kept.evaluation.scenes.equals(original.evaluation.scenes)
        assert kept.provenance == original.provenance
    assert keep_runs(source, records) == []


def test_baselines_that_hypotheses_change_are_kept_with_their_weights_whatever_the_seed(
    source: str, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "SLOTS_WITH_WEIGHTS", 2)
    assert len(keep_runs(source, records)) == 2
    assert all(run.has_weights for run in RunStore(records))


def test_runs_are_committed_and_nothing_else_is(source: str, records: Path) -> None:
    other = records.parent / "other.txt"
    other.write_text("not to be committed")
    git(records, "add", str(other))
    names = keep_runs(source, records, commit=True)
    committed = git(records, "show", "--name-only", "--format=%s", "HEAD").split()
    assert {path.split("/")[2] for path in committed if path.startswith("book/results")} == set(names)
    assert not any("other.txt" in path for path in committed)
    assert "A  book/other.txt" in git(records.parent.parent, "status", "--short")
    keep_runs(source, records, commit=True)
    assert len(git(records, "log", "--format=%h").split()) == 1


def test_runs_that_were_copied_before_are_committed_too(source: str, records: Path) -> None:
    names = keep_runs(source, records)
    assert keep_runs(source, records, commit=True) == names
    assert git(records, "status", "--porcelain") == ""
    assert keep_runs(source, records, commit=True) == []


@pytest.fixture(scope="module")
def grown(source: str, tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """The store after its run with seed 1 was evaluated with five slots too."""
    folder = tmp_path_factory.mktemp("more") / "grown"
    shutil.copytree(source, folder)
    recipe = replace(tiny.recipe(Path(source).parent / "data"), seeds=(1,), variants=("weighted_mean",))
    (job,) = list_jobs(recipe.select(slots=(2, 3, 5)))
    load_or_train(job, RunStore(folder), tiny.QUIET)
    return RunStore(folder)


def run_with_seed_1(store: RunStore) -> Run:
    return next(run for run in store if run.spec.seed == 1)


def test_what_a_kept_run_was_evaluated_in_since_is_added_and_its_weights_stay_away(
    source: str, grown: RunStore, records: Path
) -> None:
    keep_runs(source, records)
    more = run_with_seed_1(grown)
    assert keep_runs(grown.root, records) == [more.spec.name]
    kept = run_with_seed_1(RunStore(records))
    assert set(kept.evaluation.scenes["slots"]) == {2, 3, 5}
    assert len(kept.evaluation.scenes) == len(more.evaluation.scenes)
    assert not kept.has_weights
    assert keep_runs(grown.root, records) == keep_runs(source, records) == []


def test_values_that_only_the_store_has_are_added_and_none_is_lost(source: str, grown: RunStore, records: Path) -> None:
    keep_runs(grown.root, records)
    kept = run_with_seed_1(RunStore(records))
    scenes = kept.evaluation.scenes
    lacking = scenes.assign(f_ari=scenes["f_ari"].where(scenes["slots"] != 5))
    RunStore(records).replace_evaluation(kept, Evaluation(lacking, kept.evaluation.sets), kept.evaluations)
    assert keep_runs(source, records) == []  # nothing is gained
    assert keep_runs(grown.root, records) == [kept.spec.name]
    assert run_with_seed_1(RunStore(records)).evaluation.scenes["f_ari"].notna().all()


def test_evaluations_of_another_training_are_not_mixed_into_a_kept_run(
    source: str, grown: RunStore, records: Path
) -> None:
    keep_runs(source, records)
    run = run_with_seed_1(RunStore(source))
    RunStore(records)._rewrite(run, {**run.read_files(), "curve.parquet": b"another"}, run.evaluations)
    before = RunStore(records).get(run.spec).files
    assert keep_runs(grown.root, records) == []
    assert RunStore(records).get(run.spec).files == before


def test_added_evaluations_that_do_not_fit_are_not_added(source: str, grown: RunStore, records: Path) -> None:
    keep_runs(source, records)
    taken = sum(path.stat().st_size for path in records.rglob("*") if path.is_file())
    with pytest.raises(RunError, match=r"with 0 new runs and 1 with more evaluations"):
        keep_runs(grown.root, records, most=(taken + 10) / 1e6)
    assert set(run_with_seed_1(RunStore(records)).evaluation.scenes["slots"]) == {2, 3}


def test_runs_that_do_not_fit_are_not_copied_at_all(source: str, records: Path) -> None:
    with pytest.raises(
        RunError, match=r"would take 0 MB with 2 new runs and 0 with more evaluations, 0\.01 MB are the most; .*--most"
    ):
        keep_runs(source, records, most=0.01)
    assert not list(records.iterdir())


def test_the_command_says_what_it_kept(
    source: str, records: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkout, "RECORDS", records)
    assert command(monkeypatch, "keep", source, "--most", "0.01") == 2
    assert "0.01 MB are the most" in capsys.readouterr().err
    assert command(monkeypatch, "keep", source) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 runs kept"
    assert command(monkeypatch, "keep", "memory://nothing") == 0
    assert capsys.readouterr().out == "0 runs kept\n"
