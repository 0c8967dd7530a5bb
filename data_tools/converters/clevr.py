"""Converts CLEVR (with masks) from the public TFRecord file to prepared splits.

Source: https://github.com/google-deepmind/multi_object_datasets, one GZIP file of about 10 GB with 100,000 scenes of up
to 10 objects at 240 x 320. As in the paper, scenes are taken in file order, 70,000 for training, 15,000 for validation
and 15,000 for testing, cropped to rows 24:216 and columns 64:256, and scaled to 128 x 128.

*Scaling.* `bilinear` (the paper's text) interpolates between pixel centres, without antialiasing, and rounds to uint8;
from 192 to 128 every weight is a multiple of 1/16, so the result is exact. `nearest` (the authors' code) takes the
pixel under the new pixel's centre. Masks are always scaled by `nearest`.

*Counts.* `num_objects` is the number of entities that are visible before the crop, without the background. CLEVR6 is
`open_split(...).filter(max_objects=6)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import dropwhile, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate
from tqdm import tqdm

from data_tools.converters.clevr_file import (
    CROP,
    ENTITIES,
    LICENSE,
    MAX_RECORD_BYTES,
    SOURCE,
    SPLIT_COUNTS,
    Interpolation,
)
from data_tools.converters.clevr_scene import CLASS_TABLES, FLOAT_TABLES, Array, parse_scene
from data_tools.converters.resampling import resize_masks
from data_tools.tfrecord.example import RecordError
from data_tools.tfrecord.records import errors_at, read_ahead, read_records
from data_tools.writing.split_writer import ArraySpec, SplitWriter

SCENES_PER_WRITE = 256
"""Scenes between two writes, after each of which the conversion can resume: about two seconds of work."""


@dataclass(frozen=True)
class Part:
    """Consecutive records of a file that become one prepared split: `count` records from `first` on, or all if None."""

    name: str
    out: Path
    first: int = 0
    count: int | None = None


def list_parts(out: Path, split: str | None = None, counts: Sequence[int] = SPLIT_COUNTS) -> list[Part]:
    """List the parts of the file to convert.

    Args:
        out: Folder of the three splits' folders, or of the only split.
        split: "train", "validation" or "test" for that split only, "all" for all records as one split, None for three.
        counts: Scenes of the three splits, which follow each other in the file.

    >>> [(part.out.name, part.first, part.count) for part in list_parts(Path("clevr"))]
    [('train', 0, 70000), ('validation', 70000, 15000), ('test', 85000, 15000)]
    """
    if split == "all":
        return [Part("all", out)]
    names = ("train", "validation", "test")
    every = [
        Part(name, out / name if split is None else out, sum(counts[:place]), counts[place])
        for place, name in enumerate(names)
    ]
    return [part for part in every if split in (None, part.name)]


def convert(
    tfrecord: Path,
    parts: Sequence[Part],
    *,
    size: int = 128,
    interpolation: str = "bilinear",
    source: str = SOURCE,
    license: str = LICENSE,
) -> list[Path]:
    """Convert parts of a CLEVR-with-masks file in one pass and return the splits' folders.

    Memory does not grow with the file. Call it again after an interruption to resume where it stopped. Terminals show a
    progress bar.

    Args:
        tfrecord: The file, GZIP or plain.
        parts: Records and the folder that each part goes to, in file order.
        size: Side of the stored images in pixels; 192 keeps the crop as it is.
        interpolation: How to scale images, "bilinear" or "nearest".
        source: Source of the file, for the manifest.
        license: License of the file, for the manifest.

    Raises:
        ValueError: `size` is not between 1 and 192.
        RecordError: The file is missing, damaged, too short, or holds something else.
        SplitWriteError: A split cannot be written.
    """
    if not 1 <= size <= CROP:
        raise ValueError(f"size must be between 1 and {CROP}, the side of the crop; got {size}")
    tfrecord = Path(tfrecord)
    if not tfrecord.is_file():
        raise RecordError(f"{tfrecord}: missing: no such file")
    job = _Job(tfrecord, size, Interpolation(interpolation), source, license)
    last = None if parts[-1].count is None else parts[-1].first + parts[-1].count
    with (
        closing(read_ahead(read_records(tfrecord, most=MAX_RECORD_BYTES))) as records,
        tqdm(records, total=last, unit="scene", desc=tfrecord.name, smoothing=0.05, disable=None) as bar,
    ):
        numbered = enumerate(bar)
        return [_convert_part(job, part, numbered) for part in parts]


def resize(image: npt.NDArray[np.uint8], size: int, interpolation: str) -> npt.NDArray[np.uint8]:
    """Scale a square image, uint8 (H, H, 3), to uint8 (size, size, 3) as the module's docstring says."""
    image_CHW = torch.from_numpy(image).permute(2, 0, 1)
    if interpolation == Interpolation.NEAREST:
        scaled_CHW = resize_masks(image_CHW, size)
    else:
        square = interpolate(image_CHW[None].float(), (size, size), mode="bilinear", align_corners=False)[0]
        scaled_CHW = square.round_().to(torch.uint8)
    return np.ascontiguousarray(scaled_CHW.permute(1, 2, 0).numpy())


@dataclass(frozen=True)
class _Job:
    """A conversion: the file, and how its scenes are stored."""

    tfrecord: Path
    size: int
    interpolation: Interpolation
    source: str
    license: str

    def scene(self, number: int, record: bytes) -> dict[str, Array]:
        with errors_at(self.tfrecord, number):
            scene = parse_scene(record) | {"scene_id": np.asarray(number, np.int64)}
        scene["image"] = resize(scene["image"], self.size, self.interpolation)
        scene["segmentation"] = resize_masks(torch.from_numpy(scene["segmentation"])[None], self.size)[0].numpy()
        return scene

    def writer(self, part: Part) -> SplitWriter:
        arguments = {
            "file": self.tfrecord.name,
            "file_bytes": self.tfrecord.stat().st_size,
            "first": part.first,
            "count": part.count,
            "size": self.size,
            "interpolation": str(self.interpolation),
        }
        square, table = (self.size, self.size), (ENTITIES,)
        arrays = {"image": ArraySpec("uint8", (*square, 3)), "segmentation": ArraySpec("uint8", square)}
        arrays |= {name: ArraySpec("int64", ()) for name in ("num_objects", "scene_id")}
        arrays |= {name: ArraySpec("uint8", table) for name in CLASS_TABLES}
        arrays |= {name: ArraySpec("float32", table) for name in FLOAT_TABLES}
        return SplitWriter(
            part.out,
            name=f"clevr_with_masks/{part.name}",
            source=self.source,
            license=self.license,
            generator={"command": "clevr", "arguments": arguments},
            arrays=arrays,
            count=part.count,
        )


def _convert_part(job: _Job, part: Part, records: Iterator[tuple[int, bytes]]) -> Path:
    with job.writer(part) as writer:
        if writer.complete:
            return writer.out
        ahead = dropwhile(lambda numbered: numbered[0] < part.first + writer.written, records)
        wanted = islice(ahead, None if part.count is None else part.count - writer.written)
        scenes = (job.scene(*numbered) for numbered in wanted)
        while chunk := list(islice(scenes, SCENES_PER_WRITE)):
            writer.append(**{name: np.stack([scene[name] for scene in chunk]) for name in chunk[0]})
        if part.count is not None and writer.written < part.count:
            raise RecordError(
                f"{job.tfrecord}: ends after {part.first + writer.written} records, but {part.name!r} is records "
                f"{part.first} to {part.first + part.count - 1}: give other counts, or take all records as one split"
            )
        return writer.finish()
