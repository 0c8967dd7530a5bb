"""Trains the stand-in backbone, a small vision transformer, on pictures of single objects."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from tqdm import trange

from data_tools.features.pretraining.batches import MEAN, STD, Pictures
from data_tools.features.pretraining.pretext_task import LABEL_CLASSES, Pretext, pretext_loss
from data_tools.features.weights import save_backbone
from data_tools.stand_ins import RENDERER
from data_tools.stand_ins.writer import check_request
from data_tools.writing import durable
from data_tools.writing.durable import DataError, LockedError
from slotnorm.atomic_files import write_whole
from slotnorm.training.checkpoint import CheckpointError, Curve, load_checkpoint, save_checkpoint

ARCHITECTURE = "vit_tiny_patch16_224"
"""Name in timm; `Pretraining` has the sizes."""
HELD_OUT = 512
"""Number of pictures to measure accuracy on; they come after those of the training."""
CHECKPOINT_EVERY = 100


@dataclass(frozen=True)
class Pretraining:
    """The settings of a pretraining; they determine the weights.

    Args:
        steps, batch: updates, and pictures in each.
        pictures: number of different pictures, each also used mirrored.
        seed: seed of pictures, order and initial weights.
        rate, warmup: peak learning rate of AdamW, reached after that many steps, then a half cosine down to 0.
        size, patch: sides of a picture and of a patch in pixels.
        width, depth, heads: sizes of the transformer; its width is F.
        place_scale: see `data_tools.features.pretraining.pretext_task.Pretext`.

    Raises:
        DataError: A setting is out of range.
    """

    steps: int = 2500
    batch: int = 32
    pictures: int = 6144
    seed: int = 0
    rate: float = 1e-3
    warmup: int = 150
    size: int = 120
    patch: int = 12
    width: int = 96
    depth: int = 2
    heads: int = 3
    place_scale: float = 3.0

    def __post_init__(self) -> None:
        check_request(self.pictures, self.size, self.seed, "cpu")
        for name in ("steps", "batch", "patch", "width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.size % self.patch or self.width % self.heads:
            raise DataError(
                f"size must be a multiple of patch and width of heads, got {self.size} and {self.patch}, "
                f"{self.width} and {self.heads}"
            )
        if not (self.rate > 0 and self.place_scale > 0):
            raise DataError(f"rate and place_scale must be positive, got {self.rate} and {self.place_scale}")
        if self.batch > self.pictures:
            raise DataError(f"batch must be at most pictures = {self.pictures}, got {self.batch}")

    @property
    def kwargs(self) -> dict[str, Any]:
        """Return the arguments of `timm.create_model`."""
        sizes = {"img_size": self.size, "patch_size": self.patch, "embed_dim": self.width, "depth": self.depth}
        return sizes | {
            "num_heads": self.heads,
            "mlp_ratio": 2.0,
            "class_token": False,
            "global_pool": "avg",
            "fc_norm": False,
        }

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of update `step`, counted from 0."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        return self.rate * warm * (1 + math.cos(math.pi * step / self.steps)) / 2


def pretrain(settings: Pretraining, out: Path) -> dict[str, Any]:
    """Train a backbone and write its weights to `out`, its loss curve to `.csv` and its provenance to `.json`.

    Call it again after an interruption to resume; on the same machine the weights are the same as without one.

    Args:
        settings: Settings of the pretraining.
        out: File for the weights; ends in `.safetensors`.

    Returns:
        The content of the `.json` file.

    Raises:
        DataError: `out` exists or is being written, or its checkpoint is damaged or of other settings.
    """
    if out.suffix != ".safetensors":
        raise DataError(f"{out}: must be a .safetensors file")
    out.parent.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        if out.exists():
            raise DataError(f"{out}: already exists: remove it to train again")
        checkpoint = out.with_suffix(".checkpoint")
        model, curve, seconds = _train(settings, checkpoint)
        rows = [f"{step},{loss:.5f}" for step, loss in enumerate(curve.loss.tolist(), start=1)]
        write_whole(out.with_suffix(".csv"), "\n".join(["step,loss", *rows, ""]).encode())
        fresh = out.with_suffix(".new")
        save_backbone(model.vit, fresh, name=ARCHITECTURE, kwargs=settings.kwargs, mean=MEAN, std=STD)
        about = _about(settings, model, fresh, seconds)
        durable.write_json(out.with_suffix(".json"), about)
        fresh.replace(out)
        checkpoint.unlink()
    return about


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    try:
        lock = durable.take_lock(out.with_suffix(".lock"))
    except LockedError:
        raise DataError(f"{out}: is being written by another process: wait for it or choose another file") from None
    try:
        yield
    finally:
        durable.release_lock(lock)


def _train(settings: Pretraining, checkpoint: Path) -> tuple[Pretext, Curve, float]:
    """Train, and return the network, its loss curve and the seconds it took."""
    torch.manual_seed(settings.seed)
    model = Pretext(timm.create_model(ARCHITECTURE, num_classes=0, **settings.kwargs), settings.place_scale)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    state: dict[str, Any] = {"run": json.dumps(asdict(settings) | {"renderer": RENDERER}), "model": model}
    state |= {"optimizer": optimizer, "generator": torch.Generator()}
    first, curve, before = _resumed(checkpoint, state)
    pictures = Pictures(settings.seed, 0, settings.pictures, settings.size)
    start = time.monotonic()
    bar = trange(first, settings.steps, initial=first, total=settings.steps, desc="training", disable=None)
    for step in bar:
        image, labels = pictures.batch(step, settings.batch)
        loss, norm = _update(model, optimizer, settings.learning_rate(step), image, labels)
        curve.loss, curve.gradient_norm = torch.cat([curve.loss, loss]), torch.cat([curve.gradient_norm, norm])
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == settings.steps:
            bar.set_postfix(loss=f"{curve.loss[-CHECKPOINT_EVERY:].mean():.3f}", refresh=False)
            elapsed = before + time.monotonic() - start
            save_checkpoint(checkpoint, step=step + 1, curve=curve, elapsed=elapsed, **state)
    return model.eval(), curve, before + time.monotonic() - start


def _resumed(checkpoint: Path, state: dict[str, Any]) -> tuple[int, Curve, float]:
    if not checkpoint.exists():
        return 0, Curve.empty(), 0.0
    try:
        return load_checkpoint(checkpoint, **state)
    except CheckpointError as error:
        raise DataError(str(error)) from None


def _update(
    model: Pretext, optimizer: torch.optim.Optimizer, rate: float, image: Tensor, labels: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Do one update and return its loss and gradient norm, each of shape (1,)."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    logits, place_error = model(image)
    loss = pretext_loss(logits, place_error, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if not loss.isfinite():
        raise DataError(f"the loss is {loss.item()}: a lower rate usually helps")
    return loss.detach()[None], norm.detach()[None]


def _about(settings: Pretraining, model: Pretext, weights: Path, seconds: float) -> dict[str, Any]:
    return {
        "command": "python -m data_tools pretrain",
        "arguments": asdict(settings),
        "renderer": RENDERER,
        "held_out": measure(model, Pictures(settings.seed, settings.pictures, HELD_OUT, settings.size)),
        "parameters": sum(parameter.numel() for parameter in model.vit.parameters()),
        "training_seconds": round(seconds),
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "timm": timm.__version__},
        "sha256": durable.sha256(weights),
        "bytes": weights.stat().st_size,
    }


@torch.no_grad()
def measure(model: Pretext, pictures: Pictures) -> dict[str, float]:
    """Measure the accuracy of every label, and the places' error relative to their variance, on held-out pictures."""
    parts = [(model(image), labels) for image, labels in pictures.in_order(64)]

    def accuracy(name: str) -> float:
        right = torch.cat([logits[name].argmax(1) == labels[name] for (logits, _), labels in parts])
        return round(right.float().mean().item(), 4)

    place_error = torch.stack([error for (_, error), _ in parts]).mean().item()
    return {name: accuracy(name) for name in LABEL_CLASSES} | {"place_error": round(place_error, 4)}
