"""Pictures of one object: what a backbone is taught on, with labels that are true and nothing of a scene or a mask."""

import numpy as np
import pytest
import torch

from data_tools.features.pretraining import single_objects as module
from data_tools.features.pretraining.single_objects import draw_single_objects
from data_tools.stand_ins.textured_objects import COLORS, SHAPES, TEXTURES
from data_tools.writing.durable import DataError

CLASSES = {"texture": TEXTURES, "color": COLORS, "second_color": COLORS, "shape": SHAPES}


def test_pictures_and_their_labels() -> None:
    images, labels = draw_single_objects(seed=1, start=0, count=300, size=16)
    assert (images.dtype, images.shape) == (torch.uint8, (300, 16, 16, 3))
    assert labels.keys() == CLASSES.keys()  # and no mask
    for name, classes in CLASSES.items():
        counts = torch.bincount(labels[name], minlength=len(classes)).numpy()
        assert len(counts) == len(classes)
        expected = 300 / len(classes)
        # Five standard deviations. Of two like colors the first is the earlier one, so colors are not uniform.
        assert (counts > 0).all() if "color" in name else np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_a_picture_depends_on_seed_and_number_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = draw_single_objects(seed=1, start=0, count=9, size=24)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 2 * 24 * 24)
    some, own = draw_single_objects(seed=1, start=4, count=5, size=24)
    assert torch.equal(images[4:], some)
    assert all(torch.equal(labels[name][4:], own[name]) for name in CLASSES)
    assert not torch.equal(images, draw_single_objects(seed=2, start=0, count=9, size=24)[0])


def test_the_object_is_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    render = module.render

    def watched(scenes, size, antialias):
        drawn = render(scenes, size, antialias)
        seen.append(drawn.segmentation)
        return drawn

    monkeypatch.setattr(module, "render", watched)
    draw_single_objects(seed=3, start=0, count=200, size=32)
    extent = torch.cat([(part == 1).flatten(1).double().mean(1) for part in seen])
    assert extent.min() > 0.01
    assert 0.1 < extent.mean() < 0.5


@pytest.mark.parametrize("wrong", [{"count": 0}, {"size": 4}, {"seed": -1}, {"device": "warp"}])
def test_what_cannot_be_meant_is_refused(wrong) -> None:
    with pytest.raises(DataError, match=next(iter(wrong))):
        draw_single_objects(**{"seed": 0, "start": 0, "count": 1, "size": 16} | wrong)
