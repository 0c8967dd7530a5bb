"""The command `clevr`; see `data_tools.converters.clevr`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from data_tools.converters.clevr_scene import COUNTS, CROP, LICENSE, SOURCE, URL, Interpolation


class SplitName(StrEnum):
    """Which records to convert."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    ALL = "all"


def clevr(
    tfrecord: Annotated[Path, typer.Option(help="clevr_with_masks_train.tfrecords, GZIP as published, or unpacked.")],
    out: Annotated[
        Path, typer.Option(help="Folder for train/, validation/ and test/; with --split that split itself.")
    ],
    split: Annotated[
        SplitName | None, typer.Option(help="Only this split; `all` takes every record of the file as one split.")
    ] = None,
    counts: Annotated[
        tuple[int, int, int],
        typer.Option(metavar="TRAIN VALIDATION TEST", min=1, help="Scenes per split, in file order."),
    ] = COUNTS,
    size: Annotated[int, typer.Option(min=1, max=CROP, help="Side of the images in pixels.")] = 128,
    interpolation: Annotated[
        Interpolation,
        typer.Option(help="For images: bilinear as the paper says, nearest much as its code."),
    ] = Interpolation.BILINEAR,
    download: Annotated[
        bool,
        typer.Option("--download", help="First fetch the public file (about 10 GB) to the place --tfrecord names."),
    ] = False,
    source: Annotated[str, typer.Option(help="Where the file comes from, for the manifest.")] = SOURCE,
    license: Annotated[str, typer.Option(help="Its license, for the manifest.")] = LICENSE,
) -> None:
    """Convert the public CLEVR (with masks) file.

    Images are cropped and scaled, masks become label maps, object properties are kept. The public file becomes the
    paper's 70,000 / 15,000 / 15,000 scenes in one pass. When interrupted, the same command goes on where it was. A file
    of another length needs --counts or --split all.
    """
    from data_tools.converters.clevr import convert, parts  # brings torch, which --help need not wait for
    from data_tools.download import fetch

    if download:
        fetch(URL, tfrecord)
    chosen = parts(out, None if split is None else split.value, counts)
    for folder in convert(tfrecord, chosen, size=size, interpolation=interpolation, source=source, license=license):
        print(folder)
