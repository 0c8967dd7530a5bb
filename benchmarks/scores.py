"""The measures: F-ARI beside scikit-learn's and beside a product of one-hot masks; AP beside a loop over detections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from benchmarks import plain
from benchmarks.measure import compared, interleaved, median
from benchmarks.settings import Row, Settings
from slotnorm.metrics.detection import THRESHOLDS, average_precision
from slotnorm.metrics.segmentation import foreground_adjusted_rand_index
from slotnorm.object_properties import CLASS_COUNTS, COORDINATES, NUM_PROPERTIES, REAL
from slotnorm_book.experiments.recipes.recipe import PAPER_SCENES
from tests.conformance import average_precision_reference as loop

NAME = "measures"
AIM_ARI, AIM_AP, AIM_AP_SECONDS = 60.0, 20.0, 2.0
CPU = torch.device("cpu")


def measure(settings: Settings) -> Iterator[Row]:
    """Both, on the processor."""
    yield from _foreground_adjusted_rand(settings)
    yield from _average_precision(settings)


def _foreground_adjusted_rand(settings: Settings) -> Iterator[Row]:
    yield _beside("scikit-learn's", one_by_one, AIM_ARI, *((2, 8, 3) if settings.quick else (64, 128, 21)), settings)
    small = (2, 8, 3) if settings.quick else (256, 32, 11)
    yield _beside("a product of one-hot masks", plain.foreground_adjusted_rand_index, 1.0, *small, settings)


def _beside(
    what: str,
    plain_form: Callable[[Tensor, Tensor], object],
    aim: float,
    images: int,
    side: int,
    slots: int,
    settings: Settings,
) -> Row:
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(11, (images, side, side), generator=generator)
    found = torch.randint(slots, (images, side, side), generator=generator)
    forms = {
        "plain": lambda: plain_form(true, found),
        "ours": lambda: foreground_adjusted_rand_index(true, found),
    }
    calls = interleaved(forms, settings.rounds(), CPU)
    each = {name: [call.scaled(1 / images) for call in made] for name, made in calls.items()}
    size = f"{side} x {side}, K {slots}, {images} images"
    row = Row(NAME, f"F-ARI of an image, beside {what}", size, "s", aim=f"≥ {aim:.0f}x")
    return compared(row, each["plain"], each["ours"], aim)


def one_by_one(true: Tensor, found: Tensor) -> list[float]:
    """F-ARI of every image by scikit-learn."""
    scores = []
    for labels, segmentation in zip(true.numpy(), found.numpy(), strict=True):
        foreground = labels > 0
        scores.append(float(adjusted_rand_score(labels[foreground], segmentation[foreground])))
    return scores


def detections(scenes: int, slots: int = 21, objects: int = 10) -> tuple[Tensor, Tensor]:
    """Predictions of a fair model: the objects with errors, in slots of their own, and spare slots."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.zeros(scenes, objects, NUM_PROPERTIES)
    start = 0
    for count in CLASS_COUNTS.values():
        kinds = torch.randint(count, (scenes, objects, 1), generator=generator)
        targets[..., start : start + count].scatter_(-1, kinds, 1.0)
        start += count
    targets[..., COORDINATES] = torch.rand(scenes, objects, 3, generator=generator)
    targets[..., REAL] = (torch.rand(scenes, objects, generator=generator) < 0.65).float()
    predictions = torch.rand(scenes, slots, NUM_PROPERTIES, generator=generator)
    predictions[:, :objects] = targets + 0.05 * torch.randn(targets.shape, generator=generator)
    return predictions, targets


def _average_precision(settings: Settings) -> Iterator[Row]:
    few, many = (2, 4) if settings.quick else (64, PAPER_SCENES)
    some, everything = detections(few), detections(many)
    lists = [part.double().tolist() for part in some]
    forms = {
        "plain": lambda: [loop.average_precision(*lists, threshold) for threshold in THRESHOLDS],
        "ours": lambda: average_precision(*some),
        "all": lambda: average_precision(*everything),
    }
    times = interleaved(forms, settings.rounds(), CPU)
    ours = [call.scaled(few / many) for call in times["all"]]  # where it is slower a scene than on few
    slower = max(times["ours"], ours, key=median)
    what = "AP at five thresholds"
    row = Row(NAME, f"{what}, beside a loop over detections", f"{few} scenes, K 21", "s", aim=f"≥ {AIM_AP:.0f}x")
    yield compared(row, times["plain"], slower, AIM_AP)
    seconds = median(times["all"])
    row = Row(NAME, what, f"{many:,} scenes, K 21", "s", ours=seconds, aim=f"< {AIM_AP_SECONDS:.0f} s")
    yield replace(row, met=seconds < AIM_AP_SECONDS)
