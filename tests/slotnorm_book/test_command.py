"""The command line: its help, its errors, and that the commands in pages and notebooks are ones that it takes."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import typer

from slotnorm_book.__main__ import app
from slotnorm_book.chapters import CHAPTERS
from slotnorm_book.experiments.recipes import EXPERIMENTS
from slotnorm_book.experiments.recipes.recipe import SCALES
from tests.helpers.command import command
from tests.helpers.paths import ROOT

GROUP = typer.main.get_command(app)
COMMANDS = list(GROUP.commands)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "book").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CALL = re.compile(r"(?:slotnorm-book|-m slotnorm_book) +([a-z]+\b[^`\n]*)")


def text_of(path: Path) -> str:
    """Read a page, or the sources of a notebook's cells; lines that a backslash continues are joined."""
    if path.suffix == ".ipynb":
        text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    else:
        text = path.read_text(encoding="utf-8")
    return text.replace("\\\n", " ")


CALLS = [(path.name, call) for path in (*PAGES, *NOTEBOOKS) for call in CALL.findall(text_of(path))]


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_command_has_help(monkeypatch, capsys, name):
    assert command(monkeypatch, *name.split(), "--help") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: {' '.join(['slotnorm-book', *name.split()])} [OPTIONS]")
    assert "Example" in said or name in ("chapters", "floors", "verdicts")


def test_without_a_command_the_help_lists_all_commands(monkeypatch, capsys):
    assert command(monkeypatch) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.split("Commands:\n")[1].splitlines()[: len(COMMANDS)]] == COMMANDS
    assert "..." not in said.split("Commands:\n")[1], "no summary is cut short"


def test_the_help_needs_no_torch():
    program = "import sys; from slotnorm_book import __main__; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=240)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["swep"], "No such command 'swep'"),
        (["parameters"], "Missing argument 'CHAPTER"),
        (["parameters", "02_clever"], "unknown chapter '02_clever'; do you mean 02_clevr? There are 01_vmf_em, "),
        (["sweep"], "name an experiment, or --all, and a store, as in `slotnorm-book sweep "),
        (["sweep", "clevr-6-7"], "name an experiment, or --all, and a store, as in `slotnorm-book sweep "),
        (["sweep", "movi", "--store", "runs"], "unknown experiment 'movi'"),
        (["sweep", "--jobs", "0"], "Invalid value for '--jobs'"),
        (["execute", "-p", "seed"], "--parameter takes NAME=VALUE, such as seed=1, got 'seed'"),
        (["execute", "02_clevr", "-p", "slotz=3"], "02_clevr: unknown parameter slotz; do you mean slots?"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(monkeypatch, capsys, arguments, message):
    assert command(monkeypatch, *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {message}")
    assert said.err.count("\n") == 1


def test_pages_and_notebooks_show_commands():
    assert {name for name, _ in CALLS} >= {"README.md", "CONTRIBUTING.md", "rerun.md", "02_clevr.ipynb"}


@pytest.mark.parametrize(("page", "call"), CALLS)
def test_a_command_in_a_page_is_one_that_is_taken(page, call):
    name, *arguments = shlex.split(call, comments=True)
    assert name in COMMANDS
    values = GROUP.commands[name].make_context(name, arguments).params
    for chapter in values.get("names") or []:
        assert chapter in CHAPTERS or chapter in ("CHAPTER", "NAME")
    if experiment := values.get("experiment"):
        assert experiment in EXPERIMENTS or "$" in experiment
        assert values["scale"] in SCALES
