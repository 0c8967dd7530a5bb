"""papermill as readers use it: bare, and through slotnorm-book execute."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from slotnorm_book.chapters import VmfEm
from tests.book.conftest import CHECK, notebook
from tests.helpers.command import command
from tests.helpers.paths import ROOT


def papermill(source: Path, target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "papermill", str(source), str(target), "--no-progress-bar", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


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
def test_the_same_run_gives_the_same_bytes(execute: ModuleType) -> None:
    page = execute.PAGES / "01_vmf_em.ipynb"
    execute.execute_chapter("01_vmf_em", {"points": 70})
    first = page.read_bytes()
    execute.execute_chapter("01_vmf_em", {"points": 70})
    assert page.read_bytes() == first
    assert "injected-parameters" in first.decode()
    assert texts(page) == ["points 70\nok\n"]
    assert [path.name for path in execute.FAILED.iterdir()] == []


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


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1e-3", 1e-3), ("[5, 7]", [5, 7]), ('["a"]', ["a"]), ("cpu", "cpu"), ("true", True)],
)
def test_literal_is_json_or_text(execute: ModuleType, text: str, value: object) -> None:
    assert execute.literal(text) == value
