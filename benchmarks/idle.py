"""How much of the time a GPU waits."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def idle_share(run: Callable[[], object], calls: int = 10) -> float:
    """Share of the clock's time during which no kernel runs; kernels of one stream follow each other."""
    run()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    torch.cuda.synchronize()
    clock = time.perf_counter() - start  # without the profiler, which takes time of its own
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(calls):
            run()
        torch.cuda.synchronize()
    busy = sum(event.self_device_time_total for event in profiled.key_averages()) / 1e6
    return max(0.0, 1 - busy / clock)
