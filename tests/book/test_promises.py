"""What the project promises: every sentence of the page names tests, and these exist."""

import ast
import re

import pytest

from tests.helpers.paths import ROOT

PAGE = (ROOT / "book" / "reference" / "promises.md").read_text(encoding="utf-8")
PROMISES = [" ".join(item.split()) for item in re.findall(r"^- ((?:.+\n)(?:  .+\n)*)", PAGE, re.MULTILINE)]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_the_page_has_promises_of_all_three_kinds() -> None:
    parts = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    assert list(parts) == ["Durability", "Trust", "Determinism"]
    assert sum(len(re.findall(r"^- ", text, re.MULTILINE)) for text in parts.values()) == len(PROMISES)
    assert all(re.search(r"^- ", text, re.MULTILINE) for text in parts.values())


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise[:40])
def test_a_promise_names_tests_that_exist(promise: str) -> None:
    named = TEST.findall(promise)
    assert named, "a promise names the test that shows it"
    assert promise.endswith("`).")
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"


def test_every_code_that_looks_like_a_test_was_read() -> None:
    assert PAGE.count("::test_") == len(TEST.findall(PAGE))
