"""Features computed in the training step: the same as stored ones, from a file that can be moved with its data."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from data_tools import catalog
from data_tools.features.backbone import FrozenBackbone
from data_tools.features.command import features
from data_tools.features.online import write_online
from data_tools.features.writer import write_features
from data_tools.writing.durable import DataError
from data_tools.writing.split_writer import ArraySpec, SplitWriter
from slotnorm.data.manifest import SplitError
from slotnorm.data.splits import open_split
from tests.data_tools.features import vit

OPTIONS = (None, "resize_first", "float32")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    vit.split(tmp_path / "images")
    weights = vit.saved(tmp_path / "vit.safetensors")
    return write_online(tmp_path / "toy.online.json", tmp_path / "images", vit.NAME, weights, *OPTIONS)


def open_data(file: Path, seed: int = 0):
    return catalog.open_data(str(file), image_size=32, scenes=1, seed=seed)


def test_they_are_the_stored_ones(file: Path) -> None:
    backbone = FrozenBackbone.load(vit.NAME, file.parent / "vit.safetensors")
    stored = open_split(write_features(open_split(file.parent / "images"), backbone, file.parent / "stored"))
    online = open_data(file)
    for step in range(3):
        here, there = (s.loader(batch_size=4, seed=1, fields=("features",))[step] for s in (online, stored))
        torch.testing.assert_close(here["features"], there["features"], **vit.HALF_PRECISION)
    assert "features" not in online.arrays


def test_the_backbone_names_the_data(file: Path) -> None:
    digest = open_data(file).manifest.digest
    assert open_data(file).manifest.digest == digest
    assert digest != open_split(file.parent / "images").manifest.digest
    assert catalog.identity(str(file), image_size=32, scenes=1) == digest
    vit.saved(file.parent / "vit.safetensors")  # other weights
    assert open_data(file).manifest.digest != digest


def test_the_backbone_is_loaded_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, load = [], FrozenBackbone.load
    monkeypatch.setattr(FrozenBackbone, "load", lambda *given, **options: loaded.append(1) or load(*given, **options))
    first = [catalog.identity(str(file), image_size=32, scenes=1) for _ in range(3)]
    assert (len(set(first)), len(loaded)) == (1, 1)
    vit.saved(file.parent / "vit.safetensors")  # other weights, as they are random
    assert catalog.identity(str(file), image_size=32, scenes=1) != first[0]
    assert len(loaded) == 2


def test_a_folder_is_moved_as_a_whole(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = open_data(file).manifest.digest
    moved = tmp_path / "elsewhere" / "folder"
    moved.mkdir(parents=True)
    for name in ("images", "vit.safetensors", file.name):
        shutil.move(tmp_path / name, moved / name)
    monkeypatch.chdir(moved)
    assert open_data(Path(file.name)).manifest.digest == digest


def test_parts_of_a_folder(tmp_path: Path) -> None:
    for place, part in enumerate(("train", "validation", "test")):
        vit.split(tmp_path / "data" / part, count=3 + place)
    weights = vit.saved(tmp_path / "vit.safetensors")
    file = write_online(tmp_path / "x.online.json", tmp_path / "data", vit.NAME, weights, *OPTIONS)
    assert [len(open_data(file, seed)) for seed in range(3)] == [3, 4, 5]


def test_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = file.parent / "vit.safetensors"
    features(file.parent / "images", vit.NAME, weights, file.parent / "again", device="cpu", online=True)
    assert capsys.readouterr().out.strip() == str(file.parent / "again.online.json")
    assert (file.parent / "again.online.json").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "none.safetensors"}, "none.safetensors: no such file"),
        ({"backbone": "vit_tiny"}, "timm has no model 'vit_tiny'"),
        ({"crop": 3}, "'crop' is unknown"),
        ({"size": None, "order": ...}, "'order' is missing"),
        ({"order": "resize"}, "toy.online.json: order must be one of resize_first, normalize_first, got 'resize'"),
        ({"precision": "int8"}, "toy.online.json: precision must be one of float32, bfloat16, float16, got 'int8'"),
        ({"size": "32"}, "toy.online.json: size must be of type int, got '32'"),
        ({"size": True}, "toy.online.json: size must be of type int, got True"),
        ({"split": 3}, "toy.online.json: split must be of type str, got 3"),
        ({"weights": ["w"]}, "toy.online.json: weights must be of type str"),
        ({"backbone": "local-dir:/tmp"}, "timm has no model 'local-dir:/tmp'"),
        ({"split": "x" * 5000}, "toy.online.json: its split cannot be read: File name too long"),
        ({"weights": "x" * 5000 + ".safetensors"}, "x.safetensors: cannot be read: File name too long"),
        ({"split": "nowhere"}, r"nowhere/train/manifest.json: missing; not a prepared split"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(file: Path, change: dict[str, object], message: str) -> None:
    content = json.loads(file.read_text()) | change
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))
    with pytest.raises(ValueError, match=message):
        open_data(file)


def test_a_split_without_images_is_named(file: Path) -> None:
    shutil.rmtree(file.parent / "images")
    counts = {"num_objects": ArraySpec("int64", ()), "scene_id": ArraySpec("int64", ())}
    about = {"name": "toy", "source": "here", "license": "MIT", "generator": {}}
    with SplitWriter(file.parent / "images", arrays=counts, count=2, **about) as writer:  # type: ignore[arg-type]
        writer.append(num_objects=np.ones(2, np.int64), scene_id=np.arange(2))
        writer.finish()
    for data in (file, file.parent / "images"):
        with pytest.raises(SplitError, match=r"images: has no array 'image'; it has \['num_objects', 'scene_id'\]"):
            open_data(data)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"name must end in \.online\.json"):
        write_online(tmp_path / "x.json", tmp_path, vit.NAME, tmp_path / "w", *OPTIONS)
    with pytest.raises(DataError, match="is no prepared split and holds none named train, validation, test"):
        write_online(tmp_path / "x.online.json", tmp_path, vit.NAME, tmp_path / "w", *OPTIONS)
    assert not list(tmp_path.iterdir())
