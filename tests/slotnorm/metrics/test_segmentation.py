"""ARI and F-ARI against scikit-learn, hand-computed values and the edge cases that the module's docstring states."""

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import adjusted_rand_score

from slotnorm.metrics import largest_share_of_background, matched_mean_iou, mean_best_overlap
from slotnorm.metrics import segmentation as metrics
from slotnorm.metrics.segmentation import (
    adjusted_precision_and_recall,
    adjusted_rand_index,
    blind_foreground_adjusted_rand_index,
    contingency,
    foreground_adjusted_rand_index,
)

MEASURES = [
    contingency,
    adjusted_rand_index,
    foreground_adjusted_rand_index,
    blind_foreground_adjusted_rand_index,
    adjusted_precision_and_recall,
    mean_best_overlap,
    matched_mean_iou,
    largest_share_of_background,
]
EXACT = {"rel": 1e-12, "abs": 1e-12}  # the same integers, combined in float64

label_maps = st.tuples(st.integers(1, 4), st.integers(1, 60)).flatmap(
    lambda shape: st.tuples(*[arrays(np.int64, shape, elements=st.integers(0, 8)) for _ in range(2)])
)


@given(label_maps)
def test_ari_is_scikit_learns(maps):
    true, pred = maps
    expected = [adjusted_rand_score(t, p) for t, p in zip(true, pred, strict=True)]
    assert adjusted_rand_index(torch.tensor(true), torch.tensor(pred)).tolist() == pytest.approx(expected, **EXACT)


@given(label_maps)
def test_foreground_ari_is_scikit_learns_on_the_pixels_that_are_not_background(maps):
    true, pred = maps
    expected = [adjusted_rand_score(t[t > 0], p[t > 0]) for t, p in zip(true, pred, strict=True)]
    got = foreground_adjusted_rand_index(torch.tensor(true), torch.tensor(pred))
    assert got.tolist() == pytest.approx(expected, **EXACT)


def test_a_value_worked_out_by_hand():
    """Hubert & Arabie (1985), Eq. 5: counts [[2, 1], [0, 2]]; pairs 2, true 4, predicted 4, all 10."""
    true, pred = torch.tensor([[0, 0, 0, 1, 1]]), torch.tensor([[0, 0, 1, 1, 1]])
    expected = (2 - 4 * 4 / 10) / (4 - 4 * 4 / 10)
    assert adjusted_rand_index(true, pred).item() == pytest.approx(expected, **EXACT)


def test_large_label_maps_do_not_lose_precision(generator):
    true = torch.randint(0, 11, (2, 512, 512), generator=generator)
    pred = torch.where(torch.rand(2, 512, 512, generator=generator) < 0.7, true, 20 - true)
    expected = [adjusted_rand_score(t.flatten(), p.flatten()) for t, p in zip(true, pred, strict=True)]
    assert adjusted_rand_index(true, pred).tolist() == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize("at_once", [1, 7, 10**6])
def test_counts_do_not_depend_on_how_many_pixels_are_counted_at_once(at_once, generator, monkeypatch):
    true = torch.arange(1, 6)[:, None] * torch.randint(0, 2, (5, 3), generator=generator)
    pred = torch.randint(0, 9, (5, 3), generator=generator)
    expected = torch.zeros(5, int(true.max()) + 1, int(pred.max()) + 1, dtype=torch.long)
    for image in range(5):
        for t, p in zip(true[image], pred[image], strict=True):
            expected[image, t, p] += 1
    monkeypatch.setattr(metrics, "PIXELS_AT_ONCE", at_once)
    assert torch.equal(contingency(true, pred), expected)


@pytest.mark.parametrize(
    ("true", "pred", "expected"),
    [
        ([0, 0, 0, 0], [0, 1, 2, 3], 1.0),  # no foreground
        ([1, 1, 1, 1], [0, 0, 1, 1], 0.0),  # one object, split over slots
        ([1, 1, 1, 1], [2, 2, 2, 2], 1.0),  # one object in one slot
        ([0, 0, 1, 2], [0, 1, 2, 2], 0.0),  # two objects of a pixel each in one slot
        ([0, 0, 1, 0], [0, 1, 2, 2], 1.0),  # a single foreground pixel
        ([0, 1, 1, 2], [5, 0, 0, 7], 1.0),  # names of the slots do not matter, the background does not count
    ],
)
def test_foreground_edge_cases(true, pred, expected):
    got = foreground_adjusted_rand_index(torch.tensor([true]), torch.tensor([pred]))
    foreground = [(t, p) for t, p in zip(true, pred, strict=True) if t > 0]
    assert got.item() == expected
    assert got.item() == adjusted_rand_score([t for t, _ in foreground], [p for _, p in foreground])


def test_no_pixels_at_all():
    empty = torch.zeros(2, 0, dtype=torch.long)
    assert adjusted_rand_index(empty, empty).tolist() == [1.0, 1.0]


def test_images_of_a_batch_do_not_mix(generator):
    true = torch.randint(0, 5, (6, 8, 8), generator=generator)
    pred = torch.randint(0, 7, (6, 8, 8), generator=generator)
    alone = torch.cat([adjusted_rand_index(t[None], p[None]) for t, p in zip(true, pred, strict=True)])
    assert torch.equal(adjusted_rand_index(true, pred), alone)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_label_types(dtype):
    labels = torch.tensor([[0, 1, 2, 255 % 7]], dtype=dtype)
    result = adjusted_rand_index(labels, labels)
    assert result.dtype == torch.float64
    assert result.item() == 1.0


def test_contingency_counts():
    true, pred = torch.tensor([[0, 0, 1], [2, 2, 2]]), torch.tensor([[1, 1, 0], [0, 1, 1]])
    assert contingency(true, pred).tolist() == [[[0, 2], [1, 0], [0, 0]], [[0, 0], [0, 0], [1, 2]]]


@pytest.mark.parametrize(
    ("true", "pred", "message"),
    [
        ([[0, -1]], [[0, 0]], r"true labels must lie in 0..1023, got -1..0"),
        ([[0, 1]], [[0, 4096]], r"pred labels must lie in 0..1023, got 0..4096"),
        ([[0, 1]], [[0, 1, 1]], r"label maps must have one shape; true is \(1, 2\), pred is \(1, 3\)"),
        ([[0.0, 1.0]], [[0, 1]], r"true must hold whole numbers as labels, got torch.float32"),
        ([[0, 1]], [[0j, 1j]], r"pred must hold whole numbers as labels, got torch.complex64"),
        ([0, 1], [0, 1], r"true must have shape \(B, ...\) with B at least 1, got \(2,\)"),
        ([[0]], [], r"pred must hold whole numbers as labels, got torch.float32"),
    ],
)
def test_bad_labels_are_refused(true, pred, message, monkeypatch):
    # the shape check of the test run would refuse the third case before the function sees it
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for measure in MEASURES:
        with pytest.raises(ValueError, match=message):
            measure(torch.tensor(true), torch.tensor(pred))


@pytest.mark.parametrize("measure", MEASURES)
def test_a_batch_without_an_image_is_refused(measure):
    empty = torch.zeros(0, 3, 3, dtype=torch.long)
    with pytest.raises(ValueError, match=r"true must have shape \(B, ...\) with B at least 1, got \(0, 3, 3\)"):
        measure(empty, empty)


def test_label_maps_that_were_scaled_to_pictures_are_refused(monkeypatch):
    """Cut to whole numbers, which scaled labels are not, every pixel would be background and the score 1."""
    true, pred = torch.tensor([[1, 1, 2, 2]]), torch.tensor([[1, 2, 1, 2]])
    assert foreground_adjusted_rand_index(true, pred).item() == -0.5
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="true must hold whole numbers"):
        foreground_adjusted_rand_index(true / 255, pred / 255)


@given(label_maps)
def test_ari_is_the_harmonic_mean_of_precision_and_recall(maps):
    true, pred = map(torch.tensor, maps)
    precision, recall = adjusted_precision_and_recall(true, pred)
    defined = precision + recall != 0
    harmonic = 2 * precision * recall / (precision + recall)
    assert harmonic[defined].tolist() == pytest.approx(adjusted_rand_index(true, pred)[defined].tolist(), abs=1e-9)
    assert adjusted_rand_index(true, pred)[~defined].tolist() == pytest.approx([0.0] * int((~defined).sum()), abs=1e-9)


@given(label_maps)
def test_precision_is_the_recall_of_the_partitions_exchanged(maps):
    true, pred = map(torch.tensor, maps)
    assert torch.equal(adjusted_precision_and_recall(true, pred)[0], adjusted_precision_and_recall(pred, true)[1])


def test_precision_falls_where_objects_are_merged_and_recall_where_they_are_split():
    whole, split = torch.tensor([[1, 1, 1, 1, 2, 2, 2, 2]]), torch.tensor([[1, 1, 3, 3, 2, 2, 4, 4]])
    precision, recall = adjusted_precision_and_recall(whole, split)
    assert precision.item() == 1
    assert 0 < recall.item() < 0.5
    precision, recall = adjusted_precision_and_recall(split, whole)
    assert recall.item() == 1
    assert 0 < precision.item() < 0.5


def test_a_partition_that_ignores_the_scene_scores_on_other_scenes_as_on_its_own(generator):
    scenes = torch.randint(0, 6, (200, 12, 12), generator=generator)
    cells = torch.arange(12).div(4, rounding_mode="floor")
    blind = (3 * cells[:, None] + cells).expand(200, 12, 12)
    found = foreground_adjusted_rand_index(scenes, blind) - blind_foreground_adjusted_rand_index(scenes, blind)
    assert abs(found.mean().item()) < 1e-9


def test_the_truth_itself_is_found(generator):
    scenes = torch.randint(0, 6, (40, 12, 12), generator=generator)
    found = foreground_adjusted_rand_index(scenes, scenes) - blind_foreground_adjusted_rand_index(scenes, scenes)
    assert found.min().item() > 0.9


@pytest.mark.parametrize("scenes", [2, 3, 4, 5, 7, 64])
def test_the_control_is_the_mean_over_that_many_other_scenes(scenes, generator):
    true, pred = torch.randint(0, 4, (2, scenes, 30), generator=generator)
    places = sorted({place * scenes // 5 for place in range(1, 5)} - {0})
    assert len(places) == min(4, scenes - 1)
    expected = [
        np.mean([adjusted_rand_score(*_foreground(true[(i + place) % scenes], pred[i])) for place in places])
        for i in range(scenes)
    ]
    assert blind_foreground_adjusted_rand_index(true, pred).tolist() == pytest.approx(expected, **EXACT)


def _foreground(true, pred):
    return true[true > 0], pred[true > 0]


def test_a_single_scene_has_no_control():
    assert blind_foreground_adjusted_rand_index(*torch.ones(2, 1, 9, dtype=torch.long)).isnan().all()


def test_the_blind_value_skips_frames_of_the_own_clip(monkeypatch):
    """Of 6 scenes the others are 1, 2, 3 and 4 places further on; the next of another clip replaces one's own."""
    true, pred = torch.randint(0, 3, (2, 6, 30))
    others = [[2, 2, 3, 4], [2, 3, 4, 5], [5, 5, 5, 0], [5, 5, 0, 1], [5, 0, 1, 5], [0, 1, 2, 3]]
    expected = [
        foreground_adjusted_rand_index(true[chosen], pred[[scene] * 4]).mean().item()
        for scene, chosen in enumerate(others)
    ]
    found = blind_foreground_adjusted_rand_index(true, pred, clips=torch.tensor([4, 4, 9, 9, 9, 0]))
    assert found.tolist() == pytest.approx(expected, **EXACT)
    assert blind_foreground_adjusted_rand_index(true, pred, clips=torch.zeros(6, dtype=torch.int64)).isnan().all()
    alone = blind_foreground_adjusted_rand_index(true, pred, clips=torch.arange(6))
    assert torch.equal(alone, blind_foreground_adjusted_rand_index(true, pred))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"clips must have shape \(6,\), got \(5,\)"):
        blind_foreground_adjusted_rand_index(true, pred, clips=torch.arange(5))
