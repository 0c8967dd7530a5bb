"""Runs side by side: steps a second of one and of several processes, each on one thread, as ``--jobs`` starts them."""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from benchmarks.forms import Ours, make_batch
from benchmarks.measure import measurable
from benchmarks.settings import Row, Settings
from benchmarks.training_step import of_recipe, spec
from slotnorm.tasks import ObjectDiscovery
from slotnorm_book.process_memory import keep_freed_memory

NAME = "side by side"
PATIENCE_S = 600.0
"""Seconds after which a process that says nothing is given up."""


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
        note = f"{jobs * steps / measurable(processor):.2f} steps a processor second; load {load:.1f}"
        note += "; the clock's rate holds for a machine as busy as this one" if load > 2 * jobs else ""
        yield replace(row, plain=alone, ratio=rate / alone, note=note)


def _run(jobs: int, steps: int, device: str, quick: bool) -> tuple[float, float]:
    """Return seconds by the clock and of all processors, from the moment that everyone is ready.

    Raises:
        RuntimeError: a process ended before it was done, or said nothing for :data:`PATIENCE_S` seconds.
    """
    context = mp.get_context("spawn")
    pipes = [context.Pipe() for _ in range(jobs)]
    processes = [context.Process(target=_train, args=(steps, device, quick, there), daemon=True) for _, there in pipes]
    trainings = [(process, here) for process, (here, _) in zip(processes, pipes, strict=True)]
    for process in processes:
        process.start()
    try:
        for training in trainings:
            _receive(*training)
        start = time.perf_counter()
        for _, here in trainings:
            here.send("begin")
        processor = sum(_receive(*training) for training in trainings)
        clock = time.perf_counter() - start
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for process in processes:
            process.join()
    return clock, processor


def _receive(process: BaseProcess, connection: Connection) -> Any:
    """Return what a process sends next, or raise a RuntimeError if it ends before, or takes too long."""
    heard = wait([connection, process.sentinel], PATIENCE_S)
    if connection in heard:
        return connection.recv()
    if not heard:
        raise RuntimeError(f"a training of those side by side said nothing for {PATIENCE_S:g} seconds")
    process.join()
    raise RuntimeError(f"a training of those side by side ended with exit code {process.exitcode}")


def _train(steps: int, device: str, quick: bool, connection: Connection) -> None:
    """Say when the first step is taken, wait for the beginning, and send the processor seconds of the others."""
    torch.set_num_threads(1)
    keep_freed_memory()
    run = spec(ObjectDiscovery(16, 3, 8, 8, 2, 8), 2) if quick else of_recipe("clevr-6-7")
    step = Ours(run, make_batch(run, torch.device(device)))
    step()
    connection.send("ready")
    connection.recv()
    start = time.process_time()
    for _ in range(steps):
        step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    connection.send(time.process_time() - start)
