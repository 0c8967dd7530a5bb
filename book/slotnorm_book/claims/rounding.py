"""Rounding errors of the mechanism claims: how they are measured, and the reason for their bound."""

from __future__ import annotations

from torch import Tensor

ROUNDING_BOUND = 1e-9
ROUNDING = "exact but for rounding in double precision, which the sums over tokens amplify by some orders of magnitude"


def relative_gap(left: Tensor, right: Tensor) -> float:
    """Return the largest difference of two tensors of one shape, over the largest entry of the second."""
    return float((left - right).abs().max() / right.abs().max())
