"""What a reader waits for: the import, and a chapter on the committed records."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.settings import Row, Settings

NAME = "beginning"
ROOT = Path(__file__).parents[1]
AIM_IMPORT, AIM_CHAPTER = 1.5, 20.0
IMPORT = """
import time
start = time.process_time()
import torch
after = time.process_time()
import slotnorm{rest}
print(time.process_time() - after, after - start)
"""
CHAPTER = "03_movi_c"
PARAMETERS = {"scale": "cpu", "store": "book/results", "missing": "report"}


def measure(settings: Settings) -> Iterator[Row]:
    """Seconds of processor time in fresh processes."""
    yield _import("import slotnorm, beyond import torch", "", settings)
    yield _import("the same with models, training and evaluation", ", slotnorm.training, slotnorm.evaluation", settings)
    if not settings.quick:
        yield _chapter()


def _import(what: str, rest: str, settings: Settings) -> Row:
    times = []
    for _ in range(settings.rounds(3)):
        done = subprocess.run(
            [sys.executable, "-c", IMPORT.format(rest=rest)], capture_output=True, text=True, check=True, cwd=ROOT
        )
        times.append([float(number) for number in done.stdout.split()])
    ours, torch_alone = (statistics.median(column) for column in zip(*times, strict=True))
    note = f"torch alone {torch_alone:.2f} s"
    return Row(NAME, what, "", "s", ours=ours, aim=f"< {AIM_IMPORT} s", met=ours < AIM_IMPORT, note=note)


def _chapter() -> Row:
    """A chapter executed by papermill, kernel and all; its time by the clock stands in the note."""
    arguments = [word for name, value in PARAMETERS.items() for word in ("-p", name, value)]
    environment = os.environ | {"MPLBACKEND": "Agg", "TQDM_DISABLE": "1"}
    before, start = os.times(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out.ipynb")
        command = [sys.executable, "-m", "papermill", f"notebooks/{CHAPTER}.ipynb", out, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    clock, after = time.perf_counter() - start, os.times()
    row = Row(NAME, f"chapter {CHAPTER} on the committed records", ", ".join(PARAMETERS.values()), "s")
    if done.returncode:
        return replace(row, note=f"not measured: {done.stderr.strip().splitlines()[-1]}")
    taken = after.children_user + after.children_system - before.children_user - before.children_system
    return replace(
        row,
        ours=taken,
        aim=f"< {AIM_CHAPTER:.0f} s",
        met=taken < AIM_CHAPTER,
        note=f"{clock:.1f} s by the clock",
    )
