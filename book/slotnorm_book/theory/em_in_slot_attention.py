r"""Expectation maximization inside Slot Attention: parameters for which attention is the E-step (Eqs. 5 and 6).

Shape letters: K slots or components, N points, D slot dimension, P dimension of the points' ambient space.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from scipy.linalg import helmert
from torch import Tensor, nn

from slotnorm.attention import SlotAttention
from slotnorm.normalization import Normalization
from slotnorm_book.theory.em import normalize_directions
from slotnorm_book.theory.propositions import AffineSubspace, layer_norm_hull, recover_column_means, update_codes
from slotnorm_book.theory.vmf import VonMisesFisherMixture

_LOWEST_LOG_WEIGHT = 40.0


@dataclass(frozen=True, eq=False)
class EmbeddedMixture:
    """A Slot Attention module whose attention is Eq. 5; made by :func:`embed`.

    Args:
        module: the module, in double precision.
        frame: orthonormal basis of the space in which LayerNorm centers, in columns, shape (D, D - 1). The first P hold
            directions, the next one the log-weight, the next one fills the slot up to its length.
        point_dim: P.
        radius: length of every slot.
    """

    module: SlotAttention
    frame: Float[Tensor, "dim rank"]
    point_dim: int
    radius: float

    @cached_property
    def values(self) -> AffineSubspace:
        """Return the affine hull of the values (Lemma 3)."""
        return layer_norm_hull(self.module.norm_inputs, self.module.to_v)

    def tokens(self, points: Float[Tensor, "inputs point_dim"]) -> Float[Tensor, "1 inputs dim"]:
        """Return points of the unit sphere, shape (N, P), as input tokens, shape (1, N, D)."""
        return (points @ self.frame[:, : self.point_dim].T)[None]

    def slots(self, mixture: VonMisesFisherMixture) -> Float[Tensor, "1 slots dim"]:
        """Return the mixture's components as slots, shape (1, K, D). A log-weight below -40 is stored as -40."""
        directions = mixture.directions / mixture.temperature
        log_weights = mixture.weights.log().clamp(min=-_LOWEST_LOG_WEIGHT)[:, None]
        taken = directions.square().sum(1, keepdim=True) + log_weights.square()
        spare = (self.radius**2 - taken).clamp(min=0).sqrt()
        coordinates = torch.cat([directions, log_weights, spare], dim=1)
        return (coordinates @ self.frame[:, : self.point_dim + 2].T)[None]

    def read(self, codes: Float[Tensor, "1 slots dim"], mixture: VonMisesFisherMixture) -> VonMisesFisherMixture:
        r"""Read the M-step's result off update codes: Eq. 7 from their part in V, Eq. 8 through Prop. 2.

        For weighted-mean codes Prop. 2's formula gives one for every slot, hence equal weights.
        """
        weights = recover_column_means(codes, self.values)[0]
        directions = normalize_directions(codes[0] @ self.frame[:, : self.point_dim], mixture.directions)
        return VonMisesFisherMixture(directions, weights / weights.sum(), mixture.temperature)

    def step(
        self, points: Float[Tensor, "inputs point_dim"], mixture: VonMisesFisherMixture
    ) -> tuple[VonMisesFisherMixture, Float[Tensor, "1 slots inputs"]]:
        """Run one iteration of Slot Attention with :meth:`read` in place of GRU and MLP; return the attention too."""
        codes, attention = update_codes(self.module, self.tokens(points), self.slots(mixture))
        return self.read(codes, mixture), attention


def embed(
    point_dim: int, temperature: float, slot_dim: int, normalization: str | Normalization = "weighted_sum"
) -> EmbeddedMixture:
    r"""Build a Slot Attention module that computes the E-step of a von Mises-Fisher mixture (Eqs. 5 and 6).

    Key and value maps are the identity. LayerNorm keeps unit tokens on the unit sphere of :math:`1^\perp` and adds
    :math:`a = 1/\sqrt D`, so that keys and values lie in :math:`a + 1^\perp`. A slot holds :math:`\theta_k / \tau`,
    :math:`\log \pi_k` and a spare coordinate that keeps its length, which LayerNorm then leaves alone; the query map
    turns the log-weight into the direction of :math:`a`, where Eq. 6 looks for it.

    Args:
        point_dim: P, dimension of the points' ambient space.
        temperature: :math:`\tau` of the mixture.
        slot_dim: D, at least P + 3.
        normalization: as for :class:`slotnorm.attention.SlotAttention`.

    Raises:
        ValueError: for too few slot dimensions.
    """
    if slot_dim < point_dim + 3:
        raise ValueError(f"slot_dim must be at least point_dim + 3 = {point_dim + 3}, got {slot_dim}")
    module = SlotAttention(slot_dim, slot_dim, num_slots=1, normalization=normalization).double()
    frame = torch.from_numpy(helmert(slot_dim).T.copy())
    ones = torch.full((slot_dim,), slot_dim**-0.5, dtype=torch.float64)
    radius = (temperature**-2 + _LOWEST_LOG_WEIGHT**2) ** 0.5
    identity = torch.eye(slot_dim, dtype=torch.float64)
    held = frame[:, :point_dim] @ frame[:, :point_dim].T + torch.outer(ones, frame[:, point_dim])
    _assign(module.norm_inputs, (1 / slot_dim + module.norm_inputs.eps) ** 0.5, ones)
    _assign(module.norm_slots, (radius**2 / slot_dim + module.norm_slots.eps) ** 0.5, 0 * ones)
    for linear, weight in ((module.to_k, identity), (module.to_v, identity), (module.to_q, slot_dim**0.5 * held)):
        linear.weight.data.copy_(weight)
    return EmbeddedMixture(module.requires_grad_(False), frame, point_dim, radius)


def _assign(norm: nn.LayerNorm, scale: float, shift: Tensor) -> None:
    norm.weight.data.fill_(scale)
    norm.bias.data.copy_(shift)
