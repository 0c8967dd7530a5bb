"""Expectation maximization for von Mises-Fisher mixtures."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from slotnorm_book.theory.em import e_step, fit, m_step
from slotnorm_book.theory.vmf import VonMisesFisherMixture

DOUBLE = torch.float64


def unit(*shape: int, generator: torch.Generator) -> Tensor:
    return normalize(torch.randn(*shape, dtype=DOUBLE, generator=generator), dim=-1)


def clustered(generator: torch.Generator, count: int = 200) -> tuple[Tensor, Tensor]:
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE)
    return VonMisesFisherMixture(torch.eye(3, dtype=DOUBLE), weights, 0.05).sample(count, generator)


def test_e_step_by_hand() -> None:
    # Eq. 5 with x = (1, 0): weights 1/4 and 3/4, exponents 2 and 0, hence 1/4 e^2 : 3/4
    mixture = VonMisesFisherMixture(torch.eye(2), torch.tensor([0.25, 0.75]), temperature=0.5)
    gamma = e_step(torch.tensor([[1.0, 0.0]]), mixture)
    first = math.exp(2) / (math.exp(2) + 3)
    assert gamma[0].tolist() == pytest.approx([first, 1 - first], rel=1e-6)  # single precision


def test_m_step_by_hand() -> None:
    # Eq. 7: (1, 0) + 0.5 (0, 1) over its length; Eq. 8: (1 + 0.5) / 2
    mixture = VonMisesFisherMixture(torch.eye(2), torch.tensor([0.5, 0.5]))
    gamma = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    new = m_step(torch.eye(2), gamma, mixture)
    assert new.directions[0].tolist() == pytest.approx([2 / math.sqrt(5), 1 / math.sqrt(5)], rel=1e-6)
    assert new.weights.tolist() == pytest.approx([0.75, 0.25])
    assert torch.equal(m_step(torch.eye(2), gamma, mixture, estimate_weights=False).weights, mixture.weights)


def test_an_empty_component_keeps_its_direction_and_the_fit_stays_finite(generator: torch.Generator) -> None:
    points, _ = clustered(generator)
    directions = torch.tensor([[1.0, 0, 0], [0, -1, 0]], dtype=DOUBLE)
    mixture = VonMisesFisherMixture(directions, torch.tensor([1.0, 0.0], dtype=DOUBLE), 1e-4)
    for _ in range(3):
        gamma = e_step(points, mixture)
        mixture = m_step(points, gamma, mixture)
        assert torch.isfinite(gamma).all()
        assert math.isfinite(mixture.log_likelihood(points))
    assert mixture.weights[1] == 0
    assert torch.equal(mixture.directions[1], directions[1])


@given(
    seed=st.integers(0, 2**31),
    num_components=st.integers(1, 12),
    temperature=st.floats(0.01, 5),
    estimate_weights=st.booleans(),
    dim=st.integers(2, 8),
)
def test_likelihood_never_decreases(
    seed: int, num_components: int, temperature: float, estimate_weights: bool, dim: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = unit(60, dim, generator=generator)
    found = fit(points, num_components, generator, temperature, estimate_weights, iterations=30)
    # rounding of a mean of logarithms of the order of 1 / temperature
    assert np.diff(found.log_likelihood).min() >= -1e-12 / temperature
    assert torch.isfinite(found.mixture.directions).all()
    assert found.mixture.weights.sum().item() == pytest.approx(1)
    assert torch.equal(found.responsibilities, e_step(points, found.mixture))
    if not estimate_weights:
        assert found.mixture.weights.tolist() == pytest.approx([1 / num_components] * num_components)


def test_fit_finds_the_mixture_that_it_was_given_samples_of(generator: torch.Generator) -> None:
    points, _ = clustered(generator, 4000)
    found = fit(points, 3, generator, temperature=0.05, restarts=5)
    order = (found.mixture.directions @ torch.eye(3, dtype=DOUBLE)).argmax(0)
    assert found.converged
    # three standard errors at 800 to 2000 points a component
    assert torch.allclose(found.mixture.weights[order], torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE), atol=0.025)
    assert (found.mixture.directions[order].diagonal() > math.cos(3 * math.sqrt(2 * 0.05 / 800))).all()


def test_more_restarts_never_find_a_worse_fit(generator: torch.Generator) -> None:
    points, _ = clustered(generator)
    ends = []
    for restarts in (1, 2, 4):
        found = fit(points, 6, torch.Generator().manual_seed(1), 0.05, restarts=restarts)
        ends.append(found.log_likelihood[-1])
    assert ends == sorted(ends)


def test_fit_runs_in_single_precision(generator: torch.Generator) -> None:
    points, _ = clustered(generator)
    found = fit(points.float(), 4, generator, temperature=0.05)
    assert found.mixture.directions.dtype == torch.float32
    assert math.isfinite(found.log_likelihood[-1])


def test_wrong_arguments_are_refused(generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match="at most the number of points"):
        fit(torch.eye(3), 4, generator)
    with pytest.raises(ValueError, match="restarts must be at least 1"):
        fit(torch.eye(3), 2, generator, restarts=0)


def test_points_off_the_sphere_are_refused_in_each_step(generator: torch.Generator) -> None:
    mixture = fit(torch.eye(3), 2, generator).mixture
    points = torch.eye(3) * torch.tensor([1, 1, 1.01])
    with pytest.raises(ValueError, match="points must have unit length"):
        e_step(points, mixture)
    with pytest.raises(ValueError, match="points must have unit length"):
        m_step(points, torch.full((3, 2), 0.5), mixture)


@pytest.mark.parametrize("row", range(4))
def test_one_point_off_the_sphere_is_refused_whatever_the_seed(row: int) -> None:
    points = torch.eye(4)
    points[row] *= 1.01
    for seed in range(12):
        with pytest.raises(ValueError, match="points must have unit length"):
            fit(points, 1, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_rows_that_are_not_finite_are_named(value: float) -> None:
    points = torch.eye(4)
    points[2, 1] = value
    for seed in range(12):
        with pytest.raises(ValueError, match="points hold NaN or infinite numbers, first in row 2"):
            fit(points, 1, torch.Generator().manual_seed(seed))
