"""The feature autoencoder against Tables 4 and 5 as printed."""

import math
from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from slotnorm.models import feature_autoencoder
from slotnorm.models.feature_autoencoder import FeatureAutoencoder, FeatureDecoder, FeatureDecomposition


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def as_printed(decoder: FeatureDecoder, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Table 5 line by line: broadcast, add positions, every layer for every slot and patch, softmax, blend."""
    x = slots[:, :, None, :].expand(-1, -1, decoder.positions.shape[0], -1) + decoder.positions
    for layer in (decoder.first, *decoder.middle):
        x = torch.relu(layer(x))
    x = decoder.last(x)
    features, alpha = x[..., :-1], x[..., -1:].softmax(dim=1)
    return (alpha * features).sum(dim=1), alpha.squeeze(-1)


def gradients(decoder: FeatureDecoder, slots: Tensor, outputs: tuple[Tensor, Tensor], seed: int) -> Iterator[Tensor]:
    weights = [torch.randn(o.shape, generator=generator(seed), dtype=o.dtype) for o in outputs]
    loss = sum((o * w).sum() for o, w in zip(outputs, weights, strict=True))
    yield from torch.autograd.grad(loss, [slots, *decoder.parameters()])


@given(
    slots=st.integers(1, 9),
    patches=st.integers(1, 16),
    hidden_layers=st.integers(1, 4),
    feature_dim=st.integers(1, 12),
    at_once=st.integers(1, 20),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_the_rewritten_decoder_equals_table_5_in_outputs_and_gradients(
    slots: int, patches: int, hidden_layers: int, feature_dim: int, at_once: int, seed: int
) -> None:
    torch.manual_seed(seed)
    decoder = FeatureDecoder(patches, 6, feature_dim, hidden_dim=10, hidden_layers=hidden_layers).double()
    slots_BKD = torch.randn(3, slots, 6, dtype=torch.float64, requires_grad=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_autoencoder, "PATCHES_AT_ONCE", at_once)
        ours, printed = decoder(slots_BKD), as_printed(decoder, slots_BKD)
    # Sums of at most a few hundred products of order one in float64: 1e-12 leaves three digits over their rounding.
    torch.testing.assert_close(ours, printed, rtol=1e-12, atol=1e-12)
    for got, expected in zip(
        gradients(decoder, slots_BKD, ours, seed), gradients(decoder, slots_BKD, printed, seed), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


def plain_loss(decoder: FeatureDecoder, slots: Tensor, target: Tensor) -> Tensor:
    return nn.functional.mse_loss(decoder(slots)[0].to(target.dtype), target)


Inputs = tuple[FeatureDecoder, Tensor, Tensor]


def loss_inputs(patches: int, dtype: torch.dtype = torch.float64) -> Inputs:
    torch.manual_seed(0)
    decoder = FeatureDecoder(patches, slot_dim=6, feature_dim=7, hidden_dim=8).to(dtype)
    return decoder, torch.randn(3, 4, 6, dtype=dtype, requires_grad=True), torch.randn(3, patches, 7, dtype=dtype)


def differentiable(decoder: FeatureDecoder, slots: Tensor, target: Tensor) -> list[Tensor]:
    return [tensor for tensor in (slots, target, *decoder.parameters()) if tensor.requires_grad]


@pytest.mark.parametrize("patches", [1, 100, 112, 113, 144, 300, 1024])
@pytest.mark.parametrize("frozen", ["nothing", "some layers", "the positions", "all parameters", "the slots"])
def test_the_loss_in_parts_is_the_plain_one_with_its_gradients(patches: int, frozen: str) -> None:
    inputs = decoder, slots, target = loss_inputs(patches)
    target.requires_grad_()
    decoder.requires_grad_(frozen != "all parameters")
    decoder.middle.requires_grad_(frozen in ("nothing", "the positions"))
    decoder.positions.requires_grad_(frozen not in ("the positions", "all parameters"))
    slots.requires_grad_(frozen != "the slots")
    ours, plain = FeatureDecoder.loss(*inputs), plain_loss(*inputs)
    wanted = differentiable(*inputs)
    got, expected = (torch.autograd.grad(3 * loss, wanted) for loss in (ours, plain))
    # Sums of at most some thousand products in float64, in another order.
    torch.testing.assert_close([ours, *got], [plain, *expected], rtol=1e-11, atol=1e-13)
    with torch.no_grad():
        torch.testing.assert_close(FeatureDecoder.loss(*inputs), plain, rtol=1e-11, atol=0)


def test_the_loss_in_parts_can_be_differentiated_twice() -> None:
    inputs = loss_inputs(patches=300)
    wanted = differentiable(*inputs)
    seconds = []
    for loss in (FeatureDecoder.loss(*inputs), plain_loss(*inputs)):
        first = torch.autograd.grad(loss, wanted, create_graph=True)
        penalty = torch.stack([gradient.square().sum() for gradient in first]).sum()
        seconds.append(torch.autograd.grad(penalty, wanted))
    torch.testing.assert_close(*seconds, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_scaled_loss_keeps_small_gradients_in_half_precision(dtype: torch.dtype) -> None:
    decoder, slots, target = loss_inputs(300, torch.float32)
    target = decoder(slots)[0].detach() + 1e-3 * target  # unscaled gradients of some 1e-7, below half precision's range
    wanted, both = differentiable(decoder, slots, target), []
    for loss_of in (FeatureDecoder.loss, plain_loss):
        with torch.autocast("cpu", dtype):
            loss = loss_of(decoder, slots, target)
        both.append(torch.autograd.grad(2.0**16 * loss, wanted))
    for ours, plain in zip(*both, strict=True):
        # Sums over three parts instead of one, in half precision.
        assert (ours - plain).norm() <= 1e-2 * plain.norm()


class LargestTensor(TorchDispatchMode):
    """Remembers how many elements the largest tensor had that an operation returned."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.elements = max(self.elements, out.numel())
        return out


def test_the_loss_never_has_a_hidden_layer_of_all_patches_and_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = FeatureDecoder(patches=12, slot_dim=4, feature_dim=5, hidden_dim=16)
    slots, target = torch.randn(8, 3, 4, generator=generator(), requires_grad=True), torch.zeros(8, 12, 5)
    hidden = 8 * 12 * 3 * 16
    with LargestTensor() as whole:
        decoder.loss(slots, target).backward()
    assert whole.elements == hidden
    monkeypatch.setattr(feature_autoencoder, "PATCHES_AT_ONCE", 3)
    kept = []
    with LargestTensor() as parts, saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        loss = decoder.loss(slots, target)
        assert max(kept, default=0) < hidden // 4
        loss.backward()
    assert parts.elements == hidden // 4


def test_the_reconstructions_of_single_slots_never_exist() -> None:
    decoder = FeatureDecoder(patches=9, slot_dim=4, feature_dim=50, hidden_dim=5)
    slots = torch.randn(2, 7, 4, generator=generator())
    with LargestTensor() as rewritten:
        decoder(slots)
    with LargestTensor() as printed:
        as_printed(decoder, slots)
    assert printed.elements == 2 * 7 * 9 * 51
    assert rewritten.elements == 2 * 9 * 50  # the mixed reconstruction itself


def test_the_default_sizes_are_those_of_tables_4_and_5() -> None:
    with torch.device("meta"):
        model = FeatureAutoencoder()
    encoder = 2 * 768 + (768 * 768 + 768) + (768 * 128 + 128)
    decoder = 784 * 128 + (128 * 1024 + 1024) + 2 * (1024 * 1024 + 1024) + (1024 * 769 + 769)
    assert sum(p.numel() for p in model.encoder.parameters()) == encoder
    assert sum(p.numel() for p in model.decoder.parameters()) == decoder
    assert model.slot_attention.mlp[0].out_features == 512
    assert model.slot_attention.iterations == 3
    assert [layer.eps for layer in model.modules() if isinstance(layer, nn.LayerNorm)] == [1e-5] * 4


def test_the_encoder_treats_every_patch_alike_and_adds_no_position() -> None:
    torch.manual_seed(0)
    encoder = FeatureAutoencoder(grid_size=2, feature_dim=8, slot_dim=5, decoder_dim=4).encoder
    features, order = torch.randn(2, 12, 8), torch.randperm(12)
    # The same products in another order of rows: float32 rounding.
    torch.testing.assert_close(encoder(features[:, order]), encoder(features)[:, order], rtol=1e-5, atol=1e-6)


def small(**changes: object) -> FeatureAutoencoder:
    torch.manual_seed(0)
    arguments = {"grid_size": 4, "feature_dim": 10, "num_slots": 3, "slot_dim": 8, "decoder_dim": 12, "hidden_dim": 9}
    return FeatureAutoencoder(**{**arguments, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("num_slots", [None, 1, 6])
def test_shapes_and_masks(num_slots: int | None) -> None:
    out = small()(torch.randn(2, 16, 10, generator=generator()), num_slots=num_slots)
    slots = num_slots or 3
    assert out.reconstruction.shape == (2, 16, 10)
    assert out.masks.shape == (2, slots, 4, 4)
    assert out.attention.shape == (2, slots, 16)
    assert out.slots.shape == (2, slots, 8)
    torch.testing.assert_close(out.masks.sum(dim=1), torch.ones(2, 4, 4))


def test_slots_are_interchangeable() -> None:
    model, features = small().double(), torch.randn(2, 16, 10, generator=generator(), dtype=torch.float64)
    initial = torch.randn(2, 5, 8, generator=generator(1), dtype=torch.float64)
    order = torch.tensor([3, 0, 4, 2, 1])
    one, other = model(features, slots=initial), model(features, slots=initial[:, order])
    # Sums over five slots in another order, in float64.
    torch.testing.assert_close(other.reconstruction, one.reconstruction, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(other.masks, one.masks[:, order], rtol=1e-10, atol=1e-12)


def test_the_same_generator_gives_the_same_result() -> None:
    model, features = small(), torch.randn(2, 16, 10, generator=generator())
    one, two = (model(features, generator=generator(7)) for _ in range(2))
    assert torch.equal(one.reconstruction, two.reconstruction)
    assert not torch.equal(one.slots, model(features, generator=generator(8)).slots)


def test_segment_scales_the_masks_bilinearly_before_the_argmax() -> None:
    # Along a row of four pixels the mask of slot 0 reads 0.625, 0.494, 0.231, 0.1 (weights 1, 3/4, 1/4, 0): it keeps
    # one pixel, where nearest and bicubic scaling leave it two.
    mask_HW = torch.tensor([[0.625, 0.1], [0.625, 0.1]])
    masks_BKHW = torch.stack([mask_HW, 1 - mask_HW])[None]
    out = FeatureDecomposition(torch.zeros(1, 4, 1), masks_BKHW, torch.zeros(1, 2, 1), torch.zeros(1, 2, 4))
    assert out.segment(4).tolist() == [[[0, 1, 1, 1]] * 4]


def test_torch_init_is_that_of_linear_layers() -> None:
    model = small(feature_dim=400, slot_dim=300)
    weight, bias = model.encoder[1].weight, model.encoder[1].bias
    bound = 1 / math.sqrt(400)
    assert weight.abs().max() <= bound
    # The standard deviation of 160,000 uniform numbers is known to 0.2 %.
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert bias.abs().max() > 0


def test_glorot_init_has_zero_biases_and_glorot_bounds() -> None:
    model = small(init="glorot", slot_dim=300, decoder_dim=200)
    layers = [m for part in (model.encoder, model.decoder) for m in part.modules() if isinstance(m, nn.Linear)]
    assert len(layers) == 2 + 4
    assert all(not layer.bias.any() for layer in layers)
    bound = math.sqrt(6 / (300 + 200))
    assert model.decoder.first.weight.abs().max() <= bound
    assert model.decoder.first.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("scale", [0.0, 0.02, 1.0])
def test_positions_are_normal_with_the_scale_asked_for(scale: float) -> None:
    positions = small(grid_size=14, slot_dim=64, position_scale=scale).decoder.positions
    # 12,544 numbers: the standard error of their standard deviation is 0.6 %, of their mean 0.9 % of the scale.
    assert positions.std().item() == pytest.approx(scale, rel=0.03)
    assert abs(positions.mean().item()) <= 0.05 * scale


def test_it_learns() -> None:
    model, features = small(init="glorot"), torch.randn(4, 16, 10, generator=generator())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for step in range(60):
        loss = (model(features, generator=generator(step)).reconstruction - features).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_bfloat16_autocast_keeps_the_masks_in_float32() -> None:
    model, features = small(), torch.randn(2, 16, 10, generator=generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(features, generator=generator())
    assert out.masks.dtype == torch.float32
    assert out.reconstruction.dtype == torch.bfloat16
    assert out.reconstruction.isfinite().all()


@pytest.mark.parametrize("name", ["grid_size", "feature_dim", "num_slots", "slot_dim", "decoder_dim", "decoder_layers"])
def test_a_size_below_one_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        small(**{name: 0})


def test_an_unknown_init_and_a_negative_scale_are_refused() -> None:
    with pytest.raises(ValueError, match=r"init must be one of .*'glorot'.*, got 'kaiming'"):
        small(init="kaiming")
    with pytest.raises(ValueError, match="position_scale must not be negative"):
        small(position_scale=-1.0)


@pytest.mark.parametrize("shape", [(2, 9, 10), (2, 16, 11)])
def test_features_of_another_backbone_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expects 4x4 patches of 10 features"):
        small()(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 9, 5), (2, 8, 5), (2, 9, 4)])
def test_a_target_of_another_shape_is_refused_and_not_repeated(shape: tuple[int, ...], monkeypatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    decoder = FeatureDecoder(patches=9, slot_dim=4, feature_dim=5, hidden_dim=6)
    with pytest.raises(ValueError, match=r"target must have shape \(2, 9, 5\) with a scene at least, got \("):
        decoder.loss(torch.zeros(2, 3, 4), torch.zeros(shape))
