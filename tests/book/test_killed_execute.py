"""Killing ``slotnorm-book execute``: nothing goes on running, and a page is the old one or the new one, whole."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import nbformat
import psutil
import pytest

from slotnorm_book.chapters import VmfEm
from tests.book.conftest import notebook
from tests.helpers.paths import ROOT

NAME = "01_vmf_em.ipynb"
BEAT = """\
import time
from pathlib import Path

root = Path({root!r})
while (root / "hold").exists():
    (root / "beats").open("a").write("x")
    time.sleep(0.02)
print("points", points)"""
PATIENCE_S = 120

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], psutil.Popen]]:
    """Start the command in a project of one chapter; nothing of it outlives the test, even where the test fails."""
    started: list[psutil.Popen] = []

    def start_command() -> psutil.Popen:
        arguments = [sys.executable, "-m", "tests.book.executed", str(tmp_path)]
        started.append(psutil.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL))
        return started[-1]

    yield start_command
    (tmp_path / "hold").unlink(missing_ok=True)
    for process in psutil.process_iter(["cmdline"]):
        if str(tmp_path) in (process.info["cmdline"] or ()):
            process.kill()
    for command in started:
        command.wait()


@pytest.fixture
def project(execute: ModuleType) -> ModuleType:
    """A project of one chapter, whose kernel writes as long as the file ``hold`` is there."""
    nbformat.write(notebook(BEAT.format(root=str(execute.ROOT))), execute.NOTEBOOKS / NAME)
    return execute


def wait_until(reached: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


def is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # nobody may collect an orphan in a container
    except psutil.NoSuchProcess:
        return False


def parameters_of(page: Path) -> VmfEm:
    return VmfEm.parse(nbformat.read(page, as_version=4).metadata.papermill.parameters)


@pytest.mark.parametrize("moment", ["worker", "kernel", "page"])
def test_a_killed_command_leaves_nothing_running_and_no_half_page(
    project: ModuleType, start: Callable[[], psutil.Popen], tmp_path: Path, moment: str
) -> None:
    page, beats, hold = project.PAGES / NAME, tmp_path / "beats", tmp_path / "hold"
    if moment != "page":
        hold.touch()
    command = start()
    reached = {"worker": command.children, "kernel": beats.exists, "page": page.exists}[moment]
    wait_until(reached, moment)
    below = command.children(recursive=True)
    command.kill()
    command.wait()
    wait_until(lambda: not any(map(is_running, below)), "the processes below the command to end")
    written = beats.read_bytes() if beats.exists() else b""
    assert page.exists() == (moment == "page")
    hold.unlink(missing_ok=True)
    project.execute_chapter("01_vmf_em", {})
    assert parameters_of(page).points == 64
    assert [path.name for path in project.PAGES.iterdir() if not path.name.startswith(".")] == [NAME]
    assert (beats.read_bytes() if beats.exists() else b"") == written, "an orphan wrote"


def test_two_commands_at_once_leave_one_whole_page(
    project: ModuleType, start: Callable[[], psutil.Popen], tmp_path: Path
) -> None:
    (tmp_path / "hold").touch()
    commands = [start() for _ in range(2)]
    wait_until((tmp_path / "beats").exists, "a kernel")
    (tmp_path / "hold").unlink()
    assert [command.wait(PATIENCE_S) for command in commands] == [0, 0]
    page = project.PAGES / NAME
    assert parameters_of(page).points == 64
    first = page.read_bytes()
    assert [path.name for path in project.PAGES.iterdir()] == [NAME]
    project.execute_chapter("01_vmf_em", {})
    assert page.read_bytes() == first
