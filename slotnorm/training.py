"""The training loop: a model, batches addressed by step, a schedule.

A task gives the loss of a batch; the loop knows nothing else of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm


class TrainingDivergedError(RuntimeError):
    """The loss is no longer a finite number."""


@runtime_checkable
class BatchSource(Protocol):
    """Anything that gives the batch of a step, as :class:`slotnorm.data.Loader` does."""

    def __getitem__(self, step: int, /) -> Mapping[str, Tensor]:
        """The batch of a step."""


Loss = Callable[[nn.Module, Mapping[str, Tensor], torch.Generator], Tensor]
"""From model, batch and the generator of the initial slots to a scalar."""


@dataclass(frozen=True)
class Schedule:
    """Steps and learning rate: linear warm-up to a peak, then halved every ``half_life`` steps (App. E and F).

    The defaults are those of CLEVR, whose peak is 4e-4 · 0.5^0.1; MOVi-C has 4e-4.

    Args:
        steps: updates in all.
        peak: learning rate at the end of the warm-up.
        warmup: steps of linear growth; 0 for none.
        half_life: steps in which the rate then halves.

    Raises:
        ValueError: for a setting out of range.

    Example:
        >>> schedule = Schedule(peak=4e-4)
        >>> [round(schedule.learning_rate(step), 6) for step in (0, 4_999, 9_999, 110_000)]
        [0.0, 0.0002, 0.0004, 0.0002]
    """

    steps: int = 500_000
    peak: float = 4e-4 * 0.5**0.1
    warmup: int = 10_000
    half_life: float = 100_000

    def __post_init__(self) -> None:
        if self.steps < 1 or self.warmup < 0 or not (self.peak > 0 and self.half_life > 0):
            raise ValueError(f"steps, peak and half_life must be positive and warmup not negative, got {self}")

    def learning_rate(self, step: int) -> float:
        """Learning rate of the update number ``step``, counted from 0."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        return float(self.peak * 0.5 ** ((step - self.warmup) / self.half_life))


def reconstruction_loss(model: nn.Module, batch: Mapping[str, Tensor], generator: torch.Generator) -> Float[Tensor, ""]:
    """Mean squared error over pixels and channels (App. E, Training)."""
    image = batch["image"]
    return nn.functional.mse_loss(model(image, generator=generator).reconstruction, image)


def train(
    model: nn.Module,
    batches: BatchSource,
    schedule: Schedule,
    *,
    seed: int,
    loss: Loss = reconstruction_loss,
    clip_norm: float | None = None,
    label: str = "training",
) -> list[float]:
    """Trains ``model`` in place with Adam, showing a progress bar.

    Args:
        model: on the device of the batches; left in training mode.
        batches: the batch of every step.
        schedule: number of steps and learning rate.
        seed: of the random initial slots.
        loss: what is minimized.
        clip_norm: bound on the norm of the gradient; ``None`` for none, as the paper has it on CLEVR.
        label: of the progress bar.

    Returns:
        The loss of every step.

    Raises:
        TrainingDivergedError: naming the step at which the loss stopped being finite.
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.learning_rate)
    curve = []
    model.train()
    for step in (bar := tqdm(range(schedule.steps), desc=label, unit="step")):
        optimizer.zero_grad(set_to_none=True)
        value = loss(model, batches[step], generator)
        value.backward()  # type: ignore[no-untyped-call]
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        scheduler.step()
        curve.append(value.item())
        if not math.isfinite(curve[-1]):
            raise TrainingDivergedError(
                f"{label}: loss is {curve[-1]} at step {step}, learning rate {schedule.learning_rate(step):.3g}; "
                "a lower learning rate or clip_norm=1.0 usually helps"
            )
        bar.set_postfix(loss=f"{curve[-1]:.4f}", refresh=False)
    return curve
