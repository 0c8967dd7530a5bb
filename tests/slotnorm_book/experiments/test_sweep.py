"""The sweep command: its output, its exit status, and that the same command finishes after any interruption."""

import multiprocessing as mp
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fsspec.implementations.local import LocalFileSystem

from slotnorm.data.manifest import SplitError
from slotnorm.training.checkpoint import CheckpointError, read_curve, read_progress
from slotnorm.training.loop import TrainingDivergedError
from slotnorm.training.spec import Schedule
from slotnorm_book.experiments import recipes, sweep
from slotnorm_book.experiments.engine import list_jobs
from slotnorm_book.experiments.launch import local as workers
from slotnorm_book.experiments.launch.progress import Display, JobOutcome
from slotnorm_book.experiments.launch.stop import EXIT_RESUMABLE
from slotnorm_book.experiments.recipes import EXPERIMENTS
from slotnorm_book.experiments.recipes.recipe import SCALES, Recipe
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import BusyError, RunError, RunStore
from slotnorm_book.experiments.store_files import UnreadableError
from slotnorm_book.experiments.sweep_plan import list_all_jobs, make_plan
from tests.helpers import hostile_store, tiny
from tests.helpers.command import command as run_command
from tests.helpers.paths import FIXTURES, ROOT

TFRECORD = FIXTURES / "clevr_with_masks_train.tfrecords"
LONG = Schedule(steps=300, peak=1e-3, warmup=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return tiny.make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def tried(data) -> Recipe:
    return tiny.recipe(data)


@pytest.fixture(scope="module")
def expected(tried, tmp_path_factory) -> pd.DataFrame:
    """The results that every sweep must have."""
    return tables(tried, tmp_path_factory.mktemp("expected"), "train")


@pytest.fixture
def root(tmp_path, monkeypatch, data) -> str:
    monkeypatch.setitem(recipes.EXPERIMENTS, "tiny", lambda scale: tiny.recipe(data, scale=scale))
    monkeypatch.setattr(workers, "POLL_S", 0.05)
    return str(tmp_path / "store")


def tables(of: Recipe, root: str | Path, missing: str = "report") -> pd.DataFrame:
    results = collect(of, RunStore(root), missing, tiny.QUIET)
    return pd.concat([results.scenes, results.curves])


def command(monkeypatch, *arguments: str) -> int:
    """Exit status of ``slotnorm-book sweep``."""
    return run_command(monkeypatch, "sweep", *arguments)


def sweep_with_one_worker(of: Recipe, root: str, time_budget: float | None = None) -> int:
    return sweep.run_sweep([of], sweep.Request(root, "cpu", workers=1, time_budget=time_budget))


def once_it_lives(monkeypatch, then: Callable[[], None]) -> None:
    """Do something when the first worker reports its first steps."""
    update, done = Display.update, []

    def spy(display, job, step, loss):
        update(display, job, step, loss)
        if not done:
            done.append(step)
            then()

    monkeypatch.setattr(Display, "update", spy)


def test_the_list_names_every_recipe(monkeypatch, capsys):
    assert command(monkeypatch, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [tuple(line.split()[:2]) for line in lines] == [(name, scale) for name in EXPERIMENTS for scale in SCALES]
    assert "500,000 steps of 64" in next(line for line in lines if line.startswith("clevr-6-7 ") and "paper" in line)


def test_a_dry_run_tells_the_grid_and_does_nothing(monkeypatch, capsys, root):
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "tiny at smoke scale" in said
    assert "0 of 2 runs done" in said
    assert said.count("not run") == 2
    assert "no estimate" in said
    assert not RunStore(root).local.exists()


def test_a_dry_run_tells_what_is_done_what_stopped_and_how_long_the_rest_takes(monkeypatch, capsys, root, tried):
    long = replace(tried, seeds=(0, 1), variants=("weighted_mean",))
    first, second = list_jobs(long)
    collect(long.select(seeds=[0]), RunStore(root), "train", tiny.QUIET)
    asked = iter([False] * 3)
    with pytest.raises(Exception, match="stopped at step 3"):
        collect(long.select(seeds=[1]), RunStore(root), "train", replace(tiny.QUIET, stop=lambda: next(asked, True)))
    chosen = ("--variants", "weighted_mean", "--seeds", "0", "--seeds", "1")
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, *chosen, "--dry-run") == 0
    said = capsys.readouterr().out
    assert f"{first.spec.name:<40} done" in said
    curve = read_curve(RunStore(root).checkpoint_path(second.spec))
    loss = f"{float(curve.loss.mean()):.4g}"
    assert f"{second.spec.name:<40} saved at step 3 of 8: loss {loss} in the last 3 steps\n" in said
    assert "about 0 minutes of one worker are left" in said


@pytest.mark.parametrize(
    ("weights", "state"),
    [
        (True, "trained, not evaluated on few with 2, 3 slots and 2 iterations; all with 2, 3 slots and 2 iterations"),
        (False, "it has no weights, so it must be trained again; remove its folder first"),
    ],
)
def test_a_dry_run_tells_that_a_table_has_no_column(monkeypatch, capsys, root, tried, weights, state):
    store = RunStore(root)
    run = collect(tried.select(["weighted_mean"]), store, "train", tiny.QUIET).runs[0]
    scenes = run.evaluation.scenes.drop(columns="agreement")
    run = store.replace_evaluation(run, replace(run.evaluation, scenes=scenes), run.evaluations)
    if not weights:
        store.add(run, weights=False)
    chosen = ("--variants", "weighted_mean", "--dry-run")
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, *chosen) == 0
    said = capsys.readouterr().out
    assert "0 of 1 runs done" in said
    assert state in said
    assert "(no column agreement)" in said


REQUESTS = {
    "an unknown experiment": (
        ("clevr-7-6",),
        "unknown experiment 'clevr-7-6'; do you mean clevr-6-7? There are clevr-6-7, ",
    ),
    "an unknown scale": (("tiny", "--scale", "huge"), "unknown scale 'huge'; there are smoke, cpu, gpu, paper"),
    "an unknown variant": (("tiny", "--variants", "median"), "unknown variant 'median'; there are weighted_mean, "),
    "no slot": (("tiny", "--slots", "0"), "slots and iterations must be at least 1"),
    "a negative seed": (("tiny", "--seeds", "-1"), "seed must be at least 0"),
    "a slot count twice": (("tiny", "--slots", "3", "--slots", "3"), "slots must name each once"),
    "no such data": (("tiny", "--data", "/nowhere"), "data = '/nowhere': no such folder, and no stand-in"),
    "a scale without its data": (("clevr-6-7", "--scale", "paper"), "data = 'data/clevr': no such folder"),
    "no experiment": ((), "name an experiment, or --all, and a store, as in `slotnorm-book sweep clevr-6-7 "),
    "an unknown option": (("tiny", "--seed", "1"), "No such option"),
    "a seed that is no number": (("tiny", "--seeds", "one"), "Invalid value for '--seeds'"),
    "an unknown executor": (("tiny", "--executor", "slurm"), "unknown executor 'slurm'; there are local, ray"),
    "a remote store": (("tiny", "--store", "memory://runs"), "memory://runs: is read only"),
    "a store that is a file": (("tiny", "--store", __file__, "--dry-run"), "test_sweep.py: is a file; a run store is"),
    "a store within a file": (("tiny", "--store", f"{__file__}/runs"), "cannot be written to: "),
    "a store of an unknown kind": (("tiny", "--store", "foo://bar", "--dry-run"), "foo://bar: neither a folder nor"),
    "an unknown device": (("tiny", "--device", "banana"), "device must be auto, cpu, cuda or the like, got 'banana'"),
    "a device that is not here": (("tiny", "--device", "cuda:99", "--dry-run"), "device 'cuda:99' is not available"),
    "an unknown device on a cluster": (("tiny", "--device", "banana", "--executor", "ray"), "device must be auto, cpu"),
    "no such test data": (("tiny", "--test-data", "/nowhere"), "data = '/nowhere': no such folder, and no stand-in"),
    "no such file": (("tiny", "--data", "none.tfrecords"), "none.tfrecords: missing: no such file"),
    "an empty file": (("tiny", "--data", "empty.tfrecords", "--dry-run"), "empty.tfrecords: empty: 0 bytes"),
    "another file": (("tiny", "--data", "other.tfrecords"), "other.tfrecords: record 0: neither GZIP nor a TFRecord"),
    "no online data": (("tiny", "--data", "none.online.json"), "none.online.json: cannot be read"),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_a_wrong_request_is_one_line_and_status_2(monkeypatch, capsys, root, tmp_path, what):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLOTNORM_CACHE", str(tmp_path / "cache"))
    Path("empty.tfrecords").write_bytes(b"")
    Path("other.tfrecords").write_bytes(b"no records")
    arguments, reason = REQUESTS[what]
    assert command(monkeypatch, "--store", root, *arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert reason in said
    assert said.count("\n") == 1
    assert not RunStore(root).local.exists()


def test_too_few_test_scenes_are_refused_before_any_work(monkeypatch, capsys, root, tried):
    many = replace(tried, tests=(replace(tried.tests[1], scenes=9),))
    monkeypatch.setitem(recipes.EXPERIMENTS, "tiny", lambda scale: many)
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root) == 2
    assert "test has 8 suitable scenes, 9 are asked for" in capsys.readouterr().err
    assert not RunStore(root).local.exists()


def test_a_cache_that_cannot_be_made_is_refused(monkeypatch, capsys, root):
    monkeypatch.setenv("SLOTNORM_CACHE", f"{__file__}/cache")
    assert command(monkeypatch, "tiny", "--store", root, "--data", str(TFRECORD)) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {__file__}/cache")
    assert said.count("\n") == 1


@pytest.mark.parametrize("given", [(), ("--data",), ("--test-data",), ("--data", "--test-data")])
def test_training_and_test_data_are_given_on_their_own_or_together(monkeypatch, root, data, given):
    chosen = []
    monkeypatch.setattr(sweep, "run_sweep", lambda recipes, *rest: chosen.extend(recipes) or 0)
    options = [part for name in given for part in (name, f"new{name}")]
    assert command(monkeypatch, "tiny", "--store", root, *options) == 0
    train = "new--data" if "--data" in given else str(data)
    test = "new--test-data" if "--test-data" in given else train
    assert chosen[0].train.data == train
    assert {each.source.data for each in chosen[0].tests} == {test}


def test_a_store_that_may_not_be_written_or_read_is_refused_when_it_would_be(monkeypatch, capsys, root, tmp_path):
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != tmp_path)
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, "--dry-run") == 0
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root) == 2
    assert f"error: {root}: cannot be written to: {tmp_path} is read only" in capsys.readouterr().err
    Path(root).mkdir()

    def forbidden(*_, **__):
        raise PermissionError

    monkeypatch.setattr(LocalFileSystem, "ls", forbidden)
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, "--dry-run") == 2
    assert capsys.readouterr().err == f"error: {root}: may not be read; its owner can permit it\n"


def test_a_run_that_may_not_be_read_is_not_called_damaged(monkeypatch, root, tried):
    folder = Path(root) / list_jobs(tried)[0].spec.name
    folder.mkdir(parents=True)
    (folder / "record.json").touch()

    def forbidden(*_, **__):
        raise PermissionError

    monkeypatch.setattr(LocalFileSystem, "cat_file", forbidden)
    with pytest.raises(UnreadableError, match=f"{folder}/record.json: may not be read; its owner can permit it"):
        collect(tried.select(variants=[tried.variants[0]]), RunStore(root))


def test_damaged_runs_are_listed_and_the_rest_is_made(monkeypatch, capsys, root, tried, tmp_path):
    first, second = list_jobs(tried)
    collect(tried.select(variants=["batch_norm"]), RunStore(root), "train", tiny.QUIET)
    reasons = hostile_store.make_hostile_store(Path(root) / second.spec.name, Path(root))
    hostile_store.TABLES["other columns"][1](Path(root) / second.spec.name)
    made = []
    monkeypatch.setitem(sweep.EXECUTORS, "local", lambda jobs, *_: made.extend(jobs) or JobOutcome(done=list(jobs)))
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root) == 0
    assert [job.spec for job in made] == [first.spec, second.spec]
    said = capsys.readouterr().out
    assert said.count("damaged, but not of this sweep: ") == len(reasons)
    assert f"damaged: {root}/{second.spec.name}/eval.parquet: is not the table of a run: has no column slots" in said
    found = collect(tried, RunStore(root))
    assert found.damaged.keys() == {second.spec}
    assert found.missing == (first.spec, second.spec)
    reason = f"{root}/{second.spec.name}/eval.parquet: is not the table of a run: has no column slots"
    assert found.description == f"0 of 2 runs at smoke scale; damaged: {reason}"
    with pytest.raises(RunError, match=reason):
        collect(tried, RunStore(root), "train", tiny.QUIET)


def test_a_damaged_curve_is_listed(root, tried):
    collect(tried, RunStore(root), "train", tiny.QUIET)
    bad, good = list_jobs(tried)
    hostile_store.TABLES["a curve without loss"][1](Path(root) / bad.spec.name)
    found = collect(tried, RunStore(root))
    assert found.description == (
        "1 of 2 runs at smoke scale; damaged: "
        f"{root}/{bad.spec.name}/curve.parquet: is not the table of a run: has no column loss"
    )
    assert set(found.curves["variant"]) == {good.spec.variant}


def test_a_recorded_run_without_a_speed_is_no_estimate(monkeypatch, capsys, root, tried):
    collect(tried.select(variants=["batch_norm"]), RunStore(root), "train", tiny.QUIET)
    (run,) = RunStore(root)
    provenance = {**run.provenance, "steps_per_second": None}
    hostile_store.change_record(Path(root) / run.spec.name, provenance=provenance)
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, "--dry-run", "--device", "cpu") == 0
    assert "no estimate" in capsys.readouterr().out


def test_a_sweep_says_whose_lock_it_meets(monkeypatch, capsys, root, tried):
    first, second = list_jobs(tried)
    with RunStore(root).lock(first.spec):
        assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, "--jobs", "1") == EXIT_RESUMABLE
    said = capsys.readouterr()
    holder = f"{first.spec.name}: another process (process {os.getpid()} on "
    assert holder in said.err
    assert f"is working on this run in {root}; when that has ended, the same command goes on" in said.err
    assert "1 done, 1 to continue, 0 failed" in said.out
    assert [run.spec for run in RunStore(root)] == [second.spec]
    assert {path.suffix for path in (Path(root) / ".running").iterdir()} == {".lock"}


def test_processes_of_torchrun_wait_longer_than_an_evaluation_takes(monkeypatch, root):
    asked = {}

    def begin(backend, **options):
        asked.update(options, backend=backend)
        raise RuntimeError("it has begun")

    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sweep.dist, "init_process_group", begin)
    with pytest.raises(RuntimeError, match="it has begun"):
        command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, "--device", "cpu")
    assert asked["backend"] == "gloo"
    assert asked["timeout"] >= timedelta(hours=1)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (BusyError("is locked"), EXIT_RESUMABLE, "is locked; when that has ended, the same command goes on"),
        (TrainingDivergedError("loss is nan"), 1, "failed: loss is nan"),
        (RunError("it has no weights"), 1, "failed: it has no weights"),
        (CheckpointError("damaged"), 1, "failed: damaged"),
        (SplitError("damaged"), 1, "failed: damaged"),
    ],
)
def test_under_torchrun_a_run_that_cannot_be_trained_holds_up_no_other(
    monkeypatch, capsys, root, tmp_path, error, status, told
):
    tried = []

    def fail_at_first(job, store, execution):
        tried.append(job.spec.variant)
        if len(tried) == 1:
            raise error

    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    begin = sweep.dist.init_process_group
    alone = {"init_method": f"file://{tmp_path}/meeting", "rank": 0, "world_size": 1}
    monkeypatch.setattr(sweep.dist, "init_process_group", lambda backend, **options: begin(backend, **alone))
    monkeypatch.setattr(sweep, "load_or_train", fail_at_first)
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, "--device", "cpu") == status
    assert tried == ["weighted_mean", "batch_norm"]
    said = capsys.readouterr()
    assert told in said.err
    assert f"1 done, {int(status == EXIT_RESUMABLE)} to continue, {int(status == 1)} failed" in said.out


@pytest.mark.parametrize(
    ("options", "environment", "told"),
    [
        (("--executor", "ray"), {}, "leave out --executor and --jobs"),
        (("--jobs", "2"), {}, "leave out --executor and --jobs"),
        (("--device", "cuda:1"), {}, "give --device cuda, not cuda:1"),
        ((), {"WORLD_SIZE": "3"}, "tiny: 3 processes cannot share batches of 4 equally"),
        ((), {"LOCAL_RANK": ""}, "LOCAL_RANK is not; start the command by torchrun"),
    ],
)
def test_what_processes_of_torchrun_cannot_do_is_refused(monkeypatch, capsys, root, options, environment, told):
    for name, value in ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"} | environment).items():
        monkeypatch.setenv(name, value)
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, *options) == 2
    assert told in capsys.readouterr().err


def test_a_cluster_s_device_is_named(monkeypatch, capsys, root):
    assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, "--executor", "ray") == 2
    assert "with --executor ray, give --device cuda or cpu" in capsys.readouterr().err


TOGETHER = """
import os
import sys
from pathlib import Path
from slotnorm.data.manifest import SplitError
from slotnorm_book.experiments import engine, sweep
from tests.helpers import tiny
recipe = tiny.recipe(Path(sys.argv[1]))
rank = int(os.environ["RANK"])
{spoil}
sys.exit(sweep.run_sweep([recipe], sweep.Request(sys.argv[2], device="cpu")))
"""
"""One of two processes of ``torchrun``."""
ENDED_BETWEEN_THEIR_LOOKS = """
plan = sweep.make_plan
def make_plan(*arguments):
    found = plan(*arguments)
    return type(found)(found.jobs[rank:], found.text)
sweep.make_plan = make_plan
"""
"""A run ends between their looks at the store, so that the second misses one."""
DAMAGED_FOR_THE_SECOND = """
opened = []
def open_once(*arguments, really=engine._open):
    opened.append(arguments)
    if rank == 1 and len(opened) == 1:
        raise SplitError("damaged on one machine")
    return really(*arguments)
engine._open = open_once
"""
"""The second process cannot open the data of the first run."""


def run_together(spoil: str, data: Path, root: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = folder / "together.py"
    program.write_text(TOGETHER.format(spoil=spoil))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*torchrun, str(program), str(data), root]
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=300, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_processes_of_torchrun_do_the_runs_that_the_first_has_seen(data, root, tmp_path, tried):
    assert run_together(ENDED_BETWEEN_THEIR_LOOKS, data, root, tmp_path).returncode == 0
    assert {run.spec for run in RunStore(root)} == {job.spec for job in list_jobs(tried)}
    assert [run.provenance["processes"] for run in RunStore(root)] == [2, 2]


@pytest.mark.slow
def test_what_one_process_of_torchrun_cannot_open_holds_up_neither_the_others_nor_the_next_run(
    data, root, tmp_path, tried
):
    done = run_together(DAMAGED_FOR_THE_SECOND, data, root, tmp_path)
    first, *others = [job.spec for job in list_jobs(tried)]
    assert done.returncode == 1
    assert f"{first.name} failed: damaged on one machine" in done.stderr
    assert {run.spec for run in RunStore(root)} == set(others)


def test_compile_reaches_the_workers(monkeypatch, root):
    given = []
    monkeypatch.setitem(sweep.EXECUTORS, "local", lambda *arguments: given.append(arguments[2]) or JobOutcome())
    for flag in (["--compile"], []):
        assert command(monkeypatch, "tiny", "--scale", "smoke", "--store", root, *flag) == 0
    assert [execution.compile for execution in given] == [True, False]


COMPILED = """
import sys
from dataclasses import replace
from pathlib import Path
from torch import nn
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import RunStore
from tests.helpers import tiny
whole = nn.Module.compile
nn.Module.compile = lambda self: whole(self, backend="eager")
collect(tiny.recipe(Path(sys.argv[1])), RunStore(sys.argv[2]), "train", replace(tiny.QUIET, compile=True))
"""
"""Traced, but not translated to C++; in a process of its own, where shapes are not checked, which cannot be traced."""


@pytest.mark.slow
def test_a_compiled_run_follows_the_same_curve_and_says_so(data, root, tried, expected):
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, data, root], cwd=ROOT, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert [run.provenance["compiled"] for run in RunStore(root)] == [True, True]
    losses = [table["loss"].tolist() for table in (tables(tried, root), expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4, nan_ok=True)


@pytest.mark.slow
def test_runs_side_by_side_come_to_the_same_as_one_by_one(monkeypatch, capsys, root, tried, expected):
    arguments = ("tiny", "--scale", "smoke", "--store", root, "--device", "cpu", "--jobs", "2")
    assert command(monkeypatch, *arguments) == 0
    assert "2 done, 0 to continue, 0 failed" in capsys.readouterr().out
    pd.testing.assert_frame_equal(tables(tried, root), expected, check_exact=True)
    monkeypatch.setitem(sweep.EXECUTORS, "local", lambda *_: pytest.fail("everything was there"))
    assert command(monkeypatch, *arguments) == 0
    assert "2 of 2 runs done" in capsys.readouterr().out


@pytest.mark.slow
def test_a_spent_budget_is_status_75_and_the_same_command_ends_the_same(monkeypatch, capsys, root, tried, expected):
    assert sweep_with_one_worker(tried, root, time_budget=0.0) == EXIT_RESUMABLE
    assert "0 done, 2 to continue, 0 failed" in capsys.readouterr().out
    assert sweep_with_one_worker(tried, root, time_budget=3600.0) == 0
    pd.testing.assert_frame_equal(tables(tried, root), expected, check_exact=True)


@pytest.mark.slow
def test_a_worker_asked_to_stop_leaves_a_checkpoint_and_goes_on(monkeypatch, root, tried, tmp_path):
    long = replace(tried, schedule=LONG, variants=("batch_norm",))
    spec, asked = list_jobs(long)[0].spec, []
    once_it_lives(monkeypatch, lambda: asked.append(True))
    outcome = workers.run_side_by_side(list_jobs(long), root, tiny.QUIET, 1, lambda: bool(asked))
    assert [job.spec for job in outcome.stopped] == [spec]
    assert 0 < read_progress(RunStore(root).checkpoint_path(spec)) < LONG.steps
    assert sweep_with_one_worker(long, root) == 0
    pd.testing.assert_frame_equal(tables(long, root), tables(long, tmp_path / "other", "train"), check_exact=True)


@pytest.mark.slow
def test_a_worker_killed_by_signal_9_is_reported_and_the_same_command_finishes(monkeypatch, capsys, root, tried):
    long = replace(tried, schedule=LONG, variants=("weighted_mean",))
    once_it_lives(monkeypatch, lambda: [child.kill() for child in mp.active_children()])
    assert sweep_with_one_worker(long, root) == 1
    name = list_jobs(long)[0].spec.name
    assert f"{name} failed: killed by signal 9; the same command continues" in capsys.readouterr().err
    assert sweep_with_one_worker(long, root) == 0
    assert len(tables(long, root)) == LONG.steps + 20


@pytest.mark.slow
def test_a_run_that_diverges_is_status_1_and_says_why(capsys, root, tried):
    steep = replace(tried, schedule=replace(LONG, peak=1e30), variants=("weighted_mean",))
    assert sweep_with_one_worker(steep, root) == 1
    said = capsys.readouterr()
    assert "failed: TrainingDivergedError: weighted_mean, seed 0: " in said.err
    assert "0 done, 0 to continue, 1 failed" in said.out


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def tiny_sweep(data: Path, root: str) -> tuple[list[str], dict[str, Any]]:
    """Arguments of a process that sweeps the tiny recipe, and options of ``Popen``."""
    program = [sys.executable, "-m", "tests.helpers.tiny", "sweep", "tiny", "--scale", "smoke"]
    options = {"cwd": ROOT, "env": os.environ | {"TINY_DATA": str(data)}, "start_new_session": True}
    return [*program, "--store", root, "--device", "cpu"], options


@pytest.mark.slow
def test_two_sweeps_at_once_share_the_runs(data, tried, root, expected):
    """Each run is trained by one of them; neither fails, and all runs are there when both have ended."""
    program, options = tiny_sweep(data, root)
    started = [
        subprocess.Popen(
            [*program, "--jobs", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=600) for process in started]
    assert {process.returncode for process in started} <= {0, EXIT_RESUMABLE}, said
    pd.testing.assert_frame_equal(tables(tried, root), expected, check_exact=True)  # which trains nothing
    trained = [path.name for path in Path(root).iterdir() if (path / "record.json").exists()]
    assert sorted(trained) == sorted(spec.name for spec in tried.runs())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_control_c_at_once_is_status_75_and_the_runs_go_on(data, tried, root, expected):
    program, options = tiny_sweep(data, root)
    with subprocess.Popen([*program, "--jobs", "2"], stderr=subprocess.PIPE, text=True, **options) as process:
        while len(children(process.pid)) < 2:  # multiprocessing's tracker and the first worker, in the midst of imports
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=600)  # imports alone take minutes on a busy machine
    assert process.returncode == EXIT_RESUMABLE, said
    assert "Traceback" not in said
    pd.testing.assert_frame_equal(tables(tried, root, "train"), expected, check_exact=True)


@pytest.fixture
def two_experiments(monkeypatch, data) -> list[Recipe]:
    """Two experiments that share runs: the second has a variant and a test set of its own."""
    first = tiny.recipe(data, scale="smoke")
    test = replace(first.tests[0], label="more slots", slots=(4,))
    second = replace(first, experiment="second", variants=(first.variants[0], "layer_norm"), tests=(test,))
    both = [replace(each, seeds=(0, 1)) for each in (first, second)]
    monkeypatch.setattr(sweep, "choose_all_recipes", lambda scale: both)
    return both


def test_all_experiments_have_their_runs_with_a_seed_before_any_has_the_next(two_experiments):
    first, second = two_experiments
    jobs = list_all_jobs(two_experiments)
    seeds = [job.spec.seed for job in jobs]
    assert seeds == sorted(seeds)
    variants = [*first.variants, "layer_norm"]
    assert [job.spec.variant for job in jobs] == [*variants, *variants]
    shared = {job.spec.variant: job.tests for job in jobs}
    assert shared[first.variants[0]] == (*first.tests, *second.tests)
    assert shared["layer_norm"] == second.tests
    assert shared[first.variants[1]] == first.tests


def test_a_run_of_two_experiments_counts_as_done_for_the_one_that_misses_nothing(root, two_experiments):
    first, second = two_experiments
    tables(first, root, "train")
    text = make_plan(two_experiments, root, "cpu").text
    assert f"  {first.experiment:<16} 4 of 4" in text
    assert f"  {second.experiment:<16} 0 of 4" in text
    assert ": 2 of 6 runs done" in text


@pytest.mark.slow
def test_one_command_sweeps_all_and_brings_deleted_runs_back_with_the_same_bytes(
    monkeypatch, capsys, root, two_experiments
):
    sweep_all = ("--all", "--scale", "smoke", "--store", root, "--device", "cpu", "--jobs", "2")
    assert command(monkeypatch, *sweep_all) == 0
    said = capsys.readouterr().out
    assert "2 experiments at smoke scale" in said
    for each in two_experiments:
        assert f"  {each.experiment:<16} 0 of {len(each.runs())}" in said
        tables(each, root)  # complains of whatever is missing
    before, names = contents(root), [run.spec.name for run in RunStore(root)]
    for name in random.Random(0).sample(names, 3):
        shutil.rmtree(Path(root, name))
    assert command(monkeypatch, *sweep_all) == 0
    assert f": {len(names) - 3} of {len(names)} runs done" in capsys.readouterr().out
    assert contents(root) == before


def contents(root: str) -> dict[str, bytes]:
    """Bytes of weights, curves and tables of all runs; records also say when and where a run was made."""
    files = (path for path in Path(root).glob("*/*") if path.name != "record.json")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.mark.parametrize("wrong", [("--all", "tiny"), ("--all", "--seeds", "0"), ()])
def test_a_sweep_names_one_experiment_or_takes_all_as_they_are(monkeypatch, capsys, root, wrong):
    assert command(monkeypatch, *wrong, "--store", root) == 2
    assert "--all" in capsys.readouterr().err
