"""Computes patch features of images with a frozen vision transformer of the timm library.

`python -m data_tools features` stores the features. With `--online` a training step computes them, and none are stored.

Shape letters: B batch, H W image, N patches, F feature dimension.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from data_tools.converters.resampling import BICUBIC, bicubic
from data_tools.features.architecture import create
from data_tools.features.weights import is_head, read_weights
from data_tools.writing import durable
from data_tools.writing.durable import DataError, one_line

ORDERS = ("resize_first", "normalize_first")
"""`resize_first` scales the image, rounds it to grey levels, then normalizes (the paper). `normalize_first` normalizes,
then scales without rounding or clipping (the paper's code). They differ only by rounding and clipping."""

PRECISIONS = ("float32", "bfloat16", "float16")


class FrozenBackbone(nn.Module):
    """A pretrained ViT that gives its patch features after the final layer normalization and is never trained.

    Args:
        model: A timm ViT.
        size: Side of the images that the ViT reads, in pixels.
        mean, std: Mean and deviation to normalize the input with, for RGB in [0, 1].
        order: One of `ORDERS`.
        precision: One of `PRECISIONS`, the type of products; features are float32 in any case.

    Raises:
        ValueError: `order` or `precision` is not one of these.

    `FrozenBackbone.load` makes one from a name and a file.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: Any,
        *,
        size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        order: str = "resize_first",
        precision: str = "float32",
    ) -> None:
        super().__init__()
        if order not in ORDERS or precision not in PRECISIONS:
            raise ValueError(f"order is one of {ORDERS} and precision of {PRECISIONS}, got {order!r} and {precision!r}")
        self.model: Any = model.requires_grad_(False)
        self.size, self.order, self.precision = size, order, getattr(torch, precision)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.about: dict[str, Any] = {"size": size, "mean": list(mean), "std": list(std), "order": order}
        self.about |= {"resize": BICUBIC, "precision": precision}
        self.eval()
        with torch.no_grad():
            _, self.patches, self.feature_dim = self(torch.zeros(1, 3, size, size)).shape

    @classmethod
    def load(
        cls,
        name: str,
        weights: Path | None,
        *,
        size: int | None = None,
        order: str = "resize_first",
        precision: str = "float32",
    ) -> Self:
        """Load a backbone of timm with the weights of a file.

        Args:
            name: Name in timm, such as "vit_base_patch8_224.dino", or "standin" for this project's own.
            weights: A `.safetensors` file; None for the stand-in that comes with this package.
            size: Side of the images in pixels; None for the one in training, any other resamples position embeddings.
            order: One of `ORDERS`.
            precision: One of `PRECISIONS`.

        Raises:
            DataError: The name is unknown, or the file is missing or holds another network.
        """
        if size is not None and size < 1:
            raise DataError(f"{name}: size must be a positive multiple of the patch, got {size}")
        path, tensors, made_here = read_weights(name, weights)
        architecture = made_here.get("name", name)
        kwargs = made_here.get("kwargs", {}) | ({} if size is None else {"img_size": size})
        model = create(architecture, kwargs)
        _fill(model, tensors, path, name)
        config: dict[str, Any] = dict(model.pretrained_cfg) | made_here
        side = _input_size(model)
        try:
            mean, std = _triple(config["mean"]), _triple(config["std"])
            backbone = cls(model, size=side, mean=mean, std=std, order=order, precision=precision)
        except Exception as error:  # of a network that is no ViT after all
            raise DataError(f"{name}: cannot give features of patches: {one_line(error)}") from None
        backbone.about |= {"backbone": name, "weights_sha256": durable.sha256(path)}
        return backbone

    def train(self, mode: bool = True) -> Self:
        """Keep evaluation mode, whatever `mode` is, also inside a model that trains."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Compute the features of a batch of images.

        Args:
            image: RGB in [-1, 1] as `slotnorm.data` delivers it, shape (B, 3, H, W); scaled to `size` if necessary.

        Returns:
            Features float32, shape (B, N, F), patches row by row, without class and register tokens.
        """
        with torch.autocast(image.device.type, self.precision, enabled=self.precision != torch.float32):
            tokens: Tensor = self.model.forward_features(self.prepare(image))
            # timm moves the final normalization behind the pooling for networks that average their patches.
            tokens = getattr(self.model, "fc_norm", nn.Identity())(tokens)
        return tokens[:, self.model.num_prefix_tokens :].float()

    def prepare(self, image: Tensor) -> Tensor:
        """Scale and normalize images in [-1, 1], (B, 3, H, W), to the network's input, (B, 3, size, size)."""
        grey = (image + 1) * 127.5
        if self.order == "resize_first" and image.shape[-2:] != (self.size, self.size):
            grey = bicubic(grey, self.size).round().clamp(0, 255)
        return bicubic((grey / 255 - self.mean) / self.std, self.size)


def _input_size(model: Any) -> int:
    size, grid, patch = (tuple(getattr(model.patch_embed, key)) for key in ("img_size", "grid_size", "patch_size"))
    if size[0] < patch[0] or size[0] != size[1] or size != (grid[0] * patch[0], grid[1] * patch[1]):
        raise DataError(f"size must be square and a positive multiple of the patch {patch}, got {size}")
    return int(size[0])


def _fill(model: Any, tensors: dict[str, Tensor], path: Path, name: str) -> None:
    """Load every tensor or fail; timm itself skips tensors that do not fit when it drops a classifier."""
    adapt = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    state = {key: value for key, value in tensors.items() if not is_head(key)}
    try:
        missing, unexpected = model.load_state_dict(adapt(state, model) if adapt else state, strict=False)
    except Exception as error:  # timm renames tensors by rules of each network, torch lists those that do not fit
        reason = (str(error).splitlines() or [type(error).__name__])[-1].strip()
        raise DataError(f"{path}: does not fit {name}: {reason}") from None
    if missing or unexpected:
        what = f"{missing[0]!r} is missing" if missing else f"{unexpected[0]!r} is unknown"
        raise DataError(f"{path}: does not fit {name}: {what}; {len(missing) + len(unexpected)} tensors differ")


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
