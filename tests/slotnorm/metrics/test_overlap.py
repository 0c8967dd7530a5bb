"""Overlap measures against loops, SciPy's assignment, hand-computed values and the edge cases of their docstrings."""

import math

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from slotnorm.metrics import largest_share_of_background, matched_mean_iou, mean_best_overlap, slots_in_use

EXACT = {"rel": 1e-12, "abs": 1e-12, "nan_ok": True}

label_maps = st.tuples(st.integers(1, 4), st.integers(1, 60)).flatmap(
    lambda shape: st.tuples(*[arrays(np.int64, shape, elements=st.integers(0, 6)) for _ in range(2)])
)


def overlaps(true, pred):
    """Compute the IoU of every object with every segment of one image, pixel sets in plain Python."""
    objects = [set(np.flatnonzero(true == label)) for label in sorted(set(true) - {0})]
    segments = [set(np.flatnonzero(pred == label)) for label in sorted(set(pred))]
    return np.array([[len(o & s) / len(o | s) for s in segments] for o in objects]).reshape(len(objects), len(segments))


@given(label_maps)
def test_best_overlap_is_that_of_pixel_sets(maps):
    expected = [ious.max(axis=1).mean() if ious.size else math.nan for ious in map(overlaps, *maps)]
    assert mean_best_overlap(*map(torch.tensor, maps)).tolist() == pytest.approx(expected, **EXACT)


@given(label_maps)
def test_matched_iou_is_that_of_scipys_assignment(maps):
    expected = []
    for ious in map(overlaps, *maps):
        matched = ious[linear_sum_assignment(ious, maximize=True)].sum()
        expected.append(matched / len(ious) if len(ious) else math.nan)
    assert matched_mean_iou(*map(torch.tensor, maps)).tolist() == pytest.approx(expected, **EXACT)


@given(label_maps)
def test_slots_and_background_are_counted_as_numpy_counts_them(maps):
    assert slots_in_use(torch.tensor(maps[1])).tolist() == [len(set(row)) for row in maps[1]]
    pairs = zip(*maps, strict=True)
    shares = [np.bincount(p[t == 0]).max() / (t == 0).sum() if (t == 0).any() else math.nan for t, p in pairs]
    assert largest_share_of_background(*map(torch.tensor, maps)).tolist() == pytest.approx(shares, **EXACT)


def test_a_halo_around_an_object_costs_overlap():
    true = torch.tensor([[0, 0, 1, 1, 0, 0]])
    assert mean_best_overlap(true, torch.tensor([[0, 1, 1, 1, 1, 0]])).item() == 0.5
    assert matched_mean_iou(true, torch.tensor([[0, 1, 1, 1, 1, 0]])).item() == 0.5


def test_perfect_segmentations_have_1_and_one_segment_for_everything_has_little():
    true = torch.tensor([[0, 0, 1, 1, 2, 2]])
    for measure in (mean_best_overlap, matched_mean_iou):
        assert measure(true, 5 - true).item() == 1
    one = torch.zeros_like(true)
    assert mean_best_overlap(true, one).item() == pytest.approx(1 / 3)
    assert matched_mean_iou(true, one).item() == pytest.approx(1 / 6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_label_maps_of_every_whole_number_type_are_measured_alike(dtype):
    generator = torch.Generator().manual_seed(0)
    true, pred = torch.randint(0, 7, (2, 3, 8, 8), generator=generator)
    for measure in (mean_best_overlap, matched_mean_iou, largest_share_of_background):
        assert torch.equal(measure(true.to(dtype), pred.to(dtype)), measure(true, pred))
    assert torch.equal(slots_in_use(pred.to(dtype)), slots_in_use(pred))


@pytest.mark.parametrize(
    ("pred", "message"), [([[0.5]], "pred must hold whole numbers"), ([0], "pred must have shape")]
)
def test_slots_in_use_refuses_what_is_no_label_map(pred, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        slots_in_use(torch.tensor(pred))
