"""The frozen backbone against timm itself, and on weights that are not its own."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from data_tools.features import weights
from data_tools.features.backbone import FrozenBackbone
from data_tools.writing.durable import DataError
from slotnorm.models.feature_autoencoder import FeatureAutoencoder
from tests.data_tools.features.vit import MEAN, NAME, STD, saved, vit


def images(count: int = 2, side: int = 32) -> Tensor:
    """As `slotnorm.data` delivers them."""
    return torch.randint(0, 256, (count, 3, side, side)).float() / 127.5 - 1


def normalized(image: Tensor) -> Tensor:
    return ((image + 1) / 2 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


KINDS = [
    ("vit_tiny_patch16_224", {}, 1),
    ("deit_tiny_distilled_patch16_224", {}, 2),
    ("vit_base_patch14_reg4_dinov2", {}, 5),
    ("vit_base_patch16_224", {"class_token": False, "global_pool": "avg"}, 0),
    ("eva02_tiny_patch14_224", {}, 1),
]


@pytest.mark.parametrize(("name", "kwargs", "prefix"), KINDS)
def test_any_vit_gives_its_patch_tokens_after_the_final_normalization(
    tmp_path: Path, name: str, kwargs: dict[str, object], prefix: int
) -> None:
    model = vit(name, **kwargs)
    backbone = FrozenBackbone.load(name, saved(tmp_path / "w.safetensors", model, name, **kwargs))
    image = images()
    features = backbone(image)
    assert model.num_prefix_tokens == prefix
    assert features.shape == (2, 16, 24)
    assert (backbone.patches, backbone.feature_dim) == (16, 24)
    last = [1]  # the second of two blocks
    tokens = model.forward_intermediates(
        normalized(image), indices=last, norm=True, output_fmt="NLC", intermediates_only=True
    )[0]
    # The same float32 operations; the input's normalization is rounded in another order.
    torch.testing.assert_close(features, model.fc_norm(tokens), rtol=1e-4, atol=1e-4)
    norm = next(m for m in (model.norm, model.fc_norm) if isinstance(m, torch.nn.LayerNorm))
    standard = (features - norm.bias) / norm.weight
    torch.testing.assert_close(standard.mean(-1), torch.zeros(2, 16), rtol=0, atol=1e-4)
    torch.testing.assert_close(standard.var(-1, correction=0), torch.ones(2, 16), rtol=1e-3, atol=0)


def test_it_is_frozen_inside_a_model_that_trains(tmp_path: Path) -> None:
    backbone = FrozenBackbone.load(NAME, saved(tmp_path / "w.safetensors"))
    autoencoder = FeatureAutoencoder(grid_size=4, feature_dim=24, num_slots=3, slot_dim=8, decoder_dim=8, hidden_dim=8)
    both = torch.nn.ModuleDict({"backbone": backbone, "autoencoder": autoencoder}).train()
    assert autoencoder.training
    assert not any(module.training for module in backbone.modules())
    before = [p.clone() for p in backbone.parameters()]
    features = backbone(images().requires_grad_())
    assert not features.requires_grad
    (autoencoder(features).reconstruction - features).square().mean().backward()
    torch.optim.SGD(both.parameters(), lr=1.0).step()
    assert all(p.grad is not None for p in autoencoder.encoder.parameters())
    assert all(torch.equal(old, new) for old, new in zip(before, backbone.parameters(), strict=True))


def test_the_two_orders_of_scaling_and_normalizing(tmp_path: Path) -> None:
    path, image = saved(tmp_path / "w.safetensors"), images(side=37)
    first, last = (FrozenBackbone.load(NAME, path, order=order) for order in ("normalize_first", "resize_first"))
    code = interpolate(normalized(image), size=(32, 32), mode="bicubic", align_corners=False, antialias=False)
    # Float32 rounding of numbers up to about five.
    torch.testing.assert_close(first.prepare(image), code, rtol=0, atol=1e-5)
    grey = last.prepare(image) * last.std * 255 + last.mean * 255
    torch.testing.assert_close(grey, grey.round(), rtol=0, atol=1e-3)
    assert grey.min() >= -1e-3
    assert grey.max() <= 255 + 1e-3
    # Where nothing is clipped they differ by the rounding to grey levels alone.
    inside = (code * last.std + last.mean - 0.5).abs() < 0.5
    difference = ((first.prepare(image) - last.prepare(image)) * last.std * 255).abs()
    assert difference[inside].max() <= 0.5 + 1e-3
    assert difference[~inside].max() > 1


def test_images_that_fit_are_only_normalized(tmp_path: Path) -> None:
    path, image = saved(tmp_path / "w.safetensors"), images()
    for order in ("normalize_first", "resize_first"):
        prepared = FrozenBackbone.load(NAME, path, order=order).prepare(image)
        torch.testing.assert_close(prepared, normalized(image), rtol=0, atol=1e-5)


def test_another_size_resamples_the_position_embedding(tmp_path: Path) -> None:
    backbone = FrozenBackbone.load(NAME, saved(tmp_path / "w.safetensors"), size=48)
    assert (backbone.patches, backbone.size) == (36, 48)
    assert backbone(images(side=32)).shape == (2, 36, 24)


def test_half_precision_computes_close_to_float32_and_returns_it(tmp_path: Path) -> None:
    path, image = saved(tmp_path / "w.safetensors"), images()
    full, half = (FrozenBackbone.load(NAME, path, precision=p)(image) for p in ("float32", "bfloat16"))
    assert half.dtype == torch.float32
    # bfloat16 keeps eight bits; two blocks of it lose a few per cent of a normalized feature.
    assert 0 < (full - half).abs().mean() < 0.05 * full.std()


def test_the_statistics_of_timms_own_models_are_timms(tmp_path: Path) -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=10)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "w.safetensors")
    backbone = FrozenBackbone.load("vit_tiny_patch16_224", tmp_path / "w.safetensors")
    assert backbone.about["mean"] == [0.5, 0.5, 0.5]  # of the augreg weights, unlike ImageNet's
    assert (backbone.size, backbone.patches, backbone.feature_dim) == (224, 196, 192)
    assert backbone(images(1, 224)).shape == (1, 196, 192)


def test_the_papers_backbone_is_known_with_its_statistics() -> None:
    config: Any = timm.get_pretrained_cfg("vit_base_patch8_224.dino")
    assert config.input_size == (3, 224, 224)
    assert config.mean == (0.485, 0.456, 0.406)
    assert config.std == (0.229, 0.224, 0.225)
    with torch.device("meta"):
        model: Any = timm.create_model("vit_base_patch8_224.dino", num_classes=0)
    assert model.patch_embed.grid_size == (28, 28)
    assert model.embed_dim == 768
    assert isinstance(model.norm, torch.nn.LayerNorm)


def test_without_weights_it_says_how_to_get_them() -> None:
    message = r"'vit_base_patch8_224.dino' needs its weights: fetch .*timm/vit_base_patch8_224.dino.* --weights FILE"
    with pytest.raises(DataError, match=message):
        FrozenBackbone.load("vit_base_patch8_224.dino", None)


def test_an_unknown_name_or_another_kind_of_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(DataError, match=r"no model 'vit_bse_patch8_224.dino'; did you mean vit_base_patch8_224.dino"):
        FrozenBackbone.load("vit_bse_patch8_224.dino", path)
    with pytest.raises(DataError, match="resnet18: is not a vision transformer"):
        FrozenBackbone.load("resnet18", path)
    with pytest.raises(ValueError, match="order is one of"):
        FrozenBackbone(vit(), size=32, mean=MEAN, std=STD, order="resize")
    with pytest.raises(ValueError, match="precision of"):
        FrozenBackbone(vit(), size=32, mean=MEAN, std=STD, precision="int8")


def test_weights_of_another_network_are_refused_whole(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(vit().state_dict(), path)
    with pytest.raises(DataError, match=r"w.safetensors: does not fit vit_tiny_patch16_224: size mismatch"):
        FrozenBackbone.load(NAME, path)
    state = timm.create_model(NAME, num_classes=0).state_dict()
    safetensors.torch.save_file({key: value for key, value in state.items() if key != "norm.bias"}, path)
    with pytest.raises(DataError, match=r"does not fit vit_tiny_patch16_224: 'norm.bias' is missing; 1 tensors differ"):
        FrozenBackbone.load(NAME, path)
    safetensors.torch.save_file(state | {"extra": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="'extra' is unknown; 1 tensors differ"):
        FrozenBackbone.load(NAME, path)
    with pytest.raises(DataError, match="holds weights of 'vit_tiny_patch16_224', not of 'vit_small_patch16_224'"):
        FrozenBackbone.load("vit_small_patch16_224", saved(tmp_path / "tiny.safetensors"))


def test_a_file_that_is_missing_damaged_or_pickled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"w.safetensors: no such file; backbone .* needs its weights"):
        FrozenBackbone.load(NAME, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"w.pth: weights are read from .safetensors files only"):
        FrozenBackbone.load(NAME, tmp_path / "w.pth")
    path = saved(tmp_path / "w.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"w.safetensors: damaged, or not a safetensors file"):
        FrozenBackbone.load(NAME, path)


@pytest.mark.parametrize("size", [30, 0])
def test_a_size_that_patches_do_not_fill_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(DataError, match=r"multiple of the patch|cannot be made with"):
        FrozenBackbone.load(NAME, saved(tmp_path / "w.safetensors"), size=size)


def test_saving_leaves_nothing_behind_and_no_classifier(tmp_path: Path) -> None:
    model = vit(num_classes=5)
    assert "head.weight" in model.state_dict()
    path = saved(tmp_path / "w.safetensors", model)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    assert not any("head" in key for key in safetensors.torch.load_file(path))


def test_a_download_happens_on_request_only_and_its_failure_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(hub: str, file: str) -> str:
        asked.append((hub, file))
        if len(asked) > 1:
            raise OSError("no network")
        return str(tmp_path / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    assert weights.download("vit_base_patch8_224.dino") == tmp_path / "model.safetensors"
    assert asked == [("timm/vit_base_patch8_224.dino", "model.safetensors")]
    with pytest.raises(DataError, match=r"timm/vit_base_patch8_224.dino: .* could not be downloaded: no network"):
        weights.download("vit_base_patch8_224.dino")
    with pytest.raises(DataError, match="timm knows of no weights to download"):
        weights.download("vit_base_patch32_plus_256")
    for typo in ("vit_huge_patch99", "vit_base_patch8_224.dinos"):
        with pytest.raises(DataError, match=f"timm has no model '{typo}'"):
            weights.download(typo)
