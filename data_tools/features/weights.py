"""Reads, writes and downloads weights of frozen backbones, as `.safetensors` files only: nothing is ever unpickled.

Files written by `save_backbone` also hold what timm does not know of a network made here: its sizes and the mean and
deviation of its inputs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from data_tools.features.architecture import check_name, check_sizes, parse_description
from data_tools.writing import durable
from data_tools.writing.durable import DataError, one_line

METADATA_KEY = "backbone"
STAND_IN = "standin"
"""Name of the backbone that `python -m data_tools pretrain` makes; its file holds its architecture."""
STAND_IN_WEIGHTS = Path(__file__).parents[1] / "standin_vit.safetensors"
"""The stand-in backbone of this package; its loss curve (.csv) and provenance (.json) are in the same folder."""


def read_weights(name: str, path: Path | None) -> tuple[Path, dict[str, Tensor], dict[str, Any]]:
    """Read a file of weights: its path, its tensors and the description that `save_backbone` wrote, or an empty one.

    Args:
        name: Name of the backbone in timm, or `STAND_IN`.
        path: A `.safetensors` file; None for the stand-in of this package.

    Raises:
        DataError: The file is missing, damaged or of another architecture; the message says where to get it.
    """
    if name != STAND_IN:
        check_name(name)
    path = _existing(name, STAND_IN_WEIGHTS if name == STAND_IN and path is None else path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get(METADATA_KEY, "{}")
    except Exception as error:  # besides its own error safetensors raises those of torch, one for each kind of damage
        raise DataError(f"{path}: damaged, or not a safetensors file: {one_line(error)}") from None
    about = parse_description(path, text)
    if name == STAND_IN and not about:
        raise DataError(f"{path}: was not made by python -m data_tools pretrain")
    if name != STAND_IN and about and about["name"] != name:
        raise DataError(f"{path}: holds weights of {about['name']!r}, not of {name!r}")
    if about:
        check_sizes(path, about, sum(tensor.numel() for tensor in tensors.values()))
    return path, tensors, about


def save_backbone(
    model: nn.Module,
    path: Path,
    *,
    name: str,
    kwargs: Mapping[str, Any],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Path:
    """Write the weights of a timm network and the arguments that build it again, in one step.

    Args:
        model: A network made by `timm.create_model(name, **kwargs)`; its classifier is left out.
        path: A `.safetensors` file.
        name: Name of the architecture in timm.
        kwargs: Sizes that differ from the architecture's own, as JSON values.
        mean, std: Mean and deviation to normalize its input with, for RGB in [0, 1].
    """
    about = json.dumps({"name": name, "kwargs": dict(kwargs), "mean": list(mean), "std": list(std)})
    tensors = {key: value.contiguous() for key, value in model.state_dict().items() if not is_head(key)}
    temporary = path.with_name(path.name + ".tmp")
    try:
        safetensors.torch.save_file(tensors, temporary, metadata={METADATA_KEY: about})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    durable.fsync_folder(path.parent)
    return path


def _existing(name: str, weights: Path | None) -> Path:
    if weights is None:
        raise DataError(explain_how_to_get(name))
    if weights.suffix != ".safetensors":
        raise DataError(f"{weights}: weights are read from .safetensors files only; {explain_how_to_get(name)}")
    try:
        found = weights.is_file()
    except OSError as error:
        raise DataError(f"{weights}: cannot be read: {error.strerror}") from None
    if not found:
        raise DataError(f"{weights}: no such file; {explain_how_to_get(name)}")
    return weights


def explain_how_to_get(name: str) -> str:
    """Return a sentence that says how to get the weights of a backbone.

    Raises:
        DataError: timm lists no such name.
    """
    if name == STAND_IN:
        return "the stand-in backbone is made by python -m data_tools pretrain"
    hub = _hub(name)
    if not hub:
        return f"backbone {name!r} needs its weights: pass --weights FILE.safetensors"
    return (
        f"backbone {name!r} needs its weights: fetch model.safetensors of {hub} from the Hugging Face Hub "
        "and pass --weights FILE, or pass --download where there is a network"
    )


def download(name: str) -> Path:
    """Download the weights of a backbone from the Hugging Face Hub into its cache and return the file.

    Raises:
        DataError: timm lists no such name, the Hub has no such weights, or cannot be reached.
    """
    from huggingface_hub import hf_hub_download

    hub = _hub(name)
    if not hub:
        raise DataError(f"backbone {name!r}: timm knows of no weights to download; {explain_how_to_get(name)}")
    try:
        return Path(hf_hub_download(hub, "model.safetensors"))
    except Exception as error:
        raise DataError(f"{hub}: model.safetensors could not be downloaded: {one_line(error)}") from error


def _hub(name: str) -> str | None:
    """Return the repository of a network's weights on the Hugging Face Hub, if there is one."""
    return getattr(get_pretrained_cfg(check_name(name)), "hf_hub_id", None)


def is_head(key: str) -> bool:
    """Return whether a tensor belongs to the classifier, which features do not need."""
    return key.startswith(("head.", "head_dist.", "fc."))
