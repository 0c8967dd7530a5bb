"""Base class of the tasks. Shape letters: B batch, K slots, N input tokens, D slot dimension, C token dimension."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from slotnorm.models import SlotModel

Batch = Mapping[str, Tensor]


class Measured(NamedTuple):
    """Segmentation and loss of the scenes of a batch.

    Example:
        >>> import torch
        >>> Measured(*torch.zeros(2, 2, 8, 8, dtype=torch.int64), loss=torch.zeros(2)).detections
        ()
    """

    truth: Int[Tensor, "batch height width"]
    """Ground-truth labels at the resolution at which the task compares; 0 is the background. Neither the number of
    slots nor that of iterations changes them."""
    segmentation: Int[Tensor, "batch height width"]
    """The slot that owns each place."""
    loss: Float[Tensor, " batch"]
    """Loss of each scene, in double precision, so on the CPU if the device has none."""
    detections: tuple[Tensor, ...] = ()
    """Input of :meth:`Task.summarize`, scenes first."""


class Task(ABC):
    """Base class: a subclass is a frozen dataclass whose fields are the sizes of its model.

    Example:
        >>> from slotnorm.tasks import ObjectDiscovery
        >>> isinstance(ObjectDiscovery(), Task)
        True
    """

    fields: ClassVar[tuple[str, ...]]
    """Arrays of a training batch; the first is what the model encodes."""
    evaluation_fields: ClassVar[tuple[str, ...]]
    """Arrays of an evaluation batch, besides ``num_objects`` and ``scene_id``."""
    flip: ClassVar[bool] = False
    """Whether training scenes are flipped left to right at random."""
    set_measures: ClassVar[tuple[str, ...]] = ()
    """Names of the measures that :meth:`summarize` returns."""

    added_later: ClassVar[Mapping[str, Any]] = {}
    """Fields that earlier versions did not have, each with the value that does what they did. A specification leaves
    out a field that has this value, so that earlier runs keep their names."""

    num_slots: int
    """Slots in training."""
    slot_dim: int
    """Features of a slot."""
    iterations: int
    """Slot Attention iterations in training."""

    @abstractmethod
    def build(self, variant: str) -> SlotModel[Any]:
        """Build the model with the normalization of that name, its weights freshly drawn."""

    @abstractmethod
    def loss(self, model: Any, batch: Batch, noise: Float[Tensor, "batch slots dim"]) -> Float[Tensor, ""]:
        """Compute the mean loss of a batch; the initial slots come from standard normal ``noise``, (B, K, D)."""

    def encode(self, model: SlotModel[Any], batch: Batch) -> Float[Tensor, "batch inputs channels"]:
        """Compute the input tokens of a batch, shape (B, N, C); they do not depend on the number of slots."""
        return model.encode(batch[self.fields[0]])

    def measure(
        self, model: Any, batch: Batch, tokens: Tensor, noise: Float[Tensor, "batch slots dim"], iterations: int
    ) -> Measured:
        """Measure a model on a batch from its tokens, with as many slots as ``noise``, of shape (B, K, D), has."""
        slots = model.slot_attention.initial_slots(noise)
        return self.compare(model.decompose(tokens, iterations=iterations, slots=slots), batch)

    @abstractmethod
    def compare(self, output: Any, batch: Batch) -> Measured:
        """Compare the output of a model with the ground truth of a batch."""

    def summarize(self, detections: tuple[Tensor, ...]) -> dict[str, float]:
        """Measure all scenes together, from the :attr:`Measured.detections` of all of them; none by default."""
        return {}
