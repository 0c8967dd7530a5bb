"""Downloaded files damaged at random: a clear error or the same result, never another error, never another result."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from data_tools.converters.movi import parse_clip
from data_tools.features import architecture
from data_tools.features.online import open_online, write_online
from data_tools.tfrecord.example import RecordError, parse_example
from data_tools.tfrecord.tfds import TfdsSplit, list_splits, open_tfds, open_tfds_split
from data_tools.writing.durable import DataError
from slotnorm.data.manifest import SplitError
from tests.data_tools.converters import movi_folder
from tests.data_tools.converters.test_movi_bad_input import example
from tests.data_tools.features import vit
from tests.data_tools.features.test_architecture import ABOUT
from tests.data_tools.tfrecord import tfrecord_files as files
from tests.helpers.mutations import mutations, result_of

SLOW = pytest.mark.slow
FEATURES = {"a": files.strings([b"x", b"yz"]), "b": files.floats([1, 2.5]), "c": files.ints([1, -2, 1 << 40])}
RECORDS = [files.example(FEATURES), files.example(FEATURES | {"d": files.ints([3], packed=False)}), b"third"]


def values_of(record: bytes) -> list[Sequence[object]]:
    features = parse_example(record).values()
    return [{"bytes": f.strings, "float": f.floats}.get(f.kind, f.ints)() for f in features]


def shards_of(data_dir: Path) -> list[Path]:
    folder, info = open_tfds(data_dir, "movi_c", "1.0.0", None, preferred="256x256")
    splits = [open_tfds_split(folder, info, name, most=1 << 28) for name in list_splits(folder, info)]
    return [shard for split in splits for shard in split.shards]


@pytest.mark.parametrize("amount", [200, pytest.param(5000, marks=SLOW)])
@pytest.mark.parametrize("compress", [True, False])
def test_a_tfrecord_file(tmp_path: Path, compress: bool, amount: int) -> None:
    path = files.write(tmp_path / "shard", RECORDS, compress=compress)
    shard = TfdsSplit(tmp_path, "", "train", (path,), (len(RECORDS),), most=1 << 20)
    for damaged in mutations(path.read_bytes(), amount):
        path.write_bytes(damaged)
        records, message = result_of(lambda: [record for _, _, record in shard.records()], RecordError)
        assert records == RECORDS or str(path) in message


@pytest.mark.parametrize("amount", [100, pytest.param(3000, marks=SLOW)])
def test_a_compressed_file_whose_content_is_damaged(tmp_path: Path, amount: int) -> None:
    path = tmp_path / "shard"
    shard = TfdsSplit(tmp_path, "", "train", (path,), (len(RECORDS),), most=1 << 20)
    for damaged in mutations(b"".join(map(files.framed, RECORDS)), amount, seed=1):
        path.write_bytes(gzip.compress(damaged))
        records, message = result_of(lambda: [record for _, _, record in shard.records()], RecordError)
        assert records == RECORDS or str(path) in message


@pytest.mark.parametrize("amount", [300, pytest.param(10_000, marks=SLOW)])
def test_a_record_which_has_no_checksum_of_its_own(amount: int) -> None:
    for damaged in mutations(RECORDS[1], amount):
        values, message = result_of(lambda damaged=damaged: values_of(damaged), RecordError)
        assert message or all(len(value) <= len(damaged) for value in values)


@pytest.mark.parametrize("amount", [30, pytest.param(1000, marks=SLOW)])
def test_a_clip(amount: int) -> None:
    good = parse_clip(example())
    for damaged in mutations(example(), amount):
        clip, message = result_of(lambda damaged=damaged: parse_clip(damaged), RecordError)
        if clip is None:
            assert message
        else:
            assert (clip.video.shape, clip.segmentations.shape) == (good.video.shape, good.segmentations.shape)


@pytest.mark.parametrize("amount", [100, pytest.param(3000, marks=SLOW)])
def test_a_dataset_info(tmp_path: Path, amount: int) -> None:
    folder = movi_folder.copy(tmp_path)
    path = folder / "dataset_info.json"
    content = path.read_bytes()
    for damaged in mutations(content, amount):
        path.write_bytes(damaged)
        shards, message = result_of(lambda: shards_of(tmp_path), DataError)
        assert message or {shard.parent for shard in shards} <= {folder}


@pytest.mark.parametrize("amount", [100, pytest.param(3000, marks=SLOW)])
def test_metadata_of_a_weights_file(tmp_path: Path, amount: int) -> None:
    allowed = {*architecture.SIZES, *architecture.CHOICES, "mlp_ratio"}
    for damaged in mutations(json.dumps(ABOUT).encode(), amount):
        text = damaged.decode("utf-8", "replace")
        about, message = result_of(lambda text=text: architecture.parse_description(tmp_path / "w", text), DataError)
        if about is None:
            assert message.startswith(f"{tmp_path / 'w'}: ")
        else:
            assert about == {} or about["name"] == vit.NAME
            assert about.get("kwargs", {}).keys() <= allowed


@pytest.mark.parametrize("amount", [50, pytest.param(500, marks=SLOW)])
def test_a_file_of_online_features(tmp_path: Path, amount: int) -> None:
    vit.split(tmp_path / "images", count=2)
    weights = vit.saved(tmp_path / "vit.safetensors")
    options = (None, "resize_first", "float32")
    path = write_online(tmp_path / "toy.online.json", tmp_path / "images", vit.NAME, weights, *options)
    good = open_online(path, "train").manifest
    for damaged in mutations(path.read_bytes(), amount):
        path.write_bytes(damaged)
        manifest, message = result_of(lambda: open_online(path, "train").manifest, DataError, SplitError)
        assert message or manifest == good
