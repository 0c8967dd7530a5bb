"""Folders of pictures with label maps, and HDF5 files in the form of the object-centric library."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from data_tools.converters.command import hdf5, pictures
from data_tools.converters.labelled import convert_folder, convert_hdf5
from data_tools.writing.durable import DataError
from data_tools.writing.split_writer import SplitWriteError, verify
from slotnorm.data.splits import open_split

Array = npt.NDArray[Any]
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 8, 8, 3), np.uint8)
MASKS = RNG.integers(0, 4, (5, 8, 8), np.uint8)
MASKS[3] = 0
MASKS[4, 0, 0] = 200
OBJECTS = [3, 3, 3, 0, 4]


def folder(tmp_path: Path, images: Array = IMAGES, masks: Array = MASKS) -> tuple[Path, Path]:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        Image.fromarray(image).save(tmp_path / "images" / f"{i:02d}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i:02d}.png")
    return tmp_path / "images", tmp_path / "masks"


def file(tmp_path: Path, **changes: Array | None) -> Path:
    visibility = np.ones((5, 11, 1), np.float32)
    visibility[:, 4:] = 0
    visibility[3, 1:] = 0
    arrays = {"image": IMAGES, "mask": MASKS[..., None], "visibility": visibility, "color": np.zeros((5, 11))} | changes
    with h5py.File(tmp_path / "clevr.hdf5", "w") as written:
        for name, array in arrays.items():
            if array is not None:
                written[name] = array
    return tmp_path / "clevr.hdf5"


def test_a_folder_becomes_a_split_in_the_order_of_the_names(tmp_path: Path) -> None:
    pictures(*folder(tmp_path), out=tmp_path / "mine", size=8, license="mine")
    manifest, made = verify(tmp_path / "mine"), open_split(tmp_path / "mine")
    assert (manifest.name, manifest.license, manifest.count) == ("mine", "mine", 5)
    np.testing.assert_array_equal(made["image"], IMAGES)
    np.testing.assert_array_equal(made["segmentation"], MASKS)
    assert made["num_objects"].tolist() == OBJECTS
    assert made["scene_id"].tolist() == [0, 1, 2, 3, 4]


def test_a_corrected_label_map_of_the_same_size_is_seen(tmp_path: Path) -> None:
    images, masks = folder(tmp_path)
    pictures(images, masks, out=tmp_path / "mine", size=8, license="mine")
    before = masks / "00.png"
    swapped = before.read_bytes().replace(b"IHDR", b"ihdr")  # the same number of bytes
    before.write_bytes(swapped)
    with pytest.raises(SplitWriteError, match="was made by another request"):
        convert_folder(images, masks, tmp_path / "mine", size=8, license="mine")


def test_pictures_are_cropped_to_their_middle_and_scaled(tmp_path: Path) -> None:
    wide = np.zeros((1, 8, 12, 3), np.uint8)
    wide[:, :, 2:6], wide[:, :, 6:10] = 40, 80
    labels = np.full((1, 8, 12), 7, np.uint8)
    labels[:, :, 2:6], labels[:, :, 6:10] = 1, 2
    made = open_split(convert_folder(*folder(tmp_path, wide, labels), tmp_path / "out", size=4, license=""))
    assert made["segmentation"][0].tolist() == [[1, 1, 2, 2]] * 4
    assert made["num_objects"].tolist() == [3]  # before the crop
    image = made["image"][0]
    assert (image[:, 0] == 40).all()  # nothing of what was cut off
    assert (image[:, 3] == 80).all()


def test_a_palette_is_not_looked_at_and_jpeg_pictures_are_taken(tmp_path: Path) -> None:
    images, masks = folder(tmp_path)
    (images / "00.png").rename(images / "00.jpg")
    paletted = Image.fromarray(MASKS[0], mode="P")
    paletted.putpalette(list(range(255, -1, -1)) * 3)
    paletted.save(masks / "00.png")
    made = open_split(convert_folder(images, masks, tmp_path / "out", size=8, license=""))
    np.testing.assert_array_equal(made["segmentation"], MASKS)


def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    tall = np.zeros((1, 8, 4, 3), np.uint8)
    tall[:, :4] = 200
    images, masks = folder(tmp_path, tall, np.zeros((1, 4, 8), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the picture's top is on the right
    Image.fromarray(tall[0]).save(images / "00.png", exif=exif)
    made = open_split(convert_folder(images, masks, tmp_path / "out", size=4, license=""))
    np.testing.assert_array_equal(made["image"][0, 0, :, 0], [0, 0, 200, 200])


def test_a_picture_of_more_than_eight_bits_is_refused(tmp_path: Path) -> None:
    images, masks = folder(tmp_path)
    Image.fromarray(IMAGES[1, :, :, 0].astype(np.uint16) * 100).save(images / "01.png")
    with pytest.raises(DataError, match=r"01\.png: is I.*, more than 8 bits a channel: scale its values to 0 to 255"):
        convert_folder(images, masks, tmp_path / "out", size=8, license="")


def test_an_hdf5_file_becomes_a_split(tmp_path: Path) -> None:
    hdf5(file(tmp_path), out=tmp_path / "all", size=8)
    made = open_split(tmp_path / "all")
    np.testing.assert_array_equal(made["image"], IMAGES)
    np.testing.assert_array_equal(made["segmentation"], MASKS)
    assert made["num_objects"].tolist() == [3, 3, 3, 0, 3]  # without the first, the background
    hdf5(file(tmp_path), out=tmp_path / "part", size=4, first=3, count=2)
    part = open_split(tmp_path / "part")
    assert part["scene_id"].tolist() == [3, 4]
    assert part["image"].shape == (2, 4, 4, 3)


def test_an_interrupted_conversion_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_tools.converters.labelled.SCENES_PER_WRITE", 2)
    images, masks = folder(tmp_path)
    good = (images / "04.png").read_bytes()
    (images / "04.png").write_bytes(good[:-20] + bytes(20))
    with pytest.raises(DataError, match=r"04\.png: is no picture, or a truncated or damaged one"):
        convert_folder(images, masks, tmp_path / "out", size=8, license="")
    assert (tmp_path / "out.partial").is_dir()
    (images / "04.png").write_bytes(good)
    made = open_split(convert_folder(images, masks, tmp_path / "out", size=8, license=""))
    np.testing.assert_array_equal(made["segmentation"], MASKS)


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    images, masks = folder(tmp_path)
    with pytest.raises(DataError, match="holds no picture, that is no file whose name ends with"):
        convert_folder(tmp_path, masks, tmp_path / "out", size=8, license="")
    Image.fromarray(IMAGES[0]).save(masks / "00.png")
    with pytest.raises(DataError, match=r"00\.png: is RGB; a label map has one number from 0 to 255 a pixel"):
        convert_folder(images, masks, tmp_path / "out", size=8, license="")
    Image.fromarray(MASKS[0][:4]).save(masks / "00.png")
    with pytest.raises(DataError, match=r"00\.png: has 8x4 pixels, the picture 8x8; they must be of one size"):
        convert_folder(images, masks, tmp_path / "out", size=8, license="")
    (masks / "02.png").unlink()
    with pytest.raises(DataError, match=r"02\.png: missing, with it 1 of the 5 label maps"):
        convert_folder(images, masks, tmp_path / "out", size=8, license="")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"visibility": None}, r"has no array 'visibility'; it has \['color', 'image', 'mask'\]"),
        ({"image": IMAGES.astype(np.float32)}, "expected image uint8"),
        ({"mask": MASKS}, r"mask \(5, 8, 8\).*expected image uint8 \(N, H, W, 3\) and mask \(N, H, W, 1\)"),
        ({"mask": np.full((5, 8, 8, 1), 300)}, "labels of scene 0 are not between 0 and 255"),
        ({"visibility": np.ones((4, 11))}, r"expected visibility \(N, objects\)"),
    ],
)
def test_what_is_wrong_with_an_hdf5_file_is_said(
    tmp_path: Path, changes: dict[str, Array | None], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        convert_hdf5(file(tmp_path, **changes), tmp_path / "out", size=8, license="")


def test_a_file_that_is_too_short_or_no_hdf5_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 5 scenes, so there are no 3 from number 3 on"):
        convert_hdf5(file(tmp_path), tmp_path / "out", size=8, license="", first=3, count=3)
    with pytest.raises(DataError, match="holds 5 scenes, numbered from 0, so there is none with number 15"):
        convert_hdf5(file(tmp_path), tmp_path / "out", size=8, license="", first=15)
    (tmp_path / "bad.hdf5").write_bytes(b"no")
    with pytest.raises(DataError, match=r"bad\.hdf5: cannot be read as HDF5"):
        convert_hdf5(tmp_path / "bad.hdf5", tmp_path / "out", size=8, license="")


def test_the_commands_are_there() -> None:
    for command in ("pictures", "hdf5"):
        done = subprocess.run([sys.executable, "-m", "data_tools", command, "--help"], capture_output=True, text=True)
        assert "--out" in done.stdout
