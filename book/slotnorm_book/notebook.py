"""Functions that every notebook uses: a seeded setup, figures and tables for the page, and the facts of its run."""

import os
import platform
import random
import warnings
from base64 import b64encode
from importlib.metadata import version
from io import BytesIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, display
from matplotlib.figure import Figure
from myst_nb import glue

from slotnorm_book.chapters import ChapterParameters
from slotnorm_book.experiments.provenance import device_name, git_commit
from slotnorm_book.markup import MarkdownTable, escape_markdown, render_html
from slotnorm_book.process_memory import keep_freed_memory

_PACKAGES = ("slotnorm", "torch", "numpy", "scipy", "matplotlib")
_STYLE = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "font.size": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "legend.frameon": False,
}
_DOTS_PER_CSS_PIXEL = 2


def setup(seed: int) -> None:
    """Seed every generator, use one thread, deterministic kernels and kept memory, and set the figures' style.

    Progress bars are shown unless ``TQDM_DISABLE`` is set. ``make`` and the tests set it, since the committed outputs
    have no bars.

    Args:
        seed: seed of ``random``, NumPy's and torch's global generators.
    """
    warnings.filterwarnings(
        "ignore", message="IProgress not found"
    )  # tqdm.auto without ipywidgets; quotes a local path
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries may draw from the global state
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    keep_freed_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    mpl.rcParams.update(_STYLE)


def show(name: str, fig: Figure) -> None:
    """Show a figure in the notebook, and store it under ``name`` for the ``{glue:figure}`` directive of the page.

    Args:
        name: glue key, unique in the notebook; by convention equal to the figure's label, ``fig-…``.
        fig: the figure; it is closed so that the notebook does not show it twice.
    """
    buffer = BytesIO()
    fig.savefig(buffer, format="png", dpi=fig.dpi * _DOTS_PER_CSS_PIXEL, metadata={"Software": None})
    plt.close(fig)
    width = round(fig.get_figwidth() * fig.dpi)
    bundle = {"image/png": b64encode(buffer.getvalue()).decode(), "text/plain": f"Figure {name}"}
    metadata = {"image/png": {"width": width}, "scrapbook": {"name": name, "mime_prefix": ""}}
    display(bundle, raw=True, metadata=metadata)  # type: ignore[no-untyped-call]


def show_table(name: str, frame: pd.DataFrame, floats: str = ".3f") -> None:
    """Show a table in the notebook, and store it under ``name`` for the ``{table}`` directive of the page.

    Args:
        name: glue key, unique in the notebook; by convention equal to the table's label, ``tab-…``.
        frame: the table; its index is not shown. In a :class:`slotnorm_book.markup.MarkdownTable`, column names and
            cells may contain Markdown and ``$math$``; the text of any other table is escaped.
        floats: format of floating-point numbers.
    """
    formats = [floats if kind == "f" else "g" for kind in (dtype.kind for dtype in frame.dtypes)]
    if not isinstance(frame, MarkdownTable):
        frame = frame.map(_escape_cell).rename(columns=_escape_cell)
    bundle = {"text/markdown": frame.to_markdown(index=False, floatfmt=formats)}
    display(bundle, raw=True, metadata={"scrapbook": {"name": name, "mime_prefix": ""}})  # type: ignore[no-untyped-call]


def _escape_cell(cell: object) -> object:
    return escape_markdown(cell) if isinstance(cell, str) else cell


def glue_values(prefix: str, /, **values: object) -> None:
    """Keep values for the text of the page, without showing them here.

    Args:
        prefix: what the glue keys begin with, by convention the chapter's topic.
        **values: value by the rest of its key, with underscores for hyphens: ``glue_values("clevr", train_slots=7)``
            keeps 7 as ``clevr-train-slots``.
    """
    for name, value in values.items():
        glue(f"{prefix}-{name.replace('_', '-')}", value, display=False)


def below(value: float | None, limit: float) -> str:
    """Check that a rounding error is small, and describe it for the text: its digits differ between processors.

    Args:
        value: the error, at least 0; ``None`` where nothing was run.
        limit: what it has to stay below on every processor.

    Returns:
        Such as ``"below 0.01"``, or ``"(not run)"``.

    Raises:
        AssertionError: the error reaches the limit, is negative, or is not a number.
    """
    if value is None:
        return "(not run)"
    assert 0 <= value < limit, f"{value} is not from 0 to below {limit}"
    return f"below {np.format_float_positional(limit, trim='-')}"


def math_number(value: float, digits: int = 2) -> str:
    """Format a number in Markdown, as a power of ten where ``g`` would print an exponent.

    Args:
        value: the number.
        digits: number of significant digits.
    """
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    if not exponent:
        return mantissa
    factor = "" if mantissa == "1" else rf"{mantissa} \cdot "
    return f"${factor}10^{{{int(exponent)}}}$"


def run_info(parameters: ChapterParameters) -> HTML:
    """Show the parameters, versions, device and commit of this run, in a box that opens on a click.

    Args:
        parameters: the chapter's checked parameters.
    """
    fields = type(parameters).model_fields
    rows = [(name, repr(value), str(fields[name].description)) for name, value in parameters]
    rows += [(name, version(name), "version") for name in _PACKAGES]
    rows += [
        ("Python", platform.python_version(), "version"),
        ("device", device_name(parameters.torch_device), "where this ran"),
        ("commit", os.environ.get("SLOTNORM_COMMIT") or git_commit(), "of the code"),
    ]
    return HTML(render_html("run_info.html.j2", rows=rows))  # type: ignore[no-untyped-call]
