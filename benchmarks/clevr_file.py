"""A CLEVR (with masks) file of any length, from the eight stand-in scenes of the tests."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_tools.converters.clevr_file import HEIGHT, MAX_RECORD_BYTES, WIDTH
from data_tools.tfrecord.records import masked_crc32c, read_records

FIXTURE = Path(__file__).parents[1] / "tests" / "data" / "fixtures" / "clevr_with_masks_train.tfrecords"
NOISY = 0.26
"""Share of the image's bytes that noise moves by a grey level: it makes records of about 100 kB, as the public ones."""


def write_clevr_file(path: Path, count: int) -> Path:
    """Write `count` records, GZIP as published."""
    with gzip.open(path, "wb", compresslevel=6) as file:
        for record in noisy_records(count):
            length = struct.pack("<Q", len(record))
            file.write(length + struct.pack("<I", masked_crc32c(length)))
            file.write(record + struct.pack("<I", masked_crc32c(record)))
    return path


def noisy_records(count: int) -> Iterator[bytes]:
    """The fixture's records in turn, each with noise of its own in the image."""
    scenes = list(read_records(FIXTURE, most=MAX_RECORD_BYTES))
    rng = np.random.default_rng(0)
    for number in range(count):
        record = np.frombuffer(scenes[number % len(scenes)], np.uint8).copy()
        start = _image_at(record.tobytes())
        image = record[start : start + 3 * HEIGHT * WIDTH * 3 : 3]
        image += ((rng.random(image.size) < NOISY) & (image < 255)).astype(np.uint8)
        yield record.tobytes()


def _image_at(record: bytes) -> int:
    """Where the first byte of the image lies: it is the value of the first of 230,400 one-byte strings."""
    name = record.index(b"\x0a\x05image")
    return record.index(b"\x0a\x01", name + 7) + 2
