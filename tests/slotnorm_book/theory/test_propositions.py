"""Lemmas 1-3, Eq. 6, Propositions 1 and 2, and the mixture inside Slot Attention."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from slotnorm import SlotAttention
from slotnorm.normalization import LayerNorm, WeightedSum
from slotnorm_book.theory import vmf
from slotnorm_book.theory.em import e_step, m_step
from slotnorm_book.theory.em_in_slot_attention import embed
from slotnorm_book.theory.propositions import (
    AffineSubspace,
    affine_subspace,
    factorize_attention,
    identical_slots,
    layer_norm_hull,
    recover_column_means,
    update_codes,
)
from slotnorm_book.theory.random_instances import random_mixture, random_slot_attention, random_slots, random_tokens

DOUBLE = torch.float64
EXACT = 1e-9  # double precision, amplified by sums over tokens and by the inverse of |a|

seeds = st.integers(0, 2**31).map(lambda seed: torch.Generator().manual_seed(seed))


def test_lemma_1_by_hand() -> None:
    # D = 2, alpha = (1, 2), beta = (0, 4): the line (t, 4 - 2 t), nearest to the origin at (1.6, 0.8)
    norm = nn.LayerNorm(2).double().requires_grad_(False)
    norm.weight.copy_(torch.tensor([1.0, 2.0]))
    norm.bias.copy_(torch.tensor([0.0, 4.0]))
    hull = layer_norm_hull(norm)
    assert hull.rank == 1
    assert hull.offset.tolist() == pytest.approx([1.6, 0.8])
    assert abs(hull.basis[1, 0] / hull.basis[0, 0]).item() == pytest.approx(2)
    assert hull.distance(torch.zeros(2, dtype=DOUBLE)).item() == pytest.approx(math.sqrt(3.2))


@given(generator=seeds, dim=st.integers(2, 40))
def test_lemma_2_offset_is_orthogonal_and_does_not_depend_on_the_point(generator: torch.Generator, dim: int) -> None:
    span = torch.randn(dim, dim - 1, dtype=DOUBLE, generator=generator)
    point = torch.randn(dim, dtype=DOUBLE, generator=generator)
    one = affine_subspace(point, span)
    other = affine_subspace(
        point + span @ torch.randn(dim - 1, dtype=DOUBLE, generator=generator), span @ span.T @ span
    )
    assert one.rank == other.rank == dim - 1
    assert (one.basis.T @ one.offset).abs().max() < 1e-14 * dim
    assert torch.allclose(one.offset, other.offset, atol=1e-6)  # span cubed has the condition number cubed
    assert torch.allclose(one.basis @ one.basis.T, other.basis @ other.basis.T, atol=1e-6)


@given(generator=seeds, dim=st.integers(2, 40))
def test_lemma_3_keys_and_values_lie_in_a_hyperplane_off_the_origin(generator: torch.Generator, dim: int) -> None:
    module = random_slot_attention(dim, generator)
    tokens = random_tokens(30, dim, generator)
    for linear, outputs in zip((module.to_k, module.to_v), module.keys_and_values(tokens), strict=True):
        hull = layer_norm_hull(module.norm_inputs, linear)
        assert hull.rank == dim - 1
        assert hull.offset.norm() > 0
        assert hull.distance(outputs).max() < EXACT


def test_the_null_set_of_lemma_3_holds_the_initialization_and_one_step_leaves_it() -> None:
    module = SlotAttention(16, 16, num_slots=4, normalization="weighted_sum")
    assert layer_norm_hull(module.norm_inputs, module.to_v).offset.norm() == 0
    slots, _ = module(torch.randn(2, 20, 16))
    slots.square().sum().backward()
    with torch.no_grad():
        for parameter in (module.norm_inputs.bias, module.to_v.weight):
            parameter -= 1e-3 * parameter.grad
    assert layer_norm_hull(module.norm_inputs, module.to_v).offset.norm() > 0


def test_values_of_more_dimensional_tokens_leave_no_offset(generator: torch.Generator) -> None:
    """Prop. 2 asks for D_input = D; with more input features the values fill all of the slot space."""
    norm, linear = nn.LayerNorm(8).double(), nn.Linear(8, 6, bias=False).double()
    nn.init.normal_(norm.bias, generator=generator)
    hull = layer_norm_hull(norm, linear)
    assert hull.rank == 6
    assert hull.offset.norm() == 0


@given(generator=seeds, num_slots=st.integers(1, 32), num_inputs=st.integers(1, 100))
def test_eq_6_equals_eq_2(generator: torch.Generator, num_slots: int, num_inputs: int) -> None:
    module = random_slot_attention(12, generator)
    tokens, slots = random_tokens(num_inputs, 12, generator), random_slots(num_slots, 12, generator)
    _, attention = update_codes(module, tokens, slots)
    factors = factorize_attention(module, tokens, slots)
    assert (factors.attention - attention).abs().max() < EXACT
    assert factors.slot_weights.sum().item() == pytest.approx(1)


def test_the_data_term_does_not_feel_the_offset(generator: torch.Generator) -> None:
    """Moving the slot factor alone multiplies the odds of two slots by the same number at every token."""
    module = random_slot_attention(12, generator)
    tokens, slots = random_tokens(20, 12, generator), random_slots(2, 12, generator)
    factors = factorize_attention(module, tokens, slots)
    data = factors.data_logits.softmax(dim=1)
    odds = (factors.attention[0, 0] / factors.attention[0, 1]) / (data[0, 0] / data[0, 1])
    assert torch.allclose(odds, odds[0].expand(20), rtol=EXACT)
    assert not torch.allclose(odds[0], torch.ones((), dtype=DOUBLE))


@given(generator=seeds, num_slots=st.integers(2, 40), num_inputs=st.integers(1, 100))
def test_prop_1_equal_codes_with_different_column_means(
    generator: torch.Generator, num_slots: int, num_inputs: int
) -> None:
    module = random_slot_attention(12, generator, "weighted_mean")
    tokens = random_tokens(num_inputs, 12, generator)
    slot = random_slots(1, 12, generator)[0, 0]
    alone, attention_alone = update_codes(module, tokens, identical_slots(slot, 1))
    shared, attention_shared = update_codes(module, tokens, identical_slots(slot, num_slots))
    assert torch.allclose(shared, alone.expand_as(shared), rtol=0, atol=EXACT)
    assert attention_alone.mean().item() == pytest.approx(1)
    assert attention_shared.mean(dim=2)[0].tolist() == pytest.approx([1 / num_slots] * num_slots)


def test_prop_1_for_layer_norm_holds_up_to_its_eps(generator: torch.Generator) -> None:
    """Eq. 14's eps lets through a trace of the sum's size, in proportion to eps; without it the codes are equal."""
    tokens = random_tokens(64, 12, generator)
    gaps = []
    for eps in (0.0, 1e-5, 1e-4):
        module = random_slot_attention(12, torch.Generator().manual_seed(1), LayerNorm(12, eps=eps))
        alone, _ = update_codes(module, tokens, identical_slots(torch.zeros(12, dtype=DOUBLE), 1))
        shared, _ = update_codes(module, tokens, identical_slots(torch.zeros(12, dtype=DOUBLE), 8))
        gaps.append((shared - alone).abs().max().item())
    assert gaps[0] < 1e-12
    assert gaps[1] > 1e-9
    assert gaps[2] / gaps[1] == pytest.approx(10, rel=0.01)  # first order in eps


@given(
    generator=seeds,
    num_slots=st.integers(1, 40),
    num_inputs=st.integers(1, 200),
    scale=st.one_of(st.none(), st.floats(0.1, 1e4)),
)
def test_prop_2_recovers_the_column_means_for_every_scale(
    generator: torch.Generator, num_slots: int, num_inputs: int, scale: float | None
) -> None:
    module = random_slot_attention(12, generator, WeightedSum(12, scale))
    tokens, slots = random_tokens(num_inputs, 12, generator), random_slots(num_slots, 12, generator)
    codes, attention = update_codes(module, tokens, slots)
    hull = layer_norm_hull(module.norm_inputs, module.to_v)
    found = recover_column_means(codes, hull, 1.0 if scale is None else scale / num_inputs)
    # rounding is amplified by the length of the values over that of a
    amplification = module.keys_and_values(tokens)[1].abs().max() / hull.offset.norm()
    assert (found - attention.mean(dim=2)).abs().max() < 1e-12 * (1 + amplification)


def test_prop_2_says_where_there_is_no_such_function() -> None:
    with pytest.raises(ValueError, match="contains the origin"):
        recover_column_means(torch.ones(1, 2, 3), AffineSubspace(torch.zeros(3), torch.eye(3)[:, :2]))


@pytest.mark.parametrize("slot_dim", [6, 8, 32])
def test_slot_attention_computes_em(slot_dim: int, generator: torch.Generator) -> None:
    mixture = random_mixture(6, 3, 0.1, generator)
    points, _ = mixture.sample(200, generator)
    embedded = embed(3, 0.1, slot_dim)
    new, attention = embedded.step(points, mixture)
    gamma = e_step(points, mixture)
    expected = m_step(points, gamma, mixture)
    # double precision; the slots' spare coordinate is some forty times the others
    assert (attention[0].T - gamma).abs().max() < 1e-12
    assert (new.weights - expected.weights).abs().max() < 1e-12
    assert (new.directions - expected.directions).abs().max() < 1e-12


def test_the_whole_module_returns_the_e_step_as_its_attention(generator: torch.Generator) -> None:
    mixture = random_mixture(4, 3, 0.1, generator)
    points, _ = mixture.sample(50, generator)
    embedded = embed(3, 0.1, 8)
    _, attention = embedded.module(embedded.tokens(points), slots=embedded.slots(mixture), iterations=1)
    assert (attention[0].T - e_step(points, mixture)).abs().max() < 1e-12


def test_the_slot_factor_is_the_mixture_weight(generator: torch.Generator) -> None:
    mixture = random_mixture(5, 3, 0.1, generator)
    embedded = embed(3, 0.1, 8)
    tokens = embedded.tokens(mixture.sample(10, generator)[0])
    factors = factorize_attention(embedded.module, tokens, embedded.slots(mixture))
    assert (factors.slot_weights[0] - mixture.weights).abs().max() < 1e-12


def test_weighted_mean_in_the_place_of_the_sum_is_em_without_weights(generator: torch.Generator) -> None:
    mixture = random_mixture(5, 3, 0.1, generator)
    points, _ = mixture.sample(100, generator)
    new, _ = embed(3, 0.1, 8, "weighted_mean").step(points, mixture)
    expected = m_step(points, e_step(points, mixture), mixture)
    assert new.weights.tolist() == pytest.approx([0.2] * 5)
    assert (new.directions - expected.directions).abs().max() < 1e-6  # eps of Eq. 4's implementation


def test_a_component_of_weight_zero_can_be_held(generator: torch.Generator) -> None:
    mixture = vmf.VonMisesFisherMixture(torch.eye(3, dtype=DOUBLE), torch.tensor([0.5, 0.5, 0.0], dtype=DOUBLE), 0.1)
    points, _ = mixture.sample(50, generator)
    new, attention = embed(3, 0.1, 8).step(points, mixture)
    assert attention[0, 2].max() < 1e-12  # exp(-40) times the ratio of two densities
    assert torch.isfinite(new.directions).all()


def test_too_few_slot_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="at least point_dim \\+ 3 = 6"):
        embed(3, 0.1, 5)
