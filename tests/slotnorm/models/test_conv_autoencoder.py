"""ConvAutoencoder against Tables 2 and 3."""

import jaxtyping
import pytest
import torch
from torch import nn

from slotnorm.models.conv_autoencoder import ConvAutoencoder, PositionEmbedding, TurnedConv2d

ENCODER = [(3, 64, 5, 1), (64, 64, 5, 1), (64, 64, 5, 1), (64, 64, 5, 1)]  # Table 2: in, out, kernel, stride
DECODER = [  # Table 3: in, out, kernel, stride, padding, output padding
    (64, 64, 5, 2, 2, 1),
    (64, 64, 5, 2, 2, 1),
    (64, 64, 5, 2, 2, 1),
    (64, 64, 5, 2, 2, 1),
    (64, 64, 5, 1, 2, 0),
    (64, 4, 3, 1, 1, 0),
]


def tiny(image_size=16, **options) -> ConvAutoencoder:
    return ConvAutoencoder(image_size, num_slots=3, slot_dim=6, channels=5, encoder_layers=2, hidden_dim=7, **options)


def test_encoder_is_table_2():
    convs = [m for m in ConvAutoencoder().encoder.convs if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convs] == ENCODER
    norm, first, _, second = ConvAutoencoder().encoder.head
    assert (norm.normalized_shape, norm.eps) == ((64,), 1e-3)
    assert (first.out_features, second.out_features) == (64, 64)


def test_decoder_is_table_3():
    layers = [m for m in ConvAutoencoder().decoder.layers if isinstance(m, nn.ConvTranspose2d)]
    got = [
        (c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0], c.padding[0], c.output_padding[0])
        for c in layers
    ]
    assert got == DECODER


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_a_turned_convolution_is_the_transposed_one_with_its_gradients(kernel_size, generator):
    turned = TurnedConv2d(4, 3, kernel_size).double()
    inputs = torch.randn(2, 4, 7, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    wanted = torch.randn(2, 3, 7, 6, dtype=torch.float64, generator=generator)
    outputs = turned(inputs), nn.ConvTranspose2d.forward(turned, inputs)
    torch.testing.assert_close(*outputs)
    sources = (inputs, turned.weight, turned.bias)
    gradients = [torch.autograd.grad((output * wanted).sum(), sources) for output in outputs]
    torch.testing.assert_close(*gradients)


def test_slot_attention_has_the_paper_sizes():
    attention = ConvAutoencoder().slot_attention
    assert (attention.num_slots, attention.iterations) == (7, 3)
    assert attention.mlp[0].weight.shape == (128, 64)
    assert attention.to_q.weight.shape == (64, 64)


@pytest.mark.parametrize("image_size", [16, 32, 64, 128])
def test_any_power_of_two(image_size, generator):
    model = tiny(image_size)
    out = model(torch.rand(2, 3, image_size, image_size), num_slots=4, iterations=1, generator=generator)
    assert out.reconstruction.shape == (2, 3, image_size, image_size)
    assert out.components.shape == (2, 4, 3, image_size, image_size)
    assert out.masks.shape == (2, 4, image_size, image_size)
    assert out.slots.shape == (2, 4, 6)
    assert out.attention.shape == (2, 4, image_size**2)
    assert out.segmentation.shape == (2, image_size, image_size)


def test_masks_are_a_softmax_that_mixes_the_components(generator):
    out = tiny()(torch.rand(2, 3, 16, 16), generator=generator)
    torch.testing.assert_close(out.masks.sum(1), torch.ones(2, 16, 16))  # float32
    mixed = sum(out.masks[:, k, None] * out.components[:, k] for k in range(3))
    torch.testing.assert_close(out.reconstruction, mixed)
    assert torch.equal(out.segmentation, out.masks.argmax(1))


def test_tokens_are_the_rows_of_the_image_one_after_the_other():
    model = tiny()
    nn.init.zeros_(model.encoder.position.project.weight)
    image = torch.zeros(1, 3, 16, 16)
    image[..., 3, 12] = 1.0
    difference = (model.encoder(image) - model.encoder(torch.zeros_like(image)))[0].abs().sum(-1).view(16, 16)
    rows, columns = difference.nonzero().unbind(1)
    # two 5x5 convolutions see four pixels to each side, cut at the top and right edges
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 7, 8, 15)


def test_position_embedding_has_ramps_in_all_four_directions():
    ramps = PositionEmbedding(2, height=3, width=5).ramps
    assert ramps[:, 0, 0].tolist() == [0, 0.5, 1]
    assert ramps[0, :, 1].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert torch.equal(ramps[..., 2:], 1 - ramps[..., :2])


def test_convolutions_are_glorot_uniform_with_zero_bias():
    conv = ConvAutoencoder().encoder.convs[2]
    bound = (6 / (25 * (64 + 64))) ** 0.5
    assert 0.99 * bound < conv.weight.abs().max() <= bound
    assert conv.bias.abs().sum() == 0


def test_every_parameter_gets_a_gradient():
    model = tiny(normalization="batch_norm")
    out = model(torch.rand(2, 3, 16, 16))
    out.reconstruction.square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_bfloat16_autocast_keeps_masks_in_single_precision():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = tiny()(torch.rand(2, 3, 16, 16))
    assert out.masks.dtype == torch.float32
    assert out.reconstruction.isfinite().all()


def test_state_dict_round_trip(generator):
    source, target = tiny(), tiny()
    target.load_state_dict(source.state_dict())
    image, slots = torch.rand(1, 3, 16, 16), torch.randn(1, 3, 6)
    assert torch.equal(source(image, slots=slots).reconstruction, target(image, slots=slots).reconstruction)


@pytest.mark.parametrize("size", [8, 24, 0, 100])
def test_other_image_sizes_are_refused(size):
    with pytest.raises(ValueError, match=f"image_size must be a power of two and at least 16, got {size}"):
        ConvAutoencoder(image_size=size)


@pytest.mark.parametrize("wrong", [{"image_size": 16.0}, {"decoder_convs": 1.0}, {"encoder_layers": True}])
def test_sizes_that_are_not_whole_numbers_are_refused(wrong, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=f"{name} must be a whole number, got {value}"):
        ConvAutoencoder(**wrong)


def test_widths_below_one_are_refused():
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        ConvAutoencoder(channels=0)
