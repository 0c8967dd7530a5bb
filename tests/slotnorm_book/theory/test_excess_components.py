"""Partitions of fits with more components than there are."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from slotnorm_book.theory.em import Fit, fit
from slotnorm_book.theory.excess_components import group_coincident, partition
from slotnorm_book.theory.vmf import VonMisesFisherMixture


def fit_of(directions: Tensor, responsibilities: Tensor) -> Fit:
    weights = torch.full((len(directions),), 1 / len(directions))
    return Fit(VonMisesFisherMixture(directions, weights, temperature=0.04), responsibilities, np.zeros(1), True)


def test_chains_of_near_directions_are_one_group() -> None:
    angles = torch.tensor([0.0, 0.08, 0.16, 1.0])
    directions = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert group_coincident(directions, angle=0.1).tolist() == [0, 0, 0, 1]
    assert group_coincident(directions, angle=0.05).tolist() == [0, 1, 2, 3]


def test_partition_by_hand() -> None:
    # the first two components coincide and share the first two points by a hair
    directions = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    gamma = torch.tensor([[0.51, 0.49, 0.0], [0.49, 0.51, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    found = partition(fit_of(directions, gamma), torch.tensor([0, 0, 1, 1]))
    assert found.components == 3
    assert found.owners == 3
    assert found.directions == 2
    assert found.merged_ari == 1.0
    assert found.ari == pytest.approx(4 / 7)  # pairs: 1 together in both, 2 in the truth, 1 found, 6 in all
    assert found.effective == pytest.approx(math.exp(0.5 * math.log(4) + 0.5 * math.log(2)), rel=1e-6)


def test_equal_weights_let_coincident_components_share_points_and_estimated_ones_do_not(
    generator: torch.Generator,
) -> None:
    """With fifteen components for three, what differs is who wins a point, not which directions are found."""
    truth = VonMisesFisherMixture(torch.eye(3), torch.full((3,), 1 / 3), temperature=0.05)
    points, labels = truth.sample(300, generator)
    found = {
        weights: partition(fit(points, 15, torch.Generator().manual_seed(0), 0.05, weights), labels)
        for weights in (True, False)
    }
    assert found[True].ari > found[False].ari + 0.1
    # once coincident components are merged, both agree with the truth far better than fixed weights alone
    assert min(found[True].merged_ari, found[False].merged_ari) > found[False].ari + 0.1
