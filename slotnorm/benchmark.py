"""What ``make bench`` measured: speed and memory beside plain forms of the same computations.

``benchmarks/results.json`` maps a subject, such as ``"training step"``, to ``machine`` (``processor``, ``cores``,
``load``, ``load_after``, ``versions``, ``commit``, ``device``, ``date``, …) and ``rows``. A row has ``subject``,
``what``, ``size``, ``unit``, ``plain`` and ``ours`` (medians; ``None`` was not measured), ``ratio`` (above 1 ours is
better), ``spread`` (smallest and largest ratio of the repeats), ``aim``, ``met``, ``floor`` and ``note``.
"""

from __future__ import annotations

import json
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
