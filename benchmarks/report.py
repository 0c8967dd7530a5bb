"""The table and the file that a benchmark leaves.

The file is JSON, a device to its subjects, a subject to ``machine`` (processor, cores, memory, load before and after,
rates, versions, commit, device, date, edition) and ``rows``, each the fields of :class:`benchmarks.settings.Row`. A run
replaces what it has measured and keeps the rest of the same edition, so that a long benchmark can be made in parts and
on several machines. :mod:`slotnorm_book.analyses.benchmark_results` reads it.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.counting import GIGA, measured_rates
from benchmarks.settings import Row, Settings
from slotnorm_book.experiments.provenance import device_name, processor_kind

EDITION = 2
"""Of the numbers: raise it when older ones no longer compare with what is measured now, or machines get other names."""
PACKAGES = ("torch", "numpy", "scikit-learn")
HEAD = ("what", "size", "plain", "ours", "", "ratio (range)", "aim", "met", "floor; notes")


def machine(settings: Settings) -> dict[str, Any]:
    """What the numbers were measured on; the load is the number of programs that were running.

    The rates are GFLOP/s of the device by each way of computing; the fastest is the limit of a step.
    """
    ways = measured_rates(settings.device, settings.quick).ways
    return {
        "processor": processor_kind(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "device": device_name(settings.device) if settings.cuda else processor_kind(),
        "rates": {name: round(rate / GIGA) for name, rate in ways.items()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "date": datetime.now(UTC).date().isoformat(),
        "repeats": settings.repeats,
        "quick": settings.quick,
        "edition": EDITION,
    }


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def markdown(rows: Sequence[Row], about: dict[str, Any]) -> str:
    """A subject's table, and what it was measured on."""
    lines = ["", f"## {rows[0].subject}", "", _line(HEAD), _line(["---"] * len(HEAD))]
    lines += [_line(_cells(row)) for row in rows]
    return "\n".join([*lines, "", ", ".join(f"{key}: {value}" for key, value in about.items())])


def line(row: Row) -> str:
    """A row in short, to be shown while others are measured."""
    verdict = "" if row.met is None else "met" if row.met else "missed"
    return " ".join(part for part in (*_cells(row)[:7], verdict) if part)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> list[str]:
    spread = f" ({row.spread[0]:.2f} to {row.spread[1]:.2f})" if row.spread else ""
    ratio = f"{row.ratio:.2f}x{spread}" if row.ratio else ""
    met = "" if row.met is None else "yes" if row.met else "no"
    notes = "; ".join(part for part in (row.floor, row.used, row.note) if part)
    return [row.what, row.size, _number(row.plain), _number(row.ours), row.unit, ratio, row.aim, met, notes]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def write(path: Path, subject: str, rows: Sequence[Row], about: dict[str, Any]) -> None:
    """Keep a subject's numbers beside others of this edition, and drop those of other editions; replaces the file."""
    content = without_stale(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    content.setdefault(about["device"], {})[subject] = {"machine": about, "rows": [asdict(row) for row in rows]}
    partial = path.with_suffix(path.suffix + ".part")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def without_stale(content: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The content of a file without what was measured by another edition of the benchmark."""
    kept = {
        device: {name: part for name, part in subjects.items() if part["machine"].get("edition") == EDITION}
        for device, subjects in content.items()
    }
    return {device: subjects for device, subjects in kept.items() if subjects}
