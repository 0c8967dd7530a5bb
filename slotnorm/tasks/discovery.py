"""Object discovery: slots reconstruct images or frozen features, and the reconstruction masks segment the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from slotnorm.models import ConvAutoencoder, Decomposition, FeatureAutoencoder, FeatureDecomposition
from slotnorm.numerics import in_double_precision
from slotnorm.tasks.task import Batch, Measured, Task


@dataclass(frozen=True)
class ObjectDiscovery(Task):
    """Reconstruct images from slots (Sec. 5.1, App. E); fields as in :class:`slotnorm.models.ConvAutoencoder`.

    Example:
        >>> ObjectDiscovery(image_size=32, num_slots=7).build("weighted_sum").slot_attention.normalization
        WeightedSum(scale=N)
    """

    fields: ClassVar[tuple[str, ...]] = ("image",)
    evaluation_fields: ClassVar[tuple[str, ...]] = ("image", "segmentation")
    flip: ClassVar[bool] = True
    added_later: ClassVar[Mapping[str, Any]] = {"decoder_convs": 1}

    image_size: int = 128
    num_slots: int = 7
    slot_dim: int = 64
    channels: int = 64
    encoder_layers: int = 4
    hidden_dim: int = 128
    iterations: int = 3
    decoder_convs: int = 1

    def build(self, variant: str) -> ConvAutoencoder:
        """See :class:`Task`."""
        return ConvAutoencoder(**asdict(self), normalization=variant)

    def loss(self, model: ConvAutoencoder, batch: Batch, noise: Tensor) -> Tensor:
        """Compute the mean squared error over pixels and channels (App. E, Training)."""
        output = model(batch["image"], slots=model.slot_attention.initial_slots(noise))
        _require_fit(output.reconstruction, batch["image"])
        return nn.functional.mse_loss(output.reconstruction.float(), batch["image"])

    def compare(self, output: Decomposition, batch: Batch) -> Measured:
        """Segment by the alpha masks (Sec. 5); the loss is the mean squared error over pixels and channels."""
        return Measured(batch["segmentation"], output.segmentation, _errors(output.reconstruction, batch["image"]))


@dataclass(frozen=True)
class FeatureDiscovery(Task):
    """Reconstruct frozen features (Sec. 5.2, App. F); fields as in :class:`slotnorm.models.FeatureAutoencoder`.

    Example:
        >>> FeatureDiscovery(grid_size=10, feature_dim=96).build("layer_norm").grid_size
        10
    """

    fields: ClassVar[tuple[str, ...]] = ("features",)
    evaluation_fields: ClassVar[tuple[str, ...]] = ("features", "segmentation")

    grid_size: int = 28
    feature_dim: int = 768
    num_slots: int = 11
    slot_dim: int = 128
    decoder_dim: int = 1024
    decoder_layers: int = 3
    hidden_dim: int = 512
    iterations: int = 3
    position_scale: float = 1.0
    init: str = "torch"

    def build(self, variant: str) -> FeatureAutoencoder:
        """See :class:`Task`."""
        return FeatureAutoencoder(**asdict(self), normalization=variant)

    def loss(self, model: FeatureAutoencoder, batch: Batch, noise: Tensor) -> Tensor:
        """Compute the mean squared error over patches and features (App. F, Training)."""
        return model.loss(batch["features"], slots=model.slot_attention.initial_slots(noise))

    def compare(self, output: FeatureDecomposition, batch: Batch) -> Measured:
        """Segment by bilinearly enlarged alpha masks (App. F); the loss is that of training, scene by scene."""
        truth = batch["segmentation"]
        return Measured(truth, output.segment(truth.shape[-1]), _errors(output.reconstruction, batch["features"]))


def _errors(reconstruction: Tensor, target: Tensor) -> Tensor:
    _require_fit(reconstruction, target)
    return in_double_precision(reconstruction - target).square().flatten(1).mean(dim=1)


def _require_fit(reconstruction: Tensor, target: Tensor) -> None:
    if reconstruction.shape != target.shape or not len(target):
        shapes = f"{tuple(reconstruction.shape)} and {tuple(target.shape)}"
        raise ValueError(f"reconstruction and target must have one shape with a scene at least, got {shapes}")
