"""Checks of arguments; every error names the argument and says what would be right."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor


def require_positive(**sizes: int) -> None:
    """Check that every size or count is a whole number of at least 1; raise a ValueError that names the first other."""
    require_whole(**sizes)
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def require_whole(**numbers: Any) -> None:
    """Check that every number is whole, NumPy's included; raise a ValueError that names the first that is not."""
    for name, value in numbers.items():
        # int comes first: torch.compile cannot ask a symbolic one for its index
        if isinstance(value, bool) or not (isinstance(value, int) or _is_index(value)):
            raise ValueError(f"{name} must be a whole number, got {value!r}")


def _is_index(value: Any) -> bool:
    if isinstance(value, Tensor) and (value.ndim or value.dtype == torch.bool):
        return False
    try:
        operator.index(value)
    except TypeError:  # also of a tensor of another type than whole numbers
        return False
    return True


def require_mask(mask: Tensor, tokens: Tensor) -> None:
    """Check that the mask of tokens (B, N, ...) is bool of shape (B, N); raise a ValueError that says so."""
    if mask.shape != tokens.shape[:2] or mask.dtype != torch.bool:
        asked = f"mask must be bool of shape {tuple(tokens.shape[:2])}, true where there is a token"
        raise ValueError(f"{asked}; got {mask.dtype} of shape {tuple(mask.shape)}")
