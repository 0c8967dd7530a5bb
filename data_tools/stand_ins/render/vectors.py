"""Computes with vectors that are three separate tensors, so that every operation runs over contiguous memory.

Sums are written out, because a reduction may add in another order for another batch size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Vec = tuple[Tensor, Tensor, Tensor]


def split(vectors: Tensor) -> Vec:
    """Split vectors (..., 3) into three tensors (...)."""
    x, y, z = vectors.unbind(-1)
    return x, y, z


def columns(vectors: Tensor) -> Vec:
    """Split vectors (n, 3) into three columns (n, 1), which broadcast over rays."""
    x, y, z = vectors.unsqueeze(-2).unbind(-1)
    return x, y, z


def cut(vectors: Vec, part: slice) -> Vec:
    """Return some rows of the vectors."""
    return vectors[0][part], vectors[1][part], vectors[2][part]


def dot(a: Vec, b: Vec) -> Tensor:
    """Return the scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def normalize(a: Vec) -> Vec:
    """Return the unit vector of the same direction."""
    inverse = (dot(a, a) + 1e-20).rsqrt()  # finite even where a is garbage that will be multiplied by zero
    return a[0] * inverse, a[1] * inverse, a[2] * inverse


def apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply matrices (..., 3, 3) and vectors (..., 3), as a sum in fixed order."""
    x, y, z = split(vector)
    return matrix[..., 0] * x[..., None] + matrix[..., 1] * y[..., None] + matrix[..., 2] * z[..., None]


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Return the vector product of (..., 3) and (..., 3)."""
    (ax, ay, az), (bx, by, bz) = split(a), split(b)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def by_kind(kinds: Tensor, function: Callable[[int, Tensor], Tensor], out: Tensor) -> Tensor:
    """Fill the rows of every kind in `out` with `function(kind, rows)`, and return it."""
    present = torch.unique(kinds).tolist()
    if len(present) == 1:
        return function(present[0], torch.arange(len(kinds), device=kinds.device))
    for kind in present:
        rows = (kinds == kind).nonzero().squeeze(1)
        out.index_copy_(0, rows, function(kind, rows))
    return out
