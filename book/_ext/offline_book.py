"""Sphinx extension: makes a book that needs no network, neither when it is built nor when it is read.

By default the pages fetch MathJax from a content delivery network, and Thebe's script is declared twice, which is a
JavaScript error on every page. Here MathJax comes from an installed package, and Thebe is removed.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

MATHJAX = "mathjax/tex-svg.js"


def mathjax_file() -> Path:
    """Return the path of MathJax 3 for TeX input and SVG output: one file that needs no fonts.

    Raises:
        ExtensionError: the package that ships it is not installed.
    """
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ExtensionError("MathJax is missing: install sphinx-mathjax-offline")
    return Path(spec.origin).parent / "static" / MATHJAX


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Copy MathJax to the static files of the pages."""
    if error is None and app.builder.format == "html":
        target = Path(app.outdir, "_static", MATHJAX)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(mathjax_file(), target)


def clean_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Remove Thebe's scripts and repeated declarations of the same script."""
    kept = {}
    for script in context["script_files"]:
        body = getattr(script, "attributes", {}).get("body") or ""
        name = str(getattr(script, "filename", script) or "")
        if "THEBE_JS_URL" not in body and "sphinx-thebe" not in name:
            kept.setdefault((name, body), script)
    context["script_files"] = list(kept.values())


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.config.mathjax_path = MATHJAX
    app.connect("build-finished", copy_mathjax)
    app.connect("html-page-context", clean_scripts, priority=990)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
