"""Sphinx extension: shows a figure of a chapter on another page.

``{chapter-figure} 02_clevr fig-clevr-growth`` shows what ``show`` has stored in the executed notebook under this name.
Its text is the caption; the options are ``alt``, which has to be there, and ``figclass``.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = Path("book", "chapters")


def find_picture(notebook: Path, name: str) -> str | None:
    """Return the base64 text of a PNG that a notebook has stored under a name, or ``None``."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    for output in (output for cell in cells for output in cell.get("outputs", ())):
        if output.get("metadata", {}).get("scrapbook", {}).get("name") == name and "image/png" in output["data"]:
            return "".join(output["data"]["image/png"]).replace("\n", "")
    return None


class ChapterFigure(SphinxDirective):
    """Places a figure of a chapter."""

    required_arguments = 2
    option_spec: dict[str, Any] = {"alt": directives.unchanged_required, "figclass": directives.class_option}  # noqa: RUF012
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the figure.

        Raises:
            docutils.parsers.rst.DirectiveError: there is no such chapter or figure, or no alternative text.
        """
        chapter, name = self.arguments
        path = Path(self.env.srcdir) / FOLDER / f"{chapter}.ipynb"
        self.env.note_dependency(str(path))
        picture = find_picture(path, name) if path.exists() else None
        if picture is None:
            raise self.error(f"{path} has no figure {name}; execute the chapter first")
        if "alt" not in self.options:
            raise self.error(f"{name}: say in :alt: what the figure shows")
        image = nodes.image(uri=f"data:image/png;base64,{picture}", alt=self.options["alt"])
        figure = nodes.figure("", image, classes=self.options.get("figclass", []))
        caption = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, caption)
        if caption.children:
            figure += nodes.caption("", "", *caption.children[0].children)
        return [figure]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("chapter-figure", ChapterFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
