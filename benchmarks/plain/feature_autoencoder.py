"""The autoencoder of features of App. F: Tables 4 and 5, Eq. 39."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.plain.attention import SlotAttention


class FeatureDecoder(nn.Module):
    """Table 5: every slot at every patch goes through the whole perceptron."""

    def __init__(
        self, patches: int, slot_dim: int, feature_dim: int, hidden_dim: int = 1024, hidden_layers: int = 3
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(patches, slot_dim))
        self.first = nn.Linear(slot_dim, hidden_dim)
        self.middle = nn.ModuleList(nn.Linear(hidden_dim, hidden_dim) for _ in range(hidden_layers - 1))
        self.last = nn.Linear(hidden_dim, feature_dim + 1)

    def forward(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction (B, N, F) and masks (B, K, N)."""
        x = slots.unsqueeze(2) + self.positions
        for layer in (self.first, *self.middle):
            x = torch.relu(layer(x))
        features, alpha = self.last(x).split([self.last.out_features - 1, 1], dim=-1)
        masks = alpha.softmax(dim=1)
        return (features * masks).sum(dim=1), masks.squeeze(-1)


class FeatureAutoencoder(nn.Module):
    """App. F; the defaults are the paper's sizes."""

    def __init__(
        self,
        grid_size: int = 28,
        feature_dim: int = 768,
        slot_dim: int = 128,
        decoder_dim: int = 1024,
        decoder_layers: int = 3,
        hidden_dim: int = 512,
        iterations: int = 3,
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.LayerNorm(feature_dim),
            nn.Linear(feature_dim, feature_dim),
            nn.ReLU(),
            nn.Linear(feature_dim, slot_dim),
        )
        self.slot_attention = SlotAttention(slot_dim, slot_dim, hidden_dim, iterations)
        self.decoder = FeatureDecoder(grid_size**2, slot_dim, feature_dim, decoder_dim, decoder_layers)

    def forward(self, features: Tensor, noise: Tensor, iterations: int | None = None) -> tuple[Tensor, Tensor]:
        """Reconstruction (B, N, F) and masks (B, K, N)."""
        slots, _ = self.slot_attention(self.encoder(features), noise, iterations)
        return self.decoder(slots)

    def loss(self, features: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of every scene, then their mean."""
        errors = nn.functional.mse_loss(self(features, noise)[0], features, reduction="none")
        return errors.mean(dim=(1, 2)).mean()
