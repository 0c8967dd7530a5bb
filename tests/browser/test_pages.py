"""The built pages in headless Chromium: four screens, no console error, no request, no sideways scroll, right colors.

Pictures of each page are left in _build/screenshots.
"""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.book.chapter import HTML, toc_pages

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SCREENS = {"desktop": (1280, 900), "phone": (390, 844), "small": (360, 740)}
SCREENSHOTS = HTML.parent / "screenshots"
CUT = 1600
TIMEOUT_S = 30

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]


class Screen:
    """A browser of one size and color scheme."""

    def __init__(self, size: str, scheme: str) -> None:
        self.name, self.scheme = f"{size}-{scheme}", scheme
        self.width, self.height = SCREENS[size]
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(service=Service(DRIVER), options=options)
        preference = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preference]})

    def resize(self, height: int) -> None:
        phone = self.width < 600
        metrics = {"width": self.width, "height": height, "deviceScaleFactor": 1 + phone, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def open(self, page: str) -> None:
        path = HTML / f"{page}.html"
        if not path.exists():
            pytest.fail(f"{path.name} is not built: run `make book`")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.resize(self.height)
        self.driver.get(path.as_uri())
        typeset = "return [...document.querySelectorAll('.math')].every(e => e.querySelector('mjx-container'))"
        WebDriverWait(self.driver, TIMEOUT_S).until(lambda driver: driver.execute_script(typeset))

    def ask(self, expression: str) -> Any:
        return self.driver.execute_script(f"return {expression}")

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def photograph(self, page: str) -> None:
        """Leave the whole page in _build/screenshots, in numbered pictures one screen high."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.resize(CUT)
        total = self.ask("document.documentElement.scrollHeight")
        for number, top in enumerate(range(0, total, CUT), 1):
            self.driver.execute_script(f"window.scrollTo({{top: {top}, behavior: 'instant'}})")
            name = f"{page.replace('/', '-')}-{self.name}-{number}.png"
            self.driver.save_screenshot(str(SCREENSHOTS / name))


@pytest.fixture(scope="module", params=["desktop-light", "desktop-dark", "phone-light", "phone-dark"])
def screen(request: pytest.FixtureRequest) -> Iterator[Screen]:
    screen = Screen(*request.param.split("-"))
    yield screen
    screen.driver.quit()


@pytest.mark.parametrize("page", toc_pages())
def test_page_is_whole(screen: Screen, page: str) -> None:
    screen.open(page)
    assert screen.errors() == []
    assert [url for url in screen.requests() if not url.startswith(("file:", "data:", "blob:"))] == []
    assert screen.ask("document.documentElement.dataset.theme") == screen.scheme
    assert screen.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 1
    assert screen.ask("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)") == []
    screen.photograph(page)


@pytest.mark.parametrize("page", toc_pages())
def test_figures_fit_the_screen_or_scroll_in_their_frame(screen: Screen, page: str) -> None:
    screen.open(page)
    for figure in screen.driver.find_elements(By.CSS_SELECTOR, "article figure"):
        frame = figure.find_element(By.XPATH, "./*[1]")
        assert figure.rect["width"] <= screen.width
        assert figure.find_element(By.TAG_NAME, "img").rect["width"] > 0.6 * min(screen.width, 600)
        assert frame.rect["width"] <= figure.rect["width"] + 1


def test_dark_mode_darkens_plots_and_leaves_pictures(screen: Screen) -> None:
    filters = []
    for page in toc_pages():
        screen.open(page)
        images = "[...document.querySelectorAll('article figure img')]"
        filters += screen.ask(f"{images}.map(i => [!!i.closest('figure.plot'), getComputedStyle(i).filter])")
    plots = {style for is_plot, style in filters if is_plot}
    pictures = {style for is_plot, style in filters if not is_plot}
    assert plots == ({"invert(0.93) hue-rotate(180deg)"} if screen.scheme == "dark" else {"none"})
    assert pictures == {"none"}


@pytest.mark.parametrize("page", [page for page in toc_pages() if page.startswith("book/chapters/")])
def test_the_run_opens_at_a_click(screen: Screen, page: str) -> None:
    screen.open(page)
    run = screen.driver.find_element(By.CSS_SELECTOR, "details.run-info")
    table = run.find_element(By.TAG_NAME, "table")
    assert not table.is_displayed()
    run.find_element(By.TAG_NAME, "summary").click()
    assert table.is_displayed()
    assert "seed" in table.text
    assert screen.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 1
