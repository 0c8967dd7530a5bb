"""Operations and bytes, counted without computing anything: the floor under a measurement.

A model is run on torch's fake tensors, which know shapes alone. Operations are those of matrix products and
convolutions; bytes are what every operation reads and writes when nothing is fused. At the machine's measured rates
neither can take less time than the floor says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import interleaved, measurable

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
        ways: operations a second, by the way they are computed; libraries differ, and the fastest is the limit.
        bytes: a second, read and written in a copy that no cache holds.
    """

    ways: Mapping[str, float]
    bytes: float

    @property
    def fastest(self) -> str:
        """The way with the most operations a second."""
        return max(self.ways, key=self.ways.__getitem__)

    def floor(self, count: Count) -> float:
        """Seconds of operations alone; bytes are told beside it, since caches and fusion can save many of them."""
        return count.operations / self.ways[self.fastest]

    def told(self, count: Count) -> str:
        """One line for the table."""
        traffic = f"{count.bytes / GIGA:.2f} GB unfused (≥ {count.bytes / self.bytes:.3g} s)"
        return f"{count.operations / GIGA:.1f} GFLOP (≥ {self.floor(count):.3g} s), {traffic}"

    def share(self, count: Count, seconds: float | None) -> str:
        """The part of the limit that a call of some seconds reaches."""
        limit = self.ways[self.fastest] / GIGA
        return f"{self.floor(count) / (seconds or 1):.0%} of the limit, {limit:,.0f} GFLOP/s in a {self.fastest}"


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


@cache
def measured_rates(device: torch.device, quick: bool = False) -> Rates:
    """Measure the device's own rates, of which a step can be told the share it reaches.

    Raises:
        ValueError: a call took no measurable time.
    """
    cuda = device.type == "cuda"
    side = 64 if quick else 8192 if cuda else 1024
    B, C, pixels, kernel = (1, 8, 16, 5) if quick else (64, 64, 128, 5) if cuda else (8, 64, 64, 5)
    single = torch.randn(side, side, device=device)
    half = single.bfloat16()
    images, kernels = (torch.randn(shape, device=device) for shape in ((B, C, pixels, pixels), (C, C, kernel, kernel)))
    images = images.contiguous(memory_format=torch.channels_last)
    source = torch.empty((1 if quick else 128) * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    forms: dict[str, Callable[[], object]] = {
        "product in fp32": lambda: single @ single,
        "convolution in fp32": lambda: torch.nn.functional.conv2d(images, kernels, padding=kernel // 2),
        "product in bf16": lambda: half @ half,
        "copy": lambda: target.copy_(source),
    }
    best = {
        name: min(measurable(call.seconds) for call in calls)
        for name, calls in interleaved(forms, 1 if quick else 5, device).items()
    }
    copied = 2 * source.numel() / best.pop("copy")
    return Rates({name: _operations(forms[name]) / seconds for name, seconds in best.items()}, copied)


def _operations(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()
