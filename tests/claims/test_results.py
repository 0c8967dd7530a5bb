"""Result claims R1-R17: every verdict follows anew from the committed records, and is the one that was committed."""

import json
from typing import Any

import pytest

from slotnorm_book.checkout import VERDICTS
from slotnorm_book.claims.committed_verdicts import judge_committed_records
from slotnorm_book.claims.ledger import CLAIMS

REFRESH = "if that is meant, run `make verdicts`, look at what it changes, and commit it"
TOLERANCE = 0.002
"""Of a number: four decimals are kept, and an end of an interval may be the next resample's on another machine."""

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
    found, expected = (told["verdicts"][name] for told in (now, committed))
    assert outcomes(found) == outcomes(expected), REFRESH
    assert numbers(found) == pytest.approx(numbers(expected), abs=TOLERANCE), REFRESH


def outcomes(told: dict[str, Any]) -> dict[str, Any]:
    criteria = {statistic: one["outcome"] for statistic, one in told.get("criteria", {}).items()}
    return criteria | {key: told.get(key) for key in ("outcome", "with spatial runs")}


def numbers(told: dict[str, Any]) -> dict[str, float | None]:
    found = {"false discovery rate": told.get("false discovery rate")}
    for statistic, one in told.get("criteria", {}).items():
        found |= {f"{statistic} {place}": number for place, number in enumerate(one["value, low, high"])}
    return found
