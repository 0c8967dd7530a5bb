"""Sphinx extension: adds links to every chapter, to download its notebook, its parameters and the records of its runs.

``slotnorm-book execute`` writes the executed notebook, which holds its parameters, to ``book/chapters``. The parameters
are offered as YAML, for ``papermill -f``. The records are those of ``book/results`` without the trained weights, in one
archive for all chapters that show runs.
"""

import json
import shutil
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import yaml
from docutils import nodes
from sphinx.application import Sphinx

CHAPTERS = "book/chapters/"
FOLDER = "_downloads/chapters"
RECORDS = f"{FOLDER}/records.zip"
KEPT = ("record.json", "*.parquet")
LINE = """<nav class="page-files" aria-label="Downloads">
<p>What this page was made from: {links}. <a href="{cite}">Cite this</a>.</p>
</nav>"""


@cache
def pack_records(source: Path) -> bytes:
    """Pack the committed runs without their weights into an archive; the same records give the same bytes."""
    book = source / "book"
    archive = BytesIO()
    with ZipFile(archive, "w") as file:
        for path in sorted(path for kind in KEPT for path in (book / "results").glob(f"*/{kind}")):
            without_time = ZipInfo(str(path.relative_to(book)))
            without_time.external_attr = 0o644 << 16
            file.writestr(without_time, path.read_bytes(), ZIP_DEFLATED)
    return archive.getvalue()


def read_parameters(notebook: Path) -> dict[str, Any]:
    """Return the parameters that a page was executed with."""
    parameters: dict[str, Any] = json.loads(notebook.read_text(encoding="utf-8"))["metadata"]["papermill"]["parameters"]
    return parameters


def add_links(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Add the links at the end of a chapter."""
    if not page.startswith(CHAPTERS) or doctree is None:
        return
    name = page.removeprefix(CHAPTERS)
    files = {"notebook": f"{FOLDER}/{name}.ipynb", "parameters": f"{FOLDER}/{name}.yaml"}
    if read_parameters(Path(app.srcdir) / f"{page}.ipynb").get("store"):
        files[f"records of all runs, {len(pack_records(Path(app.srcdir))) / 1e6:.0f} MB"] = RECORDS
    links = [f'<a href="{context["pathto"](target, 1)}" download>{text}</a>' for text, target in files.items()]
    context["body"] += LINE.format(links=" · ".join(links), cite=context["pathto"]("book/cite"))


def copy_files(app: Sphinx, error: Exception | None) -> None:
    """Copy the files to where the links point."""
    if error is not None or app.builder.format != "html":
        return
    source, target = Path(app.srcdir), Path(app.outdir, FOLDER)
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted((source / CHAPTERS).glob("*.ipynb")):
        shutil.copyfile(path, target / path.name)
        text = yaml.safe_dump(read_parameters(path))
        (target / f"{path.stem}.yaml").write_text(text, encoding="utf-8")
    Path(app.outdir, RECORDS).write_bytes(pack_records(source))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", add_links)
    app.connect("build-finished", copy_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
