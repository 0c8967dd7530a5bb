"""Batches that no task can measure are refused by name; what tasks measure is in test_evaluation.py."""

from typing import Any

import jaxtyping
import pytest
import torch

from slotnorm.object_properties import PROPERTY_FIELDS
from slotnorm.tasks import FeatureDiscovery, ObjectDiscovery, PropertyPrediction, Task

TASKS = {
    "images": ObjectDiscovery(16, num_slots=3, slot_dim=6, channels=5, encoder_layers=1, hidden_dim=7),
    "features": FeatureDiscovery(4, 10, num_slots=3, slot_dim=6, decoder_dim=8, decoder_layers=1, hidden_dim=7),
    "objects": PropertyPrediction(16, num_slots=3, slot_dim=6, channels=5, hidden_dim=7),
}
every_task = pytest.mark.parametrize("name", TASKS)


@pytest.fixture(autouse=True)
def _without_shape_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def batch(scenes: int) -> dict[str, torch.Tensor]:
    pictures = {"image": torch.zeros(scenes, 3, 16, 16), "features": torch.zeros(scenes, 16, 10)}
    objects = {name: torch.ones(scenes, 4, dtype=torch.int64) for name in PROPERTY_FIELDS}
    return {**pictures, **objects, "segmentation": torch.zeros(scenes, 16, 16, dtype=torch.int64)}


def measured(task: Task, scenes: int, truths: int) -> Any:
    model, noise = task.build("weighted_sum").eval(), torch.randn(scenes, 3, 6)
    return task.measure(model, batch(truths), task.encode(model, batch(scenes)), noise, 2)


@every_task
def test_a_batch_without_a_scene_has_neither_loss_nor_measures(name: str) -> None:
    task = TASKS[name]
    with pytest.raises(ValueError, match=r"with a scene at least|with B at least 1"):
        task.loss(task.build("weighted_sum"), batch(0), torch.randn(0, 3, 6))
    with pytest.raises(ValueError, match=r"with a scene at least|with B at least 1"):
        measured(task, 0, 0)


@every_task
def test_truth_of_another_number_of_scenes_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(ValueError, match=r"must have one shape|must have shapes"):
        measured(TASKS[name], 1, 2)
    assert len(measured(TASKS[name], 2, 2).loss) == 2
