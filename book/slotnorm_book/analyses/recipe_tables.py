"""Tables of a recipe's model and protocol next to the paper's, generated from the recipes.

The layers are read off the models themselves (Tables 2 to 5 of the paper, App. I).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import groupby
from typing import Any

import torch
from torch import nn

from slotnorm.models.conv_autoencoder import PositionEmbedding
from slotnorm.models.feature_autoencoder import FeatureDecoder
from slotnorm.tasks import Task
from slotnorm_book.experiments.recipes import Recipe, recipe
from slotnorm_book.markup import MarkdownTable, escape_markdown

COLUMNS = ("", "paper", "here")
MEANINGS = {
    "image_size": "pixels a side",
    "grid_size": "patches a side",
    "feature_dim": "features of a patch",
    "num_slots": "slots in training",
    "iterations": "iterations in training",
    "position_scale": "deviation of the decoder's first positions",
    "init": "initial weights of encoder and decoder",
    "coordinates": "scaling of coordinates",
}
"""Field of a task that the table of the protocol lists, to its meaning. The sizes of layers are in the other table."""


def model_table(here: Recipe) -> MarkdownTable:
    """Make a table of the layers of a recipe's model, and of the same experiment at the paper's scale.

    Args:
        here: the recipe that a page shows.

    Returns:
        A row per part of the model, with the columns :data:`COLUMNS`. ReLUs between layers are left out.
    """
    columns = [_describe_model(each.task) for each in (recipe(here.experiment, "paper"), here)]
    return MarkdownTable([(part, columns[0][part], columns[1][part]) for part in columns[0]], columns=COLUMNS)


def protocol_table(here: Recipe) -> MarkdownTable:
    """Make a table of everything else that a recipe sets: data, optimization, evaluation, runs.

    Args:
        here: the recipe that a page shows.

    Returns:
        A row per setting, with the columns :data:`COLUMNS`; what differs from the paper is in bold.
    """
    left, right = _describe_protocol(recipe(here.experiment, "paper")), _describe_protocol(here)
    rows = [(name, left[name], right[name] if right[name] == left[name] else f"**{right[name]}**") for name in left]
    return MarkdownTable(rows, columns=COLUMNS)


def _describe_model(task: Task) -> dict[str, str]:
    with torch.device("meta"):  # shapes without memory
        model: Any = task.build("weighted_mean")
    attention = model.slot_attention
    parts = {"encoder": describe_layers(model.encoder)}
    parts["Slot Attention"] = (
        f"tokens, keys, values and slots of {attention.to_v.out_features}, "
        f"GRU, perceptron of {attention.mlp[0].out_features}"
    )
    last = "decoder, for each slot" if hasattr(model, "decoder") else "predictor, for each slot"
    parts[last] = describe_layers(getattr(model, "decoder", None) or model.head)
    parts["parameters"] = f"{sum(parameter.numel() for parameter in model.parameters()):,}"
    return parts


def describe_layers(module: nn.Module) -> str:
    """Describe the layers of a module in one line, such as ``"4 × conv 5×5 to 64, positions, layer norm"``."""
    runs = [(name, len(list(same))) for name, same in groupby(_name_layers(module))]
    return ", ".join(name if count == 1 else f"{count} × {name}" for name, count in runs)


def _name_layers(module: nn.Module) -> Iterator[str]:
    """Yield a name for each layer with weights, in order."""
    if isinstance(module, PositionEmbedding):
        yield "positions"
        return
    if isinstance(module, FeatureDecoder):
        yield "positions"
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        kind = "transposed conv" if isinstance(module, nn.ConvTranspose2d) else "conv"
        (side, _), (stride, _) = module.kernel_size, module.stride
        yield f"{kind} {side}×{side}" + (f" stride {stride}" if stride > 1 else "") + f" to {module.out_channels}"
    elif isinstance(module, nn.LayerNorm):
        yield "layer norm"
    elif isinstance(module, nn.Linear):
        yield f"linear to {module.out_features}"
    for child in module.children():
        yield from _name_layers(child)


def _describe_protocol(chosen: Recipe) -> dict[str, str]:
    schedule, optimizer, tests = chosen.schedule, chosen.optimizer, chosen.tests
    shown = {
        "training data": f"{chosen.train.name}, {chosen.train.scenes:,} scenes",
        "objects in a training scene": "all counts" if chosen.max_objects is None else f"at most {chosen.max_objects}",
    }
    for field in fields(chosen.task):  # type: ignore[arg-type]
        if field.name in MEANINGS:
            shown[MEANINGS[field.name]] = str(getattr(chosen.task, field.name))
    shown |= {
        "steps": f"{schedule.steps:,}",
        "scenes in a step": f"{chosen.batch_size}",
        "peak of the learning rate": f"{schedule.peak:.3g}",
        "steps of warm-up": f"{schedule.warmup:,}",
        "half-life of the rate, in steps": f"{schedule.half_life:,}",
        "Adam's ε": f"{optimizer.epsilon:g}, {'before' if optimizer.epsilon_hat else 'after'} the bias correction",
        "bound on the gradient's norm": "none" if optimizer.clip_norm is None else f"{optimizer.clip_norm:g}",
        "precision": chosen.precision,
        "test scenes": f"{tests[-1].scenes:,} of each set",
        "slots at evaluation": ", ".join(map(str, tests[-1].slots)),
        "iterations at evaluation": ", ".join(map(str, tests[-1].iterations)),
        "seeds": ", ".join(map(str, chosen.seeds)),
    }
    return {name: escape_markdown(text) for name, text in shown.items()}
