"""A finished run: its record, tables and weights, from a local folder or from any address that fsspec can read.

What the files of a run are is told in :mod:`slotnorm.store`. Nothing is pickled, and every file is checked against the
checksum in the record before it is used.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import safetensors
from safetensors.torch import load, save
from torch import nn

from slotnorm.checkpoint import Curve
from slotnorm.evaluation import Evaluation
from slotnorm.spec import RunSpec, SpecError

__all__ = ["Run", "RunError"]

FORMAT_VERSION = 1
RECORD, WEIGHTS = "record.json", "model.safetensors"


class RunError(RuntimeError):
    """A run in a store that cannot be used; the message names the file. The other runs of the store still can.

    Example:
        >>> from slotnorm.recipes import recipe
        >>> from slotnorm.store import RunStore
        >>> try:
        ...     RunStore("memory://none").get(recipe("clevr-6-7", "smoke").runs()[0])
        ... except RunError as error:
        ...     print(str(error)[:45])
        memory://none: has no run weighted_mean-seed0
    """


class UnreadableError(RunError):
    """A file of a run is there and may not be read; the run itself may be whole."""


@dataclass(frozen=True)
class Run:
    """A finished run in a store; tables and weights are read when they are asked for.

    Args:
        address: of its folder.
        spec: what was run.
        provenance: where and how, see ``slotnorm.provenance``.
        evaluations: by :attr:`slotnorm.spec.EvaluationSpec.key`, what the rows of the table were asked for.
        files: name to SHA-256.

    Example:
        >>> from slotnorm.pretrained import COMMITTED
        >>> from slotnorm.store import RunStore
        >>> run = next(iter(RunStore(COMMITTED)))
        >>> run.has_weights, len(run.curve) == run.spec.schedule.steps
        (True, True)
    """

    address: str
    spec: RunSpec
    provenance: Mapping[str, Any]
    evaluations: Mapping[str, Any]
    files: Mapping[str, str]
    _filesystem: Any = field(repr=False)

    @property
    def curve(self) -> pd.DataFrame:
        """One row per step, with ``step``, ``loss``, ``gradient_norm``, and ``f_ari`` where it was probed, else NaN."""
        return self._table("curve.parquet")

    @property
    def evaluation(self) -> Evaluation:
        """The evaluated settings; see :class:`slotnorm.evaluation.Evaluation`."""
        sets = self._table("sets.parquet") if "sets.parquet" in self.files else _no_sets()
        return Evaluation(self._table("eval.parquet"), sets)

    @property
    def has_weights(self) -> bool:
        """Whether the model can be loaded."""
        return WEIGHTS in self.files

    def load_model(self) -> nn.Module:
        """The trained model, on the CPU and in evaluation mode.

        Raises:
            RunError: the weights are absent, damaged or of another shape.
        """
        if not self.has_weights:
            raise RunError(f"{self.address}: keeps no weights, only its tables; train it again to get them")
        content = self._read(WEIGHTS)
        model = self.spec.task.build(self.spec.variant)
        try:
            model.load_state_dict(load(content))
        except (RuntimeError, safetensors.SafetensorError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise RunError(f"{self.address}/{WEIGHTS}: does not fit the model of its record: {reason}") from None
        return model.eval()

    def contents(self) -> dict[str, bytes]:
        """All files but the record, by name."""
        return {name: self._read(name) for name in self.files}

    def _table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(io.BytesIO(self._read(name)))

    def _read(self, name: str) -> bytes:
        path = f"{self.address}/{name}"
        try:
            content = _content(self._filesystem, path)
        except FileNotFoundError:
            raise RunError(f"{path}: missing, though its record lists it") from None
        if hashlib.sha256(content).hexdigest() != self.files.get(name):
            raise RunError(f"{path}: damaged, or replaced since {RECORD} was read: its checksum is not the one there")
        return content


def open_run(filesystem: Any, folder: str) -> Run:
    """Read the record of a run in a store.

    Args:
        filesystem: of fsspec.
        folder: of the run.

    Raises:
        RunError: it is missing, damaged or of another format version; UnreadableError: it may not be read.
    """
    path = f"{folder}/{RECORD}"
    try:
        content = json.loads(_content(filesystem, path))
        version = content["format_version"]
        if version != FORMAT_VERSION:
            raise RunError(f"{path}: is of format version {version}, this program reads {FORMAT_VERSION}")
        spec = RunSpec.from_json(content["spec"])
        parts = (content["provenance"], content["evaluations"], content["files"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        kind = "" if isinstance(error, SpecError) else f"{type(error).__name__} "
        raise RunError(f"{path}: is not the record of a run: {kind}{error}") from None
    return Run(folder, spec, *parts, _filesystem=filesystem)


def _content(filesystem: Any, path: str) -> bytes:
    try:
        return bytes(filesystem.cat_file(path))
    except PermissionError:
        raise UnreadableError(f"{path}: may not be read; whoever owns it can permit it") from None


def run_files(model: nn.Module, curve: Curve, evaluation: Evaluation) -> dict[str, bytes]:
    """The files of a finished run but its record, by name."""
    weights = {key: value.contiguous().cpu() for key, value in model.state_dict().items()}
    return {"curve.parquet": _parquet(curve_table(curve)), WEIGHTS: save(weights), **evaluation_files(evaluation)}


def record_file(
    spec: RunSpec, provenance: Mapping[str, Any], evaluations: Mapping[str, Any], files: Mapping[str, bytes]
) -> bytes:
    """The record of a run with these files."""
    content = {
        "format_version": FORMAT_VERSION,
        "spec": spec.to_json(),
        "provenance": dict(provenance),
        "evaluations": dict(evaluations),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def evaluation_files(evaluation: Evaluation) -> dict[str, bytes]:
    """The tables of an evaluation, by name."""
    files = {"eval.parquet": _parquet(evaluation.scenes)}
    return files | ({"sets.parquet": _parquet(evaluation.sets)} if len(evaluation.sets) else {})


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def _no_sets() -> pd.DataFrame:
    return pd.DataFrame(columns=["evaluation", "slots", "iterations", "measure", "value"])


def curve_table(curve: Curve) -> pd.DataFrame:
    """The curve of a run as a table, see :attr:`Run.curve`."""
    table = pd.DataFrame({"loss": curve.loss.numpy(), "gradient_norm": curve.gradient_norm.numpy()})
    table.insert(0, "step", table.index + 1)
    probes = pd.Series(curve.probe_f_ari.numpy(), index=curve.probe_step.numpy() - 1, dtype="float32")
    return table.assign(f_ari=probes)
