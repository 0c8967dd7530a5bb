"""von Mises-Fisher mixtures: density, sampling, expectation maximization."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch.nn.functional import normalize

from slotnorm_book.theory import vmf
from slotnorm_book.theory.vmf import VonMisesFisherMixture

DOUBLE = torch.float64
DIMENSIONS = (2, 3, 4, 10, 32, 61, 62, 63, 100, 512, 4096)
CONCENTRATIONS = (1e-6, 1e-3, 0.99, 1.01, 10.0, 29.9, 30.1, 700.0, 1e4, 1e6)


def unit(*shape: int, generator: torch.Generator) -> Tensor:
    return normalize(torch.randn(*shape, dtype=DOUBLE, generator=generator), dim=-1)


def clustered(generator: torch.Generator, count: int = 200) -> tuple[Tensor, Tensor]:
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE)
    return VonMisesFisherMixture(torch.eye(3, dtype=DOUBLE), weights, 0.05).sample(count, generator)


@pytest.mark.parametrize("kappa", CONCENTRATIONS)
@pytest.mark.parametrize("dim", DIMENSIONS)
def test_log_normalizer_agrees_with_40_digits(dim: int, kappa: float) -> None:
    with mpmath.workdps(40):
        order, argument = mpmath.mpf(dim) / 2 - 1, 1 / mpmath.mpf(1 / kappa)
        bessel = mpmath.log(mpmath.besseli(order, argument, maxterms=10**7))
        expected = float(mpmath.mpf(dim) / 2 * mpmath.log(2 * mpmath.pi) + bessel - order * mpmath.log(argument))
    # rounding of the terms that cancel, the largest of which is of the order of d log d or kappa
    assert vmf.log_normalizer(dim, 1 / kappa) == pytest.approx(expected, rel=1e-13, abs=2e-15 * dim * math.log(dim * 9))


def test_normalizer_of_the_circle_and_the_sphere_by_hand() -> None:
    # rounding only: these are closed forms, 2 pi I_0(1) and 4 pi sinh(1)
    assert vmf.log_normalizer(2, 1.0) == pytest.approx(math.log(2 * math.pi * 1.2660658777520084), rel=1e-14)
    assert vmf.log_normalizer(3, 1.0) == pytest.approx(math.log(4 * math.pi * math.sinh(1)), rel=1e-14)


@pytest.mark.parametrize("dim", [2, 3, 7, 300])
def test_density_integrates_to_one(dim: int, generator: torch.Generator) -> None:
    angle = torch.linspace(0, math.pi, 20001, dtype=DOUBLE)
    direction = torch.zeros(dim, dtype=DOUBLE)
    direction[0] = 1
    points = torch.zeros(len(angle), dim, dtype=DOUBLE)
    points[:, 0], points[:, 1] = angle.cos(), angle.sin()
    ring = math.log(2) + (dim - 1) / 2 * math.log(math.pi) - math.lgamma((dim - 1) / 2)
    log_mass = vmf.log_density(points, direction[None], 0.1)[:, 0] + ring + (dim - 2) * angle.sin().clamp(1e-300).log()
    # trapezoids of width 1.6e-4 are off by their square for a density of unit curvature scale sqrt(tau)
    assert torch.trapezoid(log_mass.exp(), angle).item() == pytest.approx(1.0, abs=1e-6)


def test_mean_resultant_length_of_the_sphere_by_hand() -> None:
    # coth(kappa) - 1 / kappa, the Langevin function
    assert vmf.mean_resultant_length(3, 0.5) == pytest.approx(1 / math.tanh(2) - 0.5, rel=1e-13)


@pytest.mark.parametrize("kappa", [1e-3, 1.0, 30.0, 1e4, 1e6])
@pytest.mark.parametrize("dim", [2, 3, 4, 16, 128, 512])
def test_angle_to_the_direction_follows_the_exact_density(dim: int, kappa: float, generator: torch.Generator) -> None:
    direction = unit(dim, generator=generator)
    points = vmf.sample(direction.expand(3000, dim), 1 / kappa, generator)
    along = points @ direction
    angle = torch.atan2((points - along[:, None] * direction).norm(dim=1), along).numpy()
    grid = np.linspace(0, min(math.pi, 10 * math.sqrt(dim / kappa)), 100_001)
    log_density = -2 * kappa * np.sin(grid / 2) ** 2 + (dim - 2) * np.log(np.maximum(np.sin(grid), 1e-300))
    cdf = np.cumsum(np.exp(log_density - log_density.max()))
    test = stats.kstest(angle, lambda a: np.interp(a, grid, cdf / cdf[-1]))
    # 30 cases with a fixed seed: a correct sampler stays above 1e-4 in all of them with probability 0.997
    assert test.pvalue > 1e-4
    assert (points.norm(dim=1) - 1).abs().max() < 1e-14


@pytest.mark.parametrize("dim", [2, 3, 10])
def test_sampler_agrees_with_scipy_in_every_coordinate(dim: int, generator: torch.Generator) -> None:
    direction = unit(dim, generator=generator)
    ours = vmf.sample(direction.expand(4000, dim), 0.2, generator).numpy()
    theirs = stats.vonmises_fisher(direction.numpy(), 5.0).rvs(4000, random_state=1)
    # 15 two-sample tests with fixed seeds, as above
    assert min(stats.ks_2samp(ours[:, d], theirs[:, d]).pvalue for d in range(dim)) > 1e-4


@pytest.mark.parametrize(("dim", "kappa"), [(2, 2.0), (3, 20.0), (64, 10.0), (512, 1000.0)])
def test_mean_of_samples_has_the_resultant_length_and_the_direction(
    dim: int, kappa: float, generator: torch.Generator
) -> None:
    direction = unit(dim, generator=generator)
    mean = vmf.sample(direction.expand(5000, dim), 1 / kappa, generator).mean(0)
    # five standard errors of a mean of bounded variance
    assert (mean @ direction).item() == pytest.approx(
        vmf.mean_resultant_length(dim, 1 / kappa), abs=5 / math.sqrt(5000)
    )
    assert (mean - (mean @ direction) * direction).norm() < 5 / math.sqrt(5000)


def test_samples_turn_with_their_direction(generator: torch.Generator) -> None:
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=DOUBLE, generator=generator))[0]
    direction = unit(6, generator=generator)
    plain = vmf.sample(direction.expand(5000, 6), 0.1, generator) @ rotation.T
    turned = vmf.sample((rotation @ direction).expand(5000, 6), 0.1, generator)
    # six two-sample tests with a fixed seed
    assert min(stats.ks_2samp(plain[:, d].numpy(), turned[:, d].numpy()).pvalue for d in range(6)) > 1e-4


def test_sampling_repeats_with_the_seed() -> None:
    draws = [vmf.sample(torch.eye(4), 0.3, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], vmf.sample(torch.eye(4), 0.3, torch.Generator().manual_seed(8)))


def test_mixture_sample_labels_have_the_weights_and_lie_near_their_directions(generator: torch.Generator) -> None:
    points, labels = clustered(generator, 5000)
    shares = torch.bincount(labels, minlength=3) / 5000
    # four standard errors of a share
    assert torch.allclose(shares, torch.tensor([0.5, 0.3, 0.2]), atol=4 * 0.5 / math.sqrt(5000))
    resultant = vmf.mean_resultant_length(3, 0.05)
    assert points[torch.arange(5000), labels].mean().item() == pytest.approx(resultant, abs=0.01)


def test_e_step_by_hand() -> None:
    # Eq. 5 with x = (1, 0): weights 1/4 and 3/4, exponents 2 and 0, hence 1/4 e^2 : 3/4
    mixture = VonMisesFisherMixture(torch.eye(2), torch.tensor([0.25, 0.75]), temperature=0.5)
    gamma = vmf.e_step(torch.tensor([[1.0, 0.0]]), mixture)
    first = math.exp(2) / (math.exp(2) + 3)
    assert gamma[0].tolist() == pytest.approx([first, 1 - first], rel=1e-6)  # single precision


def test_m_step_by_hand() -> None:
    # Eq. 7: (1, 0) + 0.5 (0, 1) over its length; Eq. 8: (1 + 0.5) / 2
    mixture = VonMisesFisherMixture(torch.eye(2), torch.tensor([0.5, 0.5]))
    gamma = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    new = vmf.m_step(torch.eye(2), gamma, mixture)
    assert new.directions[0].tolist() == pytest.approx([2 / math.sqrt(5), 1 / math.sqrt(5)], rel=1e-6)
    assert new.weights.tolist() == pytest.approx([0.75, 0.25])
    assert torch.equal(vmf.m_step(torch.eye(2), gamma, mixture, estimate_weights=False).weights, mixture.weights)


def test_an_empty_component_keeps_its_direction_and_the_fit_stays_finite(generator: torch.Generator) -> None:
    points, _ = clustered(generator)
    directions = torch.tensor([[1.0, 0, 0], [0, -1, 0]], dtype=DOUBLE)
    mixture = VonMisesFisherMixture(directions, torch.tensor([1.0, 0.0], dtype=DOUBLE), 1e-4)
    for _ in range(3):
        gamma = vmf.e_step(points, mixture)
        mixture = vmf.m_step(points, gamma, mixture)
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
    fit = vmf.fit(points, num_components, generator, temperature, estimate_weights, iterations=30)
    # rounding of a mean of logarithms of the order of 1 / temperature
    assert np.diff(fit.log_likelihood).min() >= -1e-12 / temperature
    assert torch.isfinite(fit.mixture.directions).all()
    assert fit.mixture.weights.sum().item() == pytest.approx(1)
    assert torch.equal(fit.responsibilities, vmf.e_step(points, fit.mixture))
    if not estimate_weights:
        assert fit.mixture.weights.tolist() == pytest.approx([1 / num_components] * num_components)


def test_fit_finds_the_mixture_that_it_was_given_samples_of(generator: torch.Generator) -> None:
    points, _ = clustered(generator, 4000)
    found = vmf.fit(points, 3, generator, temperature=0.05, restarts=5)
    order = (found.mixture.directions @ torch.eye(3, dtype=DOUBLE)).argmax(0)
    assert found.converged
    # three standard errors at 800 to 2000 points a component
    assert torch.allclose(found.mixture.weights[order], torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE), atol=0.025)
    assert (found.mixture.directions[order].diagonal() > math.cos(3 * math.sqrt(2 * 0.05 / 800))).all()


def test_more_restarts_never_find_a_worse_fit(generator: torch.Generator) -> None:
    points, _ = clustered(generator)
    ends = []
    for restarts in (1, 2, 4):
        found = vmf.fit(points, 6, torch.Generator().manual_seed(1), 0.05, restarts=restarts)
        ends.append(found.log_likelihood[-1])
    assert ends == sorted(ends)


def test_fit_runs_in_single_precision(generator: torch.Generator) -> None:
    points, _ = clustered(generator)
    found = vmf.fit(points.float(), 4, generator, temperature=0.05)
    assert found.mixture.directions.dtype == torch.float32
    assert math.isfinite(found.log_likelihood[-1])


def test_wrong_arguments_are_refused(generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match="dimension must be at least 2"):
        vmf.log_normalizer(1, 1.0)
    for temperature in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="temperature must be positive"):
            vmf.sample(torch.eye(2), temperature, generator)
    with pytest.raises(ValueError, match="unit length"):
        VonMisesFisherMixture(2 * torch.eye(2), torch.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match="sum one"):
        VonMisesFisherMixture(torch.eye(2), torch.tensor([0.5, 0.6]))
    with pytest.raises(ValueError, match="at most the number of points"):
        vmf.fit(torch.eye(3), 4, generator)
    with pytest.raises(ValueError, match="restarts must be at least 1"):
        vmf.fit(torch.eye(3), 2, generator, restarts=0)
