"""Carries out jobs on a Ray cluster: one task per run, one progress display for all of them.

The run store, and all data except stand-ins, must be in folders that every node sees under the same path, on a file
system with locks (NFS has them; Lustre if it is mounted with ``flock``). Every node needs the same version of this
project, installed with the extra ``cluster`` of ``slotnorm-book``. Then::

    ray start --head --port 6379 --disable-usage-stats            # on the first node
    ray start --address FIRST-NODE:6379 --disable-usage-stats     # on every other one
    slotnorm-book sweep clevr-6-7 --scale paper --device cuda --store /shared/runs --executor ray   # on the first

If you have a token for Ray (``~/.ray/auth_token``), give ``export RAY_AUTH_MODE=token`` before each of them.
``--jobs`` is the number of runs that share a GPU. If no cluster is running, the command starts one on this machine
alone, and stops it at the end. A run whose node or process is lost continues elsewhere from its checkpoint.
"""

from __future__ import annotations

import math
import os
import platform
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from slotnorm.training.loop import Interrupted
from slotnorm.training.spec import SpecError
from slotnorm_book.experiments.data_sources import Source, resolve_path
from slotnorm_book.experiments.engine import Execution, Job, load_or_train
from slotnorm_book.experiments.launch.progress import RESUME_HINT, Display, JobOutcome
from slotnorm_book.experiments.run_store import BusyError, RunError, RunStore
from slotnorm_book.process_memory import keep_freed_memory

POLL_S = 0.5
RETRIES = 10
"""How many nodes or processes one run may lose."""
BUSY_S = 180.0
"""Seconds that a run's lock may outlive its process: a file server waits that long for a node that was lost."""


@dataclass(frozen=True)
class _Progress:
    """Where a run is: on which node, at which step, with which loss."""

    node: str
    step: int = 0
    loss: float = float("nan")


class _ProgressActor:
    """A Ray actor through which tasks report progress and learn whether to stop."""

    def __init__(self) -> None:
        self._progress: dict[str, _Progress] = {}
        self._stop = False

    def report(self, name: str, progress: _Progress) -> bool:
        """Store the progress of a run, and return whether it must stop."""
        self._progress[name] = progress
        return self._stop

    def read(self, stop: bool) -> dict[str, _Progress]:
        """Return the latest progress of all runs; with ``stop``, tell them to stop."""
        self._stop = stop
        return self._progress


def run_on_cluster(
    jobs: Sequence[Job],
    root: str,
    execution: Execution,
    workers: int | None,
    stop: Callable[[], bool],
) -> JobOutcome:
    """Carry out jobs on the cluster, as many at a time as it has room for.

    Args:
        jobs: the jobs, in the order in which they are started.
        root: folder of the store, which all nodes must see.
        execution: how each is executed: on one core on ``"cpu"``, on a share of a GPU on ``"cuda"``. A lost node costs
            a run at most ``checkpoint_seconds``.
        workers: number of runs that share a GPU, by default 1; on the CPU the number of runs at a time, by default
            without limit.
        stop: called repeatedly; ``True`` makes every task save a checkpoint and end.

    Raises:
        SpecError: Ray is not installed, its cluster does not answer, or no node has the GPU that ``device`` asks for.
        RunError: the store is not a folder, so it is read only.
    """
    folder = RunStore(root).local
    if folder is None:
        raise RunError(f"{root}: is read only; give a folder that all nodes see as the store to train into")
    folder.mkdir(parents=True, exist_ok=True)
    kind = str(execution.device).split(":")[0]  # Ray shows each task only its own GPU
    with connect() as ray:
        return _Driver(ray, jobs, str(folder.absolute()), replace(execution, device=kind, bar=False), workers).run(stop)


class _Driver:
    """Starts the tasks, shows their progress, tells them to stop, and collects their outcomes."""

    def __init__(self, ray: Any, jobs: Sequence[Job], root: str, execution: Execution, workers: int | None) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        on_gpu = execution.device == "cuda"
        if on_gpu and not ray.cluster_resources().get("GPU"):
            raise SpecError("no node of the Ray cluster has a GPU; add one with `ray start`, or give --device cpu")
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        room = {"num_gpus": _gpu_share(workers or 1), "num_cpus": 0} if on_gpu else {"num_cpus": 1}
        self.ray, self.jobs = ray, jobs
        self.at_a_time = len(jobs) if on_gpu else workers or len(jobs)
        self.task = ray.remote(**room, max_retries=RETRIES)(_run)
        self.actor = ray.remote(num_cpus=0, scheduling_strategy=here)(_ProgressActor).remote()
        self.arguments = root, execution, self.actor
        self.waiting, self.active, self.outcome = list(jobs), dict[Any, Job](), JobOutcome()
        self.cancelled = set[Any]()

    def run(self, stop: Callable[[], bool]) -> JobOutcome:
        """Carry out all jobs, until ``stop`` returns ``True``."""
        stop_asked = False
        with Display(self.jobs) as display:
            while self.waiting or self.active:
                stop_asked = stop_asked or stop()
                if stop_asked:
                    self.outcome.stopped += self.waiting
                    self.waiting.clear()
                while self.waiting and len(self.active) < self.at_a_time:
                    self.start(self.waiting.pop(0))
                self.poll(display, stop_asked)
                for reference in self.wait():
                    self.finish(reference, self.active.pop(reference), display)
        return self.outcome

    def start(self, job: Job) -> None:
        """Start the task of a job."""
        reference = self.task.options(name=job.spec.name).remote(_use_absolute_paths(job), *self.arguments)
        self.active[reference] = job

    def wait(self) -> list[Any]:
        """Wait shortly for a task to end, and return those that did."""
        ended: list[Any] = self.ray.wait(list(self.active), timeout=POLL_S)[0] if self.active else []
        return ended

    def poll(self, display: Display, stop_asked: bool) -> None:
        """Show the progress; if asked to stop, tell the tasks, and cancel those that are on no living node."""
        progress = self.ray.get(self.actor.read.remote(stop_asked))
        alive = {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}
        for reference, job in self.active.items():
            latest = progress.get(job.spec.name)
            if latest and latest.step:
                display.update(job, latest.step, latest.loss)
            if stop_asked and (latest is None or latest.node not in alive):
                self.cancelled.add(reference)
                self.ray.cancel(reference)

    def finish(self, reference: Any, job: Job, display: Display) -> None:
        """Note how a task ended."""
        try:
            ended, reason = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            ended, reason = "failed", f"{type(error).__name__} after {RETRIES} retries; {RESUME_HINT}"
            if reference in self.cancelled:  # a task that was just starting does not end by TaskCancelledError
                ended, reason = "stopped", ""
        if ended == "done":
            display.finish(job)
            self.outcome.done.append(job)
        elif ended == "stopped":
            self.outcome.stopped.append(job)
            if reason:
                self.outcome.busy[job.spec.name] = reason
        else:
            self.outcome.failed[job.spec.name] = reason


def _use_absolute_paths(job: Job) -> Job:
    """Return the job with absolute paths of its data, since a task works in another folder."""

    def make_absolute(source: Source) -> Source:
        return source.with_data(resolve_path(source.data))

    tests = tuple(replace(test, source=make_absolute(test.source)) for test in job.tests)
    return replace(job, train=make_absolute(job.train), tests=tests)


def _gpu_share(runs: int) -> float:
    """Return the share of a GPU for each of ``runs``, rounded down to Ray's precision so that all fit."""
    return math.floor(1e4 / runs) / 1e4


def _run(job: Job, root: str, execution: Execution, actor: Any) -> tuple[str, str]:
    """Carry out a job as a Ray task; returns as :func:`_attempt`."""
    torch.set_num_threads(1)
    keep_freed_memory()
    connection = _TaskConnection(job.spec.name, actor)
    return _attempt(job, root, replace(execution, stop=connection.stop, report=connection.report))


def _attempt(job: Job, root: str, execution: Execution) -> tuple[str, str]:
    """Carry out a job; returns ``done``, ``stopped`` or ``failed``, and why it failed or whose it is."""
    try:
        if not Path(root).is_dir():
            raise RunError(f"there is no folder {root}; the store must be one that all nodes see")
        _wait_and_run(job, RunStore(root), execution)
    except Interrupted:
        return "stopped", ""
    except BusyError as error:
        return "stopped", str(error)
    except Exception as error:
        return "failed", f"{type(error).__name__} on {platform.node()}: {error}"
    return "done", ""


def _wait_and_run(job: Job, store: RunStore, execution: Execution) -> None:
    """Carry out a job as soon as its lock is free, which a process on a lost node may still hold.

    Raises:
        BusyError: the lock was held for :data:`BUSY_S` seconds.
        Interrupted: ``execution.stop`` returned ``True``.
    """
    deadline = time.monotonic() + BUSY_S
    while not execution.stop():
        try:
            load_or_train(job, store, execution)
            return
        except BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
    raise Interrupted(f"{job.spec.name}: stopped before it began")


class _TaskConnection:
    """A task's connection to the progress actor; exchanges progress and the stop flag every half second."""

    def __init__(self, name: str, actor: Any) -> None:
        import ray

        self._get, self._name, self._actor = ray.get, name, actor
        self._progress = _Progress(ray.get_runtime_context().get_node_id())
        self._stop, self._next = False, 0.0

    def report(self, step: int, loss: float) -> None:
        """Remember where the run is; the next exchange sends it."""
        self._progress = replace(self._progress, step=step, loss=loss)

    def stop(self) -> bool:
        """Return whether to stop; exchanges with the actor when half a second has passed."""
        if time.monotonic() >= self._next:
            self._stop = self._get(self._actor.report.remote(self._name, self._progress))
            self._next = time.monotonic() + POLL_S
        return self._stop


OBJECT_STORE_BYTES = 100_000_000
"""Memory of a cluster of this machine alone; only small messages pass through it."""
STARTED_HERE = Path("/tmp/ray/ray_current_cluster")
"""The file in which ``ray start`` writes the address of the cluster that this machine belongs to."""


@contextmanager
def connect() -> Iterator[Any]:
    """Connect Ray to the running cluster, or to one of this machine alone that ends with the context.

    Raises:
        SpecError: Ray is not installed, no cluster answers where one should be, or it refuses.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise SpecError("--executor ray needs Ray; install it with the extra `cluster` of slotnorm-book") from error
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    with _keep_handler(signal.SIGTERM):
        if not _is_cluster_running():
            ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
        else:
            try:
                ray.init("auto", **quiet)
            except ConnectionError as error:
                raise SpecError(f"{error}; if it asks for a token, set RAY_AUTH_MODE=token") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _is_cluster_running() -> bool:
    """Return whether there is a cluster to connect to; Ray itself would wait forever for one that does not answer."""
    address = os.environ.get("RAY_ADDRESS") or (STARTED_HERE.read_text() if STARTED_HERE.exists() else "")
    address = address.strip()
    if address in ("", "local"):
        return False
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise SpecError(
            f"no Ray cluster answers at {address}; unset RAY_ADDRESS, or give `ray stop` to forget it"
        ) from error
    return True


@contextmanager
def _keep_handler(number: int) -> Iterator[None]:
    """Restore the handler of a signal afterwards, which Ray replaces."""
    before = signal.getsignal(number)
    yield
    signal.signal(number, before)
