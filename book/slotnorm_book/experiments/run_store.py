"""The run store: a folder of finished runs. A run is there completely or not at all; its name follows from its spec.

::

    STORE/weighted_mean-seed0-1f2e3d4c5b6a/
        record.json          the spec, where and how it ran, checksums of the other files
        curve.parquet        loss and gradient norm of every step, F-ARI on a few scenes now and then
        eval.parquet         one row per scene and setting, see slotnorm.evaluation
        sets.parquet         measures of all scenes together; only for tasks that have some
        model.safetensors    the weights; absent in stores that keep only the tables
    STORE/.running/NAME.checkpoint, NAME.lock      a run that is not finished

A store is a local folder, or any address that fsspec can read. Runs at such an address can only be read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import safetensors
from filelock import FileLock, Timeout
from fsspec import AbstractFileSystem
from safetensors.torch import load, save
from torch import nn

from slotnorm.atomic_files import sync_folder, write_whole
from slotnorm.evaluation import SET_COLUMNS, Evaluation
from slotnorm.models import SlotModel
from slotnorm.training.checkpoint import Curve
from slotnorm.training.spec import RunSpec, SpecError

__all__ = ["RunStore", "Run", "RunError", "BusyError"]

FORMAT_VERSION = 1
RECORD, WEIGHTS = "record.json", "model.safetensors"
CURVE, SCENES, SETS = "curve.parquet", "eval.parquet", "sets.parquet"
RUNNING, OLD, NEW = ".running", ".old", ".new"


class RunError(RuntimeError):
    """A run in a store that cannot be used. The message names the file. The other runs of the store are not affected.

    Example:
        >>> from slotnorm_book.experiments.recipes import recipe
        >>> from slotnorm_book.experiments.run_store import RunStore
        >>> try:
        ...     RunStore("memory://none").get(recipe("clevr-6-7", "smoke").runs()[0])
        ... except RunError as error:
        ...     print(str(error)[:45])
        memory://none: has no run weighted_mean-seed0
    """


class UnreadableError(RunError):
    """A file of a run that exists but may not be read; the run itself may be intact."""


class BusyError(RuntimeError):
    """Another process is working on this run.

    Example:
        >>> issubclass(BusyError, RuntimeError)
        True
    """


@dataclass(frozen=True)
class Run:
    """A finished run in a store. Tables and weights are read each time they are accessed.

    Args:
        address: the run's folder.
        spec: the specification that was run.
        provenance: where and how it ran, see ``slotnorm_book.experiments.provenance``.
        evaluations: what the rows of the table were evaluated on, by
            :attr:`slotnorm_book.experiments.test_sets.EvaluationSpec.key`.
        files: SHA-256 of each file, by name.

    Example:
        >>> from slotnorm_book.checkout import RECORDS
        >>> from slotnorm_book.experiments.run_store import RunStore
        >>> run = next(iter(RunStore(RECORDS)))
        >>> run.has_weights, len(run.curve) == run.spec.schedule.steps
        (True, True)
    """

    address: str
    spec: RunSpec
    provenance: Mapping[str, Any]
    evaluations: Mapping[str, Any]
    files: Mapping[str, str]
    _filesystem: AbstractFileSystem = field(repr=False)

    @property
    def curve(self) -> pd.DataFrame:
        """Return one row per step, with its loss, gradient norm and F-ARI, which is NaN where it was not probed."""
        return self._table(CURVE)

    @property
    def evaluation(self) -> Evaluation:
        """The evaluated settings; see :class:`slotnorm.evaluation.Evaluation`."""
        sets = self._table(SETS) if SETS in self.files else pd.DataFrame(columns=SET_COLUMNS)
        return Evaluation(self._table(SCENES), sets)

    @property
    def has_weights(self) -> bool:
        """Whether the store has the weights, so that the model can be loaded."""
        return WEIGHTS in self.files

    def load_model(self) -> SlotModel[Any]:
        """Load the trained model onto the CPU, in evaluation mode.

        Raises:
            RunError: the weights are absent, damaged or of another shape.
        """
        if not self.has_weights:
            raise RunError(f"{self.address}: has no weights, only tables; train it again to get them")
        content = self._read(WEIGHTS)
        model = self.spec.task.build(self.spec.variant)
        try:
            model.load_state_dict(load(content))
        except (RuntimeError, safetensors.SafetensorError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise RunError(f"{self.address}/{WEIGHTS}: does not fit the model of its record: {reason}") from None
        return model.eval()

    def read_files(self) -> dict[str, bytes]:
        """Read all files except the record, by name."""
        return {name: self._read(name) for name in self.files}

    def _table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(io.BytesIO(self._read(name)))

    def _read(self, name: str) -> bytes:
        path = f"{self.address}/{name}"
        try:
            content = _read_content(self._filesystem, path)
        except FileNotFoundError:
            raise RunError(f"{path}: missing, though its record lists it") from None
        if hashlib.sha256(content).hexdigest() != self.files.get(name):
            raise RunError(
                f"{path}: damaged, or replaced since {RECORD} was read: its checksum differs from the record"
            )
        return content


class RunStore:
    """A folder of finished runs, which are found by their specification.

    Args:
        root: a local folder, which is created when a run is written, or an fsspec address such as
            ``s3://bucket/runs``, which is read only.

    Raises:
        RunError: ``root`` is a file, or an address that fsspec cannot read here.

    Example:
        >>> store = RunStore("memory://runs")
        >>> list(store)
        []
    """

    def __init__(self, root: str | Path) -> None:
        self.root = str(root).rstrip("/")
        try:
            self._filesystem, self._base = fsspec.url_to_fs(self.root)
        except (ValueError, ImportError) as error:
            raise RunError(f"{self.root}: neither a folder nor an address that can be read here: {error}") from None
        self.local = Path(self._base) if "file" in _list_protocols(self._filesystem) else None
        if self.local and os.path.exists(self.local) and not os.path.isdir(self.local):
            raise RunError(f"{self.root}: is a file; a run store is a folder")

    def find(self, spec: RunSpec) -> Run | None:
        """Return the run of this spec, or ``None``.

        Raises:
            RunError: the run is there but its record cannot be read.
        """
        return self._open(spec.name) if self._filesystem.exists(f"{self._folder(spec.name)}/{RECORD}") else None

    def get(self, spec: RunSpec) -> Run:
        """Return the run of this spec.

        Raises:
            RunError: the run is not there, or its record cannot be read.
        """
        if (run := self.find(spec)) is None:
            raise RunError(f"{self.root}: has no run {spec.name}")
        return run

    def __iter__(self) -> Iterator[Run]:
        """Iterate over all runs that can be read, by name; :meth:`damaged` lists the others."""
        for name in self._names():
            try:
                yield self._open(name)
            except RunError:
                continue

    def damaged(self) -> list[RunError]:
        """List the errors of the runs that cannot be read."""
        errors = []
        for name in self._names():
            try:
                self._open(name)
            except RunError as error:
                errors.append(error)
        return errors

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

    def lock(self, spec: RunSpec) -> FileLock:
        """Take the lock on this run. It belongs to the operating system, which releases it if the process dies.

        Raises:
            BusyError: another process holds it.
        """
        lock = FileLock(self._running() / f"{spec.name}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise BusyError(f"{spec.name}: another process is working on this run in {self.root}") from None
        return lock

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
        return self._open(spec.name)

    def remove_leftovers(self, spec: RunSpec) -> None:
        """Remove leftovers of an interrupted write. The caller must hold the run's lock."""
        self.checkpoint_path(spec).unlink(missing_ok=True)
        if (self._local() / spec.name).exists():
            for leftover in (OLD, NEW):
                shutil.rmtree(self._running() / f"{spec.name}{leftover}", ignore_errors=True)

    def replace_evaluation(self, run: Run, evaluation: Evaluation, evaluations: Mapping[str, Any]) -> Run:
        """Replace a run's evaluation tables; if this is interrupted, the run is the old one or the new one."""
        return self._rewrite(run, run.read_files() | make_evaluation_files(evaluation), evaluations)

    def drop_weights(self, run: Run) -> Run:
        """Delete a run's weights and keep its tables."""
        kept = {name: content for name, content in run.read_files().items() if name != WEIGHTS}
        return self._rewrite(run, kept, run.evaluations)

    def _rewrite(self, run: Run, files: Mapping[str, bytes], evaluations: Mapping[str, Any]) -> Run:
        record = make_record(run.spec, run.provenance, evaluations, files)
        self._replace(run.spec, {**files, RECORD: record})
        return self._open(run.spec.name)

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

    def _open(self, name: str) -> Run:
        run = open_run(self._filesystem, self._folder(name))
        if run.spec.name != name:
            raise RunError(f"{run.address}/{RECORD}: is the record of another run, {run.spec.name}")
        return run

    def _folder(self, name: str) -> str:
        """Return the folder of a run: in its place, or where an interrupted replacement moved it."""
        place, aside = f"{self._base}/{name}", f"{self._base}/{RUNNING}/{name}{OLD}"
        return aside if self._filesystem.exists(aside) and not self._filesystem.exists(place) else place

    def _names(self) -> list[str]:
        """List the names of all runs, intact or damaged."""
        inside = self._listing(self._base)
        found = {name for name in inside if self._filesystem.exists(f"{self._base}/{name}/{RECORD}")}
        aside = {name.removesuffix(OLD) for name in self._listing(f"{self._base}/{RUNNING}") if name.endswith(OLD)}
        return sorted(found | aside)

    def _listing(self, folder: str) -> list[str]:
        if not self._filesystem.exists(folder):
            return []
        try:
            entries = self._filesystem.ls(folder, detail=False)
        except PermissionError:
            raise RunError(f"{folder}: may not be read; its owner can permit it") from None
        return [str(entry).rstrip("/").rpartition("/")[2] for entry in entries]

    def _local(self) -> Path:
        if self.local is None:
            raise RunError(f"{self.root}: is read only; give a local folder as the store to train into")
        return self.local

    def _running(self) -> Path:
        folder = self._local() / RUNNING
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def open_run(filesystem: AbstractFileSystem, folder: str) -> Run:
    """Read the record of a run in a store.

    Args:
        filesystem: fsspec's file system of the store.
        folder: of the run.

    Raises:
        RunError: the record is missing, damaged or of another format version.
        UnreadableError: the record may not be read.
    """
    path = f"{folder}/{RECORD}"
    try:
        content = json.loads(_read_content(filesystem, path))
        version = content["format_version"]
        if version != FORMAT_VERSION:
            raise RunError(f"{path}: is of format version {version}, this program reads {FORMAT_VERSION}")
        return Run(
            address=folder,
            spec=RunSpec.from_json(content["spec"]),
            provenance=content["provenance"],
            evaluations=content["evaluations"],
            files=content["files"],
            _filesystem=filesystem,
        )
    except (ValueError, KeyError, TypeError, OSError) as error:
        kind = "" if isinstance(error, SpecError) else f"{type(error).__name__} "
        raise RunError(f"{path}: is not the record of a run: {kind}{error}") from None


def make_run_files(model: nn.Module, curve: Curve, evaluation: Evaluation) -> dict[str, bytes]:
    """Encode the files of a finished run except its record, by name."""
    weights = {key: value.contiguous().cpu() for key, value in model.state_dict().items()}
    return {
        CURVE: _encode_parquet(make_curve_table(curve)),
        WEIGHTS: save(weights),
        **make_evaluation_files(evaluation),
    }


def make_record(
    spec: RunSpec, provenance: Mapping[str, Any], evaluations: Mapping[str, Any], files: Mapping[str, bytes]
) -> bytes:
    """Encode the record of a run that has these files."""
    content = {
        "format_version": FORMAT_VERSION,
        "spec": spec.to_json(),
        "provenance": dict(provenance),
        "evaluations": dict(evaluations),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def make_evaluation_files(evaluation: Evaluation) -> dict[str, bytes]:
    """Encode the tables of an evaluation, by name."""
    files = {SCENES: _encode_parquet(evaluation.scenes)}
    return files | ({SETS: _encode_parquet(evaluation.sets)} if len(evaluation.sets) else {})


def make_curve_table(curve: Curve) -> pd.DataFrame:
    """Make the table of a training curve, see :attr:`Run.curve`."""
    table = pd.DataFrame({"loss": curve.loss.numpy(), "gradient_norm": curve.gradient_norm.numpy()})
    table.insert(0, "step", table.index + 1)
    probes = pd.Series(curve.probe_f_ari.numpy(), index=curve.probe_step.numpy() - 1, dtype="float32")
    return table.assign(f_ari=probes)


def _encode_parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def _read_content(filesystem: AbstractFileSystem, path: str) -> bytes:
    try:
        return bytes(filesystem.cat_file(path))
    except PermissionError:
        raise UnreadableError(f"{path}: may not be read; its owner can permit it") from None


def _list_protocols(filesystem: AbstractFileSystem) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
