"""What a chapter's data parameter may say, and what comes of it."""

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest

from data_tools import catalog
from data_tools.catalog import FEATURES, PICTURES, STAND_INS, cache_folder, identity, makes, open_data
from data_tools.features import stand_ins as stand_in_features
from data_tools.writing import durable
from data_tools.writing.durable import DataError
from data_tools.writing.split_writer import SplitWriteError
from slotnorm.data.manifest import SplitError
from slotnorm_book.experiments import data_sources as sources
from tests.data_tools.features import vit
from tests.helpers.paths import FIXTURES

FIXTURE = FIXTURES / "clevr_with_masks_train.tfrecords"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SLOTNORM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_is_where_the_environment_says(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.delenv("SLOTNORM_CACHE")
    assert cache_folder().name == "slotnorm"


def test_a_tfrecord_is_converted_once_per_size(cache):
    first = open_data(FIXTURE, image_size=16, scenes=1)
    assert len(first) == 8
    assert first["image"].shape == (8, 16, 16, 3)
    made = (first.folder / "manifest.json").stat().st_mtime_ns
    again = open_data(FIXTURE, image_size=16, scenes=1)
    assert (again.folder / "manifest.json").stat().st_mtime_ns == made
    open_data(FIXTURE, image_size=32, scenes=1)
    assert len([folder for folder in cache.iterdir() if folder.is_dir()]) == 2


def test_a_file_that_changed_is_converted_anew(tmp_path):
    copy = tmp_path / "scenes.tfrecords"
    copy.write_bytes(FIXTURE.read_bytes())
    before = open_data(copy, image_size=16, scenes=1).folder
    os.utime(copy, (0, 0))  # some file systems count whole seconds, so that writing it again may leave its time
    assert open_data(copy, image_size=16, scenes=1).folder != before


def test_a_prepared_split_is_opened_where_it_is():
    folder = open_data(FIXTURE, image_size=16, scenes=1).folder
    assert open_data(str(folder), image_size=16, scenes=1).folder == folder


def test_images_of_another_size_are_refused():
    folder = open_data(FIXTURE, image_size=16, scenes=1).folder
    with pytest.raises(SplitError, match=r"image.npy: images are 16x16, but image_size is 32"):
        open_data(folder, image_size=32, scenes=1)


@pytest.mark.parametrize("name", PICTURES)
def test_a_stand_in_is_drawn_on_first_use_and_says_what_it_is(name):
    split = open_data(name, image_size=16, scenes=2, seed=3)
    assert split["image"].shape == (2, 16, 16, 3)
    assert "stand-in" in split.manifest.license
    assert np.array_equal(open_data(name, image_size=16, scenes=2, seed=3)["image"], split["image"])
    assert not np.array_equal(open_data(name, image_size=16, scenes=2, seed=4)["image"], split["image"])


@pytest.mark.parametrize("data", ["synth-clevr", FIXTURE])
def test_who_comes_second_waits_for_the_first_and_says_so(cache, monkeypatch, capsys, data):
    folder = open_data(data, image_size=16, scenes=2).folder
    folder.rename(cache / "made")
    lock = cache / f"{folder.name}.partial.lock"
    held, waits = durable.take_lock(lock), []

    def the_first_finishes(_: float) -> None:
        waits.append(1)
        (cache / "made").rename(folder)
        durable.release_lock(held)

    monkeypatch.setattr("time.sleep", the_first_finishes)
    assert open_data(data, image_size=16, scenes=2).folder == folder
    assert waits == [1]
    said = f"{folder}.partial is being written by another process: .*; waiting for it, at most 24 hours"
    assert re.search(said, capsys.readouterr().err)


@pytest.mark.parametrize("data", ["synth-clevr", FIXTURE])
def test_a_complete_split_is_opened_without_its_lock(cache, capsys, data):
    """Also from a folder that cannot be written, in which no lock can be taken."""
    folder = open_data(data, image_size=16, scenes=2).folder
    with durable.take_lock(cache / f"{folder.name}.partial.lock"):
        assert open_data(data, image_size=16, scenes=2).folder == folder
    assert capsys.readouterr().err == ""


def test_waiting_for_another_process_has_an_end(cache, monkeypatch):
    folder = open_data("synth-clevr", image_size=16, scenes=2).folder
    folder.rename(cache / "made")
    held = durable.take_lock(cache / f"{folder.name}.partial.lock")
    monkeypatch.setattr("data_tools.catalog.MOST_WAIT_S", 0.0)
    with pytest.raises(DataError, match=r"is being written by another process: .*; waited 0 hours for it$"):
        open_data("synth-clevr", image_size=16, scenes=2)
    durable.release_lock(held)


@pytest.mark.parametrize("data", ["synth-clevr", "synth-movi-c-features", FIXTURE])
def test_a_cached_split_that_lost_an_array_is_made_again(cache, monkeypatch, data):
    monkeypatch.setattr(stand_in_features, "STAND_IN_WEIGHTS", vit.saved(cache.parent / "vit.safetensors"))
    split = open_data(data, image_size=32, scenes=2)
    image = split["image"]
    for lost in cache.glob("*/image.npy"):
        lost.unlink()
    again = open_data(data, image_size=32, scenes=2)
    assert again.folder == split.folder
    np.testing.assert_array_equal(again["image"], image)


def test_the_parts_of_the_published_tfrecord_share_no_scene(cache, monkeypatch):
    monkeypatch.setattr("data_tools.converters.clevr_file.SPLIT_COUNTS", (5, 1, 2))  # of the 8 of the fixture
    parts = [open_data(FIXTURE, image_size=16, scenes=1, seed=part) for part in range(3)]
    assert [part["scene_id"].tolist() for part in parts] == [[0, 1, 2, 3, 4], [5], [6, 7]]
    assert len({part.folder for part in parts}) == 1
    names = {identity(str(FIXTURE), image_size=16, scenes=1, seed=part) for part in range(3)}
    assert len(names) == 3
    assert identity(str(parts[0].folder), image_size=16, scenes=1) not in names


@pytest.mark.parametrize("data", ["synth-clevr", "synth-movi-c-features", FIXTURE])
def test_a_cache_that_cannot_be_written_names_the_variable_that_moves_it(cache, monkeypatch, data):
    monkeypatch.setattr(stand_in_features, "STAND_IN_WEIGHTS", vit.saved(cache.parent / "vit.safetensors"))
    cache.write_text("a file, in which no folder can be made")
    with pytest.raises(DataError, match=r"cannot be written: .*; set SLOTNORM_CACHE to a folder") as error:
        open_data(data, image_size=32, scenes=2)
    assert str(error.value).count("SLOTNORM_CACHE") == 1


def test_a_full_disk_asks_for_room_and_not_for_another_folder(cache, monkeypatch):
    def fill(*_, **__):
        full = OSError(errno.ENOSPC, "No space left on device")
        raise SplitWriteError("5 items are safe; make room and run the same command again") from full

    monkeypatch.setattr(catalog, "open_split", fill)
    with pytest.raises(DataError, match=r"make room and run the same command again$"):
        open_data("synth-clevr", image_size=32, scenes=2)


@pytest.mark.parametrize("name", ["CLEVR.TFRECORD", "clevr.tfrecord.gz", "clevr.TFRecords"])
def test_a_tfrecord_of_any_suffix_is_one(tmp_path, name):
    copy = tmp_path / name
    copy.write_bytes(FIXTURE.read_bytes())
    assert makes(str(copy))
    assert len(open_data(copy, image_size=16, scenes=1)) == 8


def test_nothing_is_left_of_a_file_that_is_not_there(cache):
    with pytest.raises(DataError, match=r"missing.tfrecords: missing"):
        open_data("missing.tfrecords", image_size=16, scenes=1)
    assert not cache.exists() or not any(cache.iterdir())


@pytest.mark.parametrize("name", FEATURES)
def test_features_of_a_stand_in_are_added_to_its_pictures(name, cache, monkeypatch):
    monkeypatch.setattr(stand_in_features, "STAND_IN_WEIGHTS", vit.saved(cache.parent / "vit.safetensors"))
    split = open_data(name, image_size=32, scenes=3, seed=1)
    assert split["features"].shape == (3, 16, 24)
    np.testing.assert_array_equal(split["image"], open_data(FEATURES[name], image_size=32, scenes=3, seed=1)["image"])
    assert open_data(name, image_size=32, scenes=3, seed=1).folder == split.folder
    before = identity(name, image_size=32, scenes=3)
    monkeypatch.setattr(stand_in_features, "STAND_IN_WEIGHTS", vit.saved(cache.parent / "other.safetensors"))
    assert identity(name, image_size=32, scenes=3) != before
    assert open_data(name, image_size=32, scenes=3, seed=1).folder != split.folder
    with pytest.raises(DataError, match="image_size must be 32, which the stand-in backbone reads, got 64"):
        open_data(name, image_size=64, scenes=3)


def test_without_the_stand_in_backbone_it_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setattr(stand_in_features, "STAND_IN_WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(DataError, match=r"none\.safetensors: the stand-in backbone is missing: run python"):
        open_data("synth-movi-c-features", image_size=32, scenes=3)
    (tmp_path / "none.safetensors").write_bytes(b"no weights")
    with pytest.raises(DataError, match=r"none\.safetensors: damaged"):
        open_data("synth-movi-c-features", image_size=32, scenes=3)


def test_the_package_knows_the_same_stand_ins():
    assert sources.list_stand_ins() == list(STAND_INS)
