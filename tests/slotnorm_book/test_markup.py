"""HTML from templates and text in Markdown: what comes from outside is never markup."""

import pytest
from jinja2 import UndefinedError
from markdown_it import MarkdownIt

from slotnorm_book.markup import escape_markdown, render_html

HOSTILE = [
    "<script>alert(1)</script>",
    "a | b",
    "`code`",
    "$x$",
    "[a](b)",
    "*a* _b_ ~~c~~",
    "&lt;",
    "a\\|b\\",
    "a\n\n# b",
    "{glue:text}`a` {{ b }}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_reads_the_same_in_a_cell(text):
    table = f"| head |\n|---|\n| {escape_markdown(text)} |\n"
    tokens = MarkdownIt().enable(["table", "strikethrough"]).parse(table)
    (cell,) = (tokens[i + 1] for i, token in enumerate(tokens) if token.type == "td_open")
    assert {token.type for token in cell.children} <= {"text", "text_special"}
    assert "".join(token.content for token in cell.children) == " ".join(text.split())


def test_a_dollar_sign_is_escaped():
    assert escape_markdown("$x$") == r"\$x\$"


def test_a_template_without_its_variables_is_refused():
    with pytest.raises(UndefinedError, match="'sources' is undefined"):
        render_html("figures/explorer.html.j2", sets=[{"id": "a", "label": "A"}])
