"""The page on the code draws the rooms of the import contracts and the true path to a training step."""

import re
import sys
import tomllib
from pathlib import Path
from types import FrameType

import pytest

from slotnorm.normalization import WeightedMean
from slotnorm_book import chapters
from slotnorm_book.chapters import Clevr
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
SMOKE = {"seed": 0, "device": "cpu", "scale": "smoke", "missing": "train", "variants": None, "seeds": None}
SMOKE |= {"slots": None, "data": None}
STEP = re.compile(r"^\d+\. `([\w.]+)`", re.MULTILINE)


def card(folder: str) -> str:
    """The card of a room, which begins with its folder."""
    return PAGE.split(f"{{grid-item-card}} `{folder}`")[1].split("\n:::")[0]


@pytest.mark.parametrize("container", LAYERS)
def test_the_page_draws_the_floors_of_the_contract(container: str) -> None:
    floors = re.findall(r"^\d+\. (.*(?:\n   .*)*)$", card(FOLDERS[container]), re.MULTILINE)
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
    seen: list[str] = []
    normalize = WeightedMean.normalize

    def spy(*arguments):
        if not seen:
            seen.extend(calls(sys._getframe(1)))
        return normalize(*arguments)

    monkeypatch.setattr(WeightedMean, "normalize", spy)
    data = tiny.make_data(tmp_path)
    monkeypatch.setattr(chapters, "recipe", lambda experiment, scale: tiny.recipe(data))
    Clevr.parse(SMOKE | {"store": str(tmp_path / "store")}).results("clevr-6-7")
    assert STEP.findall(PAGE.split("## From a notebook")[1].split("\n## ")[0]) == seen


def calls(frame: FrameType | None) -> list[str]:
    """The functions of the project on the stack, the outermost first."""
    found: list[str] = []
    while frame is not None:
        module, name = frame.f_globals["__name__"], frame.f_code.co_qualname
        if module.startswith("slotnorm") and not name.endswith(("<genexpr>", "<lambda>")):
            found.insert(0, f"{module}.{name}")
        frame = frame.f_back
    return found
