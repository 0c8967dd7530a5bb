"""Property vectors of objects, and their loss against every matching there is."""

import re
from itertools import permutations

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from slotnorm.object_properties import (
    COORDINATE_SCALINGS,
    COORDINATES,
    NUM_PROPERTIES,
    PROPERTY_FIELDS,
    REAL,
    hungarian_huber_loss,
    hungarian_huber_losses,
    match_objects,
    property_targets,
)
from tests.helpers.paths import FIXTURES

CLEVR = FIXTURES / "clevr_expected.npz"


def clevr() -> tuple[dict[str, Tensor], Tensor]:
    """Object tables of eight scenes as a loader hands them out, and their object counts."""
    with np.load(CLEVR) as stored:
        tables = {name: torch.from_numpy(stored[name]) for name in PROPERTY_FIELDS}
        counts = torch.from_numpy(stored["n_objects"])
    return {
        name: table.float() if table.is_floating_point() else table.long() for name, table in tables.items()
    }, counts


def one_scene() -> dict[str, Tensor]:
    """Background, a large green metal cylinder, nothing, a small gray rubber cube."""
    tables = {"shape": [0, 3, 0, 2], "size": [0, 1, 0, 2], "material": [0, 2, 0, 1], "color": [0, 4, 0, 1]}
    numbers = {"x": [0, -3, 0, 3], "y": [0, 0, 0, 1.5], "z": [0, 0.7, 0, 0.35], "visibility": [1, 1, 0, 1]}
    batch = {name: torch.tensor([row]) for name, row in tables.items()}
    return batch | {name: torch.tensor([row], dtype=torch.float32) for name, row in numbers.items()}


def random_sets(slots: int, objects: int, seed: int, batch: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.rand(batch, slots, 19, generator=generator, dtype=torch.float64)
    # entries up to 4 apart, so that the linear part of Huber's function is used too
    return predictions, 4 * torch.rand(batch, objects, 19, generator=generator, dtype=torch.float64)


def test_layout_of_the_nineteen_entries():
    targets = property_targets(one_scene())
    assert targets.shape == (1, 3, NUM_PROPERTIES)
    shape, size, material, color = [0, 0, 1], [1, 0], [0, 1], [0, 0, 0, 1, 0, 0, 0, 0]
    assert targets[0, 0, :15].tolist() == [*shape, *size, *material, *color]
    shape, size, material, color = [0, 1, 0], [0, 1], [1, 0], [1, 0, 0, 0, 0, 0, 0, 0]
    assert targets[0, 1, :15].tolist() == [*shape, *size, *material, *color]
    assert targets[0, :, REAL].tolist() == [1, 1, 0]


def test_coordinates_as_locatello_et_al_scale_them():
    coordinates = property_targets(one_scene())[0, :, COORDINATES]
    expected = torch.tensor([[0, 0.5, 3.7 / 6], [1, 0.75, 3.35 / 6], [0, 0, 0]])
    torch.testing.assert_close(coordinates, expected)  # float32


def test_coordinates_as_the_papers_code_scales_them():
    coordinates = property_targets(one_scene(), "authors")[0, :, COORDINATES]
    torch.testing.assert_close(coordinates, torch.tensor([[0, 0.5, 1], [1, 0.75, 0], [0.5, 0.5, -1]]))  # float32


@pytest.mark.parametrize("coordinates", COORDINATE_SCALINGS)
def test_clevr_scenes(coordinates):
    tables, counts = clevr()
    targets = property_targets(tables, coordinates)
    assert targets.shape == (8, 10, 19)
    assert torch.equal(targets[..., REAL].sum(1).long(), counts)
    assert torch.equal(targets[..., :15].sum((1, 2)).long(), 4 * counts)
    scaling, present = COORDINATE_SCALINGS[coordinates], targets[..., REAL] > 0
    world = targets[..., COORDINATES] * torch.tensor(scaling.extent) + torch.tensor(scaling.lowest)
    stored = torch.stack([tables[axis][:, 1:] for axis in "xyz"], dim=-1)
    torch.testing.assert_close(world[present], stored[present], rtol=0, atol=1e-6)  # float32 of numbers up to 3


@pytest.mark.parametrize("coordinates", COORDINATE_SCALINGS)
def test_padding_and_cutting(coordinates):
    own, more = property_targets(one_scene(), coordinates), property_targets(one_scene(), coordinates, num_objects=5)
    assert torch.equal(more[:, :3], own)
    assert torch.equal(more[:, 3:], own[:, 2:].expand(-1, 2, -1))
    assert torch.equal(property_targets(one_scene(), coordinates, num_objects=2), own[:, :2])


def test_a_scene_with_too_many_objects_is_refused():
    with pytest.raises(ValueError, match="more than num_objects=1 objects: filter the split by max_objects"):
        property_targets(one_scene(), num_objects=1)


def test_an_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match=r"coordinates must be one of \['authors', 'google'\], got 'unit'"):
        property_targets(one_scene(), "unit")


@pytest.mark.parametrize("number", [0, 9])
def test_class_numbers_out_of_range_are_refused(number):
    batch = one_scene()
    batch["color"][0, 1] = number
    with pytest.raises(ValueError, match=r"class numbers of visible objects must lie within 1..\[3, 2, 2, 8\]"):
        property_targets(batch)


def huber(difference: Tensor) -> Tensor:
    """Huber (1964) at δ = 1."""
    size = difference.abs()
    return torch.where(size < 1, size**2 / 2, size - 0.5)


@given(slots=st.integers(1, 5), objects=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_the_loss_is_the_least_over_all_matchings(slots, objects, seed):
    predictions, targets = random_sets(slots, objects, seed)
    few, many = (predictions, targets) if slots <= objects else (targets, predictions)
    costs = [
        huber(few - many[:, list(chosen)]).mean(dim=(1, 2))
        for chosen in permutations(range(many.shape[1]), few.shape[1])
    ]
    expected = torch.stack(costs).amin(dim=0)
    torch.testing.assert_close(hungarian_huber_losses(predictions, targets), expected, rtol=1e-12, atol=0)  # float64
    torch.testing.assert_close(hungarian_huber_loss(predictions, targets), expected.mean(), rtol=1e-12, atol=0)


@given(seed=st.integers(0, 2**31))
def test_the_order_of_slots_and_of_objects_does_not_matter(seed):
    predictions, targets = random_sets(7, 7, seed)
    generator = torch.Generator().manual_seed(seed)
    slot_order, object_order = (torch.randperm(7, generator=generator) for _ in range(2))
    shuffled = hungarian_huber_losses(predictions[:, slot_order], targets[:, object_order])
    # summed in another order
    torch.testing.assert_close(shuffled, hungarian_huber_losses(predictions, targets), rtol=1e-12, atol=0)


def test_a_value_worked_out_by_hand():
    """Errors of 0.6 and, in the linear part, 2 in one entry each: (0.18 + 1.5) / 19 over two pairs."""
    targets = torch.zeros(1, 2, 19)
    targets[0, 1] = 10.0
    predictions = targets.flip(1).clone()
    predictions[0, 0, 4] += 2.0
    predictions[0, 1, 3] += 0.6
    expected = torch.tensor((0.18 + 1.5) / 19 / 2)
    torch.testing.assert_close(hungarian_huber_loss(predictions, targets), expected)  # float32
    slots, objects = match_objects(predictions, targets)
    assert (slots.tolist(), objects.tolist()) == ([[0, 1]], [[1, 0]])


def test_gradients_reach_the_matched_slots_only():
    predictions, targets = random_sets(slots=6, objects=4, seed=0)
    hungarian_huber_loss(predictions.requires_grad_(), targets).backward()
    slots, objects = match_objects(predictions, targets)
    for scene in range(3):
        matched = predictions.detach()[scene, slots[scene]] - targets[scene, objects[scene]]
        expected = torch.zeros(6, 19, dtype=torch.float64)
        expected[slots[scene]] = matched.clamp(-1, 1) / (3 * 4 * 19)  # the derivative of Huber's function
        torch.testing.assert_close(predictions.grad[scene], expected, rtol=1e-12, atol=0)


def test_a_diverged_model_gives_a_loss_that_is_not_finite():
    predictions, targets = random_sets(slots=3, objects=3, seed=0)
    predictions[0, 1, 2] = torch.nan
    losses = hungarian_huber_losses(predictions, targets)
    assert losses.isfinite().tolist() == [False, True, True]


@pytest.mark.parametrize(("slots", "objects"), [(0, 2), (2, 0)])
def test_a_loss_without_slots_or_objects_is_refused(slots, objects):
    with pytest.raises(ValueError, match="must have at least one slot and one object"):
        hungarian_huber_loss(torch.zeros(1, slots, 19), torch.zeros(1, objects, 19))


@pytest.mark.parametrize(
    ("predictions", "targets"), [((0, 2, 19), (0, 2, 19)), ((1, 2, 19), (3, 2, 19)), ((2, 5), (2, 5))]
)
def test_a_loss_of_shapes_that_do_not_fit_is_refused(predictions, targets, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    expected = f"(B, K, F) and (B, M, F) with B at least 1, got {predictions} and {targets}"
    for loss in (hungarian_huber_loss, hungarian_huber_losses):
        with pytest.raises(ValueError, match=re.escape(expected)):
            loss(torch.zeros(predictions), torch.zeros(targets))
