"""Initialization and bad input of SlotAttention; what it computes is in tests/conformance."""

import inspect
import math
import re

import jaxtyping
import numpy as np
import pytest
import torch

from slotnorm import NORMALIZATIONS, SlotAttention, make_normalization
from slotnorm.arguments import require_positive
from slotnorm.normalization import BatchNorm, LayerNorm, WeightedSum
from slotnorm.testing.compilation import assert_compiles, assert_exports, made_without_memory
from slotnorm.testing.references import scalar_statistics, unnormalized_codes
from tests.helpers.defaults import other_defaults

D = 64


@pytest.fixture
def module() -> SlotAttention:
    return SlotAttention(input_dim=D, slot_dim=D, num_slots=7)


def test_parameter_count_of_the_paper_sizes(module):
    norms, maps, gru = 3 * 2 * D, 3 * D * D, 2 * 3 * D * D + 2 * 3 * D
    mlp = D * 128 + 128 + 128 * D + D
    assert sum(p.numel() for p in module.parameters()) == norms + maps + gru + mlp + 2 * D


@pytest.mark.parametrize("name", ["to_q", "to_k", "to_v"])
def test_maps_are_glorot_uniform_and_free_of_bias(module, name):
    linear = getattr(module, name)
    bound = math.sqrt(6 / (D + D))
    assert linear.bias is None
    assert 0.98 * bound < linear.weight.abs().max() <= bound  # 4,096 draws come close to the bound


def test_gru_kernels(module):
    bound = math.sqrt(6 / (D + 3 * D))
    assert 0.98 * bound < module.gru.weight_ih.abs().max() <= bound
    torch.testing.assert_close(module.gru.weight_hh.T @ module.gru.weight_hh, torch.eye(D), atol=1e-5, rtol=0)
    assert module.gru.bias_ih.abs().sum() + module.gru.bias_hh.abs().sum() == 0


@pytest.mark.parametrize("name", ["slots_mu", "slots_log_sigma"])
def test_initial_slot_parameters_have_the_torch_glorot_bound(module, name):
    parameter = getattr(module, name)
    assert parameter.shape == (1, 1, D)
    assert 0.8 * math.sqrt(3 / D) < parameter.abs().max() <= math.sqrt(3 / D)  # 64 draws


def unchecked(function):
    """As users call it: the tests' run-time check of types and shapes, which would speak first, is taken off."""
    return inspect.unwrap(function)


def test_initial_slots_are_gaussian_around_mu(module):
    with torch.no_grad():
        module.slots_mu.fill_(2.0)
        module.slots_log_sigma.fill_(math.log(0.5))
    slots = module._initial_slots(torch.zeros(50, 1, D), 20, None, torch.Generator().manual_seed(0))
    assert slots.mean().item() == pytest.approx(2.0, abs=0.01)  # 64,000 draws: standard error 0.002
    assert slots.std().item() == pytest.approx(0.5, abs=0.01)


def learned(**arguments) -> SlotAttention:
    return SlotAttention(D, D, num_slots=3, initial_slots="learned", **arguments).double()


def test_learned_initial_slots_are_one_parameter_for_each_and_the_same_for_every_example():
    module = learned()
    assert {name for name, _ in module.named_parameters() if name.startswith("slots_")} == {"slots_mu"}
    assert module.slots_mu.std().item() == pytest.approx(1, abs=0.2)  # 192 draws: standard error 0.05
    inputs = torch.randn(1, 5, D).double().expand(2, 5, D)
    slots, _ = module(inputs)
    given, _ = module(inputs, slots=module.slots_mu.expand(2, 3, D))
    assert torch.equal(slots, given)
    assert not torch.allclose(slots[0, 0], slots[0, 1])
    slots.sum().backward()
    assert (module.slots_mu.grad.abs().sum(-1) > 0).all()


def test_another_number_of_learned_initial_slots_has_to_be_given():
    module, inputs = learned(), torch.zeros(2, 5, D).double()
    for call in ({"num_slots": 5}, {"num_slots": 2, "generator": 0}):
        with pytest.raises(ValueError, match=f"3 initial slots are learned: for {call['num_slots']} give slots"):
            module(inputs, **call)
    more = torch.cat([module.slots_mu, torch.randn(1, 2, D)], dim=1).expand(2, 5, D)
    assert module(inputs, slots=more)[0].shape == (2, 5, D)


def test_learned_initial_slots_compile_are_exported_and_reset():
    calls = [(torch.randn(B, 5, D).double(), {}) for B in (2, 4)]
    assert_compiles(learned(), calls, backend="eager")
    assert_exports(learned(), *calls)
    assert made_without_memory(learned).slots_mu.isfinite().all()


def test_an_unknown_kind_of_initial_slots_is_refused():
    with pytest.raises(ValueError, match="initial_slots must be 'gaussian' or 'learned', got 'fixed'"):
        SlotAttention(4, 4, 3, initial_slots="fixed")


def test_with_a_seed_no_output_depends_on_the_batch_or_on_the_state_of_the_generator(module):
    inputs = torch.randn(4, 5, D)
    outputs = module(inputs, generator=3)[0]
    state = torch.get_rng_state()
    torch.testing.assert_close(module(inputs[2:3], generator=3)[0], outputs[2:3], rtol=1e-5, atol=1e-5)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.allclose(module(inputs, generator=4)[0], outputs)
    other = torch.Generator().manual_seed(3)
    drawn = module.initial_slots(torch.randn(7, D, generator=other).expand(4, 7, D))
    assert torch.equal(module(inputs, slots=drawn)[0], outputs)


def test_with_a_seed_no_output_depends_on_torchs_defaults_or_on_the_seeds_type(module, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    inputs = torch.randn(2, 5, D)
    expected, _ = module(inputs, generator=3)
    with other_defaults():
        assert torch.equal(module(inputs, generator=3)[0], expected)
    assert torch.equal(module(inputs, generator=np.int64(3))[0], expected)
    with pytest.raises(ValueError, match=r"generator must be a whole number, got 3\.0"):
        module(inputs, generator=3.0)


@pytest.mark.parametrize("value", [3.0, True, "3", None])
def test_sizes_that_are_not_whole_numbers_are_refused_by_name(value, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=f"hidden_dim must be a whole number, got {value!r}"):
        require_positive(input_dim=np.int64(4), slot_dim=torch.tensor(4), hidden_dim=value)


@pytest.mark.parametrize("argument", ["input_dim", "slot_dim", "num_slots", "iterations", "hidden_dim"])
def test_sizes_below_one_are_refused_by_name(argument):
    sizes = {"input_dim": 4, "slot_dim": 4, "num_slots": 3, argument: 0}
    with pytest.raises(ValueError, match=f"{argument} must be at least 1, got 0"):
        SlotAttention(**sizes)


@pytest.mark.parametrize("argument", ["num_slots", "iterations"])
def test_counts_below_one_are_refused_at_a_call(module, argument):
    with pytest.raises(ValueError, match=f"{argument} must be at least 1, got 0"):
        module(torch.zeros(1, 2, D), **{argument: 0})


@pytest.mark.parametrize(
    ("num_slots", "shape", "asked"),
    [(5, (1, 4, D), "1, 5"), (None, (1, 0, D), "1, K"), (None, (D,), "1, K"), (None, (2, 4, D), "1, 4")],
)
def test_initial_slots_of_another_shape_are_refused(module, num_slots, shape, asked):
    with pytest.raises(ValueError, match=re.escape(f"initial slots must have shape ({asked}, {D}), got {shape}")):
        unchecked(SlotAttention.forward)(module, torch.zeros(1, 2, D), num_slots=num_slots, slots=torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, D), (2, 0, D), (2, 5, D - 1)])
def test_inputs_without_a_batch_without_a_token_or_of_another_dimension_are_refused(module, shape):
    with pytest.raises(ValueError, match=re.escape(f"(B, N, {D}) with N at least 1, got {shape}")):
        unchecked(SlotAttention.forward)(module, torch.zeros(shape))


@pytest.mark.parametrize("mask", [torch.ones(1, 3, dtype=torch.bool), torch.ones(2, 2).bool(), torch.ones(1, 2)])
def test_a_mask_of_another_shape_or_type_is_refused(module, mask):
    with pytest.raises(ValueError, match=re.escape("mask must be bool of shape (1, 2), true where there is a token")):
        unchecked(SlotAttention.forward)(module, torch.zeros(1, 2, D), mask=mask)


class Doubled(torch.nn.Module):
    """A map of one's own, which has no weight."""

    def forward(self, tokens):
        return 2 * tokens


@pytest.mark.parametrize("name", ["to_q", "to_k", "to_v", "norm_inputs", "norm_slots", "norm_mlp", "mlp"])
def test_a_part_can_be_replaced_by_a_module_without_weights(module, name):
    setattr(module, name, Doubled())
    module.reset_parameters()
    assert module(torch.randn(2, 5, D, dtype=torch.float64))[0].isfinite().all()


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_reset_restores_norms_and_normalization(name):
    module = SlotAttention(D, D, 3, normalization=name)
    new = {key: value.clone() for key, value in module.state_dict().items() if "norm" in key}
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(7.0)
    module.reset_parameters()
    torch.testing.assert_close({key: module.state_dict()[key] for key in new}, new, rtol=0, atol=0)


def test_a_normalization_that_is_handed_over_keeps_its_values():
    own = BatchNorm(D)
    own.running_mean.fill_(3.0)
    assert SlotAttention(D, D, 3, normalization=own).normalization.running_mean == 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_inputs_and_slots_of_another_type_are_taken(module, dtype):
    slots, attention = module(torch.randn(1, 2, D, dtype=dtype), slots=torch.randn(1, 3, D, dtype=dtype))
    assert slots.dtype == attention.dtype == torch.float32


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_shapes_can_be_had_without_memory(name):
    module = SlotAttention(D, D, 3, normalization=name).to("meta")
    slots, attention = module(torch.zeros(2, 5, D, device="meta"))
    assert (slots.shape, attention.shape) == ((2, 3, D), (2, 3, 5))


def test_an_unknown_normalization_lists_those_that_exist():
    with pytest.raises(ValueError, match="unknown normalization 'mean'.*" + ", ".join(NORMALIZATIONS)):
        SlotAttention(4, 4, 3, normalization="mean")


@pytest.mark.parametrize("normalization", [torch.nn.Identity(), WeightedSum, None, ["weighted_sum"]])
def test_what_is_neither_name_nor_normalization_is_refused(normalization):
    with pytest.raises(ValueError, match="normalization must be a name or a slotnorm"):
        unchecked(make_normalization)(normalization, 4)


@pytest.mark.parametrize(("shape", "correction"), [((0, 3, 5), 0), ((1, 1, 5), 1)])
def test_a_batch_without_a_variance_leaves_the_moving_average(shape, correction):
    norm = BatchNorm(1, correction=correction)
    codes, _ = norm(torch.randn(shape[0], 5, 1), torch.rand(shape))
    assert codes.shape == (*shape[:2], 1)
    assert (norm.running_mean.item(), norm.running_var.item()) == (0, 1)


def test_a_normalization_of_ones_own_is_taken_as_it_is():
    own = WeightedSum(4, scale=3.0)
    assert SlotAttention(4, 4, 3, normalization=own).normalization is own


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match="scale must be positive"):
        WeightedSum(4, scale=scale)


def test_batch_norm_variance_as_equation_12_prints_it():
    values, attention = torch.randn(2, 5, 4).double(), torch.randn(2, 3, 5).double().softmax(1)
    unbiased = BatchNorm(4, correction=1).double()
    codes = unnormalized_codes(values, attention.mT)
    mean, var = scalar_statistics(codes, correction=1)
    updates, _ = unbiased(values, attention)
    torch.testing.assert_close(updates, (codes - mean) / math.sqrt(var + 1e-5), rtol=1e-12, atol=1e-12)


def test_representations_tell_the_settings():
    assert repr(make_normalization("unnormalized", 4)) == "WeightedSum(scale=1.0)"
    assert repr(make_normalization("batch_norm", 4)) == "BatchNorm(eps=1e-05, momentum=0.1, correction=0)"


@pytest.mark.parametrize(("tokens", "value"), [(65_536, 1.0), (16_384, 6.0)])
def test_layer_norm_in_half_precision_bears_sums_of_many_tokens(tokens, value):
    """The sum, in single precision, is larger than half precision can hold."""
    values = torch.linspace(value, value + 0.5, 4).half().expand(1, tokens, 4)
    attention = torch.ones(1, 1, tokens, dtype=torch.float16)
    codes, _ = LayerNorm(4).half()(values, attention)
    torch.testing.assert_close(codes, LayerNorm(4)(values.float(), attention.float())[0])  # float32
