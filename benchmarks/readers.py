"""The ray caster and the CLEVR reader: ``benchmarks/data.py`` on a share of its scenes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import data
from benchmarks.clevr_file import write_clevr_file
from benchmarks.settings import Row, Settings

NAME = "data"
SIZES = {32: 256, 128: 32}
RECORDS = 48


def measure(settings: Settings) -> Iterator[Row]:
    """Pictures and records a processor second; the clock's rate stands in the note."""
    for row in data.drawing(1, {16: 4} if settings.quick else SIZES):
        yield _row(row, row.what)
    records = 4 if settings.quick else RECORDS
    with tempfile.TemporaryDirectory() as folder:
        file = write_clevr_file(Path(folder) / "clevr.tfrecords", records)
        yardstick, *ours = data.reading(file, records, settings.rounds(3))
        parsed = data.tensorflow(settings.tensorflow, file, records) if settings.tensorflow else None
    for row in ours:
        yield _row(row, f"{row.what}, beside plain gunzip", yardstick.per_processor_second)
    for row in ours[1:]:
        what = f"{row.what}, beside TensorFlow's parse"
        if parsed:
            yield _row(row, what, parsed.per_processor_second)
        else:
            yield Row(NAME, what, "", "1/s", note="not measured: no TensorFlow, see --tensorflow")


def _row(row: data.Row, what: str, plain: float | None = None) -> Row:
    rate = row.per_processor_second
    note = f"{row.per_second:.0f} a second by the clock"
    return Row(NAME, what, "", "1/s", plain, rate, rate / plain if plain else None, note=note)
