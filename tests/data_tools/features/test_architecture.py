"""Weights files from others: what their metadata may say, and that nothing else reaches timm."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from data_tools.features import architecture
from data_tools.features.backbone import FrozenBackbone
from data_tools.writing.durable import DataError
from tests.data_tools.features import vit

ABOUT: dict[str, Any] = {"name": vit.NAME, "kwargs": vit.SIZES, "mean": list(vit.MEAN), "std": list(vit.STD)}


class Payload:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def weights(path: Path, about: object) -> Path:
    text = about if isinstance(about, str) else json.dumps(about)
    safetensors.torch.save_file(vit.vit().state_dict(), path, metadata={"backbone": text})
    return path


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A file of weights whose metadata name a checkpoint that writes the file `ran` when timm loads it."""
    torch.save({"state_dict": Payload(tmp_path / "ran")}, tmp_path / "payload.pth")
    kwargs = vit.SIZES | {"checkpoint_path": str(tmp_path / "payload.pth")}
    return weights(tmp_path / "hostile.safetensors", ABOUT | {"kwargs": kwargs})


@pytest.mark.parametrize("name", [vit.NAME, "standin"])
def test_a_hostile_file_runs_nothing(hostile: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"hostile\.safetensors: its backbone cannot have 'checkpoint_path'"):
        FrozenBackbone.load(name, hostile)
    assert not (hostile.parent / "ran").exists()


def test_what_this_project_writes_is_read(tmp_path: Path) -> None:
    assert FrozenBackbone.load("standin", weights(tmp_path / "w.safetensors", ABOUT)).feature_dim == 24


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pretrained": True}, "must describe its backbone by name, kwargs, mean and std, and nothing else"),
        ({"name": "local-dir:/tmp"}, "timm has no model 'local-dir:/tmp'"),
        ({"name": "hf-hub:someone/vit"}, "timm has no model 'hf-hub:someone/vit'"),
        ({"name": "hf_hub:someone/vit"}, "timm has no model"),
        ({"name": "vit_tiny_patch16_224.typo"}, "timm has no model .*; did you mean vit_tiny_patch16_224"),
        ({"name": "../vit_tiny_patch16_224"}, "timm has no model"),
        ({"name": None}, "the name of its backbone must be a string"),
        ({"kwargs": []}, "kwargs an object"),
        ({"kwargs": {"pretrained": True}}, "its backbone cannot have 'pretrained': True"),
        ({"kwargs": {"pretrained_cfg": {"url": "http://x"}}}, "its backbone cannot have 'pretrained_cfg'"),
        ({"kwargs": {"pretrained_cfg_overlay": {}}}, "its backbone cannot have 'pretrained_cfg_overlay'"),
        ({"kwargs": {"cache_dir": "/tmp"}}, "its backbone cannot have 'cache_dir'"),
        ({"kwargs": {"depth": 1e3}}, "its backbone cannot have 'depth': 1000.0"),
        ({"kwargs": {"depth": True}}, "its backbone cannot have 'depth': True"),
        ({"kwargs": {"depth": 10**9}}, "its backbone cannot have 'depth': 1000000000"),
        ({"kwargs": {"class_token": 1}}, "its backbone cannot have 'class_token': 1"),
        ({"kwargs": {"global_pool": "map"}}, "its backbone cannot have 'global_pool': 'map'"),
        ({"kwargs": {"mlp_ratio": 1e9}}, "its backbone cannot have 'mlp_ratio'"),
        ({"kwargs": vit.SIZES | {"embed_dim": 1 << 14, "depth": 256}}, "describes a backbone of .* but holds 19560"),
        ({"kwargs": vit.SIZES | {"num_heads": 7}}, "cannot be made with"),
        ({"mean": [0.5, 0.5]}, "the mean of its backbone must be three numbers"),
        ({"mean": [0.5, 0.5, float("nan")]}, "the mean of its backbone must be three numbers"),
        ({"std": [0.5, 0.5, 0]}, "the std of its backbone must be three numbers"),
        ({"std": ["0.5"] * 3}, "the std of its backbone must be three numbers"),
    ],
)
def test_metadata_that_this_project_does_not_write(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        FrozenBackbone.load("standin", weights(tmp_path / "w.safetensors", ABOUT | change))


@pytest.mark.parametrize("text", ["", "[]", "null", "1", "{", "[" * 100_000, '"a"', "9" * 5000])
def test_metadata_that_are_no_description(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"w\.safetensors: (must describe|describes) its backbone"):
        FrozenBackbone.load("standin", weights(tmp_path / "w.safetensors", text))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_base_patch8_224.dinos", r"timm has no model .*; did you mean vit_base_patch8_224\.dino"),
        ("local-dir:/tmp", "timm has no model 'local-dir:/tmp'"),
        ("hf-hub:timm/vit_base_patch8_224.dino", "timm has no model"),
        ("vit_small_r26_s32_224", "is a hybrid of a convolutional network and a vision transformer: use a plain one"),
        ("swin_tiny_patch4_window7_224", "is not a vision transformer"),
        ("resnet18", "is not a vision transformer"),
    ],
)
def test_a_name_that_cannot_be_meant(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(DataError, match=message) as refused:
        FrozenBackbone.load(name, path)
    assert "\n" not in str(refused.value)


def test_whatever_timm_raises_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("timm.create_model", broken)
    with pytest.raises(DataError, match=r"vit_tiny_patch16_224: cannot be made with \{\}: first second"):
        architecture.create(vit.NAME, {})
