"""The explorer in headless Chromium: by mouse, by touch, by keyboard, by address, without JavaScript; offline."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.book.chapter import HTML
from tests.browser.screen import NEEDS_CHROMIUM, SCROLLS_SIDEWAYS, TIMEOUT_S, Screen

PAGE = "book/chapters/80_explorer"
WEIGHT_LIMIT = 5_000_000
TARGET = 44
"""CSS pixels that a finger needs."""

pytestmark = NEEDS_CHROMIUM


class Explorer(Screen):
    """A browser on the explorer's page."""

    def load(self, address: str = "") -> None:
        self.open(PAGE, address)
        self.sets = json.loads(self.ask("document.querySelector('.explorer script').textContent"))
        self.wait("document.querySelector('.explorer-card canvas').width != 300")

    def until(self, condition: Any) -> None:
        WebDriverWait(self.driver, TIMEOUT_S).until(lambda _: condition())

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def label(self, group: str, number: int) -> WebElement:
        """Of a radio button, which is what a reader sees and hits."""
        return self.driver.find_elements(By.CSS_SELECTOR, f".explorer-{group} label")[number]

    def drawn(self) -> list[str]:
        return self.ask("[...document.querySelectorAll('.explorer canvas')].map(c => c.toDataURL())")

    def changes(self, act: Any) -> bool:
        """Whether pictures change after an action."""
        before = self.drawn()
        act()
        self.until(lambda: self.drawn() != before)
        return True

    def state(self) -> tuple[str, int, int]:
        """Set, scene and slots as the controls show them."""
        chosen = "document.querySelector('input[name=explorer-{}]:checked').value"
        shown = self.find(".explorer-slots b").text
        return self.ask(chosen.format("set")), int(self.ask(chosen.format("scene"))), int(shown)

    def scores(self) -> dict[str, str]:
        """F-ARI of every variant by its name, and its control by ``blind`` and its name."""
        found = {}
        for card in self.driver.find_elements(By.CSS_SELECTOR, ".explorer-card:not([hidden])"):
            variant = card.get_attribute("data-variant")
            found[variant] = card.find_element(By.TAG_NAME, "b").text
            first = card.find_element(By.CLASS_NAME, "explorer-more").text.splitlines()[0]
            found[f"blind {variant}"] = first.removeprefix("blind ")
        return found

    def expected(self) -> dict[str, str]:
        """The scores of what the controls show, from the page's data."""
        name, scene, slots = self.state()
        data = next(each for each in self.sets if each["id"] == name)
        place, shown = data["slots"].index(slots), data["scenes"][scene - 1]
        by_name = {
            prefix + v: shown[key][v] for key, prefix in (("fAri", ""), ("blind", "blind ")) for v in data["variants"]
        }
        return {name: f"{round(scores[place], 2) + 0.0:.2f}" for name, scores in by_name.items()}

    def tap(self, x: float, y: float) -> None:
        point = [{"x": x, "y": y}]
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": point})
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def box(self, element: WebElement) -> dict[str, float]:
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
        return self.driver.execute_script("return arguments[0].getBoundingClientRect().toJSON()", element)


@pytest.fixture(scope="module", params=["small-light", "desktop-dark"])
def browser(request: pytest.FixtureRequest, site: str) -> Iterator[Explorer]:
    browser = Explorer(request.param, site)
    yield browser
    browser.driver.quit()


@pytest.fixture
def explorer(browser: Explorer) -> Explorer:
    browser.load()
    return browser


def close(a: dict[str, str], b: dict[str, str]) -> bool:
    """Equal but for the rounding of a half, which Python and JavaScript do differently."""
    return a.keys() == b.keys() and all(abs(float(a[key]) - float(b[key])) < 0.011 for key in a)


def test_it_is_light_quiet_and_offline(browser: Explorer) -> None:
    browser.load()
    addresses = browser.requests()
    assert browser.strange(addresses) == []
    files = {HTML / unquote(urlsplit(url).path).lstrip("/") for url in addresses if url.startswith(browser.site)}
    assert sum(file.stat().st_size for file in files) < WEIGHT_LIMIT
    assert browser.errors() == []
    assert browser.ask(SCROLLS_SIDEWAYS) <= 0


def test_it_begins_as_in_training(explorer: Explorer) -> None:
    name, scene, slots = explorer.state()
    first = explorer.sets[0]
    assert (name, slots) == (first["id"], first["train"])
    assert scene == len(first["scenes"]) // 2 + 1
    assert close(explorer.scores(), explorer.expected())
    assert urlsplit(explorer.driver.current_url).fragment == ""


def test_the_arrow_keys_move_the_slots(explorer: Explorer) -> None:
    name, scene, slots = explorer.state()
    counts = explorer.sets[0]["slots"]
    more = counts[counts.index(slots) + 1]
    slider = explorer.find("#explorer-slots")
    assert explorer.changes(lambda: slider.send_keys(Keys.ARROW_RIGHT))
    assert explorer.state() == (name, scene, more)
    assert close(explorer.scores(), explorer.expected())
    assert slider.get_attribute("aria-valuetext") == f"{more} slots, in training: {slots}"
    assert f"{more} slots. F-ARI: Baseline {explorer.scores()['weighted_mean']}" in explorer.ask(
        "document.querySelector('.explorer-status').textContent"
    )
    assert explorer.driver.current_url.endswith(f"#set={name}&scene={scene}&slots={more}")
    slider.send_keys(Keys.END)
    assert explorer.state()[2] == counts[-1]
    slider.send_keys(Keys.HOME)
    assert explorer.state()[2] == counts[0]
    assert explorer.errors() == []


def test_the_arrow_keys_choose_a_scene_and_focus_is_seen(explorer: Explorer) -> None:
    scene = explorer.state()[1]
    focused = explorer.find("input[name=explorer-scene]:checked")
    assert explorer.changes(lambda: focused.send_keys(Keys.ARROW_LEFT))
    assert explorer.state()[1] == scene - 1
    ring = "getComputedStyle(document.activeElement.nextElementSibling).outlineStyle"
    assert explorer.ask(ring) == "solid"
    explorer.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert explorer.ask("document.activeElement.id") == "explorer-slots"
    assert explorer.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_mouse_moves_everything(explorer: Explorer) -> None:
    box = explorer.box(explorer.find("#explorer-slots"))
    slider = explorer.find("#explorer-slots")
    drag = ActionChains(explorer.driver).move_to_element_with_offset(slider, -int(box["width"] / 2) + 14, 0)
    assert explorer.changes(drag.click_and_hold().move_by_offset(int(box["width"]) - 28, 0).release().perform)
    assert explorer.state()[2] == explorer.sets[0]["slots"][-1]
    explorer.box(explorer.label("scenes", 0))
    assert explorer.changes(explorer.label("scenes", 0).click)
    assert explorer.state()[1] == 1
    if len(explorer.sets) > 1:
        assert explorer.changes(explorer.label("sets", 1).click)
        assert explorer.state()[0] == explorer.sets[1]["id"]
    assert close(explorer.scores(), explorer.expected())


def test_a_finger_moves_everything(explorer: Explorer) -> None:
    explorer.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    box = explorer.box(explorer.find("#explorer-slots"))
    middle = box["y"] + box["height"] / 2
    assert explorer.changes(lambda: explorer.tap(box["right"] - 15, middle))
    assert explorer.state()[2] == explorer.sets[0]["slots"][-1]
    thumb = explorer.box(explorer.label("scenes", 1))
    explorer.tap(thumb["x"] + thumb["width"] / 2, thumb["y"] + thumb["height"] / 2)
    explorer.until(lambda: explorer.state()[1] == 2)
    explorer.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_fingers_have_room(explorer: Explorer) -> None:
    for element in explorer.driver.find_elements(By.CSS_SELECTOR, ".explorer fieldset label, #explorer-slots"):
        if element.is_displayed():
            box = explorer.box(element)
            assert min(box["width"], box["height"]) >= TARGET


def test_the_slider_stays_in_sight_of_the_pictures(explorer: Explorer) -> None:
    explorer.driver.execute_script("document.querySelector('.explorer').scrollIntoView({behavior: 'instant'})")
    bottom = explorer.ask("document.querySelector('.explorer-slots').getBoundingClientRect().bottom")
    assert 0 < bottom <= explorer.height + 1


def test_a_view_can_be_linked(browser: Explorer) -> None:
    browser.load()
    last = browser.sets[-1]
    address = f"#set={last['id']}&scene=2&slots={last['slots'][-1]}"
    browser.load(address)
    assert browser.state() == (last["id"], 2, last["slots"][-1])
    assert close(browser.scores(), browser.expected())
    assert browser.find(".explorer-link a").get_attribute("href").endswith(address)
    assert browser.ask("document.querySelector('.explorer').getBoundingClientRect().top < innerHeight")
    assert browser.errors() == []


def test_a_link_to_a_heading_changes_nothing_that_was_chosen(browser: Explorer) -> None:
    browser.load()
    last = browser.sets[-1]
    chosen = (last["id"], 1, last["slots"][0])
    browser.load("#set={}&scene={}&slots={}".format(*chosen))
    browser.driver.execute_script("location.hash = '#what-you-see'")
    browser.driver.execute_script("return new Promise((done) => setTimeout(done, 100))")
    assert browser.state() == chosen
    assert browser.errors() == []


@pytest.mark.parametrize("address", ["#set=none&scene=x&slots=", "#scene=-1&slots=100000", "#what-you-see"])
def test_an_address_that_means_nothing_is_borne(browser: Explorer, address: str) -> None:
    browser.load(address)
    name, scene, slots = browser.state()
    first = browser.sets[0]
    assert (name, scene) == (first["id"], len(first["scenes"]) // 2 + 1)
    assert slots == (first["slots"][-1] if "100000" in address else first["train"])
    assert browser.errors() == []


def test_what_is_drawn_is_told(explorer: Explorer) -> None:
    canvases = explorer.driver.find_elements(By.CSS_SELECTOR, ".explorer canvas")
    told = [canvas.get_attribute("aria-label") for canvas in canvases if canvas.is_displayed()]
    assert len(told) == len(set(told)) >= 4
    assert all(len(text) > 15 for text in told)


def test_without_javascript_a_figure_stands_in(browser: Explorer) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.driver.get(browser.address(PAGE))
        assert "needs JavaScript" in browser.find(".explorer-off").text
        assert not browser.find(".explorer-on").is_displayed()
        assert browser.find("#fig-explorer img").is_displayed()
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
