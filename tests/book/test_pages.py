"""The rendered pages: numbered figures with alt text, captions, the run at a click, nothing from the network."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urldefrag
from zipfile import ZipFile

import pytest
import yaml
from bs4 import BeautifulSoup

from slotnorm_book.chapters import CHAPTERS
from slotnorm_book.claims.ledger import CLAIMS
from tests.book.chapter import HTML, calls, read, tags, toc_pages
from tests.book.test_notebooks import NOTEBOOKS
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow


@cache
def page(name: str) -> BeautifulSoup:
    """A built page, which nobody may change."""
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
    texts = [text for text in article.find_all(string=True) if not text.find_parent(["pre", "code"])]
    assert re.findall(r"\{\w+(?::\w+)?\}`|:::|```", " ".join(texts)) == []


@pytest.mark.parametrize("name", toc_pages())
def test_every_internal_link_leads_somewhere(name: str) -> None:
    here, broken = HTML / f"{name}.html", []
    for link in page(name).select("a[href]"):
        address, fragment = urldefrag(link["href"])
        if re.match(r"\w+:", address):
            continue
        target = (here.parent / unquote(address)).resolve() if address else here
        if not target.is_file() or (fragment and target.suffix == ".html" and not has_anchor(target, fragment)):
            broken.append(link["href"])
    assert broken == []


def has_anchor(path: Path, fragment: str) -> bool:
    soup = page(str(path.relative_to(HTML).with_suffix("")))
    return fragment == "" or soup.find(id=unquote(fragment)) is not None


@pytest.mark.parametrize("name", toc_pages())
def test_headings_are_in_order(name: str) -> None:
    levels = [int(heading.name[1]) for heading in page(name).select("article :is(h1, h2, h3, h4, h5, h6)")]
    assert levels.count(1) == 1
    assert [(a, b) for a, b in pairwise(levels) if b > a + 1] == []


@pytest.mark.parametrize("name", toc_pages())
def test_previous_and_next_follow_the_table_of_contents(name: str) -> None:
    pages = toc_pages()
    place, soup = pages.index(name), page(name)
    for label, other in (("left-prev", place - 1), ("right-next", place + 1)):
        link = soup.select_one(f".prev-next-area a.{label}")
        assert (link is not None) == (0 <= other < len(pages))
        if link is not None:
            target = (HTML / f"{name}.html").parent / link["href"]
            assert target.resolve() == HTML / f"{pages[other]}.html"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_offers_what_it_was_made_from(path: Path) -> None:
    here = HTML / "book" / "chapters" / f"{path.stem}.html"
    links = page(f"book/chapters/{path.stem}").select("nav.page-files a[download]")
    files = {(here.parent / link["href"]).resolve().suffix: (here.parent / link["href"]).resolve() for link in links}
    assert read(files[".ipynb"]) == read(ROOT / "book" / "chapters" / path.name)
    parameters = yaml.safe_load(files[".yaml"].read_text())
    run = page(f"book/chapters/{path.stem}").select_one("details.run-info")
    assert run is not None
    told = {row.th.get_text(): row.td.get_text() for row in reversed(run.select("tr"))}  # the first device is asked for
    checked = CHAPTERS[path.stem].parse(parameters)
    assert {name: told[name] for name in parameters} == {name: repr(getattr(checked, name)) for name in parameters}
    assert (".zip" in files) == bool(parameters.get("store"))


def test_the_records_are_all_runs_without_weights() -> None:
    with ZipFile(HTML / "_downloads" / "chapters" / "records.zip") as archive:
        names = archive.namelist()
    runs = sorted(path.parent.name for path in (ROOT / "book" / "results").glob("*/record.json"))
    assert sorted(name.split("/")[1] for name in names if name.endswith("record.json")) == runs
    assert {Path(name).suffix for name in names} == {".json", ".parquet"}


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
