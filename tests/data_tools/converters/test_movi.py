"""MOVi's converter against the fixtures, whose expectation holds the first and the last frame of every clip."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from data_tools.converters import movi
from data_tools.converters.command import movi as movi_command
from data_tools.converters.resampling import resize_images, resize_masks
from data_tools.tfrecord import tfds
from data_tools.tfrecord.records import read_records
from data_tools.writing.durable import DataError
from data_tools.writing.split_writer import SplitWriteError, SplitWriter, verify
from slotnorm.data.splits import open_split
from tests.data_tools.converters.movi_folder import DATA_DIR, FIXTURES, convert, copy, edit_info, write_records

EXPECTED = np.load(FIXTURES / "movi_expected.npz", allow_pickle=False)
CLIPS = [("movi_c", "train", 3), ("movi_c", "validation", 1), ("movi_c", "test", 2), ("movi_d", "test", 1)]


@pytest.mark.parametrize(("dataset", "split", "clips"), CLIPS)
def test_frames_masks_and_counts_are_the_expected_ones_byte_for_byte(
    tmp_path: Path, dataset: str, split: str, clips: int
) -> None:
    made = open_split(convert(tmp_path / "out", dataset, split, size=128))
    assert len(made) == 24 * clips
    for clip in range(clips):
        rows = np.flatnonzero((made["clip_id"] == clip) & np.isin(made["frame_id"], (0, 23)))
        expected = f"{dataset}/{split}/{clip}"
        np.testing.assert_array_equal(made["image"][rows], EXPECTED[f"{expected}/video"])
        np.testing.assert_array_equal(made["segmentation"][rows], EXPECTED[f"{expected}/seg"][..., 0])
        assert (made["num_objects"][made["clip_id"] == clip] == EXPECTED[f"{expected}/n"]).all()


def test_a_clip_is_known_by_its_name_and_not_by_its_place_in_the_file(tmp_path: Path) -> None:
    made = open_split(convert(tmp_path / "out", size=128))
    assert made["clip_id"].tolist() == [1] * 24 + [0] * 24
    assert made["frame_id"].tolist() == [*range(24)] * 2
    assert made["scene_id"].tolist() == [*range(24, 48), *range(24)]


def test_the_prepared_split_verifies_and_says_where_it_comes_from(tmp_path: Path) -> None:
    manifest = verify(convert(tmp_path / "out", size=64, max_instances=6))
    assert manifest.name == "movi_c/test"
    arguments = manifest.generator["arguments"]
    assert arguments["config"] == "128x128"
    assert arguments["size"] == 64
    assert arguments["max_instances"] == 6
    assert "bicubic, a = -0.75" in arguments["frames"]


def test_frames_and_masks_are_scaled(tmp_path: Path) -> None:
    full, small = (open_split(convert(tmp_path / str(size), size=size)) for size in (128, 112))
    assert small.arrays["image"].shape == (48, 112, 112, 3)
    for clip in (slice(24), slice(24, 48)):  # as the converter does, so that every sum is rounded alike
        images, masks = torch.from_numpy(full["image"][clip]), torch.from_numpy(full["segmentation"][clip])
        np.testing.assert_array_equal(small["image"][clip], resize_images(images, 112))
        np.testing.assert_array_equal(small["segmentation"][clip], resize_masks(masks, 112))


def test_max_instances_leaves_out_whole_clips(tmp_path: Path) -> None:
    made = open_split(convert(tmp_path / "out", split="train", max_instances=3))
    assert len(made) == 48
    assert set(made["clip_id"]) == {0, 2}
    assert set(made["num_objects"]) == {3}
    with pytest.raises(DataError, match="no clip of split 'train' has at most 2 instances"):
        convert(tmp_path / "none", split="train", max_instances=2)
    assert not (tmp_path / "none").exists()


def test_the_command_converts_every_split_or_the_one_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movi_command(tfds=DATA_DIR, out=tmp_path / "all", size=16)
    assert capsys.readouterr().out.split() == [str(tmp_path / "all" / name) for name in movi.SPLITS]
    assert [len(open_split(tmp_path / "all" / name)) for name in movi.SPLITS] == [72, 24, 48]
    movi_command(tfds=DATA_DIR, out=tmp_path / "one", dataset="movi_d", split="test", size=16)
    assert len(open_split(tmp_path / "one")) == 24


@pytest.mark.parametrize("depth", ["", "movi_c", "movi_c/128x128", "movi_c/128x128/1.0.0"])
def test_any_folder_from_the_data_directory_down_will_do(depth: str) -> None:
    found, info = tfds.open_tfds(DATA_DIR / depth, "movi_c", "1.0.0", None, preferred="256x256")
    assert found == DATA_DIR / "movi_c" / "128x128" / "1.0.0"
    assert info["name"] == "movi_c"


def test_of_several_configurations_the_preferred_or_the_chosen_one_is_taken(tmp_path: Path) -> None:
    data_dir, folder = tmp_path, copy(tmp_path)
    shutil.copytree(folder, data_dir / "movi_c" / "256x256" / "1.0.0")
    edit_info(data_dir / "movi_c" / "256x256" / "1.0.0", configName="256x256")
    assert tfds.open_tfds(data_dir, "movi_c", "1.0.0", None, "256x256")[0].parent.name == "256x256"
    assert tfds.open_tfds(data_dir, "movi_c", "1.0.0", "128x128", "256x256")[0] == folder
    with pytest.raises(DataError, match=r"no configuration '64x64' of movi_c; it has \['128x128', '256x256'\]"):
        tfds.open_tfds(data_dir, "movi_c", "1.0.0", "64x64", "256x256")
    with pytest.raises(DataError, match="choose one with --config"):
        tfds.open_tfds(data_dir, "movi_c", "1.0.0", None, "512x512")


def test_several_shards_are_read_in_order_and_the_first_of_them_skipped(tmp_path: Path) -> None:
    folder = copy(tmp_path / "data")
    records = list(read_records(folder / "movi_c-train.tfrecord-00000-of-00001", most=1 << 28))
    (folder / "movi_c-train.tfrecord-00000-of-00001").unlink()
    write_records(folder / "movi_c-train.tfrecord-00000-of-00002", records[:2])
    write_records(folder / "movi_c-train.tfrecord-00001-of-00002", records[2:])
    # As older versions of TFDS write it: no template and no file format.
    edit_info(folder, fileFormat=None, splits=[{"name": "train", "shardLengths": ["2", "1"]}])
    one, two = (convert(tmp_path / d.name, split="train", data_dir=d) for d in (DATA_DIR, folder))
    for name in ("image", "segmentation", "clip_id"):
        np.testing.assert_array_equal(open_split(one)[name], open_split(two)[name])
    (folder / "movi_c-train.tfrecord-00000-of-00002").write_bytes(b"never opened")
    source = tfds.open_tfds_split(*tfds.open_tfds(folder, "movi_c", "1.0.0", None, ""), "train", 1 << 28)
    assert [(shard.name[-14:-9], index) for shard, index, _ in source.records(start=2)] == [("00001", 0)]


@pytest.mark.parametrize("max_instances", [None, 6])
def test_an_interrupted_conversion_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_instances: int | None
) -> None:
    whole = convert(tmp_path / "whole", split="train", max_instances=max_instances)
    append, calls = SplitWriter.append, []

    def append_once(writer: SplitWriter, **arrays: np.ndarray) -> None:
        calls.append(len(arrays["image"]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        append(writer, **arrays)

    monkeypatch.setattr(SplitWriter, "append", append_once)
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "again", split="train", max_instances=max_instances)
    assert not (tmp_path / "again").exists()
    again = convert(tmp_path / "again", split="train", max_instances=max_instances)
    assert len(calls) == 1 + (3 if max_instances is None else 2)  # no clip is converted twice
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {p.name: p.read_bytes() for p in whole.iterdir()}


def test_a_finished_conversion_is_left_as_it_is_and_another_one_refused(tmp_path: Path) -> None:
    made = convert(tmp_path / "out")
    before = (made / "image.npy").stat().st_mtime_ns
    assert convert(tmp_path / "out") == made
    assert (made / "image.npy").stat().st_mtime_ns == before
    with pytest.raises(SplitWriteError, match="made by another request"):
        convert(tmp_path / "out", size=16)


@pytest.mark.parametrize("dataset", ["movi_a", "movi_b", "movi_e"])
def test_the_other_data_sets_are_read_by_the_same_command(tmp_path: Path, dataset: str) -> None:
    expected, inner = np.load(FIXTURES / "movi_a_expected.npz"), Path("16x16", "1.0.0")
    folder = Path(shutil.copytree(DATA_DIR / "movi_a" / inner, tmp_path / dataset / inner))
    for shard in folder.glob("movi_a-*"):
        shard.rename(folder / shard.name.replace("movi_a", dataset))
    edit_info(folder, name=dataset)
    movi_command(tfds=tmp_path, out=tmp_path / "out", dataset=dataset, size=16)
    for split, clips in (("train", (0, 1)), ("validation", (2,))):
        made = open_split(tmp_path / "out" / split)
        assert set(made["clip_id"]) == set(clips)
        assert ("Poly Haven" in made.manifest.license) == (dataset == "movi_e")
        for clip in clips:
            rows = np.flatnonzero((made["clip_id"] == clip) & np.isin(made["frame_id"], (0, 23)))
            np.testing.assert_array_equal(made["image"][rows], expected[f"{clip}/video"])
            np.testing.assert_array_equal(made["segmentation"][rows], expected[f"{clip}/seg"][..., 0])
            assert (made["num_objects"][rows] == expected[f"{clip}/n"]).all()
