"""Checks that a module is one graph for ``torch.compile`` and ``torch.export``, and can be made without memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import config
from torch import Tensor, nn

Call = tuple[Tensor, dict[str, Any]]
"""Inputs of a module and the other arguments of the call."""


@contextmanager
def without_shape_checks() -> Iterator[None]:
    """Switch jaxtyping's run-time checks off, which pytest may have switched on: they are no part of the module."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    torch.compiler.reset()
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)


def assert_compiles(module: nn.Module, calls: Sequence[Call], **options: Any) -> None:
    """Check that a module, compiled as one graph, has the outputs, gradients and buffers of the plain one."""
    module.zero_grad()
    plain, compiled = copy.deepcopy(module), torch.compile(module, fullgraph=True, **options)
    with without_shape_checks():
        for inputs, arguments in calls:
            outputs = [_seeded(function, inputs, arguments) for function in (compiled, plain)]
            torch.testing.assert_close(*outputs)
            for output in outputs:
                torch.autograd.backward([tensor.sum() for tensor in output])
    torch.testing.assert_close(dict(module.named_buffers()), dict(plain.named_buffers()))
    torch.testing.assert_close([p.grad for p in module.parameters()], [p.grad for p in plain.parameters()])


def assert_exports(module: nn.Module, small: Call, large: Call) -> None:
    """Check that a module exported in evaluation with the first call has the plain one's outputs for both.

    All arguments are tensors, whose first axis, the batch, may differ between the calls.
    """
    module.eval()
    inputs, arguments = small
    shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in (inputs, *arguments))
    with without_shape_checks(), torch.no_grad():
        exported = torch.export.export(module, (inputs,), arguments, dynamic_shapes=shapes).module()
        for call in (small, large):
            torch.testing.assert_close(_seeded(exported, *call), _seeded(module, *call))


def _seeded(function: Callable[..., Sequence[Tensor]], inputs: Tensor, arguments: dict[str, Any]) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    return tuple(function(inputs, **arguments))


def made_without_memory(make: Callable[[], Any]) -> Any:
    """Make a module on the device ``meta``, give it memory full of NaN and call its ``reset_parameters``."""
    with torch.device("meta"):
        module = make()
    module.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(torch.nan if tensor.is_floating_point() else -1)
    module.reset_parameters()
    return module
