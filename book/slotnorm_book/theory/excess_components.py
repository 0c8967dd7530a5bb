r"""Partitions by expectation maximization with more components than the data have (Sec. 3.2).

Shape letters: N points, K components.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from slotnorm.metrics.segmentation import adjusted_rand_index
from slotnorm_book.theory.em import Fit


@dataclass(frozen=True)
class Partition:
    """Quality of a fit's partition of points whose true components are known.

    Args:
        components: K of the fit.
        ari: adjusted Rand index of the partition by most responsible component against the true one.
        merged_ari: the same after components that coincide are counted as one.
        owners: number of components that are the most responsible one for some point.
        directions: number of components after those that coincide are counted as one.
        effective: exponential of the entropy of the mean responsibilities.
    """

    components: int
    ari: float
    merged_ari: float
    owners: int
    directions: int
    effective: float

    def as_row(self) -> dict[str, float]:
        """Return the fields as a row of a table."""
        return asdict(self)


def group_coincident(directions: Float[Tensor, "components dim"], angle: float) -> Int[Tensor, " components"]:
    """Number the groups of directions; a chain of steps of at most ``angle`` radians joins two into one group.

    Example:
        >>> group_coincident(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), angle=0.1).tolist()
        [0, 1, 0]
    """
    chords = torch.cdist(directions, directions, compute_mode="donot_use_mm_for_euclid_dist")
    near = 2 * (chords / 2).clamp(max=1).asin() <= angle
    _, groups = connected_components(near.cpu().numpy(), directed=False)
    return torch.from_numpy(groups).long()


def partition(fit: Fit, labels: Int[Tensor, " points"]) -> Partition:
    r"""Compare a fit with the true components.

    Components count as coincident below a quarter of :math:`\sqrt\tau`, the angle by which points scatter in each
    tangent direction.

    Args:
        fit: result of :func:`slotnorm_book.theory.em.fit`.
        labels: true component of every point, shape (N,).
    """
    responsibilities_NK = fit.responsibilities.cpu()
    groups_K = group_coincident(fit.mixture.directions, 0.25 * fit.mixture.temperature**0.5)
    distinct = int(groups_K.max()) + 1
    merged = responsibilities_NK.new_zeros(len(labels), distinct).index_add_(1, groups_K, responsibilities_NK)
    winners_N = responsibilities_NK.argmax(dim=1)
    truth_1N = labels.cpu()[None]
    return Partition(
        components=responsibilities_NK.shape[1],
        ari=adjusted_rand_index(truth_1N, winners_N[None]).item(),
        merged_ari=adjusted_rand_index(truth_1N, merged.argmax(dim=1)[None]).item(),
        owners=int((torch.bincount(winners_N) > 0).sum()),
        directions=distinct,
        effective=torch.special.entr(responsibilities_NK.mean(dim=0)).sum().exp().item(),
    )
