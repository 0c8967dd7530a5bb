"""Sphinx extension: replaces markup of docutils and Sphinx that screen readers do not understand."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

REPLACED_ROLES = {'role="doc-biblioentry"': 'role="listitem"'}
"""Deprecated role to its replacement: DPUB-ARIA 1.1 deprecates the role of a bibliography entry."""


SIGNATURE = re.compile(r'<dl>\n((?:<dd><em class="sig-param">.*?</em>,</dd>\n)+)</dl>')
"""Parameters of a signature of several lines, which Sphinx writes as a list of definitions without terms."""


def write_as_lines(signature: re.Match[str]) -> str:
    """Write the parameters of such a signature as plain lines."""
    lines = signature[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
    return f'<span class="sig-lines">{lines}</span>'


def replace_markup(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Replace deprecated roles and signatures of several lines in a page."""
    for old, new in REPLACED_ROLES.items():
        context["body"] = context.get("body", "").replace(old, new)
    context["body"] = SIGNATURE.sub(write_as_lines, context.get("body", ""))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", replace_markup)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
