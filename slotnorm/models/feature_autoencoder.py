r"""Slot Attention on the features of a frozen vision transformer (App. F), after DINOSAUR (Seitzer et al., 2023).

Shape letters: B batch, K slots, N patches (rows of the grid one after the other), F feature dimension, D slot
dimension, H hidden width of the decoder.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear, mse_loss
from torch.utils.checkpoint import checkpoint

from slotnorm.arguments import require_positive
from slotnorm.attention import SlotAttention
from slotnorm.initialization import glorot_, reset_submodules
from slotnorm.models.slot_model import SlotModel
from slotnorm.normalization import Normalization
from slotnorm.numerics import at_least_float32

INITS = ("torch", "glorot")
"""``"torch"``: as ``nn.Linear`` draws, the paper's code. ``"glorot"``: Glorot-uniform kernels and zero biases."""

PATCHES_AT_ONCE = 256
"""Most patches that :class:`FeatureDecoder` decodes at a time; the paper's 784 are decoded in four parts."""


class FeatureDecomposition(NamedTuple):
    """A batch of feature maps, decomposed into slots; the decoder computes no reconstructions per slot.

    Example:
        >>> out = FeatureAutoencoder(grid_size=4, feature_dim=8, num_slots=3, decoder_dim=16)(torch.zeros(1, 16, 8))
        >>> out.masks.shape, out.segment(32).shape
        (torch.Size([1, 3, 4, 4]), torch.Size([1, 32, 32]))
    """

    reconstruction: Float[Tensor, "batch patches features"]
    """The slots' reconstructions, mixed by their masks, shape (B, N, F)."""
    masks: Float[Tensor, "batch slots rows columns"]
    """Alpha masks, the softmax over the slots at every patch, shape (B, K, √N, √N)."""
    slots: Float[Tensor, "batch slots dim"]
    """Slots after the last iteration, shape (B, K, D)."""
    attention: Float[Tensor, "batch slots patches"]
    """Attention of the last iteration, shape (B, K, N)."""

    def segment(self, size: int) -> Int[Tensor, "batch height width"]:
        """Return the slot whose bilinearly enlarged mask is largest at each pixel, shape (B, size, size) (App. F).

        Args:
            size: side of the ground-truth masks in pixels; 224 in the paper.
        """
        return interpolate(self.masks, size=(size, size), mode="bilinear", align_corners=False).argmax(dim=1)


class FeatureDecoder(nn.Module):
    r"""Spatial broadcast, learned positions and a perceptron (Table 5, Eq. 39), rewritten without changing its output.

    As printed, the perceptron maps every :math:`s_k + p_n` to F features and one alpha logit. Its first layer is
    affine, :math:`W(s_k + p_n) + b = W s_k + (W p_n + b)`: K + N products instead of K·N. Its last layer is affine too,
    and the alphas sum to one over the slots, so that
    :math:`\sum_k \alpha_{kn}(W h_{kn} + b) = W \sum_k \alpha_{kn} h_{kn} + b`: hidden features are mixed first, W is
    applied once per patch, and the K reconstructions are never computed. Patches are decoded in equal parts of at
    most :data:`PATCHES_AT_ONCE`. With several parts, the loss's backward pass computes layers again to save memory.
    """

    def __init__(
        self,
        patches: int,
        slot_dim: int,
        feature_dim: int,
        hidden_dim: int = 1024,
        hidden_layers: int = 3,
        position_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.position_scale = position_scale
        self.positions = nn.Parameter(position_scale * torch.randn(patches, slot_dim))
        self.first = nn.Linear(slot_dim, hidden_dim)
        self.middle = nn.ModuleList(nn.Linear(hidden_dim, hidden_dim) for _ in range(hidden_layers - 1))
        self.last = nn.Linear(hidden_dim, feature_dim + 1)

    def reset_parameters(self) -> None:
        """Draw positions and layers anew."""
        nn.init.normal_(self.positions, std=self.position_scale)
        reset_submodules(self)

    def forward(
        self, slots: Float[Tensor, "batch slots dim"]
    ) -> tuple[Float[Tensor, "batch patches features"], Float[Tensor, "batch slots patches"]]:
        """Decode slots, shape (B, K, D), to the mixed reconstruction, (B, N, F), and the masks, (B, K, N)."""
        slot_term_BKH = linear(slots, self.first.weight)
        parts = [self.mix(slot_term_BKH, some) for some in _parts(self.positions)]
        mixed_BNH, masks_BNK = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return self.project(mixed_BNH), masks_BNK.mT

    def loss(
        self, slots: Float[Tensor, "batch slots dim"], target: Float[Tensor, "batch patches features"]
    ) -> Float[Tensor, ""]:
        """Compute the mean squared error of the reconstruction from slots, (B, K, D), for features, (B, N, F).

        Raises:
            ValueError: if the features have another shape than the reconstruction, or there are none.
        """
        expected = len(slots), len(self.positions), self.last.out_features - 1
        if target.shape != expected or not len(slots):
            raise ValueError(f"target must have shape {expected} with a scene at least, got {tuple(target.shape)}")
        slot_term_BKH = linear(slots, self.first.weight)
        parts = list(zip(_parts(self.positions), _parts(target), strict=True))
        if len(parts) == 1:
            return self._error(slot_term_BKH, *parts[0])
        errors = [
            checkpoint(self._error, slot_term_BKH, *part, use_reentrant=False, preserve_rng_state=False)
            * (part[1].shape[1] / target.shape[1])
            for part in parts
        ]
        return torch.stack(errors).sum()

    def _error(self, slot_term_BKH: Tensor, positions: Tensor, target: Tensor) -> Tensor:
        mixed_BNH, _ = self.mix(slot_term_BKH, positions)
        return mse_loss(at_least_float32(self.project(mixed_BNH)), target)

    def mix(
        self, slot_term_BKH: Float[Tensor, "batch slots hidden"], positions: Float[Tensor, "patches dim"]
    ) -> tuple[Float[Tensor, "batch patches hidden"], Float[Tensor, "batch patches slots"]]:
        """Compute the last hidden layer of some patches, mixed by their masks, (B, N, H), and the masks, (B, N, K)."""
        # The slot axis comes after the patches, so that mixing needs no transposed copy.
        hidden_BNKH: Tensor = (slot_term_BKH[:, None] + self.first(positions)[:, None]).relu_()
        shape_BNK = hidden_BNKH.shape[:-1]
        # Of more than two axes a layer returns a view, and autograd copies what is changed in place through a view.
        rows = hidden_BNKH.flatten(0, 2)
        for layer in self.middle:
            rows = layer(rows).relu_()
        logits_BNK = linear(rows, self.last.weight[-1:], self.last.bias[-1:]).view(shape_BNK)
        hidden_BNKH = rows.view(*shape_BNK, rows.shape[-1])
        masks_BNK = at_least_float32(logits_BNK).softmax(dim=-1)
        return (masks_BNK.to(hidden_BNKH.dtype).unsqueeze(-2) @ hidden_BNKH).squeeze(-2), masks_BNK

    def project(self, mixed_BNH: Float[Tensor, "batch patches hidden"]) -> Float[Tensor, "batch patches features"]:
        """Compute features, shape (B, N, F), from the mixed hidden layer, shape (B, N, H)."""
        return linear(mixed_BNH, self.last.weight[:-1], self.last.bias[:-1])


def _parts(patches: Tensor) -> tuple[Tensor, ...]:
    """Split a tensor of shape (…, N, F) into parts of almost equally many patches."""
    return patches.tensor_split(-(-patches.shape[-2] // PATCHES_AT_ONCE), dim=-2)


class FeatureAutoencoder(SlotModel[FeatureDecomposition]):
    """Slot Attention autoencoder on the patch features of a frozen backbone (App. F, Tables 4 and 5).

    The defaults are the paper's sizes, for ``vit_base_patch8_224.dino``.

    Args:
        grid_size: patches in a row and in a column, so that N is its square.
        feature_dim: features F of a patch.
        num_slots: slots in training.
        slot_dim: D of slots, keys, queries, values and input tokens.
        decoder_dim: width of the decoder's hidden layers.
        decoder_layers: hidden layers of the decoder.
        hidden_dim: width of Slot Attention's residual MLP.
        iterations: Slot Attention iterations, in the paper 3 in training and evaluation.
        normalization: a name that :func:`~slotnorm.normalization.make_normalization` knows, or a module of your own.
        position_scale: standard deviation of the decoder's initial positions; 1 in the paper's code, DINOSAUR has 0.02.
        init: ``"torch"`` or ``"glorot"``, for encoder and decoder; Slot Attention has its own ``reset_parameters``.
        initial_slots: ``"gaussian"``, the paper's, or ``"learned"``, see :class:`~slotnorm.attention.SlotAttention`.

    Raises:
        ValueError: if a size or count is below 1, ``position_scale`` is negative, or ``init`` or the kind of
            initial slots is unknown.

    Example:
        >>> model = FeatureAutoencoder(grid_size=14, feature_dim=96, num_slots=11, decoder_dim=64)
        >>> out = model(torch.randn(2, 196, 96), num_slots=24)
        >>> out.reconstruction.shape, out.masks.shape, out.segment(112).shape
        (torch.Size([2, 196, 96]), torch.Size([2, 24, 14, 14]), torch.Size([2, 112, 112]))
    """

    def __init__(
        self,
        grid_size: int = 28,
        feature_dim: int = 768,
        num_slots: int = 11,
        slot_dim: int = 128,
        decoder_dim: int = 1024,
        decoder_layers: int = 3,
        hidden_dim: int = 512,
        iterations: int = 3,
        normalization: str | Normalization = "weighted_mean",
        position_scale: float = 1.0,
        init: str = "torch",
        initial_slots: str = "gaussian",
    ) -> None:
        super().__init__()
        require_positive(grid_size=grid_size, feature_dim=feature_dim, slot_dim=slot_dim)
        require_positive(decoder_dim=decoder_dim, decoder_layers=decoder_layers)
        if position_scale < 0:
            raise ValueError(f"position_scale must not be negative, got {position_scale}")
        if init not in INITS:
            raise ValueError(f"init must be one of {INITS}, got {init!r}")
        self.grid_size = grid_size
        self.feature_dim = feature_dim
        hidden = nn.Linear(feature_dim, feature_dim), nn.ReLU()  # Table 4; the features contain the position
        self.encoder = nn.Sequential(nn.LayerNorm(feature_dim, eps=1e-5), *hidden, nn.Linear(feature_dim, slot_dim))
        self.slot_attention = SlotAttention(
            slot_dim, slot_dim, num_slots, iterations, hidden_dim, normalization, initial_slots=initial_slots
        )
        self.decoder = FeatureDecoder(grid_size**2, slot_dim, feature_dim, decoder_dim, decoder_layers, position_scale)
        self.init = init
        self.draw_kernels()

    def draw_kernels(self) -> None:
        """See :class:`SlotModel`."""
        if self.init == "glorot":
            self.encoder.apply(glorot_)
            self.decoder.apply(glorot_)

    def encode(self, features: Float[Tensor, "batch patches features"]) -> Float[Tensor, "batch patches dim"]:
        """Compute tokens, shape (B, N, D), of patch features without the class token, shape (B, N, F) (Table 4).

        Raises:
            ValueError: if the number of patches or features differs from the model's.
        """
        if features.shape[1:] != (self.grid_size**2, self.feature_dim):
            expected = f"{self.grid_size}x{self.grid_size} patches of {self.feature_dim} features"
            raise ValueError(f"the model expects {expected}, got an array of shape {tuple(features.shape)}")
        return super().encode(features)

    def decode(
        self, slots: Float[Tensor, "batch slots dim"], attention: Float[Tensor, "batch slots patches"]
    ) -> FeatureDecomposition:
        """Reconstruct the features from slots, shape (B, K, D); ``attention``, shape (B, K, N), is handed on."""
        reconstruction, masks_BKN = self.decoder(slots)
        masks = masks_BKN.unflatten(-1, (self.grid_size, self.grid_size))
        return FeatureDecomposition(reconstruction, masks, slots, attention)

    def loss(
        self, features: Float[Tensor, "batch patches features"], slots: Float[Tensor, "batch slots dim"] | None = None
    ) -> Float[Tensor, ""]:
        """Compute the mean squared error between features, shape (B, N, F), and their reconstruction (App. F).

        It equals the error of the model's reconstruction up to rounding and needs less memory. ``slots`` are the
        initial slots, shape (B, K, D), by default random ones.
        """
        final, _ = self.slot_attention(self.encode(features), slots=slots)
        return self.decoder.loss(final, features)
