"""What details change: on modules where it is known, and on tables made by hand."""

from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from slotnorm import SlotAttention, make_normalization
from slotnorm.tasks import FeatureDiscovery
from slotnorm.training.spec import Data, Optimizer, RunSpec, Schedule
from slotnorm_book.analyses.paper_versus_code import (
    COLUMNS,
    count_runs_text,
    count_with_weights,
    effect_at_inference,
    effect_in_training,
    effect_of_nearest_scaling,
    largest_change_text,
    median_seed_difference,
    use_scaled_mean,
    use_tensorflow_eps,
    use_unbiased_variance,
)
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import Results, collect
from slotnorm_book.experiments.run_store import RunStore
from slotnorm_book.figures.paper_versus_code import draw_changes
from tests.helpers import tiny


def model(variant: str) -> SimpleNamespace:
    return SimpleNamespace(slot_attention=SlotAttention(4, 4, num_slots=3, hidden_dim=6, normalization=variant).eval())


def spec(num_slots: int = 3) -> RunSpec:
    task = FeatureDiscovery(4, 4, num_slots, slot_dim=4, decoder_dim=4, hidden_dim=4)
    return RunSpec(task, Data("toy", "train", None), "batch_norm", 0, Schedule(), Optimizer(), 2, "fp32")


def test_the_scaled_mean_is_the_mean_at_the_slots_of_the_training_and_shorter_with_more():
    changed = model("weighted_mean")
    use_scaled_mean(changed, spec(num_slots=3))
    values = torch.randn(2, 9, 4)
    for slots, factor in ((3, 1.0), (6, 0.5)):
        attention = torch.rand(2, slots, 9).softmax(dim=1)
        plain, _ = make_normalization("weighted_mean", 4)(values, attention)
        got, _ = changed.slot_attention.normalization(values, attention)
        torch.testing.assert_close(got, factor * plain, rtol=0, atol=0)  # factors are powers of two


def test_tensorflows_epsilon_reaches_all_three_layer_norms():
    changed = model("weighted_mean")
    use_tensorflow_eps(changed, spec())
    norms = [part for part in changed.slot_attention.modules() if isinstance(part, torch.nn.LayerNorm)]
    assert [norm.eps for norm in norms] == [1e-3] * 3


def test_the_unbiased_variance_is_that_of_torch():
    changed, codes = model("batch_norm"), torch.randn(2, 3, 4)
    norm = changed.slot_attention.normalization
    norm.running_var.copy_(codes.var(correction=0))
    use_unbiased_variance(changed, spec())
    torch.testing.assert_close(norm.running_var, codes.var(correction=1))


def scenes(values: dict[tuple[str, int, int], float]) -> pd.DataFrame:
    rows = [(*key, "MOVi-C10", value) for key, value in values.items()]
    return pd.DataFrame(rows, columns=["variant", "seed", "slots", "test", "f_ari"])


def results(values: dict[tuple[str, int, int], float]) -> Results:
    made = Results(recipe("movi-c-6-7", "smoke"), (), ())
    made.__dict__["scenes"] = scenes(values)  # where cached_property keeps it
    return made


def test_pairs_are_of_one_variant_and_seed():
    plain = results({("weighted_mean", 0, 7): 0.5, ("weighted_mean", 1, 7): 0.4, ("weighted_sum", 0, 7): 0.3})
    changed = results({("weighted_mean", 1, 7): 0.6, ("weighted_sum", 2, 7): 0.9})
    pairs = effect_in_training(plain, {"no clipping": changed}, "MOVi-C10", [7])
    assert pairs.to_dict("records") == [
        {"detail": "no clipping", "variant": "weighted_mean", "seed": 1, "slots": 7, "plain": 0.4, "changed": 0.6}
    ]
    assert largest_change_text(pairs, "no clipping") == "+0.2 in one run"
    assert largest_change_text(pairs, "another") == "(not run)"


def test_found_objects_are_compared_like_f_ari():
    plain, changed = results({("weighted_sum", 0, 7): 0.6}), results({("weighted_sum", 0, 7): 0.5})
    for made, blind in ((plain, 0.5), (changed, 0.25)):
        made.__dict__["scenes"] = made.scenes.assign(blind_f_ari=blind)
    pairs = effect_in_training(plain, {"no clipping": changed}, "MOVi-C10", [7], measure="found_objects")
    assert pairs[["plain", "changed"]].to_numpy().tolist() == [[pytest.approx(0.1), pytest.approx(0.25)]]
    fig = draw_changes(effect_in_training(plain, {"no clipping": changed}, "MOVi-C10", [7]), pairs)
    assert [ax.get_xlabel() for ax in fig.axes] == ["change of F-ARI", "change of found objects"]
    assert [float(ax.lines[0].get_xdata()[0]) for ax in fig.axes] == pytest.approx([-0.1, 0.15])
    plt.close(fig)


def test_a_slot_count_that_was_not_evaluated_is_left_out():
    plain = results({("weighted_mean", seed, 5): 0.5 + seed / 10 for seed in (0, 1)})
    changed = results({("weighted_mean", 0, 5): 0.6, ("weighted_mean", 0, 7): 0.1})
    assert effect_in_training(plain, {"no clipping": changed}, "MOVi-C10", [5, 7])["slots"].tolist() == [5]
    assert median_seed_difference(plain, "MOVi-C10", [5, 7]) == pytest.approx(0.1)


def test_the_largest_changes_are_told_from_run_to_run():
    """Per run the larger of two slot counts: +0.07, -0.02 and 0.01, whatever the order of the rows."""
    changes = {(0, 7): 0.0, (1, 7): 0.01, (2, 7): 0.01, (0, 21): 0.07, (1, 21): -0.02, (2, 21): -0.001}
    rows = [("scaled mean", "weighted_mean", seed, slots, 0.4, 0.4 + gain) for (seed, slots), gain in changes.items()]
    pairs = pd.DataFrame([*rows, ("other", "weighted_sum", 0, 7, 0.4, 0.4)], columns=COLUMNS)
    assert largest_change_text(pairs.set_index(pairs.index % 2), "scaled mean") == "-0.02 to +0.07 over 3 runs"
    told = count_runs_text(pairs, {"weighted_mean": "Baseline"})
    assert told == "scaled mean: 3 of Baseline; other: 1 of weighted_sum"
    assert largest_change_text(pairs, "other") == "0 in one run"
    assert count_runs_text(pairs.iloc[:0], {}) == "not run"


def test_seeds_are_compared_within_a_variant():
    several = results({("weighted_mean", 0, 7): 0.5, ("weighted_mean", 1, 7): 0.4, ("weighted_sum", 0, 7): 0.9})
    assert median_seed_difference(several, "MOVi-C10", [7]) == pytest.approx(0.1)
    assert np.isnan(median_seed_difference(results({("weighted_sum", 0, 7): 0.9}), "MOVi-C10", [7]))


def test_without_runs_the_tables_are_empty_and_have_their_columns():
    empty = Results(recipe("movi-c-6-7", "smoke"), (), ())
    test = empty.recipe.tests[-1]
    assert list(effect_at_inference(empty, test, scenes=2, slots=[7])) == COLUMNS
    assert effect_in_training(empty, {"no clipping": empty}, test.label, [7]).empty


def test_nearest_and_bilinear_pictures_are_compared_on_the_same_scenes(tmp_path):
    store = RunStore(tmp_path)
    made = collect(recipe("clevr-6-7", "smoke").select(["weighted_mean"], [0]), store, "train", tiny.QUIET)
    test = made.recipe.tests[-1]
    found = effect_of_nearest_scaling(made, test, scenes=2, slots=[3, 5])
    assert list(found) == COLUMNS
    assert found["slots"].tolist() == [3, 5]
    assert found[["plain", "changed"]].notna().all(axis=None)
    assert count_with_weights(made) == "1 of 1 runs at smoke scale"
    bare = replace(made.runs[0], files={})
    assert count_with_weights(replace(made, runs=(bare,), missing=(bare.spec,))) == "0 of 2 runs at smoke scale"
    assert effect_of_nearest_scaling(Results(made.recipe, (), ()), test, scenes=2, slots=[3]).empty
