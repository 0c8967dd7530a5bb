"""Property prediction of App. I: a strided encoder, a perceptron on every slot, a loss over the best matching."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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
    """Huber loss of each scene's best matching of slots (B, K, 19) and objects (B, M, 19), averaged over all pairs."""
    pairs = torch.broadcast_tensors(predictions[:, :, None], targets[:, None])
    losses = huber_loss(*pairs, reduction="none").mean(dim=-1)
    matchings = np.array([linear_sum_assignment(costs) for costs in losses.detach().numpy(force=True)])
    scenes = np.arange(len(matchings))[:, None]
    return losses[scenes, matchings[:, 0], matchings[:, 1]].mean()
