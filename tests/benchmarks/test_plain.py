"""The benchmark's yardstick computes what the package does: outputs and gradients, with the same weights."""

import pytest
import torch

from benchmarks import plain
from benchmarks.forms import make_batch, plain_loss, plain_model
from benchmarks.training_step import spec
from slotnorm import SlotAttention
from slotnorm.metrics.segmentation import foreground_adjusted_rand_index
from slotnorm.models.feature_autoencoder import FeatureDecoder
from slotnorm.tasks import FeatureDiscovery, ObjectDiscovery, PropertyPrediction

CLOSE = {"rtol": 1e-10, "atol": 1e-12}  # float64, sums in another order
TASKS = [
    ObjectDiscovery(32, num_slots=3, slot_dim=6, channels=4, encoder_layers=2, hidden_dim=5),
    FeatureDiscovery(4, 10, num_slots=3, slot_dim=6, decoder_dim=8, decoder_layers=3, hidden_dim=5),
    PropertyPrediction(16, num_slots=4, slot_dim=6, channels=6, strides=(1, 2), hidden_dim=5),
]


def pair(task):
    ours, yardstick = task.build("weighted_mean").double(), plain_model(task).double()
    yardstick.load_state_dict(ours.state_dict())
    return ours, yardstick


def doubled(task):
    batch = make_batch(spec(task, 2), torch.device("cpu"))
    return {key: x.double() if x.is_floating_point() else x for key, x in batch.items()}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_loss_and_every_gradient_are_those_of_the_package(task, monkeypatch):
    (ours, yardstick), batch = pair(task), doubled(task)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # the losses are single precision otherwise
    losses = task.loss(ours, batch, batch["noise"]), plain_loss(yardstick, task, batch)
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[1], losses[0], **CLOSE)
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    for name, parameter in yardstick.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], **CLOSE, msg=name)


@pytest.mark.parametrize("iterations", [1, 5])
def test_segmentations_are_those_of_the_package(iterations):
    (ours, yardstick), batch = pair(TASKS[0]), doubled(TASKS[0])
    expected = ours(batch["image"], slots=ours.slot_attention.initial_slots(batch["noise"]), iterations=iterations)
    reconstruction, masks = yardstick(batch["image"], batch["noise"], iterations)
    torch.testing.assert_close(reconstruction, expected.reconstruction, **CLOSE)
    torch.testing.assert_close(masks.squeeze(2), expected.masks, **CLOSE)


def test_slot_attention_is_that_of_the_package():
    module = SlotAttention(5, 4, num_slots=3, hidden_dim=6).double()
    yardstick = plain.SlotAttention(5, 4, hidden_dim=6).double()
    yardstick.load_state_dict(module.state_dict())
    inputs, noise = torch.randn(2, 7, 5).double(), torch.randn(2, 3, 4).double()
    for got, expected in zip(yardstick(inputs, noise), module(inputs, slots=module.initial_slots(noise)), strict=True):
        torch.testing.assert_close(got, expected, **CLOSE)


def test_the_feature_decoder_is_that_of_the_package():
    ours, yardstick = FeatureDecoder(9, 4, 6, 8).double(), plain.FeatureDecoder(9, 4, 6, 8).double()
    yardstick.load_state_dict(ours.state_dict())
    slots = torch.randn(2, 3, 4).double()
    for got, expected in zip(yardstick(slots), ours(slots), strict=True):
        torch.testing.assert_close(got, expected, **CLOSE)


def test_the_product_of_one_hot_masks_is_the_package_s_f_ari():
    true, found = torch.randint(4, (5, 8, 8)), torch.randint(6, (5, 8, 8))
    got, expected = plain.foreground_adjusted_rand_index(true, found), foreground_adjusted_rand_index(true, found)
    torch.testing.assert_close(got, expected, **CLOSE)
