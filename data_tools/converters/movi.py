"""Converts MOVi-A to MOVi-E (Greff et al., 2022), as TFDS stores them, to prepared splits of frames (App. F, Data).

    python -m data_tools movi --tfds DATA_DIR --dataset movi_c --out data/movi_c

writes `data/movi_c/train`, `.../validation` and `.../test`, one row per frame. With `--split test` it writes that
split only, to `data/movi_c` itself. Any client of the bucket downloads the folders, such as

    mkdir -p DATA_DIR/movi_c/256x256
    gsutil -m cp -r gs://kubric-public/tfds/movi_c/256x256/1.0.0 DATA_DIR/movi_c/256x256/

| | |
| --- | --- |
| Source | Kubric's public bucket: `tfds/movi_c/256x256/1.0.0`, likewise `movi_a`, `movi_b`, `movi_d` and `movi_e` |
| License | Kubric's code is Apache-2.0; objects are from Google Scanned Objects, backgrounds from Poly Haven |
| Clips | MOVi-C: 9,737 for training, 250 for validation, 999 for testing, of 24 frames each |
| Size | some 300 GB for MOVi-C, most of it depth, flow and normals, which are skipped; converted 4.8 MB a clip |
| Time | 0.35 s of one core a clip, so an hour for MOVi-C, and what it takes to read the shards |
| Checksum | every record has one; `dataset_info.json` holds the number of records in every shard |

`num_objects` is the scene's number of instances, visible or not; the paper selects MOVi-C6 by it. The labels of a mask
are the data set's own: 0 for the background, k for the k-th instance. `clip_id` is the clip's `video_name`, which is
unique within its split (TFDS shuffles, so it is not the record's number), `frame_id` is the frame within the clip, and
`scene_id` is 24 clip_id + frame_id.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from data_tools.tfrecord.example import Feature, RecordError, parse_example
from data_tools.tfrecord.records import errors_at
from data_tools.tfrecord.tfds import INFO, TfdsSplit, list_splits, open_tfds, open_tfds_split
from data_tools.writing import durable
from data_tools.writing.durable import DataError, one_line
from data_tools.writing.split_writer import ArraySpec, SplitWriter

DATASETS = ("movi_a", "movi_b", "movi_c", "movi_d", "movi_e")
SPLITS = ("train", "validation", "test")
VERSION = "1.0.0"
FRAMES = 24
MAX_SIDE = 512
"""Side in pixels of the largest frames that Kubric published."""
MAX_RECORD_BYTES = 1 << 28
"""Bound on a clip: 24 frames of seven layers with 26 bytes a pixel, at MAX_SIDE and not compressed 164 MB."""
SIMPLE = ("movi_a", "movi_b")
"""Data sets of plain shapes before plain backgrounds, which Kubric itself has."""
LICENSE = "see Kubric (Apache-2.0), Google Scanned Objects (objects) and Poly Haven (backgrounds)"

Array = npt.NDArray[Any]


def convert_splits(
    tfds: Path,
    dataset: str,
    out: Path,
    split: str | None = None,
    *,
    size: int = 224,
    max_instances: int | None = None,
    config: str | None = None,
) -> Iterator[Path]:
    """Convert all splits of a data set, or one of them, and yield the folder of each when it is complete.

    Args:
        tfds: Folder that TFDS wrote, its data directory or a folder below it.
        dataset: One of `DATASETS`.
        out: Folder of the splits' folders, or of the only split.
        split: One of `SPLITS`, or None for all that are there.
        size, max_instances: As for `convert`.
        config: TFDS configuration; if there are several and it is None, "256x256".

    Raises:
        DataError: A wrong name, or a folder that TFDS did not write; otherwise as `convert`.
    """
    for option, value, known in (("--dataset", dataset, DATASETS), ("--split", split or SPLITS[0], SPLITS)):
        if value not in known:
            raise DataError(f"{option} must be one of {', '.join(known)}, got {value!r}")
    folder, info = open_tfds(tfds, dataset, VERSION, config, preferred="256x256")
    there = list_splits(folder, info)
    wanted = [split] if split else [name for name in SPLITS if name in there]
    if not wanted:
        raise DataError(f"{folder / INFO}: lists none of the splits {', '.join(SPLITS)}; it has {sorted(there)}")
    sources = [open_tfds_split(folder, info, name, MAX_RECORD_BYTES) for name in wanted]
    for source in sources:
        place = out if split else out / source.name
        yield convert(source, dataset, place, size=size, max_instances=max_instances)


def convert(source: TfdsSplit, dataset: str, out: Path, *, size: int = 224, max_instances: int | None = None) -> Path:
    """Write one split of MOVi, a row per frame; call it again after an interruption to resume.

    Args:
        source: Shards to read.
        dataset: Name of the data set, for the manifest.
        out: Folder of the new split.
        size: Side of the stored frames in pixels; `data_tools.converters.resampling` scales them.
        max_instances: Most instances of a clip; clips with more are left out.

    Returns:
        `out`.

    Raises:
        DataError: Records are damaged, not MOVi's, or not as many as listed; or no clip is left.
        SplitWriteError: `out` holds something else, is being written, or the disk is full.
    """
    with SplitWriter(
        out,
        name=f"{dataset}/{source.name}",
        source=f"gs://kubric-public/tfds/{dataset}/{source.config}/{VERSION}",
        license="see Kubric (Apache-2.0)" if dataset in SIMPLE else LICENSE,
        generator=_generator(source, dataset, size, max_instances),
        arrays=_arrays(size),
        count=len(source) * FRAMES if max_instances is None else None,
    ) as writer:
        if writer.complete:
            return writer.finish()
        for clip in _clips(source, max_instances, skip=writer.written // FRAMES):
            writer.append(**clip.scaled(size))
        if writer.written == 0:
            raise DataError(f"{source.folder}: no clip of split {source.name!r} has at most {max_instances} instances")
        return writer.finish()


@dataclass(frozen=True)
class Clip:
    """A video: its name, number of instances, RGB frames uint8 (T, H, W, 3) and masks uint8 (T, H, W)."""

    name: int
    num_instances: int
    video: Array
    segmentations: Array

    def scaled(self, size: int) -> dict[str, Array]:
        """Return the rows of the split's arrays, one per frame, with frames and masks scaled to `size` pixels."""
        import torch  # takes seconds, which other commands need not wait

        from data_tools.converters import resampling

        frame_id = np.arange(FRAMES)
        return {
            "image": resampling.resize_images(torch.from_numpy(self.video), size).numpy(),
            "segmentation": resampling.resize_masks(torch.from_numpy(self.segmentations), size).numpy(),
            "num_objects": np.full(FRAMES, self.num_instances),
            "scene_id": FRAMES * self.name + frame_id,
            "clip_id": np.full(FRAMES, self.name),
            "frame_id": frame_id,
        }


def parse_clip(record: bytes, pool: ThreadPoolExecutor | None = None) -> Clip:
    """Decode a record.

    Args:
        record: A serialised `tf.train.Example`.
        pool: Threads that decode frames side by side.

    Raises:
        RecordError: A feature or a frame is missing, damaged, or of another kind than MOVi's.
    """
    return _decode(parse_example(record), pool)


def _clips(source: TfdsSplit, max_instances: int | None, skip: int) -> Iterator[Clip]:
    """Yield the wanted clips after the first `skip`; whole shards are skipped unopened if clips need not be counted."""
    start = skip if max_instances is None else 0
    kept = start
    records = tqdm(source.records(start), desc=source.name, unit="clip", initial=start, total=len(source), disable=None)
    with ThreadPoolExecutor(thread_name_prefix="png") as pool:
        for shard, index, record in records:
            with errors_at(shard, index):
                features = parse_example(record)
                if max_instances is not None and _integer(features, "metadata/num_instances") > max_instances:
                    continue
                kept += 1
                if kept <= skip:
                    continue
                clip = _decode(features, pool)
            yield clip


def _decode(features: Mapping[str, Feature], pool: ThreadPoolExecutor | None) -> Clip:
    name = _feature(features, "metadata/video_name").strings()
    if len(name) != 1 or not re.fullmatch(rb"[0-9]{1,9}", name[0]):
        raise RecordError(f"metadata/video_name is {str(name)[:100]}, expected one number of up to nine digits")
    return Clip(
        name=int(name[0]),
        num_instances=_integer(features, "metadata/num_instances"),
        video=_images(features, "video", "RGB", pool),
        segmentations=_images(features, "segmentations", "L", pool),
    )


def _images(features: Mapping[str, Feature], name: str, mode: str, pool: ThreadPoolExecutor | None) -> Array:
    pngs = _feature(features, name).strings()
    if len(pngs) != FRAMES:
        raise RecordError(f"{name!r} has {len(pngs)} frames, MOVi's clips have {FRAMES}")
    side = (_integer(features, "metadata/height"), _integer(features, "metadata/width"))
    if not all(1 <= length <= MAX_SIDE for length in side):
        raise RecordError(f"frames are {side[0]}x{side[1]} pixels, MOVi's have at most {MAX_SIDE}x{MAX_SIDE}")
    labels = [f"{name!r} frame {i}" for i in range(FRAMES)]
    frames = (pool.map if pool else map)(decode_png, pngs, labels, [mode] * FRAMES, [side] * FRAMES)
    return np.stack(list(frames))


def decode_png(data: bytes, label: str, mode: str, side: tuple[int, int]) -> Array:
    """Decode the pixels of a PNG, uint8 (H, W) or (H, W, 3).

    Args:
        data: Bytes of the file.
        label: Its name in an error message.
        mode: "RGB" or "L" (grey), as Pillow calls them.
        side: Required height and width.

    Raises:
        RecordError: The file is damaged, or its mode or size is another.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if (image.mode, image.size[::-1]) != (mode, side):  # before any pixel is decoded
                raise RecordError(f"{label} is {image.mode} {image.size[::-1]}, expected {mode} {side}")
            return np.array(image)
    except RecordError:
        raise
    except Exception as error:  # Pillow promises no kind of error
        raise RecordError(f"{label} is no PNG, or a truncated or damaged one: {one_line(error)}") from None


def _feature(features: Mapping[str, Feature], name: str) -> Feature:
    if name not in features:
        raise RecordError(f"feature {name!r} is missing; there are {sorted(features)[:8]}: is this MOVi?")
    return features[name]


def _integer(features: Mapping[str, Feature], name: str) -> int:
    values = _feature(features, name).ints()
    if len(values) != 1 or values[0] < 0:
        raise RecordError(f"{name!r} is {values.tolist()}, expected one count")
    return int(values[0])


def _generator(source: TfdsSplit, dataset: str, size: int, max_instances: int | None) -> dict[str, Any]:
    from data_tools.converters import resampling

    arguments = {
        "dataset": dataset,
        "config": source.config,
        "version": VERSION,
        "split": source.name,
        "dataset_info_sha256": durable.sha256(source.folder / INFO),
        "size": size,
        "frames": resampling.BICUBIC,
        "masks": resampling.NEAREST,
        "max_instances": max_instances,
    }
    return {"command": "movi", "arguments": arguments}


def _arrays(size: int) -> dict[str, ArraySpec]:
    number = ArraySpec("int64", ())
    return {
        "image": ArraySpec("uint8", (size, size, 3)),
        "segmentation": ArraySpec("uint8", (size, size)),
        **dict.fromkeys(("num_objects", "scene_id", "clip_id", "frame_id"), number),
    }
