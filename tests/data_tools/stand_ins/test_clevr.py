"""The stand-in for CLEVR: its properties are those of the picture, and they make the 19 entries of App. I."""

import numpy as np
import pytest
import torch

from data_tools.stand_ins import clevr as synth_clevr
from data_tools.stand_ins.clevr import COLORS, MATERIALS, PALETTE, SHAPES, SIZES, make_scenes
from data_tools.stand_ins.layout import to_linear_color
from data_tools.stand_ins.render import render
from data_tools.stand_ins.scenes import Shape
from data_tools.writing.durable import DataError

SCENES = np.arange(200)


def test_classes_are_those_of_the_scene() -> None:
    scenes, tables = make_scenes(1, SCENES)
    present = np.arange(10) < scenes.count.numpy()[:, None]
    shape, size, material, color = (
        tables[key][:, 1:][present].astype(int) - 1 for key in ("shape", "size", "material", "color")
    )
    kinds = [Shape.SPHERE, Shape.BOX, Shape.CYLINDER]
    assert [kinds[index] for index in shape] == scenes.shape.numpy()[present].tolist()
    half = np.array([0.7, 0.35])[size] / np.where(shape == SHAPES.index("cube"), np.sqrt(2), 1)
    for axis in range(3):
        np.testing.assert_allclose(scenes.scale.numpy()[present][:, axis], half, rtol=1e-6)  # float32
    np.testing.assert_array_equal(scenes.surface.metal.numpy()[present], material)
    np.testing.assert_allclose(scenes.surface.color_a.numpy()[present], to_linear_color(PALETTE[color]), rtol=1e-6)
    np.testing.assert_allclose(scenes.center.numpy()[present][:, 2], half, rtol=1e-6)  # they stand on the floor


def test_the_nineteen_entries_are_there() -> None:
    _, tables = make_scenes(1, SCENES)
    present = tables["visibility"][:, 1:] > 0
    classes = {"shape": SHAPES, "size": SIZES, "material": MATERIALS, "color": COLORS}
    for key, names in classes.items():
        numbers = tables[key][:, 1:]
        assert numbers.dtype == np.uint8
        assert set(numbers[present].tolist()) == set(range(1, 1 + len(names)))
        assert not numbers[~present].any()
    assert sum(map(len, classes.values())) + 3 + 1 == 19
    for axis in "xyz":  # (p + 3) / 6 is a target for a sigmoid
        assert np.abs(tables[axis][:, 1:][present]).max() <= 3


@pytest.mark.parametrize("color", range(1, len(COLORS)))
def test_objects_look_like_their_color(color: int) -> None:
    scenes, tables = make_scenes(2, np.arange(60), min_objects=1, max_objects=1)
    rows = (tables["color"][:, 1] == color + 1) & (tables["material"][:, 1] == 1 + MATERIALS.index("rubber"))
    assert rows.any()
    drawn = render(scenes[torch.from_numpy(rows)], 64)
    for picture, label in zip(drawn.image.numpy(), drawn.segmentation.numpy(), strict=True):
        light = to_linear_color(picture[label == 1].astype(float)).mean(0)
        hues = to_linear_color(PALETTE[1:].astype(float))
        likeness = hues @ light / np.linalg.norm(hues, axis=1)
        assert 1 + likeness.argmax() == color


def test_objects_keep_clevrs_distances() -> None:
    scenes, _ = make_scenes(3, np.arange(50), min_objects=10)
    gaps = torch.cdist(scenes.center[..., :2], scenes.center[..., :2])
    reach = scenes.scale[..., 0][:, None] + scenes.scale[..., 0][:, :, None]
    apart = (gaps - reach)[~torch.eye(10, dtype=torch.bool).expand(50, 10, 10)]
    assert apart.min() >= synth_clevr.GAP - 1e-5  # float32


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"size": 7}, "size must be from 8 to 1024 pixels, got 7"),
        ({"seed": -1}, "seed must be from 0 to"),
        ({"device": "warp"}, "device 'warp' cannot be used"),
        ({"max_objects": 11}, "max_objects must be from 1 to 10, got 11"),
        ({"min_objects": 0}, "min_objects must be from 1 to max_objects = 10, got 0"),
        ({"min_objects": 5, "max_objects": 4}, "min_objects must be from 1 to max_objects = 4, got 5"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(tmp_path, wrong, message) -> None:
    with pytest.raises(DataError, match=message):
        synth_clevr.prepare(tmp_path / "out", **{"count": 2, "size": 16} | wrong)
    assert not list(tmp_path.iterdir())
