"""``python -m slotnorm.chapters``: the chapters, and the parameters that papermill can give each of them.

Type and meaning of a parameter are those of :mod:`slotnorm.chapters`, its default is read from the notebook.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from slotnorm.chapters import CHAPTERS
from slotnorm.sources import CHECKOUT

NOTEBOOKS = CHECKOUT / "notebooks"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def main(
    chapters: Annotated[
        list[str] | None, typer.Argument(help="Such as 02_clevr or its path; without any, the list of all.")
    ] = None,
    notebooks: Annotated[Path, typer.Option(help="Folder of the notebooks.")] = NOTEBOOKS,
) -> None:
    """List the chapters, or the parameters of some with type, default and meaning.

    Exit status: 0, or 2 for a chapter that does not exist.
    """
    names = [Path(chapter).name.removesuffix(".ipynb") for chapter in chapters or []]
    unknown = [name for name in names if name not in CHAPTERS or not (notebooks / f"{name}.ipynb").exists()]
    if unknown:
        print(f"error: {notebooks}: no chapter {', '.join(unknown)}; there are {', '.join(CHAPTERS)}", file=sys.stderr)
        raise typer.Exit(2)
    print("\n\n".join(parameters(name, notebooks) for name in names) if names else overview())


def overview() -> str:
    """Every chapter with what it is about, one a line."""
    width = max(map(len, CHAPTERS))
    lines = [f"  {name:{width}}  {_summary(name)}" for name in CHAPTERS]
    more = "python -m slotnorm.chapters NAME lists its parameters."
    return "\n".join(["Chapters, notebooks/NAME.ipynb:", *lines, "", more])


def parameters(chapter: str, notebooks: Path = NOTEBOOKS) -> str:
    """The parameters of a chapter and how to set one.

    Args:
        chapter: a name in :data:`slotnorm.chapters.CHAPTERS`.
        notebooks: folder of the notebooks, whose cell ``parameters`` holds the defaults.
    """
    import papermill

    defaults = papermill.inspect_notebook(str(notebooks / f"{chapter}.ipynb"))
    rows = CHAPTERS[chapter].rows()
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{chapter}: {_summary(chapter)}", ""]
    for name, kind, meaning in rows:
        lines += [f"  {name:{width}}  {meaning}", f"  {'':{width}}  {kind}; default {defaults[name]['default']}"]
    return "\n".join([*lines, "", f"papermill notebooks/{chapter}.ipynb out.ipynb -p NAME VALUE"])


def _summary(chapter: str) -> str:
    return str(CHAPTERS[chapter].__doc__).splitlines()[0]
