"""Runs on a Ray cluster: a task each, one progress display for all of them.

The run store, and data that are no stand-in, lie in a folder that all nodes see at the same place, on a file system
with locks (NFS has them; Lustre when mounted with ``flock``). Every node has the same ``slotnorm[cluster]``. Then::

    ray start --head --port 6379 --disable-usage-stats            # on the first node
    ray start --address FIRST-NODE:6379 --disable-usage-stats     # on every other one
    slotnorm-book sweep clevr-6-7 --scale paper --device cuda --store /shared/runs --executor ray   # on the first

Where the user has a token for Ray (``~/.ray/auth_token``), ``export RAY_AUTH_MODE=token`` comes before each of them.
``--jobs`` is the number of runs that share a GPU. Where no cluster runs, one is started on this machine alone and ended
with the command. A run whose node or process is lost goes on elsewhere from its checkpoint in the store.
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
from slotnorm_book.experiments.data_sources import Source, resolve
from slotnorm_book.experiments.engine import Execution, Job, obtain
from slotnorm_book.experiments.launch.progress import GO_ON, Display, Outcome
from slotnorm_book.experiments.run_store import BusyError, RunError, RunStore

POLL_S = 0.5
RETRIES = 10
"""Nodes or processes that one run may lose."""
BUSY_S = 180.0
"""How long a run's lock may outlive its process: a file server waits that long for a node that was lost."""


@dataclass(frozen=True)
class _News:
    """Where a run is: on which node, at which step, with which loss."""

    node: str
    step: int = 0
    loss: float = float("nan")


class _Board:
    """An actor beside the driver, on which tasks leave their news and learn whether they shall stop."""

    def __init__(self) -> None:
        self._news: dict[str, _News] = {}
        self._stop = False

    def leave(self, name: str, news: _News) -> bool:
        """Take a run's news; returns whether it shall stop."""
        self._news[name] = news
        return self._stop

    def read(self, stop: bool) -> dict[str, _News]:
        """The latest news of all runs; with ``stop``, tell them to stop."""
        self._stop = stop
        return self._news


def run_on_cluster(
    jobs: Sequence[Job],
    root: str,
    execution: Execution,
    workers: int | None,
    stop: Callable[[], bool],
) -> Outcome:
    """Obtain every job's run, as many at a time as the cluster has room for.

    Args:
        jobs: in the order in which they are begun.
        root: of the store, a folder that all nodes see.
        execution: of all of them: a core each on ``"cpu"``, a share of a GPU on ``"cuda"``; ``checkpoint_seconds`` are
            what a lost node costs a run at most.
        workers: runs that share a GPU, by default 1; on the CPU runs at a time, by default no limit.
        stop: ``True`` makes every task save a checkpoint and end.

    Raises:
        SpecError: Ray is not installed, its cluster does not answer, or no node has the GPU that ``device`` asks for.
        RunError: the store is no folder, so it is read only.
    """
    folder = RunStore(root).local
    if folder is None:
        raise RunError(f"{root}: is read only; give a folder that all nodes see as the store to train into")
    folder.mkdir(parents=True, exist_ok=True)
    kind = str(execution.device).split(":")[0]  # of the GPUs, Ray shows a task its own
    with connected() as ray:
        return _Sweep(ray, jobs, str(folder.absolute()), replace(execution, device=kind, bar=False), workers).run(stop)


class _Sweep:
    """What the driver does: begins tasks, shows their news, tells them to stop, and takes what became of them."""

    def __init__(self, ray: Any, jobs: Sequence[Job], root: str, execution: Execution, workers: int | None) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        on_gpu = execution.device == "cuda"
        if on_gpu and not ray.cluster_resources().get("GPU"):
            raise SpecError("no node of the Ray cluster has a GPU; add one with `ray start`, or give --device cpu")
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        room = {"num_gpus": _share(workers or 1), "num_cpus": 0} if on_gpu else {"num_cpus": 1}
        self.ray, self.jobs = ray, jobs
        self.at_a_time = len(jobs) if on_gpu else workers or len(jobs)
        self.task = ray.remote(**room, max_retries=RETRIES)(_run)
        self.board = ray.remote(num_cpus=0, scheduling_strategy=here)(_Board).remote()
        self.where = root, execution, self.board
        self.waiting, self.active, self.outcome = list(jobs), dict[Any, Job](), Outcome()
        self.called_off = set[Any]()

    def run(self, stop: Callable[[], bool]) -> Outcome:
        asked = False
        with Display(self.jobs) as display:
            while self.waiting or self.active:
                asked = asked or stop()
                if asked:
                    self.outcome.stopped += self.waiting
                    self.waiting.clear()
                while self.waiting and len(self.active) < self.at_a_time:
                    self.start(self.waiting.pop(0))
                self.look(display, asked)
                for reference in self.ended():
                    self.end(reference, self.active.pop(reference), display)
        return self.outcome

    def start(self, job: Job) -> None:
        reference = self.task.options(name=job.spec.name).remote(_findable(job), *self.where)
        self.active[reference] = job

    def ended(self) -> list[Any]:
        ended: list[Any] = self.ray.wait(list(self.active), timeout=POLL_S)[0] if self.active else []
        return ended

    def look(self, display: Display, asked: bool) -> None:
        """Show the news; when asked to stop, tell the tasks, and call off those that are on no living node."""
        news = self.ray.get(self.board.read.remote(asked))
        alive = {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}
        for reference, job in self.active.items():
            latest = news.get(job.spec.name)
            if latest and latest.step:
                display.at(job, latest.step, latest.loss)
            if asked and (latest is None or latest.node not in alive):
                self.called_off.add(reference)
                self.ray.cancel(reference)

    def end(self, reference: Any, job: Job, display: Display) -> None:
        try:
            ended, reason = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            ended, reason = "failed", f"{type(error).__name__} after {RETRIES} retries; {GO_ON}"
            if reference in self.called_off:  # a task that was just beginning does not end by TaskCancelledError
                ended = "stopped"
        if ended == "done":
            display.finished(job)
            self.outcome.done.append(job)
        elif ended == "stopped":
            self.outcome.stopped.append(job)
        else:
            self.outcome.failed[job.spec.name] = reason


def _findable(job: Job) -> Job:
    """The job with absolute paths, since a task works in another folder."""

    def absolute(source: Source) -> Source:
        return source.over(resolve(source.data))

    tests = tuple(replace(test, source=absolute(test.source)) for test in job.tests)
    return replace(job, train=absolute(job.train), tests=tests)


def _share(runs: int) -> float:
    """Of a GPU, rounded down to what Ray can count, so that all runs fit."""
    return math.floor(1e4 / runs) / 1e4


def _run(job: Job, root: str, execution: Execution, board: Any) -> tuple[str, str]:
    """A task, on whatever node."""
    torch.set_num_threads(1)
    line = _Line(job.spec.name, board)
    return _attempt(job, root, replace(execution, stop=line.stop, report=line.report))


def _attempt(job: Job, root: str, execution: Execution) -> tuple[str, str]:
    """What became of the run: ``done``, ``stopped``, or ``failed`` and why."""
    try:
        if not Path(root).is_dir():
            raise RunError(f"there is no folder {root}; the store must be one that all nodes see")
        _obtain(job, RunStore(root), execution)
    except (Interrupted, BusyError):
        return "stopped", ""
    except Exception as error:
        return "failed", f"{type(error).__name__} on {platform.node()}: {error}"
    return "done", ""


def _obtain(job: Job, store: RunStore, execution: Execution) -> None:
    """Obtain the run as soon as the process that was at it, perhaps on a node that is lost, has let go of it."""
    deadline = time.monotonic() + BUSY_S
    while not execution.stop():
        try:
            obtain(job, store, execution)
            return
        except BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
    raise Interrupted(f"{job.spec.name}: stopped before it began")


class _Line:
    """A task's line to the board; now and then it leaves the news there and learns whether to stop."""

    def __init__(self, name: str, board: Any) -> None:
        import ray

        self._get, self._name, self._board = ray.get, name, board
        self._news = _News(ray.get_runtime_context().get_node_id())
        self._stop, self._next = False, 0.0

    def report(self, step: int, loss: float) -> None:
        """Remember where the run is."""
        self._news = replace(self._news, step=step, loss=loss)

    def stop(self) -> bool:
        """Whether to stop."""
        if time.monotonic() >= self._next:
            self._stop = self._get(self._board.leave.remote(self._name, self._news))
            self._next = time.monotonic() + POLL_S
        return self._stop


OBJECT_STORE_BYTES = 100_000_000
"""Of a cluster of this machine alone; only small messages pass through it."""
STARTED_HERE = Path("/tmp/ray/ray_current_cluster")
"""Where ``ray start`` notes the address of the cluster that this machine belongs to."""


@contextmanager
def connected() -> Iterator[Any]:
    """Ray, connected to the running cluster, or to one of this machine alone that ends with the context.

    Raises:
        SpecError: Ray is not installed, no cluster answers where one should be, or it refuses.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise SpecError("--executor ray needs Ray: install slotnorm[cluster]") from error
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    with _same_handler(signal.SIGTERM):
        if not _one_runs():
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


def _one_runs() -> bool:
    """Whether there is a cluster to connect to; Ray itself would wait without end for one that does not answer."""
    address = os.environ.get("RAY_ADDRESS") or (STARTED_HERE.read_text() if STARTED_HERE.exists() else "")
    address = address.strip()
    if address in ("", "local"):
        return False
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise SpecError(
            f"no Ray cluster answers at {address}; unset RAY_ADDRESS or give `ray stop` to be rid of it"
        ) from error
    return True


@contextmanager
def _same_handler(number: int) -> Iterator[None]:
    """Give a signal its handler back, which Ray replaces."""
    before = signal.getsignal(number)
    yield
    signal.signal(number, before)
