"""Folders of MOVi as TFDS writes them, for tests: the fixtures, copies to damage, and records made by hand."""

import json
import shutil
import struct
from pathlib import Path

from data_tools.converters import movi
from data_tools.tfrecord import tfds
from data_tools.tfrecord.records import masked_crc32c
from tests.helpers.paths import FIXTURES

DATA_DIR = FIXTURES / "tfds"


def convert(
    out: Path,
    dataset: str = "movi_c",
    split: str = "test",
    data_dir: Path = DATA_DIR,
    size: int = 32,
    max_instances: int | None = None,
) -> Path:
    folder, info = tfds.open_tfds(data_dir, dataset, movi.VERSION, None, preferred="256x256")
    source = tfds.open_tfds_split(folder, info, split, movi.MAX_RECORD_BYTES)
    return movi.convert(source, dataset, out, size=size, max_instances=max_instances)


def copy(data_dir: Path) -> Path:
    """A copy of MOVi-C's folder in another data directory."""
    inner = Path("movi_c", "128x128", "1.0.0")
    return Path(shutil.copytree(DATA_DIR / inner, data_dir / inner))


def edit_info(folder: Path, **changes: object) -> None:
    """Change entries of dataset_info.json, or take them out with None."""
    path = folder / tfds.INFO
    info = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))


def write_records(path: Path, records: list[bytes]) -> None:
    frames = []
    for record in records:
        length = struct.pack("<Q", len(record))
        crcs = (struct.pack("<I", masked_crc32c(part)) for part in (length, record))
        frames.append(length + next(crcs) + record + next(crcs))
    path.write_bytes(b"".join(frames))
