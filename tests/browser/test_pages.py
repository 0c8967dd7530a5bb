"""The built pages in headless Chromium: whole, quiet, of one origin, in dark and light, on paper, for all readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

import pytest
from selenium.webdriver.common.by import By

from tests.book.chapter import HTML, toc_pages
from tests.browser.questions import FINDINGS, GROUND_AND_INK, RAW_TEX
from tests.browser.screen import NEEDS_CHROMIUM, SCROLLS_SIDEWAYS, Screen

pytestmark = NEEDS_CHROMIUM

PAGES = toc_pages()
CHAPTERS = [page for page in PAGES if page.startswith("book/chapters/")]
AXE = files("axe_playwright_python") / "axe.min.js"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")
CONTRAST = 7
"""Of a plot's axes and text, which are black on white before dark mode turns them; WCAG's AAA."""
OFF_PAPER = "header.bd-header, .bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-area, footer"
TRANSITIONS_ARE_OVER = """document.getAnimations().every(animation =>
    animation.playState !== 'running' || animation.timeline !== document.timeline)"""  # a scroll's always run
LEGENDS = [f"book/chapters/{name}" for name in ("02_clevr", "03_movi_c", "07_beyond")]
LEGEND_ITSELF = "document.querySelector('.variant-legend')"
LEGEND = f"{LEGEND_ITSELF}.getBoundingClientRect()"
DARK = "invert(0.93) hue-rotate(180deg)"


@dataclass(frozen=True)
class Visit:
    """What was seen of a page on a screen."""

    errors: list[str]
    strange_requests: list[str]
    theme: str
    scrolls_sideways: tuple[int, int]
    raw_tex: list[str]
    broken_images: list[str]
    typesetting_errors: int
    figures: list[dict[str, float]]
    filters: list[tuple[bool, str]]
    plots: list[tuple[float, float]]
    findings: list[str]
    run: tuple[str, str]


@pytest.fixture(scope="module", params=["desktop-light", "desktop-dark", "phone-dark", "small-light"])
def screen(request: pytest.FixtureRequest, site: str) -> Iterator[Screen]:
    screen = Screen(request.param, site)
    yield screen
    screen.driver.quit()


@pytest.fixture(scope="module")
def visits(screen: Screen) -> dict[str, Visit]:
    """Pages that were looked at on this screen."""
    return {}


@pytest.fixture
def visit(screen: Screen, visits: dict[str, Visit], page: str, request: pytest.FixtureRequest) -> Visit:
    if page not in visits:
        screen.open(page)
        if request.config.getoption("--screenshots", default=False):
            screen.photograph(page)
        visits[page] = look(screen)
    return visits[page]


def look(screen: Screen) -> Visit:
    images = "[...document.querySelectorAll('article figure img')]"
    sizes = """(figure => ({figure: figure.getBoundingClientRect().width,
        frame: figure.firstElementChild.getBoundingClientRect().width,
        image: figure.querySelector('img').getBoundingClientRect().width}))"""
    folded = screen.ask(SCROLLS_SIDEWAYS)
    run = click_the_run(screen)
    screen.driver.execute_script("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    screen.wait(TRANSITIONS_ARE_OVER)
    return Visit(
        errors=screen.errors(),
        strange_requests=screen.strange(screen.requests()),
        theme=screen.ask("document.documentElement.dataset.theme"),
        scrolls_sideways=(folded, screen.ask(SCROLLS_SIDEWAYS)),
        raw_tex=screen.driver.execute_script(RAW_TEX),
        broken_images=screen.ask("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"),
        typesetting_errors=screen.ask("document.querySelectorAll('mjx-merror, [data-mjx-error]').length"),
        figures=screen.ask(f"[...document.querySelectorAll('article figure')].map({sizes})"),
        filters=[
            tuple(pair)
            for pair in screen.ask(f"{images}.map(i => [!!i.closest('figure.plot'), getComputedStyle(i).filter])")
        ],
        plots=[tuple(pair) for pair in screen.driver.execute_script(GROUND_AND_INK)],
        findings=findings(screen),
        run=run,
    )


def click_the_run(screen: Screen) -> tuple[str, str]:
    """What can be read of the run's parameters before and after a click, if the page has any."""
    tables = screen.driver.find_elements(By.CSS_SELECTOR, "details.run-info table")
    before = "".join(table.text for table in tables)
    for summary in screen.driver.find_elements(By.CSS_SELECTOR, "details.run-info summary"):
        summary.click()
    return before, "".join(table.text for table in tables)


def findings(screen: Screen) -> list[str]:
    """What axe-core calls serious or critical; contrast, which takes long, on the desktop, which has both themes."""
    screen.driver.execute_script(AXE.read_text(encoding="utf-8"))
    found: list[str] = screen.driver.execute_async_script(FINDINGS, RULES, screen.name.startswith("desktop"))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_page_is_whole(visit: Visit, screen: Screen) -> None:
    assert visit.errors == []
    assert visit.strange_requests == []
    assert visit.theme == screen.scheme
    assert max(visit.scrolls_sideways) <= 1
    assert visit.raw_tex == []
    assert visit.broken_images == []
    assert visit.typesetting_errors == 0


@pytest.mark.parametrize("page", PAGES)
def test_figures_fit_the_screen_or_scroll_in_their_frame(visit: Visit, screen: Screen) -> None:
    for figure in visit.figures:
        assert figure["figure"] <= screen.width
        assert figure["image"] > 0.6 * min(screen.width, 600)
        assert figure["frame"] <= figure["figure"] + 1


@pytest.mark.parametrize("page", PAGES)
def test_dark_mode_darkens_plots_and_leaves_pictures(visit: Visit, screen: Screen) -> None:
    plots = DARK if screen.scheme == "dark" else "none"
    assert [style for is_plot, style in visit.filters] == [plots if is_plot else "none" for is_plot, _ in visit.filters]


@pytest.mark.parametrize("page", PAGES)
def test_plots_can_be_read(visit: Visit, screen: Screen) -> None:
    for ground, ink in visit.plots:
        assert (ground < 0.1) if screen.scheme == "dark" else (ground > 0.9)
        assert (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05) > CONTRAST


@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing_serious(visit: Visit) -> None:
    assert visit.findings == []


def test_axe_would_find_something(screen: Screen) -> None:
    screen.open(PAGES[0])
    faint = "<p style='color: #999; background: #aaa'>faint</p><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"
    screen.driver.execute_script(
        "document.querySelector('article').insertAdjacentHTML('beforeend', arguments[0])", faint
    )
    expected = {"color-contrast", "image-alt"} if screen.name.startswith("desktop") else {"image-alt"}
    assert {finding.split(":")[0] for finding in findings(screen)} == expected


@pytest.mark.parametrize("page", CHAPTERS)
def test_the_run_opens_at_a_click(visit: Visit) -> None:
    before, after = visit.run
    assert before == ""
    assert "seed" in after


def test_the_opening_page_says_in_one_screen_what_it_is_about(screen: Screen) -> None:
    screen.open(PAGES[0])
    opening = screen.ask("[...document.querySelectorAll('article section > p')].slice(0, 5).map(p => p.textContent)")
    beginnings = ("Slot Attention", "The paper’s claim.", "What we found", "Which ones, and why", "Where to go.")
    for paragraph, words in zip(opening, beginnings, strict=True):
        assert paragraph.startswith(words)
    if screen.name.startswith("desktop"):
        picture, claim = (
            screen.ask(f"document.querySelector('{part}').getBoundingClientRect().bottom")
            for part in ("article section > figure img", "article section > p ~ p")
        )
        assert 0 < picture < claim <= screen.height


def test_search_finds_the_weighted_sum(screen: Screen) -> None:
    screen.open("search", "?q=weighted+sum")
    # entries come one by one
    screen.wait("document.querySelector('.search-summary')?.textContent.includes('finished')")
    found = screen.ask("[...document.querySelectorAll('#search-results li > a')].map(a => a.pathname.slice(1))")
    assert {"book/chapters/01_vmf_em.html", "book/chapters/02_clevr.html"} <= set(found)
    assert screen.errors() == []
    assert screen.strange(screen.requests()) == []
    assert screen.ask(SCROLLS_SIDEWAYS) <= 1
    assert findings(screen) == []


@pytest.mark.parametrize("page", ["book/chapters/02_clevr", "book/chapters/80_explorer", "book/reference/attention"])
def test_on_paper_there_is_the_article_alone_and_it_is_light(screen: Screen, page: str) -> None:
    screen.open(page)
    screen.emulate("print")
    try:
        shown = f"[...document.querySelectorAll('{OFF_PAPER}')].filter(e => e.getClientRects().length)"
        assert screen.ask(f"{shown}.map(e => e.className)") == []
        screen.wait("document.documentElement.dataset.theme === 'light'")
        assert findings(screen) == []
        styles = "[...document.querySelectorAll('article figure')].map(figure => getComputedStyle(figure).breakInside)"
        assert set(screen.ask(styles)) <= {"avoid"}
        filters = "[...document.querySelectorAll('article figure img')].map(image => getComputedStyle(image).filter)"
        assert set(screen.ask(filters)) <= {"none"}
        folded = "[...document.querySelectorAll('article details.sd-dropdown :is(table, figure)')]"
        assert all(screen.ask(f"{folded}.map(part => part.checkVisibility())"))
        frames = "[...document.querySelectorAll('article .pst-scrollable-table-container')]"
        assert set(screen.ask(f"{frames}.map(frame => getComputedStyle(frame).overflow)")) <= {"visible"}
        if screen.name.startswith("desktop"):
            assert max(screen.ask(f"{frames}.map(frame => frame.scrollWidth - frame.clientWidth)"), default=0) <= 1
    finally:
        screen.emulate("screen")
    screen.wait(f"document.documentElement.dataset.theme === '{screen.scheme}'")


@pytest.mark.parametrize("page", LEGENDS)
def test_the_legend_stays_below_the_header_while_one_scrolls(screen: Screen, page: str) -> None:
    screen.open(page)
    lines = screen.ask(f"{LEGEND}.height") / screen.ask(f"parseFloat(getComputedStyle({LEGEND_ITSELF}).lineHeight)")
    assert round(lines) <= (1 if screen.name.startswith("desktop") else 2)
    assert screen.ask(f"{LEGEND}.top") > screen.height
    after = screen.ask("[...document.querySelectorAll('.cell:has(.variant-legend) ~ section')].map(part => part.id)")
    assert len(after) > 3
    for part in after:
        screen.driver.execute_script(
            "document.getElementById(arguments[0]).scrollIntoView({behavior: 'instant'})", part
        )
        header = screen.ask("document.querySelector('.bd-header-article').getBoundingClientRect().bottom")
        heading = screen.ask(f"document.querySelector('#{part} > h2').getBoundingClientRect().top")
        assert header <= screen.ask(f"{LEGEND}.top") < header + 20
        assert screen.ask(f"{LEGEND}.bottom") <= heading
    screen.emulate("print")
    assert screen.ask(f"getComputedStyle({LEGEND_ITSELF}.closest('.cell')).position") == "static"
    screen.emulate("screen")


def test_the_printer_gets_the_light_theme_and_the_reader_keeps_the_own(screen: Screen) -> None:
    screen.open("book/cite")
    screen.emulate("")
    screen.driver.execute_script(
        "addEventListener('beforeprint', () => { window.printed = document.documentElement.dataset.theme; })"
    )
    screen.driver.execute_cdp_cmd("Page.printToPDF", {})
    assert screen.ask("window.printed") == "light"
    assert screen.ask("document.documentElement.dataset.theme") == screen.scheme
    screen.emulate("screen")


@pytest.mark.parametrize("page", ["book/intro", "book/chapters/80_explorer"])
def test_opens_from_a_folder_too(screen: Screen, page: str) -> None:
    screen.open(page)
    screen.driver.get((HTML / f"{page}.html").as_uri())
    assert screen.errors() == []
    assert [url for url in screen.requests() if url.startswith("http") and not url.startswith(screen.site)] == []
    assert screen.ask("document.querySelector('article h1') != null")
