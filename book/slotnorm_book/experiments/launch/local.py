"""Runs side by side on one machine: a process each, one progress display for all of them.

A process per run and one thread per process is the fastest way on a CPU, and a worker that dies takes nothing with it:
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
from multiprocessing.context import SpawnProcess
from typing import NoReturn

import torch

from slotnorm.training.loop import Interrupted
from slotnorm_book.experiments.engine import Execution, Job, obtain
from slotnorm_book.experiments.launch.progress import GO_ON, Display, Outcome
from slotnorm_book.experiments.launch.stop import EXIT_GO_ON, SIGNALS, Stop
from slotnorm_book.experiments.run_store import BusyError, RunStore

POLL_S = 0.5


@dataclass
class _Worker:
    job: Job
    process: SpawnProcess
    messages: Connection
    error: str = ""


def run_side_by_side(
    jobs: Sequence[Job], root: str, execution: Execution, workers: int | None, stop: Callable[[], bool]
) -> Outcome:
    """Obtain every job's run, ``workers`` at a time.

    Args:
        jobs: in the order in which they are begun.
        root: of the store.
        execution: of all of them; each has its own stop and report.
        workers: processes at a time; by default one per core, or one on a GPU.
        stop: ``True`` makes every worker save a checkpoint and end.
    """
    workers = workers or (_cores() if str(execution.device) == "cpu" else 1)
    context = mp.get_context("spawn")
    asked = context.Event()
    waiting, active, outcome = list(jobs), list[_Worker](), Outcome()
    with Display(jobs) as display:
        while active or (waiting and not asked.is_set()):
            if stop():
                asked.set()
            while waiting and len(active) < workers and not asked.is_set():
                active.append(_start(context, waiting.pop(0), root, execution, asked))
            wait([worker.process.sentinel for worker in active], POLL_S)
            for worker in active:
                _read(worker, display)
            for worker in [worker for worker in active if not worker.process.is_alive()]:
                active.remove(worker)
                _end(worker, outcome, display)
    outcome.stopped += waiting
    return outcome


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(
    context: mp.context.SpawnContext, job: Job, root: str, execution: Execution, asked: mp.synchronize.Event
) -> _Worker:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, root, execution, asked, sender), name=job.spec.name)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # inherited: one that comes early waits for the worker's Stop
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    sender.close()
    return _Worker(job, process, receiver)


def _read(worker: _Worker, display: Display) -> None:
    """Take the worker's messages: steps done, or why it failed."""
    try:
        while worker.messages.poll():
            message = worker.messages.recv()
            if isinstance(message, str):
                worker.error = message
            else:
                display.at(worker.job, *message)
    except EOFError:
        pass


def _end(worker: _Worker, outcome: Outcome, display: Display) -> None:
    _read(worker, display)
    code, job = worker.process.exitcode, worker.job
    worker.messages.close()
    if code == 0:
        display.finished(job)
        outcome.done.append(job)
    elif code == EXIT_GO_ON:
        outcome.stopped.append(job)
    else:
        killed = f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        outcome.failed[job.spec.name] = worker.error or f"{killed}; {GO_ON}"


def _work(job: Job, root: str, execution: Execution, asked: mp.synchronize.Event, messages: Connection) -> NoReturn:
    """One worker's life; it also ends when its parent is gone."""
    parent = os.getppid()
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(1)
    with Stop(also=lambda: asked.is_set() or os.getppid() != parent) as stop:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        own = replace(execution, stop=stop, report=_reporter(messages), bar=False)
        try:
            obtain(job, RunStore(root), own)
        except (Interrupted, BusyError):
            sys.exit(EXIT_GO_ON)
        except Exception as error:
            _tell(messages, f"{type(error).__name__}: {error}")
            sys.exit(1)
    sys.exit(0)


def _reporter(messages: Connection) -> Callable[[int, float], None]:
    last = [0.0]

    def report(step: int, loss: float) -> None:
        if time.monotonic() - last[0] > POLL_S:
            last[0] = time.monotonic()
            _tell(messages, (step, loss))

    return report


def _tell(messages: Connection, what: object) -> None:
    with suppress(OSError):  # the parent is gone, and the stop tells so
        messages.send(what)
