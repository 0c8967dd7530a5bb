"""Trained baselines with scaled codes: the codes that the paper's text describes, on the same scenes and slots."""

import ast

import pandas as pd
import pytest
import torch

from slotnorm import SlotAttention
from slotnorm_book.analyses.code_lengths import evaluate_with_scaled_codes, with_scaled_codes
from slotnorm_book.chapters import Beyond
from slotnorm_book.checkout import NOTEBOOKS
from slotnorm_book.claims.beyond import gains_of_scaled_codes
from slotnorm_book.experiments.engine import Execution
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import Results, collect
from slotnorm_book.experiments.run_store import RunStore
from slotnorm_book.figures.beyond import draw_code_length_gains
from slotnorm_book.notebook_files import default_expressions


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
    table = evaluate_with_scaled_codes(nothing, nothing.recipe.tests[-1], scenes=3)
    assert table.empty
    figure = draw_code_length_gains([table, table], train_slots=7)
    assert figure.texts[0].get_text() == "no model of the baseline is in the store"


def test_the_figure_shows_what_each_measure_gains() -> None:
    keys = {"seed": 0, "scene_id": 3, "test": "CLEVR10", "agreement": 0.1}
    scores = [("weighted_mean", 0.5, 0.2), ("scaled_mean", 0.75, 0.25)]
    rows = [
        keys | {"variant": variant, "slots": slots, "f_ari": f_ari, "blind_f_ari": blind}
        for variant, f_ari, blind in scores
        for slots in (7, 9)
    ]
    found, f_ari = draw_code_length_gains([pd.DataFrame(rows), pd.DataFrame()], train_slots=7).axes
    assert (found.get_title(), f_ari.get_title()) == ("CLEVR10, found objects", "CLEVR10, F-ARI")
    for ax, gain in ((found, 0.2), (f_ari, 0.25)):
        assert ax.lines[-1].get_ydata() == pytest.approx([gain, gain])


def test_the_chapter_takes_clevr_s_baseline_on_its_own_images() -> None:
    texts = default_expressions(NOTEBOOKS / "07_beyond.ipynb")
    given = {name: ast.literal_eval(expression) for name, expression in texts.items()}
    parameters = Beyond.from_notebook(
        given | {"missing": "report", "data": "synth-movi-c-features", "variants": ["layer_norm"]}
    )
    chosen = parameters.recipe("clevr-6-7")
    assert chosen.variants == ("weighted_mean",)
    assert chosen.train == recipe("clevr-6-7", "smoke").train
    assert parameters.recipe("movi-c-6-7").variants == ("layer_norm",)
