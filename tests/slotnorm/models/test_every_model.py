"""What every model must satisfy, with every normalization: it compiles, is exported, and can be made without memory."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor

from slotnorm import NORMALIZATIONS
from slotnorm.models import ConvAutoencoder, FeatureAutoencoder, SetPredictor, SlotModel
from slotnorm.testing.compilation import assert_compiles, assert_exports, made_without_memory

MODELS: dict[str, tuple[Callable[..., SlotModel[Any]], tuple[int, ...]]] = {
    "images": (partial(ConvAutoencoder, 16, 3, 6, channels=5, encoder_layers=2, hidden_dim=7), (3, 16, 16)),
    "features": (partial(FeatureAutoencoder, 12, 10, 3, 8, decoder_dim=12, decoder_layers=2, hidden_dim=9), (144, 10)),
    "glorot": (partial(FeatureAutoencoder, 4, 10, 3, 8, 12, 2, hidden_dim=9, init="glorot"), (16, 10)),
    "objects": (partial(SetPredictor, 16, 3, 6, channels=5, hidden_dim=7), (3, 16, 16)),
}
"""Model to its constructor, which takes the normalization, and the shape of one input."""


def make(model: str, normalization: str = "weighted_sum") -> SlotModel[Any]:
    return MODELS[model][0](normalization=normalization)


def draw(model: str, batch: int) -> Tensor:
    return torch.rand(batch, *MODELS[model][1])


@pytest.mark.parametrize("model", ["images", "features", "objects"])
def test_it_compiles_as_one_graph_for_any_batch_slots_and_iterations(model: str) -> None:
    small, middle, large = (draw(model, batch) for batch in (2, 3, 4))
    module = make(model)
    calls = [(small, {}), (middle, {"num_slots": 5, "iterations": 1}), (large, {"num_slots": 8, "iterations": 2})]
    assert_compiles(module, calls, backend="eager")
    calls = [(small, {"num_slots": 4}), (large, {"num_slots": 8})]
    assert_compiles(module.eval(), calls, backend="eager", dynamic=True)


@pytest.mark.parametrize("model", ["images", "features", "objects"])
def test_it_is_exported_for_any_batch(model: str) -> None:
    assert_exports(make(model, "batch_norm"), (draw(model, 2), {}), (draw(model, 5), {}))


@pytest.mark.parametrize("model", ["images", "features", "objects"])
def test_inputs_of_another_shape_are_refused(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    inputs, asked = draw(model, 2), "(B, 3, 16, 16)" if len(MODELS[model][1]) == 3 else "12x12 patches of 10 features"
    for wrong in (inputs[0], inputs[:, None], inputs[:, 1:], inputs[..., 1:], inputs[..., 1:, :]):
        with pytest.raises(ValueError, match=re.escape(asked) + ".*, got .*" + re.escape(str(tuple(wrong.shape)))):
            make(model)(wrong)


@pytest.mark.parametrize("model", MODELS)
def test_learned_initial_slots_are_trained_and_as_many_as_in_training(model: str) -> None:
    learned, inputs = MODELS[model][0](initial_slots="learned"), draw(model, 2)
    attention = learned.slot_attention
    given = learned(inputs, slots=attention.slots_mu.expand(2, -1, -1))
    assert torch.equal(learned(inputs).slots, given.slots)
    assert torch.equal(attention.initial_slots(torch.randn(2, *attention.slots_mu.shape[1:]))[0], attention.slots_mu[0])
    given.slots.square().sum().backward()
    assert attention.slots_mu.grad is not None
    assert (attention.slots_mu.grad.abs().sum(dim=-1) > 0).all()
    with pytest.raises(ValueError, match=r"3 initial slots are learned: for 5 give slots, \(B, K, D\)"):
        learned(inputs, num_slots=5)
    more = torch.randn(2, 5, attention.slots_mu.shape[-1])
    assert learned(inputs, slots=more).slots.shape == more.shape


@pytest.mark.parametrize("model", MODELS)
def test_initial_slots_are_the_paper_s_unless_asked_for(model: str) -> None:
    assert make(model).slot_attention.slots_log_sigma is not None
    assert MODELS[model][0](initial_slots="gaussian").state_dict().keys() == make(model).state_dict().keys()
    with pytest.raises(ValueError, match="initial_slots must be 'gaussian' or 'learned', got 'fixed'"):
        MODELS[model][0](initial_slots="fixed")


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("model", MODELS)
def test_made_without_memory_and_reset_it_is_as_new(model: str, normalization: str) -> None:
    new, reset = make(model, normalization), made_without_memory(lambda: make(model, normalization))
    for (name, expected), got in zip(states(new).items(), states(reset).values(), strict=True):
        if expected.unique().numel() <= 2 or name.endswith("ramps"):  # ones, zeros and what is computed
            assert torch.equal(got, expected), name
        else:
            # draws of one density with a fixed seed, a hundred and more of them or a handful
            tolerance = 0.3 if expected.numel() >= 100 else 0.9
            assert got.std().item() == pytest.approx(expected.std().item(), rel=tolerance), name
    assert all(tensor.isfinite().all() for tensor in reset(draw(model, 2)))


def states(model: SlotModel[Any]) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
