"""What the committed records say of every claim; ``slotnorm-book verdicts`` writes it to ``book/verdicts.json``.

``book/parameters.json`` says which records these are, as for the page of the claims. The tests compare the file with
the verdicts computed anew: whoever adds a record or changes a rule commits the new file with it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from slotnorm_book.checkout import ROOT, SHOWN, VERDICTS
from slotnorm_book.claims.claims_page import NEEDED, all_rulings
from slotnorm_book.claims.evidence import Evidence
from slotnorm_book.claims.judge import judge
from slotnorm_book.claims.verdicts import Ruling
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import RunStore

SEED, TRIALS = 0, 20


def verdicts() -> dict[str, Any]:
    """Judge the claims on the records as they are now."""
    shown = json.loads(SHOWN.read_text(encoding="utf-8"))["08_claims"]
    store = RunStore(ROOT / shown["store"])
    results = {name: collect(recipe(name, shown["scale"]), store) for name in NEEDED}
    evidence = {name: Evidence.of(found) for name, found in results.items()}
    beside = {ruling.claim.id: ruling for ruling in judge(evidence, spatial_runs=True)}
    return {
        "scale": shown["scale"],
        "records": {name: sorted(run.spec.name for run in found.runs) for name, found in results.items()},
        "verdicts": {r.claim.id: _told(r, beside.get(r.claim.id)) for r in all_rulings(evidence, SEED, TRIALS)},
    }


def _told(ruling: Ruling, beside: Ruling | None) -> dict[str, Any]:
    """A ruling in JSON; of what is computed in double precision only whether it holds, the rest is rounding."""
    text: dict[str, Any] = {"outcome": ruling.outcome}
    if ruling.verdict is None or beside is None:
        return text
    criteria = {}
    for criterion in ruling.claim.criteria:
        measured = ruling.verdict.measurements[criterion.statistic]
        numbers = [_rounded(number) for number in (measured.value, measured.low, measured.high)]
        criteria[criterion.statistic] = {"outcome": criterion.judge(measured), "value, low, high": numbers}
    rate = _rounded(ruling.false_discovery_rate)
    return text | {"with spatial runs": beside.outcome, "false discovery rate": rate, "criteria": criteria}


def _rounded(number: float) -> float | None:
    """Four decimals; ``None`` for an end that is not known."""
    return round(float(number), 4) if np.isfinite(number) else None


def write_verdicts() -> Path:
    """Write the verdicts on the committed records and return where they are."""
    VERDICTS.write_text(json.dumps(verdicts(), indent=1) + "\n", encoding="utf-8")
    return VERDICTS.relative_to(ROOT)
