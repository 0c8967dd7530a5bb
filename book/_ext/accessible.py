"""Sphinx extension: markup that screen readers understand where docutils writes roles that have been given up."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

GIVEN_UP = {'role="doc-biblioentry"': 'role="listitem"'}
"""DPUB-ARIA 1.1 deprecates the role of an entry in favor of that of a list's item."""


def replace_roles(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Put today's roles into a page."""
    for old, new in GIVEN_UP.items():
        context["body"] = context.get("body", "").replace(old, new)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", replace_roles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
