"""Base class of the models.

Shape letters: B batch, K slots, N input tokens, D slot dimension, C token dimension.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotnorm.attention import SlotAttention
from slotnorm.initialization import reset_submodules

Output = TypeVar("Output", covariant=True)


class SlotModel(nn.Module, ABC, Generic[Output]):
    """Encoder, Slot Attention, and what a subclass's :meth:`decode` computes from the slots.

    Example:
        >>> from slotnorm.models import ConvAutoencoder
        >>> model, images = ConvAutoencoder(image_size=32, num_slots=3), torch.zeros(2, 3, 32, 32)
        >>> tokens = model.encode(images)
        >>> [model.decompose(tokens, num_slots=count).slots.shape[1] for count in (3, 7)]
        [3, 7]
    """

    encoder: nn.Module
    slot_attention: SlotAttention

    def reset_parameters(self) -> None:
        """Draw all parameters anew and compute all buffers, also after ``to_empty`` on the device ``meta``."""
        reset_submodules(self)
        self.draw_kernels()

    def draw_kernels(self) -> None:
        """Draw the layers whose initialization is not torch's own; by default there are none."""

    def forward(
        self,
        inputs: Float[Tensor, "batch *inputs"],
        num_slots: int | None = None,
        iterations: int | None = None,
        slots: Float[Tensor, "batch slots dim"] | None = None,
        generator: torch.Generator | int | None = None,
    ) -> Output:
        """Encode inputs (see :meth:`encode`) and decompose them into slots (see :meth:`decompose`)."""
        return self.decompose(self.encode(inputs), num_slots, iterations, slots, generator)

    def encode(self, inputs: Float[Tensor, "batch *inputs"]) -> Float[Tensor, "batch tokens channels"]:
        """Compute input tokens, shape (B, N, C); they do not depend on the number of slots.

        Raises:
            ValueError: if the inputs have another size than the model's.
        """
        tokens: Tensor = self.encoder(inputs)
        return tokens

    def decompose(
        self,
        tokens: Float[Tensor, "batch tokens channels"],
        num_slots: int | None = None,
        iterations: int | None = None,
        slots: Float[Tensor, "batch slots dim"] | None = None,
        generator: torch.Generator | int | None = None,
    ) -> Output:
        """Decompose tokens, shape (B, N, C); for the rest see :meth:`slotnorm.attention.SlotAttention.forward`."""
        return self.decode(*self.slot_attention(tokens, num_slots, iterations, slots, generator))

    @abstractmethod
    def decode(self, slots: Float[Tensor, "batch slots dim"], attention: Float[Tensor, "batch slots tokens"]) -> Output:
        """Compute the output from the slots, shape (B, K, D), and the last attention, shape (B, K, N)."""
