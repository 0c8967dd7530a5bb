"""A headless Chromium of one size and color scheme, on the built book, which a server of its own serves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from tests.book.chapter import HTML

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
NEEDS_CHROMIUM = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed: `make test-browser` does it"
    ),
]
SIZES = {"desktop": (1280, 900), "phone": (390, 844), "small": (360, 740)}
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
SCREENSHOTS = HTML.parent / "screenshots"
CUT = 1600
TIMEOUT_S = 30
SCROLLS_SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served() -> Iterator[str]:
    """Address of the built book while it is served on this machine."""
    with _Server(("127.0.0.1", 0), partial(_Quiet, directory=str(HTML))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # a connection beyond this is tried again after seconds, and later after minutes


class Screen:
    """A browser; ``name`` is such as ``phone-dark``, ``site`` the address of the book."""

    def __init__(self, name: str, site: str) -> None:
        size, self.scheme = name.split("-")
        self.name, self.site = name, site
        self.width, self.height = SIZES[size]
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for argument in ARGUMENTS:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(service=Service(DRIVER), options=options)
        self.driver.set_script_timeout(TIMEOUT_S)
        self.emulate("screen")

    def emulate(self, medium: str) -> None:
        """Show the page as on a ``screen`` or in ``print``; ``""`` leaves it to what is done with it."""
        preference = {"name": "prefers-color-scheme", "value": self.scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": [preference]})

    def resize(self, height: int) -> None:
        phone = self.width < 600
        metrics = {"width": self.width, "height": height, "deviceScaleFactor": 1 + phone, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def address(self, page: str) -> str:
        return f"{self.site}/{page}.html"

    def open(self, page: str, rest: str = "") -> None:
        """Go to a page and wait until its mathematics is typeset; logs begin anew."""
        if not (HTML / f"{page}.html").exists():
            pytest.fail(f"{page}.html is not built: run `make book`")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.resize(self.height)
        self.driver.get("about:blank")  # so that another fragment of the same page loads it, too
        self.driver.get(self.address(page) + rest)
        self.wait("[...document.querySelectorAll('.math')].every(e => e.querySelector('mjx-container'))")

    def wait(self, condition: str) -> None:
        WebDriverWait(self.driver, TIMEOUT_S).until(lambda _: self.ask(condition))

    def ask(self, expression: str) -> Any:
        return self.driver.execute_script(f"return {expression}")

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def strange(self, addresses: list[str]) -> list[str]:
        """Those that are not of the book."""
        return [url for url in addresses if not url.startswith((f"{self.site}/", "data:", "blob:", "about:"))]

    def photograph(self, page: str) -> None:
        """Leave the whole page in _build/screenshots, in numbered pictures one screen high."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.resize(CUT)
        total = self.ask("document.documentElement.scrollHeight")
        for number, top in enumerate(range(0, total, CUT), 1):
            self.driver.execute_script(f"window.scrollTo({{top: {top}, behavior: 'instant'}})")
            name = f"{page.replace('/', '-')}-{self.name}-{number}.png"
            self.driver.save_screenshot(str(SCREENSHOTS / name))
        self.resize(self.height)
