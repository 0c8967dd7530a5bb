"""A store in which nothing can be trusted: records and tables as somebody could write them who means harm."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from slotnorm.training.spec import digest
from slotnorm_book.experiments.record import CURVE, SCENES
from slotnorm_book.experiments.run_store import RECORD

Content = dict[str, Any]


def encode(content: Content) -> bytes:
    """A record with this content and the checksum that belongs to it, if it is of a version that has one."""
    unsigned = {name: value for name, value in content.items() if name != "checksum"}
    signed = unsigned if unsigned.get("format_version") == 1 else {**unsigned, "checksum": digest(unsigned)}
    return json.dumps(signed, indent=1).encode()


def change_record(folder: Path, **changes: Any) -> None:
    """Give the record of a run other values."""
    path = folder / RECORD
    path.write_bytes(encode(json.loads(path.read_bytes()) | changes))


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Give a run another file, which its record vouches for."""
    (folder / name).write_bytes(content)
    files = json.loads((folder / RECORD).read_bytes())["files"]
    change_record(folder, files=files | {name: hashlib.sha256(content).hexdigest()})


def change_table(folder: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Give a run another table, which its record vouches for."""
    buffer = io.BytesIO()
    change(pd.read_parquet(folder / name)).to_parquet(buffer, index=False)
    replace_file(folder, name, buffer.getvalue())


def _set(*path: str, to: Any) -> Callable[[Path], None]:
    """Return what sets a value inside of a record, deep down where there are several names."""

    def change(folder: Path) -> None:
        content = json.loads((folder / RECORD).read_bytes())
        inside = content
        for name in path[:-1]:
            inside = inside[name]
        inside[path[-1]] = to
        (folder / RECORD).write_bytes(encode(content))

    return change


def _bytes(content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / RECORD).write_bytes(content) and None


def _claim_version_1(folder: Path) -> None:
    written = (folder / RECORD).read_bytes()
    (folder / RECORD).write_bytes(written.replace(b'"format_version": 2', b'"format_version": 1'))


def _make_folder(folder: Path) -> None:
    (folder / RECORD).unlink()
    (folder / RECORD).mkdir()


def _add_file(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        files = json.loads((folder / RECORD).read_bytes())["files"]
        change_record(folder, files=files | {name: "0" * 64})

    return change


SHA = "0" * 64
RECORDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a file above the run": (_add_file("../../outside"), r"files.*: Input should be 'curve.parquet'"),
    "a file anywhere": (_add_file("/tmp/outside"), r"files.*: Input should be 'curve.parquet'"),
    "a file of another name": (_add_file("notes.txt"), r"files.*: Input should be 'curve.parquet'"),
    "files in a list": (_set("files", to=["eval.parquet"]), "files: Input should be an object"),
    "files without a table": (_set("files", to={CURVE: SHA}), "files lacks eval.parquet"),
    "a checksum that is none": (
        _set("files", to={CURVE: "0", SCENES: SHA}),
        "files.curve.parquet: String should match",
    ),
    "no variant": (_set("spec", "variant", to=None), "spec.variant: Input should be a valid string"),
    "an unknown variant": (_set("spec", "variant", to="../median"), "unknown variant '../median'"),
    "a kind in a list": (_set("spec", "task", "kind", to=["x"]), "spec.task.kind"),
    "a kind of its own": (
        _set("spec", "task", "kind", to="RunSpec"),
        "spec.task: Value error, kind must be one of ObjectDiscovery",
    ),
    "a size in words": (_set("spec", "task", "num_slots", to="2"), "spec.task: Value error, num_slots: Input should"),
    "a size that there is not": (_set("spec", "task", "holes", to=2), "is not the specification of a run"),
    "steps in words": (_set("spec", "schedule", "steps", to="8"), "spec.schedule.steps: Input should be a valid int"),
    "no specification": (_set("spec", to=[]), "spec: Input should be an object"),
    "a seed below 0": (_set("spec", "seed", to=-1), "seed must be at least 0"),
    "provenance in a list": (_set("provenance", to=[]), "provenance: Input should be an object"),
    "a device that is a number": (_set("provenance", "device", to=7), "provenance.device: Input should be a valid str"),
    "a speed in words": (_set("provenance", "steps_per_second", to="1"), "provenance.steps_per_second: Input should"),
    "evaluations in a list": (_set("evaluations", to=[]), "evaluations: Input should be an object"),
    "an empty evaluation": (_set("evaluations", "x", to=None), "evaluations.x: Input should be an object"),
    "a version that is a list": (_set("format_version", to=[[]]), "is of format version"),
    "a version to come": (_set("format_version", to=99), "is of format version '99', this program reads 1 and 2"),
    "version 1 with a checksum": (_claim_version_1, "version 1 has none"),
    "no content": (_bytes(b""), "is no JSON"),
    "a list": (_bytes(b"[]"), "has no format_version"),
    "null": (_bytes(b"null"), "has no format_version"),
    "not text": (_bytes(b"\xff\xfe\x00"), "is no JSON"),
    "half a character": (_bytes(b'{"format_version": "\\ud800"}'), "is no JSON"),
    "deep": (_bytes(b'{"format_version": 2, "spec": ' + b"[" * 100_000), "is no JSON: recursion limit exceeded"),
    "a number without end": (_bytes(b'{"format_version": ' + b"1" * 10_000 + b"}"), "is no JSON|is of format version"),
    "no number": (_bytes(b'{"format_version": NaN}'), "is no JSON"),
    "a folder": (_make_folder, "is a folder; it should be a file"),
}
"""What can stand in place of a record, and why it cannot be used."""


def _claim_rows(folder: Path) -> None:
    """Make a small table of more rows than any run has."""
    table = pd.DataFrame({"step": pd.RangeIndex(10_000_001), "loss": 0.0, "gradient_norm": 0.0, "f_ari": 0.0})
    table["step"] = 1
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    replace_file(folder, CURVE, buffer.getvalue())


TABLES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "other columns": (
        SCENES,
        lambda folder: change_table(folder, SCENES, lambda table: table.rename(columns={"slots": "holes"})),
        "is not the table of a run: has no column slots",
    ),
    "no columns": (
        SCENES,
        lambda folder: change_table(folder, SCENES, lambda table: table[[]]),
        "has no column evaluation, slots, iterations",
    ),
    "slots in words": (
        SCENES,
        lambda folder: change_table(folder, SCENES, lambda table: table.assign(slots="seven")),
        "column 'slots' holds",
    ),
    "scores in words": (
        SCENES,
        lambda folder: change_table(folder, SCENES, lambda table: table.assign(f_ari="high")),
        "column 'f_ari' holds",
    ),
    "keys that are lists": (
        SCENES,
        lambda folder: change_table(folder, SCENES, lambda table: table.assign(evaluation=[["x"]] * len(table))),
        "column 'evaluation' holds",
    ),
    "lists": (
        SCENES,
        lambda folder: change_table(folder, SCENES, lambda table: table.assign(ari=[[1.0]] * len(table))),
        "column 'ari' holds",
    ),
    "no table": (SCENES, lambda folder: replace_file(folder, SCENES, b"PAR1 nothing PAR1"), "is no Parquet table"),
    "no bytes": (CURVE, lambda folder: replace_file(folder, CURVE, b""), "is no Parquet table"),
    "a curve without loss": (
        CURVE,
        lambda folder: change_table(folder, CURVE, lambda table: table.drop(columns="loss")),
        "has no column loss",
    ),
    "too many rows": (CURVE, _claim_rows, "says that it has 10,000,001 rows"),
}
"""What can stand in place of a table: which one, how, and why it cannot be used."""


def make_hostile_store(good: Path, root: Path) -> dict[str, str]:
    """Fill a store with copies of a run whose records cannot be used; returns each one's folder and reason."""
    reasons = {}
    for number, (spoil, reason) in enumerate(RECORDS.values()):
        folder = root / f"hostile-{number:02d}"
        shutil.copytree(good, folder)
        spoil(folder)
        reasons[str(folder)] = reason
    return reasons
