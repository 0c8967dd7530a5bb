"""What is imported when: nobody waits for numpy, torch, the renderer or timm who does not use them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import FIXTURES, ROOT
from tests.helpers.toy_split import make

OPEN = "from data_tools.catalog import {0}; {0}({1!r}, image_size={2}, scenes=2)"


def imported_by(code: str, cache: Path) -> set[str]:
    """Names of the modules that a new process has imported when it has run the code."""
    program = f"import json, sys\n{code}\nprint(json.dumps(list(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"SLOTNORM_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def below(modules: set[str], package: str) -> set[str]:
    return {name for name in modules if name.startswith(f"{package}.")}


@pytest.mark.parametrize("command", [(), ("clevr",), ("movi",), ("features",), ("pretrain",), ("synth-clevr",)])
def test_help_imports_no_array_library(tmp_path: Path, command: tuple[str, ...]) -> None:
    arguments = ["data_tools", *command, "--help"]
    code = f"from data_tools.__main__ import app\nsys.argv = {arguments}\ntry: app()\nexcept SystemExit: pass"
    assert not {"numpy", "torch", "timm", "PIL"} & imported_by(code, tmp_path)


def test_opening_a_tfrecord_imports_no_stand_in(tmp_path: Path) -> None:
    file = str(FIXTURES / "clevr_with_masks_train.tfrecords")
    modules = imported_by(OPEN.format("open_data", file, 16), tmp_path)
    assert "data_tools.converters.clevr" in modules
    assert below(modules, "data_tools.stand_ins") == set()
    assert "timm" not in modules


def test_opening_a_prepared_split_imports_neither_stand_in_nor_converter(tmp_path: Path) -> None:
    modules = imported_by(OPEN.format("open_data", str(make(tmp_path / "toy")), 8), tmp_path)
    assert below(modules, "data_tools.stand_ins") | below(modules, "data_tools.converters") == set()
    assert below(modules, "data_tools.tfrecord") == set()


def test_the_identity_of_a_stand_in_is_known_without_its_renderer(tmp_path: Path) -> None:
    modules = imported_by(OPEN.format("identity", "synth-clevr", 16), tmp_path)
    assert below(modules, "data_tools.stand_ins") == set()
