"""HTML from templates, and text from records made safe for Markdown. Nothing else in the package writes HTML."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}


def render_html(template: str, **values: Any) -> str:
    """Fill a template; everything that is put into it is escaped.

    Elements that follow each other are separated by one space, whatever is between them in the template. Without it the
    book's search would run their words together.

    Args:
        template: path of a file ``*.html.j2`` below this package, such as ``"figures/explorer.html.j2"``.
        values: the template's variables. Inside a script, ``{{ name | tojson }}`` writes one as JSON.

    Returns:
        HTML in one line, if the template breaks lines only between elements.

    Raises:
        jinja2.UndefinedError: a variable of the template has no value.
    """
    return re.sub(r">\s*<", "> <", _TEMPLATES.get_template(template).render(values)).strip()


def escape_markdown(text: str) -> str:
    r"""Escape a text so that it reads the same inside Markdown, as in a cell of a table.

    Line breaks become spaces. Nothing in it is markup or a role; an address may still become a link to itself.

    Args:
        text: such as the name of a device from a record.

    Example:
        >>> print(escape_markdown("a | <b> `c` $d$ [e]"))
        a \| \<b\> \`c\` \$d\$ \[e\]
    """
    return re.sub(r"([\\`*_\[\]{}<>$|&~])", r"\\\1", " ".join(text.split()))


class MarkdownTable(pd.DataFrame):  # type: ignore[misc]
    """A table whose column names and text cells are Markdown; whoever makes it escapes what is not its own text.

    Text in every other table is shown as it is, see :func:`slotnorm_book.notebook.show_table`.
    """
