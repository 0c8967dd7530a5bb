"""Text of records, parameters and data that looks like markup: every page shows it as it is."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.mdit_to_docutils.base import DocutilsRenderer
from myst_parser.parsers.mdit import create_md_parser

from slotnorm_book import notebook
from slotnorm_book.analyses.benchmark_results import benchmark_table, floor_table
from slotnorm_book.analyses.cost import recorded_cost_table, tabulate_runs
from slotnorm_book.analyses.cost_estimates import Assumption, one_core_table, paper_cost_table
from slotnorm_book.analyses.mixture_weights import correlation_table
from slotnorm_book.analyses.precision_units import precision_table
from slotnorm_book.analyses.recipe_tables import model_table, protocol_table
from slotnorm_book.analyses.transfer_table import transfer_table
from slotnorm_book.chapters import Cost
from slotnorm_book.checkout import RECORDS
from slotnorm_book.claims.claim import Verdict
from slotnorm_book.claims.claims_page import render_board, settings_table
from slotnorm_book.claims.first_campaign import changes_table
from slotnorm_book.claims.ledger import CLAIMED_EXPERIMENTS, CLAIMS
from slotnorm_book.claims.needed_runs import needs_table
from slotnorm_book.claims.tables import hypotheses_table, ledger_table
from slotnorm_book.experiments.data_sources import Source
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.recipes.recipe import PAPER_VARIANTS
from slotnorm_book.experiments.results import Results
from slotnorm_book.experiments.run_store import Run, RunStore
from slotnorm_book.figures import style
from slotnorm_book.figures.legend import render_legend
from slotnorm_book.markup import render_html
from tests.book.chapter import NOTEBOOKS, code_cells

HOSTILE = "<script>alert(1)</script> | `x` {glue:text}`y` {{ z }} $q$ [a](b) *c* ~~d~~ &lt; \\\n\n# e\n:::{note}\n% f"
SHOWN = " ".join(HOSTILE.split())
PARSER = create_md_parser(  # with the extensions that jupyter-book turns on, but for links of bare addresses
    MdParserConfig(enable_extensions={"colon_fence", "dollarmath", "substitution", "tasklist"}), DocutilsRenderer
)
OURS = ("<br>", "<span id=", "</span>", "<strong class=", "</strong>", "<u>", "</u>")
"""HTML in the tables that the package writes itself."""
MAKERS = ("render_board", "render_explorer", "render_legend", "summarize_verdicts", "describe_more_slots")
"""Functions that make HTML or Markdown for chapters."""
MARKUP = {"strong_open", "strong_close", "softbreak", "html_inline", "text", "myst_role"}


def hostile_run() -> Run:
    """A run of the committed records; every text of its provenance, and its precision, is hostile."""
    run = next(run for run in RunStore(RECORDS) if type(run.spec.task).__name__ == "ObjectDiscovery")
    spec = replace(run.spec)
    object.__setattr__(spec, "precision", HOSTILE)
    return replace(run, spec=spec, provenance=spoil(run.provenance))


def spoil(value: Any) -> Any:
    """Replace every text in a record by a hostile one."""
    if isinstance(value, str):
        return HOSTILE
    return {name: spoil(part) for name, part in value.items()} if isinstance(value, dict) else value


RUNS = tabulate_runs({"clevr-6-7": Results(recipe("clevr-6-7", "cpu"), (hostile_run(),), ())})
ON_A_CORE = RUNS.assign(device=f"cpu: {HOSTILE}", threads=1, processes=1)
PAPER = [recipe(name, "paper") for name in CLAIMED_EXPERIMENTS]
CARD = Assumption(HOSTILE, 1e12, 0.5)
SCENES = pd.DataFrame({"variant": [HOSTILE], "seed": 0, "test": HOSTILE, "slots": 7, "scene_id": 0, "f_ari": 0.5})
NOT_RUN = [Verdict.not_run(claim, HOSTILE, HOSTILE) for claim in CLAIMS.values()]
MEASURED = {"subject": "decoder", "what": "forward", "size": "N 784", "unit": "ms", "plain": 2.0, "ours": 1.0}
MEASURED |= {"ratio": 2.0, "spread": "2 to 2", "aim": "2", "met": True, "floor": "1 GFLOP", "used": "", "note": ""}
BENCHMARK = pd.DataFrame([{"device": HOSTILE, **MEASURED}])


def hostile_results() -> Results:
    """Results on data with a hostile name, which is the last part of its path."""
    known = recipe("clevr-6-7", "cpu")
    name = HOSTILE.replace("/", "")
    tests = tuple(replace(test, source=Source(name, "test", 16, 4)) for test in known.tests)
    return Results(replace(known, tests=tests), (), tuple(known.runs()))


HOSTILE_SOURCE = Source(HOSTILE.replace("/", ""), "train", 16, 4)


def labels() -> dict[str, str]:
    return dict.fromkeys(PAPER_VARIANTS, HOSTILE)


TABLES: dict[str, tuple[Callable[[], pd.DataFrame], int]] = {
    "recorded cost": (lambda: recorded_cost_table(RUNS), 2),
    "paper cost": (lambda: paper_cost_table(PAPER[:1], RUNS, CARD), 2),
    "one core": (lambda: one_core_table(PAPER[:1], ON_A_CORE), 2),
    "benchmark": (lambda: benchmark_table(BENCHMARK), 1),
    "floors": (lambda: floor_table(BENCHMARK), 1),
    "model": (lambda: model_table(hostile_results().recipe), 0),
    "protocol": (lambda: protocol_table(replace(hostile_results().recipe, train=HOSTILE_SOURCE)), 1),
    "needs": (lambda: needs_table({}), 0),
    "ledger": (lambda: ledger_table(NOT_RUN), 2 * len(NOT_RUN)),
    "first campaign": (
        lambda: changes_table([Verdict.not_run(replace(CLAIMS["R1"], statement=HOSTILE), HOSTILE)]),
        1,
    ),
    "hypotheses": (lambda: hypotheses_table(NOT_RUN), 2 * len(NOT_RUN)),
    "settings": (lambda: settings_table({"clevr-6-7": hostile_results()}), 1),
    "transfer": (lambda: transfer_table({"movi-d-6-7": pd.DataFrame()}, labels()), len(PAPER_VARIANTS)),
    "precision": (
        lambda: precision_table(
            pd.DataFrame(
                [(HOSTILE, 0, t, 0.1, 0.2) for t in (float("inf"), 1.0, 0.5, 0.25, 0.125)],
                columns=["variant", "seed", "threshold", "world", "code"],
            ),
            {},
        ),
        1,
    ),
    "correlation": (lambda: correlation_table(pd.DataFrame({"variant": [HOSTILE], "correlation": 0.1}), {}), 1),
    "columns of a record": (lambda: SCENES.rename(columns={"f_ari": HOSTILE}), 3),
}


def tokens_of(text: str) -> list[Token]:
    return [child for token in PARSER.parse(text) for child in token.children or []]


def shown_markdown(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> str:
    bundles: list[dict[str, str]] = []
    monkeypatch.setattr(notebook, "display", lambda bundle, **_: bundles.append(bundle))
    notebook.show_table("tab-x", frame)
    return bundles[0]["text/markdown"]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_shows_hostile_text_as_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, times = TABLES[name]
    frame = make()
    text = shown_markdown(frame, monkeypatch)
    blocks = [token.type for token in PARSER.parse(text)]
    assert blocks.count("td_open") == frame.shape[0] * frame.shape[1]
    assert (blocks.count("table_open"), blocks[0], blocks[-1]) == (1, "table_open", "table_close")
    tokens = tokens_of(text)
    assert {token.type for token in tokens if not token.type.startswith(("math", "code"))} <= MARKUP
    assert all(token.content.startswith(OURS) for token in tokens if token.type == "html_inline")
    assert {token.meta["name"] for token in tokens if token.type == "myst_role"} <= {"numref"}
    assert {token.content for token in tokens if token.type.startswith(("math", "code"))}.isdisjoint({"q", "x", "y"})
    seen = "".join(token.content for token in tokens if token.type == "text")
    assert seen.count(SHOWN.replace("/", "") if name in ("settings", "protocol") else SHOWN) == times


def test_every_table_of_the_chapters_is_tried() -> None:
    """Whoever writes a table for a page adds it above; those from plain tables are escaped by show_table itself."""
    made = {
        "recorded_cost_table",
        "paper_cost_table",
        "one_core_table",
        "benchmark_table",
        "floor_table",
        "ledger_table",
        "needs_table",
        "changes_table",
    }
    made |= {"model_table", "protocol_table"}
    made |= {"hypotheses_table", "settings_table", "transfer_table", "precision_table", "correlation_table"}
    called = {name for path in NOTEBOOKS for cell in code_cells(path) for name in notebook_tables(cell.source)}
    assert called == made


def notebook_tables(source: str) -> set[str]:
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}
    return {name for name in names if name.endswith("_table")} - {"show_table"}


def test_the_facts_of_a_run_show_hostile_text_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOTNORM_COMMIT", HOSTILE)
    monkeypatch.setattr(notebook, "device_name", lambda _: HOSTILE)
    monkeypatch.setattr(notebook, "version", lambda _: HOSTILE)
    values = {"seed": 0, "device": "cpu", "scale": "smoke", "missing": "report", "store": HOSTILE, "card": HOSTILE}
    values |= {"variants": None, "seeds": None, "slots": None, "peak": 1.0, "utilization": 0.5}
    page = BeautifulSoup(notebook.run_info(Cost.parse(values)).data, "html.parser")
    assert {tag.name for tag in page.find_all()} == {"details", "summary", "table", "tr", "th", "td"}
    told = {row.th.get_text(): row.td.get_text() for row in page.find_all("tr")}
    assert told["commit"] == told["device"] == told["torch"] == HOSTILE
    assert told["store"] == told["card"] == repr(HOSTILE)


def test_the_board_shows_hostile_text_as_it_is() -> None:
    claims = [replace(claim, statement=HOSTILE) for claim in CLAIMS.values()]
    page = BeautifulSoup(render_board([Verdict.not_run(claim, HOSTILE) for claim in claims]), "html.parser")
    assert {tag.name for tag in page.find_all()} == {"ul", "li", "a", "b", "span"}
    assert {link["title"] for link in page.find_all("a")} == {HOSTILE}


def test_the_legend_shows_hostile_text_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "known_names", lambda: (HOSTILE,))
    page = BeautifulSoup(render_legend([HOSTILE], spatial=True), "html.parser")
    assert {tag.name for tag in page.find_all()} == {"p", "span", "svg", "path"}
    assert page.find("span").get_text().strip() == HOSTILE


def test_the_explorer_shows_hostile_text_as_it_is() -> None:
    one = {"id": HOSTILE, "label": HOSTILE}
    values = {"sets": [one], "sources": [HOSTILE], "scenes": 1, "cards": []}
    page = BeautifulSoup(render_html("figures/explorer.html.j2", **values), "html.parser")
    assert [script["type"] for script in page.find_all("script")] == ["application/json"]
    assert page.find("input", attrs={"name": "explorer-set"})["value"] == HOSTILE


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_chapter_writes_html_of_its_own(path) -> None:
    """HTML comes from templates only; text glued into prose is shown as text, and Markdown is made by two functions."""
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(cell.source)):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if name in ("HTML", "Markdown"):
                (made,) = node.args
                assert isinstance(made, ast.Call)
                maker = made.func.attr if isinstance(made.func, ast.Attribute) else made.func.id
                assert maker in (
                    "render_board",
                    "render_explorer",
                    "render_legend",
                    "summarize_verdicts",
                    "describe_more_slots",
                )
