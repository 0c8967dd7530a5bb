"""Sphinx extension: keeps names with a hyphen, such as MOVi-C and F-ARI, on one line."""

import re

from docutils import nodes
from sphinx.application import Sphinx

NAME = re.compile(r"(\b(?:MOVi-[A-E]\d*|F-ARI|K-D)\b)")
AS_WRITTEN = (nodes.literal, nodes.literal_block, nodes.raw, nodes.title, nodes.math, nodes.math_block)
"""Where text is left alone: code and mathematics, and titles, whose text is also that of links."""


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


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("doctree-resolved", keep_together)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
