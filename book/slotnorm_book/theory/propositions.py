r"""The maps behind Section 3's analogy: layer normalization, attention and the update codes.

Lemmas 1-3 find the affine subspace of keys and values, Eq. 6 splits attention along its offset, and Propositions 1
and 2 say whether the update codes determine the mixture weights :math:`\pi_k`.
``slotnorm_book.theory.em_in_slot_attention`` applies them.

Shape letters: B batch, K slots, N input tokens, D slot dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotnorm.attention import SlotAttention

__all__ = [
    "AffineSubspace",
    "affine_subspace",
    "layer_norm_hull",
    "AttentionFactors",
    "factorize_attention",
    "update_codes",
    "identical_slots",
    "recover_column_means",
]


ROUNDING = 32
"""A singular value counts as nonzero if it is more than so many times the rounding error of one decomposition."""


@dataclass(frozen=True, eq=False)
class AffineSubspace:
    r"""An affine subspace in its unique form :math:`A = a + V` with :math:`a \perp V` (Lemma 2).

    Args:
        offset: :math:`a`, the point of :math:`A` nearest to the origin, shape (D,); zero where :math:`A` contains it.
        basis: orthonormal basis of :math:`V` in columns, shape (D, rank).

    Example:
        >>> plane = AffineSubspace(offset=torch.tensor([0.0, 0.0, 2.0]), basis=torch.eye(3)[:, :2])
        >>> plane.rank, plane.distance(torch.tensor([5.0, 5.0, 3.0])).item()
        (2, 1.0)
    """

    offset: Float[Tensor, " dim"]
    basis: Float[Tensor, "dim rank"]

    @property
    def rank(self) -> int:
        """Return the dimension of :math:`V`."""
        return self.basis.shape[1]

    def distance(self, points: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
        """Return the Euclidean distance of each point, of shape (…, D), from the subspace, shape (…)."""
        residual = points - self.offset
        normal = residual - residual @ self.basis @ self.basis.T
        return normal.square().sum(dim=-1).sqrt()


def affine_subspace(point: Float[Tensor, " dim"], span: Float[Tensor, "dim vectors"]) -> AffineSubspace:
    """Return the affine subspace through ``point`` in the directions of the columns of ``span`` (Lemma 2).

    Args:
        point: any point of it, shape (D,).
        span: any vectors that span its directions, in columns, shape (D, M).

    Returns:
        Its unique form. The numerical rank, and whether the offset is zero, are decided with 32 times the tolerance of
        ``numpy.linalg.matrix_rank``, since ``span`` and ``point`` are often products that were rounded before.

    Example:
        >>> line = affine_subspace(torch.tensor([1.0, 2.0]), torch.tensor([[1.0], [0.0]]))
        >>> line.rank, line.offset.tolist()
        (1, [0.0, 2.0])
    """
    left, singular, _ = torch.linalg.svd(span, full_matrices=False)
    tolerance = ROUNDING * max(span.shape) * torch.finfo(span.dtype).eps
    basis = left[:, singular > tolerance * singular[0]]
    offset = point
    for _ in range(2):  # the second pass removes what rounding left of V in the first
        offset = offset - basis @ (basis.T @ offset)
    vanishes = offset.norm() <= tolerance * point.norm()
    return AffineSubspace(torch.where(vanishes, 0.0, offset), basis)


def layer_norm_hull(norm: nn.LayerNorm, linear: nn.Linear | None = None) -> AffineSubspace:
    r"""Return the affine hull of the image of a LayerNorm (Lemma 1, Eq. 17), or of a linear map after it (Lemma 3).

    It is :math:`\mathrm{diag}(\alpha) 1^\perp + \beta`, or the image of that set under the linear map.

    Args:
        norm: LayerNorm with affine parameters over one axis.
        linear: key or value map without bias, applied after it.

    Example:
        >>> hull = layer_norm_hull(nn.LayerNorm(8))
        >>> hull.rank, hull.offset.norm().item()  # at initialization the hull contains the origin
        (7, 0.0)
    """
    dim = norm.normalized_shape[0]
    weight, bias = norm.weight.detach(), norm.bias.detach()
    span = weight[:, None] * (torch.eye(dim, dtype=weight.dtype, device=weight.device) - 1 / dim)
    if linear is not None:
        span, bias = linear.weight.detach() @ span, linear.weight.detach() @ bias
    return affine_subspace(bias, span)


@dataclass(frozen=True, eq=False)
class AttentionFactors:
    r"""The two exponents of Eq. 6.

    Args:
        slot_logits: :math:`a^\top p_a(q_k) / \sqrt D`, the analogue of :math:`\log \pi_k`, shape (B, K).
        data_logits: :math:`p_V(k_n)^\top p_V(q_k) / \sqrt D`, shape (B, K, N).

    Example:
        >>> factors = AttentionFactors(torch.tensor([[0.0, 0.0]]), torch.zeros(1, 2, 3))
        >>> factors.slot_weights.tolist(), factors.attention.shape
        ([[0.5, 0.5]], torch.Size([1, 2, 3]))
    """

    slot_logits: Float[Tensor, "batch slots"]
    data_logits: Float[Tensor, "batch slots inputs"]

    @property
    def slot_weights(self) -> Float[Tensor, "batch slots"]:
        r"""Return the slot factors over their sum, which take the place of :math:`\pi_k` in Eq. 5, shape (B, K)."""
        return self.slot_logits.softmax(dim=1)

    @property
    def attention(self) -> Float[Tensor, "batch slots inputs"]:
        """Return the right-hand side of Eq. 6, shape (B, K, N)."""
        return (self.slot_logits[:, :, None] + self.data_logits).softmax(dim=1)


@torch.no_grad()
def factorize_attention(
    module: SlotAttention,
    inputs: Float[Tensor, "batch inputs input_dim"],
    slots: Float[Tensor, "batch slots dim"],
) -> AttentionFactors:
    """Split attention into a weight per slot and a term that depends on the input (Eq. 6).

    Args:
        module: its LayerNorm and key map give the subspace of the keys.
        inputs: input tokens before layer normalization, shape (B, N, input_dim).
        slots: slots before layer normalization, shape (B, K, D).

    Example:
        >>> module, inputs, slots = SlotAttention(8, 8, num_slots=3), torch.randn(1, 5, 8), torch.randn(1, 3, 8)
        >>> factors = factorize_attention(module, inputs, slots)
        >>> torch.allclose(factors.attention, module.attend(slots, module.keys_and_values(inputs)[0]), atol=1e-5)
        True
    """
    hull = layer_norm_hull(module.norm_inputs, module.to_k)
    keys_BND, _ = module.keys_and_values(inputs)
    queries_BKD = module.to_q(module.norm_slots(slots)) * keys_BND.shape[-1] ** -0.5
    along_keys, along_queries = keys_BND @ hull.basis, queries_BKD @ hull.basis
    return AttentionFactors(queries_BKD @ hull.offset, along_queries @ along_keys.mT)


@torch.no_grad()
def update_codes(
    module: SlotAttention,
    inputs: Float[Tensor, "batch inputs input_dim"],
    slots: Float[Tensor, "batch slots dim"],
) -> tuple[Float[Tensor, "batch slots dim"], Float[Tensor, "batch slots inputs"]]:
    """Return the update codes and the attention of one iteration, before the slots are updated (Eqs. 1-4).

    Args:
        module: Slot Attention with any normalization.
        inputs: input tokens, shape (B, N, input_dim).
        slots: slots, shape (B, K, D).

    Returns:
        The codes, shape (B, K, D), and the attention, shape (B, K, N).

    Example:
        >>> module = SlotAttention(8, 8, num_slots=3, normalization="weighted_sum")
        >>> codes, attention = update_codes(module, torch.randn(1, 5, 8), torch.randn(1, 3, 8))
        >>> codes.shape, attention.shape
        (torch.Size([1, 3, 8]), torch.Size([1, 3, 5]))
    """
    keys_BND, values_BND = module.keys_and_values(inputs)
    attn_BKN = module.attend(slots, keys_BND)
    codes_BKD, _ = module.normalization(values_BND, attn_BKN, None)
    return codes_BKD, attn_BKN


def identical_slots(slot: Float[Tensor, " dim"], num_slots: int) -> Float[Tensor, "1 slots dim"]:
    r"""Repeat one slot K times: the slots share every token, which proves that Eq. 9 has no solution (Prop. 1, App. C).

    Their weighted-mean codes do not depend on K, while the column means of the attention are 1/K.

    Args:
        slot: the slot to repeat, shape (D,); the paper takes zero.
        num_slots: K.

    Example:
        >>> module = SlotAttention(8, 8, num_slots=3)
        >>> _, attention = update_codes(module, torch.randn(1, 5, 8), identical_slots(torch.zeros(8), num_slots=4))
        >>> attention.mean(dim=2).tolist()  # the column means, the same for every input
        [[0.25, 0.25, 0.25, 0.25]]
    """
    return slot.expand(1, num_slots, -1)


def recover_column_means(
    codes: Float[Tensor, "batch slots dim"], values: AffineSubspace, scale_per_input: float = 1.0
) -> Float[Tensor, "batch slots"]:
    r"""Recover column means by Prop. 2's :math:`f(u) = C a^\top u / (N \lVert a \rVert^2)` (Eqs. 10 and 35).

    Args:
        codes: :math:`u_k` of weighted sum, shape (B, K, D).
        values: affine hull of the values, :func:`layer_norm_hull` of the input's LayerNorm and the value map.
        scale_per_input: C / N, which is 1 for the paper's choice of C.

    Returns:
        :math:`\sum_n \gamma_{n,k} / N`, shape (B, K).

    Raises:
        ValueError: the affine hull of the values contains the origin, where Prop. 2 does not hold.

    Example:
        >>> module = SlotAttention(8, 8, num_slots=3, normalization="weighted_sum").double()
        >>> _ = torch.nn.init.normal_(module.norm_inputs.bias)
        >>> codes, attention = update_codes(module, torch.randn(1, 5, 8).double(), torch.randn(1, 3, 8).double())
        >>> found = recover_column_means(codes, layer_norm_hull(module.norm_inputs, module.to_v))
        >>> torch.allclose(found, attention.mean(dim=2))
        True
    """
    squared = values.offset.square().sum()
    if squared == 0:
        raise ValueError("the affine hull of the values contains the origin (a = 0), so the codes hold no column means")
    return scale_per_input * (codes @ values.offset) / squared
