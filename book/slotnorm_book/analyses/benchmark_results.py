"""Reads what ``make bench`` measured: speed and memory, compared with plain forms of the same computations.

``benchmarks/results.json`` maps a device, such as ``"AMD EPYC (26-2, AVX-512 BF16)"``, to subjects, such as ``"training
step"``, and each of these to ``machine`` (``processor``, ``cores``, ``load``, ``load_after``, ``rates``, ``versions``,
``commit``, ``device``, ``date``, …) and ``rows``. A row has ``subject``, ``what``, ``size``, ``unit``, ``plain`` and
``ours`` (medians; ``None`` was not measured), ``ratio`` (above 1 ours is better), ``spread`` (range over
repeats), ``aim``, ``met``, ``floor``, ``used`` and ``note``. ``subject``, ``what``, ``aim``, ``floor``, ``used``
and ``note`` are written by ``benchmarks`` and may hold Markdown; the device's name is the machine's.

Nothing is measured between a change of the benchmark and its next run; tables and texts then say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from slotnorm_book.checkout import BENCHMARK
from slotnorm_book.markup import MarkdownTable, escape_markdown

COLUMNS = ["device", "subject", "what", "size", "unit", "plain", "ours", "ratio", "spread", "aim", "met"]
COLUMNS += ["floor", "used", "note"]
NOT_MEASURED = "not measured since the benchmark last changed"
Machines = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Device and subject to the machine that the numbers were measured on."""


def read_benchmark(path: Path | str = BENCHMARK) -> tuple[pd.DataFrame, Machines]:
    """Read all rows as a table with a column ``device``, and the machines that they were measured on."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    parts = [(device, part) for device, subjects in content.items() for part in subjects.values()]
    rows = [{"device": device, **row} for device, part in parts for row in part["rows"]]
    machines = {
        device: {name: part["machine"] for name, part in subjects.items()} for device, subjects in content.items()
    }
    return pd.DataFrame(rows, columns=COLUMNS), machines


def benchmark_table(rows: pd.DataFrame) -> MarkdownTable:
    """Tabulate measurements for :func:`slotnorm_book.notebook.show_table`: a row each, and a column per device."""
    if rows.empty:
        return MarkdownTable([(NOT_MEASURED,)], columns=["what"])
    devices = rows["device"].unique()
    lines = []
    for (subject, what, size), same in rows.groupby(["subject", "what", "size"], sort=False):
        cells = {row.device: _format_cell(row) for row in same.itertuples()}
        wanted = next(filter(None, same["aim"]), "")
        line = {"what": f"**{subject}**: {what}", "size": size, "aim": wanted}
        lines.append(line | {escape_markdown(device): cells.get(device, "–") for device in devices})
    return MarkdownTable(lines)


def floor_table(rows: pd.DataFrame) -> MarkdownTable:
    """Tabulate what was counted, with its least time at the device's rates, and what the operating system had to do."""
    counted = rows[(rows["floor"] != "") | (rows["used"] != "")]
    if counted.empty:
        return MarkdownTable([(NOT_MEASURED,)], columns=["what"])
    lines = [
        {
            "what": f"**{row.subject}**: {row.what}",
            "device": escape_markdown(row.device),
            "ours": f"{_format_number(row.ours)} {row.unit}",
            "counted, and its least time": row.floor,
            "memory and system": "; ".join(filter(None, (row.note, row.used))),
        }
        for row in counted.itertuples()
    ]
    return MarkdownTable(lines)


def describe_limits(machines: Machines) -> str:
    """List the devices as text, each with the operations per second that it reached by each way of computing."""
    texts = []
    for device, subjects in machines.items():
        rates = next(iter(subjects.values()))["rates"]
        texts.append(f"{device}: " + ", ".join(f"{rate:,} in a {way}" for way, rate in rates.items()))
    return "; ".join(texts) or NOT_MEASURED


def describe_loads(machines: Machines) -> str:
    """List the devices as text, each with the range of the load during its measurements."""
    texts = []
    for device, subjects in machines.items():
        load = [float(about["load"]) for about in subjects.values()]
        texts.append(f"{device} (load {min(load):.2g} to {max(load):.2g})")
    return ", ".join(texts) or NOT_MEASURED


def _format_cell(row: Any) -> str:
    if pd.isna(row.ours):
        return "not measured"
    before = f"{_format_number(row.plain)} → " if pd.notna(row.plain) else ""
    ratio = f", {row.ratio:.3g}×" if pd.notna(row.ratio) else ""
    verdict = {True: ", met", False: ", **missed**"}.get(row.met, "")
    return f"{before}{_format_number(row.ours)} {row.unit}{ratio}{verdict}"


def _format_number(value: float) -> str:
    return f"{value:.3g}"
