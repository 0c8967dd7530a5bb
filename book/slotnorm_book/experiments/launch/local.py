"""Runs jobs in parallel on one machine: one process per run, one progress display for all of them.

One process per run with one thread each is the fastest way on a CPU. A worker that dies affects no other worker, and
its checkpoint is there for the next call.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.synchronize import Event
from typing import NoReturn

import torch

from slotnorm.training.loop import Interrupted
from slotnorm_book.experiments.engine import Execution, Job, load_or_train
from slotnorm_book.experiments.launch.progress import RESUME_HINT, Display, JobOutcome
from slotnorm_book.experiments.launch.stop import EXIT_RESUMABLE, SIGNALS, Stop
from slotnorm_book.experiments.run_store import BusyError, RunStore
from slotnorm_book.process_memory import keep_freed_memory

POLL_S = 0.5


@dataclass
class _Worker:
    job: Job
    process: SpawnProcess
    messages: Connection
    error: str = ""


def run_side_by_side(
    jobs: Sequence[Job], root: str, execution: Execution, workers: int | None, stop: Callable[[], bool]
) -> JobOutcome:
    """Carry out jobs in worker processes, ``workers`` at a time.

    Args:
        jobs: the jobs, in the order in which they are started.
        root: folder of the store.
        execution: how each is executed; ``stop`` and ``report`` are set for each worker.
        workers: number of processes at a time; by default one per core, or one on a GPU.
        stop: called repeatedly; ``True`` makes every worker save a checkpoint and end.
    """
    workers = workers or (_count_cores() if str(execution.device) == "cpu" else 1)
    context = mp.get_context("spawn")
    stop_asked = context.Event()
    waiting, active, outcome = list(jobs), list[_Worker](), JobOutcome()
    with Display(jobs) as display:
        while active or (waiting and not stop_asked.is_set()):
            if stop():
                stop_asked.set()
            while waiting and len(active) < workers and not stop_asked.is_set():
                active.append(_start(context, waiting.pop(0), root, execution, stop_asked))
            wait([worker.process.sentinel for worker in active], POLL_S)
            for worker in active:
                _receive(worker, display)
            for worker in [worker for worker in active if not worker.process.is_alive()]:
                active.remove(worker)
                _finish(worker, outcome, display)
    outcome.stopped += waiting
    return outcome


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(context: SpawnContext, job: Job, root: str, execution: Execution, stop_asked: Event) -> _Worker:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, root, execution, stop_asked, sender), name=job.spec.name)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # inherited: an early signal waits for the worker's Stop
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    sender.close()
    return _Worker(job, process, receiver)


def _receive(worker: _Worker, display: Display) -> None:
    """Receive the worker's messages: the step and loss that it is at, or why it did not end well."""
    try:
        while worker.messages.poll():
            message = worker.messages.recv()
            if isinstance(message, str):
                worker.error = message
            else:
                display.update(worker.job, *message)
    except EOFError:
        pass


def _finish(worker: _Worker, outcome: JobOutcome, display: Display) -> None:
    _receive(worker, display)
    code, job = worker.process.exitcode, worker.job
    worker.messages.close()
    if code == 0:
        display.finish(job)
        outcome.done.append(job)
    elif code == EXIT_RESUMABLE:
        outcome.stopped.append(job)
        if worker.error:
            outcome.busy[job.spec.name] = worker.error
    else:
        killed = f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        outcome.failed[job.spec.name] = worker.error or f"{killed}; {RESUME_HINT}"


def _work(job: Job, root: str, execution: Execution, stop_asked: Event, messages: Connection) -> NoReturn:
    """Carry out one job in a worker process, which also ends when its parent is gone."""
    parent = os.getppid()
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(1)
    keep_freed_memory()
    with Stop(also=lambda: stop_asked.is_set() or os.getppid() != parent) as stop:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        own = replace(execution, stop=stop, report=_make_reporter(messages), bar=False)
        try:
            load_or_train(job, RunStore(root), own)
        except Interrupted:
            sys.exit(EXIT_RESUMABLE)
        except BusyError as error:
            _send(messages, str(error))
            sys.exit(EXIT_RESUMABLE)
        except Exception as error:
            _send(messages, f"{type(error).__name__}: {error}")
            sys.exit(1)
    sys.exit(0)


def _make_reporter(messages: Connection) -> Callable[[int, float], None]:
    """Return a function that sends step and loss to the parent, at most once in ``POLL_S`` seconds."""
    next_time = 0.0

    def report(step: int, loss: float) -> None:
        nonlocal next_time
        if time.monotonic() >= next_time:
            next_time = time.monotonic() + POLL_S
            _send(messages, (step, loss))

    return report


def _send(messages: Connection, message: str | tuple[int, float]) -> None:
    with suppress(OSError):  # the parent is gone; the worker's Stop notices that
        messages.send(message)
