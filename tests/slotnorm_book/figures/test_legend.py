"""The legend of a page: who stands in it, in which order, and that it looks as the figures do."""

import pytest
from bs4 import BeautifulSoup, Tag

from slotnorm.normalization import NORMALIZATIONS, RIVALS
from slotnorm_book.analyses.blind_floors import Floors
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.figures import legend, style
from slotnorm_book.figures.legend import render_legend
from slotnorm_book.figures.style import FLOOR_LINE, MARKS, look_of
from slotnorm_book.variants import EM, EM_EQUAL, VARIANTS


def entries(html: str) -> list[Tag]:
    return BeautifulSoup(html, "html.parser").select("p.variant-legend > span")


def test_it_has_each_variant_once_in_the_book_s_order_with_its_look() -> None:
    shown = entries(render_legend([EM, *reversed(VARIANTS), "batch_norm"]))
    looks = [look_of(name) for name in (*VARIANTS, EM)]
    assert [entry.get_text().strip() for entry in shown] == [look.label for look in looks]
    for entry, look in zip(shown, looks, strict=True):
        (sample,) = entry.select("svg path")
        assert {sample["fill"], sample["stroke"]} == {look.color}
        assert str(sample["d"]).endswith(MARKS[look.marker])


@pytest.mark.parametrize(
    ("spatial", "floors", "named"),
    [(True, {}, ["spatial run"]), (False, {"CLEVR6": {7: 0.3}}, [FLOOR_LINE["label"]]), (False, {}, [])],
)
def test_it_names_the_lines_that_are_no_variant_where_they_are_drawn(
    spatial: bool, floors: Floors, named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legend, "read_floors", lambda recipe: floors)
    shown = entries(render_legend(VARIANTS, spatial=spatial, recipe=recipe("clevr-6-7", "smoke")))
    assert [entry.get_text().strip() for entry in shown[len(VARIANTS) :]] == named


def test_without_variants_there_is_none() -> None:
    assert render_legend([], spatial=True) == ""


def test_the_marker_of_every_variant_has_a_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "known_names", lambda: [*NORMALIZATIONS, "added"])
    names = [*NORMALIZATIONS, *RIVALS, "added", "weighted_sum@0.25", "weighted_sum@4", EM, EM_EQUAL]
    assert {look_of(name).marker for name in names} <= set(MARKS)
