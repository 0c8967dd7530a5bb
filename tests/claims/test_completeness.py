"""Every claim has a verdict on the page of the claims, a chapter that shows it, and a link there."""

import re

import pytest

from slotnorm_book.claims.claim import OUTCOMES
from slotnorm_book.claims.claims_page import render_board
from slotnorm_book.claims.judge import judge_all
from slotnorm_book.claims.ledger import CLAIMED_EXPERIMENTS, CLAIMS
from slotnorm_book.claims.tables import ledger_table
from slotnorm_book.experiments.recipes import BEYOND, EXPERIMENTS
from tests.book.chapter import NOTEBOOKS, calls, code_cells, read

PAGE = next(path for path in NOTEBOOKS if path.stem == "08_claims")
LABELS = {label: path for path in NOTEBOOKS for show in ("show", "show_table") for label in calls(path, show)}


def text(stem: str) -> str:
    return "\n".join(cell.source for path in NOTEBOOKS if path.stem == stem for cell in read(path).cells)


def test_every_claim_is_judged_once_in_the_order_of_the_ledger() -> None:
    assert [verdict.claim.id for verdict in judge_all({}, 0, 2)] == [
        *(name for name, claim in CLAIMS.items() if claim.kind == "mechanism"),
        *(name for name, claim in CLAIMS.items() if claim.kind == "result"),
    ]


def test_the_page_has_a_table_for_every_outcome_and_for_mechanism() -> None:
    page = "\n".join(cell.source for cell in code_cells(PAGE))
    assert set(re.findall(r'ledger_table\(of\["([a-z ]+)"\], beside\)', page)) == set(OUTCOMES)
    assert "ledger_table(computed)" in page
    assert "in CLAIMED_EXPERIMENTS" in page


@pytest.mark.parametrize("name", CLAIMS)
def test_a_chapter_shows_and_names_it(name: str) -> None:
    chapters = {LABELS[label].stem for label in CLAIMS[name].shown_in}
    named = "judge_mechanisms" if CLAIMS[name].kind == "mechanism" else rf"\b{name}\b"
    assert any(re.search(named, text(chapter)) for chapter in chapters - {PAGE.stem})


def test_every_verdict_has_a_link() -> None:
    verdicts = judge_all({}, 0, 2)
    for verdict, row in zip(verdicts, ledger_table(verdicts)["claim"], strict=True):
        assert re.findall(r"\{numref\}`([^`]+)`", row) == list(verdict.claim.shown_in)
        assert f'id="{verdict.claim.id}"' in row
        assert f'href="#{verdict.claim.id}"' in render_board([verdict])


def test_claims_need_every_experiment_of_the_paper_and_no_other() -> None:
    assert set(CLAIMED_EXPERIMENTS) == set(EXPERIMENTS) - set(BEYOND)
