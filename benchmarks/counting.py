"""Operations and bytes, counted without computing anything: the floor under a measurement.

A model is run on torch's fake tensors, which know shapes alone. Operations are those of matrix products and
convolutions; bytes are what every operation reads and writes when nothing is fused. At the machine's measured rates
neither can take less time than the floor says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import interleaved

GIGA = 1e9


@dataclass(frozen=True)
class Count:
    """Of one call."""

    operations: int
    bytes: int


@dataclass(frozen=True)
class Rates:
    """What the machine reaches.

    Args:
        operations: a second, in a square product of matrices.
        bytes: a second, read and written in a copy that no cache holds.
    """

    operations: float
    bytes: float

    def floor(self, count: Count) -> float:
        """Seconds of operations alone; bytes are told beside it, since caches and fusion can save many of them."""
        return count.operations / self.operations

    def told(self, count: Count) -> str:
        """One line for the table."""
        traffic = f"{count.bytes / GIGA:.2f} GB unfused (≥ {count.bytes / self.bytes:.3g} s)"
        return f"{count.operations / GIGA:.1f} GFLOP (≥ {self.floor(count):.3g} s), {traffic}"


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of the tensors that go into and come out of every operation that is no view."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.namespace == "aten" and not func.is_view:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return out


def count(prepare: Callable[[], Callable[[], object]]) -> Count:
    """Operations and bytes of a call, with everything that ``prepare`` makes for it being shapes alone."""
    operations, traffic = FlopCounterMode(display=False), _Traffic()
    with FakeTensorMode():
        run = prepare()
        with traffic, operations:
            run()
    return Count(operations.get_total_flops(), traffic.bytes)


def measured_rates(device: torch.device, dtype: torch.dtype, quick: bool = False) -> Rates:
    """The device's own rates, of which a step can be told the share it reaches."""
    side = 64 if quick else 8192 if device.type == "cuda" else 1024
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    source = torch.empty((1 if quick else 128) * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    forms = {"product": lambda: matrix @ matrix, "copy": lambda: target.copy_(source)}
    best = {name: min(times) for name, times in interleaved(forms, 1 if quick else 5, device).items()}
    return Rates(2 * side**3 / best["product"], 2 * source.numel() / best["copy"])
