"""F-ARI as code without scikit-learn has it: counts of pixels from a product of one-hot masks, for a whole batch."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import one_hot


def foreground_adjusted_rand_index(true: Tensor, found: Tensor) -> Tensor:
    """F-ARI of every image (B,) from label maps (B, H, W); NaN where either has one cluster or every pixel its own."""
    masks = [one_hot(labels.flatten(1)).float() for labels in (true, found)]
    counts = (masks[0][..., 1:].transpose(1, 2) @ masks[1]).double()
    total = counts.sum(dim=(1, 2))
    agreeing = (counts * (counts - 1)).sum(dim=(1, 2))
    of_true, of_found = (side * (side - 1) for side in (counts.sum(dim=2), counts.sum(dim=1)))
    expected = of_true.sum(dim=1) * of_found.sum(dim=1) / (total * (total - 1))
    largest = (of_true.sum(dim=1) + of_found.sum(dim=1)) / 2
    return (agreeing - expected) / (largest - expected)
