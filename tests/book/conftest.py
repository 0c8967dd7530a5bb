import importlib.util
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.book.chapter import ROOT

PARAMETERS = """\
seed = 0
device = "cpu"
data = "pyproject.toml"
scenes = 4
variants = ["weighted_mean"]
image_size = 16
width = 8
encoder_layers = 1
max_objects = 6
train_slots = 7
steps = 2
batch_size = 2
learning_rate = 4e-4
warmup = 1
slots = [5, 7]
iterations_eval = 5
"""
CHECK = "from slotnorm.chapters import Clevr\n\np = Clevr.from_notebook(globals())\nsteps, slots = p.steps, p.slots"


def notebook(*cells: str) -> nbformat.NotebookNode:
    """A chapter: the parameters of chapter 2, then ``cells``."""
    return new_notebook(
        cells=[
            new_markdown_cell("# A chapter"),
            new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            *map(new_code_cell, cells),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """book/execute.py on a project that holds one tiny chapter, 02_clevr."""
    spec = importlib.util.spec_from_file_location("execute", ROOT / "book" / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folders = {"ROOT": "", "SOURCES": "notebooks", "PAGES": "book/chapters", "FAILED": "_build/failed"}
    for name, folder in folders.items():
        monkeypatch.setattr(module, name, tmp_path / folder)
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook("print('steps', steps)\nprint('ok')"), tmp_path / "notebooks" / "02_clevr.ipynb")
    return module
