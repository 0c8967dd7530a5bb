from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from slotnorm_book import chapters, checkout
from slotnorm_book import execute as module
from slotnorm_book.chapters import CHAPTERS
from tests.book.executed import places

PARAMETERS = """\
seed = 0
device = "cpu"
points = 64
components = 2
temperature = 0.05
trials = 2
slot_dim = 6
scenes = 50
fit_components = [3]
mixtures = 1
"""
CHECK = "from slotnorm_book.chapters import VmfEm\n\np = VmfEm.from_notebook(globals())\npoints = p.points"


def notebook(*cells: str) -> nbformat.NotebookNode:
    """A chapter: the parameters of chapter 1, then ``cells``."""
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
    """slotnorm_book.execute on a project that holds one tiny chapter, 01_vmf_em."""
    for name, place in places(tmp_path).items():
        monkeypatch.setattr(module, name, place)
    monkeypatch.setattr(chapters, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(checkout, "SHOWN", tmp_path / "parameters.json")
    monkeypatch.setattr(chapters, "CHAPTERS", {"01_vmf_em": CHAPTERS["01_vmf_em"]})
    (tmp_path / "parameters.json").write_text("{}")
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook("print('points', points)\nprint('ok')"), tmp_path / "notebooks" / "01_vmf_em.ipynb")
    return module
