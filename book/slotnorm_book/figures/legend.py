"""The legend of a page, as HTML: the figures that follow it show variants and have no legend of them themselves."""

from __future__ import annotations

from collections.abc import Iterable

from slotnorm_book.analyses.blind_floors import read_floors
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.figures.style import MARKS, look_of, sort_variants
from slotnorm_book.markup import render_html


def render_legend(variants: Iterable[str], *, spatial: bool = False, recipe: Recipe | None = None) -> str:
    """Return a legend of variants as HTML; in the book it stays in sight while one scrolls.

    Args:
        variants: names of those that the page's figures draw, in any order and any number of times; if there are none,
            there is no legend.
        spatial: whether figures draw dotted lines of spatial runs.
        recipe: of figures that draw its test sets' blind floors, where ``book/floors.json`` has them.
    """
    looks = [look_of(name) for name in sort_variants(variants)]
    if not looks:
        return ""
    floor = recipe is not None and bool(read_floors(recipe))
    return render_html("figures/legend.html.j2", looks=looks, marks=MARKS, spatial=spatial, floor=floor)
