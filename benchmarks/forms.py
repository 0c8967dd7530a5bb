"""One training step in its two forms, and the batches that both are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import plain
from benchmarks.counting import Count, count
from slotnorm.object_properties import CLASS_COUNTS, property_targets
from slotnorm.tasks import FeatureDiscovery, ObjectDiscovery, PropertyPrediction
from slotnorm.training.build import Objective, build_model, build_optimizer, set_rates
from slotnorm.training.spec import RunSpec


class Plain:
    """One step of the plain form in the run's precision: bf16 is autocast around the whole model and its loss."""

    def __init__(self, spec: RunSpec, batch: dict[str, Tensor]) -> None:
        self.spec, self.batch = spec, batch
        self.mixed, self.device = spec.precision == "bf16", batch["noise"].device.type
        self.model = plain_model(spec.task).to(batch["noise"].device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-5)

    def __call__(self) -> None:
        """Take it."""
        self.optimizer.zero_grad()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.mixed):
            loss = plain_loss(self.model, self.spec.task, self.batch)
        loss.backward()
        if self.spec.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.optimizer.clip_norm)
        self.optimizer.step()


class Ours:
    """One step as :mod:`slotnorm.training` takes it."""

    def __init__(self, spec: RunSpec, batch: dict[str, Tensor]) -> None:
        self.spec, self.batch, self.done = spec, batch, 0
        self.model = build_model(spec, batch["noise"].device).train()
        self.optimizer = build_optimizer(self.model)
        self.objective = Objective(spec.task, self.model, spec.precision)

    def __call__(self) -> None:
        """Take it."""
        self.optimizer.zero_grad(set_to_none=True)
        self.objective(self.batch, self.batch["noise"]).backward()
        norm = nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        if self.spec.optimizer.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.model.parameters(), self.spec.optimizer.clip_norm, norm)
        set_rates(self.optimizer, self.spec, self.done)
        self.optimizer.step()
        self.done += 1


def plain_model(task: Any) -> nn.Module:
    """The plain form of a task's model."""
    if isinstance(task, ObjectDiscovery):
        sizes = (task.image_size, task.slot_dim, task.channels, task.encoder_layers, task.hidden_dim, task.iterations)
        return plain.ConvAutoencoder(*sizes, task.decoder_convs)
    if isinstance(task, FeatureDiscovery):
        sizes = (task.grid_size, task.feature_dim, task.slot_dim, task.decoder_dim, task.decoder_layers)
        return plain.FeatureAutoencoder(*sizes, task.hidden_dim, task.iterations)
    return plain.SetPredictor(
        task.image_size, task.slot_dim, task.channels, task.strides, task.hidden_dim, task.iterations
    )


def plain_loss(model: nn.Module, task: Any, batch: dict[str, Tensor]) -> Tensor:
    """What it minimizes."""
    if isinstance(task, PropertyPrediction):
        targets = property_targets(batch, task.coordinates, task.num_slots)
        return plain.matched_loss(model(batch["image"], batch["noise"])[0], targets)
    data: Tensor = batch["image"] if isinstance(task, ObjectDiscovery) else batch["features"]
    loss: Tensor = model.loss(data, batch["noise"])
    return loss


def make_batch(spec: RunSpec, device: torch.device) -> dict[str, Tensor]:
    """Noise of the right shapes: a step takes as long whatever it is shown."""
    task, B = spec.task, spec.batch_size
    generator = torch.Generator().manual_seed(0)
    batch = {"noise": torch.randn(B, task.num_slots, task.slot_dim, generator=generator)}
    if isinstance(task, FeatureDiscovery):
        batch["features"] = torch.randn(B, task.grid_size**2, task.feature_dim, generator=generator)
    else:
        batch["image"] = torch.rand(B, 3, task.image_size, task.image_size, generator=generator) * 2 - 1
    if isinstance(task, PropertyPrediction):
        objects = (B, 1 + min(task.num_slots, 10))
        batch |= {name: torch.randint(1, n + 1, objects, generator=generator) for name, n in CLASS_COUNTS.items()}
        batch |= {axis: torch.rand(objects, generator=generator) * 6 - 3 for axis in "xyz"}
        batch["visibility"] = torch.ones(objects, dtype=torch.int64)
    return {key: tensor.to(device) for key, tensor in batch.items()}


def counts(spec: RunSpec) -> Count:
    """Operations and bytes of the project's forward and backward pass; the matching has none to speak of."""

    def prepare() -> Callable[[], object]:
        model = spec.task.build("weighted_mean")
        batch = make_batch(spec, torch.device("cpu"))
        return lambda: _pass(spec, model, batch)

    return count(prepare)


def _pass(spec: RunSpec, model: Any, batch: dict[str, Tensor]) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=spec.precision == "bf16"):
        if isinstance(spec.task, PropertyPrediction):
            slots = model.slot_attention.initial_slots(batch["noise"])
            loss = model(batch["image"], slots=slots).predictions.sum()
        else:
            loss = spec.task.loss(model, batch, batch["noise"])
    loss.backward()


def size(spec: RunSpec) -> str:
    """Of a case, in a few words."""
    task = spec.task
    shown = (
        f"{task.grid_size**2} x {task.feature_dim}"
        if isinstance(task, FeatureDiscovery)
        else f"{task.image_size} x {task.image_size}"
    )
    return f"B {spec.batch_size}, K {task.num_slots}, {shown}"
