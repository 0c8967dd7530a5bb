r"""The convolutional autoencoder of the CLEVR experiments (App. E, Tables 2 and 3).

Shape letters: B batch, K slots, N input tokens (H·W), D slot dimension, C channels, H W image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from slotnorm.arguments import require_positive, require_whole
from slotnorm.attention import SlotAttention
from slotnorm.initialization import glorot_, reset_submodules
from slotnorm.models.slot_model import SlotModel
from slotnorm.normalization import Normalization
from slotnorm.numerics import at_least_float32

BROADCAST_SIZE = 8
"""Side of the grid on which a slot's decoding begins (Table 3)."""


class Decomposition(NamedTuple):
    """A batch of images, decomposed into slots.

    Example:
        >>> out = ConvAutoencoder(image_size=32, num_slots=3)(torch.zeros(1, 3, 32, 32))
        >>> out.segmentation.shape, out.masks.shape
        (torch.Size([1, 32, 32]), torch.Size([1, 3, 32, 32]))
    """

    reconstruction: Float[Tensor, "batch channels height width"]
    """The slots' reconstructions, mixed by their masks, shape (B, C, H, W)."""
    components: Float[Tensor, "batch slots channels height width"]
    """One reconstruction per slot, shape (B, K, C, H, W)."""
    masks: Float[Tensor, "batch slots height width"]
    """Alpha masks, the softmax over the slots at every pixel, shape (B, K, H, W)."""
    slots: Float[Tensor, "batch slots dim"]
    """Slots after the last iteration, shape (B, K, D)."""
    attention: Float[Tensor, "batch slots inputs"]
    """Attention of the last iteration, shape (B, K, N)."""

    @property
    def segmentation(self) -> Int[Tensor, "batch height width"]:
        """The slot whose mask is largest at each pixel, shape (B, H, W) (Sec. 5, CNN Autoencoder)."""
        return self.masks.argmax(dim=1)


class PositionEmbedding(nn.Module):
    """Adds a learned affine map of four coordinate ramps (App. E, Eq. 38) to tensors of shape (B, C, H, W)."""

    ramps: Tensor

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("ramps", torch.empty(height, width, 4), persistent=False)
        self.project = nn.Linear(4, channels)
        self._set_ramps()

    def reset_parameters(self) -> None:
        """Draw the map anew and compute the ramps, which no state dict holds."""
        reset_submodules(self)
        self._set_ramps()

    def _set_ramps(self) -> None:
        h, w = (torch.linspace(0, 1, size, device=self.ramps.device) for size in self.ramps.shape[:2])
        grid_HW2 = torch.stack(torch.meshgrid(h, w, indexing="ij"), dim=-1)
        self.ramps.copy_(torch.cat([grid_HW2, 1 - grid_HW2], dim=-1))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Add the embedding to ``x``, shape (B, C, H, W)."""
        embedding: Tensor = self.project(self.ramps)
        return x + embedding.permute(2, 0, 1)


class ConvEncoder(nn.Module):
    """Computes input tokens from RGB images in [-1, 1] (Table 2), with one 5x5 convolution per stride.

    Raises:
        ValueError: if the image size, the width or a stride does not fit.
    """

    def __init__(self, image_size: int, channels: int, strides: Sequence[int]) -> None:
        super().__init__()
        require_whole(image_size=image_size)
        if image_size < 2 * BROADCAST_SIZE or image_size & (image_size - 1):
            raise ValueError(f"image_size must be a power of two and at least {2 * BROADCAST_SIZE}, got {image_size}")
        require_positive(channels=channels)
        if min(strides, default=0) < 1 or image_size % math.prod(strides):
            raise ValueError(f"strides must be positive, their product a divisor of {image_size}, got {tuple(strides)}")
        self.image_size = image_size
        self.grid_size = image_size // math.prod(strides)
        self.convs = nn.Sequential()
        for (c_in, c_out), stride in zip(pairwise([3, *[channels] * len(strides)]), strides, strict=True):
            self.convs.extend([nn.Conv2d(c_in, c_out, 5, stride, padding=2), nn.ReLU(inplace=True)])
        self.position = PositionEmbedding(channels, self.grid_size, self.grid_size)
        self.head = nn.Sequential(
            nn.LayerNorm(channels, eps=1e-3), nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels)
        )

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch inputs channels"]:
        """Compute tokens, shape (B, N, C), row by row of the image; N is H·W over the squares of the strides.

        Raises:
            ValueError: if the images have another shape than the encoder's.
        """
        if image.shape[1:] != (3, self.image_size, self.image_size):
            asked = f"images must have shape (B, 3, {self.image_size}, {self.image_size})"
            raise ValueError(f"{asked}, got {tuple(image.shape)}")
        features_BCHW = self.position(self.convs(image))
        tokens: Tensor = self.head(features_BCHW.flatten(2).mT)
        return tokens


class TurnedConv2d(nn.ConvTranspose2d):
    """A transposed convolution of stride 1 that keeps the size, computed as a convolution with the kernel turned.

    The two are the same sum, and a CPU computes the convolution faster.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Float[Tensor, "batch c_in height width"]) -> Float[Tensor, "batch c_out height width"]:  # type: ignore[override]
        """Compute the transposed convolution of ``x``, shape (B, C, H, W); H and W stay as they are."""
        return nn.functional.conv2d(x, self.weight.flip(2, 3).transpose(0, 1), self.bias, padding=self.padding)


class BroadcastDecoder(nn.Module):
    """Decodes every slot into an image and a mask by spatial broadcast (Table 3).

    Its ``convs`` layers of stride 1 lie between the last upsampling and the last layer.
    """

    def __init__(self, image_size: int, slot_dim: int, channels: int, convs: int = 1) -> None:
        super().__init__()
        doublings = (image_size // BROADCAST_SIZE).bit_length() - 1
        self.position = PositionEmbedding(slot_dim, BROADCAST_SIZE, BROADCAST_SIZE)
        self.layers = nn.Sequential()
        for i in range(doublings):
            width = channels if i else slot_dim
            upsample = nn.ConvTranspose2d(width, channels, 5, stride=2, padding=2, output_padding=1)
            self.layers.extend([upsample, nn.ReLU(inplace=True)])
        for _ in range(convs):
            self.layers.extend([TurnedConv2d(channels, channels, 5), nn.ReLU(inplace=True)])
        self.layers.append(TurnedConv2d(channels, 4, 3))

    def forward(
        self, slots: Float[Tensor, "batch slots dim"]
    ) -> tuple[Float[Tensor, "batch slots 3 height width"], Float[Tensor, "batch slots height width"]]:
        """Compute RGB of every slot, shape (B, K, 3, H, W), and unnormalized alpha, shape (B, K, H, W)."""
        grid = slots.flatten(0, 1)[:, :, None, None].expand(-1, -1, BROADCAST_SIZE, BROADCAST_SIZE)
        out: Tensor = self.layers(self.position(grid))
        out_BKCHW = out.view(*slots.shape[:2], *out.shape[1:])
        return out_BKCHW[:, :, :3], out_BKCHW[:, :, 3]


class ConvAutoencoder(SlotModel[Decomposition]):
    """Slot Attention autoencoder on RGB images in [-1, 1], shape (B, 3, H, W) (App. E, Tables 2 and 3).

    The defaults are the paper's sizes. Smaller images take fewer upsampling layers.

    Args:
        image_size: H = W, a power of two, at least 16.
        num_slots: slots in training.
        slot_dim: D of slots, keys, queries and values.
        channels: width of encoder and decoder.
        encoder_layers: 5x5 convolutions of the encoder.
        hidden_dim: width of Slot Attention's residual MLP.
        iterations: Slot Attention iterations in training; the paper evaluates with 5.
        normalization: a name that :func:`~slotnorm.normalization.make_normalization` knows, or a module of your own.
        decoder_convs: 5x5 convolutions of stride 1 in the decoder. Table 3 has one, the most costly layer of all; 0
            leaves it out.
        initial_slots: ``"gaussian"``, the paper's, or ``"learned"``, see :class:`~slotnorm.attention.SlotAttention`.

    Raises:
        ValueError: if the image size is not a power of two of at least 16, a count is too small, or the kind of
            initial slots is unknown.

    Example:
        >>> model = ConvAutoencoder(image_size=32, num_slots=5, channels=16, slot_dim=16)
        >>> out = model(torch.zeros(2, 3, 32, 32), num_slots=9)
        >>> out.reconstruction.shape, out.masks.shape
        (torch.Size([2, 3, 32, 32]), torch.Size([2, 9, 32, 32]))
    """

    def __init__(
        self,
        image_size: int = 128,
        num_slots: int = 7,
        slot_dim: int = 64,
        channels: int = 64,
        encoder_layers: int = 4,
        hidden_dim: int = 128,
        iterations: int = 3,
        normalization: str | Normalization = "weighted_mean",
        decoder_convs: int = 1,
        initial_slots: str = "gaussian",
    ) -> None:
        super().__init__()
        require_positive(channels=channels, encoder_layers=encoder_layers)
        require_whole(decoder_convs=decoder_convs)
        if decoder_convs < 0:
            raise ValueError(f"decoder_convs must be at least 0, got {decoder_convs}")
        self.encoder = ConvEncoder(image_size, channels, strides=[1] * encoder_layers)
        self.slot_attention = SlotAttention(
            channels, slot_dim, num_slots, iterations, hidden_dim, normalization, initial_slots=initial_slots
        )
        self.decoder = BroadcastDecoder(image_size, slot_dim, channels, decoder_convs)
        self.draw_kernels()

    def draw_kernels(self) -> None:
        """See :class:`SlotModel`."""
        self.encoder.apply(glorot_)
        self.decoder.apply(glorot_)

    def decode(
        self, slots: Float[Tensor, "batch slots dim"], attention: Float[Tensor, "batch slots inputs"]
    ) -> Decomposition:
        """Decode slots, (B, K, D), and mix the results by their masks (Table 3); ``attention`` is handed on."""
        components, alpha = self.decoder(slots)
        components, masks = at_least_float32(components), at_least_float32(alpha).softmax(dim=1)
        reconstruction = (components * masks.unsqueeze(2)).sum(dim=1)
        return Decomposition(reconstruction, components, masks, slots, attention)
