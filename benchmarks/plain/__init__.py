"""The paper's models written down plainly, layer by layer, in single precision: the yardstick of every ratio.

Nothing here is shared with the package but the names of the parameters, so that both forms can have the same weights;
``tests/benchmarks/test_plain.py`` holds their outputs and gradients together. Update normalization is the weighted
mean.
"""

from benchmarks.plain.attention import SlotAttention
from benchmarks.plain.feature_autoencoder import FeatureAutoencoder, FeatureDecoder
from benchmarks.plain.image_autoencoder import ConvAutoencoder
from benchmarks.plain.set_predictor import SetPredictor, matched_loss

__all__ = ["ConvAutoencoder", "FeatureAutoencoder", "FeatureDecoder", "SetPredictor", "SlotAttention", "matched_loss"]
