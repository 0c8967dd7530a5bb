"""The mixture weight given back to trained models, against loops and on modules where it is known."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from slotnorm import SlotAttention
from slotnorm_book.analyses.mixture_weights import (
    MixtureWeightedAttention,
    _measure_run,
    correlation_table,
    estimate_mixture_weights,
    evaluate_with_mixture_weights,
    measure_learned_weights,
    reweight_attention,
    summarize_recovery,
)
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import Results

VARIANTS = ("weighted_mean", "layer_norm", "weighted_sum", "weighted_sum@0.25", "batch_norm", "unnormalized")


def make(variant: str) -> tuple[SlotAttention, torch.Tensor, torch.Tensor]:
    """A module whose LayerNorm has moved from its initial values, as training moves it."""
    torch.manual_seed(0)
    module = SlotAttention(4, 4, num_slots=3, hidden_dim=6, normalization=variant).double().eval()
    torch.nn.init.normal_(module.norm_inputs.weight)
    torch.nn.init.normal_(module.norm_inputs.bias)
    g = torch.Generator().manual_seed(1)
    return module, torch.randn(2, 9, 4, generator=g).double(), torch.randn(2, 3, 4, generator=g).double()


def test_the_weight_multiplies_the_attention():
    attention = torch.tensor([[[0.5, 0.2], [0.5, 0.8]]])
    expected = torch.tensor([[[0.25, 0.2 * 0.25 / (0.2 * 0.25 + 0.8 * 0.75)], [0.75, 0.6 / 0.65]]])
    torch.testing.assert_close(reweight_attention(attention, torch.tensor([[0.25, 0.75]]), 1.0), expected)
    torch.testing.assert_close(reweight_attention(attention, torch.tensor([[0.25, 0.75]]), 0.0), attention)


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_strength_nothing_changes(variant):
    module, inputs, slots = make(variant)
    for got, expected in zip(
        MixtureWeightedAttention(module, 0.0)(inputs, None, 4, slots),
        module(inputs, slots=slots, iterations=4),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)  # float64, a logarithm and back


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_first_iteration_is_left_as_it_is_and_the_second_is_eq_5(variant):
    module, inputs, slots = make(variant)
    keys, values = module.keys_and_values(inputs)
    first = module.attend(slots, keys)
    _, one = MixtureWeightedAttention(module, 1.0)(inputs, None, 1, slots)
    torch.testing.assert_close(one, first)
    codes, _ = module.normalization(values, first, None)
    scores = module.to_q(module.norm_slots(module.update(slots, codes))) @ keys.mT / 2  # the square root of D = 4
    weighed = torch.zeros_like(first)
    for b in range(2):
        for n in range(9):
            terms = [first[b, k].mean() * scores[b, k, n].exp() for k in range(3)]
            for k in range(3):
                weighed[b, k, n] = terms[k] / sum(terms)
    _, two = MixtureWeightedAttention(module, 1.0)(inputs, None, 2, slots)
    torch.testing.assert_close(two, weighed, rtol=1e-8, atol=1e-8)  # float64, through Prop. 2 where codes hold it


@pytest.mark.parametrize("variant", ["weighted_sum", "weighted_sum@0.25"])
def test_the_weights_of_a_weighted_sum_come_from_its_codes_alone(variant):
    module, inputs, slots = make(variant)
    keys, values = module.keys_and_values(inputs)
    attention = module.attend(slots, keys)
    codes, _ = module.normalization(values, attention, None)
    recovered = estimate_mixture_weights(module, codes, torch.full_like(attention, torch.nan))
    torch.testing.assert_close(recovered, attention.mean(dim=2), rtol=1e-9, atol=1e-9)  # float64


def test_codes_that_cannot_hold_the_weights_are_refused():
    """Five features of a token on four of a slot: Prop. 2's assumption fails, and the values fill the space."""
    torch.manual_seed(0)
    module = SlotAttention(5, 4, num_slots=3, normalization="weighted_sum").double()
    with pytest.raises(ValueError, match="contains the origin"):
        estimate_mixture_weights(module, torch.zeros(1, 3, 4).double(), torch.ones(1, 3, 9).double() / 3)


def test_nothing_to_show_is_empty():
    nothing = Results(recipe("many-slots", "smoke"), (), ())
    (test,) = nothing.recipe.tests
    assert evaluate_with_mixture_weights(nothing, test, scenes=2, slots=[3], strengths=[1.0]).empty
    assert measure_learned_weights(nothing, test, scenes=2, slots=3).empty
    assert list(correlation_table(pd.DataFrame(), {}).columns) == ["variant", "runs", "correlation"]
    assert summarize_recovery(pd.DataFrame()) == (None, "(not run)")


def test_the_table_tells_median_and_range():
    learned = pd.DataFrame(
        {"variant": ["a"] * 3, "correlation": [0.1, 0.5, 0.3], "recovery_error": [np.nan, 2e-6, 1e-6], "offset": 0.04}
    )
    assert correlation_table(learned, {"a": "A"}).iloc[0].tolist() == ["A", 3, "0.30 (0.10 to 0.50)"]
    assert summarize_recovery(learned) == (2e-6, "0.04")


def test_runs_without_a_correlation_are_not_counted():
    learned = pd.DataFrame({"variant": ["a", "a", "a", "b"], "correlation": [0.1, np.nan, 0.5, np.nan]})
    assert correlation_table(learned, {}).to_numpy().tolist() == [
        ["a", 2, "0.30 (0.10 to 0.50)"],
        ["b", 0, "unknown"],
    ]


@torch.no_grad()
def test_the_correlation_is_computed_in_double_precision_where_a_short_offset_of_the_keys_counts():
    module, inputs, slots = make("weighted_mean")
    single, noise = copy.deepcopy(module).float(), slots.float()
    measured = _measure_run(single, inputs.float(), noise, 3)
    exact = _measure_run(copy.deepcopy(single).double(), inputs.float().double(), noise.double(), 3)
    assert measured["correlation"] == pytest.approx(exact["correlation"], abs=1e-12)  # both in double precision
