"""Converts pictures with label maps: a folder of one's own, or the HDF5 files of the object-centric library.

    python -m data_tools pictures --images DATA/images --masks DATA/masks --out data/mine
    python -m data_tools hdf5 --file clevr_10-full.hdf5 --count 70000 --out data/clevr/train

*Folder.* Each picture `images/NAME.png` (or .jpg, .jpeg) has a label map `masks/NAME.png`, grey or with a palette,
whose values are 0 for the background and 1 to 255 for the objects. Scenes are in the order of the names. A picture is
turned as its EXIF orientation says, its label map is not.

*HDF5.* `image` uint8 (N, H, W, 3), `mask` of labels (N, H, W, 1), and `visibility` (N, 1 + M), which is zero for absent
objects and whose first column is the background. Multi-Object datasets, CLEVR among them, are passed around so, already
cropped to squares.

Pictures are cropped to the square in their middle and scaled bilinearly with antialiasing, label maps by nearest
neighbour. `num_objects` counts the objects before the crop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch.nn.functional import interpolate
from tqdm import tqdm

from data_tools.converters.resampling import resize_masks
from data_tools.writing.durable import DataError, one_line, sha256
from data_tools.writing.split_writer import ArraySpec, SplitWriter

Array = npt.NDArray[Any]
Scene = tuple[Array, Array, int]
"""A picture uint8 (H, W, 3), its label map uint8 (H, W), and its number of objects."""

SUFFIXES = (".png", ".jpg", ".jpeg")
SCENES_PER_WRITE = 64


def convert_folder(images: Path, masks: Path, out: Path, *, size: int, license: str) -> Path:
    """Convert pictures with label maps of the same names; call it again after an interruption to resume.

    Args:
        images, masks: Folders of the pictures and of the label maps.
        out: Folder of the new split.
        size: Side of the stored pictures in pixels.
        license: License of the pictures, for the manifest.

    Raises:
        DataError: There is no picture, a label map is missing, or a file is damaged or of another kind.
        SplitWriteError: The split cannot be written.
    """
    pictures = sorted(path for path in images.glob("*") if path.suffix.lower() in SUFFIXES)
    if not pictures:
        raise DataError(f"{images}: holds no picture, that is no file whose name ends with {', '.join(SUFFIXES)}")
    maps = [masks / f"{path.stem}.png" for path in pictures]
    if missing := [path for path in maps if not path.is_file()]:
        raise DataError(f"{missing[0]}: missing, with it {len(missing)} of the {len(maps)} label maps")
    listed = "\n".join(
        [f"{path.name} {path.stat().st_size}" for path in pictures]
        + [f"{path.name} {sha256(path)}" for path in maps]  # a corrected map can have the size of the wrong one
    )
    arguments = {"files": hashlib.sha256(listed.encode()).hexdigest(), "size": size}

    def scenes(start: int) -> Iterator[Scene]:
        for picture, labels in list(zip(pictures, maps, strict=True))[start:]:
            image, mask = _read(picture, ("RGB",)), _read(labels, ("L", "P"))
            if image.shape[:2] != mask.shape:
                sizes = f"{mask.shape[1]}x{mask.shape[0]} pixels, the picture {image.shape[1]}x{image.shape[0]}"
                raise DataError(f"{labels}: has {sizes}; they must be of one size")
            yield image, mask, int(np.count_nonzero(np.unique(mask)))

    about = {"name": out.name, "source": f"the folder {images.name}", "license": license}
    return _write(out, scenes, len(pictures), about | {"generator": {"command": "pictures", "arguments": arguments}})


def convert_hdf5(file: Path, out: Path, *, size: int, license: str, first: int = 0, count: int | None = None) -> Path:
    """Convert `count` scenes of an HDF5 file from number `first` on, all by default; call it again to resume.

    Args:
        file: The file; `image`, `mask` and `visibility` are read.
        out: Folder of the new split.
        size: Side of the stored pictures in pixels.
        license: License of the file, for the manifest.
        first, count: Scenes to convert.

    Raises:
        DataError: The file is missing, damaged, too short, or holds something else.
        SplitWriteError: The split cannot be written.
    """
    try:
        stored = h5py.File(file, "r")
    except OSError as error:
        raise DataError(f"{file}: cannot be read as HDF5: {one_line(error)}") from None
    with stored:
        image, mask, visibility = (_dataset(stored, name, file) for name in ("image", "mask", "visibility"))
        shapes = f"image {image.shape}, mask {mask.shape} and visibility {visibility.shape}"
        if image.ndim != 4 or image.shape[3] != 3 or mask.shape != (*image.shape[:3], 1) or image.dtype != np.uint8:
            raise DataError(f"{file}: holds {shapes}, expected image uint8 (N, H, W, 3) and mask (N, H, W, 1)")
        if visibility.ndim not in (2, 3) or len(visibility) != len(image):
            raise DataError(f"{file}: holds {shapes}, expected visibility (N, objects)")
        if not 0 <= first < len(image):
            raise DataError(f"{file}: holds {len(image)} scenes, numbered from 0, so there is none with number {first}")
        wanted = len(image) - first if count is None else count
        if not 0 < wanted <= len(image) - first:
            raise DataError(f"{file}: holds {len(image)} scenes, so there are no {wanted} from number {first} on")

        def scenes(start: int) -> Iterator[Scene]:
            for number in range(first + start, first + wanted):
                labels = mask[number, :, :, 0]
                if labels.min() < 0 or labels.max() > 255:
                    raise DataError(f"{file}: labels of scene {number} are not between 0 and 255")
                objects = np.count_nonzero(visibility[number].reshape(-1)[1:])
                yield image[number], labels.astype(np.uint8), int(objects)

        arguments = {
            "file": file.name,
            "file_bytes": file.stat().st_size,
            "first": first,
            "count": wanted,
            "size": size,
        }
        about = {"name": out.name, "source": f"the file {file.name}", "license": license}
        generator = {"command": "hdf5", "arguments": arguments}
        return _write(out, scenes, wanted, about | {"generator": generator}, first)


def _write(
    out: Path, scenes: Callable[[int], Iterator[Scene]], count: int, about: dict[str, Any], first: int = 0
) -> Path:
    """Write the scenes, the first of which has the number `first`, from the one on that is not yet written."""
    size = about["generator"]["arguments"]["size"]
    number, square = ArraySpec("int64", ()), (size, size)
    arrays = {"image": ArraySpec("uint8", (*square, 3)), "segmentation": ArraySpec("uint8", square)}
    arrays |= dict.fromkeys(("num_objects", "scene_id"), number)
    with SplitWriter(out, **about, arrays=arrays, count=count) as writer:
        if not writer.complete:
            bar = tqdm(scenes(writer.written), initial=writer.written, total=count, unit="scene", disable=None)
            left = iter(bar)
            while chunk := list(islice(left, SCENES_PER_WRITE)):
                images, masks, objects = zip(*chunk, strict=True)
                writer.append(
                    image=np.stack([_scaled(image, size) for image in images]),
                    segmentation=np.stack([_scaled_mask(mask, size) for mask in masks]),
                    num_objects=np.array(objects),
                    scene_id=first + writer.written + np.arange(len(chunk)),
                )
        return writer.finish()


def _read(path: Path, modes: tuple[str, ...]) -> Array:
    """Read a picture, as RGB whatever it is, or a label map, without a change of its values."""
    colored = modes == ("RGB",)
    try:
        with Image.open(path) as image:
            mode = image.mode
            deep = mode.startswith(("I", "F"))  # conversion would clip what is above 255
            content = np.array(ImageOps.exif_transpose(image).convert("RGB") if colored and not deep else image)
    except Exception as error:  # Pillow promises no kind of error
        raise DataError(f"{path}: is no picture, or a truncated or damaged one: {one_line(error)}") from None
    if colored and deep:
        raise DataError(f"{path}: is {mode}, more than 8 bits a channel: scale its values to 0 to 255 and save it as L")
    if not colored and mode not in modes:
        raise DataError(f"{path}: is {mode}; a label map has one number from 0 to 255 a pixel, as PNG modes L and P do")
    return content


def _dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    if not isinstance(file.get(name), h5py.Dataset):
        raise DataError(f"{path}: has no array {name!r}; it has {sorted(file)}")
    return file[name]


def _middle(array: Array) -> Array:
    """Return the largest square in the middle of an array (H, W, ...)."""
    side = min(array.shape[:2])
    top, left = ((length - side) // 2 for length in array.shape[:2])
    return array[top : top + side, left : left + side]


def _scaled(image: Array, size: int) -> Array:
    square = torch.from_numpy(np.ascontiguousarray(_middle(image)))
    if len(square) == size:
        return square.numpy()
    scaled = interpolate(square.permute(2, 0, 1)[None].float(), (size, size), mode="bilinear", antialias=True)
    return scaled[0].round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def _scaled_mask(mask: Array, size: int) -> Array:
    return resize_masks(torch.from_numpy(np.ascontiguousarray(_middle(mask)))[None], size)[0].numpy()
