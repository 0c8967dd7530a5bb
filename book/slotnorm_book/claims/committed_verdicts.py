"""The verdicts on the committed records, which ``slotnorm-book verdicts`` writes to ``book/verdicts.json``.

``book/parameters.json`` names these records, as for the page of the claims. The tests compare the file with verdicts
that are computed anew: whoever adds a record or changes a rule commits the new file with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from slotnorm.atomic_files import write_whole
from slotnorm_book.checkout import ROOT, VERDICTS, CheckoutError, read_shown_parameters
from slotnorm_book.claims.claim import Verdict
from slotnorm_book.claims.evidence import Evidence
from slotnorm_book.claims.judge import judge_all, judge_otherwise
from slotnorm_book.claims.ledger import CLAIMED_EXPERIMENTS
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import RunStore

SEED, TRIALS = 0, 20


def judge_committed_records() -> dict[str, object]:
    """Judge the claims on the records as they are now, and return the verdicts as JSON.

    Raises:
        CheckoutError: ``book/parameters.json`` does not say which records the page of the claims shows.
    """
    shown = read_shown_parameters("08_claims")
    if missing := {"store", "scale"} - shown.keys():
        raise CheckoutError(f"book/parameters.json: 08_claims lacks {', '.join(sorted(missing))}")
    store = RunStore(ROOT / shown["store"])
    results = {name: collect(recipe(name, shown["scale"]), store) for name in CLAIMED_EXPERIMENTS}
    evidence = {name: Evidence.of(found) for name, found in results.items()}
    beside = judge_otherwise(evidence)
    return {
        "scale": shown["scale"],
        "records": {name: sorted(run.spec.name for run in found.runs) for name, found in results.items()},
        "verdicts": {
            verdict.claim.id: _to_json(verdict, {how: others.get(verdict.claim.id) for how, others in beside.items()})
            for verdict in judge_all(evidence, SEED, TRIALS)
        },
    }


def _to_json(verdict: Verdict, beside: Mapping[str, Verdict | None]) -> dict[str, object]:
    """Return a verdict as JSON; of a mechanism claim the outcome alone, since its measurements are rounding errors."""
    if verdict.outcome == "not run" and verdict.claim.kind == "result":
        return {"outcome": verdict.outcome, "missing": verdict.missing}
    if verdict.claim.kind == "mechanism":
        return {"outcome": verdict.outcome}
    criteria = {}
    for criterion in verdict.claim.criteria:
        one: dict[str, object] = {"outcome": "not decidable"}
        if measured := verdict.measurements.get(criterion.statistic):
            numbers = [_rounded(number) for number in (measured.value, measured.low, measured.high)]
            one = {"outcome": criterion.judge(measured), "value, low, high": numbers}
        if reason := verdict.undecidable.get(criterion.statistic):
            one["not decidable"] = reason
        criteria[criterion.statistic] = one
    return {
        "outcome": verdict.outcome,
        **{how: other.outcome for how, other in beside.items() if other is not None},
        "false discovery rate": _rounded(verdict.false_discovery_rate),
        "criteria": criteria,
    }


def _rounded(number: float) -> float | None:
    """Return four decimals, or ``None`` for an end of an interval that is unknown."""
    return round(float(number), 4) if np.isfinite(number) else None


def write_verdicts() -> Path:
    """Write the verdicts on the committed records, completely or not at all, and return the path of the file.

    Raises:
        CheckoutError: as for :func:`judge_committed_records`.
        OSError: the file cannot be written; the error names it, and it stays as it was.
    """
    write_whole(VERDICTS, (json.dumps(judge_committed_records(), indent=1) + "\n").encode())
    return VERDICTS.relative_to(ROOT)
