"""Sphinx extension: puts the legend of a page before the section in which its cell stands.

There it belongs to the whole page, so that ``book.css`` can keep it in sight in all sections that follow. The cell has
the tag ``page-legend``.
"""

from docutils import nodes
from sphinx.application import Sphinx

CLASS = "tag_page-legend"


def lift_legend(app: Sphinx, doctree: nodes.document) -> None:
    """Move the cell of the legend, if there is one, before its section."""
    for cell in [node for node in doctree.findall(nodes.container) if CLASS in node["classes"]]:
        section = cell.parent
        section.remove(cell)
        section.parent.insert(section.parent.index(section), cell)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("doctree-read", lift_legend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
