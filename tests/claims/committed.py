"""Writes tests/claims/verdicts.json: what the committed records say of every claim, for the tests to compare.

    make verdicts

Which records these are is said in book/parameters.json, as for the page of the claims. A new record, or a new rule, is
to change that file in the same commit.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from slotnorm.overview import NEEDED, all_rulings
from slotnorm.recipes import recipe
from slotnorm.results import collect
from slotnorm.store import RunStore
from slotnorm.verdicts import Evidence, Ruling, judge

ROOT = Path(__file__).parents[2]
COMMITTED = Path(__file__).with_name("verdicts.json")
SEED, TRIALS = 0, 20


def verdicts() -> dict[str, Any]:
    """Records and verdicts as they are now."""
    shown = json.loads((ROOT / "book" / "parameters.json").read_text())["08_claims"]
    store = RunStore(ROOT / shown["store"])
    results = {name: collect(recipe(name, shown["scale"]), store) for name in NEEDED}
    evidence = {name: Evidence.of(found) for name, found in results.items()}
    beside = {ruling.claim.id: ruling for ruling in judge(evidence, spatial_runs=True)}
    return {
        "scale": shown["scale"],
        "records": {name: sorted(run.spec.name for run in found.runs) for name, found in results.items()},
        "verdicts": {r.claim.id: told(r, beside.get(r.claim.id)) for r in all_rulings(evidence, SEED, TRIALS)},
    }


def told(ruling: Ruling, beside: Ruling | None) -> dict[str, Any]:
    """A ruling in JSON; of what is computed in double precision only whether it holds, the rest is rounding."""
    text: dict[str, Any] = {"outcome": ruling.outcome}
    if ruling.verdict is None or beside is None:
        return text
    criteria = {}
    for criterion in ruling.claim.criteria:
        measured = ruling.verdict.measurements[criterion.statistic]
        numbers = [rounded(number) for number in (measured.value, measured.low, measured.high)]
        criteria[criterion.statistic] = {"outcome": criterion.judge(measured), "value, low, high": numbers}
    rate = rounded(ruling.false_discovery_rate)
    return text | {"with spatial runs": beside.outcome, "false discovery rate": rate, "criteria": criteria}


def rounded(number: float) -> float | None:
    """Four decimals; ``None`` for an end that is not known."""
    return round(float(number), 4) if np.isfinite(number) else None


if __name__ == "__main__":
    COMMITTED.write_text(json.dumps(verdicts(), indent=1) + "\n")
    print(f"wrote {COMMITTED.relative_to(ROOT)}")
