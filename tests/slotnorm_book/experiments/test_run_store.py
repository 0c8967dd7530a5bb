"""The run store: what is written comes back, what is damaged is named, and the rest of the store goes on."""

import errno
import fcntl
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.local import LocalFileSystem
from safetensors.torch import load_file, save_file

from slotnorm.training.loop import train
from slotnorm_book.checkout import RECORDS
from slotnorm_book.experiments.engine import Job, evaluate_missing, list_jobs, load_or_train
from slotnorm_book.experiments.missing_settings import find_missing_settings
from slotnorm_book.experiments.record import CURVE, SCENES, WEIGHTS
from slotnorm_book.experiments.run_store import RECORD, RUNNING, BusyError, RunError, RunStore
from slotnorm_book.experiments.store_files import UnreadableError
from tests.helpers import hostile_store, tiny
from tests.helpers.paths import ROOT
from tests.helpers.toy_split import content
from tests.slotnorm.training.test_resume import full_disk


@pytest.fixture(scope="module")
def wanted(tmp_path_factory) -> list[Job]:
    data = tiny.make_data(tmp_path_factory.mktemp("data"))
    return list_jobs(tiny.recipe(data))


@pytest.fixture(scope="module")
def filled(tmp_path_factory, wanted) -> Path:
    root = tmp_path_factory.mktemp("filled") / "store"
    for job in wanted:
        load_or_train(job, RunStore(root), tiny.QUIET)
    return root


@pytest.fixture
def store(tmp_path, filled) -> RunStore:
    """A store of its own with both runs."""
    root = tmp_path / "store"
    for name, data in content(filled).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return RunStore(root)


def test_a_run_comes_back_as_it_was(store, wanted):
    spec = wanted[1].spec
    run = store.get(spec)
    assert run.spec == spec
    trained = train(spec, wanted[1].train.open().filter(max_objects=3).loader(batch_size=4, seed=0, flip=True))
    assert tiny.equal(run.load_model(), trained.model)
    assert not run.load_model().training
    assert run.curve["loss"].tolist() == trained.curve.loss.tolist()
    assert run.curve["step"].tolist() == list(range(1, 9))
    assert len(run.evaluation.scenes) == 2 * (4 + 6)
    assert run.provenance["processes"] == 1
    assert run.provenance["data_digest"] == wanted[1].train.open().manifest.digest


def test_a_store_lists_its_runs_and_knows_what_it_lacks(store, wanted):
    assert [run.spec for run in store] == sorted((job.spec for job in wanted), key=lambda spec: spec.name)
    absent = replace(wanted[0].spec, seed=5)
    assert store.find(absent) is None
    with pytest.raises(RunError, match=f"has no run {absent.name}"):
        store.get(absent)
    assert list(RunStore("/nowhere/at/all")) == []


def test_no_file_of_a_run_is_a_pickle(filled):
    suffixes = {path.suffix for path in filled.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".parquet", ".safetensors", ".lock"}


def test_a_hostile_store_is_listed_as_damaged_and_the_rest_goes_on(store, wanted):
    reasons = hostile_store.make_hostile_store(store.local / wanted[0].spec.name, store.local)
    errors = store.damaged()
    assert len(errors) == len(reasons)
    for error, (folder, reason) in zip(errors, sorted(reasons.items()), strict=True):
        assert re.match(f"{folder}/{RECORD}: .*(?:{reason})", str(error)), error
        assert len(str(error).splitlines()) == 1
    assert [run.spec for run in store] == sorted((job.spec for job in wanted), key=lambda spec: spec.name)
    assert store.get(wanted[1].spec).load_model() is not None


@pytest.mark.parametrize("damage", hostile_store.RECORDS)
def test_a_record_that_is_no_use_is_named(store, wanted, damage):
    (bad, good), (spoil, reason) = (job.spec for job in wanted), hostile_store.RECORDS[damage]
    spoil(store.local / bad.name)
    with pytest.raises(RunError, match=f"{store.local / bad.name / RECORD}: .*(?:{reason})"):
        store.find(bad)
    assert [run.spec for run in store] == [good]


@pytest.mark.parametrize("damage", hostile_store.TABLES)
def test_a_table_that_is_no_use_is_named(store, wanted, damage):
    name, spoil, reason = hostile_store.TABLES[damage]
    spoil(store.local / wanted[0].spec.name)
    run = store.get(wanted[0].spec)
    with pytest.raises(RunError, match=f"{store.local / wanted[0].spec.name / name}: .*{reason}"):
        _ = run.curve if name == CURVE else run.evaluation


def test_a_model_that_cannot_be_built_is_named(store, wanted, monkeypatch):
    run = store.get(wanted[0].spec)

    def fail(*_):
        raise ImportError("of another package")

    monkeypatch.setattr(type(run.spec.task), "build", fail)
    reason = f"{run.address}: the model of its record cannot be built: ImportError: of another package"
    with pytest.raises(RunError, match=reason):
        run.load_model()


def test_nothing_is_written_where_a_record_points_to(store, wanted, tmp_path):
    spec, outside = wanted[0].spec, tmp_path / "outside"
    outside.write_bytes(b"mine")
    run, folder = store.get(spec), store.local / spec.name
    sha = hashlib.sha256(b"mine").hexdigest()
    for name in (str(outside), "../../outside"):
        files = {**run.files, name: sha}
        hostile_store.change_record(folder, files=files)
        with pytest.raises(RunError, match=r"Input should be 'curve\.parquet'"):
            store.add(store.get(spec), weights=False)
        wider = tuple(replace(test, slots=(2, 3, 4)) for test in wanted[0].tests)
        with pytest.raises(RunError, match=r"Input should be 'curve\.parquet'"):
            load_or_train(replace(wanted[0], tests=wider), store, tiny.QUIET)
        assert outside.read_bytes() == b"mine"


def test_the_record_of_another_run_is_named(store, wanted):
    one, other = (store.local / job.spec.name for job in wanted)
    shutil.copyfile(other / RECORD, one / RECORD)
    with pytest.raises(RunError, match=f"{one / RECORD}: is the record of another run, {other.name}"):
        store.find(wanted[0].spec)


def test_a_record_of_version_1_is_read_and_the_next_one_has_a_checksum(store, wanted):
    spec = wanted[0].spec
    before = store.get(spec)
    hostile_store.change_record(store.local / spec.name, format_version=1)
    assert "checksum" not in json.loads((store.local / spec.name / RECORD).read_bytes())
    run = store.get(spec)
    assert run == before
    store.add(run, weights=False)
    written = json.loads((store.local / spec.name / RECORD).read_bytes())
    assert (written["format_version"], len(written["checksum"])) == (2, 64)


def test_the_committed_records_can_all_be_read():
    committed = RunStore(RECORDS)
    assert committed.damaged() == []
    assert len(list(committed)) == len([path for path in RECORDS.iterdir() if path.name[0] != "."])  # but for locks


@pytest.mark.parametrize("name", ["eval.parquet", "curve.parquet", WEIGHTS])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_file_that_is_no_use_is_named(store, wanted, name, how):
    spec = wanted[0].spec
    path = store.local / spec.name / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1])) if how == "changed" else path.unlink()
    run, reason = store.get(spec), "damaged: its checksum differs" if how == "changed" else "missing"
    with pytest.raises(RunError, match=f"{path}: {reason}"):
        _ = run.read_files()[name]
    read = {"eval.parquet": lambda: run.evaluation, "curve.parquet": lambda: run.curve, WEIGHTS: run.load_model}
    with pytest.raises(RunError, match=f"{path}: {reason}"):
        read[name]()
    assert store.get(wanted[1].spec).load_model() is not None


def test_weights_of_another_shape_are_named(store, wanted):
    spec = wanted[0].spec
    folder = store.local / spec.name
    weights = load_file(folder / WEIGHTS)
    weights["slot_attention.to_q.weight"] = weights["slot_attention.to_q.weight"][:, :2].contiguous()
    save_file(weights, folder / WEIGHTS)
    hostile_store.replace_file(folder, WEIGHTS, (folder / WEIGHTS).read_bytes())
    with pytest.raises(RunError, match=rf"{folder / WEIGHTS}: does not fit the model .*to_q.weight"):
        store.get(spec).load_model()
    assert len(store.get(spec).curve) == 8


def test_a_remote_store_is_read_and_not_written(store, wanted):
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/runs/{name}": data for name, data in content(store.local).items()})
    try:
        remote = RunStore("memory://runs")
        assert [run.spec for run in remote] == [run.spec for run in store]
        run, local = remote.get(wanted[0].spec), store.get(wanted[0].spec)
        assert tiny.equal(run.load_model(), local.load_model())
        pd.testing.assert_frame_equal(run.evaluation.scenes, local.evaluation.scenes, check_exact=True)
        assert not any(find_missing_settings(remote.get(job.spec), job.tests) for job in wanted)
        for write in (
            lambda: remote.add(run, weights=False),
            lambda: remote.lock(run.spec),
            lambda: remote.checkpoint_path(run.spec),
        ):
            with pytest.raises(RunError, match="memory://runs: is read only; give a local folder"):
                write()
    finally:
        memory.rm("/runs", recursive=True)


class Replacing:
    """Replaces a run while somebody reads it: after the given number of calls of the file system."""

    def __init__(self, change, after):
        self.change, self.left = change, after

    def __call__(self, original):
        def call(*arguments, **options):
            self.left -= 1
            if self.left == 0:
                self.change()
            return original(*arguments, **options)

        return call


@pytest.mark.parametrize(("read", "after"), [("find", 1), *itertools.product(["list", "damaged"], range(1, 7))])
def test_a_reader_sees_a_run_that_is_moved_aside_and_replaced(store, wanted, monkeypatch, after, read):
    """Every call of the file system finds the run elsewhere than the one before: aside, back, aside, …"""
    spec = wanted[0].spec
    place, aside = store.local / spec.name, store.local / RUNNING / f"{spec.name}.old"
    both = sorted(job.spec.name for job in wanted)

    def move_away():
        place.rename(aside)

    def move_back():
        aside.rename(place)

    away, back = Replacing(move_away, after), Replacing(move_back, after + 1)
    for way in ("cat_file", "ls"):
        monkeypatch.setattr(LocalFileSystem, way, back(away(getattr(LocalFileSystem, way))))
    if read == "find":
        assert store.find(spec).spec == spec
    elif read == "list":
        assert [run.spec.name for run in store] == both
    else:
        assert store.damaged() == []


def test_a_run_that_was_opened_before_it_was_replaced_reads_the_new_one(store, wanted):
    job = wanted[0]
    before = store.get(job.spec)
    wider = tuple(replace(test, slots=(2, 3, 4)) for test in job.tests)
    after = evaluate_missing(store.get(job.spec), wider, store, tiny.QUIET)
    assert before.files != after.files
    pd.testing.assert_frame_equal(before.evaluation.scenes, after.evaluation.scenes, check_exact=True)
    assert before.read_files() == after.read_files()


def test_a_run_that_is_replaced_again_and_again_is_not_called_damaged(store, wanted, monkeypatch):
    run, reads = store.get(wanted[0].spec), itertools.count()
    replaced = (replace(run, files={name: f"{next(reads)}" for name in run.files}) for _ in itertools.count())
    with pytest.raises(UnreadableError, match=f"{run.address}: is replaced again and again"):
        _ = replace(run, files={SCENES: "0"}, _reopen=lambda: next(replaced)).evaluation


def test_looking_whether_a_store_can_be_written_makes_nothing(tmp_path, monkeypatch):
    store = RunStore(tmp_path / "new" / "store")
    store.check_writable()
    assert not list(tmp_path.iterdir())
    with pytest.raises(RunError, match="memory://runs: is read only"):
        RunStore("memory://runs").check_writable()
    monkeypatch.setattr("os.access", lambda place, mode: place != tmp_path)
    with pytest.raises(RunError, match=f"{store.root}: cannot be written to: {tmp_path} is read only"):
        store.check_writable()


@pytest.mark.parametrize("name", [RECORD, "eval.parquet"])
def test_a_file_that_may_not_be_read_is_not_called_damaged(store, wanted, monkeypatch, name):
    cat = LocalFileSystem.cat_file

    def forbidden(self, path, *rest, **options):
        if path.endswith(name):
            raise PermissionError(path)
        return cat(self, path, *rest, **options)

    monkeypatch.setattr(LocalFileSystem, "cat_file", forbidden)
    with pytest.raises(UnreadableError, match=rf"{name}: may not be read"):
        find_missing_settings(store.get(wanted[0].spec), wanted[0].tests)


def test_a_pruned_run_keeps_its_tables_and_says_what_it_lacks(store, wanted):
    run = store.get(wanted[0].spec)
    pruned = store.add(run, weights=False)
    assert pruned.curve.equals(run.curve)
    assert pruned.evaluation.scenes.equals(run.evaluation.scenes)
    assert pruned.provenance == run.provenance
    assert not (store.local / run.spec.name / WEIGHTS).exists()
    with pytest.raises(RunError, match=f"{run.spec.name}: has no weights"):
        pruned.load_model()


def test_a_pruned_run_cannot_be_evaluated_in_new_settings(store, wanted):
    job = wanted[0]
    pruned = store.add(store.get(job.spec), weights=False)
    assert evaluate_missing(pruned, job.tests, store) is pruned
    wider = tuple(replace(test, slots=(2, 3, 9)) for test in job.tests)
    with pytest.raises(
        RunError,
        match=r"not evaluated on few with 9 slots and 2 iterations.*has no weights, so",
    ):
        evaluate_missing(pruned, wider, store)


def test_a_full_disk_leaves_no_half_run_and_the_checkpoint(tmp_path, wanted, monkeypatch):
    job, store = wanted[0], RunStore(tmp_path / "store")
    with monkeypatch.context() as patched:
        # the checkpoint is larger than any file of the run: only a limit from here on meets the run alone
        record = store.write

        def write(*arguments, **named):
            with full_disk(size=3000):
                return record(*arguments, **named)

        patched.setattr(store, "write", write)
        with pytest.raises(OSError, match=job.spec.name):
            load_or_train(job, store, tiny.QUIET)
    assert store.find(job.spec) is None
    assert store.checkpoint_path(job.spec).exists()
    assert not (store.local / RUNNING / f"{job.spec.name}.new").exists()
    with monkeypatch.context() as patched:
        patched.setattr("slotnorm.training.loop._Loop.update", lambda *_: pytest.fail("it was trained already"))
        run = load_or_train(job, store, tiny.QUIET)
    assert len(run.curve) == 8
    assert not store.checkpoint_path(job.spec).exists()


def test_a_full_disk_leaves_the_run_that_was_to_be_extended(store, wanted):
    job = wanted[0]
    before = content(store.local / job.spec.name)
    wider = tuple(replace(test, slots=(2, 3, 4)) for test in job.tests)
    with full_disk(size=3000), pytest.raises(OSError, match=job.spec.name):
        evaluate_missing(store.get(job.spec), wider, store, tiny.QUIET)
    assert content(store.local / job.spec.name) == before


@pytest.mark.parametrize("reason", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_refused_instead_of_leaving_marks_for_ever(tmp_path, monkeypatch, reason):
    def no_locks(*_):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(RunError, match=r"store: the file system has no locks; mount it with locks"):
        RunStore(tmp_path / "store").lock(tiny.spec())


@pytest.mark.slow
def test_two_processes_do_not_make_the_same_run(tmp_path, wanted):
    spec, store = wanted[0].spec, RunStore(tmp_path / "store")
    program = (
        "from tests.helpers import tiny; from slotnorm_book.experiments.run_store import *; import sys\n"
        "with RunStore(sys.argv[1]).lock(tiny.spec()): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "store")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=rf"{tiny.spec().name}: another process \(process {other.pid} on "):
            store.lock(tiny.spec())
        with store.lock(spec):
            assert spec.name != tiny.spec().name  # another run is free
        other.kill()
    with store.lock(tiny.spec()):
        assert other.returncode == -9  # what a dead process held is free
