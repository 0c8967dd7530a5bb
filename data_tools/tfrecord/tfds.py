"""Reads folders that TensorFlow Datasets (TFDS) wrote, without it: the shards of a split and their records.

DATA_DIR/movi_c/256x256/1.0.0/dataset_info.json                      name, version, splits, records per shard
DATA_DIR/movi_c/256x256/1.0.0/features.json                          the features, not read here
DATA_DIR/movi_c/256x256/1.0.0/movi_c-train.tfrecord-00000-of-01024   a shard
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.tfrecord.example import RecordError
from data_tools.tfrecord.records import read_ahead, read_records
from data_tools.writing import durable
from data_tools.writing.durable import DataError

INFO = "dataset_info.json"
DEFAULT_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


@dataclass(frozen=True)
class TfdsSplit:
    """The shards of a split and the number of records that each must hold."""

    folder: Path
    config: str
    name: str
    shards: tuple[Path, ...]
    lengths: tuple[int, ...]
    most: int
    """Most bytes of a record."""

    def __len__(self) -> int:
        return sum(self.lengths)

    def records(self, start: int = 0) -> Iterator[tuple[Path, int, bytes]]:
        """Yield the records from number `start` on as (shard, number in the shard, data); skips whole shards unopened.

        Raises:
            RecordError: A shard is damaged, or its number of records differs from that in `dataset_info.json`.
        """
        for shard, length in zip(self.shards, self.lengths, strict=True):
            if start >= length:
                start -= length
                continue
            count = 0
            for count, record in enumerate(read_ahead(read_records(shard, most=self.most)), 1):
                if count > length:
                    break
                if count > start:
                    yield shard, count - 1, record
            if count != length:
                more = "more" if count > length else f"only {count}"
                raise RecordError(f"{shard}: holds {more} records, {INFO} says {length}")
            start = 0


def open_tfds(
    folder: Path, dataset: str, version: str, config: str | None, preferred: str
) -> tuple[Path, dict[str, Any]]:
    """Find a dataset's folder and read its `dataset_info.json`.

    Args:
        folder: The folder of the version, or one above it, up to the data directory.
        dataset: Name of the data set in TFDS.
        version: The version that the caller can read.
        config: Configuration, such as "256x256".
        preferred: Configuration to take if there are several and `config` is None.

    Returns:
        The folder that holds `dataset_info.json`, and its content.

    Raises:
        DataError: The folder is missing or is of another data set, configuration or version.
    """
    base = folder / dataset if (folder / dataset).is_dir() else folder
    paths = [path for depth in ("", "*/", "*/*/") for path in sorted(base.glob(depth + INFO))]
    if not paths:
        expected = f".../{dataset}/CONFIG/{version}"
        raise DataError(f"{folder}: no {INFO} in or below it: pass the folder that TFDS wrote, {expected}")
    infos = {path.parent: durable.read_json(path) for path in paths}
    ours = {path: info for path, info in infos.items() if info.get("name") == dataset}
    if not ours:
        raise DataError(f"{paths[0]}: is dataset {infos[paths[0].parent].get('name')!r}, not {dataset!r}")
    configs = {_config(path, info): path for path, info in ours.items() if info.get("version") == version}
    if not configs:
        path, info = next(iter(ours.items()))
        raise DataError(f"{path / INFO}: is version {info.get('version')} of {dataset}, this program reads {version}")
    if config is None:
        config = preferred if preferred in configs else next(iter(configs))
        if len(configs) > 1 and config != preferred:
            raise DataError(f"{folder}: holds {sorted(configs)} of {dataset}: choose one with --config")
    if config not in configs:
        raise DataError(f"{folder}: has no configuration {config!r} of {dataset}; it has {sorted(configs)}")
    return configs[config], infos[configs[config]]


def open_tfds_split(folder: Path, info: dict[str, Any], split: str, most: int) -> TfdsSplit:
    """Return the shards of a split, after checking that all exist.

    Args:
        folder, info: As `open_tfds` returns them.
        split: Such as "train".
        most: Most bytes of a record.

    Raises:
        DataError: There is no such split, a shard is missing, or shards are not TFRecord files.
    """
    path = folder / INFO
    if (form := info.get("fileFormat", "tfrecord")) != "tfrecord":
        to = f"--dataset_dir={folder} --out_file_format=tfrecord --out_dir=NEW"
        raise DataError(f"{path}: its shards are {form!r} files: make tfrecord of them with: tfds convert_format {to}")
    splits = list_splits(folder, info)
    if split not in splits:
        raise DataError(f"{path}: has no split {split!r}; it has {sorted(splits)}")
    listed = splits[split].get("shardLengths", [])
    if not isinstance(listed, list) or not all(re.fullmatch("[0-9]{1,9}", str(length)) for length in listed):
        raise DataError(f"{path}: shardLengths of split {split!r} must be a list of counts, got {listed!r}")
    lengths = tuple(map(int, listed))
    if not lengths:
        raise DataError(f"{path}: lists no shards of split {split!r}: was it written completely?")
    template = splits[split].get("filepathTemplate") or DEFAULT_TEMPLATE
    if not isinstance(template, str) or len(template) > 200:
        raise DataError(f"{path}: filepathTemplate of split {split!r} must be a name, got {str(template)[:200]!r}")
    names = [_shard_name(template, info["name"], split, i, len(lengths)) for i in range(len(lengths))]
    if wrong := [name for name in names if not re.fullmatch(r"\w[\w.-]{0,250}", name)]:
        raise DataError(f"{path}: a shard cannot be named {wrong[0][:100]!r}: shards lie in the same folder")
    shards = tuple(folder / name for name in names)
    if missing := [shard for shard in shards if not shard.is_file()]:
        count = f"{len(missing)} of the {len(shards)} shards of {split!r}"
        hint = "copy the folder again, or name a split that is there with --split"
        raise DataError(f"{missing[0]}: missing, with it {count} that {INFO} lists: {hint}")
    return TfdsSplit(folder, _config(folder, info), split, shards, lengths, most)


def list_splits(folder: Path, info: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries of `dataset_info.json` about splits, by name of the split.

    Args:
        folder, info: As `open_tfds` returns them.

    Raises:
        DataError: The entries do not have the form that TFDS writes.
    """
    splits = info.get("splits", [])
    if not isinstance(splits, list) or not all(isinstance(e, dict) and isinstance(e.get("name"), str) for e in splits):
        raise DataError(f"{folder / INFO}: splits must be a list of objects that have a name, got {splits!r}")
    return {entry["name"]: entry for entry in splits}


def _config(folder: Path, info: dict[str, Any]) -> str:
    return str(info.get("configName") or folder.parent.name)


def _shard_name(template: str, dataset: str, split: str, index: int, count: int) -> str:
    values = {"DATASET": dataset, "SPLIT": split, "FILEFORMAT": "tfrecord"}
    values |= {"SHARD_INDEX": f"{index:05d}", "NUM_SHARDS": f"{count:05d}"}
    values["SHARD_X_OF_Y"] = f"{values['SHARD_INDEX']}-of-{values['NUM_SHARDS']}"
    for key, value in values.items():
        template = template.replace("{" + key + "}", value)
    return template
