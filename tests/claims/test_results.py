"""Every verdict that is computed anew from the committed records is the committed one."""

import json
from typing import Any

import pytest

from slotnorm_book.checkout import VERDICTS
from slotnorm_book.claims.committed_verdicts import judge_committed_records
from slotnorm_book.claims.ledger import CLAIMS

REFRESH = "if that is meant, run `make verdicts`, look at what it changes, and commit it"
TOLERANCE = 1.5e-4
"""Four decimals are kept, and rounding may carry a number over the border between two: one unit of the last decimal.

Draws are of integers and alike everywhere; sums of scores differ by some 1e-15 between instruction sets and libraries.
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def now() -> dict[str, Any]:
    return judge_committed_records()


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    return json.loads(VERDICTS.read_text())


def test_the_records_are_those_that_were_judged(now: dict[str, Any], committed: dict[str, Any]) -> None:
    assert (now["scale"], now["records"]) == (committed["scale"], committed["records"]), REFRESH


@pytest.mark.parametrize("name", CLAIMS)
def test_verdict(name: str, now: dict[str, Any], committed: dict[str, Any]) -> None:
    found, expected = (file["verdicts"][name] for file in (now, committed))
    assert outcomes(found) == outcomes(expected), REFRESH
    assert numbers(found) == pytest.approx(numbers(expected), abs=TOLERANCE), REFRESH


def outcomes(verdict: dict[str, Any]) -> dict[str, Any]:
    criteria = {statistic: one["outcome"] for statistic, one in verdict.get("criteria", {}).items()}
    reasons = {f"{statistic}: why": one.get("not decidable") for statistic, one in verdict.get("criteria", {}).items()}
    return criteria | reasons | {key: verdict.get(key) for key in ("outcome", "with spatial runs", "missing")}


def numbers(verdict: dict[str, Any]) -> dict[str, float | None]:
    found = {"false discovery rate": verdict.get("false discovery rate")}
    for statistic, one in verdict.get("criteria", {}).items():
        found |= {f"{statistic} {place}": number for place, number in enumerate(one.get("value, low, high", []))}
    return found
