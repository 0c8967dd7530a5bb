"""Property prediction of App. I: a strided encoder, a perceptron on every slot, a loss over the best matching."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.functional import huber_loss

from benchmarks.plain.attention import SlotAttention
from benchmarks.plain.image_autoencoder import Encoder


class SetPredictor(nn.Module):
    """App. I; the defaults are the paper's sizes."""

    def __init__(
        self,
        image_size: int = 128,
        slot_dim: int = 64,
        channels: int = 64,
        strides: Sequence[int] = (1, 2, 2, 1),
        hidden_dim: int = 128,
        iterations: int = 3,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(image_size, channels, strides)
        self.slot_attention = SlotAttention(channels, slot_dim, hidden_dim, iterations)
        self.head = nn.Sequential(nn.Linear(slot_dim, slot_dim), nn.ReLU(), nn.Linear(slot_dim, 19))

    def forward(self, image: Tensor, noise: Tensor, iterations: int | None = None) -> tuple[Tensor, Tensor]:
        """Predictions (B, K, 19) and attention (B, K, N)."""
        slots, attention = self.slot_attention(self.encoder(image), noise, iterations)
        return torch.sigmoid(self.head(slots)), attention


def matched_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """Huber loss of each scene's best matching of slots (B, K, 19) and objects (B, M, 19), scene by scene."""
    losses = []
    for predicted, target in zip(predictions, targets, strict=True):
        pairs = huber_loss(
            predicted[:, None].expand(-1, len(target), -1), target.expand(len(predicted), -1, -1), reduction="none"
        ).mean(dim=-1)
        slots, objects = linear_sum_assignment(pairs.detach().numpy(force=True))
        losses.append(pairs[slots, objects].mean())
    return torch.stack(losses).mean()
