"""Evaluation over slot counts: one row per scene and setting, equal to doing it scene by scene."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, jaccard_score

from slotnorm import evaluation
from slotnorm.data.splits import Split
from slotnorm.evaluation import COLUMNS, NEIGHBOR_MEASURES, _Table, initial_noise
from slotnorm.models import ConvAutoencoder
from slotnorm.numerics import matmul_precision
from slotnorm.tasks import Measured
from slotnorm.training.build import build_model
from slotnorm.training.spec import Data, SpecError
from slotnorm_book.experiments.probe import Probe
from slotnorm_book.experiments.test_sets import EvaluationSpec, evaluate, select
from tests.helpers import tiny
from tests.helpers.defaults import other_defaults

SCENES = 5
LABEL = "all"
DATA = Data("noise", "0" * 64)


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Split:
    return tiny.make_split(tmp_path_factory.mktemp("data") / "split")


@pytest.fixture(scope="module")
def model() -> ConvAutoencoder:
    model = build_model(tiny.spec(variant="batch_norm"))
    with torch.no_grad():
        for parameter in model.parameters():  # fresh masks are nearly uniform, and their argmax is at rounding's mercy
            parameter.mul_(2)
    return model


def asked(*slots: int, iterations=(2,), scenes: int = SCENES, **changes) -> EvaluationSpec:
    return EvaluationSpec(LABEL, changes.pop("data", DATA), scenes, slots, iterations, **changes)


def table(model, split, spec, **options) -> pd.DataFrame:
    return evaluate(tiny.TASK, model, split, spec, bar=False, **options).scenes


def match(overlaps: list[list[float]]) -> float:
    return float(np.array(overlaps)[linear_sum_assignment(overlaps, maximize=True)].sum())


def test_one_row_per_scene_and_setting(model, split):
    spec = asked(2, 5, iterations=(1, 3))
    rows = table(model, split, spec, batch_size=2)
    assert list(rows.columns) == COLUMNS
    assert set(rows["evaluation"]) == {spec.key}
    settings = set(zip(rows["slots"], rows["iterations"], rows["scene_id"], strict=True))
    assert settings == {(k, t, scene) for k in (2, 5) for t in (1, 3) for scene in range(100, 105)}
    assert len(rows) == len(settings)
    assert rows["objects"].tolist() == [1, 2, 3, 4, 1] * 4


def test_rows_are_what_the_model_makes_of_the_scenes(model, split):
    rows = table(model, split, asked(5), batch_size=2)
    (batch,) = split.select(range(SCENES)).batches(batch_size=SCENES)
    with torch.no_grad():
        slots = model.slot_attention.initial_slots(initial_noise(tiny.TASK, SCENES, 5, seed=0))
        result = model.eval()(batch["image"], iterations=2, slots=slots)
    segmentation = result.segmentation.flatten(1)
    assert len(segmentation.unique()) > 2
    for row, values in rows.iterrows():
        true, pred = batch["segmentation"][row].flatten(), segmentation[row]
        float64 = {"rel": 1e-12, "abs": 1e-12}
        assert values["ari"] == pytest.approx(adjusted_rand_score(true, pred), **float64)
        assert values["f_ari"] == pytest.approx(adjusted_rand_score(true[true > 0], pred[true > 0]), **float64)
        error = (result.reconstruction[row] - batch["image"][row]).square().mean().item()
        assert values["loss"] == pytest.approx(error, rel=1e-5)  # float32
        objects = [int(label) for label in true.unique() if label > 0]
        overlaps = [[jaccard_score(true == label, pred == slot) for slot in range(5)] for label in objects]
        assert values["mbo"] == pytest.approx(np.max(overlaps, axis=1).mean(), **float64)
        assert values["miou"] == pytest.approx(match(overlaps) / len(objects), **float64)
        assert values["slots_in_use"] == len(pred.unique())
        assert values["background_share"] == pytest.approx(pred[true == 0].bincount().max() / (true == 0).sum())
        precision, recall = values["ari_precision"], values["ari_recall"]
        assert 2 * precision * recall / (precision + recall) == pytest.approx(values["ari"], **float64)
        others = [batch["segmentation"][(row + step) % SCENES].flatten() for step in range(1, SCENES)]
        blind = [adjusted_rand_score(other[other > 0], pred[other > 0]) for other in others]
        assert values["blind_f_ari"] == pytest.approx(np.mean(blind), **float64)
        if row:
            before = adjusted_rand_score(segmentation[row - 1], pred)
            assert values["agreement"] == pytest.approx(before, **float64)
    assert np.isnan(rows["agreement"][0])


def test_the_encoder_sees_every_scene_once_however_many_settings_there_are(model, split, monkeypatch):
    seen = []
    encode = type(model).encode
    monkeypatch.setattr(type(model), "encode", lambda self, image: seen.append(len(image)) or encode(self, image))
    table(model, split, asked(2, 3, 5, iterations=(1, 2)), batch_size=2)
    assert seen == [2, 2, 1]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_batch_size_changes_no_row(model, split, batch_size):
    whole, parts = (table(model, split, asked(5), batch_size=size) for size in (SCENES, batch_size))
    pd.testing.assert_frame_equal(whole, parts, rtol=1e-6)  # float32 products of other shapes


def test_a_setting_is_evaluated_alike_alone_and_among_others(model, split):
    alone = table(model, split, asked(5))
    among = table(model, split, asked(2, 5, 3, iterations=(3, 2)))
    chosen = among[(among["slots"] == 5) & (among["iterations"] == 2)].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, chosen, check_exact=True)


def test_a_scene_is_evaluated_alike_among_few_and_among_many(model, split):
    few, many = (table(model, split, asked(5, scenes=n), batch_size=1) for n in (3, SCENES))
    rest = ["evaluation", "blind_f_ari"]  # which compares a scene with others of the same test set
    pd.testing.assert_frame_equal(few.drop(columns=rest), many[:3].drop(columns=rest), check_exact=True)


def test_the_seed_of_the_initial_slots_matters_and_nothing_else_does(model, split):
    first = table(model, split, asked(4))
    torch.manual_seed(99)
    again, other = (table(model, split, asked(4, seed=seed)) for seed in (0, 1))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first["loss"].equals(other["loss"])
    assert asked(4).key != asked(4, seed=1).key


def test_slot_counts_have_noise_of_their_own():
    few, many = (initial_noise(tiny.TASK, SCENES, slots, seed=0) for slots in (3, 4))
    assert not torch.equal(few, many[:, :3])
    assert not torch.equal(few.flatten()[:4], many.flatten()[:4])


def test_evaluation_leaves_the_model_as_it_was(model, split):
    before = build_model(tiny.spec(variant="batch_norm"))
    before.load_state_dict(model.state_dict())
    table(model, split, asked(3))
    assert tiny.equal(model, before)


def test_evaluation_is_in_single_precision_whatever_the_settings(model, split, monkeypatch):
    found = []
    measure = type(tiny.TASK).measure

    def spy(*arguments):
        found.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
        return measure(*arguments)

    monkeypatch.setattr(type(tiny.TASK), "measure", spy)
    with matmul_precision("tf32"):
        table(model, split, asked(3))
        assert torch.backends.cudnn.allow_tf32
    assert set(found) == {("highest", False)}


def test_the_filter_and_the_draw_choose_the_scenes(split):
    few = select(split, asked(2, scenes=3, data=Data("noise", "0" * 64, max_objects=2)))
    assert few["scene_id"].tolist() == [100, 101, 104]
    assert select(split, asked(2, scenes=3))["scene_id"].tolist() == [100, 101, 102]
    drawn, again, other = (select(split, asked(2, scenes=4, draw=d))["scene_id"].tolist() for d in (0, 0, 1))
    assert drawn == again == sorted(set(drawn))
    assert drawn != other
    assert asked(2, draw=0).key != asked(2, draw=1).key != asked(2).key


def test_too_few_scenes_are_refused(model, split):
    with pytest.raises(SpecError, match=r"all: .* has 8 suitable scenes, 9 are asked for"):
        table(model, split, asked(2, scenes=9))
    with pytest.raises(SpecError, match="has 4 suitable scenes"):
        table(model, split, asked(2, data=Data("noise", "0" * 64, max_objects=2)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"slots": (0,)},
        {"slots": ()},
        {"slots": (3, 3)},
        {"iterations": (0,)},
        {"iterations": (2, 2)},
        {"scenes": 0},
        {"seed": -1},
    ],
)
def test_an_evaluation_that_cannot_work_is_refused(wrong):
    right = {"label": LABEL, "data": DATA, "scenes": 1, "slots": (2,), "iterations": (2,)}
    with pytest.raises(SpecError, match=rf"{LABEL}: .*must"):
        EvaluationSpec(**right | wrong)


@pytest.mark.parametrize("wrong", ["split", "slots", "iterations"])
def test_nothing_to_evaluate_is_refused_by_name(model, split, wrong):
    given = {"split": split, "slots": (2,), "iterations": (1,)} | {wrong: split.select([]) if wrong == "split" else ()}
    with pytest.raises(ValueError, match=f"{wrong} must not be empty"):
        evaluation.evaluate(tiny.TASK, model, bar=False, **given)
    if wrong != "split":
        with pytest.raises(ValueError, match=f"{wrong} must be at least 1, got 0"):
            evaluation.evaluate(tiny.TASK, model, bar=False, **given | {wrong: (2, 0)})


def test_torchs_defaults_change_no_noise():
    expected = initial_noise(tiny.TASK, SCENES, 3, seed=0)
    with other_defaults():
        assert torch.equal(initial_noise(tiny.TASK, SCENES, 3, seed=0), expected)


@pytest.mark.parametrize(("answer", "found"), [("truth", (0.9, 1.5)), ("blind", (-0.01, 0.01))])
def test_found_objects_tell_the_truth_from_a_blind_partition(answer, found):
    """The F-ARI minus its control is at least 0.9 for the truth, and 0 where every scene is segmented alike."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.zeros(400, 24, 24, dtype=torch.int64)
    for scene in truth:
        for label in range(1, 7):
            row, column = torch.randint(0, 20, (2,), generator=generator).tolist()
            scene[row : row + 4, column : column + 4] = label
    rows = torch.arange(24)[:, None] // 8 * 3 + torch.arange(24) // 8
    segmentation = truth if answer == "truth" else rows.expand_as(truth)
    table = _Table()
    for first in range(0, 400, 100):
        chosen = slice(first, first + 100)
        batch = {"scene_id": torch.arange(400)[chosen], "num_objects": torch.full((100,), 6)}
        table.add(batch, Measured(truth[chosen], segmentation[chosen], torch.zeros(100)))
    columns = table.columns(truth, torch.arange(400))
    low, high = found
    assert low <= (columns["f_ari"] - columns["blind_f_ari"]).mean() <= high


def with_clips(split: Split, clips: list[int]) -> Split:
    return replace(split, arrays={**split.arrays, "clip_id": np.array(clips)})


def test_frames_of_one_clip_are_not_compared_with_each_other(model, split):
    clips = [3, 3, 7, 7, 7, 1, 1, 2]
    spec = asked(5, scenes=8)
    rows = table(model, with_clips(split, clips), spec)
    (batch,) = split.batches(batch_size=8)
    with torch.no_grad():
        slots = model.slot_attention.initial_slots(initial_noise(tiny.TASK, 8, 5, seed=0))
        segmentation = model.eval()(batch["image"], iterations=2, slots=slots).segmentation
    before = [None, None, 1, 1, 1, 4, 4, 6]
    for scene, other in enumerate(before):
        if other is None:
            assert np.isnan(rows["agreement"][scene])
        else:
            expected = adjusted_rand_score(segmentation[other].flatten(), segmentation[scene].flatten())
            assert rows["agreement"][scene] == pytest.approx(expected, rel=1e-12, abs=1e-12)  # float64
    assert not rows["blind_f_ari"].equals(table(model, split, spec)["blind_f_ari"])


def test_clips_of_one_frame_change_no_row(model, split):
    rows = [table(model, scenes, asked(5, scenes=8)) for scenes in (split, with_clips(split, list(range(8, 0, -1))))]
    pd.testing.assert_frame_equal(*rows, check_exact=True)


def test_the_ground_truth_is_kept_once_for_all_settings(model, split, monkeypatch):
    seen = []
    blind = NEIGHBOR_MEASURES["blind_f_ari"]
    monkeypatch.setitem(NEIGHBOR_MEASURES, "blind_f_ari", lambda *given: seen.append(given[0]) or blind(*given))
    table(model, split, asked(2, 3, iterations=(1, 2)), batch_size=2)
    assert len(seen) == 4
    assert len({truth.data_ptr() for truth in seen}) == 1


def test_a_probe_is_the_evaluation_of_the_first_scenes_at_the_own_slot_count(model, split):
    rows = table(model, split, asked(tiny.TASK.num_slots, iterations=(tiny.TASK.iterations,)))
    means = rows["f_ari"].mean(), rows["blind_f_ari"].mean()
    assert Probe(tiny.TASK, split, scenes=SCENES)(model) == pytest.approx(means, rel=1e-12)
