"""Time and memory of several forms of one thing, in turn, so that a busy machine slows all of them alike.

On a processor, time is that of the processor, which other programs do not take away; on a GPU it is the clock's.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.settings import Row

Run = Callable[[], object]
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MIB = 2**20


class Taken(NamedTuple):
    """What one call took.

    Args:
        seconds: of the processor or, on a GPU, of the clock.
        system: seconds of the processor that the operating system took, page faults included.
        faults: page faults: pages of memory that the operating system handed out.
    """

    seconds: float
    system: float = 0.0
    faults: float = 0.0

    def scaled(self, factor: float) -> Taken:
        """The same of another amount of work."""
        return Taken(*(factor * number for number in self))


def taken(run: Run, device: torch.device) -> Taken:
    """Of one call."""
    cuda = device.type == "cuda"
    clock = time.perf_counter if cuda else time.process_time
    if cuda:
        torch.cuda.synchronize(device)
    before, start = resource.getrusage(resource.RUSAGE_SELF), clock()
    run()
    if cuda:
        torch.cuda.synchronize(device)
    seconds, after = clock() - start, resource.getrusage(resource.RUSAGE_SELF)
    return Taken(seconds, after.ru_stime - before.ru_stime, after.ru_minflt - before.ru_minflt)


def interleaved(forms: Mapping[str, Run], repeats: int, device: torch.device, warm: int = 1) -> dict[str, list[Taken]]:
    """What every form takes, ``repeats`` times in turn, after ``warm`` rounds that do not count."""
    results: dict[str, list[Taken]] = {name: [] for name in forms}
    for round_ in range(warm + repeats):
        for name, run in forms.items():
            found = taken(run, device)
            if round_ >= warm:
                results[name].append(found)
    return results


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
    try:
        CLEAR.write_text("5")  # the high-water mark begins anew
    except OSError:  # a container may have no such file
        return None
    before_kib = _status("VmRSS")
    run()
    peak_kib = _status("VmHWM")
    return None if before_kib is None or peak_kib is None else (peak_kib - before_kib) / 1024


def _status(key: str) -> int | None:
    """Return a number of this process's status, ``None`` where the system does not tell it."""
    lines = [line for line in STATUS.read_text().splitlines() if line.startswith(key + ":")]
    return int(lines[0].split()[1]) if lines else None


def measurable(seconds: float) -> float:
    """Return a time that one can divide by.

    Raises:
        ValueError: the clock did not move; some systems count a processor's time in hundredths of a second.
    """
    if seconds <= 0:
        raise ValueError(f"a call is too short to measure: it took {seconds} s by this system's clock")
    return seconds


def median(calls: Sequence[Taken]) -> float:
    """Seconds of the middle call."""
    return statistics.median(call.seconds for call in calls)


def compared(row: Row, plain: Sequence[Taken], ours: Sequence[Taken], at_least: float | None = None) -> Row:
    """Return the row with medians, their ratio, its spread over the repeats, the verdict on an aim for it, and the use.

    Raises:
        ValueError: a call took no measurable time.
    """
    ratios = [measurable(a.seconds) / measurable(b.seconds) for a, b in zip(plain, ours, strict=True)]
    row = judged(row, median(plain), median(ours), spread=(min(ratios), max(ratios)), at_least=at_least)
    return replace(row, used=f"plain {told_use(plain)}; ours {told_use(ours)}")


def told_use(calls: Sequence[Taken]) -> str:
    """Page faults a call and the system's share of the time, over all calls."""
    faults = sum(call.faults for call in calls) / len(calls)
    share = sum(call.system for call in calls) / sum(call.seconds for call in calls)
    return f"{faults:,.0f} page faults, {share:.0%} of the time in the system"


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
