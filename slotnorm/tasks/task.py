"""What a task is; the paper's are its implementations.

Shape letters: B batch, K slots, N input tokens, D slot dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

Batch = Mapping[str, Tensor]


class Measured(NamedTuple):
    """What a model makes of some scenes.

    Example:
        >>> import torch
        >>> labels, loss = torch.zeros(2, 8, 8, dtype=torch.int64), torch.zeros(2)
        >>> Measured(truth=labels, segmentation=labels, loss=loss).detections
        ()
    """

    truth: Int[Tensor, "batch height width"]
    """Ground-truth labels at the resolution at which the task compares, 0 the background."""
    segmentation: Int[Tensor, "batch height width"]
    """The slot that owns each place."""
    loss: Float[Tensor, " batch"]
    """Each scene's own loss, in double precision."""
    detections: tuple[Tensor, ...] = ()
    """What :meth:`Task.summarize` needs of the scenes, scenes first."""


@runtime_checkable
class Task(Protocol):
    """The protocol; see the package's docstring.

    Example:
        >>> from slotnorm.tasks import ObjectDiscovery
        >>> isinstance(ObjectDiscovery(), Task)
        True
    """

    fields: ClassVar[tuple[str, ...]]
    """Arrays of a training batch."""
    evaluation_fields: ClassVar[tuple[str, ...]]
    """Arrays of an evaluation batch, besides ``num_objects`` and ``scene_id``."""
    flip: ClassVar[bool]
    """Whether training scenes are flipped left to right at random."""

    @property
    def num_slots(self) -> int:
        """Slots in training."""

    @property
    def slot_dim(self) -> int:
        """Features of a slot."""

    @property
    def iterations(self) -> int:
        """Slot Attention iterations in training."""

    def build(self, variant: str) -> nn.Module:
        """The model with that normalization, freshly drawn."""

    def loss(self, model: nn.Module, batch: Batch, noise: Float[Tensor, "batch slots dim"]) -> Float[Tensor, ""]:
        """Mean loss of a batch, with initial slots made from standard normal ``noise`` of shape (B, K, D)."""

    def encode(self, model: nn.Module, batch: Batch) -> Float[Tensor, "batch inputs dim"]:
        """Input tokens of a batch, shape (B, N, D), which serve any number of slots."""

    def measure(
        self, model: nn.Module, batch: Batch, tokens: Tensor, noise: Float[Tensor, "batch slots dim"], iterations: int
    ) -> Measured:
        """What the model makes of a batch from its tokens, with as many slots as the noise, of shape (B, K, D), has."""

    def summarize(self, detections: tuple[Tensor, ...]) -> dict[str, float]:
        """Measures of a set of scenes as a whole, from the :attr:`Measured.detections` of all of them."""
