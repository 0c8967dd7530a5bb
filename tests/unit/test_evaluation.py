"""Evaluation over slot counts: one row per scene and setting, equal to doing it scene by scene."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from data_tools.store import ArraySpec, SplitWriter
from slotnorm.data import Split, open_split
from slotnorm.evaluation import decompose_scenes, evaluate, initial_slot_generator
from slotnorm.models import ConvAutoencoder

SCENES, SIZE = 5, 16


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Split:
    rng = np.random.default_rng(0)
    arrays = {
        "image": rng.integers(0, 256, (SCENES, SIZE, SIZE, 3), dtype=np.uint8),
        "segmentation": rng.integers(0, 4, (SCENES, SIZE, SIZE), dtype=np.uint8),
        "num_objects": np.full(SCENES, 3),
        "scene_id": np.arange(100, 100 + SCENES),
    }
    specs = {name: ArraySpec(str(array.dtype), array.shape[1:]) for name, array in arrays.items()}
    about = {"name": "noise", "source": "this test", "license": "MIT", "generator": {"seed": 0}}
    with SplitWriter(tmp_path_factory.mktemp("data") / "noise", arrays=specs, count=SCENES, **about) as writer:
        writer.append(**arrays)
        return open_split(writer.finish())


@pytest.fixture(scope="module")
def model() -> ConvAutoencoder:
    torch.manual_seed(0)
    return ConvAutoencoder(SIZE, num_slots=3, slot_dim=4, channels=4, encoder_layers=1, normalization="batch_norm")


def test_one_row_per_scene_and_slot_count(model, split):
    table = evaluate(model, split, slots=[2, 5], iterations=2, batch_size=2)
    assert list(table.columns) == ["scene_id", "objects", "slots", "iterations", "f_ari", "ari", "loss"]
    assert len(table) == SCENES * 2
    assert not table.duplicated(["scene_id", "slots"]).any()
    assert set(table["scene_id"]) == set(range(100, 105))
    assert set(table["iterations"]) == {2}


def test_rows_are_what_the_model_makes_of_the_scenes(model, split):
    table = evaluate(model, split, slots=[5], iterations=2, batch_size=SCENES)
    (batch,) = split.batches(batch_size=SCENES)
    with torch.no_grad():
        generator = initial_slot_generator(0, 5, torch.device("cpu"))
        result = model.eval()(batch["image"], num_slots=5, iterations=2, generator=generator)
    for row, (_, values) in enumerate(table.iterrows()):
        true, pred = batch["segmentation"][row].flatten(), result.segmentation[row].flatten()
        foreground = true > 0
        assert values["ari"] == pytest.approx(adjusted_rand_score(true, pred), rel=1e-12, abs=1e-12)
        assert values["f_ari"] == pytest.approx(
            adjusted_rand_score(true[foreground], pred[foreground]), rel=1e-12, abs=1e-12
        )
        error = (result.reconstruction[row] - batch["image"][row]).square().mean().item()
        assert values["loss"] == pytest.approx(error, rel=1e-5)  # float32


def test_a_slot_count_is_evaluated_alike_alone_and_among_others(model, split):
    alone = evaluate(model, split, slots=[5], iterations=2)
    among = evaluate(model, split, slots=[2, 5, 3], iterations=2)
    pd.testing.assert_frame_equal(alone, among[among["slots"] == 5].reset_index(drop=True), check_exact=True)


def test_the_seed_of_the_initial_slots_matters_and_nothing_else_does(model, split):
    first, again, other = (evaluate(model, split, slots=[4], seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first["loss"].equals(other["loss"])


def test_evaluation_leaves_the_model_as_it_was(model, split):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    evaluate(model, split, slots=[3])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_decompose_scenes_starts_from_the_noise_of_the_evaluation(model, split):
    (batch,) = split.batches(batch_size=SCENES)
    table = evaluate(model, split, slots=[4], iterations=2, batch_size=SCENES)
    result = decompose_scenes(model, batch["image"], 4, iterations=2)
    errors = (result.reconstruction - batch["image"]).square().mean(dim=(1, 2, 3))
    assert errors.tolist() == pytest.approx(table["loss"].tolist(), rel=1e-5)  # float32
