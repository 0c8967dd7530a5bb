"""A loss that is a sum of parts, of which only one at a time has its graph in memory.

A loss over many places needs, for its gradients, what every layer computed at every place. Where the places do not
know of each other, the gradients of some of them can be had before the next are begun: nothing is computed twice, and
what is kept is one part's layers and the sums of the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Part = Callable[[Tensor], Tensor]


def sum_of_parts(parts: Sequence[Part], shared: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Sum of losses, differentiable once.

    Args:
        parts: losses, scalars, as functions of ``shared``.
        shared: what they have in common, of any shape.
        parameters: what else they depend on and gradients are wanted for; every part must depend on all of them.
    """
    wanted = torch.is_grad_enabled() and len(parts) > 1 and not torch.compiler.is_compiling()
    if wanted:
        return cast(Tensor, _SumOfParts.apply(parts, shared, *parameters))
    return torch.stack([part(shared) for part in parts]).sum()


class _SumOfParts(torch.autograd.Function):
    """The gradients are ready when the loss is; going backward scales them."""

    @staticmethod
    def forward(ctx: Any, parts: Sequence[Part], shared: Tensor, *parameters: Tensor) -> Tensor:
        leaves = (shared.detach().requires_grad_(), *parameters)
        total, gradients = torch.zeros((), device=shared.device), [torch.zeros_like(leaf) for leaf in leaves]
        for part in parts:
            with torch.enable_grad():
                loss = part(leaves[0])
            with torch.autocast(shared.device.type, enabled=False):  # as it is where gradients are usually computed
                for gradient, more in zip(gradients, torch.autograd.grad(loss, leaves), strict=True):
                    gradient += more
            total = total + loss.detach()
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(gradient * saved for saved in ctx.saved_tensors)
