"""Tiny vision transformers and splits of images, for tests of frozen features."""

from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from data_tools.features.weights import save_backbone
from data_tools.writing.split_writer import ArraySpec, SplitWriter

NAME = "vit_tiny_patch16_224"
SIZES = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
HALF_PRECISION = {"rtol": 2**-10, "atol": 1e-5}
"""How far the same features may differ once stored: for another batch size or memory layout, float32 products are
summed in another order, an error of about 1e-6, which can tip the rounding to the eleven bits of float16."""


def vit(name: str = NAME, **kwargs: Any) -> Any:
    """A network with every parameter moved off its initial value, so that none can be left out unnoticed."""
    model = timm.create_model(name, **({"num_classes": 0} | SIZES | kwargs)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def saved(path: Path, model: Any = None, name: str = NAME, **kwargs: Any) -> Path:
    """Weights of `vit(name, **kwargs)` in a file."""
    model = vit(name, **kwargs) if model is None else model
    return save_backbone(model, path, name=name, kwargs=SIZES | kwargs, mean=MEAN, std=STD)


def split(out: Path, count: int = 7, side: int = 32) -> Path:
    """A prepared split of random images."""
    rng = np.random.default_rng(0)
    arrays = {
        "image": rng.integers(0, 256, (count, side, side, 3), np.uint8),
        "segmentation": rng.integers(0, 4, (count, side, side), np.uint8),
        "num_objects": rng.integers(1, 4, count),
        "scene_id": np.arange(count),
    }
    specs = {name: ArraySpec(str(array.dtype), array.shape[1:]) for name, array in arrays.items()}
    about = {"name": "toy/train", "source": "here", "license": "CC0-1.0", "generator": {"side": side}}
    with SplitWriter(out, arrays=specs, count=count, **about) as writer:  # type: ignore[arg-type]
        writer.append(**arrays)
        return writer.finish()
