"""Defines what the stand-in backbone learns: the classes of the object that each patch shows, and the patch's place.

Legend: B scenes, N patches row by row, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from data_tools.features.pretraining.labelled_scenes import LABEL_CLASSES


class Pretext(nn.Module):
    """A vision transformer with linear classifiers on its patch features, whose first two features are the place.

    Features that tell the object of a patch are alike within an object and differ between objects, which is what makes
    DINO's features useful for finding objects. DINO learned that without labels; this network is told. The place is
    there since DINO's features hold it and the encoder of Table 4 adds none.

    Args:
        vit: A timm ViT without class token and classifier.

    Raises:
        ValueError: The network has a class token.
    """

    places: Tensor

    def __init__(self, vit: Any) -> None:
        super().__init__()
        if vit.num_prefix_tokens:
            raise ValueError("the network must have no class token")
        self.vit = vit
        self.classify = nn.ModuleDict({name: nn.Linear(vit.embed_dim, count) for name, count in LABEL_CLASSES.items()})
        self.register_buffer("places", patch_places(*vit.patch_embed.grid_size), persistent=False)

    def forward(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return class logits of all patches, and the mean squared error of the places relative to their variance.

        Args:
            image: Normalized pictures, shape (B, 3, H, W).

        Returns:
            Logits of every label of `LABEL_CLASSES`, each (B, N, classes), and a scalar.
        """
        feature_BNF = self.vit.forward_features(image)
        place_BN2 = feature_BNF[..., :2]
        error = mse_loss(place_BN2, self.places.expand_as(place_BN2))
        return {name: layer(feature_BNF) for name, layer in self.classify.items()}, error

    @torch.no_grad()
    def standardize(self, images: Tensor) -> None:
        """Change the last layer normalization such that every feature has mean 0 and deviation 1 over some pictures.

        The decoder's squared error then weighs all features alike. The classifiers no longer fit afterwards.

        Args:
            images: Normalized pictures, shape (B, 3, H, W).
        """
        feature_MF = torch.cat([self.vit.forward_features(part).flatten(0, 1) for part in torch.split(images, 64)])
        deviation_F, mean_F = torch.std_mean(feature_MF, dim=0)
        self.vit.norm.weight.div_(deviation_F)
        self.vit.norm.bias.sub_(mean_F).div_(deviation_F)


def pretext_loss(
    logits: Mapping[str, Tensor], place_error: Tensor, labels: Mapping[str, Tensor], share: Tensor
) -> Tensor:
    """Return the sum of the cross entropies of all labels and of the places' error.

    Args:
        logits: By label, (B, N, classes).
        place_error: A scalar.
        labels: By label, int64 (B, N).
        share: Share of each patch that its object covers, the weight of its cross entropies, (B, N).
    """
    per_patch = [cross_entropy(logits[name].mT, labels[name], reduction="none") for name in LABEL_CLASSES]
    return (share * torch.stack(per_patch).sum(dim=0)).sum() / share.sum() + place_error


def patch_places(rows: int, columns: int) -> Tensor:
    """Return row and column of every patch, each with mean 0 and variance 1, shape (N, 2)."""
    row_N, column_N = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    place_N2 = torch.stack([row_N.flatten(), column_N.flatten()], dim=-1).float()
    return (place_N2 - place_N2.mean(dim=0)) / place_N2.std(dim=0, correction=0)
