"""Features of a frozen backbone for every image of a prepared split (App. F, Data).

    python -m data_tools features --split DIR --backbone vit_base_patch8_224.dino --weights model.safetensors

The result is a prepared split of its own: `features` (N, patches, D) in float16 beside a copy of everything that the
split holds. A copy, not a reference: it can be moved, verified, filtered and flipped through like any other split, no
later change of the first one can disagree with it, and the frames are a sixth of the features (47 GB beside 281 GB for
MOVi-C). Images and masks are stored at the size that the backbone reads, as the paper stores them.

`--backbone standin` is the small network of this project, made by `python -m data_tools pretrain`; it needs no weights.

Whoever has no room for that trains with features computed in the training step: see `data_tools.features.online`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data_tools.writing.durable import DataError

if TYPE_CHECKING:
    import torch

    from slotnorm.data.splits import Split


def features(
    split: Annotated[Path, typer.Option(help="Prepared split that holds images.")],
    backbone: Annotated[str, typer.Option(help="timm's name of a ViT, or standin.")] = "vit_base_patch8_224.dino",
    weights: Annotated[Path | None, typer.Option(help="Its weights, a .safetensors file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new split; SPLIT-BACKBONE if not given.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the images it reads, if not its own.", min=1)] = None,
    order: Annotated[str, typer.Option(help="resize_first, or normalize_first as the paper's code.")] = "resize_first",
    precision: Annotated[str, typer.Option(help="Of its products: float32, bfloat16 or float16.")] = "float32",
    batch: Annotated[int, typer.Option(help="Images at a time.", min=1)] = 32,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...; auto is a GPU if there is one.")] = "auto",
    download: Annotated[bool, typer.Option("--download", help="Fetch the weights from the Hugging Face Hub.")] = False,
    online: Annotated[
        bool, typer.Option("--online", help="Store none: write OUT.online.json, with which training computes them.")
    ] = False,
) -> None:
    """Store a frozen backbone's patch features beside the images of a prepared split."""
    # Not above: timm takes seconds that the other commands need not wait for.
    from data_tools.features import weights as sources
    from data_tools.features.backbone import ORDERS, PRECISIONS, FrozenBackbone
    from data_tools.features.online import SUFFIX, write_online
    from data_tools.features.writer import write_features

    for option, value, known in (("--order", order, ORDERS), ("--precision", precision, PRECISIONS)):
        if value not in known:
            raise DataError(f"{option} must be one of {', '.join(known)}, got {value!r}")
    out = out or split.with_name(f"{split.name}-{backbone}")
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
    from slotnorm.data.splits import SplitError, open_split

    try:
        source = open_split(folder)
    except SplitError as error:
        raise DataError(str(error)) from None
    if "image" not in source.arrays:
        raise DataError(f"{folder}: has no images; it has {sorted(source.arrays)}")
    return source


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DataError(f"--device {name}: cannot be used: {str(error).splitlines()[0]}") from None
    return device
