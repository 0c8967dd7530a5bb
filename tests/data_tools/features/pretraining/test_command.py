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
from data_tools.features.pretraining import batches
from data_tools.features.pretraining import loop as pretraining
from data_tools.features.pretraining.batches import Pool
from data_tools.features.pretraining.labelled_scenes import LABEL_CLASSES
from data_tools.features.pretraining.loop import Pretraining, pretrain
from data_tools.features.pretraining.pretext_task import Pretext, patch_places, pretext_loss
from data_tools.features.weights import STAND_IN_WEIGHTS
from data_tools.stand_ins.movi import make_scenes
from data_tools.stand_ins.render import render
from data_tools.writing import durable
from data_tools.writing.durable import DataError
from tests.data_tools.features.vit import vit
from tests.helpers.paths import ROOT

TINY = Pretraining(steps=6, batch=4, scenes=10, size=16, patch=8, width=12, depth=1, heads=2, warmup=2)


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
        ({"scenes": 0}, "count must be at least 1"),
        ({"batch": 11}, "batch must be at most scenes = 10, got 11"),
        ({"patch": 5}, "size must be a multiple of patch"),
        ({"width": 13}, "width of heads"),
        ({"rate": 0.0}, "rate must be positive"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": 2}, "seed must be at least 3, since splits have the seeds below, got 2"),
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
        pretrain(replace(TINY, seed=101), tmp_path / "vit.safetensors")


class Fixed(nn.Module):
    """A network whose patch features are its input."""

    num_prefix_tokens, embed_dim = 0, 8

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = type("Grid", (), {"grid_size": (2, 3)})()

    def forward_features(self, image: Tensor) -> Tensor:
        return image


def test_every_patch_is_classified_by_its_own_features() -> None:
    pretext, feature = Pretext(Fixed()), torch.randn(2, 6, 8)
    before, _ = pretext(feature)
    assert {name: logits.shape for name, logits in before.items()} == {n: (2, 6, c) for n, c in LABEL_CLASSES.items()}
    other = feature.clone()
    other[:, 3] += 1
    after, _ = pretext(other)
    for name, logits in before.items():
        changed = (after[name] != logits).any(-1)
        assert changed[:, 3].all()
        assert changed.sum() == 2


def test_the_first_two_features_are_asked_to_be_the_place() -> None:
    places = patch_places(2, 3)
    torch.testing.assert_close(places.mean(0), torch.zeros(2))
    torch.testing.assert_close(places.var(0, correction=0), torch.ones(2))
    torch.testing.assert_close(places[:, 0], torch.tensor([-1.0, -1, -1, 1, 1, 1]))
    assert (places[:3, 1].diff() > 0).all()
    pretext, feature = Pretext(Fixed()), torch.zeros(2, 6, 8)
    assert pretext(feature)[1].item() == pytest.approx(1)
    feature[..., :2] = places
    logits, error = pretext(feature)
    assert error.item() == 0
    labels, share = {name: torch.zeros(2, 6, dtype=torch.int64) for name in LABEL_CLASSES}, torch.ones(2, 6)
    added = pretext_loss(logits, error + 2, labels, share) - pretext_loss(logits, error, labels, share)
    assert added.item() == pytest.approx(2, abs=1e-5)


def test_a_patch_counts_as_much_as_it_is_covered() -> None:
    logits = {name: torch.randn(1, 2, count) for name, count in LABEL_CLASSES.items()}
    labels = {name: torch.tensor([[0, 1]]) for name in LABEL_CLASSES}
    first, second, both = (
        pretext_loss(logits, torch.zeros(()), labels, torch.tensor([share])).item()
        for share in ([1.0, 0.0], [0.0, 1.0], [0.75, 0.25])
    )
    assert both == pytest.approx(0.75 * first + 0.25 * second, rel=1e-5)
    assert first != pytest.approx(second)


def test_standardized_features_have_mean_0_and_deviation_1() -> None:
    torch.manual_seed(0)
    pretext, image = Pretext(vit(class_token=False, global_pool="avg", fc_norm=False)), torch.randn(70, 3, 32, 32)
    pretext.standardize(image)
    feature = pretext.vit.forward_features(image).flatten(0, 1)
    torch.testing.assert_close(feature.mean(0), torch.zeros(feature.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(feature.std(0), torch.ones(feature.shape[1]), atol=1e-3, rtol=0)


def test_a_class_token_is_refused() -> None:
    with pytest.raises(ValueError, match="class token"):
        Pretext(vit())


def test_batches_follow_from_seed_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "DRAWN_AT_ONCE", 4)
    pool = Pool(seed=3, start=5, count=10, size=16, patch=4)
    again = Pool(seed=3, start=5, count=10, size=16, patch=4)
    assert torch.equal(pool.image, again.image)
    first = pool.batch(1, 4)
    assert torch.equal(first.image, pool.batch(1, 4).image)
    assert not torch.equal(first.image, pool.batch(3, 4).image), "every epoch has its own order"
    everything = torch.cat([batch.image for batch in pool.in_order(4)])
    turned = 0
    for row, image in enumerate(first.image):
        (same,) = [i for i, one in enumerate(everything) if torch.equal(one, image) or torch.equal(one, image.flip(-1))]
        mirrored = not torch.equal(everything[same], image)
        turned += mirrored
        for name, values in {**pool.labels, "share": pool.share}.items():
            grid = values[same].view(4, 4)
            expected = grid.flip(1) if mirrored else grid
            found = first.share if name == "share" else first.labels[name]
            assert torch.equal(found[row].view(4, 4), expected.to(found.dtype))
    assert 0 < turned < 4, "the test would show nothing of mirrored scenes, or of others"


def test_it_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "CHECKPOINT_EVERY", 100)
    settings = replace(TINY, steps=30, scenes=4, rate=1e-2)
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
    assert about["held_out"]["background"] > 0.8


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
    places = patch_places(*[sizes.size // sizes.patch] * 2)
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
