"""The extensions of the book: counted verdicts, figures of other pages, legends, names that do not break."""

import json
import runpy
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from docutils import nodes

from tests.helpers.paths import ROOT


def extension(name: str) -> dict:
    return runpy.run_path(str(ROOT / "book" / "_ext" / f"{name}.py"))


def test_verdicts_are_counted_by_outcome_and_kind(tmp_path: Path) -> None:
    verdicts = {"M1": "reproduced", "R1": "reproduced", "R2": "not run", "R3": "not run", "R4": "of a new kind"}
    path = tmp_path / "verdicts.json"
    path.write_text(json.dumps({"verdicts": {name: {"outcome": outcome} for name, outcome in verdicts.items()}}))
    counts = extension("outcomes")["count_outcomes"](path)
    assert {outcome: dict(of) for outcome, of in counts.items()} == {
        "reproduced": {"M": 1, "R": 1},
        "not run": {"R": 2},
        "of a new kind": {"R": 1},
    }
    assert list(counts) == ["reproduced", "not run", "of a new kind"]


def test_the_committed_verdicts_are_of_the_kinds_that_are_counted() -> None:
    names = json.loads((ROOT / "book" / "verdicts.json").read_text())["verdicts"]
    assert {name[0] for name in names} == set(extension("outcomes")["KINDS"])


def test_a_figure_is_found_by_its_name(tmp_path: Path) -> None:
    output = {"metadata": {"scrapbook": {"name": "fig-a"}}, "data": {"image/png": ["ab\n", "cd\n"]}}
    text = {"metadata": {"scrapbook": {"name": "tab-a"}}, "data": {"text/markdown": "| a |"}}
    cells = [{"cell_type": "markdown"}, {"outputs": [{"output_type": "stream"}, text]}, {"outputs": [output]}]
    notebook = tmp_path / "01.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    find = extension("chapter_figure")["find_picture"]
    assert find(notebook, "fig-a") == "abcd"
    assert find(notebook, "tab-a") is None
    assert find(notebook, "fig-b") is None


def test_a_legend_is_lifted_out_of_its_section_and_stays_before_it() -> None:
    legend, cell = (nodes.container(classes=["cell", *more]) for more in (["tag_page-legend"], []))
    inner = nodes.section("", nodes.title("", "results"), legend, cell)
    page = nodes.section("", nodes.title("", "page"), nodes.section(), inner)
    document = nodes.document(None, None)
    document += page
    extension("page_legend")["lift_legend"](None, document)
    assert page.children[2:] == [legend, inner]
    assert inner.children[1:] == [cell]


@pytest.mark.parametrize(
    ("text", "names"),
    [("MOVi-C10 and MOVi-D", ["MOVi-C10", "MOVi-D"]), ("blind F-ARI, ARI", ["F-ARI"]), ("mean-field", [])],
)
def test_names_with_a_hyphen_are_kept_together(text: str, names: list[str]) -> None:
    assert extension("unbroken")["NAME"].split(text)[1::2] == names


@pytest.mark.parametrize(
    ("html", "kept"),
    [
        (
            '<a title="MOVi-C" href="movi-c.html">2. On MOVi-C &amp; D</a>',
            '<a href="movi-c.html" title="MOVi-C">2. On <span class="unbroken">MOVi-C</span> &amp; D</a>',
        ),
        ("ARI &lt; F-ARI", 'ARI &lt; <span class="unbroken">F-ARI</span>'),
        ("<p>mean-field</p>", "<p>mean-field</p>"),
    ],
)
def test_names_in_the_sidebars_are_kept_together(html: str, kept: str) -> None:
    keep = extension("unbroken")["keep_together_in_html"]
    assert BeautifulSoup(keep(html), "html.parser") == BeautifulSoup(kept, "html.parser")
    assert keep(BeautifulSoup(html, "html.parser")) == BeautifulSoup(kept, "html.parser")


def test_names_around_a_page_are_kept_together() -> None:
    around = extension("unbroken")["keep_lists_together"]
    empty = {"generate_toc_html": lambda kind: "", "prev": None}
    around(None, "page", "page.html", empty, None)
    assert empty["generate_toc_html"](kind="html") == ""
    assert empty["prev"] is None
    context = {"generate_toctree_html": lambda depth: f"<a>MOVi-C</a>{depth}", "next": {"link": "d", "title": "MOVi-D"}}
    around(None, "page", "page.html", context, None)
    assert context["generate_toctree_html"](depth=1) == '<a><span class="unbroken">MOVi-C</span></a>1'
    assert context["next"] == {"link": "d", "title": '<span class="unbroken">MOVi-D</span>'}
