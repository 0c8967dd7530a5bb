"""The paper's models written down plainly, with the layers and the order of the authors' code: the yardstick of ratios.

What that code broadcasts is broadcast here, so that this form is not slower than it: the copies of a slot on the grid
of the decoder are a view, and the losses of all pairs of slots and objects are computed for the whole batch at once.
Precision is the caller's: single by default, mixed under autocast, which reaches every layer.

Nothing here is shared with the package but the names of the parameters, so that both forms can have the same weights;
``tests/benchmarks/test_plain.py`` holds their outputs and gradients together. Update normalization is the weighted
mean.
"""

from benchmarks.plain.attention import SlotAttention
from benchmarks.plain.feature_autoencoder import FeatureAutoencoder, FeatureDecoder
from benchmarks.plain.image_autoencoder import ConvAutoencoder
from benchmarks.plain.rand_index import foreground_adjusted_rand_index
from benchmarks.plain.set_predictor import SetPredictor, matched_loss

__all__ = ["ConvAutoencoder", "FeatureAutoencoder", "FeatureDecoder", "SetPredictor", "SlotAttention"]
__all__ += ["foreground_adjusted_rand_index", "matched_loss"]
