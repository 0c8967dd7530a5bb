"""Scores a model during its training on a few scenes, for the progress bar and the curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from slotnorm.data.splits import Split
from slotnorm.evaluation import initial_noise, number_clips
from slotnorm.metrics import blind_foreground_adjusted_rand_index, foreground_adjusted_rand_index
from slotnorm.models import SlotModel
from slotnorm.tasks import Task


class Probe:
    """Measures F-ARI of a model on a few scenes at its own slot count, and its control on other scenes.

    Args:
        task: the task that the model is trained on.
        split: the scenes; the first ones are used.
        scenes: how many.
        device: of the model.
    """

    def __init__(self, task: Task, split: Split, scenes: int = 64, device: torch.device | str = "cpu") -> None:
        self.task = task
        few = split.select(np.arange(min(scenes, len(split))))
        (self.batch,) = few.batches(batch_size=len(few), device=device, fields=task.evaluation_fields)
        self.clips = number_clips(few).to(device)
        self.noise = initial_noise(task, len(few), task.num_slots, seed=0).to(device)

    @torch.inference_mode()
    def __call__(self, model: SlotModel[Any]) -> tuple[float, float]:
        """Compute the means of F-ARI and blind F-ARI over the scenes; leaves the model in evaluation mode."""
        model.eval()
        tokens = self.task.encode(model, self.batch)
        measured = self.task.measure(model, self.batch, tokens, self.noise, self.task.iterations)
        labels = measured.truth, measured.segmentation
        f_ari = foreground_adjusted_rand_index(*labels)
        blind = blind_foreground_adjusted_rand_index(*labels, clips=self.clips)
        return float(f_ari.mean()), float(blind.mean())
