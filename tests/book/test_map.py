"""The page on the code draws the rooms of the import contracts and the true path to a training step."""

import importlib
import re
import tomllib
import traceback
from pathlib import Path

import pytest

from slotnorm.normalization import WeightedMean
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import RunStore
from tests.helpers import tiny
from tests.helpers.paths import ROOT

PAGE = (ROOT / "book" / "reference" / "index.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = {contract["containers"][0]: contract["layers"] for contract in CONTRACTS if "containers" in contract}
FOLDERS = {
    "slotnorm": "slotnorm/",
    "slotnorm_book": "book/slotnorm_book/",
    "slotnorm_book.experiments": "book/slotnorm_book/experiments/",
    "data_tools": "data_tools/",
}
STEP = re.compile(r"^\d+\. `([\w.]+)`", re.MULTILINE)


def card(folder: str) -> str:
    """The card of a room, which begins with its folder."""
    return PAGE.split(f"{{grid-item-card}} `{folder}`")[1].split("\n:::")[0]


@pytest.mark.parametrize("container", LAYERS)
def test_the_page_draws_the_floors_of_the_contract(container: str) -> None:
    floors = re.findall(r"^\d+\. (.*)$", card(FOLDERS[container]), re.MULTILINE)
    drawn = [set(re.findall(r"`(\w+)`", floor)) & names_of(container) for floor in floors]
    wanted = [set(layer.split(" | ")) for layer in LAYERS[container]]
    assert [floor - {"__main__"} for floor in drawn] == wanted


@pytest.mark.parametrize("container", FOLDERS)
def test_the_page_draws_every_room(container: str) -> None:
    drawn = set(re.findall(r"`(\w+)`", card(FOLDERS[container])))
    rooms = {name for name in names_of(container) if (ROOT / FOLDERS[container] / name).is_dir()}
    assert rooms <= drawn


def names_of(container: str) -> set[str]:
    folder = ROOT / FOLDERS[container]
    inside = [path for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    return {path.stem for path in inside} - {"__init__"}


def test_the_path_to_a_training_step_is_the_true_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = STEP.findall(PAGE.split("## From a notebook")[1].split("\n## ")[0])
    seen: list[str] = []
    normalize = WeightedMean.forward

    def spy(*arguments):
        if not seen:
            seen.extend(frame.name for frame in traceback.extract_stack())
        return normalize(*arguments)

    monkeypatch.setattr(WeightedMean, "forward", spy)
    collect(tiny.recipe(tiny.make_data(tmp_path)), RunStore(tmp_path / "store"), "train", tiny.QUIET)
    assert len(told) > 5
    position = 0
    for name in told[1:-1]:  # the first is the chapter's, the last is the normalization itself
        module, _, function = name.rpartition(".")
        assert hasattr(importlib.import_module(module), function) or "." in function or function
        assert function in seen[position:], f"{name} does not come after the one before it"
        position = seen.index(function, position) + 1
