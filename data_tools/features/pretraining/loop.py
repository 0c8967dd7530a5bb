"""Trains the stand-in backbone, a small vision transformer, on scenes of the MOVi stand-ins with labelled patches."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from tqdm import trange

from data_tools.features.pretraining.batches import MEAN, STD, Batch, Pool
from data_tools.features.pretraining.labelled_scenes import LABEL_CLASSES
from data_tools.features.pretraining.pretext_task import Pretext, pretext_loss
from data_tools.features.weights import save_backbone
from data_tools.stand_ins import RENDERER
from data_tools.stand_ins.writer import check_request
from data_tools.writing import durable
from data_tools.writing.durable import DataError, LockedError
from slotnorm.atomic_files import write_whole
from slotnorm.training.checkpoint import CheckpointError, Curve, load_checkpoint, save_checkpoint

ARCHITECTURE = "vit_tiny_patch16_224"
"""Name in timm; `Pretraining` has the sizes."""
HELD_OUT = 384
"""Number of scenes to measure accuracy on; they come after those of the training."""
STANDARDIZED_ON = 384
"""Number of scenes of the training over which the features get mean 0 and deviation 1."""
SPLIT_SEEDS = 3
"""The splits of the stand-ins have seeds below this one, so a pretraining has not."""
CHECKPOINT_EVERY = 100


@dataclass(frozen=True)
class Pretraining:
    """The settings of a pretraining; they determine the weights.

    Args:
        steps, batch: updates, and scenes in each.
        scenes: number of different scenes, each also used mirrored.
        seed: seed of scenes, order and initial weights; at least :data:`SPLIT_SEEDS`.
        rate, warmup: peak learning rate of AdamW, reached after that many steps, then a half cosine down to 0.
        size, patch: sides of a picture and of a patch in pixels.
        width, depth, heads: sizes of the transformer; its width is F.

    Raises:
        DataError: A setting is out of range.
    """

    steps: int = 4000
    batch: int = 24
    scenes: int = 6144
    seed: int = 100
    rate: float = 1e-3
    warmup: int = 150
    size: int = 120
    patch: int = 8
    width: int = 96
    depth: int = 4
    heads: int = 3

    def __post_init__(self) -> None:
        check_request(self.scenes, self.size, self.seed, "cpu")
        if self.seed < SPLIT_SEEDS:
            raise DataError(f"seed must be at least {SPLIT_SEEDS}, since splits have the seeds below, got {self.seed}")
        for name in ("steps", "batch", "patch", "width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.size % self.patch or self.width % self.heads:
            raise DataError(
                f"size must be a multiple of patch and width of heads, got {self.size} and {self.patch}, "
                f"{self.width} and {self.heads}"
            )
        if not self.rate > 0:
            raise DataError(f"rate must be positive, got {self.rate}")
        if self.batch > self.scenes:
            raise DataError(f"batch must be at most scenes = {self.scenes}, got {self.batch}")

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
        model, pool, curve, seconds = _train(settings, checkpoint)
        held_out = measure(model, Pool(settings.seed, settings.scenes, HELD_OUT, settings.size, settings.patch))
        model.standardize(torch.cat([batch.image for batch in islice(pool.in_order(64), STANDARDIZED_ON // 64)]))
        rows = [f"{step},{loss:.5f}" for step, loss in enumerate(curve.loss.tolist(), start=1)]
        write_whole(out.with_suffix(".csv"), "\n".join(["step,loss", *rows, ""]).encode())
        fresh = out.with_suffix(".new")
        save_backbone(model.vit.half(), fresh, name=ARCHITECTURE, kwargs=settings.kwargs, mean=MEAN, std=STD)
        about = _about(settings, model, held_out, fresh, seconds)
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


def _train(settings: Pretraining, checkpoint: Path) -> tuple[Pretext, Pool, Curve, float]:
    """Train, and return the network, the scenes, the loss curve and the seconds it took."""
    torch.manual_seed(settings.seed)
    model = Pretext(timm.create_model(ARCHITECTURE, num_classes=0, **settings.kwargs))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    state: dict[str, Any] = {"run": json.dumps(asdict(settings) | {"renderer": RENDERER}), "model": model}
    state |= {"optimizer": optimizer, "generator": torch.Generator()}
    first, curve, before = _resumed(checkpoint, state)
    pool = Pool(settings.seed, 0, settings.scenes, settings.size, settings.patch)
    start = time.monotonic()
    bar = trange(first, settings.steps, initial=first, total=settings.steps, desc="training", disable=None)
    for step in bar:
        loss, norm = _update(model, optimizer, settings.learning_rate(step), pool.batch(step, settings.batch))
        curve.loss, curve.gradient_norm = torch.cat([curve.loss, loss]), torch.cat([curve.gradient_norm, norm])
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == settings.steps:
            bar.set_postfix(loss=f"{curve.loss[-CHECKPOINT_EVERY:].mean():.3f}", refresh=False)
            elapsed = before + time.monotonic() - start
            save_checkpoint(checkpoint, step=step + 1, curve=curve, elapsed=elapsed, **state)
    return model.eval(), pool, curve, before + time.monotonic() - start


def _resumed(checkpoint: Path, state: dict[str, Any]) -> tuple[int, Curve, float]:
    if not checkpoint.exists():
        return 0, Curve.empty(), 0.0
    try:
        return load_checkpoint(checkpoint, **state)
    except CheckpointError as error:
        raise DataError(str(error)) from None


def _update(model: Pretext, optimizer: torch.optim.Optimizer, rate: float, batch: Batch) -> tuple[Tensor, Tensor]:
    """Do one update and return its loss and gradient norm, each of shape (1,)."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    logits, place_error = model(batch.image)
    loss = pretext_loss(logits, place_error, batch.labels, batch.share)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if not loss.isfinite():
        raise DataError(f"the loss is {loss.item()}: a lower rate usually helps")
    return loss.detach()[None], norm.detach()[None]


def _about(
    settings: Pretraining, model: Pretext, held_out: dict[str, float], weights: Path, seconds: float
) -> dict[str, Any]:
    return {
        "command": "python -m data_tools pretrain",
        "arguments": asdict(settings),
        "renderer": RENDERER,
        "held_out": held_out,
        "parameters": sum(parameter.numel() for parameter in model.vit.parameters()),
        "training_seconds": round(seconds),
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "timm": timm.__version__},
        "sha256": durable.sha256(weights),
        "bytes": weights.stat().st_size,
    }


@torch.no_grad()
def measure(model: Pretext, pool: Pool) -> dict[str, float]:
    """Measure on held-out scenes which share of patches is labelled right, and the places' error.

    Returns:
        By label, the share of the patches of objects whose label is right; ``background``, the share of the patches of
        the background that every label takes for it; ``place_error``, relative to the variance of the places. Patches
        count as much as they are covered by what they show.
    """
    parts = [(model(batch.image), batch.labels, batch.share) for batch in pool.in_order(64)]
    share = torch.cat([share for _, _, share in parts])
    shows_object = torch.cat([labels["shape"] > 0 for _, labels, _ in parts])
    right = {
        name: torch.cat([logits[name].argmax(-1) == labels[name] for (logits, _), labels, _ in parts])
        for name in LABEL_CLASSES
    }

    def accuracy(answers: Tensor, where: Tensor) -> float:
        return round((share * answers)[where].sum().item() / share[where].sum().item(), 4)

    place_error = torch.stack([error for (_, error), _, _ in parts]).mean().item()
    found = {name: accuracy(answers, shows_object) for name, answers in right.items()}
    found["background"] = accuracy(torch.stack(list(right.values())).all(0), ~shows_object)
    return found | {"place_error": round(place_error, 4)}
