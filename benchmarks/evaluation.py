"""A sweep over slot counts: the project's evaluation beside one evaluation per count, each image scored by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmarks.counting import count
from benchmarks.forms import make_batch, plain_model
from benchmarks.measure import compared, interleaved
from benchmarks.settings import Row, Settings
from benchmarks.training_step import spec
from slotnorm.data.splits import Manifest, Split
from slotnorm.evaluation import initial_noise
from slotnorm.object_properties import CLASS_COUNTS
from slotnorm.tasks import FeatureDiscovery, ObjectDiscovery, PropertyPrediction
from slotnorm.training.spec import Data
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.recipes.recipe import PAPER_SCENES, PAPER_SLOT_COUNTS
from slotnorm_book.experiments.test_sets import EvaluationSpec, evaluate, select

NAME = "sweep over slots"
AIM = 1.6
CPU = torch.device("cpu")
BATCH = 16


@dataclass(frozen=True)
class Case:
    """A model and how many scenes it is shown: a share of the 1,280, since time grows with them alone."""

    what: str
    task: Any
    scenes: int
    side: int
    iterations: int = 3


def cases(settings: Settings) -> list[Case]:
    """A model of every kind."""
    if settings.quick:
        images = ObjectDiscovery(16, num_slots=3, slot_dim=8, channels=8, encoder_layers=2, hidden_dim=8)
        features = FeatureDiscovery(12, 12, num_slots=3, slot_dim=8, decoder_dim=16, hidden_dim=8)
        properties = PropertyPrediction(16, num_slots=4, slot_dim=8, channels=8, strides=(2, 1), hidden_dim=8)
        return [Case("tiny", task, 3, 16) for task in (images, features, properties)]
    share = PAPER_SCENES if settings.cuda else 0
    return [
        Case("CLEVR, cpu scale", recipe("clevr-6-7", "cpu").task, share or 16, 32, 5),
        Case("CLEVR, Tables 2 and 3", ObjectDiscovery(), share or 1, 128, 5),
        Case("MOVi-C, Tables 4 and 5", FeatureDiscovery(), share or 1, 224),
        Case("property prediction, App. I", PropertyPrediction(), share or 16, 128),
    ]


def measure(settings: Settings) -> Iterator[Row]:
    """Seconds of a sweep of every model."""
    for case in cases(settings):
        torch.manual_seed(0)
        model = case.task.build("weighted_mean").to(settings.device)
        yardstick = plain_model(case.task).to(settings.device)
        yardstick.load_state_dict(model.state_dict())
        split, asked = noise_split(case), evaluation_spec(case)
        forms: dict[str, Callable[[], object]] = {
            "plain": lambda: separately(case, yardstick, split, asked),  # noqa: B023 - called before the next case
            "ours": lambda: evaluate(case.task, model, split, asked, batch_size=BATCH, bar=False),  # noqa: B023
        }
        slow = case.side > 32
        times = interleaved(forms, settings.rounds(3), settings.device, warm=0 if slow else 1)
        size = f"{len(asked.slots)} slot counts, {case.scenes} scenes, {case.side} x {case.side}"
        row = compared(Row(NAME, case.what, size, "s", aim=f"≥ {AIM}x"), times["plain"], times["ours"], AIM)
        each = (row.ours or 0) / case.scenes
        yield replace(row, floor=_told(case), note=f"{PAPER_SCENES:,} scenes: {each * PAPER_SCENES / 60:.1f} minutes")


def _told(case: Case) -> str:
    """Operations of both forms: where they hardly differ, no measure and no cache makes the ratio large."""

    def prepare(make: Callable[[], nn.Module], sweep: Callable[..., object]) -> Callable[[], Callable[[], object]]:
        def fake() -> Callable[[], object]:
            # Without, fake views of a parameter require gradients even where none are taken.
            model = make().requires_grad_(False)
            batch = make_batch(spec(case.task, case.scenes), CPU)
            noise = [torch.randn(case.scenes, slots, case.task.slot_dim) for slots in PAPER_SLOT_COUNTS]
            data = batch["features"] if isinstance(case.task, FeatureDiscovery) else batch["image"]
            return lambda: sweep(model, data, noise, case.iterations)

        return fake

    with torch.no_grad():
        plain = count(prepare(lambda: plain_model(case.task), _anew)).operations
        ours = count(prepare(lambda: case.task.build("weighted_mean"), _from_tokens)).operations
    return f"operations plain {plain / 1e9:.0f} GFLOP, ours {ours / 1e9:.0f}: {plain / ours:.2f}x"


def _anew(model: nn.Module, data: Tensor, noise: Sequence[Tensor], iterations: int) -> None:
    for each in noise:
        model(data, each, iterations)


def _from_tokens(model: Any, data: Tensor, noise: Sequence[Tensor], iterations: int) -> None:
    tokens = model.encode(data)
    for each in noise:
        model.decompose(tokens, slots=each, iterations=iterations)


def evaluation_spec(case: Case) -> EvaluationSpec:
    """The paper's slot counts."""
    return EvaluationSpec(case.what, Data("noise", "none"), case.scenes, PAPER_SLOT_COUNTS, (case.iterations,))


def noise_split(case: Case) -> Split:
    """Scenes of noise in memory, labelled at random: an evaluation takes as long whatever it is shown."""
    rng = np.random.default_rng(0)
    count, side = case.scenes, case.side
    arrays: dict[str, Any] = {
        "image": rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8),
        "segmentation": rng.integers(0, 11, (count, side, side), dtype=np.uint8),
        "num_objects": np.full(count, 10),
        "scene_id": np.arange(count),
        "visibility": np.ones((count, 11), np.int64),
    }
    arrays |= {name: rng.integers(1, n + 1, (count, 11)) for name, n in CLASS_COUNTS.items()}
    arrays |= {axis: rng.uniform(-3, 3, (count, 11)).astype(np.float32) for axis in "xyz"}
    if isinstance(case.task, FeatureDiscovery):
        shape = (count, case.task.grid_size**2, case.task.feature_dim)
        arrays["features"] = rng.standard_normal(shape, dtype=np.float32)
    about = Manifest("noise", "benchmark", "MIT", {}, count, {}, "none")
    return Split(Path("noise"), about, arrays, np.arange(count))


@torch.no_grad()
def separately(case: Case, model: nn.Module, split: Split, asked: EvaluationSpec) -> dict[int, list[float]]:
    """F-ARI of every scene for every slot count, counts and images one after the other; losses left out."""
    model.eval()
    device = next(model.parameters()).device
    scores: dict[int, list[float]] = {}
    for slots in asked.slots:
        scenes = select(split, asked)
        noise = initial_noise(case.task, len(scenes), slots, asked.seed)
        done, scores[slots] = 0, []
        for batch in scenes.batches(batch_size=BATCH, device=device, fields=case.task.evaluation_fields):
            data = batch["features"] if isinstance(case.task, FeatureDiscovery) else batch["image"]
            _, masks = model(data, noise[done : done + len(data)].to(device), case.iterations)
            done += len(data)
            scores[slots] += _scores(case, masks, batch["segmentation"])
    return scores


def _scores(case: Case, masks: Tensor, truth: Tensor) -> list[float]:
    """F-ARI, and for the time it takes ARI, as the project's table has both."""
    if not isinstance(case.task, ObjectDiscovery):
        side = round(masks.shape[-1] ** 0.5)
        masks = masks.unflatten(-1, (side, side))
        step = 1 if isinstance(case.task, FeatureDiscovery) else truth.shape[-1] // side
        truth = truth[:, ::step, ::step]
        masks = interpolate(masks, truth.shape[-2:], mode="bilinear") if step == 1 else masks
    segmentation = masks.reshape(len(truth), -1, *truth.shape[1:]).argmax(dim=1).cpu().numpy()
    scores = []
    for labels, found in zip(truth.cpu().numpy(), segmentation, strict=True):
        adjusted_rand_score(labels.ravel(), found.ravel())
        scores.append(float(adjusted_rand_score(labels[labels > 0], found[labels > 0])))
    return scores
