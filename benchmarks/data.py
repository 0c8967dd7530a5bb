"""How fast data are made and read here, on one thread per process; every ratio is taken within one run.

    python benchmarks/data.py                        a minute; prints a table, --json FILE keeps the numbers
    python -m benchmarks --only data                 a share of it, in the table of all benchmarks
    python benchmarks/data.py --tensorflow PYTHON    also parses CLEVR with the TensorFlow of that interpreter

CLEVR's records are the eight stand-in scenes of the tests, over and over, with a grey level of noise in a share of the
image's bytes, so that they compress to what the public file's do (about 100 kB each).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}  # before torch is imported
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.clevr_file import write_clevr_file
from data_tools import clevr, synth_clevr, synth_movi
from data_tools.clevr_scene import parse_scene
from data_tools.tfrecord import read_ahead, read_records

TENSORFLOW = Path(__file__).with_name("tensorflow_clevr.py")
STAND_INS = {
    "synth-clevr, 10 objects": (synth_clevr.prepare, {"min_objects": 10}),
    "synth-movi c, 10 objects": (synth_movi.prepare, {"variant": "c", "min_objects": 10}),
    "synth-movi d, 11 to 23 objects": (synth_movi.prepare, {"variant": "d"}),
}
SIZES = {32: 768, 64: 384, 128: 192}
"""Side of the pictures, and how many each process draws."""


@dataclass(frozen=True)
class Row:
    """One measurement."""

    what: str
    per_second: float
    per_processor_second: float


def timed(what: str, items: int, run: Callable[[], object]) -> Row:
    """Run once and count."""
    wall, processor = time.perf_counter(), _processor_time()
    run()
    return Row(what, items / (time.perf_counter() - wall), items / (_processor_time() - processor))


def _processor_time() -> float:
    """Of this process, its threads, and children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def draw(job: tuple[str, int, int, int, str]) -> float:
    """Draw a stand-in, given its name, size, count, seed and folder; returns the seconds of processor time."""
    name, size, count, seed, folder = job
    prepare, options = STAND_INS[name]
    start = time.process_time()
    prepare(Path(folder) / f"{seed}", count=count, size=size, seed=seed, **options)
    return time.process_time() - start


def drawing(processes: int, sizes: Mapping[int, int] = SIZES) -> list[Row]:
    """Whole splits, written to disk, drawn by several processes side by side."""
    rows = []
    for name in STAND_INS:
        for size, count in sizes.items():
            with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(processes) as pool:
                list(pool.map(draw, [(name, size, 8, 100 + seed, folder) for seed in range(processes)]))  # to warm up
                start = time.perf_counter()
                seconds = list(pool.map(draw, [(name, size, count, seed, folder) for seed in range(processes)]))
                total = processes * count
                rate = total / (time.perf_counter() - start)
            rows.append(Row(f"{name}, {size} x {size}", rate, total / sum(seconds)))
    return rows


def reading(file: Path, records: int, repeats: int) -> list[Row]:
    """Plain gunzip beside our reader and the whole conversion, in turn, the best of some repeats."""

    def gunzip() -> None:
        subprocess.run(["gzip", "-dc", str(file)], stdout=subprocess.DEVNULL, check=True)

    def inflate() -> None:
        with gzip.open(file) as stream:
            while stream.read(1 << 20):
                pass

    def read() -> None:
        for record in read_ahead(read_records(file)):
            parse_scene(record)

    def convert() -> None:
        with tempfile.TemporaryDirectory() as folder:
            clevr.convert(file, clevr.parts(Path(folder) / "all", "all"))

    ways = {
        "gunzip to nowhere": gunzip,
        "Python's gzip to nowhere": inflate,
        "read, check and parse": read,
        "convert to a 128 x 128 split": convert,
    }
    runs = [[timed(f"CLEVR: {what}", records, run) for what, run in ways.items()] for _ in range(repeats)]
    return [max(same, key=lambda row: row.per_second) for same in zip(*runs, strict=True)]


def tensorflow(python: str, file: Path, records: int) -> Row:
    """The same file parsed by TensorFlow on one thread; its import is left out."""
    done = subprocess.run([python, str(TENSORFLOW), str(file)], capture_output=True, text=True, check=True)
    wall, processor = map(float, done.stdout.split())
    return Row("CLEVR: parsed by TensorFlow", records / wall, records / processor)


def main() -> None:
    """Measure, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=96, help="records of the CLEVR file")
    parser.add_argument("--repeats", type=int, default=3, help="of every reading, of which the best counts")
    parser.add_argument("--processes", type=int, default=2, help="that draw side by side")
    parser.add_argument("--tensorflow", metavar="PYTHON", help="interpreter that has TensorFlow")
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    arguments = parser.parse_args()
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}
    rows = drawing(arguments.processes)
    with tempfile.TemporaryDirectory() as folder:
        file = write_clevr_file(Path(folder) / "clevr.tfrecords", arguments.records)
        machine["kilobytes_per_clevr_record"] = round(file.stat().st_size / arguments.records / 1000, 1)
        rows += reading(file, arguments.records, arguments.repeats)
        if arguments.tensorflow:
            rows.append(tensorflow(arguments.tensorflow, file, arguments.records))
    for row in rows:
        print(f"{row.what:<44} {row.per_second:>8.1f} a second {row.per_processor_second:>8.1f} a processor second")
    print(machine)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
