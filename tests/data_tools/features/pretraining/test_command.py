"""The stand-in backbone: its pretraining, and the one that comes with the package."""

import csv
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, one_hot

from data_tools.features.backbone import FrozenBackbone
from data_tools.features.pretraining import loop as pretraining
from data_tools.features.pretraining.batches import Pictures
from data_tools.features.pretraining.loop import Pretraining, pretrain
from data_tools.features.pretraining.pretext_task import LABEL_CLASSES, Pretext, patch_places, pretext_loss
from data_tools.features.weights import STAND_IN_WEIGHTS
from data_tools.stand_ins.movi import make_scenes
from data_tools.stand_ins.render import render
from data_tools.writing import durable
from data_tools.writing.durable import DataError
from tests.data_tools.features.vit import vit
from tests.helpers.paths import ROOT

TINY = Pretraining(steps=6, batch=4, pictures=10, size=16, patch=8, width=12, depth=1, heads=2, warmup=2)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "HELD_OUT", 6)
    monkeypatch.setattr(pretraining, "CHECKPOINT_EVERY", 2)


def curve(weights: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(weights.with_suffix(".csv").read_text().splitlines()))


def test_it_leaves_weights_curve_and_provenance(tmp_path: Path) -> None:
    out = tmp_path / "new" / "vit.safetensors"
    about = pretrain(TINY, out)
    assert sorted(path.suffix for path in out.parent.iterdir()) == [".csv", ".json", ".safetensors"]
    assert json.loads(out.with_suffix(".json").read_text()) == about
    assert about["training_seconds"] >= 0
    assert about["sha256"] == durable.sha256(out)
    assert about["arguments"] == asdict(TINY)
    assert [int(row["step"]) for row in curve(out)] == list(range(1, TINY.steps + 1))
    assert FrozenBackbone.load("standin", out)(torch.zeros(2, 3, 16, 16)).shape == (2, 4, 12)


def test_interrupted_and_run_again_equals_an_uninterrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    pretrain(TINY, whole)
    update = pretraining._update
    for steps in (1, 2, 1, 2):
        left = iter(range(steps))

        def stopped(*arguments: Any, left: Any = left) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return update(*arguments)

        monkeypatch.setattr(pretraining, "_update", stopped)
        with pytest.raises(KeyboardInterrupt):
            pretrain(TINY, resumed)
        assert not resumed.exists()
    monkeypatch.setattr(pretraining, "_update", update)
    pretrain(TINY, resumed)
    assert resumed.read_bytes() == whole.read_bytes()
    assert resumed.with_suffix(".csv").read_text() == whole.with_suffix(".csv").read_text()


KILLED = """
import sys, torch
from pathlib import Path
from data_tools.features.pretraining import loop
from tests.data_tools.features.pretraining.test_command import TINY
from tests.helpers.toy_split import die_at
torch.set_num_threads(1)
loop.HELD_OUT, loop.CHECKPOINT_EVERY = 6, 2
die_at(int(sys.argv[2]))
loop.pretrain(TINY, Path(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", [6, 10, 14])
def test_killed_and_run_again(tmp_path: Path, moment: int) -> None:
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    pretrain(TINY, whole)
    command = [sys.executable, "-c", KILLED, str(resumed), str(moment)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == -9, done.stderr
    pretrain(TINY, resumed)
    assert resumed.read_bytes() == whole.read_bytes()
    assert sorted(path.suffix for path in tmp_path.glob("resumed.*")) == [".csv", ".json", ".safetensors"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"pictures": 0}, "count must be at least 1"),
        ({"batch": 11}, "batch must be at most pictures = 10, got 11"),
        ({"patch": 5}, "size must be a multiple of patch"),
        ({"width": 13}, "width of heads"),
        ({"rate": 0.0}, "rate and place_scale must be positive"),
        ({"place_scale": -1.0}, "rate and place_scale must be positive"),
        ({"seed": -1}, "seed must be from 0"),
    ],
)
def test_settings_that_cannot_be_meant(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(TINY, **wrong)


def test_files_that_are_in_the_way(tmp_path: Path) -> None:
    out = tmp_path / "vit.safetensors"
    with pytest.raises(DataError, match=r"vit\.pt: must be a \.safetensors file"):
        pretrain(TINY, tmp_path / "vit.pt")
    held = durable.take_lock(out.with_suffix(".lock"))
    with pytest.raises(DataError, match="is being written by another process"):
        pretrain(TINY, out)
    durable.release_lock(held)
    out.with_suffix(".checkpoint").write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match="damaged"):
        pretrain(TINY, out)
    assert [path.name for path in tmp_path.iterdir()] == ["vit.checkpoint"]
    out.write_bytes(b"")
    with pytest.raises(DataError, match="already exists: remove it"):
        pretrain(TINY, out)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "save_backbone", lambda *_, **__: pytest.fail("disk full"))
    with pytest.raises(pytest.fail.Exception):
        pretrain(TINY, tmp_path / "vit.safetensors")
    with pytest.raises(DataError, match="belongs to the run"):
        pretrain(replace(TINY, seed=1), tmp_path / "vit.safetensors")


class Fixed(nn.Module):
    """A network whose patch features are its input."""

    num_prefix_tokens, embed_dim = 0, 8

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = type("Grid", (), {"grid_size": (2, 3)})()

    def forward_features(self, image: Tensor) -> Tensor:
        return image


def test_what_all_patches_share_does_not_help_the_classifiers() -> None:
    pretext, feature = Pretext(Fixed(), 1.0), torch.randn(2, 6, 8)
    before, _ = pretext(feature)
    after, _ = pretext(feature + 5 * torch.randn(2, 1, 8))
    assert {name: logits.shape[1] for name, logits in before.items()} == LABEL_CLASSES
    for name, logits in before.items():
        torch.testing.assert_close(after[name], logits, rtol=1e-4, atol=1e-4)


def test_the_first_two_features_are_asked_to_be_the_place() -> None:
    places = patch_places(2, 3)
    torch.testing.assert_close(places.mean(0), torch.zeros(2))
    torch.testing.assert_close(places.var(0, correction=0), torch.ones(2))
    torch.testing.assert_close(places[:, 0], torch.tensor([-1.0, -1, -1, 1, 1, 1]))
    assert (places[:3, 1].diff() > 0).all()
    pretext, feature = Pretext(Fixed(), 3.0), torch.zeros(2, 6, 8)
    assert pretext(feature)[1].item() == pytest.approx(1)
    feature[..., :2] = 3 * places
    logits, error = pretext(feature)
    assert error.item() == 0
    labels = {name: torch.zeros(2, dtype=torch.int64) for name in LABEL_CLASSES}
    added = pretext_loss(logits, error + 2, labels) - pretext_loss(logits, error, labels)
    assert added.item() == pytest.approx(2, abs=1e-5)


def test_a_class_token_is_refused() -> None:
    with pytest.raises(ValueError, match="class token"):
        Pretext(vit(), 1.0)


def test_batches_follow_from_seed_and_step() -> None:
    pictures = Pictures(seed=3, start=5, count=10, size=16)
    again = Pictures(seed=3, start=7, count=8, size=16)
    assert torch.equal(pictures.image[2:], again.image)
    first, labels = pictures.batch(1, 4)
    assert torch.equal(first, pictures.batch(1, 4)[0])
    assert not torch.equal(first, pictures.batch(3, 4)[0]), "every epoch has its own order"
    everything = torch.cat([image for image, _ in pictures.in_order(4)])
    for image, shape in zip(first, labels["shape"], strict=True):
        found = [i for i, one in enumerate(everything) if torch.equal(one, image) or torch.equal(one, image.flip(-1))]
        assert len(found) == 1
        assert pictures.labels["shape"][found[0]] == shape


def test_it_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "CHECKPOINT_EVERY", 100)
    settings = replace(TINY, steps=30, pictures=4, rate=1e-2)
    pretrain(settings, tmp_path / "vit.safetensors")
    loss = [float(row["loss"]) for row in curve(tmp_path / "vit.safetensors")]
    assert loss[-1] < 0.5 * loss[0]


def test_the_committed_backbone_is_the_one_described() -> None:
    about = json.loads(STAND_IN_WEIGHTS.with_suffix(".json").read_text())
    assert about["sha256"] == durable.sha256(STAND_IN_WEIGHTS)
    assert about["bytes"] == STAND_IN_WEIGHTS.stat().st_size <= 8e6
    assert about["arguments"] == asdict(Pretraining())
    assert len(curve(STAND_IN_WEIGHTS)) == about["arguments"]["steps"]
    assert all(about["held_out"][name] > 2 / count for name, count in LABEL_CLASSES.items()), "twice what guessing gets"


@pytest.fixture(scope="module")
def standin() -> tuple[FrozenBackbone, Tensor, Tensor]:
    """The committed backbone, features of scenes and their masks pooled to patches."""
    backbone = FrozenBackbone.load("standin", None)
    scenes, _ = make_scenes(seed=5, scene_id=np.arange(8))
    drawn = render(scenes, backbone.size)
    feature_BNF = backbone(drawn.image.permute(0, 3, 1, 2) / 127.5 - 1)
    grid = int(backbone.patches**0.5)
    masks = one_hot(drawn.segmentation.long()).permute(0, 3, 1, 2).float()
    return backbone, feature_BNF, adaptive_avg_pool2d(masks, grid).flatten(2)


def test_its_features_have_its_size_and_hold_the_place(standin: tuple[FrozenBackbone, Tensor, Tensor]) -> None:
    _, feature, _ = standin
    sizes = Pretraining()
    assert feature.shape == (8, (sizes.size // sizes.patch) ** 2, sizes.width)
    places = sizes.place_scale * patch_places(*[sizes.size // sizes.patch] * 2)
    assert (feature[..., :2] - places).square().mean() < 0.1 * places.square().mean()


def test_its_features_differ_within_a_scene_and_agree_within_an_object(
    standin: tuple[FrozenBackbone, Tensor, Tensor],
) -> None:
    _, feature_BNF, mask_BKN = standin
    local_BNF = (feature_BNF - feature_BNF.mean(0))[..., 2:]
    shared = local_BNF.mean(1).square().mean() / local_BNF.square().mean()
    assert shared < 0.5, "most of the variance is between the patches of a scene"
    share_BKN = mask_BKN / mask_BKN.sum(-1, keepdim=True).clamp(min=1e-6)
    within_BNF = local_BNF - mask_BKN.mT @ (share_BKN @ local_BNF)
    assert within_BNF.square().mean() < local_BNF.square().mean() * 0.8, "objects explain a good part of it"
