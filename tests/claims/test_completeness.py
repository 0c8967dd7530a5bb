"""Every claim has a verdict on the page of the claims, a chapter that shows it, and a link there."""

import re

import pytest

from slotnorm_book.claims.claims_page import NEEDED, OUTCOMES, all_rulings, board
from slotnorm_book.claims.ledger import CLAIMS
from slotnorm_book.claims.tables import SHOWN, ledger_table
from slotnorm_book.experiments.recipes import EXPERIMENTS
from tests.book.chapter import NOTEBOOKS, calls, code_cells, read

PAGE = next(path for path in NOTEBOOKS if path.stem == "08_claims")
LABELS = {label: path for path in NOTEBOOKS for show in ("show", "show_table") for label in calls(path, show)}


def text(stem: str) -> str:
    return "\n".join(cell.source for path in NOTEBOOKS if path.stem == stem for cell in read(path).cells)


def test_every_claim_is_judged_once_in_the_order_of_the_ledger() -> None:
    assert [ruling.claim.id for ruling in all_rulings({}, 0, 2)] == [
        *(name for name, claim in CLAIMS.items() if claim.kind == "mechanism"),
        *(name for name, claim in CLAIMS.items() if claim.kind == "result"),
    ]


def test_the_page_has_a_table_for_every_outcome_and_for_mechanism() -> None:
    page = "\n".join(cell.source for cell in code_cells(PAGE))
    assert set(re.findall(r'ledger_table\(of\["([a-z ]+)"\], beside\)', page)) == set(OUTCOMES)
    assert "ledger_table(computed)" in page
    assert "overview.NEEDED" in page


@pytest.mark.parametrize("name", CLAIMS)
def test_a_chapter_shows_and_names_it(name: str) -> None:
    chapters = {LABELS[label].stem for label in SHOWN[name]}
    named = "judge_mechanisms" if CLAIMS[name].kind == "mechanism" else rf"\b{name}\b"
    assert any(re.search(named, text(chapter)) for chapter in chapters - {PAGE.stem})


def test_every_verdict_has_a_link() -> None:
    rulings = all_rulings({}, 0, 2)
    for ruling, row in zip(rulings, ledger_table(rulings)["claim"], strict=True):
        assert re.findall(r"\{numref\}`([^`]+)`", row) == list(SHOWN[ruling.claim.id])
        assert f'id="{ruling.claim.id}"' in row
        assert f'href="#{ruling.claim.id}"' in board([ruling])


def test_only_experiments_of_the_paper_are_needed() -> None:
    assert set(NEEDED) <= set(EXPERIMENTS)
    assert set(SHOWN) == set(CLAIMS)
