"""``slotnorm-book execute``: runs notebooks/NAME.ipynb with papermill and saves the result as book/chapters/NAME.ipynb.

The book shows the executed notebooks. Two chapters run at a time. The result depends only on the source, the parameters
and the machine: the same run gives the same bytes. A page is one file, which is replaced when a chapter has succeeded;
it holds all of its parameters, where papermill keeps those that it sets: ``metadata.papermill.parameters``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

# Kernels inherit these: a page needs no progress bars or warnings about terminals, and two chapters share the cores.
os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}

import nbformat
import papermill
from nbclient import NotebookClient

from slotnorm_book.chapter_parameters import read_word
from slotnorm_book.chapters import CHAPTERS, ParameterError, select_chapters
from slotnorm_book.checkout import NOTEBOOKS, PAGES, ROOT, CheckoutError, read_shown_parameters
from slotnorm_book.notebook_files import default_parameters, normalize, read_notebook, write_notebook
from slotnorm_book.orphans import end_with_parent

FAILED = ROOT / "_build" / "failed"
WORKERS = 2
CELL_TIMEOUT_S = 3600
QUIET_KERNEL = ["--IPKernelApp.log_level=ERROR"]


class ChapterError(Exception):
    """A chapter that failed; the message names chapter, cell, parameters and error."""


def execute_chapters(names: Sequence[str], assignments: Sequence[str], reference: bool = False) -> int:
    """Execute chapters and return the exit status.

    Args:
        names: names of chapters, or paths of their notebooks; empty for all chapters.
        assignments: parameters as ``"NAME=VALUE"``.
        reference: whether to run the notebooks in place at their defaults.

    Raises:
        ParameterError: a chapter or parameter does not exist, a value is out of range, or a notebook cannot be read.
        CheckoutError: ``book/parameters.json`` cannot be read.
        OSError: the results cannot be written where they belong; the error names the folder.
    """
    if reference and assignments:
        raise ParameterError("--reference takes no --parameter, since it runs the notebooks at their defaults")
    chapters = select_chapters(names)
    parameters = dict(map(parse_assignment, assignments))
    for chapter in chapters:
        check_parameters(chapter, parameters)
    check_writable(NOTEBOOKS if reference else PAGES)
    if reference:
        return run_all(chapters, refresh_reference)
    return run_all(chapters, execute_chapter, parameters)


def parse_assignment(text: str) -> tuple[str, object]:
    """Split ``"NAME=VALUE"`` into the name and the value, which is read as ``papermill -p`` reads it.

    Raises:
        ParameterError: there is no equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ParameterError(f"--parameter takes NAME=VALUE, such as seed=1, got {text!r}")
    return name, read_word(value)


def check_parameters(chapter: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Check the parameters of a chapter before any kernel starts, and return all of them.

    Args:
        chapter: its name.
        changes: parameters that differ from those with which the book shows the chapter.

    Raises:
        ParameterError: the message names the chapter, and each parameter that is wrong.
    """
    usual = default_parameters(NOTEBOOKS / f"{chapter}.ipynb") | read_shown_parameters(chapter)
    try:
        checked = CHAPTERS[chapter].parse(usual | changes)
    except ParameterError as error:
        problems = "; ".join(str(error).split("\n\n")[0].splitlines())
        raise ParameterError(f"{chapter}: {problems} (see `slotnorm-book parameters {chapter}`)") from error
    return {name: list(value) if isinstance(value, tuple) else value for name, value in checked}


def check_writable(folder: Path) -> None:
    """Create a folder and check that files can be written into it, before hours of work.

    Raises:
        OSError: the folder cannot be created or written to; the error names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def run_all(chapters: list[str], job: Callable[..., None], *arguments: Any) -> int:
    """Run ``job(chapter, *arguments)`` for every chapter, two at a time, and print how each ended."""
    failed = 0
    with ProcessPoolExecutor(min(WORKERS, len(chapters)), initializer=end_with_parent) as pool:
        print(f"executing {', '.join(chapters)}", flush=True)
        running = {pool.submit(measure_seconds, job, chapter, *arguments): chapter for chapter in chapters}
        for number, future in enumerate(as_completed(running), 1):
            try:
                outcome = f"{running[future]} in {future.result():.0f} s"
            except ChapterError as error:
                failed += 1
                outcome = str(error)
            except (CheckoutError, ParameterError, OSError) as error:
                failed += 1
                outcome = f"{running[future]} failed: {error}"
            except BrokenProcessPool:
                failed += 1
                outcome = f"{running[future]} failed: a process that ran chapters was killed, as when memory runs out"
            print(f"[{number}/{len(chapters)}] {outcome}", flush=True)
    if failed:
        print(f"{failed} of {len(chapters)} chapters failed", file=sys.stderr)
    return min(failed, 1)


def measure_seconds(job: Callable[..., None], *arguments: Any) -> float:
    """Call ``job`` and return the seconds it took."""
    start = time.monotonic()
    job(*arguments)
    return time.monotonic() - start


def execute_chapter(chapter: str, changes: dict[str, Any]) -> None:
    """Execute one chapter with papermill, and save it as a page if it succeeds.

    Raises:
        ChapterError: a cell failed or took too long, or the notebook could not be run.
        OSError: the page cannot be written; it stays as it was.
    """
    every = check_parameters(chapter, changes)
    given = {name: every[name] for name in read_shown_parameters(chapter) | changes}
    with TemporaryDirectory(prefix=f"slotnorm-{chapter}-") as folder:
        partial = Path(folder, f"{chapter}.ipynb")
        try:
            notebook = papermill.execute_notebook(
                str(NOTEBOOKS / partial.name),
                str(partial),
                parameters=given,
                kernel_name="python3",
                execution_timeout=CELL_TIMEOUT_S,
                progress_bar=False,
                extra_arguments=QUIET_KERNEL,
            )
        except Exception as error:  # of a cell, or whatever papermill, nbclient and jupyter raise when they cannot run
            started = read_notebook(partial) if partial.exists() else read_notebook(NOTEBOOKS / partial.name)
            raise ChapterError(explain(error, chapter, started, given)) from error
    notebook = normalize(notebook)
    notebook.metadata["papermill"] = {"parameters": every}
    write_notebook(PAGES / f"{chapter}.ipynb", notebook)


def refresh_reference(chapter: str) -> None:
    """Run one notebook in place at its defaults; it stays as it is if it fails.

    Raises:
        ChapterError: a cell failed or took too long, or the notebook could not be run.
        OSError: the notebook cannot be written; it stays as it was.
    """
    os.environ["SLOTNORM_COMMIT"] = "the one that holds this notebook"
    path = NOTEBOOKS / f"{chapter}.ipynb"
    notebook = read_notebook(path)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=QUIET_KERNEL,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    try:
        client.execute()
    except Exception as error:  # of a cell, or whatever nbclient and jupyter raise when they cannot run
        raise ChapterError(explain(error, chapter, notebook, {})) from error
    write_notebook(path, normalize(notebook))


def explain(error: Exception, chapter: str, started: nbformat.NotebookNode, parameters: dict[str, Any]) -> str:
    """Keep a notebook that failed; say which cell, with which parameters, and where it is kept."""
    cells = [cell for cell in started.cells if cell.cell_type == "code"]
    broken = [cell for cell in cells if any(output.output_type == "error" for output in cell.outputs)]
    where = f"cell In [{broken[0].execution_count}] `{broken[0].source.splitlines()[0]} …`" if broken else "a cell"
    run = ", ".join(f"{name} = {value!r}" for name, value in parameters.items()) or "the defaults"
    reason = f"{getattr(error, 'ename', type(error).__name__)}: {getattr(error, 'evalue', error)}"
    path = FAILED / f"{chapter}.ipynb"
    try:
        write_notebook(path, started)
        kept = f"The partial notebook is {path.relative_to(ROOT)}."
    except OSError as unwritable:
        kept = f"The partial notebook cannot be kept: {unwritable}"
    return f"{chapter} failed in {where}, with {run}:\n{reason}\n{kept}"
