"""Von Mises-Fisher distributions and mixtures: density and sampling."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import normalize

from slotnorm_book.theory import vmf
from slotnorm_book.theory.em import e_step
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


def test_wrong_arguments_are_refused(generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match="dimension must be at least 2"):
        vmf.log_normalizer(1, 1.0)
    for temperature in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="temperature must be positive"):
            vmf.sample(torch.eye(2), temperature, generator)
    with pytest.raises(ValueError, match="unit length"):
        VonMisesFisherMixture(2 * torch.eye(2), torch.tensor([0.5, 0.5]))
    for weights in ([0.5, 0.6], [1.5, -0.5]):
        with pytest.raises(ValueError, match="non-negative with sum one"):
            VonMisesFisherMixture(torch.eye(2), torch.tensor(weights))
    with pytest.raises(ValueError, match="weights hold NaN"):
        VonMisesFisherMixture(torch.eye(2), torch.tensor([0.5, math.nan]))


def test_points_and_directions_off_the_sphere_are_refused_by_every_function(generator: torch.Generator) -> None:
    mixture = VonMisesFisherMixture(torch.eye(2), torch.tensor([0.5, 0.5]))
    calls = {
        "points": [
            lambda rows: vmf.log_density(rows, torch.eye(2), 1.0),
            mixture.log_joint,
            mixture.log_likelihood,
            lambda rows: e_step(rows, mixture),
        ],
        "directions": [
            lambda rows: vmf.log_density(torch.eye(2), rows, 1.0),
            lambda rows: vmf.sample(rows, 1.0, generator),
            lambda rows: VonMisesFisherMixture(rows, torch.tensor([0.5, 0.5])),
        ],
    }
    for name, functions in calls.items():
        for function in functions:
            with pytest.raises(ValueError, match=f"{name} must have unit length"):
                function(1.01 * torch.eye(2))
            with pytest.raises(ValueError, match=f"{name} hold NaN or infinite numbers, first in row 1"):
                function(torch.tensor([[1.0, 0.0], [math.nan, 0.0]]))
