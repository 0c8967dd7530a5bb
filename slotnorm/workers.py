"""Runs side by side on one machine: a process each, one progress display for all of them.

A process per run and one thread per process is the fastest way on a CPU, and a worker that dies takes nothing with it:
its checkpoint is there for the next call.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import NoReturn

import torch
from tqdm import tqdm

from slotnorm.engine import Execution, Job, obtain
from slotnorm.interruption import EXIT_GO_ON, Stop
from slotnorm.store import BusyError, RunStore
from slotnorm.training import Interrupted

POLL_S = 0.5


@dataclass
class Outcome:
    """What became of some jobs: those finished, those to go on with, and the failures with their reasons."""

    done: list[Job] = field(default_factory=list)
    stopped: list[Job] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class _Worker:
    job: Job
    process: SpawnProcess
    messages: Connection
    steps: int = 0
    error: str = ""


def run_side_by_side(jobs: Sequence[Job], root: str, device: str, workers: int, stop: Callable[[], bool]) -> Outcome:
    """Obtain every job's run, ``workers`` at a time.

    Args:
        jobs: in the order in which they are begun.
        root: of the store.
        device: of all of them.
        workers: processes at a time.
        stop: ``True`` makes every worker save a checkpoint and end.
    """
    context = mp.get_context("spawn")
    asked = context.Event()
    waiting, active, outcome = list(jobs), list[_Worker](), Outcome()
    with tqdm(total=sum(job.spec.schedule.steps for job in jobs), unit="step", desc=f"0/{len(jobs)} runs") as bar:
        while active or (waiting and not asked.is_set()):
            if stop():
                asked.set()
            while waiting and len(active) < workers and not asked.is_set():
                active.append(_start(context, waiting.pop(0), root, device, asked))
            wait([worker.process.sentinel for worker in active], POLL_S)
            for worker in active:
                _read(worker, bar)
            for worker in [worker for worker in active if not worker.process.is_alive()]:
                active.remove(worker)
                _end(worker, outcome, bar)
                bar.set_description(f"{len(outcome.done)}/{len(jobs)} runs")
    outcome.stopped += waiting
    return outcome


def _start(context: mp.context.SpawnContext, job: Job, root: str, device: str, asked: mp.synchronize.Event) -> _Worker:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, root, device, asked, sender), name=job.spec.name)
    process.start()
    sender.close()
    return _Worker(job, process, receiver)


def _read(worker: _Worker, bar: tqdm[NoReturn]) -> None:
    """Take the worker's messages: steps done, or why it failed."""
    try:
        while worker.messages.poll():
            message = worker.messages.recv()
            if isinstance(message, str):
                worker.error = message
                continue
            bar.update(message[0] - worker.steps)
            worker.steps = message[0]
            bar.set_postfix({worker.job.spec.variant: f"{message[1]:.4f}"}, refresh=False)
    except EOFError:
        pass


def _end(worker: _Worker, outcome: Outcome, bar: tqdm[NoReturn]) -> None:
    _read(worker, bar)
    code, job = worker.process.exitcode, worker.job
    worker.messages.close()
    if code == 0:
        bar.update(job.spec.schedule.steps - worker.steps)
        outcome.done.append(job)
    elif code == EXIT_GO_ON:
        outcome.stopped.append(job)
    else:
        killed = f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        outcome.failed[job.spec.name] = worker.error or f"{killed}; the same command goes on from its checkpoint"


def _work(job: Job, root: str, device: str, asked: mp.synchronize.Event, messages: Connection) -> NoReturn:
    """One worker's life; it also ends when its parent is gone."""
    parent = os.getppid()
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(1)
    with Stop(also=lambda: asked.is_set() or os.getppid() != parent) as stop:
        execution = Execution(device, stop, _reporter(messages), bar=False)
        try:
            obtain(job, RunStore(root), execution)
        except (Interrupted, BusyError):
            os._exit(EXIT_GO_ON)
        except Exception as error:
            _tell(messages, f"{type(error).__name__}: {error}")
            os._exit(1)
    os._exit(0)


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
