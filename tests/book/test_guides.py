"""The guides do what they say: examples, lines to change, a normalization that is installed, tested, trained, drawn."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from slotnorm import make_normalization
from slotnorm.testing import NormalizationConformance
from tests.helpers.paths import ROOT

USE, OWN = ROOT / "book" / "use.md", ROOT / "book" / "own_normalization.md"
BIN = Path(sys.executable).parent
SUITE = sum(name.startswith("test_") for name in dir(NormalizationConformance))
"""Number of tests in the shipped suite."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def files() -> dict[str, str]:
    """Path to content of every file that the page on a normalization of one's own has."""
    directive = r"^```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)^```"
    return dict(re.findall(directive, OWN.read_text(), re.DOTALL | re.MULTILINE))


def commands() -> list[list[str]]:
    page = OWN.read_text().replace("\\\n", "")
    return [shlex.split(line) for line in re.findall(r"^    \.venv/bin/(.*)$", page, re.MULTILINE)]


@pytest.mark.parametrize("page", [USE, OWN], ids=lambda page: page.stem)
def test_examples_are_right(page: Path) -> None:
    scope: dict[str, Any] = {}
    if page is OWN:
        exec(files()["power_mean.py"], scope)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks(page, "python")), scope, page.name, str(page), 0)
    outcome = doctest.DocTestRunner().run(test)
    assert outcome.attempted >= 5
    assert outcome.failed == 0


@pytest.mark.parametrize(("sign", "name"), [("-", "weighted_mean"), ("+", "weighted_sum")])
def test_the_lines_to_change_are_the_two_normalizations(sign: str, name: str) -> None:
    (diff,) = blocks(USE, "diff")
    lines = [line[2:] for line in diff.splitlines() if line.startswith(sign)]
    v, attn = torch.randn(2, 9, 4).double(), torch.randn(2, 3, 9).double().softmax(dim=1)
    scope = {"v": v, "attn": attn, "eps": 1e-8}
    exec("\n".join(lines), scope)
    codes, _ = make_normalization(name, 4)(v, attn)
    torch.testing.assert_close(scope["updates"], codes, rtol=1e-12, atol=1e-12)  # float64, the same sums


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's package is installed, as its first command says but beside the environment."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "power_mean").mkdir()
    for name, content in files().items():
        (folder / "power_mean" / name).write_text(content)
    command = [*commands()[0], "--quiet", "--no-deps", "--no-index", "--target", str(folder / "site")]
    ran(command, cwd=folder)
    return folder / "site"


def ran(command: list[str], cwd: Path = ROOT, site: Path | None = None) -> str:
    """Output of a command of the environment, which finds the project, and what is installed in ``site``."""
    paths = [str(path) for path in (site, ROOT) if path]
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_the_normalization_of_the_guide_passes_the_conformance_suite(installed: Path) -> None:
    output = ran([*commands()[1], "-p", "no:cacheprovider", "-v"], site=installed)
    assert re.search(rf"\b{SUITE + 2} passed", output), output  # and two that need the checkout
    assert "skipped" not in output


@pytest.mark.slow
def test_the_test_file_of_the_guide_passes_outside_of_the_checkout(installed: Path) -> None:
    command = ["pytest", "-p", "no:cacheprovider", "test_power_mean.py"]
    assert re.search(rf"\b{SUITE} passed", ran(command, cwd=installed.parent / "power_mean"))


@pytest.mark.slow
def test_a_formula_that_is_not_the_references_fails(installed: Path, tmp_path: Path) -> None:
    wrong = files()["power_mean.py"].replace("share**self.exponent", "share")
    (tmp_path / "power_mean.py").write_text(wrong)
    with pytest.raises(AssertionError, match="test_agrees_with_the_slow_reference"):
        ran([*commands()[1], "-p", "no:cacheprovider", "-x"], site=Path(f"{tmp_path}{os.pathsep}{installed}"))


@pytest.mark.slow
def test_the_normalization_of_the_guide_is_trained_and_drawn(installed: Path, tmp_path: Path) -> None:
    """At the scale ``smoke``, whose runs take seconds."""
    store, out = tmp_path / "runs", tmp_path / "out.ipynb"
    elsewhere = {"runs": str(store), "out.ipynb": str(out), "cpu": "smoke"}
    sweep, papermill = ([elsewhere.get(part, part) for part in command] for command in commands()[2:])
    output = ran([*sweep, "--device", "cpu"], site=installed)
    assert "0 failed" in output
    assert {path.name.split("-")[0] for path in store.rglob("*-seed*")} == {"weighted_mean", "power_mean"}
    ran(papermill, site=installed)
    assert "power_mean" in re.sub(r'"source".*?\]', "", out.read_text(), flags=re.DOTALL)
