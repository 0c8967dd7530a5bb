"""Trained baselines with scaled codes: the codes that the paper's text describes, on the same scenes and slots."""

import pytest
import torch

from slotnorm import SlotAttention
from slotnorm_book.analyses.code_lengths import evaluate_with_scaled_codes, with_scaled_codes
from slotnorm_book.claims.beyond import gains_of_scaled_codes
from slotnorm_book.experiments.engine import Execution
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import Results, collect
from slotnorm_book.experiments.run_store import RunStore


def make() -> SlotAttention:
    torch.manual_seed(0)
    return SlotAttention(4, 4, num_slots=3, hidden_dim=6).double().eval()


def test_one_iteration_is_the_baseline_s_with_its_codes_multiplied() -> None:
    module, inputs, slots = make(), torch.randn(2, 9, 4).double(), torch.randn(2, 5, 4).double()
    keys, values = module.keys_and_values(inputs)
    attention = module.attend(slots, keys)
    means = torch.stack([attention[:, k] @ values / attention[:, k].sum(dim=1)[:, None, None] for k in range(5)], dim=1)
    means = torch.stack([means[b, :, b] for b in range(2)])
    got, _ = with_scaled_codes(module)(inputs, slots=slots, iterations=1)
    torch.testing.assert_close(got, module.update(slots, means * 3 / 5), rtol=1e-6, atol=1e-6)  # eps of the mean, 1e-8
    assert not torch.allclose(got, module(inputs, slots=slots, iterations=1)[0])


def test_with_the_slots_of_the_training_nothing_changes_and_the_trained_module_stays() -> None:
    module, inputs, slots = make(), torch.randn(2, 9, 4).double(), torch.randn(2, 3, 4).double()
    before = module(inputs, slots=slots)
    torch.testing.assert_close(with_scaled_codes(module)(inputs, slots=slots), before, rtol=0, atol=0)
    torch.testing.assert_close(module(inputs, slots=slots), before, rtol=0, atol=0)


@pytest.mark.slow
def test_only_baselines_are_evaluated_and_pairs_are_whole(tmp_path) -> None:
    few = recipe("clevr-6-7", "smoke").select(slots=[5, 7, 21])
    results = collect(few, RunStore(tmp_path), "train", Execution(torch.device("cpu")))
    table = evaluate_with_scaled_codes(results, results.recipe.tests[-1], scenes=64)
    assert set(table["variant"]) == {"weighted_mean", "scaled_mean"}
    assert set(table["test"]) == {"CLEVR10"}
    gains = gains_of_scaled_codes(table)
    assert len(gains) == 3 * 3
    assert (gains.loc[gains["slots"] == 7, ["f_ari", "found_objects"]] == 0).all(axis=None)
    plain = table[table["variant"] == "weighted_mean"].set_index(["slots", "scene_id"])["f_ari"]
    recorded = results.scenes[(results.scenes["variant"] == "weighted_mean") & (results.scenes["test"] == "CLEVR10")]
    same = recorded.set_index(["slots", "scene_id"])["f_ari"].loc[plain.index]
    assert plain.to_numpy() == pytest.approx(same.to_numpy(), abs=1e-6)  # records have seven digits


def test_nothing_to_evaluate_is_empty() -> None:
    nothing = Results(recipe("clevr-6-7", "smoke"), (), ())
    assert evaluate_with_scaled_codes(nothing, nothing.recipe.tests[-1], scenes=3).empty
