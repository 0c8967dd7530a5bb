r"""Expectation maximization for von Mises-Fisher mixtures of one fixed temperature (Sec. 3.1).

Shape letters: N points, K components, D dimension of the ambient space.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from slotnorm_book.theory.vmf import VonMisesFisherMixture, require_unit_length

__all__ = ["e_step", "m_step", "normalize_directions", "Fit", "fit"]


def e_step(points: Float[Tensor, "points dim"], mixture: VonMisesFisherMixture) -> Float[Tensor, "points components"]:
    r"""Return responsibilities :math:`\gamma_{n,k} \propto \pi_k \exp(x_n^\top \theta_k / \tau)` (Eq. 5), shape (N, K).

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
    r"""Return the mixture with new directions (Eq. 7) and, if wanted, new weights (Eq. 8).

    A component whose weighted sum of points vanishes keeps its direction: Eq. 7 does not say where it should point.

    Args:
        points: :math:`x_n`, shape (N, D).
        responsibilities: :math:`\gamma_{n,k}`, shape (N, K).
        mixture: the current estimate.
        estimate_weights: whether Eq. 8 is applied; otherwise the weights stay.

    Raises:
        ValueError: a point does not have unit length, or is not finite.

    Example:
        >>> mixture = VonMisesFisherMixture(torch.eye(2), torch.tensor([0.5, 0.5]))
        >>> m_step(torch.eye(2)[[0, 0, 1, 0]], torch.eye(2)[[0, 0, 1, 0]], mixture).weights.tolist()
        [0.75, 0.25]
    """
    require_unit_length(points=points)
    directions = normalize_directions(responsibilities.T @ points, mixture.directions)
    weights = responsibilities.mean(0) if estimate_weights else mixture.weights
    return replace(mixture, directions=directions, weights=weights)


def normalize_directions(
    vectors: Float[Tensor, "*batch components dim"], previous: Float[Tensor, "*batch components dim"]
) -> Float[Tensor, "*batch components dim"]:
    """Divide each vector by its length (Eq. 7); a vector that vanishes is replaced by the previous direction.

    Example:
        >>> normalize_directions(torch.tensor([[0.0, 2.0], [0.0, 0.0]]), previous=torch.eye(2)).tolist()
        [[0.0, 1.0], [0.0, 1.0]]
    """
    lengths = vectors.norm(dim=-1, keepdim=True)
    defined = lengths > torch.finfo(vectors.dtype).tiny
    return torch.where(defined, vectors / torch.where(defined, lengths, 1.0), previous)


@dataclass(frozen=True, eq=False)
class Fit:
    """Result of :func:`fit`.

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
    r"""Fit a mixture by expectation maximization (Sec. 3.1), from directions at random points and equal weights.

    Args:
        points: :math:`x_n` on the unit sphere, shape (N, D).
        num_components: K, at most N.
        generator: source of the initial directions, on the CPU.
        temperature: :math:`\tau`, fixed.
        estimate_weights: whether Eq. 8 is applied; otherwise all weights stay 1/K.
        iterations: largest number of E- and M-steps.
        tolerance: stop when the mean log-likelihood gains no more than this, in nats per point.
        restarts: initializations, of which the one with the highest final likelihood is returned.

    Raises:
        ValueError: for points off the sphere, more components than points, or a count below 1.

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
    require_unit_length(points=points)
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
