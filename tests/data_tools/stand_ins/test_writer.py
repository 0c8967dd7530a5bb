"""Stand-ins on disk: whole or absent, the same whatever interrupts them, and open about what they are."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from data_tools.stand_ins import RENDERER, writer
from data_tools.stand_ins import clevr as synth_clevr
from data_tools.stand_ins import movi as synth_movi
from data_tools.writing import durable
from data_tools.writing.split_writer import SplitWriteError, verify
from slotnorm.data.splits import open_split
from tests.helpers.toy_split import content

PREPARE = [synth_clevr.prepare, synth_movi.prepare]


@pytest.mark.parametrize("prepare", PREPARE)
def test_the_split_holds_the_scenes(tmp_path: Path, prepare) -> None:
    split = open_split(prepare(tmp_path / "split", count=5, size=32, seed=3))
    verify(split.folder)
    assert split["image"].shape == (5, 32, 32, 3)
    assert split["scene_id"].tolist() == [0, 1, 2, 3, 4]
    for labels, count in zip(split["segmentation"], split["num_objects"], strict=True):
        assert np.unique(labels[labels > 0]).tolist() == list(range(1, count + 1))


@pytest.mark.parametrize("prepare", PREPARE)
def test_the_manifest_says_that_it_is_a_stand_in_and_how_it_was_made(tmp_path: Path, prepare) -> None:
    manifest = open_split(prepare(tmp_path / "split", count=1, size=16, seed=3)).manifest
    assert "stand-in" in manifest.source
    assert "it is not" in manifest.source
    assert manifest.license.startswith("MIT")
    assert {"seed": 3, "size": 16, "antialias": True, "renderer": RENDERER}.items() <= (manifest.generator.items())


@pytest.mark.parametrize("prepare", PREPARE)
def test_neither_chunks_nor_the_count_change_a_scene(tmp_path: Path, prepare, monkeypatch) -> None:
    whole = prepare(tmp_path / "whole", count=7, size=16)
    fewer = open_split(prepare(tmp_path / "fewer", count=3, size=16))
    monkeypatch.setattr(writer, "PIXELS_PER_WRITE", 2 * 16 * 16)
    assert content(prepare(tmp_path / "chunks", count=7, size=16)) == content(whole)
    for name, array in open_split(whole).arrays.items():
        np.testing.assert_array_equal(fewer[name], array[:3])


def test_an_interrupted_call_goes_on_where_it_was(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(writer, "PIXELS_PER_WRITE", 2 * 16 * 16)
    render, drawn = writer.render, []

    def render_twice(scenes, size, antialias):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(len(scenes))
        return render(scenes, size, antialias)

    monkeypatch.setattr(writer, "render", render_twice)
    with pytest.raises(KeyboardInterrupt):
        synth_clevr.prepare(tmp_path / "split", count=7, size=16)
    assert not (tmp_path / "split").exists()
    monkeypatch.setattr(writer, "render", lambda *a: drawn.append(len(a[0])) or render(*a))
    resumed = synth_clevr.prepare(tmp_path / "split", count=7, size=16)
    assert drawn == [2, 2, 2, 1]
    assert content(resumed) == content(synth_clevr.prepare(tmp_path / "whole", count=7, size=16))


def test_a_finished_split_is_kept_and_another_request_refused(tmp_path: Path, monkeypatch) -> None:
    out = synth_clevr.prepare(tmp_path / "split", count=2, size=16)
    monkeypatch.setattr(writer, "render", None)  # nothing is drawn again
    assert synth_clevr.prepare(out, count=2, size=16) == out
    with pytest.raises(SplitWriteError, match=r"exists and was made by another request: delete it or choose another"):
        synth_clevr.prepare(out, count=2, size=16, seed=1)


def test_a_second_process_that_draws_the_same_is_refused(tmp_path: Path) -> None:
    held = durable.take_lock(tmp_path / "split.partial.lock")
    with pytest.raises(SplitWriteError, match=r"split\.partial is being written by another process: wait for it"):
        synth_clevr.prepare(tmp_path / "split", count=2, size=16)
    durable.release_lock(held)
    assert synth_clevr.prepare(tmp_path / "split", count=2, size=16).is_dir()


def test_a_full_disk_is_told_and_what_was_safe_is_used(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(writer, "PIXELS_PER_WRITE", 2 * 16 * 16)
    real, calls = os.pwrite, []

    def write(*arguments):
        calls.append(arguments)
        if len(calls) > 29:  # header and items of 12 arrays, then the next items
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, "pwrite", write)
    with pytest.raises(SplitWriteError, match=r"No space left on device; 2 items are safe"):
        synth_clevr.prepare(tmp_path / "split", count=7, size=16)
    monkeypatch.setattr(os, "pwrite", real)
    assert not (tmp_path / "split").exists()
    resumed = synth_clevr.prepare(tmp_path / "split", count=7, size=16)
    assert content(resumed) == content(synth_clevr.prepare(tmp_path / "whole", count=7, size=16))
