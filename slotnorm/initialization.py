"""Initial values of parameters and buffers, also of modules that had no memory when they were made."""

from __future__ import annotations

from functools import partial

from torch import nn


def glorot_(module: nn.Module) -> None:
    """Initialize a layer as the TensorFlow reference does: Glorot-uniform kernel, zero bias."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def reset_submodules(module: nn.Module) -> None:
    """Call ``reset_parameters`` of all submodules that have it; one that has it answers for those inside it."""
    for child in module.children():
        reset = getattr(child, "reset_parameters", partial(reset_submodules, child))
        reset()
