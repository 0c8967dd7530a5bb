r"""Von Mises-Fisher distributions and mixtures on the unit sphere: densities and exact samples (Sec. 2.2).

A von Mises-Fisher distribution has density :math:`f(x \mid \theta, \tau) = \exp(\theta^\top x / \tau) / Z(d, \tau)`
with respect to the surface measure of the sphere in :math:`\mathbb{R}^d`. The temperature :math:`\tau` is the inverse
of the concentration :math:`\kappa` of the directional-statistics literature; as in Section 3 all components share one
temperature, which is not estimated.

Shape letters: N points, K components, D dimension of the ambient space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
]


def log_normalizer(dim: int, temperature: float) -> float:
    r"""Return the logarithm of the normalizing constant :math:`Z(d, \tau)` (Sec. 2.2) in double precision.

    With :math:`\nu = d/2 - 1` and :math:`\kappa = 1/\tau` it is :math:`Z = (2\pi)^{d/2} I_\nu(\kappa) \kappa^{-\nu}`,
    whose logarithm is finite in any dimension, although :math:`I_\nu` over- or underflows.

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
    r"""Return the length of the mean vector, :math:`\lVert \mathbb{E}[x] \rVert = I_{d/2}(\kappa) / I_{d/2-1}(\kappa)`.

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
    r"""Return log-densities :math:`\theta_k^\top x_n / \tau - \log Z(d, \tau)` (Sec. 2.2).

    Args:
        points: :math:`x_n` on the unit sphere, shape (N, D).
        directions: :math:`\theta_k` on the unit sphere, shape (K, D).
        temperature: :math:`\tau`.

    Returns:
        Natural logarithms of densities, shape (N, K).

    Raises:
        ValueError: for points or directions off the sphere, or a temperature that is not positive and finite.

    Example:
        >>> density = log_density(torch.eye(2), torch.eye(2), temperature=1.0)
        >>> round((density[0, 0] - density[0, 1]).item(), 6)  # of a right angle
        1.0
    """
    require_unit_length(points=points, directions=directions)
    return points @ directions.T / temperature - log_normalizer(points.shape[1], temperature)


def sample(
    directions: Float[Tensor, "points dim"], temperature: float, generator: torch.Generator
) -> Float[Tensor, "points dim"]:
    r"""Draw one exact sample around each direction, by the rejection scheme of Wood (1994).

    SciPy's sampler takes one direction per call and rotates at a cost quadratic in d; here every point has its own
    direction and the cost is linear. The cosine :math:`\theta^\top x` is drawn by rejection, the rest is uniform.

    Args:
        directions: :math:`\theta` of each point, on the unit sphere, shape (N, D).
        temperature: :math:`\tau`.
        generator: source of randomness, on the device of ``directions``.

    Returns:
        Points on the unit sphere, shape (N, D), in the dtype of ``directions``.

    Raises:
        ValueError: for directions off the sphere or a temperature that is not positive and finite.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> points = sample(torch.eye(3)[:1].expand(1000, 3), temperature=0.01, generator=generator)
        >>> points.shape, bool((points[:, 0] > 0.8).all())
        (torch.Size([1000, 3]), True)
    """
    count, dim = directions.shape
    _check(dim, temperature)
    require_unit_length(directions=directions)
    below, above = _sample_cosines(count, dim, 1 / temperature, directions, generator)
    tangent = torch.randn(count, dim, dtype=directions.dtype, device=directions.device, generator=generator)
    for _ in range(2):  # the second pass restores what cancels where the first leaves little
        tangent = tangent - (tangent * directions).sum(1, keepdim=True) * directions
        tangent = torch.nn.functional.normalize(tangent, dim=1)
    return (1 - below)[:, None] * directions + (below * above).sqrt()[:, None] * tangent


def _sample_cosines(
    count: int, dim: int, kappa: float, like: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw cosines w exactly and return 1 - w and 1 + w, whose product is the squared sine without cancellation."""
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
        require_unit_length(directions=self.directions)
        if not self.weights.isfinite().all():
            raise ValueError("weights hold NaN or infinite numbers")
        off_sum = abs(self.weights.sum().item() - 1)
        if (self.weights < 0).any() or off_sum > _tolerance(self.directions) * len(self.weights):
            raise ValueError("weights must be non-negative with sum one; divide them by their sum first")

    def log_joint(self, points: Float[Tensor, "points dim"]) -> Float[Tensor, "points components"]:
        r"""Return :math:`\log \pi_k f(x_n \mid \theta_k, \tau)`, shape (N, K)."""
        return self.weights.log() + log_density(points, self.directions, self.temperature)

    def log_likelihood(self, points: Float[Tensor, "points dim"]) -> float:
        r"""Return the mean of :math:`\log g(x_n)` over points of shape (N, D), in nats per point."""
        return self.log_joint(points).logsumexp(1).mean().item()

    def sample(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "points dim"], Int[Tensor, " points"]]:
        """Draw ``count`` points, shape (N, D), and return the component of each too, shape (N,)."""
        labels = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        return sample(self.directions[labels], self.temperature, generator), labels


def require_unit_length(**vectors: Tensor) -> None:
    """Check that the rows of every argument lie on the unit sphere; raise a ValueError that names one that does not.

    Example:
        >>> require_unit_length(points=2 * torch.eye(3))
        Traceback (most recent call last):
        ValueError: points must have unit length; normalize them first
    """
    for name, rows in vectors.items():
        lengths = rows.norm(dim=1)
        if not lengths.isfinite().all():
            first = int((~lengths.isfinite()).int().argmax())
            raise ValueError(f"{name} hold NaN or infinite numbers, first in row {first}")
        if ((lengths - 1).abs() > _tolerance(rows)).any():
            raise ValueError(f"{name} must have unit length; normalize them first")


def _tolerance(rows: Tensor) -> float:
    return float(100 * torch.finfo(rows.dtype).eps * rows.shape[1] ** 0.5)


def _check(dim: int, temperature: float) -> None:
    if dim < 2:
        raise ValueError(f"the dimension must be at least 2, got {dim}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
