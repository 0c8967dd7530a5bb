"""Makes networks of the timm library from names and sizes that may come from somebody else's file.

timm can run code and fetch files for whoever names a network (`checkpoint_path`, `local-dir:`, `hf-hub:`). Here a name
is one that timm lists, and a file may give the sizes of `SIZES` and `CHOICES` only.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch

from data_tools.writing.durable import DataError, one_line

SIZES = {"img_size": 4096, "patch_size": 256, "embed_dim": 1 << 14, "depth": 256, "num_heads": 256}
"""Whole numbers that a file may give, and the largest of each."""
CHOICES: Mapping[str, tuple[Any, ...]] = {
    "class_token": (False, True),
    "fc_norm": (False, True),
    "global_pool": ("", "avg", "token"),
}
MAX_MLP_RATIO = 64


def check_name(name: str) -> str:
    """Return the name of a network, with or without a tag of its weights, if timm lists it.

    Raises:
        DataError: It does not; the message names similar ones.
    """
    if name not in (known := set(timm.list_models(include_tags=True)) | set(timm.list_models(include_tags=False))):
        close = difflib.get_close_matches(name[:100], sorted(model for model in known if "vit" in model), n=3)
        raise DataError(f"timm has no model {name!r}" + (f"; did you mean {' or '.join(close)}?" if close else ""))
    return name


def parse_description(path: Path, text: str) -> dict[str, Any]:
    """Return what a file of weights says of its network: `name`, `kwargs`, `mean` and `std`, or nothing.

    Raises:
        DataError: It holds something that this project does not write.
    """
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: describes its backbone by something else than JSON: {one_line(error)}") from None
    if about == {}:
        return {}
    if not isinstance(about, dict) or about.keys() != {"name", "kwargs", "mean", "std"}:
        raise DataError(f"{path}: must describe its backbone by name, kwargs, mean and std, and nothing else")
    if not isinstance(about["name"], str) or not isinstance(about["kwargs"], dict):
        raise DataError(f"{path}: the name of its backbone must be a string and its kwargs an object")
    if wrong := [key for key, value in about["kwargs"].items() if not _is_allowed(key, value)]:
        raise DataError(f"{path}: its backbone cannot have {wrong[0]!r}: {about['kwargs'][wrong[0]]!r}")
    if wrong := [key for key in ("mean", "std") if not _is_color(about[key], positive=key == "std")]:
        raise DataError(f"{path}: the {wrong[0]} of its backbone must be three numbers, got {about[wrong[0]]!r}")
    try:
        check_name(about["name"])
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return about


def create(name: str, kwargs: Mapping[str, Any]) -> Any:
    """Make a vision transformer with random weights.

    Raises:
        DataError: timm cannot make it so, or it is another kind of network.
    """
    try:
        model = timm.create_model(check_name(name), pretrained=False, num_classes=0, **kwargs)
    except DataError:
        raise
    except Exception as error:  # timm promises no kind of error
        raise DataError(f"{name}: cannot be made with {dict(kwargs)}: {one_line(error)}") from None
    patches = getattr(model, "patch_embed", None)
    if not hasattr(model, "num_prefix_tokens") or not hasattr(patches, "img_size"):
        raise DataError(f"{name}: is not a vision transformer")
    if hasattr(patches, "backbone"):
        raise DataError(f"{name}: is a hybrid of a convolutional network and a vision transformer: use a plain one")
    return model


def check_sizes(path: Path, about: Mapping[str, Any], numbers: int) -> None:
    """Check that the network that a file describes has no more numbers than the file, before memory is taken for it.

    Raises:
        DataError: It has.
    """
    with torch.device("meta"):
        described = sum(tensor.numel() for tensor in create(about["name"], about["kwargs"]).state_dict().values())
    if described > numbers:
        raise DataError(f"{path}: describes a backbone of {described} numbers, but holds {numbers}")


def _is_allowed(key: str, value: Any) -> bool:
    if key in SIZES:
        return type(value) is int and 1 <= value <= SIZES[key]
    if key == "mlp_ratio":
        return type(value) in (int, float) and 0 < value <= MAX_MLP_RATIO
    return any(type(value) is type(choice) and value == choice for choice in CHOICES.get(key, ()))


def _is_color(values: Any, *, positive: bool) -> bool:
    numbers = isinstance(values, list) and len(values) == 3 and all(type(v) in (int, float) for v in values)
    return numbers and all(abs(v) < 1e6 and math.isfinite(v) and (v > 0 or not positive) for v in values)
