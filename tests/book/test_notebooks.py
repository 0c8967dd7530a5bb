"""What nbval and the book's builder let through silently; the rules are in CONTRIBUTING.md."""

import ast
import re
from pathlib import Path

import pytest

from slotnorm_book.chapters import CHAPTERS
from tests.book.chapter import NOTEBOOKS, calls, code_cells, glued, markdown, read, tags

FIGURE = re.compile(r"```\{glue:figure\} (\S+)\n((?::\w+: [^\n]*\n)*)\n(.+?)\n```", re.DOTALL)
TABLE = re.compile(
    r":::\{table\} (\S.*)\n:name: (\S+)\n(?::class: [\w ]+\n)?\n```\{glue:md\} (\S+)\n:format: myst\n```\n:::"
)
UNSTABLE = re.compile(r"0x[0-9a-f]{6,}|/site-packages/|/home/|/tmp/|/root/|\d+(\.\d+)? ?(s|ms|it/s)\b")
OF_VARIANTS = re.compile(r"\b(score_curves|slot_use|beyond)\.draw_|\bdraw_(relative_times|changes)\(")
"""Calls of figures in which variants have colors and markers."""
SIZE_LIMIT = 4_000_000

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def literals(path: Path) -> dict[str, object]:
    """What the parameters cell assigns."""
    values: dict[str, object] = {}
    for node in ast.parse(code_cells(path)[0].source).body:
        assert isinstance(node, ast.Assign | ast.AnnAssign), f"{ast.unparse(node)} is no assignment"
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        assert node.value is not None
        values[ast.unparse(target)] = ast.literal_eval(node.value)
    return values


def figures(path: Path) -> list[tuple[str, dict[str, str], str]]:
    """Key, options and caption of every figure directive."""
    return [
        (key, dict(re.findall(r":(\w+): (.*)\n", options)), caption)
        for key, options, caption in FIGURE.findall(markdown(path))
    ]


def test_names_the_kernel_that_papermill_asks_for(path: Path) -> None:
    assert read(path).metadata.kernelspec.name == "python3"


def test_parameters_come_first_and_are_the_class_s_fields(path: Path) -> None:
    first = code_cells(path)[0]
    assert "parameters" in tags(first)
    assert not first.source.startswith("# Parameters")
    assert list(literals(path)) == list(CHAPTERS[path.stem].model_fields)


def test_defaults_are_valid(path: Path) -> None:
    values = literals(path)
    parsed = CHAPTERS[path.stem].parse(values)
    assert {name: list(v) if isinstance(v, tuple) else v for name, v in parsed} == values


def test_parameters_are_checked_before_anything_else(path: Path) -> None:
    second = code_cells(path)[1].source
    assert f"p = {CHAPTERS[path.stem].__name__}.from_notebook(globals())\nsetup(p.seed)" in second


def test_shows_the_run_at_a_click(path: Path) -> None:
    third = code_cells(path)[2]
    assert third.source == "run_info(p)"
    assert {"remove-input", "nbval-ignore-output"} <= set(tags(third))


def test_later_cells_read_checked_parameters(path: Path) -> None:
    raw = {
        node.id
        for cell in code_cells(path)[2:]
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assigned = {
        node.id
        for cell in code_cells(path)[1:]
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert not (raw - assigned) & set(CHAPTERS[path.stem].model_fields), "write p.NAME"


def test_was_run_from_top_to_bottom(path: Path) -> None:
    cells = [cell for cell in code_cells(path) if cell.source.strip()]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run `make reference`"


def test_outputs_can_be_compared(path: Path) -> None:
    for number, cell in enumerate(code_cells(path), 1):
        for output in cell.outputs:
            assert output.output_type != "error", f"In [{number}] failed"
            assert output.get("name") != "stderr", f"In [{number}] writes to stderr"
            assert not any("widget" in kind or "plotly" in kind for kind in output.get("data", {})), f"In [{number}]"
            text = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
            unstable = UNSTABLE.search(text)
            assert "nbval-ignore-output" in tags(cell) or not unstable, f"In [{number}] prints {unstable}"


def test_is_small_enough_to_commit(path: Path) -> None:
    assert path.stat().st_size < SIZE_LIMIT


def test_is_thin(path: Path) -> None:
    for number, cell in enumerate(code_cells(path)[1:], 2):
        assert len(cell.source.splitlines()) <= 15, f"In [{number}] is longer than 15 lines"
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.ClassDef), f"In [{number}] defines a class"
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 5, f"In [{number}]: {node.name} is longer than 5 lines"


def test_one_legend_stands_before_the_figures_of_variants(path: Path) -> None:
    sources = [cell.source for cell in code_cells(path)[2:]]
    showing = [place for place, source in enumerate(sources) if OF_VARIANTS.search(source)]
    legends = [place for place, source in enumerate(sources) if "render_legend(" in source]
    assert len(legends) == bool(showing)
    assert legends <= showing[:1]


def test_every_figure_is_placed_described_and_captioned(path: Path) -> None:
    shown, placed = calls(path, "show"), figures(path)
    assert shown == [key for key, _, _ in placed]
    assert shown, "a chapter has a figure"
    for key, options, caption in placed:
        assert key.startswith("fig-")
        assert options["name"] == key
        assert len(options["alt"]) > 40, f"{key}: the alt text describes the figure"
        assert "{glue" not in options["alt"], f"{key}: no role works in alt text"
        assert options.get("figclass", "plot") in {"plot", "wide", "plot wide", "plot wide full-width"}
        assert len(caption) > 40, f"{key}: the caption says what is drawn and on which data"


def test_every_table_is_placed_and_captioned(path: Path) -> None:
    placed = TABLE.findall(markdown(path))
    assert calls(path, "show_table") == [key for _, _, key in placed]
    for caption, name, key in placed:
        assert key.startswith("tab-")
        assert name == key
        assert len(caption) > 20


def test_figures_and_tables_are_drawn_once_in_the_book(path: Path) -> None:
    for cell in code_cells(path):
        if re.search(r"^show(_table)?\(", cell.source, re.MULTILINE):
            assert {"remove-output", "remove-cell"} & set(tags(cell)), cell.source


def test_every_glued_number_exists(path: Path) -> None:
    used = set(re.findall(r"\{glue:text\}`([^`:]+)`", markdown(path)))
    keys = glued(path)
    assert used <= set(keys)
    assert len(keys) == len(set(keys))
