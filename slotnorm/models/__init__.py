"""The paper's models around Slot Attention."""

from slotnorm.models.conv_autoencoder import ConvAutoencoder, Decomposition
from slotnorm.models.feature_autoencoder import FeatureAutoencoder, FeatureDecomposition
from slotnorm.models.set_predictor import SetPrediction, SetPredictor
from slotnorm.models.slot_model import SlotModel

__all__ = ["SlotModel", "ConvAutoencoder", "Decomposition", "FeatureAutoencoder", "FeatureDecomposition"]
__all__ += ["SetPredictor", "SetPrediction"]
