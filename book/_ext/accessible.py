"""Sphinx extension: markup that screen readers understand where docutils and Sphinx write other."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

GIVEN_UP = {'role="doc-biblioentry"': 'role="listitem"'}
"""DPUB-ARIA 1.1 deprecates the role of an entry in favor of that of a list's item."""


SIGNATURE = re.compile(r'<dl>\n((?:<dd><em class="sig-param">.*?</em>,</dd>\n)+)</dl>')
"""The parameters of a signature of several lines: a list of definitions, but with nothing that they would define."""


def as_lines(signature: re.Match[str]) -> str:
    """The same as plain lines."""
    lines = signature[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
    return f'<span class="sig-lines">{lines}</span>'


def mend(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Put today's roles and plain signatures into a page."""
    for old, new in GIVEN_UP.items():
        context["body"] = context.get("body", "").replace(old, new)
    context["body"] = SIGNATURE.sub(as_lines, context.get("body", ""))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
