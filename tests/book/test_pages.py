"""The rendered pages: numbered figures with alt text, captions, the run at a click, nothing from the network."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from slotnorm.claims import CLAIMS
from tests.book.chapter import HTML, calls, read, tags, toc_pages
from tests.book.test_notebooks import NOTEBOOKS

pytestmark = pytest.mark.slow


def page(name: str) -> BeautifulSoup:
    path = HTML / f"{name}.html"
    if not path.exists():
        pytest.fail(f"{path.name} is not built: run `make book`")
    return BeautifulSoup(path.read_text(), "html.parser")


@pytest.mark.parametrize("name", toc_pages())
def test_fetches_nothing_from_the_network(name: str) -> None:
    soup = page(name)
    loaded = [tag.get("src") or tag.get("href") for tag in soup.select("script[src], img[src], link[rel~=stylesheet]")]
    assert any("mathjax" in url for url in loaded) or not soup.select(".math")
    assert [url for url in loaded if re.match(r"(https?:)?//", url)] == []


@pytest.mark.parametrize("name", toc_pages())
def test_shows_no_error_and_no_raw_markup(name: str) -> None:
    article = page(name).select_one("article")
    assert article is not None
    assert article.select(".stderr, .traceback, .problematic, .system-message") == []
    for code in article.select("pre, code"):
        code.decompose()
    assert re.findall(r"\{\w+(?::\w+)?\}`|:::|```", article.get_text()) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_is_numbered_described_and_captioned(path: Path) -> None:
    figures = page(f"book/chapters/{path.stem}").select("article figure")
    assert [figure["id"] for figure in figures] == calls(path, "show")
    for figure in figures:
        image, number = figure.select_one("img"), figure.select_one("figcaption .caption-number")
        assert image is not None, f"{figure['id']} has no picture"
        assert len(image.get("alt", "")) > 40, f"{figure['id']} has no alt text"
        assert number is not None
        assert re.fullmatch(r"Fig\. \d+\.\d+ ", number.get_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_picture_of_a_chapter_is_a_figure(path: Path) -> None:
    article = page(f"book/chapters/{path.stem}").select_one("article")
    assert article is not None
    assert len(article.select("img")) == len(article.select("figure img"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_parameters_and_versions_open_at_a_click(path: Path) -> None:
    run = page(f"book/chapters/{path.stem}").select_one("details.run-info:not([open])")
    assert run is not None
    rows = {row.th.get_text(): row.td.get_text() for row in run.select("tr")}
    assert {"seed", "torch", "Python", "device", "commit"} <= set(rows)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_the_committed_notebook_executed(path: Path) -> None:
    executed = read(path.parents[1] / "book" / "chapters" / path.name)
    own = [cell for cell in executed.cells if "injected-parameters" not in tags(cell)]
    assert [(cell.cell_type, cell.source) for cell in own] == [
        (cell.cell_type, cell.source) for cell in read(path).cells
    ]


def test_every_claim_has_a_tile_a_row_and_a_figure() -> None:
    article = page("book/chapters/08_claims").select_one("article")
    assert article is not None
    assert [tile["href"] for tile in article.select(".claims-board a")] == [f"#{name}" for name in CLAIMS]
    for name in CLAIMS:
        (anchor,) = article.select(f"table.ledger span#{name}")
        row = anchor.find_parent("tr")
        assert row is not None
        assert row.select("a[href*='#fig-'], a[href*='#tab-']"), f"{name} links to no figure"
        assert row.select(".verdict")
