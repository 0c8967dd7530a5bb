"""Evaluating a trained model at slot counts other than its own: one tidy table, a row per scene and setting."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from slotnorm.data import Split
from slotnorm.metrics import adjusted_rand_index, foreground_adjusted_rand_index
from slotnorm.models import ConvAutoencoder, Decomposition


def initial_slot_generator(seed: int, num_slots: int, device: torch.device) -> torch.Generator:
    """Source of the initial slots at one slot count: the same for every variant, whatever else is evaluated."""
    return torch.Generator(device).manual_seed(seed * 1_000_003 + num_slots)


@torch.inference_mode()
def evaluate(
    model: ConvAutoencoder,
    split: Split,
    slots: Sequence[int],
    *,
    iterations: int = 5,
    batch_size: int = 64,
    seed: int = 0,
    label: str = "evaluation",
) -> pd.DataFrame:
    """Segmentation and reconstruction of every scene at every slot count; the encoder runs once per scene.

    Args:
        model: put in evaluation mode; its device is used.
        split: scenes with ``image`` and ``segmentation``.
        slots: slot counts, e.g. ``range(5, 22, 2)`` as in Fig. 1.
        iterations: Slot Attention iterations; the paper evaluates CLEVR with 5.
        batch_size: scenes at a time.
        seed: of the random initial slots.
        label: of the progress bar.

    Returns:
        One row per scene and slot count: ``scene_id``, ``objects``, ``slots``, ``iterations``, ``f_ari``, ``ari`` and
        ``loss``, the mean squared error over pixels and channels.
    """
    model.eval()
    device = next(model.parameters()).device
    generators = {k: initial_slot_generator(seed, k, device) for k in slots}
    fields = ("image", "segmentation", "num_objects", "scene_id")
    rows = []
    with tqdm(total=len(split) * len(slots), desc=label, unit="scene") as bar:
        for batch in split.batches(batch_size=batch_size, device=device, fields=fields):
            tokens = model.encode(batch["image"])
            for k in slots:
                result = model.decompose(tokens, num_slots=k, iterations=iterations, generator=generators[k])
                rows.append(_rows(batch, result).assign(slots=k, iterations=iterations))
                bar.update(len(tokens))
    columns = ["scene_id", "objects", "slots", "iterations", "f_ari", "ari", "loss"]
    return pd.concat(rows, ignore_index=True)[columns]


def _rows(batch: dict[str, Tensor], result: Decomposition) -> pd.DataFrame:
    true, pred = batch["segmentation"], result.segmentation
    columns = {
        "scene_id": batch["scene_id"],
        "objects": batch["num_objects"],
        "f_ari": foreground_adjusted_rand_index(true, pred),
        "ari": adjusted_rand_index(true, pred),
        "loss": (result.reconstruction - batch["image"]).double().square().mean(dim=(1, 2, 3)),
    }
    return pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()})


@torch.inference_mode()
def decompose_scenes(
    model: ConvAutoencoder, image: Tensor, num_slots: int, *, iterations: int = 5, seed: int = 0
) -> Decomposition:
    """What the model makes of a few images at one slot count, for looking at.

    Args:
        model: put in evaluation mode.
        image: in [-1, 1], shape (B, 3, H, W), on the model's device.
        num_slots: K.
        iterations: Slot Attention iterations.
        seed: of the random initial slots.
    """
    model.eval()
    generator = initial_slot_generator(seed, num_slots, image.device)
    return model(image, num_slots=num_slots, iterations=iterations, generator=generator)  # type: ignore[no-any-return]
