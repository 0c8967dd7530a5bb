"""The explorer's HTML: sheets in the order that its script reads them in, nothing that would have to be fetched."""

import base64
import json
import re
from dataclasses import replace
from io import BytesIO
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from slotnorm_book.analyses.explorer_views import FURTHER, SPARE, explorer_frames
from slotnorm_book.experiments.data_sources import Source
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import RunStore
from slotnorm_book.figures import style
from slotnorm_book.figures.explorer import color_roles, draw_middle_scene, make_role_palette, to_bytes
from slotnorm_book.figures.explorer_page import lighten_for_dark, make_set_data, render_explorer
from tests.helpers import tiny


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    data = tiny.make_data(tmp_path_factory.mktemp("data"))
    store = RunStore(tmp_path_factory.mktemp("store"))
    return explorer_frames(collect(tiny.recipe(data), store, "train", tiny.QUIET), scenes=3)


def picture(address: str) -> np.ndarray:
    start = "data:image/webp;base64,"
    assert address.startswith(start)
    return np.array(Image.open(BytesIO(base64.b64decode(address.removeprefix(start)))).convert("RGB"))


def test_a_sheet_has_slot_counts_across_and_variants_down(shown):
    data, size = json.loads(json.dumps(make_set_data(shown))), tiny.SIZE
    for scene, entry in enumerate(data["scenes"]):
        sheet, paintings = picture(entry["segmentation"]), picture(entry["painting"])
        for row, variant in enumerate(data["variants"]):
            for column in range(len(data["slots"])):
                part = np.s_[row * size : (row + 1) * size, column * size : (column + 1) * size]
                view = shown.views[variant]
                colors = color_roles(view.segmentation[column, scene], shown.truth[scene])
                assert np.array_equal(sheet[part], colors)
                assert np.array_equal(paintings[part], to_bytes(view.painting[column, scene]))
                assert entry["fAri"][variant][column] == round(view.f_ari[column, scene].item(), 3)
                assert entry["blind"][variant][column] == round(float(view.blind[column, scene]), 3)
                assert entry["mbo"][variant][column] == round(view.mbo[column, scene].item(), 3)
                assert entry["used"][variant][column] == len(np.unique(view.segmentation[column, scene]))
        assert np.array_equal(picture(entry["picture"]), to_bytes(shown.image[scene]))


def test_a_score_that_is_undefined_is_null(shown):
    """Such as the mBO of a scene in which no object is seen."""
    first = next(iter(shown.views))
    view = replace(shown.views[first], mbo=shown.views[first].mbo * float("nan"))
    data = json.loads(json.dumps(make_set_data(replace(shown, views=shown.views | {first: view})), allow_nan=False))
    assert data["scenes"][0]["mbo"][first] == [None] * len(shown.slots)


def test_the_blind_floor_is_there_at_every_slot_count_or_not_at_all(shown):
    assert make_set_data(shown)["floor"] is None
    floor = {count: 0.1 * place for place, count in enumerate(shown.slots, start=1)}
    assert make_set_data(replace(shown, floor=floor))["floor"] == pytest.approx(list(floor.values()))
    first = {shown.slots[0]: 0.1}
    assert make_set_data(replace(shown, floor=first))["floor"] is None


class Fetching:
    """What would make a page ask for something."""

    ADDRESS: ClassVar = re.compile(r"(https?:)?//|\burl\(")
    HANDLER: ClassVar = re.compile(r"\son\w+=")


def test_nothing_is_fetched_and_no_handler_stands_in_the_page(shown):
    text = render_explorer([shown])
    bare = re.sub(r'"data:image/webp;base64,[^"]*"', '""', text)
    assert Fetching.ADDRESS.search(bare) is None
    assert Fetching.HANDLER.search(bare) is None
    assert bare.count("<script") == bare.count("</script") == 1
    assert "\n" not in bare


def test_every_control_has_a_name_and_every_variant_a_card(shown):
    soup = BeautifulSoup(render_explorer([shown]), "html.parser")
    assert [card["data-variant"] for card in soup.select(".explorer-card")] == ["weighted_mean", "batch_norm"]
    assert len(soup.select("fieldset legend")) == len(soup.select("fieldset")) == 2
    assert len(soup.select("input[name=explorer-scene]")) == 3
    assert soup.select_one("label[for=explorer-slots]") is not None
    assert soup.select_one("[aria-live=polite]") is not None
    assert soup.select_one(".explorer-on").has_attr("hidden")
    assert soup.select("img, figure") == []


def test_an_explorer_of_nothing_says_so():
    assert "No data set has a model of every variant yet" in render_explorer([])
    plt.close(draw_middle_scene([]))


def test_the_figure_has_a_row_per_variant_and_a_column_per_slot_count(shown):
    figure = draw_middle_scene([shown])
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[0] == "picture"
    assert [title.split("\n")[0] for title in titles[1:3]] == ["2 slots", "3 slots"]
    assert len(figure.axes) == 2 * 3
    plt.close(figure)


def test_only_the_background_is_gray_and_objects_differ():
    colors = make_role_palette().astype(int)
    spread = colors.max(axis=1) - colors.min(axis=1)
    assert (spread[1:SPARE] > 20).all()
    assert (spread[[0, *range(SPARE, SPARE + FURTHER)]] == 0).all()
    few = colors[[0, *range(1, 11), *range(FURTHER, FURTHER + 20)]]
    assert len(np.unique(few, axis=0)) == len(few)


HOSTILE = """</script><script>alert("1")</script> <b>&amp; 'x' `y`|$z$ [w]"""


def test_text_of_a_record_is_no_markup(shown, monkeypatch):
    monkeypatch.setattr(style, "known_names", lambda: [HOSTILE])
    test = replace(shown.test, label=HOSTILE, source=Source(HOSTILE, "test", 4, 1))
    views = {HOSTILE: shown.views["batch_norm"]}
    page = render_explorer([replace(shown, experiment=HOSTILE, test=test, views=views)])
    soup = BeautifulSoup(page, "html.parser")
    (script,) = soup.select("script")
    (data,) = json.loads(script.text)
    assert (data["id"], data["label"], data["variants"]) == (HOSTILE, HOSTILE, [HOSTILE])
    assert "</script" not in page.replace("</script>", "", 1)
    (choice,) = soup.select("input[name=explorer-set]")
    assert choice["value"] == HOSTILE
    assert choice.find_next("span").text.strip() == f"{HOSTILE} {test.source.name}"
    (card,) = soup.select(".explorer-card")
    assert card["data-variant"] == card["data-label"] == card.select_one(".explorer-name").text.strip() == HOSTILE


@pytest.mark.parametrize(("color", "dark"), [("#000000", "#ffffff"), ("#ffffff", "#ffffff"), ("#0000ff", "#0000ff")])
def test_dark_colors_become_light(color, dark):
    assert lighten_for_dark(color) == dark
