from collections.abc import Iterator

import pytest

from tests.browser.screen import served


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="leave pictures of all pages in _build/screenshots")


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    with served() as address:
        yield address
