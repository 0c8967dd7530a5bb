r"""Von Mises-Fisher mixtures on the unit sphere and their estimation by expectation maximization (Secs. 2.2 and 3).

A von Mises-Fisher distribution has density :math:`f(x \mid \theta, \tau) = \exp(\theta^\top x / \tau) / Z(d, \tau)`
with respect to the surface measure of the sphere in :math:`\mathbb{R}^d`. The temperature :math:`\tau` is the inverse
of the concentration :math:`\kappa` of the directional-statistics literature; as in Section 3 all components share one
and it is not estimated.

Shape letters: N points, K components, D dimension of the ambient space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from slotnorm_book.theory.bessel import log_scaled_bessel

__all__ = [
    "log_normalizer",
    "mean_resultant_length",
    "log_density",
    "sample",
    "VonMisesFisherMixture",
    "e_step",
    "m_step",
    "directions_of",
    "Fit",
    "fit",
]


def log_normalizer(dim: int, temperature: float) -> float:
    r"""Log of the normalizing constant :math:`Z(d, \tau)` (Sec. 2.2), in double precision in any dimension.

    With :math:`\nu = d/2 - 1` and :math:`\kappa = 1/\tau` it is :math:`Z = (2\pi)^{d/2} I_\nu(\kappa) \kappa^{-\nu}`,
    which neither over- nor underflows, although :math:`I_\nu` does.

    Args:
        dim: d, at least 2.
        temperature: :math:`\tau`.

    Raises:
        ValueError: for a dimension below 2 or a temperature that is not positive and finite.

    Example:
        >>> round(log_normalizer(3, temperature=1.0), 6)  # 4 pi sinh(1)
        2.692464
    """
    _check(dim, temperature)
    return dim / 2 * math.log(2 * math.pi) + log_scaled_bessel(dim / 2 - 1, 1 / temperature)


def mean_resultant_length(dim: int, temperature: float) -> float:
    r"""Length of the mean vector, :math:`\lVert \mathbb{E}[x] \rVert = I_{d/2}(\kappa) / I_{d/2-1}(\kappa)`; in (0, 1).

    Args:
        dim: d, at least 2.
        temperature: :math:`\tau = 1/\kappa`.

    Raises:
        ValueError: for a dimension below 2 or a temperature that is not positive and finite.

    Example:
        >>> round(mean_resultant_length(3, temperature=1.0), 6)  # coth(1) - 1
        0.313035
    """
    _check(dim, temperature)
    log_ratio = log_scaled_bessel(dim / 2, 1 / temperature) - log_scaled_bessel(dim / 2 - 1, 1 / temperature)
    return math.exp(log_ratio) / temperature


def log_density(
    points: Float[Tensor, "points dim"], directions: Float[Tensor, "components dim"], temperature: float
) -> Float[Tensor, "points components"]:
    r"""Log-density :math:`\theta_k^\top x_n / \tau - \log Z(d, \tau)` of every point under every direction (Sec. 2.2).

    Args:
        points: :math:`x_n` on the unit sphere, shape (N, D).
        directions: :math:`\theta_k` on the unit sphere, shape (K, D).
        temperature: :math:`\tau`.

    Returns:
        Natural logarithms of densities, shape (N, K).

    Example:
        >>> density = log_density(torch.eye(2), torch.eye(2), temperature=1.0)
        >>> round((density[0, 0] - density[0, 1]).item(), 6)  # of a right angle
        1.0
    """
    return points @ directions.T / temperature - log_normalizer(points.shape[1], temperature)


def sample(
    directions: Float[Tensor, "points dim"], temperature: float, generator: torch.Generator
) -> Float[Tensor, "points dim"]:
    r"""One exact draw around each direction, by the rejection scheme of Wood (1994).

    SciPy's sampler knows one direction per call and rotates at a cost quadratic in d; here every point has its own
    direction and the cost is linear. The cosine :math:`\theta^\top x` is drawn by rejection, the rest is uniform.

    Args:
        directions: :math:`\theta` of each point, on the unit sphere, shape (N, D).
        temperature: :math:`\tau`.
        generator: source of randomness, on the device of ``directions``.

    Returns:
        Points on the unit sphere, shape (N, D), in the dtype of ``directions``.

    Raises:
        ValueError: for a dimension below 2 or a temperature that is not positive and finite.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> points = sample(torch.eye(3)[:1].expand(1000, 3), temperature=0.01, generator=generator)
        >>> points.shape, bool((points[:, 0] > 0.8).all())
        (torch.Size([1000, 3]), True)
    """
    count, dim = directions.shape
    _check(dim, temperature)
    below, above = _sample_cosines(count, dim, 1 / temperature, directions, generator)
    tangent = torch.randn(count, dim, dtype=directions.dtype, device=directions.device, generator=generator)
    for _ in range(2):  # the second pass restores what cancels where the first leaves little
        tangent = tangent - (tangent * directions).sum(1, keepdim=True) * directions
        tangent = torch.nn.functional.normalize(tangent, dim=1)
    return (1 - below)[:, None] * directions + (below * above).sqrt()[:, None] * tangent


def _sample_cosines(
    count: int, dim: int, kappa: float, like: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """1 - w and 1 + w for exact draws of the cosine w; apart, since their product is the squared sine."""
    below, above = like.new_empty(count), like.new_empty(count)
    # Wood's b, with the difference of nearly equal roots multiplied out
    b = (dim - 1) / (2 * kappa + math.sqrt(4 * kappa**2 + (dim - 1) ** 2))
    pending = torch.arange(count, device=like.device)
    while len(pending):
        normal = torch.randn(2, len(pending), dim - 1, dtype=like.dtype, device=like.device, generator=generator)
        chi2 = normal.square().sum(2)
        beta = chi2[0] / chi2.sum(0)
        scale = 1 - (1 - b) * beta
        one_minus_w = 2 * b * beta / scale
        log_ratio = kappa * (2 * b / (1 + b) - one_minus_w) + (dim - 1) * torch.log((1 + b) / (2 * scale))
        uniform = torch.rand(len(pending), dtype=like.dtype, device=like.device, generator=generator)
        accepted = uniform.log() <= log_ratio
        below[pending[accepted]] = one_minus_w[accepted]
        above[pending[accepted]] = (2 * (1 - beta) / scale)[accepted]
        pending = pending[~accepted]
    return below, above


@dataclass(frozen=True, eq=False)
class VonMisesFisherMixture:
    r"""Mixture density :math:`g(x) = \sum_k \pi_k f(x \mid \theta_k, \tau)` (Sec. 2.2), one temperature for all.

    Args:
        directions: mean directions :math:`\theta_k` on the unit sphere, shape (K, D).
        weights: mixture weights :math:`\pi_k`, non-negative with sum one, shape (K,).
        temperature: :math:`\tau`.

    Raises:
        ValueError: for directions off the sphere, weights off the simplex or a temperature that is not positive.

    Example:
        >>> mixture = VonMisesFisherMixture(torch.eye(3), torch.tensor([0.5, 0.3, 0.2]), temperature=0.1)
        >>> points, labels = mixture.sample(10, torch.Generator().manual_seed(0))
        >>> points.shape, labels.shape
        (torch.Size([10, 3]), torch.Size([10]))
    """

    directions: Float[Tensor, "components dim"]
    weights: Float[Tensor, " components"]
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check(self.directions.shape[1], self.temperature)
        tolerance = 100 * torch.finfo(self.directions.dtype).eps * self.directions.shape[1] ** 0.5
        if not bool(((self.directions.norm(dim=1) - 1).abs() <= tolerance).all()):
            raise ValueError("directions must have unit length; normalize them first")
        off_sum = abs(self.weights.sum().item() - 1)
        if not (bool((self.weights >= 0).all()) and off_sum <= tolerance * max(1, len(self.weights))):
            raise ValueError("weights must be non-negative with sum one; divide them by their sum first")

    def log_joint(self, points: Float[Tensor, "points dim"]) -> Float[Tensor, "points components"]:
        r""":math:`\log \pi_k f(x_n \mid \theta_k, \tau)`, shape (N, K)."""
        return self.weights.log() + log_density(points, self.directions, self.temperature)

    def log_likelihood(self, points: Float[Tensor, "points dim"]) -> float:
        """Mean of :math:`\\log g(x_n)` over points of shape (N, D), in nats per point."""
        return self.log_joint(points).logsumexp(1).mean().item()

    def sample(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "points dim"], Int[Tensor, " points"]]:
        """``count`` points, shape (N, D), and the component that each came from, shape (N,)."""
        labels = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        return sample(self.directions[labels], self.temperature, generator), labels


def e_step(points: Float[Tensor, "points dim"], mixture: VonMisesFisherMixture) -> Float[Tensor, "points components"]:
    r"""Responsibilities :math:`\gamma_{n,k} \propto \pi_k \exp(x_n^\top \theta_k / \tau)` (Eq. 5), shape (N, K).

    Args:
        points: :math:`x_n`, shape (N, D).
        mixture: the current estimate.

    Example:
        >>> mixture = VonMisesFisherMixture(torch.eye(2), torch.tensor([0.5, 0.5]), temperature=0.01)
        >>> e_step(torch.eye(2), mixture).round().tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    return mixture.log_joint(points).softmax(1)


def m_step(
    points: Float[Tensor, "points dim"],
    responsibilities: Float[Tensor, "points components"],
    mixture: VonMisesFisherMixture,
    estimate_weights: bool = True,
) -> VonMisesFisherMixture:
    r"""New directions (Eq. 7) and, if wanted, new mixture weights (Eq. 8).

    A component whose weighted sum of points vanishes keeps its direction: Eq. 7 does not say where it should point.

    Args:
        points: :math:`x_n`, shape (N, D).
        responsibilities: :math:`\gamma_{n,k}`, shape (N, K).
        mixture: the current estimate.
        estimate_weights: whether Eq. 8 is applied; otherwise the weights stay.

    Example:
        >>> mixture = VonMisesFisherMixture(torch.eye(2), torch.tensor([0.5, 0.5]))
        >>> m_step(torch.eye(2)[[0, 0, 1, 0]], torch.eye(2)[[0, 0, 1, 0]], mixture).weights.tolist()
        [0.75, 0.25]
    """
    directions = directions_of(responsibilities.T @ points, mixture.directions)
    weights = responsibilities.mean(0) if estimate_weights else mixture.weights
    return replace(mixture, directions=directions, weights=weights)


def directions_of(
    vectors: Float[Tensor, "components dim"], previous: Float[Tensor, "components dim"]
) -> Float[Tensor, "components dim"]:
    """Each vector over its length (Eq. 7), and the previous direction in the place of a vector that vanishes.

    Example:
        >>> directions_of(torch.tensor([[0.0, 2.0], [0.0, 0.0]]), previous=torch.eye(2)).tolist()
        [[0.0, 1.0], [0.0, 1.0]]
    """
    lengths_K1 = vectors.norm(dim=1, keepdim=True)
    defined_K1 = lengths_K1 > torch.finfo(vectors.dtype).tiny
    return torch.where(defined_K1, vectors / torch.where(defined_K1, lengths_K1, 1.0), previous)


@dataclass(frozen=True, eq=False)
class Fit:
    """What :func:`fit` found.

    Args:
        mixture: the estimate.
        responsibilities: Eq. 5 under the estimate, shape (N, K).
        log_likelihood: nats per point before each iteration and after the last, shape (iterations + 1,).
        converged: whether the last iteration gained no more than the tolerance.

    Example:
        >>> points = torch.eye(3)
        >>> found = fit(points, 3, torch.Generator().manual_seed(0), temperature=0.1)
        >>> found.responsibilities.shape, bool(found.log_likelihood[-1] >= found.log_likelihood[0])
        (torch.Size([3, 3]), True)
    """

    mixture: VonMisesFisherMixture
    responsibilities: Float[Tensor, "points components"]
    log_likelihood: Float[np.ndarray, " iterations"]
    converged: bool


def fit(
    points: Float[Tensor, "points dim"],
    num_components: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    estimate_weights: bool = True,
    iterations: int = 200,
    tolerance: float = 1e-9,
    restarts: int = 1,
) -> Fit:
    r"""Expectation maximization (Sec. 3.1), from directions at random data points and equal weights.

    Args:
        points: :math:`x_n` on the unit sphere, shape (N, D).
        num_components: K, at most N.
        generator: source of the initial directions, on the CPU.
        temperature: :math:`\tau`, fixed.
        estimate_weights: whether Eq. 8 is applied; otherwise all weights stay 1/K.
        iterations: at most so many E- and M-steps.
        tolerance: stop when the mean log-likelihood gains no more than this, in nats per point.
        restarts: initializations, of which the one with the highest final likelihood is returned.

    Raises:
        ValueError: for more components than points, or a count below 1.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> truth = VonMisesFisherMixture(torch.eye(3), torch.tensor([0.5, 0.3, 0.2]), temperature=0.1)
        >>> points, labels = truth.sample(500, generator)
        >>> fit(points, 3, generator, temperature=0.1).converged
        True
    """
    for name, value in {"num_components": num_components, "iterations": iterations, "restarts": restarts}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if num_components > len(points):
        raise ValueError(f"num_components must be at most the number of points, {len(points)}; got {num_components}")
    fits = []
    for _ in range(restarts):
        chosen = torch.randperm(len(points), generator=generator)[:num_components]
        weights = points.new_full((num_components,), 1 / num_components)
        start = VonMisesFisherMixture(points[chosen.to(points.device)], weights, temperature)
        fits.append(_fit_from(points, start, estimate_weights, iterations, tolerance))
    return max(fits, key=lambda one: float(one.log_likelihood[-1]))


def _fit_from(
    points: Tensor, mixture: VonMisesFisherMixture, estimate_weights: bool, iterations: int, tolerance: float
) -> Fit:
    joint_NK = mixture.log_joint(points)
    trace = [joint_NK.logsumexp(1).mean().item()]
    converged = False
    while len(trace) <= iterations and not converged:
        mixture = m_step(points, joint_NK.softmax(1), mixture, estimate_weights)
        joint_NK = mixture.log_joint(points)
        trace.append(joint_NK.logsumexp(1).mean().item())
        converged = trace[-1] - trace[-2] <= tolerance
    return Fit(mixture, joint_NK.softmax(1), np.array(trace), converged)


def _check(dim: int, temperature: float) -> None:
    if dim < 2:
        raise ValueError(f"the dimension must be at least 2, got {dim}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
