"""The packages and files that `data_tools/pyproject.toml` lists by hand are those on disk."""

import tomllib

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
