"""``slotnorm-book execute``: runs notebooks/NAME.ipynb with papermill and saves the result as book/chapters/NAME.ipynb.

The book shows the executed notebooks. Two chapters run at a time. The result depends only on the source, the parameters
and the machine: the same run gives the same bytes. The parameters are saved too, as NAME.yaml, for ``papermill -f``.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

# Kernels inherit these: a page needs no progress bars or warnings about terminals, and two chapters share the cores.
os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}

import nbformat
import papermill
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from slotnorm_book.chapters import CHAPTERS, ParameterError, select_chapters
from slotnorm_book.checkout import NOTEBOOKS, PAGES, ROOT, SHOWN

FAILED = ROOT / "_build" / "failed"
WORKERS = 2
CELL_TIMEOUT_S = 3600
QUIET_KERNEL = ["--IPKernelApp.log_level=ERROR"]
FAILURES = (PapermillExecutionError, CellExecutionError, CellTimeoutError, DeadKernelError)


class ChapterError(Exception):
    """A chapter that failed; the message names chapter, cell, parameters and error."""


def execute_chapters(names: Sequence[str], assignments: Sequence[str], reference: bool = False) -> int:
    """Execute chapters and return the exit status.

    Args:
        names: names of chapters, or paths of their notebooks; empty for all chapters.
        assignments: parameters as ``"NAME=VALUE"``.
        reference: whether to run the notebooks in place at their defaults.

    Raises:
        ParameterError: a chapter or parameter does not exist, or a value is out of range.
    """
    if reference and assignments:
        raise ParameterError("--reference takes no --parameter, since it runs the notebooks at their defaults")
    chapters = select_chapters(names)
    parameters = dict(map(parse_assignment, assignments))
    check_parameters(chapters, parameters)
    if reference:
        return run_all(chapters, refresh_reference)
    return run_all(chapters, execute_chapter, parameters)


def parse_assignment(text: str) -> tuple[str, object]:
    """Split ``"NAME=VALUE"`` into the name and the value.

    Raises:
        ParameterError: there is no equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ParameterError(f"--parameter takes NAME=VALUE, such as seed=1, got {text!r}")
    return name, literal(value)


def literal(text: str) -> object:
    """Read a parameter's value from the command line: as JSON if it is JSON, otherwise as text."""
    try:
        value: object = json.loads(text)
        return value
    except json.JSONDecodeError:
        return text


def check_parameters(chapters: Sequence[str], parameters: dict[str, Any]) -> None:
    """Check that every chapter accepts the parameters, before any kernel starts.

    Raises:
        ParameterError: the message names the chapter, and each parameter that is wrong.
    """
    for chapter in chapters if parameters else ():
        try:
            CHAPTERS[chapter].parse(default_parameters(read_notebook(chapter)) | shown_parameters(chapter) | parameters)
        except ParameterError as error:
            problems = "; ".join(str(error).split("\n\n")[0].splitlines())
            raise ParameterError(f"{chapter}: {problems} (see `slotnorm-book parameters {chapter}`)") from error


def shown_parameters(chapter: str) -> dict[str, Any]:
    """Return the parameters with which the book shows a chapter, if not the defaults."""
    parameters: dict[str, Any] = json.loads(SHOWN.read_text(encoding="utf-8")).get(chapter, {})
    return parameters


def read_notebook(chapter: str) -> nbformat.NotebookNode:
    """Read the source notebook of a chapter."""
    return nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", as_version=4)


def default_parameters(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """Return the values that the notebook's ``parameters`` cell assigns."""
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    statements = ast.parse(cell.source).body
    targets = [node.target if isinstance(node, ast.AnnAssign) else node.targets[0] for node in statements]
    return {ast.unparse(target): ast.literal_eval(node.value) for target, node in zip(targets, statements, strict=True)}


def run_all(chapters: list[str], job: Callable[..., None], *arguments: Any) -> int:
    """Run ``job(chapter, *arguments)`` for every chapter, two at a time, and print how each ended."""
    failed = 0
    with ProcessPoolExecutor(min(WORKERS, len(chapters))) as pool:
        print(f"executing {', '.join(chapters)}", flush=True)
        running = {pool.submit(measure_seconds, job, chapter, *arguments): chapter for chapter in chapters}
        for number, future in enumerate(as_completed(running), 1):
            try:
                outcome = f"{running[future]} in {future.result():.0f} s"
            except ChapterError as error:
                failed += 1
                outcome = str(error)
            print(f"[{number}/{len(chapters)}] {outcome}", flush=True)
    if failed:
        print(f"{failed} of {len(chapters)} chapters failed", file=sys.stderr)
    return min(failed, 1)


def measure_seconds(job: Callable[..., None], *arguments: Any) -> float:
    """Call ``job`` and return the seconds it took."""
    start = time.monotonic()
    job(*arguments)
    return time.monotonic() - start


def execute_chapter(chapter: str, parameters: dict[str, Any]) -> None:
    """Execute one chapter with papermill, and save it as a page if it succeeds.

    Raises:
        ChapterError: a cell failed or took too long.
    """
    FAILED.mkdir(parents=True, exist_ok=True)
    partial = FAILED / f"{chapter}.ipynb"
    parameters = shown_parameters(chapter) | parameters
    try:
        notebook = papermill.execute_notebook(
            str(NOTEBOOKS / partial.name),
            str(partial),
            parameters=parameters,
            kernel_name="python3",
            execution_timeout=CELL_TIMEOUT_S,
            progress_bar=False,
            extra_arguments=QUIET_KERNEL,
        )
    except FAILURES as error:
        raise ChapterError(explain(error, chapter, partial, parameters)) from error
    write_notebook(PAGES / partial.name, normalize(notebook))
    every = default_parameters(read_notebook(chapter)) | parameters
    (PAGES / f"{chapter}.yaml").write_text(yaml.safe_dump(every, sort_keys=False), encoding="utf-8")
    partial.unlink()


def refresh_reference(chapter: str) -> None:
    """Run one notebook in place at its defaults; it stays as it is if it fails.

    Raises:
        ChapterError: a cell failed or took too long.
    """
    os.environ["SLOTNORM_COMMIT"] = "the one that holds this notebook"
    notebook = read_notebook(chapter)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=QUIET_KERNEL,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    partial = FAILED / f"{chapter}.ipynb"
    try:
        client.execute()
    except FAILURES as error:
        write_notebook(partial, notebook)
        raise ChapterError(explain(error, chapter, partial, {})) from error
    write_notebook(NOTEBOOKS / partial.name, normalize(notebook))


def explain(error: Exception, chapter: str, partial: Path, parameters: dict[str, Any]) -> str:
    """Say which cell of which chapter failed, with which parameters, and where the partial notebook is."""
    cells = [cell for cell in nbformat.read(partial, as_version=4).cells if cell.cell_type == "code"]
    broken = [cell for cell in cells if any(output.output_type == "error" for output in cell.outputs)]
    where = f"cell In [{broken[0].execution_count}] `{broken[0].source.splitlines()[0]} …`" if broken else "a cell"
    run = ", ".join(f"{name} = {value!r}" for name, value in parameters.items()) or "the defaults"
    reason = f"{getattr(error, 'ename', type(error).__name__)}: {getattr(error, 'evalue', error)}"
    return f"{chapter} failed in {where}, with {run}:\n{reason}\nThe partial notebook is {partial.relative_to(ROOT)}."


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
    """Write a notebook completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    nbformat.write(notebook, temporary)
    temporary.replace(path)
