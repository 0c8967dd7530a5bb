import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.converters import clevr
from data_tools.converters.clevr import convert, list_parts, resize
from data_tools.converters.clevr_file import MAX_RECORD_BYTES
from data_tools.converters.clevr_scene import label_pixels, parse_scene
from data_tools.tfrecord.example import RecordError
from data_tools.tfrecord.records import read_records
from data_tools.writing.split_writer import SplitWriteError, verify
from slotnorm.data.splits import open_split
from tests.data_tools.tfrecord import tfrecord_files as files
from tests.helpers.paths import FIXTURES
from tests.helpers.toy_split import content

FILE = FIXTURES / "clevr_with_masks_train.tfrecords"  # CLEVR's format; its eight scenes are rendered by this project
SCENES = 8
TABLES = ("shape", "size", "material", "color", "x", "y", "z", "visibility")


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray[Any, Any]]:
    with np.load(FIXTURES / "clevr_expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (folder,) = convert(FILE, list_parts(tmp_path_factory.mktemp("clevr") / "crops", "all"), size=192)
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (folder,) = convert(FILE, list_parts(tmp_path_factory.mktemp("clevr") / "small", "all"), size=32)
    return folder


@pytest.fixture(scope="module")
def records() -> list[bytes]:
    return list(read_records(FILE, most=MAX_RECORD_BYTES))


def test_the_crops_are_the_expected_ones_byte_for_byte(crops: Path, expected: dict[str, np.ndarray[Any, Any]]):
    split = open_split(crops)
    assert verify(crops).count == len(split) == SCENES
    names = {"image": "image_crop", "segmentation": "label_crop", "num_objects": "n_objects"}
    for name in (*names, *TABLES):
        wanted = expected[names.get(name, name)]
        assert (split[name].dtype, split[name].shape) == (wanted.dtype, wanted.shape)
        assert split[name].tobytes() == wanted.tobytes()
    assert split["scene_id"].tolist() == list(range(SCENES))


def test_objects_are_counted_without_the_background_and_before_the_crop(crops: Path):
    split = open_split(crops)
    seen = [len(np.unique(scene)) - 1 for scene in split["segmentation"]]
    assert split["num_objects"].tolist() == [4, 9, 10, 6, 7, 4, 8, 10]
    assert seen == [4, 9, 9, 6, 7, 4, 8, 10]  # one object of the third scene lies outside the crop
    assert split.filter(max_objects=6)["scene_id"].tolist() == [0, 3, 5]


def test_the_manifest_tells_how_it_was_made(small: Path):
    manifest = open_split(small).manifest
    assert manifest.name == "clevr_with_masks/all"
    assert manifest.generator == {
        "command": "clevr",
        "arguments": {
            "file": FILE.name,
            "file_bytes": FILE.stat().st_size,
            "first": 0,
            "count": None,
            "size": 32,
            "interpolation": "bilinear",
        },
    }


def test_three_splits_are_consecutive_scenes_of_one_pass(tmp_path: Path, small: Path):
    folders = convert(FILE, list_parts(tmp_path, counts=(4, 1, 2)), size=32)
    assert [folder.name for folder in folders] == ["train", "validation", "test"]
    whole = open_split(small)
    for folder, wanted in zip(folders, ([0, 1, 2, 3], [4], [5, 6]), strict=True):
        split = open_split(folder)
        assert split.manifest.name == f"clevr_with_masks/{folder.name}"
        for name in whole.arrays:
            np.testing.assert_array_equal(split[name], whole[name][wanted])
    (alone,) = convert(FILE, list_parts(tmp_path / "alone", "validation", (4, 1, 2)), size=32)
    assert content(alone) == content(folders[1])


def test_the_public_file_is_split_as_in_the_paper():
    ranges = [(part.name, part.out, part.first, part.count) for part in list_parts(Path("d"))]
    assert ranges == [
        ("train", Path("d/train"), 0, 70_000),
        ("validation", Path("d/validation"), 70_000, 15_000),
        ("test", Path("d/test"), 85_000, 15_000),
    ]
    assert [(part.out, part.first) for part in list_parts(Path("d"), "test")] == [(Path("d"), 85_000)]


def bilinear_by_hand(image: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """Each new pixel's centre lies between four old centres; weigh them by distance, repeat the border."""
    side = len(image)
    out = np.empty((size, size, 3))
    for row in range(size):
        for column in range(size):
            y, x = (np.clip((place + 0.5) * side / size - 0.5, 0, side - 1) for place in (row, column))
            top, left = int(y), int(x)
            bottom, right = min(top + 1, side - 1), min(left + 1, side - 1)
            fy, fx = y - top, x - left
            upper = (1 - fx) * image[top, left] + fx * image[top, right]
            lower = (1 - fx) * image[bottom, left] + fx * image[bottom, right]
            out[row, column] = (1 - fy) * upper + fy * lower
    return out


def test_bilinear_from_192_to_128_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (192, 192, 3), dtype=np.uint8)
    by_hand = bilinear_by_hand(image.astype(float), 128)  # multiples of 1/16: no rounding before the last step
    np.testing.assert_array_equal(resize(image, 128, "bilinear"), np.rint(by_hand).astype(np.uint8))


def test_bilinear_to_any_size():
    image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    difference = resize(image, 11, "bilinear") - bilinear_by_hand(image.astype(float), 11)
    assert np.abs(difference).max() <= 0.5 + 1e-3  # rounding to uint8, and float32 weights


@given(st.integers(1, 24), st.sampled_from(["bilinear", "nearest"]))
def test_scaling_keeps_left_and_right_alike(size: int, interpolation: str):
    image = np.random.default_rng(size).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    turned = resize(np.ascontiguousarray(image[:, ::-1]), size, interpolation)[:, ::-1].astype(int)
    straight = resize(image, size, interpolation).astype(int)
    if interpolation == "bilinear":
        assert np.abs(turned - straight).max() <= 1  # float32 weights may round a half either way
    elif 24 % (2 * size):  # else a centre may lie on the border of two pixels, and the later one is taken
        centres = (2 * np.arange(size) + 1) * 24 / (2 * size)
        if (centres % 1).all():
            np.testing.assert_array_equal(turned, straight)


def test_masks_take_the_pixel_under_the_centre(crops: Path, tmp_path: Path):
    (folder,) = convert(FILE, list_parts(tmp_path / "a", "all"), size=128, interpolation="nearest")
    places = ((np.arange(128) + 0.5) * 1.5).astype(int)
    full, scaled = open_split(crops), open_split(folder)
    for name in ("image", "segmentation"):
        np.testing.assert_array_equal(scaled[name], full[name][:, places][:, :, places])
    np.testing.assert_array_equal(scaled["num_objects"], full["num_objects"])


def test_labels_of_masks_that_are_one_hot():
    wanted = np.random.default_rng(0).integers(0, 11, (9, 7), dtype=np.uint8)
    masks = (np.arange(11)[:, None, None] == wanted) * np.uint8(255)
    np.testing.assert_array_equal(label_pixels(masks), wanted)


@given(st.integers(0, 100), st.sampled_from([[0, 255], [0, 1, 127, 128, 254, 255], list(range(256))]))
def test_labels_of_masks_that_are_not(seed: int, values: list[int]):
    masks = np.random.default_rng(seed).choice(np.array(values, np.uint8), (11, 3, 2))
    np.testing.assert_array_equal(label_pixels(masks), masks.argmax(0))


def features_of(scene: int = 0) -> dict[str, bytes]:
    """The features of a tiny record that would be right but for what a test changes; image and mask are black."""
    rng = np.random.default_rng(scene)
    table = {name: files.strings([b"\1"] * 11) for name in ("shape", "size", "material", "color")}
    table |= {name: files.floats(rng.random(11).tolist()) for name in ("x", "y", "z", "visibility")}
    pixels = {"image": 240 * 320 * 3, "mask": 11 * 240 * 320}
    return table | {name: files.delimited(1, b"\n\x01\x00" * count) for name, count in pixels.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": None}, r"not a CLEVR \(with masks\) scene: \['mask'\] missing; it has \['color', 'image'"),
        ({"visibility": None, "material": None}, r"\['material', 'visibility'\] missing"),
        ({"mask": files.delimited(1, b"\n\x01\x00" * 1000)}, "'mask' holds 1000 values, expected 844800"),
        ({"image": files.strings([b"a whole PNG"])}, "'image' is not a list of one-byte strings"),
        ({"x": files.floats([1.0] * 10)}, "'x' holds 10 values, expected 11"),
        ({"x": files.ints([1] * 11)}, "'x' is a list of int64, expected float"),
        ({"color": files.floats([1.0] * 11)}, "'color' is a list of float, expected bytes"),
    ],
)
def test_a_wrong_feature_set_is_refused(tmp_path: Path, change: dict[str, bytes | None], message: str):
    good = files.example(features_of())
    assert parse_scene(good)["num_objects"] == 10
    wrong = files.example({name: value for name, value in (features_of() | change).items() if value is not None})
    path = files.write(tmp_path / "wrong.tfrecords", [good, wrong], compress=False)
    with pytest.raises(RecordError, match=rf"wrong\.tfrecords: record 1: .*{message}"):
        convert(path, list_parts(tmp_path / "out", "all"), size=16)
    assert list(tmp_path.iterdir()) == [path]


def test_other_features_are_ignored():
    scene = parse_scene(files.example(features_of() | {"more": files.ints([1])}))
    assert scene["image"].shape == (192, 192, 3)


def test_a_scene_does_not_keep_its_record_in_memory(records: list[bytes]):
    for array in parse_scene(records[0]).values():
        while isinstance(array.base, np.ndarray):
            array = array.base
        assert array.nbytes <= 192 * 192 * 3


def nothing_is_made(tmp_path: Path, file: Path, message: str, **options: Any) -> None:
    with pytest.raises(RecordError, match=message) as caught:
        convert(file, list_parts(tmp_path / "made" / "out", **options), size=16)
    assert str(file) in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_missing_and_empty_files(tmp_path: Path):
    nothing_is_made(tmp_path, tmp_path / "none", "missing: no such file", split="all")
    nothing_is_made(tmp_path, tmp_path, "missing: no such file", split="all")
    (tmp_path / "empty").write_bytes(b"")
    nothing_is_made(tmp_path, tmp_path / "empty", "empty: 0 bytes", split="all")


@pytest.mark.parametrize("share", [0.00002, 0.2, 0.6, 0.99999])
def test_a_truncated_file(tmp_path: Path, share: float):
    whole = FILE.read_bytes()
    file = tmp_path / "file"
    file.write_bytes(whole[: int(len(whole) * share)])
    nothing_is_made(tmp_path, file, r"record \d: ", split="all")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.99999])
def test_a_flipped_bit(tmp_path: Path, share: float):
    damaged = bytearray(FILE.read_bytes())
    damaged[int(len(damaged) * share)] ^= 4
    file = tmp_path / "file"
    file.write_bytes(damaged)
    nothing_is_made(tmp_path, file, r"record \d: ", split="all")


def test_a_flipped_bit_in_an_unpacked_file_names_its_record(tmp_path: Path):
    damaged = bytearray(gzip.decompress(FILE.read_bytes()))
    damaged[len(damaged) * 5 // 8 + 1000] ^= 4
    file = tmp_path / "file"
    file.write_bytes(damaged)
    nothing_is_made(tmp_path, file, "record 5: damaged: the checksum of its data does not match", split="all")


def test_a_file_with_too_few_scenes(tmp_path: Path):
    message = r"ends after 8 records, but 'train' is records 0 to 69999: give other counts"
    with pytest.raises(RecordError, match=message):
        convert(FILE, list_parts(tmp_path / "short", "train"), size=16)
    nothing_is_made(tmp_path, FILE, r"'test' is records 85000 to 99999", split="test")
    with pytest.raises(RecordError, match="ends after 8 records, but 'validation' is records 5 to 9"):
        convert(FILE, list_parts(tmp_path / "out", counts=(5, 5, 5)), size=16)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["train", "validation.partial"]
    verify(tmp_path / "out" / "train")


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts scenes as they are parsed, in chunks of two."""
    seen: list[int] = []

    def counting(record: bytes) -> dict[str, Any]:
        seen.append(len(seen))
        if len(seen) == 6:
            raise KeyboardInterrupt
        return parse_scene(record)

    monkeypatch.setattr(clevr, "SCENES_PER_WRITE", 2)
    monkeypatch.setattr(clevr, "parse_scene", counting)
    return seen


def test_an_interrupted_conversion_goes_on(tmp_path: Path, small: Path, parsed: list[int]):
    request = list_parts(tmp_path / "out", "all")
    with pytest.raises(KeyboardInterrupt):
        convert(FILE, request, size=32)
    assert [path.name for path in tmp_path.iterdir()] == ["out.partial"]
    convert(FILE, request, size=32)
    assert len(parsed) == 6 + 4  # four scenes were safe
    assert content(tmp_path / "out") == content(small)
    convert(FILE, request, size=32)
    assert len(parsed) == 6 + 4  # made already


def test_the_second_of_three_splits_is_resumed(
    tmp_path: Path, small: Path, parsed: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(clevr, "SCENES_PER_WRITE", 1)
    request = list_parts(tmp_path, counts=(4, 3, 1))
    with pytest.raises(KeyboardInterrupt):
        convert(FILE, request, size=32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train", "validation.partial"]
    train, validation, test = map(open_split, convert(FILE, request, size=32))
    assert len(parsed) == 6 + 3  # five scenes were safe
    for name, array in open_split(small).arrays.items():
        np.testing.assert_array_equal(np.concatenate([train[name], validation[name], test[name]]), array)


def test_after_a_read_error_the_same_command_goes_on(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clevr, "SCENES_PER_WRITE", 2)
    file, request, whole = tmp_path / FILE.name, list_parts(tmp_path / "out", "all"), FILE.read_bytes()
    place = len(whole) * 5 // 8
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
    with pytest.raises(RecordError, match=r"clevr_with_masks_train\.tfrecords: record 5: "):
        convert(file, request, size=32)
    progress = json.loads((tmp_path / "out.partial" / "progress.json").read_text())
    assert progress["written"] == 4
    file.write_bytes(whole)
    convert(file, request, size=32)
    assert content(tmp_path / "out") == content(small)


def test_other_arguments_do_not_continue_it(tmp_path: Path, parsed: list[int]):
    with pytest.raises(KeyboardInterrupt):
        convert(FILE, list_parts(tmp_path / "out", "all"), size=32)
    with pytest.raises(SplitWriteError, match="begun with other arguments"):
        convert(FILE, list_parts(tmp_path / "out", "all"), size=64)
    assert len(parsed) == 6


@pytest.mark.parametrize("size", [0, 193])
def test_sizes_beyond_the_crop_are_refused(tmp_path: Path, size: int):
    with pytest.raises(ValueError, match="size must be between 1 and 192"):
        convert(FILE, list_parts(tmp_path, "all"), size=size)
