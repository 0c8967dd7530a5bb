"""The reference: its pages list the public modules, and every public name has what a reader needs."""

import ast
import doctest
import importlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.toy_split import make

PAGES = sorted((ROOT / "book" / "reference").glob("*.md"))
MODULES = [name for page in PAGES for name in re.findall(r"automodule:: (\S+)", page.read_text())]
FILES = sorted([*(ROOT / "slotnorm").rglob("*.py"), *(ROOT / "book" / "slotnorm_book").rglob("*.py")])
SOURCES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removeprefix("book.").removesuffix(".__init__")
    for path in FILES
    if path.name != "__main__.py"
]
PUBLIC = ["slotnorm", "slotnorm_book", *MODULES]
NAMES = [(module, name) for module in PUBLIC for name in importlib.import_module(module).__all__]
DOCUMENTED = [
    pytest.param(getattr(importlib.import_module(module), name), id=f"{module}.{name}")
    for module, name in NAMES
    if inspect.isclass(getattr(importlib.import_module(module), name))
    or inspect.isfunction(getattr(importlib.import_module(module), name))
]
CITED = re.compile(r"\bEq(?:s?\.|uations?) (\d+(?:(?:, |-|–| and )\d+)*)")
EQUATIONS = range(1, 40)  # the paper's last, of App. F, is 39
TAKES_TENSORS = re.compile(r"(?:Float|Int|Integer|Bool)\[")
SHAPE = re.compile(r"shape|\([A-Z][A-Za-z0-9, √.*]*\)|[Ss]ee :meth:")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a prepared split with ten scenes, which the examples call ``FOLDER``."""
    return make(tmp_path_factory.mktemp("toy") / "split")


@pytest.mark.parametrize("module", SOURCES)
def test_every_example_is_right(module: str, folder: Path) -> None:
    found = importlib.import_module(module)
    outcome = doctest.testmod(found, extraglobs={"FOLDER": folder})
    assert outcome.failed == 0


def test_the_first_page_lists_all_modules() -> None:
    table = (ROOT / "book" / "reference" / "index.md").read_text().split("| page | modules |")[1]
    assert set(re.findall(r"`(slotnorm[\w.]*)`", table)) - {"slotnorm", "slotnorm_book"} == set(MODULES)
    assert len(MODULES) == len(set(MODULES))


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_a_public_name_has_an_example(documented: Any) -> None:
    assert re.search(r"^Example:\n +>>> ", inspect.getdoc(documented) or "", re.MULTILINE)


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_a_public_name_tells_its_errors(documented: Any) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(documented))).body[0]
    assert isinstance(tree, ast.ClassDef | ast.FunctionDef)
    makers = {"__init__", "__post_init__"}
    bodies = [n for n in tree.body if isinstance(n, ast.FunctionDef)] if isinstance(tree, ast.ClassDef) else [tree]
    for body in bodies:
        docstring = inspect.getdoc(documented) if body.name in makers or body is tree else ast.get_docstring(body)
        raised = {
            node.exc.func.id
            for node in ast.walk(body)
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
        }
        if body.name in makers or not body.name.startswith("_"):
            assert {error for error in raised if f"{error}:" not in (docstring or "")} == set(), body.name


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_a_public_name_tells_the_shapes_of_its_tensors(documented: Any) -> None:
    made_by = documented.__init__ if inspect.isclass(documented) else documented
    assert tells_shapes(made_by, inspect.getdoc(documented))
    for name, method in inspect.getmembers(documented, inspect.isfunction):
        if not name.startswith("_") and method.__module__.startswith("slotnorm"):
            assert tells_shapes(method, inspect.getdoc(method)), name


def tells_shapes(function: Any, docstring: str | None) -> bool:
    """Whether no shape is lacking: none is wanted, or the docstring has one or says which other method has it."""
    wanted = TAKES_TENSORS.search(str(inspect.get_annotations(function)))
    return not wanted or bool(SHAPE.search(docstring or ""))


def equations(text: str) -> set[int]:
    """Numbers of the paper's equations that a text cites; ``Eqs. 1-4`` are four."""
    found: set[int] = set()
    for cited in CITED.findall(text):
        for part in re.split(r", | and ", cited):
            first, *last = map(int, re.split("[-–]", part))
            found |= set(range(first, (last or [first])[0] + 1))
    return found


def rows_of_the_notation() -> dict[int, set[str]]:
    """Equation to the names that the notation's table gives for it."""
    table = (ROOT / "book" / "notation.md").read_text().split("| equation |")[1].split(":::")[0]
    return {
        number: set(re.findall(r"`(\w+)`", names))
        for numbers, names in re.findall(r"^\| ([\d, ]+) \|.*\| (.*) \|$", table, re.MULTILINE)
        for number in map(int, numbers.split(", "))
    }


def citing(module: Path) -> dict[str, set[int]]:
    """Equations that a module's docstrings cite, by the name of class, function or method; its own by ''."""
    cited: dict[str, set[int]] = {}
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Module):
            name = "" if isinstance(node, ast.Module) else node.name
            cited[name] = cited.get(name, set()) | equations(ast.get_docstring(node) or "")
    return cited


def test_the_equations_that_docstrings_cite_are_the_papers_and_in_the_notation() -> None:
    cited = [numbers for path in FILES for numbers in citing(path).values()]
    assert set().union(*cited) == set(rows_of_the_notation())
    assert set(rows_of_the_notation()) <= set(EQUATIONS)


def test_a_name_in_the_notation_cites_its_equations() -> None:
    modules = [citing(path) for path in FILES]
    lacking = {
        (number, name)
        for number, names in rows_of_the_notation().items()
        for name in names
        if not any(number in cited.get(name, set()) for cited in modules)
    }
    assert lacking == set()


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_the_notation_has_a_public_name_at_the_equations_it_cites(documented: Any) -> None:
    rows, cited = rows_of_the_notation(), equations(inspect.getdoc(documented) or "")
    assert {number for number in cited if documented.__name__ not in rows[number]} == set()
