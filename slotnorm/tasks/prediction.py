"""Property prediction: the objects of a scene are predicted as a set, one per slot (App. I)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

from torch import Tensor

from slotnorm.metrics.detection import THRESHOLDS, average_precision
from slotnorm.models import SetPrediction, SetPredictor
from slotnorm.numerics import in_double_precision
from slotnorm.object_properties import (
    COORDINATE_SCALINGS,
    PROPERTY_FIELDS,
    hungarian_huber_loss,
    hungarian_huber_losses,
    property_targets,
)
from slotnorm.tasks.task import Batch, Measured, Task


@dataclass(frozen=True)
class PropertyPrediction(Task):
    """Predict the objects of a scene as a set (App. I); fields as in :class:`slotnorm.models.SetPredictor`.

    Args:
        coordinates: how positions are scaled, a name in :data:`slotnorm.object_properties.COORDINATE_SCALINGS`.

    Raises:
        ValueError: if ``coordinates`` is another name.

    Example:
        >>> PropertyPrediction(image_size=32).build("weighted_mean").slot_attention.num_slots
        10
    """

    fields: ClassVar[tuple[str, ...]] = ("image", *PROPERTY_FIELDS)
    evaluation_fields: ClassVar[tuple[str, ...]] = ("image", "segmentation", *PROPERTY_FIELDS)
    set_measures: ClassVar[tuple[str, ...]] = tuple(f"ap@{threshold:g}" for threshold in THRESHOLDS)

    image_size: int = 128
    num_slots: int = 10
    slot_dim: int = 64
    channels: int = 64
    strides: Sequence[int] = (1, 2, 2, 1)
    hidden_dim: int = 128
    iterations: int = 3
    coordinates: str = "google"

    def __post_init__(self) -> None:
        object.__setattr__(self, "strides", tuple(self.strides))  # a list, when it comes from JSON
        if self.coordinates not in COORDINATE_SCALINGS:
            raise ValueError(f"coordinates must be one of {sorted(COORDINATE_SCALINGS)}, got {self.coordinates!r}")

    def build(self, variant: str) -> SetPredictor:
        """See :class:`Task`."""
        sizes = {name: value for name, value in asdict(self).items() if name != "coordinates"}
        return SetPredictor(**sizes, normalization=variant)

    def loss(self, model: SetPredictor, batch: Batch, noise: Tensor) -> Tensor:
        """Compute the Huber loss of the best matching (App. I)."""
        slots = model.slot_attention.initial_slots(noise)
        targets = property_targets(batch, self.coordinates, self.num_slots)
        return hungarian_huber_loss(model(batch["image"], slots=slots).predictions, targets)

    def compare(self, output: SetPrediction, batch: Batch) -> Measured:
        """Segment by the attention on the grid of tokens; the detections are predicted and true objects."""
        targets, stride = property_targets(batch, self.coordinates), math.prod(self.strides)
        truth = batch["segmentation"][:, ::stride, ::stride]
        losses = in_double_precision(hungarian_huber_losses(output.predictions, targets))
        return Measured(truth, output.segmentation, losses, (output.predictions, targets))

    def summarize(self, detections: tuple[Tensor, ...]) -> dict[str, float]:
        """Compute the average precision at every threshold (App. I, Fig. 13): ``ap@inf``, ``ap@1``, …"""
        predictions, targets = detections
        return dict(zip(self.set_measures, average_precision(predictions, targets).tolist(), strict=True))
