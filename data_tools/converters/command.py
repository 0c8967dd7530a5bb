"""The commands that convert published data sets. Each imports its converter when it is called."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from data_tools.converters.clevr_file import CROP, LICENSE, SOURCE, SPLIT_COUNTS, URL, Interpolation


class SplitName(StrEnum):
    """Records to convert: one of the paper's splits, or all as one split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    ALL = "all"


def clevr(
    tfrecord: Annotated[Path, typer.Option(help="clevr_with_masks_train.tfrecords, GZIP as published, or unpacked.")],
    out: Annotated[
        Path, typer.Option(help="Folder for train/, validation/ and test/; with --split, folder of that split.")
    ],
    split: Annotated[
        SplitName | None, typer.Option(help="Only this split; `all` takes every record of the file as one split.")
    ] = None,
    counts: Annotated[
        tuple[int, int, int],
        typer.Option(metavar="TRAIN VALIDATION TEST", min=1, help="Scenes per split, in file order."),
    ] = SPLIT_COUNTS,
    size: Annotated[int, typer.Option(min=1, max=CROP, help="Side of the images in pixels.")] = 128,
    interpolation: Annotated[
        Interpolation,
        typer.Option(help="How to scale images: bilinear as the paper says, or nearest, close to what its code does."),
    ] = Interpolation.BILINEAR,
    download: Annotated[
        bool,
        typer.Option("--download", help="First download the public file (about 10 GB) to the path of --tfrecord."),
    ] = False,
    source: Annotated[str, typer.Option(help="Where the file comes from; recorded in the manifest.")] = SOURCE,
    license: Annotated[str, typer.Option(help="License of the file; recorded in the manifest.")] = LICENSE,
) -> None:
    """Convert the public CLEVR (with masks) file.

    Images are cropped and scaled, masks become label maps, object properties are kept. The public file becomes the
    paper's 70,000 / 15,000 / 15,000 scenes in one pass. A file of another length needs --counts or --split all. When
    interrupted, the same command resumes where it stopped.
    """
    from data_tools.converters.clevr import convert, list_parts
    from data_tools.download import fetch
    from data_tools.tfrecord.records import check_head

    if download:
        fetch(URL, tfrecord, check_head)
    parts = list_parts(out, None if split is None else split.value, counts)
    for folder in convert(tfrecord, parts, size=size, interpolation=interpolation, source=source, license=license):
        print(folder)


def movi(
    tfds: Annotated[Path, typer.Option(help="Folder that TFDS wrote: DATA_DIR, or the data set's folder in it.")],
    out: Annotated[Path, typer.Option(help="Folder for train/, validation/ and test/.")],
    dataset: Annotated[str, typer.Option(help="movi_a, movi_b, movi_c, movi_d or movi_e.")] = "movi_c",
    split: Annotated[str | None, typer.Option(help="Only train, validation or test; OUT is its folder.")] = None,
    size: Annotated[int, typer.Option(help="Side of the stored frames in pixels.", min=1)] = 224,
    max_instances: Annotated[int | None, typer.Option(help="Leave out clips with more instances.", min=1)] = None,
    config: Annotated[str | None, typer.Option(help="TFDS configuration; 256x256 if there are several.")] = None,
) -> None:
    """Convert MOVi-A to MOVi-E, as TFDS stores them, to prepared splits of frames.

    When interrupted, the same command resumes where it stopped.
    """
    from data_tools.converters.movi import convert_splits

    for folder in convert_splits(tfds, dataset, out, split, size=size, max_instances=max_instances, config=config):
        print(folder)


_Out = Annotated[Path, typer.Option(help="Folder of the new split.")]
_Size = Annotated[int, typer.Option(help="Side of the stored pictures in pixels.", min=1)]
_License = Annotated[str, typer.Option(help="License of the pictures; recorded in the manifest.")]


def pictures(
    images: Annotated[Path, typer.Option(help="Folder of pictures, .png or .jpg.")],
    masks: Annotated[Path, typer.Option(help="Folder of label maps: a .png with the name of each picture.")],
    out: _Out,
    size: _Size = 128,
    license: _License = "not stated",
) -> None:
    """Convert a folder of pictures with label maps, such as your own.

    A label map is grey or has a palette: 0 is the background, 1 to 255 are the objects. Pictures are cropped to the
    square in their middle and scaled. When interrupted, the same command resumes where it stopped.
    """
    from data_tools.converters.labelled import convert_folder

    print(convert_folder(images, masks, out, size=size, license=license))


def hdf5(
    file: Annotated[Path, typer.Option(help="HDF5 file with image, mask and visibility.")],
    out: _Out,
    size: _Size = 128,
    first: Annotated[int, typer.Option(help="Number of the first scene.", min=0)] = 0,
    count: Annotated[int | None, typer.Option(help="Scenes from there on; by default all.", min=1)] = None,
    license: _License = "not stated",
) -> None:
    """Convert CLEVR or another data set in the HDF5 form of the object-centric library.

    When interrupted, the same command resumes where it stopped.
    """
    from data_tools.converters.labelled import convert_hdf5

    print(convert_hdf5(file, out, size=size, license=license, first=first, count=count))


COMMANDS = {"clevr": clevr, "movi": movi, "hdf5": hdf5, "pictures": pictures}
