"""Counts the floating-point operations of a training step (matrix products and convolutions only).

A product of an m×k and a k×n matrix has 2 m k n operations: as many multiplications as additions. The forward and the
backward pass of the model are counted; the loss, the optimizer and everything pointwise are not, so the count is a
lower bound. The tensors are fake: they have shapes but no content, and nothing is computed.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from slotnorm.tasks import FeatureDiscovery, Task


def count_training_flops(task: Task, batch_size: int, variant: str = "weighted_mean") -> int:
    """Count the operations of a forward and a backward pass.

    Args:
        task: task whose model is trained.
        batch_size: scenes in a step.
        variant: name of the normalization.
    """
    return _count(cast(Any, task), batch_size, variant)


@cache
def _count(task: Any, batch_size: int, variant: str) -> int:
    with FakeTensorMode():
        model: Any = task.build(variant)
        slots = model.slot_attention.initial_slots(torch.empty(batch_size, task.num_slots, task.slot_dim))
        counter = FlopCounterMode(display=False)
        with counter:
            out = model(_make_input(task, batch_size), slots=slots)
            painted = out.reconstruction if hasattr(out, "reconstruction") else out.predictions
            painted.sum().backward()
    return int(counter.get_total_flops())


def _make_input(task: Any, batch_size: int) -> torch.Tensor:
    if isinstance(task, FeatureDiscovery):
        return torch.empty(batch_size, task.grid_size**2, task.feature_dim)
    return torch.empty(batch_size, 3, task.image_size, task.image_size)
