"""The packages and files that `data_tools/pyproject.toml` lists by hand are those on disk."""

import shutil
import subprocess
import tomllib
from pathlib import Path

from tests.helpers.paths import ROOT

FOLDER = ROOT / "data_tools"
SETUPTOOLS = tomllib.loads((FOLDER / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_folder_with_modules_is_a_listed_package() -> None:
    folders = {path.parent.relative_to(ROOT) for path in FOLDER.rglob("*.py") if "build" not in path.parts}
    assert SETUPTOOLS["packages"] == sorted(".".join(folder.parts) for folder in folders)
    assert [folder for folder in folders if not (ROOT / folder / "__init__.py").is_file()] == []


def test_every_pattern_of_package_data_matches_a_file() -> None:
    patterns = SETUPTOOLS["package-data"]["data_tools"]
    assert [pattern for pattern in patterns if not list(FOLDER.glob(pattern))] == []
    assert {"standin_vit.safetensors", "standin_vit.csv", "standin_vit.json"} <= {
        path.name for pattern in patterns for path in FOLDER.glob(pattern)
    }


def test_make_begins_an_environment_again_that_was_left_without_pip(tmp_path: Path) -> None:
    """Where ensurepip is missing, venv fails, and leaves a Python that cannot install anything."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "data_tools/pyproject.toml", "book/pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    programs = {".venv/bin/python": "exit 1", "python": 'echo "$*" >> asked; test "$1" = -c'}
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    command = ["make", "install", f"PYTHON={tmp_path / 'python'}"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode
    assert "-m venv .venv" in (tmp_path / "asked").read_text().splitlines()
