"""Builds what a training step needs from the specification of a run: untrained model, loss module, optimizer.

Shape letters: B batch, K slots, D slot dimension.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slotnorm.models import SlotModel
from slotnorm.tasks import Batch, Task
from slotnorm.training.spec import RunSpec

BETAS = (0.9, 0.999)
MODEL_SEED, SLOT_SEED = 1, 2


class Objective(nn.Module):
    """A task's loss as a module that ``DistributedDataParallel`` can wrap; mixed precision is applied inside."""

    def __init__(self, task: Task, model: SlotModel[Any], precision: str) -> None:
        super().__init__()
        self.task, self.model, self.mixed = task, model, precision == "bf16"

    def forward(self, batch: Batch, noise: Tensor) -> Tensor:
        """Compute the loss of a batch with initial slots made from ``noise``, shape (B, K, D)."""
        with torch.autocast(noise.device.type, torch.bfloat16, enabled=self.mixed):
            return self.task.loss(self.model, batch, noise)


def build_model(spec: RunSpec, device: torch.device | str = "cpu") -> SlotModel[Any]:
    """Build the untrained model of a run; weights that all variants have are the same for one seed on any device."""
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(spec.seed, MODEL_SEED))
        model = spec.task.build(spec.variant)
    return model.to(device)


def build_optimizer(model: nn.Module) -> torch.optim.Adam:
    """Build Adam; :func:`set_rates` sets its learning rate before every update."""
    device = next(model.parameters()).device
    return torch.optim.Adam(model.parameters(), lr=1.0, betas=BETAS, fused=device.type in ("cpu", "cuda"))


def set_rates(optimizer: torch.optim.Optimizer, spec: RunSpec, step: int) -> None:
    """Set the learning rate and ε of the update number ``step``, counted from 0.

    Torch adds ε to the bias-corrected root; TensorFlow's ε̂ is added before: ε̂ = ε / √(1 - β₂ᵗ) in torch's form.
    """
    epsilon = spec.optimizer.epsilon
    if spec.optimizer.epsilon_hat:
        epsilon /= math.sqrt(1 - BETAS[1] ** (step + 1))
    for group in optimizer.param_groups:
        group |= {"lr": spec.schedule.learning_rate(step), "eps": epsilon}


def stream(seed: int, purpose: int) -> int:
    """Derive an independent seed for one purpose from a run's seed."""
    return int(np.random.SeedSequence((seed, purpose)).generate_state(1, np.uint64)[0])
