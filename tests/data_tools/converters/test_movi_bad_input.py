"""MOVi's converter on bad input: every error names the file and what is wrong, and what was verified stays."""

import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from data_tools.converters import movi
from data_tools.converters.command import movi as movi_command
from data_tools.tfrecord import tfds
from data_tools.tfrecord.example import RecordError
from data_tools.tfrecord.records import read_records
from data_tools.writing.durable import DataError
from tests.data_tools.converters.movi_folder import DATA_DIR, convert, copy, edit_info, write_records
from tests.helpers.toy_split import content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of MOVi-C's folder to be damaged."""
    return copy(tmp_path / "data")


def png(mode: str = "RGB", side: int = 128) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (side, side)).save(stream, "PNG")
    return stream.getvalue()


def bomb(side: int) -> bytes:
    """A PNG whose header promises a picture of another size than its pixels make."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return png()[:12] + header + struct.pack(">I", zlib.crc32(header)) + png()[33:]


def varint(value: int) -> bytes:
    head = b""
    while value >= 0x80:
        head += bytes([value & 0x7F | 0x80])
        value >>= 7
    return head + bytes([value])


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def example(**changes: list[bytes] | int | None) -> bytes:
    """A record of black frames; strings make a bytes list, a number an integer list, None leaves the feature out."""
    features: dict[str, list[bytes] | int | None] = {
        "metadata/video_name": [b"7"],
        "metadata/num_instances": 3,
        "metadata/height": 128,
        "metadata/width": 128,
        "video": [png()] * 24,
        "segmentations": [png("L")] * 24,
    }
    entries = b""
    for name, value in (features | {key.replace("__", "/"): v for key, v in changes.items()}).items():
        if value is None:
            continue
        strings = b"" if isinstance(value, int) else b"".join(field(1, string) for string in value)
        kind = field(3, field(1, varint(value))) if isinstance(value, int) else field(1, strings)
        entries += field(1, field(1, name.encode()) + field(2, kind))
    return field(1, entries)


def test_the_hand_made_record_is_a_good_one() -> None:
    clip = movi.parse_clip(example())
    assert (clip.name, clip.num_instances) == (7, 3)
    assert clip.video.shape == (24, 128, 128, 3)
    assert clip.segmentations.shape == (24, 128, 128)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (example(video=[png()[:-20]] + [png()] * 23), "'video' frame 0 is no PNG, or a truncated or damaged one"),
        (example(video=[png()] * 23 + [png()[:60]]), "'video' frame 23 is no PNG, or a truncated"),
        (example(segmentations=[b"GIF89a"] * 24), "'segmentations' frame 0 is no PNG"),
        (example(segmentations=[b""] * 24), "'segmentations' frame 0 is no PNG"),
        (example(video=[png("L")] * 24), r"'video' frame 0 is L \(128, 128\), expected RGB \(128, 128\)"),
        (example(segmentations=[png("RGB")] * 24), "'segmentations' frame 0 is RGB"),
        (example(video=[png(side=64)] * 24), r"'video' frame 0 is RGB \(64, 64\), expected RGB \(128, 128\)"),
        (example(video=[png()] * 23), "'video' has 23 frames, MOVi's clips have 24"),
        (example(video=None), "feature 'video' is missing"),
        (example(segmentations=None), "feature 'segmentations' is missing"),
        (example(metadata__num_instances=None), "feature 'metadata/num_instances' is missing"),
        (example(metadata__num_instances=[b"3"]), "'metadata/num_instances' is a list of bytes, expected int64"),
        (example(metadata__video_name=[b"kitchen"]), "metadata/video_name is .*kitchen.*, expected one number"),
        (
            example(metadata__video_name=[b"9" * 10]),
            "video_name is .*, expected one number of up to nine digits",
        ),
        (example(metadata__video_name=[b"9" * 9999]), "metadata/video_name is .*, expected one number"),
        (example(metadata__video_name=["²".encode()]), "metadata/video_name is .*, expected one number"),
        (example(metadata__height=0), "frames are 0x128 pixels, MOVi's have at most 512x512"),
        (example(metadata__width=1 << 62), "frames are 128x4611686018427387904 pixels"),
        (example(video=[bomb(9_000)] * 24), r"'video' frame 0 is RGB \(9000, 9000\), expected RGB \(128, 128\)"),
        (example(video=[bomb(60_000)] * 24), "'video' frame 0 is no PNG, or .*60000.*decompression bomb"),
        (example(video=[bomb(0)] * 24), "'video' frame 0 is "),
        (b"", "not a tf.train.Example"),
    ],
)
def test_a_record_that_is_not_movis_is_named_and_nothing_kept(
    tmp_path: Path, folder: Path, record: bytes, message: str
) -> None:
    shard = folder / "movi_c-validation.tfrecord-00000-of-00001"
    write_records(shard, [record])
    with pytest.raises(RecordError, match=rf"movi_c-validation.*: record 0: .*{message}"):
        convert(tmp_path / "out" / "val", split="validation", data_dir=folder)
    assert not list(tmp_path.glob("out/*"))


def test_another_dataset_version_split_or_format_is_refused(tmp_path: Path, folder: Path) -> None:
    def refused(message: str, dataset: str = "movi_c", split: str = "test") -> None:
        with pytest.raises(DataError, match=message):
            convert(tmp_path / "out", dataset, split, data_dir=folder)
        assert not (tmp_path / "out").exists()

    refused(r"dataset_info.json: is dataset 'movi_c', not 'movi_d'", dataset="movi_d")
    refused(r"has no split 'val'; it has \['test', 'train', 'validation'\]", split="val")
    edit_info(folder, fileFormat="array_record")
    refused(
        f"its shards are 'array_record' files: make tfrecord of them with: "
        f"tfds convert_format --dataset_dir={folder} --out_file_format=tfrecord --out_dir=NEW"
    )
    edit_info(folder, version="2.0.0")
    refused(r"dataset_info.json: is version 2.0.0 of movi_c, this program reads 1.0.0")
    (folder / tfds.INFO).write_text('{"name": "movi_c",')
    refused(r"dataset_info.json: cannot be read")
    (folder / tfds.INFO).unlink()
    refused(r"no dataset_info.json in or below it: pass the folder that TFDS wrote, .../movi_c/CONFIG/1.0.0")


def test_an_unfinished_split_is_refused(tmp_path: Path, folder: Path) -> None:
    edit_info(folder, splits=[{"name": "test"}])
    with pytest.raises(DataError, match="lists no shards of split 'test'"):
        convert(tmp_path / "out", data_dir=folder)


def shards(**changes: object) -> dict[str, object]:
    return {"name": "test", "shardLengths": ["3"]} | changes


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([], "lists none of the splits train, validation, test; it has []"),
        ([{"name": "other"}], "lists none of the splits train, validation, test; it has ['other']"),
        ([1], "splits must be a list of objects that have a name, got [1]"),
        ([{"shardLengths": ["1"]}], "splits must be a list of objects that have a name, got [{"),
        ({"train": 1}, "splits must be a list of objects that have a name, got {'train': 1}"),
        ([{"name": "test", "shardLengths": ["x"]}], "shardLengths of split 'test' must be a list of counts, got ['x']"),
        ([{"name": "test", "shardLengths": [-1]}], "shardLengths of split 'test' must be a list of counts, got [-1]"),
        ([{"name": "test", "shardLengths": 3}], "shardLengths of split 'test' must be a list of counts, got 3"),
    ],
)
def test_splits_that_are_not_listed_as_tfds_does_are_refused(
    tmp_path: Path, folder: Path, splits: object, message: str
) -> None:
    edit_info(folder, splits=splits)
    with pytest.raises(DataError, match=f"{tfds.INFO}: {re.escape(message)}"):
        movi_command(tfds=folder, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ["movi_c"]}, "is dataset ['movi_c'], not 'movi_c'"),
        ({"version": {}}, "is version {} of movi_c, this program reads 1.0.0"),
        ({"fileFormat": []}, "its shards are [] files"),
        ({"splits": [{"name": "test", "shardLengths": ["9" * 10]}]}, "must be a list of counts, got ['9999999999']"),
        ({"splits": [{"name": "test", "shardLengths": [True]}]}, "must be a list of counts, got [True]"),
        ({"splits": [{"name": "test", "shardLengths": ["²"]}]}, "must be a list of counts, got ['²']"),
        ({"splits": [shards(filepathTemplate=["x"])]}, "filepathTemplate of split 'test' must be a name, got "),
        ({"splits": [shards(filepathTemplate="../{SPLIT}")]}, "a shard cannot be named '../test'"),
        ({"splits": [shards(filepathTemplate="/etc/passwd")]}, "a shard cannot be named '/etc/passwd'"),
        ({"splits": [shards(filepathTemplate="{SPLIT}" * 25)], "name": "movi_c"}, "missing, with it 1 of the 1 shards"),
        ({"splits": [{"name": "x" * 9999, "shardLengths": ["1"]}]}, "has no split 'test'"),
        ({"splits": [shards(filepathTemplate="..")]}, "a shard cannot be named '..'"),
        ({"splits": [shards(filepathTemplate="a\0b")]}, "a shard cannot be named 'a\\x00b'"),
    ],
)
def test_a_dataset_info_that_tfds_did_not_write(
    tmp_path: Path, folder: Path, changes: dict[str, object], message: str
) -> None:
    edit_info(folder, **changes)
    with pytest.raises(DataError, match=re.escape(message)) as refused:
        movi_command(tfds=folder, out=tmp_path / "out", split="test")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '"a"', "9" * 5000, '{"name": "\\ud800"}', "\xff"])
def test_a_dataset_info_that_is_no_object(tmp_path: Path, folder: Path, text: str) -> None:
    (folder / tfds.INFO).write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=rf"{tfds.INFO}: (cannot be read|is not a JSON object)"):
        movi_command(tfds=folder, out=tmp_path / "out")


def test_an_unknown_dataset_or_split_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="--dataset must be one of movi_a, movi_b, movi_c, movi_d, movi_e, got 'movi_z'"
    ):
        movi_command(tfds=DATA_DIR, out=tmp_path / "out", dataset="movi_z")
    with pytest.raises(DataError, match="--split must be one of train, validation, test, got 'val'"):
        movi_command(tfds=DATA_DIR, out=tmp_path / "out", split="val")


def remove(shard: Path) -> None:
    shard.unlink()


def truncate(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-1000])


def flip(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)


def drop_last(shard: Path) -> None:
    write_records(shard, list(read_records(shard, most=movi.MAX_RECORD_BYTES))[:-1])


def repeat(shard: Path) -> None:
    write_records(shard, list(read_records(shard, most=movi.MAX_RECORD_BYTES)) * 2)


@pytest.mark.parametrize(
    ("damage", "message", "safe"),
    [
        (remove, "missing, with it 1 of the 1 shards of 'train' .* or name a split that is there with --split", None),
        (truncate, "record 2: truncated", 2),
        (flip, "record 1: damaged", 1),
        (drop_last, "holds only 2 records, dataset_info.json says 3", 2),
        (repeat, "holds more records, dataset_info.json says 3", 3),
    ],
)
def test_a_damaged_shard_is_named_and_the_same_command_goes_on(
    tmp_path: Path, folder: Path, damage: Callable[[Path], None], message: str, safe: int | None
) -> None:
    shard, out = folder / "movi_c-train.tfrecord-00000-of-00001", tmp_path / "out" / "train"
    whole = shard.read_bytes()
    damage(shard)
    with pytest.raises(DataError, match=rf"movi_c-train.tfrecord-00000-of-00001: {message}"):
        convert(out, split="train", data_dir=folder)
    progress = out.with_name("train.partial") / "progress.json"
    assert (json.loads(progress.read_text())["written"] if progress.exists() else None) == (safe and safe * 24)
    shard.write_bytes(whole)
    assert content(convert(out, split="train", data_dir=folder)) == content(convert(tmp_path / "whole", split="train"))
