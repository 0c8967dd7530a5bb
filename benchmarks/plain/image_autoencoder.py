"""The convolutional autoencoder of App. E: Tables 2 and 3, Eq. 38."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.plain.attention import SlotAttention


class PositionEmbedding(nn.Module):
    """Eq. 38: a learned affine image of four ramps."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        ramp = torch.linspace(0, 1, size)
        down, right = torch.meshgrid(ramp, ramp, indexing="ij")
        self.register_buffer("ramps", torch.stack([down, right, 1 - down, 1 - right], dim=-1), persistent=False)
        self.project = nn.Linear(4, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (B, C, H, W)."""
        return x + self.project(self.ramps).permute(2, 0, 1)


class Encoder(nn.Module):
    """Table 2; other strides make the encoder of App. I."""

    def __init__(self, image_size: int, channels: int, strides: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width, size = 3, image_size
        for stride in strides:
            layers += [nn.Conv2d(width, channels, 5, stride=stride, padding=2), nn.ReLU()]
            width, size = channels, size // stride
        self.convs = nn.Sequential(*layers)
        self.position = PositionEmbedding(channels, size)
        self.head = nn.Sequential(
            nn.LayerNorm(channels, eps=1e-3), nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Tokens (B, N, C)."""
        x = self.position(self.convs(image))
        return self.head(x.permute(0, 2, 3, 1).flatten(1, 2))


class Decoder(nn.Module):
    """Table 3; ``convs`` is the number of layers of stride 1 before the last, of which the table has one."""

    def __init__(self, image_size: int, slot_dim: int, channels: int, convs: int) -> None:
        super().__init__()
        self.position = PositionEmbedding(slot_dim, 8)
        layers: list[nn.Module] = []
        width, size = slot_dim, 8
        while size < image_size:
            layers += [nn.ConvTranspose2d(width, channels, 5, stride=2, padding=2, output_padding=1), nn.ReLU()]
            width, size = channels, 2 * size
        for _ in range(convs):
            layers += [nn.ConvTranspose2d(channels, channels, 5, padding=2), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(channels, 4, 3, padding=1))

    def forward(self, slots: Tensor) -> Tensor:
        """RGB and alpha of every slot, shape (B, K, 4, H, W)."""
        B, K, D = slots.shape
        x = slots.reshape(B * K, D, 1, 1).expand(-1, -1, 8, 8)
        x = self.layers(self.position(x))
        return x.reshape(B, K, *x.shape[1:])


class ConvAutoencoder(nn.Module):
    """App. E; the defaults are the paper's sizes."""

    def __init__(
        self,
        image_size: int = 128,
        slot_dim: int = 64,
        channels: int = 64,
        encoder_layers: int = 4,
        hidden_dim: int = 128,
        iterations: int = 3,
        decoder_convs: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(image_size, channels, [1] * encoder_layers)
        self.slot_attention = SlotAttention(channels, slot_dim, hidden_dim, iterations)
        self.decoder = Decoder(image_size, slot_dim, channels, decoder_convs)

    def forward(self, image: Tensor, noise: Tensor, iterations: int | None = None) -> tuple[Tensor, Tensor]:
        """Reconstruction (B, 3, H, W) and masks (B, K, 1, H, W)."""
        slots, _ = self.slot_attention(self.encoder(image), noise, iterations)
        rgb, alpha = self.decoder(slots).split([3, 1], dim=2)
        masks = alpha.softmax(dim=1)
        return (rgb * masks).sum(dim=1), masks

    def loss(self, image: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of every image, then their mean."""
        return nn.functional.mse_loss(self(image, noise)[0], image, reduction="none").mean(dim=(1, 2, 3)).mean()
