"""The explorer as HTML: its controls, and its data as JSON; book/_static/explorer.js brings them to life.

Needs the extra ``book``. Nothing is fetched: pictures are WebP without loss, inside the page. All slot counts and
variants of a scene share one picture, slot counts from left to right and variants from top to bottom.
"""

from __future__ import annotations

import colorsys
import html
import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from slotnorm_book.analyses.explorer_views import Frames, View
from slotnorm_book.figures.explorer import pixels, role_colors
from slotnorm_book.figures.style import VARIANTS

MARKS = {
    "o": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "s": "M-4-4h8v8h-8z",
    "^": "M0-5L5 4h-10z",
    "D": "M0-5.5L5.5 0L0 5.5L-5.5 0z",
    "v": "M0 5L5-4h-10z",
    "X": "M-4-4L4 4M4-4L-4 4",
}
"""Matplotlib's marker to an SVG path of the same shape around the origin."""


def explorer_html(sets: Sequence[Frames]) -> str:
    """The explorer, hidden until its script runs; until then a sentence stands in its place.

    Args:
        sets: data sets to choose from; an empty explorer says that there is none.
    """
    if not sets:
        return '<div class="explorer"><p>No data set has a model of every variant yet.</p></div>'
    variants = [name for name in VARIANTS if any(name in frames.views for frames in sets)]
    data = json.dumps([set_data(frames) for frames in sets], separators=(",", ":")).replace("</", "<\\/")
    most = max(len(frames.scene_ids) for frames in sets)
    page = (
        '<div class="explorer">'
        '<p class="explorer-off">The explorer needs JavaScript and the book\'s pages. '
        "Without them, the figure below shows one scene.</p>"
        f'<script type="application/json">{data}</script>'
        '<div class="explorer-on" hidden>'
        f"{_sets(sets)}{_scenes(most)}"
        f'<div class="explorer-view">{_given()}{"".join(map(_card, variants))}</div>'
        f"{_slots()}"
        '<p class="explorer-caption">F-ARI of this scene over the number of slots. Dotted: as many as in training.</p>'
        '<svg class="explorer-curve" role="img" aria-label="F-ARI of this scene over the number of slots, a line per '
        'variant; the values at the chosen number are beside the pictures"></svg>'
        '<p class="explorer-link"><a href="#">Link to this view</a></p>'
        '<p class="explorer-status" aria-live="polite"></p>'
        "</div></div>"
    )
    return page.replace("><", "> <")  # or the search page runs the words of neighbors together


def set_data(frames: Frames) -> dict[str, Any]:
    """What the script needs of a data set, as JSON takes it."""
    return {
        "id": frames.experiment,
        "label": frames.test.label,
        "slots": list(frames.slots),
        "train": frames.train_slots,
        "variants": list(frames.views),
        "average": {variant: _rounded(view.average) for variant, view in frames.views.items()},
        "scenes": [_scene(frames, scene) for scene in range(len(frames.scene_ids))],
    }


def _scene(frames: Frames, scene: int) -> dict[str, Any]:
    truth = frames.truth[scene]

    def segmentation(view: View, place: int) -> npt.NDArray[np.uint8]:
        return role_colors(view.segmentation[place, scene], truth)

    def painting(view: View, place: int) -> npt.NDArray[np.uint8]:
        assert view.painting is not None
        return pixels(view.painting[place, scene])

    painted = all(view.painting is not None for view in frames.views.values())
    return {
        "objects": frames.objects[scene],
        "picture": encoded(pixels(frames.image[scene])),
        "truth": encoded(role_colors(truth, truth)),
        "segmentation": encoded(_sheet(frames, segmentation)),
        "painting": encoded(_sheet(frames, painting)) if painted else None,
        "fAri": {variant: _rounded(view.f_ari[:, scene].numpy()) for variant, view in frames.views.items()},
        "used": {
            variant: [len(labels[scene].unique()) for labels in view.segmentation]
            for variant, view in frames.views.items()
        },
    }


def _sheet(frames: Frames, draw: Callable[[View, int], npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    lines = [[draw(view, place) for place in range(len(frames.slots))] for view in frames.views.values()]
    return np.concatenate([np.concatenate(line, axis=1) for line in lines])


def encoded(picture: npt.NDArray[np.uint8]) -> str:
    """A picture, shape (H, W, 3), as a data address."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", lossless=True)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"


def on_dark(color: str) -> str:
    """A color of the same hue that shows on black: dark ones are lightened as far as they were from white.

    Args:
        color: such as ``"#0072B2"``.
    """
    hue, lightness, saturation = colorsys.rgb_to_hls(*(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)))
    lighter = colorsys.hls_to_rgb(hue, max(lightness, 1 - lightness), saturation)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in lighter)


def _rounded(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(value), 3) + 0.0 for value in values]  # no -0.0


def _choice(group: str, value: str, inside: str) -> str:
    return f'<label><input type="radio" name="explorer-{group}" value="{value}"><span>{inside}</span></label>'


def _sets(sets: Sequence[Frames]) -> str:
    choices = (
        _choice("set", frames.experiment, f"{html.escape(frames.test.label)} <small>{_source(frames)}</small>")
        for frames in sets
    )
    return f'<fieldset class="explorer-sets"><legend>Data</legend>{"".join(choices)}</fieldset>'


def _source(frames: Frames) -> str:
    return html.escape(frames.test.source.name)


def _scenes(count: int) -> str:
    choices = (_choice("scene", str(scene), "<i></i>") for scene in range(1, count + 1))
    legend = "<legend>Scene, from the lowest mean F-ARI to the highest</legend>"
    return f'<fieldset class="explorer-scenes">{legend}{"".join(choices)}</fieldset>'


def _picture(shows: str) -> str:
    return f'<canvas role="img" data-shows="{shows}"></canvas>'


def _given() -> str:
    return (
        f'<div class="explorer-given"><div><p class="explorer-name">Truth</p>{_picture("truth")}</div>'
        f'<div><p class="explorer-name">Picture</p>{_picture("picture")}</div></div>'
    )


def _card(variant: str) -> str:
    look = VARIANTS[variant]
    mark = f'<svg viewBox="-7 -7 14 14" aria-hidden="true"><path d="{MARKS[look.marker]}"/></svg>'
    return (
        f'<div class="explorer-card explorer-hue" data-variant="{variant}" data-label="{look.label}" '
        f'style="--light: {look.color}; --dark: {on_dark(look.color)}">'
        f'<p class="explorer-name">{mark}{look.label}</p>{_picture("segmentation")}'
        '<div class="explorer-painted"><p class="explorer-name explorer-plain">Reconstruction</p>'
        f"{_picture('painting')}</div>"
        '<p class="explorer-score">F-ARI <b></b></p><div class="explorer-bar"><i></i></div>'
        '<p class="explorer-more"></p></div>'
    )


def _slots() -> str:
    return (
        '<div class="explorer-slots"><label for="explorer-slots">Slots: <b></b> <span></span></label>'
        '<input type="range" id="explorer-slots" min="0" step="1"><div class="explorer-ticks" aria-hidden="true"></div>'
        "</div>"
    )
