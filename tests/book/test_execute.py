"""papermill as readers use it: bare, and through slotnorm-book execute."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from jupyter_client.kernelspec import NoSuchKernel
from nbformat.v4 import new_code_cell, new_notebook

from slotnorm_book import checkout, notebook_files
from slotnorm_book import execute as module
from slotnorm_book.chapters import VmfEm
from slotnorm_book.claims import committed_verdicts
from tests.book.conftest import CHECK, notebook
from tests.helpers.command import command
from tests.helpers.paths import ROOT


def papermill(source: Path, target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "papermill", str(source), str(target), "--no-progress-bar", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def with_parameters(source: str) -> nbformat.NotebookNode:
    return new_notebook(cells=[new_code_cell(source, metadata={"tags": ["parameters"]})])


def no_kernel(manager: object, name: str) -> None:
    raise NoSuchKernel(name)


def kill_this_process(chapter: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def texts(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [output["text"] for cell in cells for output in cell.get("outputs", []) if output.output_type == "stream"]


@pytest.mark.slow
def test_bare_papermill_takes_documented_parameters(execute: ModuleType, tmp_path: Path) -> None:
    source, target = execute.NOTEBOOKS / "01_vmf_em.ipynb", tmp_path / "out.ipynb"
    nbformat.write(notebook(CHECK, "print(points, p.fit_components)"), source)
    done = papermill(source, target, "-p", "points", "70", "-p", "fit_components", "[3, 9]")
    assert done.returncode == 0, done.stderr
    assert texts(target) == ["70 (3, 9)\n"]


@pytest.mark.slow
def test_bare_papermill_is_stopped_at_an_unknown_parameter(execute: ModuleType, tmp_path: Path) -> None:
    source, target = execute.NOTEBOOKS / "01_vmf_em.ipynb", tmp_path / "out.ipynb"
    nbformat.write(notebook(CHECK, "print('work')"), source)
    done = papermill(source, target, "-p", "pointz", "3")
    assert done.returncode == 1
    assert "ParameterError: unknown parameter pointz; do you mean points?" in done.stderr
    assert VmfEm.describe() in done.stderr
    assert texts(target) == [], "no cell ran after the check"


@pytest.mark.slow
def test_bare_papermill_may_inject_its_paths(execute: ModuleType, tmp_path: Path) -> None:
    source, target = execute.NOTEBOOKS / "01_vmf_em.ipynb", tmp_path / "out.ipynb"
    nbformat.write(notebook(CHECK, "print(points)"), source)
    done = papermill(source, target, "--inject-paths", "-p", "points", "70")
    assert done.returncode == 0, done.stderr
    assert all(f"PAPERMILL_{side}_PATH = " in target.read_text() for side in ("INPUT", "OUTPUT"))
    assert texts(target) == ["70\n"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [["-y", "points: '70'"], ["-r", "points", "70"]])
def test_every_way_to_give_papermill_a_value_gives_the_same(
    execute: ModuleType, tmp_path: Path, options: list[str]
) -> None:
    source, target = execute.NOTEBOOKS / "01_vmf_em.ipynb", tmp_path / "out.ipynb"
    nbformat.write(notebook(CHECK, "print(repr(points))"), source)
    assert papermill(source, target, *options).returncode == 0
    assert texts(target) == ["70\n"]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("store=None", "store", None),
        ("store=null", "store", None),
        ("store=runs", "store", "runs"),
        ("slots=[5, 7]", "slots", [5, 7]),
        ("seed=3", "seed", 3),
    ],
)
def test_an_assignment_is_what_the_chapter_reads(text: str, name: str, value: object) -> None:
    changes = {"scale": "smoke"} | dict([module.parse_assignment(text)])
    assert module.check_parameters("02_clevr", changes)[name] == value


@pytest.mark.parametrize("store", ["", "None"])
def test_a_sweep_needs_a_store(store: str, monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "sweep", "clevr-6-7", "--scale", "smoke", "--store", store) == 2
    assert capsys.readouterr().err.startswith("error: name an experiment, or --all, and a store")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(execute: ModuleType) -> None:
    page = execute.PAGES / "01_vmf_em.ipynb"
    execute.execute_chapter("01_vmf_em", {"points": 70})
    first = page.read_bytes()
    execute.execute_chapter("01_vmf_em", {"points": 70})
    assert page.read_bytes() == first
    assert "injected-parameters" in first.decode()
    assert texts(page) == ["points 70\nok\n"]
    assert [path.name for path in execute.PAGES.iterdir()] == [page.name]
    assert not execute.FAILED.exists()
    kept = nbformat.read(page, as_version=4).metadata.papermill.parameters
    assert VmfEm.parse(kept).points == 70
    assert set(kept) == set(VmfEm.model_fields)


@pytest.mark.slow
def test_a_chapter_that_fails_keeps_its_page_and_says_where(execute: ModuleType) -> None:
    execute.PAGES.mkdir(parents=True)
    page = execute.PAGES / "01_vmf_em.ipynb"
    page.write_text("the page of yesterday")
    nbformat.write(notebook("# halves\n1 / (points - 70)"), execute.NOTEBOOKS / "01_vmf_em.ipynb")
    with pytest.raises(execute.ChapterError) as caught:
        execute.execute_chapter("01_vmf_em", {"points": 70})
    assert str(caught.value) == (
        "01_vmf_em failed in cell In [3] `# halves …`, with points = 70:\n"
        "ZeroDivisionError: division by zero\n"
        "The partial notebook is _build/failed/01_vmf_em.ipynb."
    )
    assert page.read_text() == "the page of yesterday"
    assert "division by zero" in (execute.FAILED / page.name).read_text()


@pytest.mark.slow
def test_reference_is_written_in_place_or_not_at_all(execute: ModuleType) -> None:
    source = execute.NOTEBOOKS / "01_vmf_em.ipynb"
    execute.refresh_reference("01_vmf_em")
    first = source.read_bytes()
    assert [cell.execution_count for cell in nbformat.read(source, as_version=4).cells[1:]] == [1, 2]
    execute.refresh_reference("01_vmf_em")
    assert source.read_bytes() == first
    nbformat.write(notebook("1 / 0"), source)
    broken = source.read_bytes()
    with pytest.raises(execute.ChapterError, match="division by zero"):
        execute.refresh_reference("01_vmf_em")
    assert source.read_bytes() == broken


def test_a_folder_that_cannot_be_written_is_one_line_before_any_work(execute: ModuleType, monkeypatch, capsys) -> None:
    execute.PAGES.parent.write_text("a file in the way of the folder")
    assert command(monkeypatch, "execute", "01_vmf_em") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"error: {execute.PAGES}: Not a directory\n"


@pytest.mark.parametrize("arguments", [["execute"], ["execute", "--reference"]])
def test_a_read_only_checkout_is_one_line(execute: ModuleType, arguments: list[str], monkeypatch, capsys) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "/a/temporary/name")

    monkeypatch.setattr(execute, "TemporaryFile", refuse)
    assert command(monkeypatch, *arguments, "01_vmf_em") == 2
    folder = execute.NOTEBOOKS if "--reference" in arguments else execute.PAGES
    assert capsys.readouterr().err == f"error: {folder}: Read-only file system\n"


def test_a_page_that_cannot_be_written_stays(tmp_path: Path, monkeypatch) -> None:
    page = tmp_path / "page.ipynb"
    page.write_text("the page of yesterday")

    def fail(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        notebook_files.write_notebook(page, notebook())
    assert caught.value.filename == str(page)
    assert [path.name for path in tmp_path.iterdir()] == [page.name]
    assert page.read_text() == "the page of yesterday"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is no valid notebook: "),
        (b"\xff\xfe", "is no valid notebook: "),
        (b"[]", "is no valid notebook: "),
        (b"[" * 100_000, "is no valid notebook: "),
        (b'{"cells": 3}', "is no valid notebook: "),
        (b'{"cells": [3], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "is no valid notebook: "),
        (nbformat.writes(new_notebook()).encode(), "has no cell with the tag 'parameters'"),
        (nbformat.writes(with_parameters("seed = 1 +")).encode(), ": the cell 'parameters' may only assign literals"),
        (nbformat.writes(with_parameters("seed = f()")).encode(), ": the cell 'parameters' may only assign literals"),
        (nbformat.writes(with_parameters("a, b = 1, 2")).encode(), ": the cell 'parameters' may only assign literals"),
        (nbformat.writes(with_parameters("print(1)")).encode(), ": the cell 'parameters' may only assign literals"),
    ],
)
@pytest.mark.parametrize("call", [["execute"], ["execute", "--reference"], ["parameters"]])
def test_a_broken_notebook_is_one_line(
    execute: ModuleType, content: bytes | None, message: str, call: list[str], monkeypatch, capsys
) -> None:
    path = execute.NOTEBOOKS / "01_vmf_em.ipynb"
    path.unlink() if content is None else path.write_bytes(content)
    assert command(monkeypatch, *call, "01_vmf_em") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {path}")
    assert message in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("call", [["execute", "01_vmf_em"], ["verdicts"]])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"01_vmf_em": 3, "08_claims": 3}', "[" * 100_000])
def test_broken_parameters_of_the_book_are_one_line(
    execute: ModuleType, content: str, call: list[str], monkeypatch, capsys
) -> None:
    checkout.SHOWN.write_text(content)
    assert command(monkeypatch, *call) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {checkout.SHOWN} ")
    assert said.err.count("\n") == 1


def test_verdicts_without_a_store_are_one_line(execute: ModuleType, monkeypatch, capsys) -> None:
    assert command(monkeypatch, "verdicts") == 2
    assert capsys.readouterr().err == "error: book/parameters.json: 08_claims lacks scale, store\n"


def test_verdicts_that_cannot_be_written_are_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "verdicts.json").mkdir()
    monkeypatch.setattr(committed_verdicts, "VERDICTS", tmp_path / "verdicts.json")
    monkeypatch.setattr(committed_verdicts, "judge_committed_records", dict)
    assert command(monkeypatch, "verdicts") == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'verdicts.json'}: Is a directory\n"


def test_a_failure_is_told_where_nothing_can_be_kept(execute: ModuleType) -> None:
    execute.FAILED.parent.write_text("a file in the way of the folder")
    told = execute.explain(ValueError("why"), "01_vmf_em", notebook(), {})
    assert told.splitlines()[:2] == ["01_vmf_em failed in a cell, with the defaults:", "ValueError: why"]
    assert told.splitlines()[2].startswith("The partial notebook cannot be kept: ")


@pytest.mark.slow
@pytest.mark.parametrize("reference", [False, True])
def test_a_kernel_that_does_not_start_is_a_failed_chapter(execute: ModuleType, reference: bool, monkeypatch) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(execute.ROOT))
    monkeypatch.setattr("jupyter_client.kernelspec.KernelSpecManager.get_kernel_spec", no_kernel)
    with pytest.raises(execute.ChapterError, match=r"01_vmf_em failed in a cell, with .*\nNoSuchKernel: "):
        execute.refresh_reference("01_vmf_em") if reference else execute.execute_chapter("01_vmf_em", {})


@pytest.mark.slow
def test_a_worker_that_is_killed_is_a_failed_chapter(execute: ModuleType, capsys) -> None:
    assert execute.run_all(["01_vmf_em"], kill_this_process) == 1
    assert "01_vmf_em failed: a process that ran chapters was killed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["01_vmf_em", "-p", "pointz=3"], "01_vmf_em: unknown parameter pointz; do you mean points?"),
        (
            ["01_vmf_em", "-p", "fit_components=[0]"],
            "01_vmf_em: parameter fit_components = 0: Input should be greater than or equal to 1",
        ),
        (
            ["01_vmf_em", "-p", "temperature=7"],
            "01_vmf_em: parameter temperature = 7: Input should be less than",
        ),
        (["03_movi"], "unknown chapter '03_movi'; there are 01_vmf_em"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(
    execute: ModuleType, arguments: list[str], message: str, monkeypatch, capsys
) -> None:
    assert command(monkeypatch, "execute", *arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not execute.PAGES.exists()


def test_the_reference_takes_no_parameters(execute: ModuleType, monkeypatch, capsys) -> None:
    assert command(monkeypatch, "execute", "--reference", "-p", "points=70") == 2
    assert "--reference takes no --parameter" in capsys.readouterr().err
