"""The ray caster against slow references: membership of points, rays towards the lamp, loops over tiles."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from data_tools.stand_ins.layout import look_at, to_tensor
from data_tools.stand_ins.random_draws import Draws
from data_tools.stand_ins.render import label_maps, render, visible_pixels
from data_tools.stand_ins.render.casting import bounding_radius
from data_tools.stand_ins.render.shadows import OUTSIDE, place_casters
from data_tools.stand_ins.render.shapes import ENTER, NORMAL
from data_tools.stand_ins.render.tiles import pair_up
from data_tools.stand_ins.scenes import Lighting, Scenes, Shape, Texture, plain_surface

SHAPES = list(Shape)
SCALES = torch.tensor([[0.9, 0.6, 0.7], [0.5, 0.8, 0.6], [0.6, 0.6, 0.8], [0.8, 0.8, 0.9], [0.4, 0.4, 1.0]])
"""Half extents of one object of each of SHAPES; the sphere is an ellipsoid."""
CENTERS = torch.tensor([[-1.8, 0.3, 1.2], [1.7, -0.4, 1.1], [0.1, 1.9, 1.3], [0.2, -1.7, 1.2], [0.1, 0.1, 1.4]])


def make_scenes(shapes: list[Shape], scales: Tensor, centers: Tensor, seed: int = 0) -> Scenes:
    """One scene of objects turned at random, all in view."""
    draws = Draws(seed, np.zeros(1), np.zeros(1))
    one, places = torch.ones(1), len(shapes)
    camera = np.array([[6.0, -5.0, 4.5]])
    toward = torch.tensor([[0.3, -0.5, 0.8]])
    lighting = Lighting(
        key=toward / toward.norm(),
        fill=torch.tensor([[0.6, 0.0, 0.8]]),
        key_strength=one,
        fill_strength=0.3 * one,
        ambient=0.4 * one,
        softness=0.05 * one,
        fog=0 * one,
        falloff=0 * one,
        vignette=0 * one,
    )
    return Scenes(
        count=torch.tensor([places]),
        shape=torch.tensor([[int(shape) for shape in shapes]]),
        center=centers[None],
        scale=scales[None],
        rotation=to_tensor(draws.rotation(1, places)),
        surface=plain_surface(torch.full((1, places, 3), 0.5), torch.zeros(1, places)),
        floor=plain_surface(torch.full((1, 3), 0.3), torch.zeros(1)),
        backdrop=plain_surface(torch.full((1, 3), 0.1), torch.zeros(1)),
        dome=30 * one,
        camera=to_tensor(camera),
        view=to_tensor(look_at(camera, np.array([[0.0, 0.0, 1.2]]))),
        tangent=0.4 * one,
        lighting=lighting,
    )


def one_of_each(seed: int = 0) -> Scenes:
    return make_scenes(SHAPES, SCALES, CENTERS, seed)


def inside(shape: Shape, p: Tensor, scale: Tensor) -> Tensor:
    """Whether points (..., 3) in an object's axes, relative to its centre, belong to it."""
    x, y, z = (p / scale).unbind(-1)
    if shape == Shape.SPHERE:
        return x**2 + y**2 + z**2 < 1
    if shape == Shape.BOX:
        return (p.abs() < scale).all(-1)
    if shape == Shape.CYLINDER:
        return (x**2 + y**2 < 1) & (z.abs() < 1)
    if shape == Shape.CONE:
        return (x**2 + y**2 < ((1 - z) / 2) ** 2) & (z.abs() < 1)
    radius, half = scale[0], scale[2] - scale[0]
    rest = torch.cat([p[..., :2], p[..., 2:] - p[..., 2:].clamp(-half, half)], -1)
    return rest.norm(dim=-1) < radius


def pixel_rays(scenes: Scenes, size: int) -> tuple[Tensor, Tensor]:
    """The camera (3,) and directions (size, size, 3) through pixel centres, of depth 1, in float64."""
    right, down, forward = scenes.view[0].double()
    ticks = ((torch.arange(size, dtype=torch.float64) + 0.5) * 2 / size - 1) * scenes.tangent[0].double()
    return scenes.camera[0].double(), forward + ticks[None, :, None] * right + ticks[:, None, None] * down


def marched_labels(scenes: Scenes, size: int, step: float) -> Tensor:
    """What each pixel shows, by testing points along its ray one after the other."""
    camera, rays = pixel_rays(scenes, size)
    labels = torch.zeros(size, size, dtype=torch.uint8)
    for depth in torch.arange(5.0, 11.0, step):
        points = camera + depth * rays
        for k in range(int(scenes.count[0])):
            own = (points - scenes.center[0, k]) @ scenes.rotation[0, k].double().T
            hit = inside(Shape(int(scenes.shape[0, k])), own, scenes.scale[0, k].double())
            labels[hit & (labels == 0)] = k + 1
    return labels


@pytest.mark.parametrize("seed", [0, 1])
def test_labels_are_what_marching_along_the_rays_meets(seed: int) -> None:
    scenes = one_of_each(seed)
    labels, expected = label_maps(scenes, 32)[0], marched_labels(scenes, 32, step=0.01)
    assert set(labels.unique().tolist()) == {0, 1, 2, 3, 4, 5}
    # Steps of 0.01 may jump over a corner or mistake the order of two surfaces.
    assert (labels != expected).sum() <= 1


@pytest.mark.parametrize("shape", SHAPES)
def test_rays_enter_at_the_surface_and_against_its_normal(shape: Shape, generator: torch.Generator) -> None:
    stretch = torch.tensor([[0.7]], dtype=torch.float64)
    scale = torch.ones(3, dtype=torch.float64)
    if shape == Shape.CAPSULE:
        scale[2] = 1.7
    origin = 6 * torch.nn.functional.normalize(torch.randn(200, 3, generator=generator, dtype=torch.float64), dim=1)
    aim = (torch.rand(200, 3, generator=generator, dtype=torch.float64) - 0.5) - origin
    o, d = (tuple(part[:, None] for part in vectors.unbind(1)) for vectors in (origin, aim))
    t = ENTER[shape](o, d, stretch)[:, 0]
    hit = t < 100
    assert hit.sum() > 100
    points, rays = (origin + t[:, None] * aim)[hit], aim[hit]
    assert inside(shape, points + 1e-6 * rays, scale).double().mean() > 0.99  # but for rays that graze an edge
    assert not inside(shape, points - 1e-6 * rays, scale).any()
    x, y, z = points.T[..., None]
    normal = torch.cat(NORMAL[shape]((x, y, z), stretch), 1)
    assert ((normal * rays).sum(1) < 0).all()
    outside = points + 1e-5 * normal / normal.norm(dim=1, keepdim=True)
    assert not inside(shape, outside, scale).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_silhouettes_are_what_rays_towards_the_lamp_hit(shape: Shape) -> None:
    index = SHAPES.index(shape)
    scenes = make_scenes([shape], SCALES[index : index + 1], torch.tensor([[0.0, 0.0, 0.0]]), seed=3)
    casters = place_casters(scenes)
    ticks = torch.linspace(-1.3, 1.3, 41)
    a, b = torch.meshgrid(ticks, ticks, indexing="ij")
    distance = OUTSIDE[shape](a.reshape(1, -1), b.reshape(1, -1), casters.outline).reshape(41, 41)
    across, up, toward = casters.axes[0]
    points = (a[..., None] * across + b[..., None] * up)[..., None, :] + torch.linspace(-2, 2, 401)[:, None] * toward
    hit = inside(shape, points @ scenes.rotation[0, 0].T, scenes.scale[0, 0]).any(-1)
    clear = distance.abs() > 0.01  # the step along the line
    assert 0.05 < hit.float().mean() < 0.8
    assert torch.equal((distance < 0)[clear], hit[clear])


def test_masks_lie_inside_the_projected_bounding_sphere() -> None:
    scenes = one_of_each()
    labels = label_maps(scenes, 64)[0].long()
    camera, rays = pixel_rays(scenes, 64)
    radius = bounding_radius(scenes.shape, scenes.scale)[0].double()
    shown = labels.nonzero()
    k = labels[shown[:, 0], shown[:, 1]] - 1
    ray = torch.nn.functional.normalize(rays[shown[:, 0], shown[:, 1]], dim=1)
    offset = scenes.center[0, k].double() - camera
    distance = torch.linalg.cross(offset, ray).norm(dim=1)
    assert (distance <= radius[k] * (1 + 1e-9)).all()


def test_a_picture_at_three_times_the_size_shows_the_same_scene() -> None:
    scenes = one_of_each()
    assert torch.equal(label_maps(scenes, 96)[:, 1::3, 1::3], label_maps(scenes, 32))
    small, large = (render(scenes, size).image.double() for size in (32, 96))
    coarse = large.view(1, 32, 3, 32, 3, 3).mean((2, 4))
    assert (small - coarse).abs().mean() < 3  # of 255: both average the same light, over 4 and 36 rays


def test_antialiasing_averages_the_light_of_four_rays_and_leaves_the_segmentation() -> None:
    scenes = one_of_each()
    soft, hard = render(scenes, 32), render(scenes, 64, antialias=False)
    light = hard.image.double().square().view(1, 32, 2, 32, 2, 3).mean((2, 4))  # the display gamma is 2
    assert (soft.image - light.sqrt()).abs().max() <= 1  # half a grey level of rounding in either picture
    assert torch.equal(soft.segmentation, render(scenes, 32, antialias=False).segmentation)
    assert torch.equal(soft.segmentation, label_maps(scenes, 32))


@pytest.mark.parametrize("size", [8, 13, 50])
def test_any_size_is_covered_exactly(size: int) -> None:
    drawn = render(one_of_each(), size)
    assert drawn.image.shape == (1, size, size, 3)
    assert drawn.image.dtype == drawn.segmentation.dtype == torch.uint8
    assert torch.equal(drawn.segmentation, label_maps(one_of_each(), size))
    assert (drawn.image.amin((1, 2)) < drawn.image.amax((1, 2))).all()


def test_visible_pixels_count_the_labels() -> None:
    scenes = one_of_each()
    labels = label_maps(scenes, 48)
    expected = [(labels == k + 1).sum().item() for k in range(5)]
    assert visible_pixels(scenes, 48).tolist() == [expected]


def test_objects_beyond_the_count_are_not_drawn() -> None:
    scenes = one_of_each()
    empty = replace(scenes, count=torch.tensor([0]))
    drawn = render(empty, 24)
    assert not drawn.segmentation.any()
    assert torch.equal(render(replace(scenes, count=torch.tensor([2])), 24).segmentation.unique(), torch.arange(3))


def test_a_ball_darkens_the_floor_behind_it_as_seen_from_the_lamp_and_nothing_else() -> None:
    scenes = make_scenes([Shape.SPHERE], torch.full((1, 3), 0.6), torch.tensor([[0.4, -0.8, 1.8]]))
    toward = scenes.lighting.key[0]
    with_ball, without = (
        render(part, 128, antialias=False).image[0, ..., 1].int()
        for part in (scenes, replace(scenes, count=torch.tensor([0])))
    )
    camera, rays = pixel_rays(scenes, 128)
    ground = camera + (-camera[2] / rays[..., 2:]) * rays
    distance = torch.linalg.cross(scenes.center[0, 0].double() - ground, toward.double().expand_as(ground)).norm(dim=-1)
    floor = (label_maps(scenes, 128)[0] == 0) & (rays[..., 2] < -0.1)
    umbra, far = floor & (distance < 0.4), floor & (distance > 1.5)
    assert umbra.sum() > 30
    assert (with_ball < 0.75 * without)[umbra].all()
    assert torch.equal(with_ball[far], without[far])


@pytest.mark.parametrize("texture", list(Texture))
def test_textures_mix_their_two_colors(texture: Texture) -> None:
    scenes = one_of_each()
    red, blue = torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0])
    surface = replace(
        scenes.surface,
        color_a=red.expand(1, 5, 3),
        color_b=blue.expand(1, 5, 3),
        texture=torch.full((1, 5), int(texture)),
        frequency=torch.full((1, 5), 1.3),
    )
    drawn = render(replace(scenes, surface=surface), 48)
    shown = drawn.image[drawn.segmentation > 0].int()
    mostly_red, mostly_blue = (shown[:, i] > shown[:, j] + 20 for i, j in ((0, 2), (2, 0)))
    assert mostly_red.double().mean() > (0.95 if texture == Texture.PLAIN else 0.05)
    assert mostly_blue.double().mean() > (-1 if texture == Texture.PLAIN else 0.05)


@given(
    tiles=st.integers(1, 6),
    places=st.integers(1, 5),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 1000),
    how=st.sampled_from([(torch.minimum, 99.0), (torch.maximum, -99.0), (torch.add, 0.0)]),
)
def test_fold_combines_the_pairs_of_every_tile(
    tiles: int, places: int, share: float, seed: int, how: tuple[Callable[[Tensor, Tensor], Tensor], float]
) -> None:
    combine, empty = how
    generator = torch.Generator().manual_seed(seed)
    overlap = torch.rand(tiles, places, generator=generator) < share
    scene = torch.randint(0, 2, (tiles,), generator=generator)
    kinds = torch.randint(1, 6, (2 * places,), generator=generator)
    pairs = pair_up(overlap, scene, kinds)
    if pairs is None:
        assert not overlap.any()
        return
    assert (
        sorted(zip(pairs.tile.tolist(), pairs.slot.tolist(), strict=True)) == overlap.nonzero().tolist()
        or [list(pair) for pair in sorted(zip(pairs.tile.tolist(), pairs.slot.tolist(), strict=True))]
        == overlap.nonzero().tolist()
    )
    for kind, part in pairs.segments:
        assert (kinds[pairs.row[part]] == kind).all()
    values = torch.randint(-9, 9, (len(pairs), 3), generator=generator).float()
    expected = torch.full((tiles, 3), empty)
    for row, tile in enumerate(pairs.tile.tolist()):
        expected[tile] = combine(expected[tile], values[row])
    assert torch.equal(pairs.fold(values, empty, combine), expected)


@pytest.mark.parametrize("size", [0, 7, 1025])
def test_sizes_out_of_range_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size must be from 8 to 1024 pixels, got {size}"):
        render(one_of_each(), size)


def test_more_objects_than_the_caster_can_number_are_refused() -> None:
    scenes = make_scenes([Shape.SPHERE] * 31, torch.full((31, 3), 0.1), torch.rand(31, 3))
    with pytest.raises(ValueError, match="at most 30 objects, these have room for 31"):
        label_maps(scenes, 16)


def test_scenes_are_chosen_by_index() -> None:
    scenes = one_of_each()
    assert len(scenes[:0]) == 0
    assert torch.equal(scenes[torch.tensor([0, 0])].lighting.key, scenes.lighting.key.repeat(2, 1))


def test_draws_depend_on_their_place_alone() -> None:
    scene, attempt = np.arange(100), np.arange(100) % 3
    draws = Draws(7, scene, attempt)
    assert (draws.uniform(3, 2, 5)[40:] == Draws(7, scene[40:], attempt[40:]).uniform(3, 2, 5)).all()
    assert (draws.uniform(3, 2, 5)[:, :, :4] == draws.uniform(3, 2, 5)[:, :, :4]).all()
    assert (draws.uniform(3, 10)[:, :4] == draws.uniform(3, 4)).all()
    others = [Draws(8, scene, attempt), Draws(7, scene + 100, attempt), Draws(7, scene, attempt + 3)]
    assert not any((draws.uniform(3, 4) == other.uniform(3, 4)).any() for other in others)
    assert not (draws.uniform(3, 4) == draws.uniform(4, 4)).any()


def test_draws_are_uniform_and_uncorrelated() -> None:
    u = Draws(0, np.arange(5000), np.zeros(5000)).uniform(1, 8)
    # Six standard errors of 5,000 samples, for the mean, the deciles and the correlations.
    assert np.abs(u.mean(0) - 0.5).max() < 6 * np.sqrt(1 / 12 / 5000)
    deciles = np.stack([np.histogram(column, 10, (0, 1))[0] for column in u.T])
    assert np.abs(deciles - 500).max() < 6 * np.sqrt(500 * 0.9)
    assert np.abs(np.corrcoef(u.T) - np.eye(8)).max() < 6 / np.sqrt(5000)
    assert np.abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 6 / np.sqrt(5000)


def test_rotations_are_rotations_and_have_no_preferred_direction() -> None:
    rotation = Draws(0, np.arange(4000), np.zeros(4000)).rotation(1)
    product = rotation @ rotation.swapaxes(-1, -2)
    assert np.abs(product - np.eye(3)).max() < 1e-12  # float64 rounding
    assert np.abs(np.linalg.det(rotation) - 1).max() < 1e-12
    assert np.abs(rotation.mean(0)).max() < 6 * np.sqrt(1 / 3 / 4000)
