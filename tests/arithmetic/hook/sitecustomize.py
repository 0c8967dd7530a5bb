"""What Python runs at the start of every process of an arithmetic environment: real threads, or other rounding.

``python -m tests.arithmetic`` puts this folder on ``PYTHONPATH``. ``ARITHMETIC_THREADS`` is the number of torch's
threads, whatever tests and notebooks ask for. ``ARITHMETIC_NOISE`` is a number of units in the last place by which
every rounded result of torch's sums and products is moved: as a processor would that adds in another order, only more.
"""

import os
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SUMS_AND_PRODUCTS = """
    mm addmm bmm baddbmm mv addmv dot convolution convolution_backward sum mean logsumexp _softmax native_layer_norm
    matmul linear einsum conv2d conv_transpose2d softmax layer_norm scaled_dot_product_attention gru_cell
"""
"""The second line is what torch shows of the first in inference mode, where it takes no function apart."""


class OtherRounding(TorchDispatchMode):
    """Move what was rounded by a few units in the last place; equal results stay equal, and whole numbers exact."""

    names = frozenset(f"aten::{name}" for name in SUMS_AND_PRODUCTS.split())

    def __init__(self, units: float) -> None:
        super().__init__()
        self.units = units

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        return torch.utils._pytree.tree_map(self.moved, found) if func._schema.name in self.names else found

    def moved(self, value: object) -> object:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        noise = torch.sin(1e4 * value) * (self.units * torch.finfo(value.dtype).eps)
        return torch.where(value == value.round(), value, value * (1 + noise))


def keep_threads(count: int) -> Callable[[int], None]:
    """Set torch's threads and return what takes the place of ``torch.set_num_threads``: it does nothing."""
    torch.set_num_threads(count)
    return lambda _: None


if threads := os.environ.get("ARITHMETIC_THREADS"):
    torch.set_num_threads = keep_threads(int(threads))
if units := os.environ.get("ARITHMETIC_NOISE"):
    OtherRounding(float(units)).__enter__()
