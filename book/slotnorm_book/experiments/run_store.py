"""The run store: a folder of finished runs. A run is there completely or not at all; its name follows from its spec.

::

    STORE/weighted_mean-seed0-1f2e3d4c5b6a/
        record.json          the spec, where and how it ran, checksums of the other files and of itself
        curve.parquet        loss and gradient norm of every step, F-ARI on a few scenes now and then
        eval.parquet         one row per scene and setting, see slotnorm.evaluation
        sets.parquet         measures of all scenes together; only for tasks that have some
        model.safetensors    the weights; absent in stores that keep only the tables
    STORE/.running/NAME.checkpoint, NAME.lock, NAME.holder      a run that is not finished

A store is a local folder, or any address that fsspec can read. Runs at such an address can only be read. A store
that cannot be reached is an error that names it; a run is absent only if the store can be read and does not have it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from slotnorm.atomic_files import sync_folder, write_whole
from slotnorm.evaluation import Evaluation
from slotnorm.training.checkpoint import Curve
from slotnorm.training.spec import RunSpec
from slotnorm_book.experiments.record import RecordError, make_record, parse_record
from slotnorm_book.experiments.run import Run, make_run_files
from slotnorm_book.experiments.run_lock import BusyError, RunLock
from slotnorm_book.experiments.run_tables import make_evaluation_files
from slotnorm_book.experiments.store_files import RunError, StoreFiles

__all__ = ["RunStore", "Run", "RunError", "BusyError"]

RECORD = "record.json"
RUNNING, OLD, NEW = ".running", ".old", ".new"
LOOKS = 2
"""How often both places of a run are looked at. While a run is replaced, it moves from one to the other and back."""


class RunStore:
    """A folder of finished runs, which are found by their specification.

    Args:
        root: a local folder, which is created when a run is written, or an fsspec address such as
            ``s3://bucket/runs``, which is read only.

    Raises:
        RunError: ``root`` is a file, empty, the root of a file system, or an address that fsspec cannot read here.

    Example:
        >>> store = RunStore("memory://runs")
        >>> list(store)
        []
    """

    def __init__(self, root: str | Path) -> None:
        self._files = StoreFiles(root)
        self.root, self.local = self._files.root, self._files.local

    def find(self, spec: RunSpec) -> Run | None:
        """Return the run of this spec, or ``None``.

        Raises:
            RunError: the run is there but its record is damaged, or the store cannot be reached.
        """
        return self._find(spec.name)

    def get(self, spec: RunSpec) -> Run:
        """Return the run of this spec.

        Raises:
            RunError: the run is not there, or its record cannot be read.
        """
        if (run := self.find(spec)) is None:
            raise RunError(f"{self.root}: has no run {spec.name}")
        return run

    def __iter__(self) -> Iterator[Run]:
        """Iterate over all runs that can be read, by name; :meth:`damaged` lists the others.

        Raises:
            RunError: the store cannot be reached.
        """
        return (run for run in self._scan() if isinstance(run, Run))

    def damaged(self) -> list[RunError]:
        """List the errors of the runs that cannot be read."""
        return [error for error in self._scan() if isinstance(error, RunError)]

    def check_writable(self) -> None:
        """Check that runs can be written to the store, without creating anything.

        Raises:
            RunError: the store is read only.
        """
        root = self._local()
        for folder in (root, root / RUNNING):
            there = next(place for place in (folder, *folder.parents) if os.path.exists(place))
            if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
                raise RunError(f"{self.root}: cannot be written to: {there} is read only or no folder")

    def checkpoint_path(self, spec: RunSpec) -> Path:
        """Return where the checkpoint of an unfinished run is; :meth:`lock` creates the folder.

        Raises:
            RunError: the store is read only.
        """
        return self._local() / RUNNING / f"{spec.name}.checkpoint"

    def lock(self, spec: RunSpec) -> RunLock:
        """Take the lock on this run. It belongs to the operating system, which releases it if the process dies.

        Raises:
            BusyError: another process holds it; the message says which one.
        """
        return RunLock(self._running(), spec.name)

    def write(
        self,
        spec: RunSpec,
        *,
        model: nn.Module,
        curve: Curve,
        evaluation: Evaluation,
        evaluations: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> Run:
        """Write a finished run completely or not at all, then delete its checkpoint.

        Raises:
            OSError: for example, the disk is full; the checkpoint is kept.
        """
        files = make_run_files(model, curve, evaluation)
        self._replace(spec, files | {RECORD: make_record(spec, provenance, evaluations, files)})
        self.remove_leftovers(spec)
        return self.get(spec)

    def remove_leftovers(self, spec: RunSpec) -> None:
        """Remove leftovers of an interrupted write. The caller must hold the run's lock."""
        self.checkpoint_path(spec).unlink(missing_ok=True)
        if (self._local() / spec.name).exists():
            for leftover in (OLD, NEW):
                shutil.rmtree(self._running() / f"{spec.name}{leftover}", ignore_errors=True)

    def replace_evaluation(self, run: Run, evaluation: Evaluation, evaluations: Mapping[str, Any]) -> Run:
        """Replace a run's evaluation tables; if this is interrupted, the run is the old one or the new one."""
        return self._rewrite(run, run.read_files() | make_evaluation_files(evaluation), evaluations)

    def add(self, run: Run, *, weights: bool) -> Run:
        """Copy a run, of this or another store, with its weights or without; it replaces the one that is here.

        Raises:
            RunError: the run cannot be read, or this store is read only.
        """
        return self._rewrite(run, run.read_files(weights=weights), run.evaluations)

    def _rewrite(self, run: Run, files: Mapping[str, bytes], evaluations: Mapping[str, Any]) -> Run:
        record = make_record(run.spec, run.provenance, evaluations, files)
        self._replace(run.spec, {**files, RECORD: record})
        return self.get(run.spec)

    def _replace(self, spec: RunSpec, files: Mapping[str, bytes]) -> None:
        """Replace the run's folder. If the process is killed between the two moves, the old one is still found."""
        new, old = self._running() / f"{spec.name}{NEW}", self._running() / f"{spec.name}{OLD}"
        place = self._local() / spec.name
        if old.exists() and not place.exists():
            old.rename(place)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        try:
            for name, content in files.items():
                write_whole(new / name, content)
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            raise
        if place.exists():
            place.rename(old)
        new.rename(place)
        sync_folder(place.parent)
        shutil.rmtree(old, ignore_errors=True)

    def _find(self, name: str) -> Run | None:
        """Return the run of this name from its place, or from where a replacement has moved it, or ``None``."""
        for place in (name, f"{RUNNING}/{name}{OLD}") * LOOKS:
            if (content := self._files.read(f"{place}/{RECORD}")) is not None:
                return self._open(name, place, content)
        return None

    def _open(self, name: str, place: str, content: bytes) -> Run:
        address = self._files.address(place)
        try:
            record = parse_record(content)
        except RecordError as error:
            raise RunError(f"{address}/{RECORD}: {error}") from None
        if record.spec.name != name:
            raise RunError(f"{address}/{RECORD}: is the record of another run, {record.spec.name}")
        return Run(
            address=address,
            **vars(record),
            _read_file=lambda file: self._files.read(f"{place}/{file}"),
            _reopen=partial(self._find, name),
        )

    def _scan(self) -> Iterator[Run | RunError]:
        """Iterate over all runs by name, and in place of those that cannot be read over their errors."""
        for name in self._names():
            try:
                run = self._find(name)
            except RunError as error:
                yield error
            else:
                if run is not None:
                    yield run

    def _names(self) -> list[str]:
        """List the names that runs may have; one that is replaced meanwhile is in one of the places at any time."""
        before, aside, after = (self._files.list_names(place) for place in ("", RUNNING, ""))
        moved = {name.removesuffix(OLD) for name in aside if name.endswith(OLD)}
        return sorted({name for name in (*before, *after) if not name.startswith(".")} | moved)

    def _local(self) -> Path:
        if self.local is None:
            raise RunError(f"{self.root}: is read only; give a local folder as the store to train into")
        return self.local

    def _running(self) -> Path:
        folder = self._local() / RUNNING
        folder.mkdir(parents=True, exist_ok=True)
        return folder
