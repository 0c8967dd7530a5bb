"""Precision of numbers and of their products: full, TF32, with autocast switched off, or double where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

BACKENDS: Any = torch.backends  # mypy does not know all of its parts
PLACES = (
    BACKENDS,
    BACKENDS.cudnn,
    BACKENDS.cuda.matmul,
    BACKENDS.cudnn.conv,
    BACKENDS.cudnn.rnn,
    BACKENDS.mkldnn.matmul,
    BACKENDS.mkldnn.conv,
    BACKENDS.mkldnn.rnn,
)
"""Where torch has an ``fp32_precision``; a place at which it is ``"none"`` follows the more general ones before it."""
WITHOUT_DOUBLE = ("mps",)
"""Kinds of device that have no double precision."""


@contextlib.contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Compute products in TF32 if ``precision`` is ``"tf32"``, otherwise in full precision.

    Both of torch's interfaces are set, since its compiler still asks the older one, and both are restored.
    """
    before = [_clear(place) for place in PLACES]
    older = torch.get_float32_matmul_precision(), _cudnn_allows_tf32()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(older[0])
        torch.backends.cudnn.allow_tf32 = older[1]
        for place, setting in zip(PLACES, before, strict=True):
            place.fp32_precision = setting


def _clear(place: Any) -> str:
    """Set the ``fp32_precision`` of a place to ``"none"`` and return what it was."""
    setting: str = place.fp32_precision
    place.fp32_precision = "none"
    return setting


def _cudnn_allows_tf32() -> bool:
    """Return the older setting of cuDNN when all newer ones are ``"none"``; torch then refuses to tell a true one."""
    try:
        return bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:
        return True


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off, so that products keep the precision of their inputs on any device."""
    available = torch.amp.is_autocast_available(device.type)  # not on meta
    return torch.autocast(device.type, enabled=False) if available else nullcontext()


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return ``tensor`` itself if it is in float32 or float64, otherwise a float32 copy."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def in_double_precision(tensor: Tensor) -> Tensor:
    """Convert ``tensor`` to float64, on the CPU if its device has none."""
    return (tensor.cpu() if tensor.device.type in WITHOUT_DOUBLE else tensor).double()


def move_result(values: Tensor, device: torch.device) -> Tensor:
    """Move values in float64 to ``device``, in float32 if it has no float64."""
    return values.to(device, torch.float32 if device.type in WITHOUT_DOUBLE else torch.float64)
