"""Every maker of data, killed at moments all over its run, and run again."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(("maker", "stride"), [("synth", 17), ("clevr", 17), ("movi", 11), ("features", 7)])
def test_killed_and_run_again_equals_an_uninterrupted_run(tmp_path: Path, maker: str, stride: int) -> None:
    command = [sys.executable, "-m", "tests.slotnorm_book.experiments.killed", maker, str(tmp_path), str(stride)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 4
