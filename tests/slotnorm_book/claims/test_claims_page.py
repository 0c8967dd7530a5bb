"""All claims in one look."""

import matplotlib.pyplot as plt
import pytest
from bs4 import BeautifulSoup

from slotnorm_book.claims.claim import OUTCOMES, Verdict
from slotnorm_book.claims.claims_page import (
    count_discoveries,
    count_outcomes,
    count_runs,
    list_changed_verdicts,
    list_differences,
    render_board,
    select_verdicts,
    settings_table,
)
from slotnorm_book.claims.judge import judge, judge_all
from slotnorm_book.claims.ledger import CLAIMED_EXPERIMENTS, CLAIMS
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import Results
from slotnorm_book.figures.claims import draw_forest
from tests.slotnorm_book.claims.worlds import evidence

OF_CLEVR_6_7 = ["R1", "R2", "R3", "R4", "R17", "R28", "R29"]


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return judge({"clevr-6-7": evidence(1)["clevr-6-7"]}, resamples=200)


def test_counts_add_up(verdicts: list[Verdict]) -> None:
    found = count_outcomes(verdicts)
    assert found == {
        "reproduced": 7,
        "contradicted": 0,
        "inconclusive": 0,
        "not decidable": 0,
        "not run": 23,
    }
    assert [r.claim.id for outcome in OUTCOMES for r in select_verdicts(verdicts, outcome)] == [
        *OF_CLEVR_6_7,
        *[name for name in CLAIMS if name[0] == "R" and name not in OF_CLEVR_6_7],
    ]


def test_without_runs_the_mechanism_is_still_judged() -> None:
    computed = judge_all({}, seed=0, trials=2)
    assert [r.claim.id for r in select_verdicts(computed, "reproduced", "mechanism")] == [f"M{i}" for i in range(1, 7)]
    assert count_outcomes(computed)["not run"] == 30


def test_discoveries_are_counted_among_reproduced_results(verdicts: list[Verdict]) -> None:
    assert count_discoveries(verdicts) == (7, 7)
    assert count_discoveries(verdicts, rate=0.0) == (0, 7)


def test_what_spatial_runs_change_is_named(verdicts: list[Verdict]) -> None:
    other = {r.claim.id: r for r in judge({"clevr-6-7": evidence(-1)["clevr-6-7"]}, resamples=200)}
    assert list_changed_verdicts(verdicts, {r.claim.id: r for r in verdicts}, "with them") == "none"
    assert list_changed_verdicts(verdicts[:1], other, "with them") == "R1 (reproduced, with them contradicted)"


def test_a_tile_has_sign_word_and_link(verdicts: list[Verdict]) -> None:
    tiles = {
        tile.b.get_text(): tile for tile in BeautifulSoup(render_board(verdicts), "html.parser").select("li.verdict")
    }
    assert len(tiles) == 30
    assert (tiles["R1"]["class"], tiles["R1"].a["href"]) == (["verdict", "reproduced"], "#R1")
    assert (tiles["R5"]["class"], tiles["R5"].span.get_text()) == (["verdict", "not-run"], "– not run")


@pytest.mark.parametrize("name", CLAIMED_EXPERIMENTS)
def test_a_paper_scale_run_differs_in_nothing(name: str) -> None:
    assert list_differences(recipe(name, "paper"), recipe(name, "paper")) == []


def test_differences_tell_both_sides() -> None:
    told = list_differences(recipe("clevr-6-7", "smoke"), recipe("clevr-6-7", "paper"))
    assert "steps: 20, not 500,000" in told
    assert "pixels a side: 32, not 128" in told
    assert "bound on the gradient's norm: 1, not none" in told


def test_experiments_that_differ_alike_share_a_row() -> None:
    results = {name: Results(recipe(name, "cpu"), (), ()) for name in ("movi-c-6-7", "movi-d-6-7", "properties")}
    first, second = settings_table(results)["runs and data"]
    assert first.split("<br>")[1] == (
        "**movi-d-6-7**: 0 of 0 runs, on synth-movi-d-features; paper: 12, on MOVi-D, features of DINO"
    )
    assert second.startswith("**properties**: 0 of 0 runs")


def test_runs_that_two_experiments_show_count_once() -> None:
    both = [Results(one, (), tuple(one.runs())) for one in (recipe(f"movi-{x}-6-7", "cpu") for x in "cd")]
    assert both[0].recipe.runs() == both[1].recipe.runs()
    assert count_runs(both) == (0, len(both[0].recipe.runs()))


def test_the_forest_has_a_line_per_criterion(verdicts: list[Verdict]) -> None:
    fig = draw_forest(verdicts)
    lines = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    judged = [r.claim for r in verdicts if r.was_run]
    assert [line.split()[0] for line in lines] == [claim.id for claim in judged for _ in claim.criteria]
    plt.close(fig)


def test_the_forest_of_nothing_says_so() -> None:
    fig = draw_forest(judge_all({}, 0, 2))
    assert fig.texts[0].get_text() == "no claim has the runs that it needs"
    plt.close(fig)
