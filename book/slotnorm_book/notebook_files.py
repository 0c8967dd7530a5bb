"""Reads and writes the notebooks of the chapters, and reads the defaults in their ``parameters`` cells."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat

from slotnorm_book.chapter_parameters import ParameterError


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook.

    Raises:
        ParameterError: the file cannot be read or is no valid notebook; the message names it.
    """
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        nbformat.validate(notebook)
    except OSError as error:
        raise ParameterError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # nbformat raises whatever the content leads to
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ParameterError(f"{path} is no valid notebook: {reason}") from error
    return notebook


def default_expressions(path: Path) -> dict[str, ast.expr]:
    """Return the expressions that the ``parameters`` cell of a notebook assigns, by name.

    Raises:
        ParameterError: the notebook has no such cell, or the cell does more than assign one literal to each name.
    """
    cells = [cell for cell in read_notebook(path).cells if "parameters" in cell.metadata.get("tags", [])]
    if not cells:
        raise ParameterError(f"{path} has no cell with the tag 'parameters'")
    try:
        pairs = [_split_assignment(statement) for statement in ast.parse(cells[0].source).body]
    except (SyntaxError, ValueError) as error:
        raise ParameterError(f"{path}: the cell 'parameters' may only assign literals, one to each name") from error
    return dict(pairs)


def default_parameters(path: Path) -> dict[str, Any]:
    """Return the values that the ``parameters`` cell of a notebook assigns, by name.

    Raises:
        ParameterError: as for :func:`default_expressions`.
    """
    return {name: ast.literal_eval(expression) for name, expression in default_expressions(path).items()}


def _split_assignment(statement: ast.stmt) -> tuple[str, ast.expr]:
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
        raise ValueError(f"no assignment: {ast.unparse(statement)}")
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else statement.targets
    (name,) = (target.id for target in targets if isinstance(target, ast.Name))
    ast.literal_eval(statement.value)
    return name, statement.value


def normalize(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove what differs between two equal runs: times, random ids, and how a stream was cut into pieces."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.metadata.pop("papermill", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    nbformat.validate(notebook)
    return notebook


def merge_streams(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Merge the pieces of each stream into one output, where its first piece was."""
    merged: dict[str, nbformat.NotebookNode] = {}
    kept = []
    for output in outputs:
        if output.output_type == "stream" and output.name in merged:
            merged[output.name].text += output.text
            continue
        if output.output_type == "stream":
            merged[output.name] = output
        kept.append(output)
    return kept


def write_notebook(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Write a notebook completely or not at all, under a temporary name of its own until then.

    Raises:
        OSError: the error names the notebook, which stays as it was.
    """
    temporary = path.with_name(f".{path.stem}-{uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
