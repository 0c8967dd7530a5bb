"""How many operations a training step needs, counted and not timed: what matrix products and convolutions multiply.

A product of an m×k and a k×n matrix counts 2 m k n operations, a multiplication and an addition each. Counted are the
forward and the backward pass of the model; the loss, the optimizer and everything pointwise are not, so that the count
is a floor. Tensors are fake: they have shapes and no content, and no arithmetic is done.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from slotnorm.tasks import FeatureDiscovery, Task


def count_training_flops(task: Task, batch_size: int, variant: str = "weighted_mean") -> int:
    """Operations of a forward and a backward pass.

    Args:
        task: sizes of the model.
        batch_size: scenes in a step.
        variant: the normalization.
    """
    return _counted(cast(Any, task), batch_size, variant)


@cache
def _counted(task: Any, batch_size: int, variant: str) -> int:
    with FakeTensorMode():
        model: Any = task.build(variant)
        slots = model.slot_attention.initial_slots(torch.empty(batch_size, task.num_slots, task.slot_dim))
        counter = FlopCounterMode(display=False)
        with counter:
            out = model(_input(task, batch_size), slots=slots)
            painted = out.reconstruction if hasattr(out, "reconstruction") else out.predictions
            painted.sum().backward()
    return int(counter.get_total_flops())


def _input(task: Any, batch_size: int) -> torch.Tensor:
    if isinstance(task, FeatureDiscovery):
        return torch.empty(batch_size, task.grid_size**2, task.feature_dim)
    return torch.empty(batch_size, 3, task.image_size, task.image_size)
