"""The guides do what they say: examples, the lines to change, and a normalization that passes the conformance suite."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from slotnorm import make_normalization
from tests.book.chapter import ROOT

USE, OWN = ROOT / "book" / "use.md", ROOT / "book" / "own_normalization.md"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_examples_are_right() -> None:
    test = doctest.DocTestParser().get_doctest("\n".join(blocks(USE, "python")), {}, USE.name, str(USE), 0)
    outcome = doctest.DocTestRunner().run(test)
    assert outcome.attempted > 10
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


@pytest.mark.slow
def test_the_normalization_of_the_guide_passes_the_conformance_suite(tmp_path: Path) -> None:
    (tmp_path / "my_normalization.py").write_text("\n\n".join(blocks(OWN, "python")))
    command = re.search(r"^    \.venv/bin/pytest (.*)$", OWN.read_text(), re.MULTILINE)
    assert command
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *command[1].split(), "-p", "no:cacheprovider", "-ra"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(".") > 20
