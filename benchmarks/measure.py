"""Time and memory of several forms of one thing, in turn, so that a busy machine slows all of them alike.

On a processor, time is that of the processor, which other programs do not take away; on a GPU it is the clock's.
"""

from __future__ import annotations

import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.settings import Row

Run = Callable[[], object]
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MIB = 2**20


def seconds(run: Run, device: torch.device) -> float:
    """Of one call."""
    if device.type != "cuda":
        start = time.process_time()
        run()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def interleaved(forms: Mapping[str, Run], repeats: int, device: torch.device, warm: int = 1) -> dict[str, list[float]]:
    """Seconds of every form, ``repeats`` times in turn, after ``warm`` rounds that do not count."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for round_ in range(warm + repeats):
        for name, run in forms.items():
            taken = seconds(run, device)
            if round_ >= warm:
                times[name].append(taken)
    return times


def peak_memory(run: Run, device: torch.device) -> float | None:
    """MiB that a call needs at most beyond what was in use before it; ``None`` where that cannot be known."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return float(torch.cuda.max_memory_allocated(device) - before) / MIB
    if sys.platform != "linux" or not STATUS.exists():
        return None
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls have freed would hide what this one takes
    CLEAR.write_text("5")  # the high-water mark begins anew
    before_kib = _status("VmRSS")
    run()
    return (_status("VmHWM") - before_kib) / 1024


def _status(key: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key + ":"))
    return int(line.split()[1])


def compared(row: Row, plain: Sequence[float], ours: Sequence[float], at_least: float | None = None) -> Row:
    """The row with medians, their ratio, its spread over the repeats, and the verdict on an aim for the ratio."""
    ratios = [a / b for a, b in zip(plain, ours, strict=True)]
    medians = statistics.median(plain), statistics.median(ours)
    return judged(row, *medians, spread=(min(ratios), max(ratios)), at_least=at_least)


def judged(
    row: Row,
    plain: float | None,
    ours: float | None,
    *,
    spread: tuple[float, float] | None = None,
    at_least: float | None = None,
) -> Row:
    """The row with two numbers of which the smaller is the better, and the verdict on an aim for their ratio."""
    ratio = plain / ours if plain is not None and ours else None
    met = None if at_least is None or ratio is None else ratio >= at_least
    return replace(row, plain=plain, ours=ours, ratio=ratio, spread=spread, met=met)
