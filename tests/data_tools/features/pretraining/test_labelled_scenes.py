"""Scenes with labelled patches: every patch has the classes of the object that covers most of it."""

import numpy as np
import pytest
import torch

from data_tools.features.pretraining.labelled_scenes import LABEL_CLASSES, draw_labelled_scenes, find_main_segments
from data_tools.stand_ins.movi import make_scenes
from data_tools.stand_ins.render import render
from data_tools.writing.durable import DataError


@pytest.mark.parametrize("variant", ["c", "d"])
def test_patches_have_the_classes_of_their_objects(variant: str) -> None:
    images, labels, share = draw_labelled_scenes(7, 2, 4, variant=variant, size=32, patch=8)
    scenes, tables = make_scenes(7, np.arange(2, 6), variant=variant)
    drawn = render(scenes, 32, antialias=True)
    assert torch.equal(images, drawn.image)
    assert labels.keys() == LABEL_CLASSES.keys()
    shown = set()
    for scene in range(4):
        for patch in range(16):
            row, column = divmod(patch, 4)
            pixels = drawn.segmentation[scene, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            counts = pixels.flatten().long().bincount()
            segment = int(counts.argmax())
            shown.add(segment > 0)
            assert share[scene, patch].item() == counts.max().item() / 64
            for name in LABEL_CLASSES:
                assert labels[name][scene, patch] == tables[name][scene, segment]
    assert shown == {False, True}
    assert all(int(labels[name].max()) < count for name, count in LABEL_CLASSES.items())


def test_of_two_segments_that_cover_the_same_the_lower_number_counts() -> None:
    segmentation = torch.tensor([[[3, 3, 0, 1], [2, 2, 1, 1]]])
    segments, share = find_main_segments(segmentation, 2)
    assert segments.tolist() == [[2, 1]]
    assert share.tolist() == [[0.5, 0.75]]


@pytest.mark.parametrize("wrong", [{"count": 0}, {"size": 4}, {"seed": -1}, {"patch": 5}, {"patch": 0}])
def test_what_cannot_be_meant_is_refused(wrong: dict[str, int]) -> None:
    asked = {"seed": 0, "start": 0, "count": 1, "size": 16, "patch": 8, "variant": "c"}
    with pytest.raises(DataError, match=next(iter(wrong))):
        draw_labelled_scenes(**asked | wrong)  # type: ignore[arg-type]
