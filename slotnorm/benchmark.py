"""What ``make bench`` measured: speed and memory beside plain forms of the same computations.

``benchmarks/results.json`` maps a subject, such as ``"training step"``, to ``machine`` (``processor``, ``cores``,
``load``, ``load_after``, ``versions``, ``commit``, ``device``, ``date``, …) and ``rows``. A row has ``subject``,
``what``, ``size``, ``unit``, ``plain`` and ``ours`` (medians; ``None`` was not measured), ``ratio`` (above 1 ours is
better), ``spread`` (smallest and largest ratio of the repeats), ``aim``, ``met``, ``floor`` and ``note``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

COMMITTED = Path(__file__).parents[1] / "benchmarks" / "results.json"
"""The committed numbers, in a checkout of the project."""


def read_benchmark(path: Path | str = COMMITTED) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """All rows as a table, and by subject what they were measured on."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    rows = [row for part in content.values() for row in part["rows"]]
    return pd.DataFrame(rows), {subject: part["machine"] for subject, part in content.items()}


def benchmark_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows for :func:`slotnorm.notebook.show_table`; what was not measured says so."""
    met = rows["met"].map({True: "met", False: "**missed**"}).fillna("not measured")
    verdict = [f"{aim}: {word}" if aim else "" for aim, word in zip(rows["aim"], met, strict=True)]
    return pd.DataFrame(
        {
            "what": [f"**{subject}**: {what}" for subject, what in zip(rows["subject"], rows["what"], strict=True)],
            "size": rows["size"],
            "plain": rows["plain"].map(_number),
            "ours": [f"{_number(ours)} {unit}".strip() for ours, unit in zip(rows["ours"], rows["unit"], strict=True)],
            "ratio": [f"{ratio:.3g}×" if pd.notna(ratio) else "" for ratio in rows["ratio"]],
            "aim": verdict,
        }
    )


def loads(machines: Mapping[str, Mapping[str, Any]]) -> str:
    """Processors and the range of the load that the subjects were measured under, as text."""
    load = [float(machine["load"]) for machine in machines.values()]
    processors = ", ".join(dict.fromkeys(str(machine["processor"]) for machine in machines.values()))
    return f"{processors}, load {min(load):.2g} to {max(load):.2g}"


def _number(value: float | None) -> str:
    return f"{value:.3g}" if value is not None and pd.notna(value) else "–"
