"""SetPredictor against App. I and the set prediction of Locatello et al. (2020) to which it refers."""

import pytest
import torch
from torch import nn

from slotnorm.metrics.segmentation import foreground_adjusted_rand_index
from slotnorm.models import SetPrediction, SetPredictor
from slotnorm.object_properties import hungarian_huber_loss

CONVS = [(3, 64, 5, 1), (64, 64, 5, 2), (64, 64, 5, 2), (64, 64, 5, 1)]  # in, out, kernel, stride


def tiny(image_size=16, **options) -> SetPredictor:
    return SetPredictor(image_size, num_slots=3, slot_dim=6, channels=5, hidden_dim=7, **options)


@pytest.fixture(scope="module")
def paper() -> SetPredictor:
    return SetPredictor()


def test_encoder_has_the_paper_sizes(paper):
    convs = [m for m in paper.encoder.convs if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convs] == CONVS
    norm, first, _, second = paper.encoder.head
    assert (norm.normalized_shape, norm.eps) == ((64,), 1e-3)
    assert (first.out_features, second.out_features) == (64, 64)
    assert paper.encoder.position.ramps.shape == (32, 32, 4)


def test_slot_attention_has_the_paper_sizes(paper):
    attention = paper.slot_attention
    assert (attention.num_slots, attention.iterations) == (10, 3)
    assert attention.mlp[0].weight.shape == (128, 64)
    assert attention.to_q.weight.shape == (64, 64)


def test_head_is_a_perceptron_of_64_that_ends_in_19(paper):
    first, activation, last = paper.head
    assert (first.weight.shape, last.weight.shape) == ((64, 64), (19, 64))
    assert isinstance(activation, nn.ReLU)


def test_one_image_of_the_paper_size(paper, generator):
    with torch.no_grad():
        out = paper(torch.rand(1, 3, 128, 128), generator=generator)
    assert out.predictions.shape == (1, 10, 19)
    assert out.attention.shape == (1, 10, 1024)
    assert out.segmentation.shape == (1, 32, 32)


@pytest.mark.parametrize(("strides", "side"), [((1, 2, 2, 1), 4), ((1, 2, 1), 8), ((1, 1), 16), ((4, 4), 1)])
@pytest.mark.parametrize("image_size", [16, 32])
def test_any_power_of_two_and_any_strides(image_size, strides, side, generator):
    model = tiny(image_size, strides=strides)
    out = model(torch.rand(2, 3, image_size, image_size), num_slots=4, iterations=1, generator=generator)
    side = side * image_size // 16
    assert out.predictions.shape == (2, 4, 19)
    assert out.slots.shape == (2, 4, 6)
    assert out.attention.shape == (2, 4, side**2)
    assert out.segmentation.shape == (2, side, side)
    assert model.stride == image_size // side


def test_predictions_are_a_sigmoid_of_the_head(generator):
    model = tiny()
    out = model(torch.rand(2, 3, 16, 16), generator=generator)
    torch.testing.assert_close(out.predictions.logit(), model.head(out.slots), rtol=0, atol=1e-5)  # float32, twice
    assert 0 < out.predictions.min() < out.predictions.max() < 1


def test_one_encoding_serves_every_slot_count():
    model, image = tiny().eval(), torch.rand(2, 3, 16, 16)
    tokens = model.encode(image)
    for num_slots in (2, 7):
        seeds = [torch.Generator().manual_seed(1) for _ in range(2)]
        split = model.decompose(tokens, num_slots, iterations=2, generator=seeds[0])
        whole = model(image, num_slots, iterations=2, generator=seeds[1])
        assert all(torch.equal(a, b) for a, b in zip(split, whole, strict=True))


def test_predictions_follow_their_slots():
    model, image, slots = tiny().eval(), torch.rand(1, 3, 16, 16), torch.randn(1, 3, 6)
    plain, flipped = model(image, slots=slots), model(image, slots=slots.flip(1))
    torch.testing.assert_close(flipped.predictions, plain.predictions.flip(1))  # float32


def test_token_lies_at_its_stride_in_the_image():
    """So that ground truth is subsampled by [::stride, ::stride]: four 5x5 convolutions see 2 + 2 + 4 + 8 pixels."""
    model = tiny(64)
    nn.init.zeros_(model.encoder.position.project.weight)
    for conv in model.encoder.convs[::2]:
        nn.init.constant_(conv.weight, 0.1)  # else a pixel may be lost in a ReLU
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32, 24] = 1.0
    features = model.encoder.convs(image)[0].sum(0)
    rows, columns = features.nonzero().unbind(1)
    assert ((rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2) == (32 / 4, 24 / 4)


def test_segmentation_is_comparable_with_subsampled_ground_truth():
    truth = torch.zeros(1, 16, 16, dtype=torch.long)
    truth[:, 4:8, 4:12], truth[:, 12:, :8] = 1, 2
    attention = nn.functional.one_hot(truth[:, ::4, ::4].flatten(1), 3).float().mT
    out = SetPrediction(torch.zeros(1, 3, 19), torch.zeros(1, 3, 6), attention)
    assert torch.equal(out.segmentation, truth[:, ::4, ::4])
    assert foreground_adjusted_rand_index(truth[:, ::4, ::4], out.segmentation).item() == 1.0


def test_kernels_are_glorot_uniform_with_zero_bias(paper):
    for layer, fan in ((paper.encoder.convs[2], 25 * 128), (paper.encoder.head[1], 128), (paper.head[0], 128)):
        bound = (6 / fan) ** 0.5
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        assert layer.bias.abs().sum() == 0
    bound = (6 / (64 + 19)) ** 0.5
    assert 0.97 * bound < paper.head[2].weight.abs().max() <= bound  # the largest of 1,216 draws


@pytest.mark.parametrize("normalization", ["weighted_mean", "batch_norm"])
def test_every_parameter_gets_a_gradient(normalization):
    model = tiny(normalization=normalization)
    out = model(torch.rand(4, 3, 16, 16))
    hungarian_huber_loss(out.predictions, torch.rand(4, 3, 19)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_bfloat16_autocast_keeps_predictions_in_single_precision():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = tiny()(torch.rand(2, 3, 16, 16))
        loss = hungarian_huber_loss(out.predictions, torch.rand(2, 3, 19))
    assert (out.predictions.dtype, loss.dtype) == (torch.float32, torch.float32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 24}, "image_size must be a power of two and at least 16, got 24"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"image_size": 16, "strides": (1, 3)}, r"product a divisor of 16, got \(1, 3\)"),
        ({"image_size": 16, "strides": ()}, r"strides must be positive, their product a divisor of 16, got \(\)"),
        (
            {"image_size": 16, "strides": (2, 0)},
            r"strides must be positive, their product a divisor of 16, got \(2, 0\)",
        ),
        ({"num_slots": 0}, "num_slots must be at least 1, got 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SetPredictor(**options)
