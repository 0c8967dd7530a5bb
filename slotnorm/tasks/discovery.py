"""Object discovery: images or frozen features are reconstructed from slots, and segmented by who reconstructs what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from slotnorm.models import ConvAutoencoder, FeatureAutoencoder
from slotnorm.tasks.task import Batch, Measured


@dataclass(frozen=True)
class ObjectDiscovery:
    """Reconstruct images from slots (Sec. 5.1, App. E); fields as in :class:`slotnorm.models.ConvAutoencoder`.

    Example:
        >>> ObjectDiscovery(image_size=32, num_slots=7).build("weighted_sum").slot_attention.normalization
        WeightedSum(scale=N)
    """

    fields: ClassVar[tuple[str, ...]] = ("image",)
    evaluation_fields: ClassVar[tuple[str, ...]] = ("image", "segmentation")
    flip: ClassVar[bool] = True

    image_size: int = 128
    num_slots: int = 7
    slot_dim: int = 64
    channels: int = 64
    encoder_layers: int = 4
    hidden_dim: int = 128
    iterations: int = 3

    def build(self, variant: str) -> ConvAutoencoder:
        """See :class:`Task`."""
        return ConvAutoencoder(
            image_size=self.image_size,
            num_slots=self.num_slots,
            slot_dim=self.slot_dim,
            channels=self.channels,
            encoder_layers=self.encoder_layers,
            hidden_dim=self.hidden_dim,
            iterations=self.iterations,
            normalization=variant,
        )

    def loss(self, model: Any, batch: Batch, noise: Tensor) -> Tensor:
        """Mean squared error over pixels and channels (App. E, Training)."""
        image = batch["image"]
        slots = model.slot_attention.initial_slots(noise)
        return nn.functional.mse_loss(model(image, slots=slots).reconstruction.float(), image)

    def encode(self, model: Any, batch: Batch) -> Tensor:
        """See :class:`Task`."""
        tokens: Tensor = model.encode(batch["image"])
        return tokens

    def measure(self, model: Any, batch: Batch, tokens: Tensor, noise: Tensor, iterations: int) -> Measured:
        """Segmentation from the alpha masks (Sec. 5), mean squared error over pixels and channels."""
        slots = model.slot_attention.initial_slots(noise)
        result = model.decompose(tokens, iterations=iterations, slots=slots)
        return Measured(batch["segmentation"], result.segmentation, _errors(result.reconstruction, batch["image"]))

    def summarize(self, detections: tuple[Tensor, ...]) -> dict[str, float]:
        """Nothing: every measure is a scene's own."""
        return {}


@dataclass(frozen=True)
class FeatureDiscovery:
    """Reconstruct frozen features (Sec. 5.2, App. F); fields as in :class:`slotnorm.models.FeatureAutoencoder`.

    Example:
        >>> FeatureDiscovery(grid_size=10, feature_dim=96).build("layer_norm").grid_size
        10
    """

    fields: ClassVar[tuple[str, ...]] = ("features",)
    evaluation_fields: ClassVar[tuple[str, ...]] = ("features", "segmentation")
    flip: ClassVar[bool] = False

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
        return FeatureAutoencoder(
            grid_size=self.grid_size,
            feature_dim=self.feature_dim,
            num_slots=self.num_slots,
            slot_dim=self.slot_dim,
            decoder_dim=self.decoder_dim,
            decoder_layers=self.decoder_layers,
            hidden_dim=self.hidden_dim,
            iterations=self.iterations,
            normalization=variant,
            position_scale=self.position_scale,
            init=self.init,
        )

    def loss(self, model: Any, batch: Batch, noise: Tensor) -> Tensor:
        """Mean squared error over patches and features (App. F, Training)."""
        loss: Tensor = model.loss(batch["features"], slots=model.slot_attention.initial_slots(noise))
        return loss

    def encode(self, model: Any, batch: Batch) -> Tensor:
        """See :class:`Task`."""
        tokens: Tensor = model.encode(batch["features"])
        return tokens

    def measure(self, model: Any, batch: Batch, tokens: Tensor, noise: Tensor, iterations: int) -> Measured:
        """Segmentation from bilinearly enlarged alpha masks (App. F), mean squared error over patches and features."""
        truth = batch["segmentation"]
        slots = model.slot_attention.initial_slots(noise)
        result = model.decompose(tokens, iterations=iterations, slots=slots)
        return Measured(truth, result.segment(truth.shape[-1]), _errors(result.reconstruction, batch["features"]))

    def summarize(self, detections: tuple[Tensor, ...]) -> dict[str, float]:
        """Nothing: every measure is a scene's own."""
        return {}


def _errors(reconstruction: Tensor, target: Tensor) -> Tensor:
    return (reconstruction - target).double().square().flatten(1).mean(dim=1)
