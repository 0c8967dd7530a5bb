r"""Slot Attention that predicts the properties of objects (App. I), after Locatello et al. (2020).

Shape letters: B batch, K slots, N input tokens (the grid's rows one after the other), D slot dimension, C channels,
H W image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from slotnorm.attention import SlotAttention
from slotnorm.initialization import glorot_
from slotnorm.models.conv_autoencoder import ConvEncoder
from slotnorm.models.slot_model import SlotModel
from slotnorm.normalization import Normalization
from slotnorm.numerics import at_least_float32
from slotnorm.object_properties import NUM_PROPERTIES


class SetPrediction(NamedTuple):
    """The objects that are predicted for a batch of images (App. I).

    Example:
        >>> import torch
        >>> out = SetPredictor(image_size=32, num_slots=3)(torch.zeros(1, 3, 32, 32))
        >>> out.predictions.shape, out.slots.shape
        (torch.Size([1, 3, 19]), torch.Size([1, 3, 64]))
    """

    predictions: Float[Tensor, "batch slots 19"]
    """One object per slot, entries in [0, 1] as in :mod:`slotnorm.object_properties`, shape (B, K, 19)."""
    slots: Float[Tensor, "batch slots dim"]
    """Slots after the last iteration, shape (B, K, D)."""
    attention: Float[Tensor, "batch slots inputs"]
    """Attention of the last iteration, shape (B, K, N)."""

    @property
    def segmentation(self) -> Int[Tensor, "batch rows columns"]:
        """The slot that attends most to each input token, shape (B, √N, √N).

        The ground truth to compare it with is that of every ``SetPredictor.stride``-th row and column.
        """
        side = math.isqrt(self.attention.shape[-1])
        return self.attention.argmax(dim=1).view(-1, side, side)


class SetPredictor(SlotModel[SetPrediction]):
    """Slot Attention on RGB images in [-1, 1]; a perceptron predicts an object from each slot (App. I).

    The defaults are the paper's sizes: 128x128 images make 32x32 tokens. The loss is
    :func:`slotnorm.object_properties.hungarian_huber_loss`.

    Args:
        image_size: H = W, a power of two, at least 16.
        num_slots: slots in training.
        slot_dim: D of slots, keys, queries and values, and the width of the perceptron.
        channels: width of the encoder.
        strides: one per 5x5 convolution of the encoder.
        hidden_dim: width of Slot Attention's residual MLP.
        iterations: Slot Attention iterations, 3 in training and evaluation.
        normalization: a name that :func:`~slotnorm.normalization.make_normalization` knows, or a module of your own.
        initial_slots: ``"gaussian"``, the paper's, or ``"learned"``, see :class:`~slotnorm.attention.SlotAttention`.

    Raises:
        ValueError: if the image size, a stride or a width does not fit, or the kind of initial slots is unknown.

    Example:
        >>> import torch
        >>> model = SetPredictor(image_size=32, num_slots=10, channels=16, slot_dim=16)
        >>> out = model(torch.zeros(2, 3, 32, 32), num_slots=21)
        >>> out.predictions.shape, out.segmentation.shape, model.stride
        (torch.Size([2, 21, 19]), torch.Size([2, 8, 8]), 4)
    """

    def __init__(
        self,
        image_size: int = 128,
        num_slots: int = 10,
        slot_dim: int = 64,
        channels: int = 64,
        strides: Sequence[int] = (1, 2, 2, 1),
        hidden_dim: int = 128,
        iterations: int = 3,
        normalization: str | Normalization = "weighted_mean",
        initial_slots: str = "gaussian",
    ) -> None:
        super().__init__()
        self.stride = math.prod(strides)
        self.encoder = ConvEncoder(image_size, channels, strides)
        self.slot_attention = SlotAttention(
            channels, slot_dim, num_slots, iterations, hidden_dim, normalization, initial_slots=initial_slots
        )
        self.head = nn.Sequential(nn.Linear(slot_dim, slot_dim), nn.ReLU(), nn.Linear(slot_dim, NUM_PROPERTIES))
        self.draw_kernels()

    def draw_kernels(self) -> None:
        """See :class:`SlotModel`."""
        self.encoder.apply(glorot_)
        self.head.apply(glorot_)

    def decode(
        self, slots: Float[Tensor, "batch slots dim"], attention: Float[Tensor, "batch slots inputs"]
    ) -> SetPrediction:
        """Predict an object from each slot, shape (B, K, D); ``attention``, shape (B, K, N), is handed on."""
        logits: Tensor = self.head(slots)
        return SetPrediction(at_least_float32(logits).sigmoid(), slots, attention)
