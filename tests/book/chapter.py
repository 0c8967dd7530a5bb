"""What the tests ask a notebook or the table of contents."""

import ast
import re
from pathlib import Path

import nbformat
import yaml

from tests.helpers.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BOOK_PAGES = sorted((ROOT / "book").glob("*.md"))
HTML = ROOT / "_build" / "html"
CITATION = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def markdown(path: Path) -> str:
    """All prose of a notebook or a Markdown page."""
    if path.suffix == ".md":
        return path.read_text()
    return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def calls(path: Path, function: str) -> list[str]:
    """First arguments of all calls of ``function`` in a notebook, which must be literal strings."""
    return [ast.literal_eval(node.args[0]) for node in _calls(path, function)]


def glued(path: Path) -> list[str]:
    """Keys of all values that a notebook keeps for its text, with ``glue`` or with ``glue_values``."""
    together = [
        f"{ast.literal_eval(node.args[0])}-{keyword.arg.replace('_', '-')}"
        for node in _calls(path, "glue_values")
        for keyword in node.keywords
        if keyword.arg is not None
    ]
    return calls(path, "glue") + together


def _calls(path: Path, function: str) -> list[ast.Call]:
    return [
        node
        for cell in code_cells(path)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    ]


def toc_pages() -> list[str]:
    """Pages of the table of contents, in order, such as ``book/intro``."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def citations(path: Path) -> set[str]:
    return {key.strip() for keys in CITATION.findall(markdown(path)) for key in keys.split(",")}
