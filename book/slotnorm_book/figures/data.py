"""Figures of the data page: numbers of objects, frozen features as colors, and the training of their backbone."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from slotnorm_book.figures.segmented_scenes import to_rgb
from slotnorm_book.figures.style import OKABE_ITO, PHONE_WIDTH

CLIPPED = 0.02
"""Share of the patches at either end of a component that get the color of the end."""
SMOOTHED_OVER = 50
"""Steps over which the loss is averaged."""


def draw_object_counts(counts: Mapping[str, npt.NDArray[np.int64]]) -> Figure:
    """Draw the number of scenes over the number of objects, a bar per data set.

    Args:
        counts: name of a data set to the number of objects in each of its scenes.
    """
    fig, ax = plt.subplots(figsize=(PHONE_WIDTH, 3))
    width = 0.85 / len(counts)
    for place, (name, values) in enumerate(counts.items()):
        number, scenes = np.unique(values, return_counts=True)
        offset = (place - (len(counts) - 1) / 2) * width
        ax.bar(number + offset, scenes, width, color=list(OKABE_ITO.values())[1 + place], label=name)
    ax.set(xlabel="objects in a scene", ylabel="scenes", xticks=range(1, 1 + max(map(max, counts.values())), 2))
    fig.legend(loc="outside upper center", ncols=len(counts))
    return fig


def features_to_rgb(features: Float[Tensor, "scenes patches dim"]) -> Float[Tensor, "scenes side side 3"]:
    """Turn the three main components of patch features, over all scenes together, into red, green and blue.

    Each component is scaled to [0, 1]; the share :data:`CLIPPED` at either end is clipped. Its sign makes the loading
    with the largest absolute value positive.

    Args:
        features: patches, row by row from a square grid.

    Raises:
        ValueError: the number of patches is not a square.
    """
    scenes, patches, dim = features.shape
    side = round(patches**0.5)
    if side * side != patches:
        raise ValueError(f"patches must fill a square, got {patches} of them")
    flat = features.double().reshape(-1, dim)
    centered = flat - flat.mean(0)
    _, directions = torch.linalg.eigh(centered.mT @ centered)
    main = directions[:, -3:].flip(1)
    main = main * main.gather(0, main.abs().argmax(0, keepdim=True)).sign()
    components = centered @ main
    low, high = torch.quantile(components, torch.tensor([CLIPPED, 1 - CLIPPED], dtype=torch.float64), dim=0)
    shares: Tensor = (components - low) / (high - low).clamp_min(1e-12)
    return shares.clamp(0, 1).float().view(scenes, side, side, 3)


def draw_images_and_features(
    image: Float[Tensor, "scenes 3 height width"], features: Float[Tensor, "scenes patches dim"]
) -> Figure:
    """Draw images in a row, with the colors of their patches' features below."""
    side = PHONE_WIDTH / len(image)
    fig, axes = plt.subplots(2, len(image), figsize=(PHONE_WIDTH, 2 * side), squeeze=False)
    rows = (to_rgb(image), features_to_rgb(features.cpu()).numpy())
    for axes_row, pictures in zip(axes, rows, strict=True):
        for ax, picture in zip(axes_row, pictures, strict=True):
            ax.imshow(picture, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
    return fig


def draw_pretraining(loss: pd.DataFrame, held_out: Mapping[str, float]) -> Figure:
    """Draw the loss of the stand-in backbone's training, and how often it labels patches of other scenes right.

    Args:
        loss: columns ``step`` and ``loss``.
        held_out: label to the share of patches that are labelled right.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(PHONE_WIDTH, 2.6), width_ratios=(3, 2))
    left.plot(loss["step"], loss["loss"].rolling(SMOOTHED_OVER, min_periods=1).mean(), color=OKABE_ITO["blue"])
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    names = [name.replace("_", " ") for name in held_out]
    bars = right.barh(names, list(held_out.values()), color=OKABE_ITO["blue"])
    right.bar_label(bars, fmt="%.2f", padding=2)
    right.set(xlabel="patches right", xlim=(0, 1.2), xticks=(0, 0.5, 1))
    right.invert_yaxis()
    return fig
