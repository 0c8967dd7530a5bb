"""The stand-ins for MOVi-C and MOVi-D: their tables are those of the picture, and their two variants differ."""

import numpy as np
import pytest
import torch

from data_tools.stand_ins import movi as synth_movi
from data_tools.stand_ins.movi import VARIANTS
from data_tools.stand_ins.scenes import Scenes, Texture
from data_tools.stand_ins.textured_objects import COLORS, SHAPE_KINDS, SHAPES, TEXTURE_KINDS, TEXTURES
from data_tools.writing.durable import DataError

SCENES = np.arange(120)


def make(variant: str) -> tuple[Scenes, dict[str, np.ndarray]]:
    own = VARIANTS[variant]
    bounds = {"min_objects": own.min_objects, "max_objects": own.max_objects}
    return synth_movi.make_scenes(1, SCENES, variant=variant, **bounds)


@pytest.mark.parametrize("variant", VARIANTS)
def test_classes_are_those_of_the_scene(variant: str) -> None:
    scenes, tables = make(variant)
    present = np.arange(scenes.places) < scenes.count.numpy()[:, None]
    shape, texture = (tables[key][:, 1:][present].astype(int) - 1 for key in ("shape", "texture"))
    np.testing.assert_array_equal(SHAPE_KINDS[shape], scenes.shape.numpy()[present])
    np.testing.assert_array_equal(TEXTURE_KINDS[texture], scenes.surface.texture.numpy()[present])
    for key, names in (("shape", SHAPES), ("texture", TEXTURES), ("color", COLORS), ("second_color", COLORS)):
        assert set(tables[key][:, 1:][present].tolist()) == set(range(1, 1 + len(names)))
        assert not tables[key][:, 1:][~present].any()
    first, second = (tables[key][:, 1:][present] for key in ("color", "second_color"))
    assert (first != second).all()
    alike = np.isin(texture, [TEXTURES.index(name) for name in ("noise", "stripes", "checks")])
    assert (first < second)[alike].all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_reaches_below_the_floor_and_some_things_fall(variant: str) -> None:
    scenes, _ = make(variant)
    present = torch.arange(scenes.places) < scenes.count[:, None]
    lowest = _lowest(scenes)[present]
    assert lowest.min() > -1e-5  # float32
    falling = (lowest > 0.01).double().mean()
    assert 0.2 < falling < 0.5


def _lowest(scenes: Scenes) -> torch.Tensor:
    """Height of each object's lowest point, from points all over its surface."""
    turn = torch.linspace(0, 2 * torch.pi, 73)
    z = torch.linspace(-1, 1, 73)
    circle = torch.stack([turn.cos(), turn.sin()], -1)
    ball = torch.cat([(1 - z**2).sqrt()[:, None, None] * circle, z[:, None, None].expand(-1, 73, 1)], -1).view(-1, 3)
    disc = [torch.cat([circle, torch.full((73, 1), end)], 1) for end in (-1.0, 1.0)]
    tip = torch.tensor([[0.0, 0.0, 1.0]])
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    surfaces = {1: ball, 2: corners, 3: torch.cat(disc), 4: torch.cat([disc[0], tip])}
    height = scenes.center[..., 2].clone()
    for kind in (1, 2, 3, 4, 5):
        rows = scenes.shape == kind
        scale, down = scenes.scale[rows], scenes.rotation[rows][..., 2]
        if kind == 5:
            height[rows] -= (scale[:, 2] - scale[:, 0]) * down[:, 2].abs() + scale[:, 0]
        else:
            height[rows] += ((surfaces[kind] * scale[:, None]) * down[:, None]).sum(-1).amin(1)
    return height


def test_the_two_variants_differ_in_number_and_size() -> None:
    (few, _), (many, _) = make("c"), make("d")
    assert (few.count.min(), few.count.max(), many.count.min(), many.count.max()) == (3, 10, 11, 23)
    assert many.scale.mean() < 0.75 * few.scale.mean()


def test_floors_and_backdrops_are_textured() -> None:
    scenes, _ = make("c")
    for surface in (scenes.floor, scenes.backdrop):
        assert set(surface.texture.tolist()) == {int(kind) for kind in Texture} - {int(Texture.PLAIN)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"variant": "e"}, "variant must be one of c, d, got 'e'"),
        ({"count": -3}, "count must be at least 1, got -3"),
        ({"size": 2000}, "size must be from 8 to 1024 pixels, got 2000"),
        ({"max_objects": 24, "variant": "d"}, "max_objects must be from 1 to 23, got 24"),
        ({"min_objects": 9, "max_objects": 8}, "min_objects must be from 1 to max_objects = 8, got 9"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(tmp_path, wrong, message) -> None:
    with pytest.raises(DataError, match=message):
        synth_movi.prepare(tmp_path / "out", **{"count": 2, "size": 16} | wrong)
    assert not list(tmp_path.iterdir())
