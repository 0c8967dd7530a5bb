"""Average precision: values worked out by hand, limits and bad input; tests/conformance has the transcription."""

import math
import re

import jaxtyping
import pytest
import torch
from torch import Tensor

from slotnorm.metrics.detection import average_precision
from tests.helpers.defaults import other_defaults

EXACT = {"rel": 1e-12, "abs": 1e-12}


def thing(x: float = 0.5, *, shape: int = 0, score: float = 1.0) -> Tensor:
    """A large grey rubber object on the line y = z = 0.5."""
    entries = torch.zeros(19, dtype=torch.float64)
    entries[[shape, 3, 5, 7]] = 1.0
    entries[15:18] = torch.tensor([x, 0.5, 0.5])
    entries[18] = score
    return entries


def scene(*things: Tensor) -> Tensor:
    return torch.stack(things)[None]


def test_a_false_alarm_above_a_find():
    """Verdicts no, yes, of two objects: precision 1/2 at recall 1/2, nothing beyond."""
    targets = scene(thing(0.2), thing(0.8, shape=1))
    predictions = scene(thing(0.2, score=0.6), thing(0.2, shape=2, score=0.9))
    assert average_precision(predictions, targets, [math.inf]).item() == pytest.approx(0.25, **EXACT)


def test_torchs_defaults_change_nothing():
    targets, predictions = scene(thing(0.2), thing(0.8)), scene(thing(0.2), thing(0.7))
    expected = average_precision(predictions, targets), average_precision(predictions, 0 * targets)
    with other_defaults():
        found = average_precision(predictions, targets), average_precision(predictions, 0 * targets)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_interpolation_lifts_a_dip():
    """Verdicts yes, no, yes, yes of three: precisions 1, 1/2, 2/3, 3/4; interpolated 1, 3/4, 3/4 at the finds."""
    targets = scene(thing(), thing(shape=1), thing(shape=2))
    predictions = scene(thing(score=0.9), thing(score=0.8), thing(shape=1, score=0.7), thing(shape=2, score=0.6))
    assert average_precision(predictions, targets, [math.inf]).item() == pytest.approx(2.5 / 3, **EXACT)


def test_thresholds_are_world_units_and_exclusive():
    """A sixth of an entry is a unit of length: 0.25 off in x is 1.5 units."""
    targets, predictions = scene(thing(0.25)), scene(thing(0.5))
    got = average_precision(predictions, targets, [math.inf, 1.51, 1.5, 1.49])
    assert got.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_only_the_nearest_of_the_same_classes_can_be_found():
    """The second detection is nearest to the object already found, so it cannot have the other one."""
    targets = scene(thing(0.5), thing(0.9), thing(0.55, shape=1))
    predictions = scene(thing(0.52, score=0.9), thing(0.6, score=0.8))
    assert average_precision(predictions, targets, [math.inf]).item() == pytest.approx(1 / 3, **EXACT)


def test_a_detection_out_of_reach_leaves_its_object_to_the_next():
    targets = scene(thing(0.5))
    predictions = scene(thing(0.9, score=0.9), thing(0.5, score=0.8))
    assert average_precision(predictions, targets, [math.inf, 1.0]).tolist() == [1.0, 0.5]


def test_scores_compare_across_scenes_and_objects_do_not():
    targets = torch.cat([scene(thing(0.2)), scene(thing(0.2, shape=1))])
    predictions = torch.cat([scene(thing(0.2, shape=1, score=0.5)), scene(thing(0.2, shape=1, score=0.4))])
    assert average_precision(predictions, targets, [math.inf]).item() == pytest.approx(0.25, **EXACT)


def test_perfect_predictions_score_one_at_every_threshold_in_any_order(generator):
    targets = torch.cat([scene(thing(0.2), thing(0.8)), scene(thing(0.3), 0 * thing())])
    assert average_precision(targets.flip(1), targets).tolist() == [1.0] * 5


def test_absent_objects_are_neither_found_nor_missed():
    targets = scene(thing(0.5), 0 * thing(), 0 * thing())
    predictions = scene(thing(0.5, score=0.9), 0 * thing(), 0 * thing())
    assert average_precision(predictions, targets, [0.1]).item() == 1.0


@pytest.mark.parametrize("objects", [0, 3])
def test_without_any_object_it_is_not_defined(objects):
    got = average_precision(torch.rand(2, 4, 19), torch.zeros(2, objects, 19))
    assert got.isnan().all()
    assert got.shape == (5,)


def test_without_any_slot_nothing_is_found():
    assert average_precision(torch.zeros(1, 0, 19), scene(thing()).float(), [math.inf]).tolist() == [0.0]


def test_fewer_slots_than_objects():
    targets = scene(thing(0.1), thing(0.9), thing(shape=1), thing(shape=2))
    assert average_precision(targets[:, 2:], targets, [1.0]).item() == 0.5


def test_predictions_that_are_not_finite_are_refused():
    predictions = scene(thing(math.nan))
    with pytest.raises(ValueError, match="predictions hold values that are not finite: the model has diverged"):
        average_precision(predictions, scene(thing()))


def test_targets_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="targets hold values that are not finite"):
        average_precision(scene(thing()), scene(thing(math.nan)))


@pytest.mark.parametrize(
    ("predictions", "targets"),
    [((0, 2, 19), (0, 2, 19)), ((1, 2, 19), (3, 2, 19)), ((2, 2, 18), (2, 2, 18)), ((2, 19), (2, 19))],
)
def test_shapes_that_do_not_fit_and_empty_batches_are_refused(predictions, targets, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    expected = f"(B, K, 19) and (B, M, 19) with B at least 1, got {predictions} and {targets}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        average_precision(torch.zeros(predictions), torch.zeros(targets))


def test_a_single_threshold_is_one_of_a_list():
    targets, predictions = scene(thing(0.25)), scene(thing(0.5))
    assert average_precision(predictions, targets, 1.51).tolist() == [1.0]
    assert average_precision(predictions, 0 * targets, 1.51).isnan().tolist() == [True]
