"""Defines what the stand-in backbone learns: the classes of a picture's object, and the place of every patch.

Legend: B pictures, N patches row by row, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from data_tools.stand_ins.textured_objects import COLORS, SHAPES, TEXTURES

LABEL_CLASSES = {"texture": len(TEXTURES), "color": len(COLORS), "second_color": len(COLORS), "shape": len(SHAPES)}
"""Labels of `data_tools.features.pretraining.single_objects`, and the number of classes of each."""


class Pretext(nn.Module):
    """A vision transformer with linear classifiers on a weighted average of its patch features.

    The average is over each patch's difference from the mean patch, with a learned weight for each patch. Features that
    all patches share then do not help the classifiers, so that the object's class stays in the object's patches. With a
    plain average it spreads over all patches, and slots have little to distinguish patches by.

    Args:
        vit: A timm ViT without class token and classifier.
        place_scale: Standard deviation of the first two features, which are trained to be the patch's row and column.

    Raises:
        ValueError: The network has a class token.
    """

    places: Tensor

    def __init__(self, vit: Any, place_scale: float) -> None:
        super().__init__()
        if vit.num_prefix_tokens:
            raise ValueError("the network must have no class token")
        self.vit = vit
        self.weigh = nn.Linear(vit.embed_dim, 1)
        self.classify = nn.ModuleDict({name: nn.Linear(vit.embed_dim, count) for name, count in LABEL_CLASSES.items()})
        self.register_buffer("places", place_scale * patch_places(*vit.patch_embed.grid_size), persistent=False)

    def forward(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return class logits, and the mean squared error of the places relative to their variance.

        Args:
            image: Normalized pictures, shape (B, 3, H, W).

        Returns:
            Logits of every label of `CLASSES`, each (B, classes), and a scalar.
        """
        feature_BNF = self.vit.forward_features(image)
        weight_BN1 = self.weigh(feature_BNF).softmax(dim=1)
        object_BF = (weight_BN1 * (feature_BNF - feature_BNF.mean(dim=1, keepdim=True))).sum(dim=1)
        place_BN2 = feature_BNF[..., :2]
        error = mse_loss(place_BN2, self.places.expand_as(place_BN2)) / self.places.square().mean()
        return {name: layer(object_BF) for name, layer in self.classify.items()}, error


def pretext_loss(logits: Mapping[str, Tensor], place_error: Tensor, labels: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the cross entropies of all labels (B,) and of the places' error."""
    return torch.stack([cross_entropy(logits[name], labels[name]) for name in LABEL_CLASSES]).sum() + place_error


def patch_places(rows: int, columns: int) -> Tensor:
    """Return row and column of every patch, each with mean 0 and variance 1, shape (N, 2)."""
    row_N, column_N = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    place_N2 = torch.stack([row_N.flatten(), column_N.flatten()], dim=-1).float()
    return (place_N2 - place_N2.mean(dim=0)) / place_N2.std(dim=0, correction=0)
