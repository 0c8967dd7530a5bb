"""The format of ``record.json``: what a finished run says of itself.

A record can come from anybody: its types, ranges and file names are checked before anything uses them. Version 2 has a
``checksum`` of everything else in it. Version 1, which has none, is still read; nothing writes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_core import from_json

from slotnorm.tasks import TASKS
from slotnorm.training.spec import Data, Optimizer, RunSpec, Schedule, digest

FORMAT_VERSION = 2
READABLE = (1, FORMAT_VERSION)
CURVE, SCENES, SETS, WEIGHTS = "curve.parquet", "eval.parquet", "sets.parquet", "model.safetensors"

FileName = Literal["curve.parquet", "eval.parquet", "sets.parquet", "model.safetensors"]
Checksum = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Setting = bool | int | float | str | list[int] | None


class RecordError(ValueError):
    """A content that is not the record of a run; the message is the reason, in one line."""


@dataclass(frozen=True)
class Record:
    """The content of a record, checked; the fields are those of :class:`~slotnorm_book.experiments.run_store.Run`."""

    spec: RunSpec
    provenance: Mapping[str, Any]
    evaluations: Mapping[str, Any]
    files: Mapping[str, str]


class _Checked(BaseModel):
    """Types as they are written, finite numbers, no further fields; dataclasses inside are checked in the same way."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Spec(_Checked):
    task: dict[str, Setting]
    data: Data
    variant: str
    seed: int
    schedule: Schedule
    optimizer: Optimizer
    batch_size: int
    precision: str

    @field_validator("task")
    @classmethod
    def _fits_its_kind(cls, task: dict[str, Setting]) -> dict[str, Setting]:
        kind = task.get("kind")
        if not isinstance(kind, str) or kind not in TASKS:
            raise ValueError(f"kind must be one of {', '.join(TASKS)}")
        sizes = {name: value for name, value in task.items() if name != "kind"}
        try:
            TypeAdapter(TASKS[kind]).validate_json(json.dumps(sizes), strict=True)
        except ValidationError as error:
            raise ValueError(_describe(error)) from None
        return task


class _Provenance(_Checked):
    model_config = ConfigDict(extra="allow")

    finished: str
    commit: str
    versions: dict[str, str]
    device: str
    threads: int
    processes: int
    compiled: bool = False
    seconds: Annotated[float, Field(ge=0)]
    steps_per_second: Annotated[float, Field(gt=0)] | None
    peak_gpu_memory: Annotated[int, Field(ge=0)] | None
    data_digest: str


class _Evaluation(_Checked):
    label: str
    name: str
    identity: str
    max_objects: int | None
    scenes: int
    draw: int | None
    seed: int
    undefined: list[str] = []


class _Content(_Checked):
    format_version: Literal[1, 2]
    spec: _Spec
    provenance: _Provenance
    evaluations: dict[str, _Evaluation]
    files: dict[FileName, Checksum]
    checksum: Checksum | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> _Content:
        if (self.format_version == 1) != (self.checksum is None):
            raise ValueError("format version 2 has a checksum, version 1 has none")
        if lacking := {CURVE, SCENES} - set(self.files):
            raise ValueError(f"files lacks {', '.join(sorted(lacking))}")
        return self


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
    signed = {**content, "checksum": digest(content)}
    return (json.dumps(signed, indent=1, allow_nan=False) + "\n").encode()


def parse_record(content: bytes) -> Record:
    """Read what :func:`make_record` returned, or a record of an earlier version.

    Raises:
        RecordError: it is damaged, of another version, or not the record of a run.
    """
    try:
        raw = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise RecordError(f"is not the record of a run: is no JSON: {error}") from None
    if not isinstance(raw, dict) or "format_version" not in raw:
        raise RecordError("is not the record of a run: has no format_version")
    if (version := raw["format_version"]) not in READABLE:
        readable = " and ".join(map(str, READABLE))
        raise RecordError(f"is of format version {str(version)[:20]!r}, this program reads {readable}")
    try:
        checked = _Content.model_validate_json(content)
        _check_sum(raw, checked.checksum)
        spec = RunSpec.from_json(raw["spec"])
    except ValidationError as error:
        raise RecordError(f"is not the record of a run: {_describe(error)}") from None
    except ValueError as error:
        raise RecordError(" ".join(str(error).split())) from None
    return Record(spec, raw["provenance"], raw["evaluations"], raw["files"])


def _check_sum(raw: Mapping[str, Any], checksum: str | None) -> None:
    signed = {name: value for name, value in raw.items() if name != "checksum"}
    if checksum is not None and digest(signed) != checksum:
        raise RecordError("damaged: its checksum is not the one that it was written with")


def _describe(error: ValidationError) -> str:
    """Name the first field that is wrong, and why."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))[:80]
    return " ".join(f"{place}: {first['msg']}".split()).removeprefix(": ")
