"""The explorer as HTML: its controls, and its data as JSON, which book/_static/explorer.js reads.

Nothing is fetched: the page contains its pictures, as lossless WebP. All slot counts and variants of a scene share one
picture, a sheet with slot counts from left to right and variants from top to bottom.
"""

from __future__ import annotations

import colorsys
import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from slotnorm_book.analyses.explorer_views import Frames, View
from slotnorm_book.figures.explorer import color_roles, to_bytes
from slotnorm_book.figures.style import MARKS, look_of, sort_variants
from slotnorm_book.markup import render_html


def render_explorer(sets: Sequence[Frames]) -> str:
    """Return the explorer's HTML; its controls are hidden until its script runs, and a sentence is shown instead.

    Args:
        sets: data sets to choose from; if there are none, the page says so.
    """
    variants = sort_variants(variant for frames in sets for variant in frames.views)
    return render_html(
        "figures/explorer.html.j2",
        sets=[make_set_data(frames) for frames in sets],
        sources=[frames.test.source.name for frames in sets],
        scenes=max((len(frames.scene_ids) for frames in sets), default=0),
        cards=[_make_card(variant) for variant in variants],
    )


def _make_card(variant: str) -> dict[str, Any]:
    look = look_of(variant)
    return {"variant": variant, "look": look, "dark": lighten_for_dark(look.color), "mark": MARKS[look.marker]}


def make_set_data(frames: Frames) -> dict[str, Any]:
    """Return what the script needs of a data set, as values that JSON can hold."""
    whole = set(frames.slots) <= set(frames.floor)
    return {
        "id": frames.experiment,
        "label": frames.test.label,
        "slots": list(frames.slots),
        "train": frames.train_slots,
        "variants": list(frames.views),
        "average": {variant: _round_scores(view.average) for variant, view in frames.views.items()},
        "averageBlind": {variant: _round_scores(view.average_blind) for variant, view in frames.views.items()},
        "floor": _round_scores([frames.floor[count] for count in frames.slots]) if whole else None,
        "scenes": [_make_scene_data(frames, scene) for scene in range(len(frames.scene_ids))],
    }


def _make_scene_data(frames: Frames, scene: int) -> dict[str, Any]:
    truth = frames.truth[scene]

    def draw_segmentation(view: View, place: int) -> npt.NDArray[np.uint8]:
        return color_roles(view.segmentation[place, scene], truth)

    def draw_painting(view: View, place: int) -> npt.NDArray[np.uint8]:
        assert view.painting is not None
        return to_bytes(view.painting[place, scene])

    painted = all(view.painting is not None for view in frames.views.values())
    return {
        "objects": frames.objects[scene],
        "picture": encode_picture(to_bytes(frames.image[scene])),
        "truth": encode_picture(color_roles(truth, truth)),
        "segmentation": encode_picture(_make_sheet(frames, draw_segmentation)),
        "painting": encode_picture(_make_sheet(frames, draw_painting)) if painted else None,
        "fAri": {variant: _round_scores(view.f_ari[:, scene].numpy()) for variant, view in frames.views.items()},
        "blind": {variant: _round_scores(view.blind[:, scene]) for variant, view in frames.views.items()},
        "mbo": {variant: _round_scores(view.mbo[:, scene].numpy()) for variant, view in frames.views.items()},
        "used": {
            variant: [len(labels[scene].unique()) for labels in view.segmentation]
            for variant, view in frames.views.items()
        },
    }


def _make_sheet(frames: Frames, draw_view: Callable[[View, int], npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    lines = [[draw_view(view, place) for place in range(len(frames.slots))] for view in frames.views.values()]
    return np.concatenate([np.concatenate(line, axis=1) for line in lines])


def encode_picture(picture: npt.NDArray[np.uint8]) -> str:
    """Return a picture, shape (H, W, 3), as a ``data:`` address."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", lossless=True)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"


def lighten_for_dark(color: str) -> str:
    """Return a color of the same hue that shows on black: the lightness of a dark color is mirrored.

    Args:
        color: such as ``"#0072B2"``.
    """
    hue, lightness, saturation = colorsys.rgb_to_hls(*(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)))
    lighter = colorsys.hls_to_rgb(hue, max(lightness, 1 - lightness), saturation)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in lighter)


def _round_scores(values: Iterable[float]) -> list[float | None]:
    """Return scores as JSON holds them: those that are undefined, as of a scene without objects, as ``None``."""
    return [round(float(value), 3) + 0.0 if math.isfinite(value) else None for value in values]  # no -0.0
