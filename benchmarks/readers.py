"""The ray caster and the CLEVR reader, on one thread, by pictures and records a processor second.

CLEVR's records are the eight stand-in scenes of the tests, over and over, with a grey level of noise in a share of the
image's bytes, so that they compress to what the public file's do (about 100 kB each). Every way to read them,
TensorFlow's too, is timed a few times, and the fastest counts.
"""

from __future__ import annotations

import gzip
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.clevr_file import write_clevr_file
from benchmarks.measure import measurable
from benchmarks.settings import Row, Settings
from data_tools.converters import clevr
from data_tools.converters.clevr_file import MAX_RECORD_BYTES
from data_tools.converters.clevr_scene import parse_scene
from data_tools.stand_ins import clevr as synth_clevr
from data_tools.stand_ins import movi as synth_movi
from data_tools.tfrecord.records import read_ahead, read_records

NAME = "data"
TENSORFLOW = Path(__file__).with_name("tensorflow_clevr.py")
STAND_INS = {
    "synth-clevr, 10 objects": (synth_clevr.prepare, {"min_objects": 10}),
    "synth-movi c, 10 objects": (synth_movi.prepare, {"variant": "c", "min_objects": 10}),
    "synth-movi d, 11 to 23 objects": (synth_movi.prepare, {"variant": "d"}),
}
SIZES = {32: 256, 128: 32}
"""Side of the pictures, and how many are drawn."""
RECORDS = 48


@dataclass(frozen=True)
class Rate:
    """Items a second by the clock, and a second of processor time."""

    clock: float
    processor: float


def measure(settings: Settings) -> Iterator[Row]:
    """Rates by processor seconds; the clock's stands in the note."""
    for what, rate in drawing({16: 4} if settings.quick else SIZES):
        yield _row(what, rate)
    records = 4 if settings.quick else RECORDS
    with tempfile.TemporaryDirectory() as folder:
        file = write_clevr_file(Path(folder) / "clevr.tfrecords", records)
        python, repeats = settings.tensorflow, settings.rounds(3)
        rates = reading(file, records, repeats)
        parsed = tensorflow(python, file, records, repeats) if python else None
    yardstick, ours = rates.pop("gunzip"), rates
    for what, rate in ours.items():
        yield _row(f"CLEVR: {what}, beside plain gunzip", rate, yardstick)
    for what in ("read, check and parse", "convert to a 128 x 128 split"):
        row = f"CLEVR: {what}, beside TensorFlow's parse"
        if parsed:
            yield _row(row, ours[what], parsed)
        else:
            yield Row(NAME, row, "", "1/s", note="not measured: no TensorFlow, see --tensorflow")


def drawing(sizes: Mapping[int, int]) -> Iterator[tuple[str, Rate]]:
    """Whole splits, drawn and written to disk."""
    for name, (prepare, options) in STAND_INS.items():
        for size, count in sizes.items():
            with tempfile.TemporaryDirectory() as folder:
                prepare(Path(folder) / "warm", count=min(count, 8), size=size, seed=1, **options)
                rate = timed(count, partial(prepare, Path(folder) / "split", count=count, size=size, **options))
            yield f"{name}, {size} x {size}", rate


def reading(file: Path, records: int, repeats: int) -> dict[str, Rate]:
    """Plain gunzip beside our reader and the whole conversion, in turn, the best of some repeats."""

    def inflate() -> None:
        with gzip.open(file) as stream:
            while stream.read(1 << 20):
                pass

    def read() -> None:
        for record in read_ahead(read_records(file, most=MAX_RECORD_BYTES)):
            parse_scene(record)

    def convert() -> None:
        with tempfile.TemporaryDirectory() as folder:
            clevr.convert(file, clevr.list_parts(Path(folder) / "all", "all"))

    ways: dict[str, Callable[[], object]] = {
        "gunzip": lambda: subprocess.run(["gzip", "-dc", str(file)], stdout=subprocess.DEVNULL, check=True),
        "Python's gzip to nowhere": inflate,
        "read, check and parse": read,
        "convert to a 128 x 128 split": convert,
    }
    rounds = [{what: timed(records, run) for what, run in ways.items()} for _ in range(repeats)]
    return {what: max((rates[what] for rates in rounds), key=lambda rate: rate.clock) for what in ways}


def tensorflow(python: str, file: Path, records: int, repeats: int) -> Rate:
    """Parse the same file by TensorFlow on one thread, the best of some repeats as in :func:`reading`.

    Its import and a first reading, in which it traces its graph, are left out.
    """
    command = [python, str(TENSORFLOW), str(file), str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    clock, processor = map(float, done.stdout.split())
    return Rate(records / measurable(clock), records / measurable(processor))


def timed(items: int, run: Callable[[], object]) -> Rate:
    """Run once, and return how many items a second takes.

    Raises:
        ValueError: the call took no measurable time.
    """
    clock, processor = time.perf_counter(), _processor_time()
    run()
    clock, processor = time.perf_counter() - clock, _processor_time() - processor
    if clock <= 0 or processor <= 0:
        raise ValueError(f"{items} items are too few to measure: they took {clock} s, {processor} s of the processor")
    return Rate(items / clock, items / processor)


def _processor_time() -> float:
    """Return the seconds of this process, its threads, and children that have ended, to the microsecond.

    ``os.times`` counts hundredths, and a short call would take none of them.
    """
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _row(what: str, rate: Rate, plain: Rate | None = None) -> Row:
    ratio = rate.processor / plain.processor if plain else None
    note = f"{rate.clock:.0f} a second by the clock"
    return Row(NAME, what, "", "1/s", plain.processor if plain else None, rate.processor, ratio, note=note)
