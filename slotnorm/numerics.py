"""Precision of products of single-precision numbers: full, TF32, or with autocast switched off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


@contextlib.contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Compute products in TF32 if ``precision`` is ``"tf32"``, otherwise in full precision."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off, so that products keep the precision of their inputs on any device."""
    available = torch.amp.is_autocast_available(device.type)  # not on meta
    return torch.autocast(device.type, enabled=False) if available else nullcontext()


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return ``tensor`` itself if it is in float32 or float64, otherwise a float32 copy."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
