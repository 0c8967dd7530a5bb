"""Runs side by side: steps a second of one and of several processes, each on one thread, as ``--jobs`` starts them."""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmarks.forms import Ours, make_batch
from benchmarks.settings import Row, Settings
from benchmarks.training_step import of_recipe, spec
from slotnorm.tasks import ObjectDiscovery
from slotnorm_book.process_memory import keep_freed_memory

NAME = "side by side"


def measure(settings: Settings) -> Iterator[Row]:
    """Of CLEVR at the ``cpu`` scale, on the processor or on the GPU."""
    steps = 2 if settings.quick else 200 if settings.cuda else 20
    alone = None
    for jobs in (1, 2, 4) if settings.cuda else (1, 2):
        clock, processor = _run(jobs, steps, str(settings.device), settings.quick)
        rate = jobs * steps / clock
        alone = alone or rate
        row = Row(NAME, f"`--jobs {jobs}`", f"{steps} steps each, CLEVR, cpu scale", "steps/s", ours=rate)
        load = os.getloadavg()[0]
        note = f"{jobs * steps / processor:.2f} steps a processor second; load {load:.1f}"
        note += "; the clock's rate holds for a machine as busy as this one" if load > 2 * jobs else ""
        yield replace(row, plain=alone, ratio=rate / alone, note=note)


def _run(jobs: int, steps: int, device: str, quick: bool) -> tuple[float, float]:
    """Seconds by the clock and of all processors, from the moment that everyone is ready."""
    context = mp.get_context("spawn")
    barrier, times = context.Barrier(jobs + 1), context.SimpleQueue()
    arguments = (steps, device, quick, barrier, times)
    processes = [context.Process(target=_train, args=arguments, daemon=True) for _ in range(jobs)]
    for process in processes:
        process.start()
    barrier.wait()
    start = time.perf_counter()
    processor = sum(times.get() for _ in processes)
    clock = time.perf_counter() - start
    for process in processes:
        process.join()
    return clock, processor


def _train(steps: int, device: str, quick: bool, barrier: object, times: object) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    run = spec(ObjectDiscovery(16, 3, 8, 8, 2, 8), 2) if quick else of_recipe("clevr-6-7")
    step = Ours(run, make_batch(run, torch.device(device)))
    step()
    barrier.wait()  # type: ignore[attr-defined]
    start = time.process_time()
    for _ in range(steps):
        step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    times.put(time.process_time() - start)  # type: ignore[attr-defined]
