"""Sphinx extension: keeps names with a hyphen, such as MOVi-C and F-ARI, on one line, in pages and beside them."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx

NAME = re.compile(r"(\b(?:MOVi-[A-E]\d*|F-ARI|K-D)\b)")
AS_WRITTEN = (nodes.literal, nodes.literal_block, nodes.raw, nodes.math, nodes.math_block)
"""Where text is left alone: code and mathematics."""
LISTS = ("generate_toctree_html", "generate_toc_html")
"""Functions of the theme that write the contents in the sidebars."""
AFTER_THE_THEME = 900


def keep_together(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Wrap every such name in an element that does not break."""
    for text in list(doctree.findall(nodes.Text)):
        parts, parent = NAME.split(text.astext()), text.parent
        above = parent
        while above is not None and not isinstance(above, AS_WRITTEN):
            above = above.parent
        if len(parts) > 1 and above is None:
            pieces = [
                nodes.inline(part, part, classes=["unbroken"]) if i % 2 else nodes.Text(part)
                for i, part in enumerate(parts)
                if part
            ]
            parent.replace(text, pieces)


def keep_together_in_html(html: str | BeautifulSoup) -> str | BeautifulSoup:
    """Return HTML whose names of this kind are wrapped; attributes stay as they are."""
    soup = BeautifulSoup(str(html), "html.parser")
    for text in soup.find_all(string=NAME):
        marked = NAME.sub(r'<span class="unbroken">\1</span>', text.output_ready())
        text.replace_with(BeautifulSoup(marked, "html.parser"))
    return soup if isinstance(html, BeautifulSoup) else str(soup)


def keep_lists_together(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Do so in what the theme writes around a page: both sidebars, and the links to the pages before and after."""
    for name in LISTS:
        if name in context:
            context[name] = _then_keep_together(context[name])
    for neighbor in ("prev", "next"):
        if context.get(neighbor):
            title = keep_together_in_html(context[neighbor]["title"])
            context[neighbor] = {**context[neighbor], "title": title}


def _then_keep_together(write: Callable[..., Any]) -> Callable[..., Any]:
    @cache
    def written(*args: Any, **options: Any) -> Any:
        html = write(*args, **options)
        return keep_together_in_html(html) if html else html

    return written


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("doctree-resolved", keep_together)
    app.connect("html-page-context", keep_lists_together, priority=AFTER_THE_THEME)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
