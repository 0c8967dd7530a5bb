"""Average precision against its slow transcription, on random and degenerate scenes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from slotnorm.metrics.detection import THRESHOLDS, average_precision
from tests.conformance.average_precision_reference import average_precision as reference

EXACT = {"rel": 1e-12, "abs": 1e-12, "nan_ok": True}  # the same counts, divided and added up in float64


def scenes(batch: int, objects: int, presence: float, generator: torch.Generator) -> Tensor:
    """Random property vectors with two shapes and nothing else to tell apart, so that detections often agree."""
    targets = torch.zeros(batch, objects, 19, dtype=torch.float64)
    targets[..., 0] = torch.rand(batch, objects, generator=generator) < 0.5
    targets[..., 1] = 1 - targets[..., 0]
    targets[..., [3, 5, 7]] = 1
    targets[..., 15:18] = 0.3 * torch.rand(batch, objects, 3, generator=generator)
    targets[..., 18] = torch.rand(batch, objects, generator=generator) < presence
    return targets * targets[..., 18:]


def detections(targets: Tensor, slots: int, noise: float, levels: int, generator: torch.Generator) -> Tensor:
    """Slots that each describe some object of their scene, with errors and with scores out of a few levels."""
    batch, objects, _ = targets.shape
    chosen = torch.randint(objects, (batch, slots, 1), generator=generator)
    described = targets.take_along_dim(chosen, dim=1)
    described += noise * torch.randn(described.shape, generator=generator, dtype=torch.float64)
    described[..., 18] = torch.randint(levels, (batch, slots), generator=generator) / levels
    return described


@given(
    batch=st.integers(1, 6),
    slots=st.integers(1, 8),
    objects=st.integers(1, 6),
    presence=st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    noise=st.sampled_from([0.0, 0.02, 0.05, 0.3]),
    levels=st.sampled_from([1, 3, 1000]),
    seed=st.integers(0, 2**31),
)
def test_it_is_the_transcription(batch, slots, objects, presence, noise, levels, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = scenes(batch, objects, presence, generator)
    predictions = detections(targets, slots, noise, levels, generator)
    expected = [reference(predictions.tolist(), targets.tolist(), threshold) for threshold in THRESHOLDS]
    assert average_precision(predictions, targets).tolist() == pytest.approx(expected, **EXACT)


def test_many_scenes_have_values_between_zero_and_one_that_differ(generator):
    """The case that matters: none of the numbers compared is trivial."""
    targets = scenes(40, 10, 0.6, generator)
    predictions = detections(targets, 21, 0.03, 1000, generator)
    got = average_precision(predictions, targets)
    expected = [reference(predictions.tolist(), targets.tolist(), threshold) for threshold in THRESHOLDS]
    assert got.tolist() == pytest.approx(expected, **EXACT)
    assert 0.001 < got[-1] < got[-2] < got[-3] < got[0] < 0.999


def test_units_of_each_axis(generator):
    targets = scenes(10, 4, 0.8, generator)
    predictions = detections(targets, 6, 0.05, 1000, generator)
    units = (6.0, 6.0, 0.35)
    expected = reference(predictions.tolist(), targets.tolist(), 0.5, units)
    got = average_precision(predictions, targets, thresholds=[0.5], units=units).item()
    assert got == pytest.approx(expected, **EXACT)
    assert got > average_precision(predictions, targets, thresholds=[0.5]).item()


@pytest.mark.parametrize("slots", [1, 3, 9])
def test_ties_of_score_and_distance(slots):
    """All detections alike in score; two objects at the same distance: the earlier one counts as found."""
    targets = scenes(2, 2, 1.0, torch.Generator().manual_seed(1))
    targets[:, 1] = targets[:, 0]
    predictions = targets[:, :1].repeat(1, slots, 1)
    predictions[..., 18] = 0.5
    expected = reference(predictions.tolist(), targets.tolist(), math.inf)
    assert average_precision(predictions, targets, thresholds=[math.inf]).tolist() == pytest.approx([expected], **EXACT)
    assert expected <= 0.5  # two of four objects are never found
