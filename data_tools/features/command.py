"""The command that computes a frozen backbone's features of every image of a prepared split (App. F, Data).

    python -m data_tools features --split DIR --backbone vit_base_patch8_224.dino --weights model.safetensors

The result is a new prepared split with `features` (N, patches, D) in float16 and a copy of all arrays of the old one.
With a copy the new split can be moved, verified and filtered like any other, and a later change of the old split cannot
contradict it; frames take a sixth of the space of features (47 GB and 281 GB for MOVi-C). Images and masks are stored
at the size that the backbone reads, as the paper stores them.

`--backbone standin` is the small network of this project, made by `python -m data_tools pretrain`; it needs no weights.

With `--online` no features are stored; the training step computes them. See `data_tools.features.online`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

    from slotnorm.data.splits import Split


def features(
    split: Annotated[Path, typer.Option(help="Prepared split that holds images.")],
    backbone: Annotated[str, typer.Option(help="Name of a ViT in timm, or standin.")] = "vit_base_patch8_224.dino",
    weights: Annotated[Path | None, typer.Option(help="The backbone's weights, a .safetensors file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new split; by default SPLIT-BACKBONE.")] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the images that the backbone reads; by default the one it was trained with.", min=1),
    ] = None,
    order: Annotated[
        str, typer.Option(help="resize_first, or normalize_first as in the paper's code.")
    ] = "resize_first",
    precision: Annotated[str, typer.Option(help="Precision of products: float32, bfloat16 or float16.")] = "float32",
    batch: Annotated[int, typer.Option(help="Images in a batch.", min=1)] = 32,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...; auto is a GPU if there is one.")] = "auto",
    download: Annotated[
        bool, typer.Option("--download", help="Download the weights from the Hugging Face Hub.")
    ] = False,
    online: Annotated[
        bool,
        typer.Option("--online", help="Store no features; write OUT.online.json, with which training computes them."),
    ] = False,
) -> None:
    """Add a frozen backbone's patch features to the images of a prepared split, as a new split.

    When interrupted, the same command resumes where it stopped.
    """
    from data_tools.features import weights as sources
    from data_tools.features.architecture import check_name
    from data_tools.features.backbone import ORDERS, PRECISIONS, FrozenBackbone
    from data_tools.features.online import SUFFIX, write_online
    from data_tools.features.writer import write_features
    from data_tools.writing.durable import DataError

    for option, value, known in (("--order", order, ORDERS), ("--precision", precision, PRECISIONS)):
        if value not in known:
            raise DataError(f"{option} must be one of {', '.join(known)}, got {value!r}")
    if backbone != sources.STAND_IN:
        check_name(backbone)
    split = Path(os.path.abspath(split))  # "." has a name, too
    out = Path(os.path.abspath(out)) if out else split.parent / f"{split.name}-{backbone}"
    source, where = None if online else _open(split), _device(device)
    if weights is None and backbone == sources.STAND_IN:
        weights = sources.STAND_IN_WEIGHTS
    elif weights is None and download:
        weights = sources.download(backbone)
    model = FrozenBackbone.load(backbone, weights, size=size, order=order, precision=precision)
    if source is not None:
        print(write_features(source, model.to(where), out, batch=batch))
    elif weights is not None:
        print(write_online(out.with_name(out.name + SUFFIX), split, backbone, weights, size, order, precision))


def _open(folder: Path) -> Split:
    from data_tools.writing.durable import DataError
    from slotnorm.data.manifest import SplitError
    from slotnorm.data.splits import open_split

    try:
        source = open_split(folder)
    except SplitError as error:
        raise DataError(str(error)) from None
    if "image" not in source.arrays:
        raise DataError(f"{folder}: has no array image; it has {sorted(source.arrays)}")
    return source


def _device(name: str) -> torch.device:
    import torch

    from data_tools.writing.durable import DataError

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DataError(f"--device {name}: cannot be used: {str(error).splitlines()[0]}") from None
    return device


COMMANDS = {"features": features}
