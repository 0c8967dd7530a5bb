"""A loss that is a sum of parts, computed with the graph of only one part in memory at a time.

The gradients of a loss over many places need what every layer computed at every place. Where the places do not
interact, the gradients of one part of them can be computed before the next part begins: nothing is computed twice, and
only one part's layers and the sums of the gradients are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Part = Callable[[Tensor], Tensor]


def sum_of_parts(parts: Sequence[Part], shared: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Add up scalar losses; the result can be differentiated once.

    Args:
        parts: the losses, as functions of ``shared``.
        shared: argument of every part, of any shape.
        parameters: other tensors to differentiate by; every part must depend on all of them.
    """
    wanted = torch.is_grad_enabled() and len(parts) > 1 and not torch.compiler.is_compiling()
    if wanted:
        return cast(Tensor, _SumOfParts.apply(parts, shared, *parameters))
    return torch.stack([part(shared) for part in parts]).sum()


class _SumOfParts(torch.autograd.Function):
    """Computes the gradients together with the loss; the backward pass only scales them."""

    @staticmethod
    def forward(ctx: Any, parts: Sequence[Part], shared: Tensor, *parameters: Tensor) -> Tensor:
        leaves = (shared.detach().requires_grad_(), *parameters)
        total, gradients = torch.zeros((), device=shared.device), [torch.zeros_like(leaf) for leaf in leaves]
        for part in parts:
            with torch.enable_grad():
                loss = part(leaves[0])
            with torch.autocast(shared.device.type, enabled=False):  # as in a usual backward pass
                for gradient, more in zip(gradients, torch.autograd.grad(loss, leaves), strict=True):
                    gradient += more
            total = total + loss.detach()
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(gradient * saved for saved in ctx.saved_tensors)
