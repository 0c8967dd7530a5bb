import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import slotnorm.data
from data_tools.writing import durable
from data_tools.writing import manifest as store
from data_tools.writing.split_writer import ArraySpec, DataError, SplitWriteError, SplitWriter, verify
from tests.helpers import toy_split
from tests.helpers.paths import ROOT
from tests.helpers.toy_split import COUNT, content, items, make, writer


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "split"


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.helpers.toy_split", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def left_beside(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir() if path != out) if out.parent.exists() else []


def message_of(run: Callable[[], object]) -> str:
    try:
        run()
    except SplitWriteError as error:
        return str(error)
    return ""


def test_a_mount_point_is_refused_at_once(out: Path, monkeypatch: pytest.MonkeyPatch):
    """A split is renamed to its place when it is whole, and nothing can be renamed to a mount point."""
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path) == out)
    out.mkdir(parents=True)
    assert message_of(lambda: make(out)).endswith(
        "split is a mount point, which no folder can replace: name a folder in it"
    )
    assert left_beside(out) == []


def break_off(out: Path, after: int, error: BaseException) -> None:
    with writer(out) as split:
        split.append(**items(0, after))
        raise error


def test_what_is_written(out: Path):
    assert make(out) == out
    assert left_beside(out) == []
    for name, array in items(0, COUNT).items():
        stored = np.load(out / f"{name}.npy")
        assert stored.dtype == array.dtype
        np.testing.assert_array_equal(stored, array)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest.pop("arrays")["image"] == {
        "dtype": "uint8",
        "shape": [COUNT, 8, 8, 3],
        "sha256": durable.sha256(out / "image.npy"),
    }
    assert manifest.pop("digest") == slotnorm.data.open_split(out).manifest.digest
    assert manifest == {
        "format_version": 2,
        "name": "toy",
        "source": "tests",
        "license": "MIT",
        "generator": {"seed": 0, "side": [8, 8]},
        "count": COUNT,
    }


def test_writer_and_reader_mean_the_same_format():
    assert store.FORMAT_VERSION == slotnorm.data.FORMAT_VERSION


@given(st.integers(1, COUNT), st.booleans())
def test_neither_chunks_nor_a_known_count_show(tmp_path_factory: pytest.TempPathFactory, chunk: int, known: bool):
    folder = tmp_path_factory.mktemp("chunks")
    split = make(folder / "a", chunk=chunk, count=COUNT if known else None)
    assert content(split) == content(make(folder / "b"))


def test_killed_at_any_step_and_run_again_equals_an_uninterrupted_run(tmp_path: Path):
    run = program("kill", tmp_path)
    assert run.returncode == 0, run.stderr
    assert all(int(steps) > 40 for steps in run.stdout.split())  # it was killed that often


def test_an_interrupted_run_goes_on_where_it_was(out: Path):
    with pytest.raises(KeyboardInterrupt):
        break_off(out, 4, KeyboardInterrupt())
    assert left_beside(out) == ["split.partial"]
    with writer(out) as split:
        assert split.written == 4
        split.append(**items(4, COUNT))
        split.finish()
    assert content(out) == content(make(out.parent / "uninterrupted"))


@pytest.mark.parametrize("error", [DataError("record 7: damaged"), OSError(errno.EIO, "record 7: damaged")])
def test_what_was_written_before_a_read_error_stays(out: Path, error: Exception):
    with pytest.raises(type(error), match="record 7"):
        break_off(out, 4, error)
    assert left_beside(out) == ["split.partial"]
    with writer(out) as split:
        assert split.written == 4
    assert content(make(out)) == content(make(out.parent / "uninterrupted"))


@pytest.mark.parametrize("left", [None, 0, 50, 247, 249])
def test_a_complete_split_that_lost_an_array_is_made_again(out: Path, left: int | None):
    whole = content(make(out))
    (out / "x.npy").unlink() if left is None else os.truncate(out / "x.npy", left)
    with pytest.raises(KeyboardInterrupt):
        break_off(out, 4, KeyboardInterrupt())
    assert (out / "image.npy").read_bytes() == whole["image.npy"]  # what is left stays until the new one is complete
    assert content(make(out)) == whole
    assert left_beside(out) == []


@pytest.mark.parametrize("name", ["x.npy", "image.npy"])
def test_an_array_that_verify_refuses_is_made_again_once_it_is_removed(out: Path, name: str):
    whole = content(make(out))
    (out / name).write_bytes(whole[name][:-1] + bytes([whole[name][-1] ^ 1]))
    with pytest.raises(SplitWriteError, match=rf"{name}: .*remove it and make the split again"):
        verify(out)
    (out / name).unlink()
    assert content(make(out)) == whole
    verify(out)


def test_a_damaged_manifest_of_the_same_request_is_made_again(out: Path):
    whole = content(make(out))
    path = out / "manifest.json"
    checksum = json.loads(path.read_text())["arrays"]["x"]["sha256"]
    path.write_text(path.read_text().replace(checksum, checksum[::-1]))
    with pytest.raises(SplitWriteError, match=r"manifest\.json: damaged: .*make the split again"):
        verify(out)
    assert content(make(out)) == whole


def test_an_exchange_that_was_interrupted_is_finished(out: Path, monkeypatch: pytest.MonkeyPatch):
    whole = content(make(out))
    (out / "x.npy").unlink()
    real, calls = os.rename, []

    def killed(*paths: Any, **options: Any) -> None:
        calls.append(paths)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*paths, **options)

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        make(out)
    monkeypatch.undo()
    assert len(calls) == 2
    assert content(make(out)) == whole
    assert left_beside(out) == []


def test_an_unfinished_split_without_its_array_is_begun_anew(out: Path):
    make(out)
    partial = out.with_name("split.partial")
    out.rename(partial)
    (partial / "x.npy").unlink()
    assert content(make(out)) == content(make(out.parent / "whole"))


def test_splits_of_the_first_format_are_used_again(out: Path):
    make(out)
    before = slotnorm.data.open_split(out).manifest
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["digest"]
    (out / "manifest.json").write_text(json.dumps(manifest | {"format_version": 1}))
    assert slotnorm.data.open_split(out).manifest == before  # its digest too, which names the data
    with writer(out) as split:
        assert split.complete


def test_an_interrupted_split_of_the_first_format_goes_on(out: Path):
    with pytest.raises(KeyboardInterrupt):
        break_off(out, 4, KeyboardInterrupt())
    path = out.with_name("split.partial") / "progress.json"
    progress = json.loads(path.read_text())
    path.write_text(json.dumps(progress | {"request": progress["request"] | {"format_version": 1}}))
    with writer(out) as split:
        assert split.written == 4


@pytest.mark.parametrize("written", [None, -1, "4", 4.0, True, COUNT + 1])
def test_progress_that_cannot_be_is_named(out: Path, written: object):
    with pytest.raises(KeyboardInterrupt):
        break_off(out, 4, KeyboardInterrupt())
    path = out.with_name("split.partial") / "progress.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"written": written}))
    with pytest.raises(SplitWriteError, match=r"progress\.json: counts .* items: delete"):
        make(out)


@pytest.mark.parametrize("name", ["../payload", "/tmp/payload", "a/b", "", ".", "a.b", "é", "x" * 65, "a\0b"])
def test_an_array_that_is_named_like_a_path_is_refused(out: Path, name: str):
    about: Any = {"name": "", "source": "", "license": "", "generator": {}}
    with pytest.raises(DataError, match="names must be plain identifiers"):
        SplitWriter(out, **about, arrays={name: ArraySpec("int64", ())}, count=1)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_to_a_folder_that_is_empty_or_not_there_yet(out: Path, there: bool):
    target = out.parent / "disk" / "target"
    target.parent.mkdir(parents=True)
    if there:
        target.mkdir()
    out.symlink_to(target, target_is_directory=True)
    with pytest.raises(KeyboardInterrupt):
        break_off(out, 4, KeyboardInterrupt())
    assert [path.name for path in target.parent.iterdir() if path != target] == ["target.partial"]
    assert make(out) == target
    assert out.is_symlink()
    verify(out)
    assert make(out) == target


def test_a_failure_before_the_first_item_leaves_nothing(out: Path):
    with pytest.raises(RuntimeError, match="cannot start"), writer(out):
        raise RuntimeError("cannot start")
    assert not out.parent.exists()


def test_the_error_is_told_where_open_files_cannot_be_removed(out: Path, monkeypatch: pytest.MonkeyPatch):
    """As on NFS, where a removed file that is open stays under another name, and its folder is not empty."""
    real, opened, closed = os.rmdir, os.open, os.close
    descriptors: set[int] = set()

    def open_(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        descriptor = opened(path, flags, *args, **kwargs)
        descriptors.update({descriptor} if str(path).endswith(".npy") else ())
        return descriptor

    def close(descriptor: int) -> None:
        closed(descriptor)
        descriptors.discard(descriptor)

    def rmdir(*args: Any, **kwargs: Any) -> None:
        if descriptors:
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        real(*args, **kwargs)

    with monkeypatch.context() as patch:
        for name, function in {"open": open_, "close": close, "rmdir": rmdir}.items():
            patch.setattr(os, name, function)
        with pytest.raises(RuntimeError, match="cannot start"), writer(out):
            raise RuntimeError("cannot start")
    assert not out.parent.exists()


def test_an_unfinished_folder_that_cannot_be_removed_does_not_hide_the_error(
    out: Path, monkeypatch: pytest.MonkeyPatch
):
    def rmdir(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", rmdir)
        with pytest.raises(RuntimeError, match="cannot start"), writer(out):
            raise RuntimeError("cannot start")
    assert make(out) == out


def test_folders_of_the_user_stay(tmp_path: Path):
    with pytest.raises(DataError), writer(tmp_path / "split"):
        raise DataError
    assert list(tmp_path.iterdir()) == []


def test_the_same_request_reuses_a_complete_split(out: Path):
    make(out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    with writer(out) as split:
        assert (split.complete, split.written) == (True, COUNT)
        with pytest.raises(ValueError, match="nothing to append"):
            split.append(**items(0, 1))
        assert split.finish() == out
    with writer(out, count=None) as split:
        assert (split.complete, split.written) == (True, COUNT)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_another_request_is_refused(out: Path):
    make(out)
    with pytest.raises(SplitWriteError, match="made by another request: delete it or choose another folder"):
        make(out, seed=1)
    other = out.parent / "other"
    with pytest.raises(KeyboardInterrupt):
        break_off(other, 2, KeyboardInterrupt())
    with pytest.raises(SplitWriteError, match=r"other\.partial was begun with other arguments: delete it"):
        make(other, seed=1)
    assert content(make(other)) == content(out)


def test_a_folder_that_is_no_split_is_refused_and_kept(out: Path):
    out.mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(SplitWriteError, match=r"manifest\.json: cannot be read"):
        make(out)
    assert (out / "notes.txt").read_text() == "mine"
    (out / "manifest.json").write_text("[]")
    with pytest.raises(SplitWriteError, match="not a JSON object"):
        make(out)
    (out / "manifest.json").write_text("{}")
    with pytest.raises(SplitWriteError, match="another request"):
        make(out)


def test_an_empty_folder_will_do(out: Path):
    out.mkdir(parents=True)
    assert make(out) == out
    verify(out)


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SplitWriteError, match="cannot be written"):
        make(tmp_path / "file" / "split")


def test_a_damaged_partial_folder_is_refused(out: Path):
    with pytest.raises(KeyboardInterrupt):
        break_off(out, 4, KeyboardInterrupt())
    os.truncate(out.parent / "split.partial" / "x.npy", 140)
    with pytest.raises(SplitWriteError, match=r"x\.npy is shorter than progress\.json says: delete"):
        make(out)


def test_a_second_writer_is_refused(out: Path):
    with writer(out) as split:
        split.append(**items(0, 4))
        with pytest.raises(SplitWriteError, match=r"is being written by another process: wait"), writer(out):
            pass
        other = program("make", out)
        assert other.returncode != 0
        assert "split.partial is being written by another process" in other.stderr
        split.append(**items(4, COUNT))
        split.finish()
    assert content(out) == content(make(out.parent / "alone"))
    assert left_beside(out) == ["alone"]


def test_a_file_size_limit_of_the_system(tmp_path: Path):
    run = program("fill", tmp_path)
    assert run.returncode == 0, run.stderr
    assert "split: cannot write: File too large; 6 items are safe in" in run.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["split.partial"]
    assert content(make(tmp_path / "split", chunk=2)) == content(make(tmp_path / "whole"))


@pytest.mark.parametrize("function", ["pwrite", "fsync", "ftruncate", "rename"])
@pytest.mark.parametrize("call", [1, 2, 5, 8, 13, 20])
def test_a_full_disk_at_any_time(out: Path, monkeypatch: pytest.MonkeyPatch, function: str, call: int):
    whole = content(make(out.parent / "whole"))
    real, calls = getattr(os, function), 0

    def full(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls >= call:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, function, full)
    message = message_of(lambda: make(out))
    monkeypatch.undo()
    assert bool(message) == (calls >= call)
    assert calls < call or (str(out) in message and "No space left on device" in message)
    assert not out.exists() or content(out) == whole
    assert content(make(out)) == whole
    assert left_beside(out) == ["whole"]


def test_too_little_space_is_noticed_before_the_work(out: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(SplitWriteError, match=r"needs 0\.00 GB, 0\.00 GB are free: make room first"):
        make(out)
    assert not out.parent.exists()


def test_wrong_items_are_refused(out: Path):
    with writer(out) as split:
        good = items(0, 4)
        for wrong, message in [
            ({"image": good["image"]}, "append takes the arrays"),
            (good | {"x": good["x"][:2]}, r"x: expected float32 \(4, 3\), got float32 \(2, 3\)"),
            (good | {"x": good["x"].astype(np.float64)}, r"x: expected float32 \(4, 3\), got float64"),
            (items(0, COUNT + 1), "more than the declared 10"),
        ]:
            with pytest.raises(ValueError, match=message):
                split.append(**wrong)
        split.append(**good)
        with pytest.raises(ValueError, match="4 of 10 items written"):
            split.finish()
    assert not out.exists()


def test_a_writer_must_be_entered_and_finishes_once(out: Path):
    with pytest.raises(ValueError, match="nothing to append to"):
        writer(out).append(**items(0, 1))
    with pytest.raises(ValueError, match="0 of 10 items written"):
        writer(out).finish()
    with writer(out) as split:
        split.append(**items(0, COUNT))
        assert split.finish() == split.finish() == out
        with pytest.raises(ValueError, match="the split is complete"):
            split.append(**items(0, 1))
    verify(out)


def test_a_generator_must_be_json(out: Path):
    with pytest.raises(TypeError):
        SplitWriter(out, name="", source="", license="", generator={"f": print}, arrays={}, count=1)  # type: ignore[dict-item]


@given(st.integers(0, 10**12), st.sampled_from(["uint8", "float16", "int64"]))
def test_headers_have_one_length(count: int, dtype: str):
    spec = ArraySpec(dtype, (3, 5))
    assert len(spec.header(count)) == len(spec.header(0))
    assert spec.item_bytes == 15 * np.dtype(dtype).itemsize


class TestVerify:
    def test_a_good_split(self, out: Path):
        assert verify(make(out)).count == COUNT

    @pytest.mark.parametrize("position", [200, -1])
    def test_a_flipped_byte(self, out: Path, position: int):
        make(out)
        damaged = bytearray((out / "image.npy").read_bytes())
        damaged[position] ^= 1
        (out / "image.npy").write_bytes(damaged)
        with pytest.raises(SplitWriteError, match=r"image\.npy: not the content that manifest\.json records"):
            verify(out)

    def test_what_opening_finds_is_found(self, out: Path):
        make(out)
        (out / "x.npy").unlink()
        with pytest.raises(SplitWriteError, match=r"x\.npy: missing"):
            verify(out)
        with pytest.raises(SplitWriteError, match=r"nowhere/manifest\.json: missing"):
            verify(out / "nowhere")

    def test_an_exchanged_array(self, out: Path):
        make(out)
        other = toy_split.items(1, COUNT + 1)
        np.save(out / "x.npy", other["x"])
        with pytest.raises(SplitWriteError, match=r"x\.npy"):
            verify(out)
