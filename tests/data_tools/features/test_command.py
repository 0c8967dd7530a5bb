"""Prepared splits with a frozen backbone's features."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from data_tools.converters.resampling import resize_images, resize_masks
from data_tools.features.backbone import FrozenBackbone
from data_tools.features.command import features
from data_tools.features.writer import write_features
from data_tools.writing.durable import DataError
from data_tools.writing.split_writer import SplitWriteError, SplitWriter, verify
from slotnorm.data.splits import open_split
from tests.data_tools.features import vit


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return vit.saved(tmp_path / "w.safetensors")


@pytest.fixture
def backbone(weights: Path) -> FrozenBackbone:
    return FrozenBackbone.load(vit.NAME, weights)


def test_the_new_split_holds_features_beside_everything_else(tmp_path: Path, backbone: FrozenBackbone) -> None:
    source = open_split(vit.split(tmp_path / "split"))
    made = open_split(write_features(source, backbone, tmp_path / "out", batch=3))
    verify(made.folder)
    assert made.arrays.keys() == source.arrays.keys() | {"features"}
    for name in source.arrays:
        np.testing.assert_array_equal(made[name], source[name])
    assert made["features"].dtype == np.float16
    assert made["features"].shape == (7, 16, 24)
    image = torch.from_numpy(source["image"]).permute(0, 3, 1, 2).float() / 127.5 - 1
    np.testing.assert_allclose(made["features"], backbone(image).numpy(), **vit.HALF_PRECISION)


def test_online_features_of_the_new_split_are_the_stored_ones(tmp_path: Path, backbone: FrozenBackbone) -> None:
    source = open_split(vit.split(tmp_path / "split", side=40))
    made = open_split(write_features(source, backbone, tmp_path / "out", batch=7))
    batch = next(made.batches(batch_size=7, fields=("image", "features")))
    # In memory the writer's images are ordered by pixel, those of a batch by channel; the convolution sums accordingly.
    torch.testing.assert_close(backbone(batch["image"]), batch["features"].float(), **vit.HALF_PRECISION)


@pytest.mark.parametrize("order", ["resize_first", "normalize_first"])
def test_images_and_masks_are_stored_at_the_backbones_size(tmp_path: Path, weights: Path, order: str) -> None:
    source = open_split(vit.split(tmp_path / "split", side=40))
    backbone = FrozenBackbone.load(vit.NAME, weights, order=order)
    made = open_split(write_features(source, backbone, tmp_path / "out"))
    np.testing.assert_array_equal(made["image"], resize_images(torch.from_numpy(source["image"]), 32))
    np.testing.assert_array_equal(made["segmentation"], resize_masks(torch.from_numpy(source["segmentation"]), 32))
    seen = source["image"] if order == "normalize_first" else made["image"]
    expected = backbone(torch.from_numpy(seen).permute(0, 3, 1, 2).float() / 127.5 - 1).numpy()
    np.testing.assert_allclose(made["features"], expected, **vit.HALF_PRECISION)


def test_the_manifest_tells_split_backbone_and_weights(tmp_path: Path, backbone: FrozenBackbone) -> None:
    source = open_split(vit.split(tmp_path / "split"))
    manifest = open_split(write_features(source, backbone, tmp_path / "out")).manifest
    assert manifest.name == "toy/train+vit_tiny_patch16_224"
    assert (manifest.source, manifest.license) == ("here", "CC0-1.0")
    arguments = manifest.generator["arguments"]
    assert arguments["split"] == {"name": "toy/train", "digest": source.manifest.digest}
    assert arguments["weights_sha256"] == backbone.about["weights_sha256"]
    assert (arguments["size"], arguments["order"], arguments["precision"]) == (32, "resize_first", "float32")


def test_an_interrupted_call_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, backbone: FrozenBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_split(vit.split(tmp_path / "split"))
    whole = write_features(source, backbone, tmp_path / "whole", batch=2)
    append, calls = SplitWriter.append, []

    def append_twice(writer: SplitWriter, **arrays: np.ndarray) -> None:
        calls.append(len(arrays["image"]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        append(writer, **arrays)

    monkeypatch.setattr(SplitWriter, "append", append_twice)
    with pytest.raises(KeyboardInterrupt):
        write_features(source, backbone, tmp_path / "again", batch=2)
    again = write_features(source, backbone, tmp_path / "again", batch=2)
    assert calls == [2, 2, 2, 2, 1]
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {p.name: p.read_bytes() for p in whole.iterdir()}


def test_features_of_a_part_of_a_split_and_of_one_that_has_some(tmp_path: Path, backbone: FrozenBackbone) -> None:
    source = open_split(vit.split(tmp_path / "split"))
    whole = open_split(write_features(source, backbone, tmp_path / "whole"))
    part = open_split(write_features(whole.filter(max_objects=2), backbone, tmp_path / "part"))
    chosen = whole["num_objects"] <= 2
    assert 0 < chosen.sum() < 7
    np.testing.assert_array_equal(part["scene_id"], whole["scene_id"][chosen])
    np.testing.assert_allclose(part["features"], whole["features"][chosen], **vit.HALF_PRECISION)


def test_frames_that_are_scaled_already_cannot_be_normalized_first(tmp_path: Path, weights: Path) -> None:
    source = open_split(vit.split(tmp_path / "split"))
    backbone = FrozenBackbone.load(vit.NAME, weights, order="normalize_first")
    with pytest.raises(DataError, match=r"scaled to 32x32 and rounded already.*--order resize_first"):
        write_features(source, backbone, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_features_beyond_float16_are_refused(tmp_path: Path) -> None:
    source, model = open_split(vit.split(tmp_path / "split")), vit.vit()
    with torch.no_grad():
        model.norm.weight.fill_(1e6)
    backbone = FrozenBackbone(model, size=32, mean=vit.MEAN, std=vit.STD)
    with pytest.raises(DataError, match="image 0 has features beyond float16"):
        write_features(source, backbone, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_the_command(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = vit.split(tmp_path / "train")
    features(split=folder, backbone=vit.NAME, weights=weights, batch=4)
    out = tmp_path / "train-vit_tiny_patch16_224"
    assert capsys.readouterr().out.strip() == str(out)
    assert len(open_split(out)) == 7
    features(split=folder, backbone=vit.NAME, weights=weights, batch=3)  # finished: batches make no difference
    with pytest.raises(SplitWriteError, match="made by another request"):
        features(split=folder, backbone=vit.NAME, weights=weights, size=48)


@pytest.mark.parametrize("online", [False, True])
def test_a_split_in_the_current_folder_is_named_by_a_dot(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, online: bool
) -> None:
    monkeypatch.chdir(vit.split(tmp_path / "train"))
    features(split=Path("."), backbone=vit.NAME, weights=weights, online=online)
    out = tmp_path / "train-vit_tiny_patch16_224"
    assert (out.with_name(f"{out.name}.online.json") if online else out / "features.npy").is_file()


@pytest.mark.parametrize("name", ["timm/vit_base_patch8_224.dino", "hf-hub:timm/vit_base_patch8_224.dino", "..", ""])
def test_a_name_that_timm_does_not_list_is_named_before_a_folder_is(tmp_path: Path, weights: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"timm has no model '{re.escape(name)}'"):
        features(split=vit.split(tmp_path / "train"), backbone=name, weights=weights)


def test_the_command_without_weights_never_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = vit.split(tmp_path / "train")
    asked: list[str] = []

    def fetch(name: str) -> Path:
        asked.append(name)
        return tmp_path / "none.safetensors"

    monkeypatch.setattr("data_tools.features.weights.download", fetch)
    with pytest.raises(DataError, match=r"needs its weights: fetch model.safetensors of timm/vit_base_patch8_224.dino"):
        features(split=folder)
    assert asked == []
    with pytest.raises(DataError, match=r"none.safetensors: no such file"):
        features(split=folder, download=True)
    assert asked == ["vit_base_patch8_224.dino"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "resize"}, "--order must be one of resize_first, normalize_first, got 'resize'"),
        ({"precision": "int8"}, "--precision must be one of float32, bfloat16, float16, got 'int8'"),
        ({"device": "quantum"}, "--device quantum: cannot be used"),
    ],
)
def test_an_option_that_cannot_work_is_named(
    tmp_path: Path, weights: Path, options: dict[str, str], message: str
) -> None:
    folder = vit.split(tmp_path / "train")
    with pytest.raises(DataError, match=message):
        features(split=folder, backbone=vit.NAME, weights=weights, **options)  # type: ignore[arg-type]


def test_a_folder_that_is_no_split_of_images_is_refused(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(DataError, match=r"manifest.json: missing; not a prepared split"):
        features(split=tmp_path, backbone=vit.NAME, weights=weights)
