"""The wheel holds all that `import slotnorm` needs."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.book.chapter import ROOT

PARTS = ("pyproject.toml", "README.md", "LICENSE", "slotnorm", "data_tools")
SCRIPT = """
import slotnorm, data_tools, torch
from slotnorm.models import ConvAutoencoder
slots, attention = slotnorm.SlotAttention(8, 8, 3, normalization="weighted_sum")(torch.randn(2, 5, 8))
print(slotnorm.__file__, data_tools.__file__, *attention.shape, sep="|")
"""


@pytest.mark.slow
def test_the_wheel_imports_outside_the_checkout(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert "slotnorm/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"slotnorm", "data_tools"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(site)}, check=False
    )
    assert done.returncode == 0, done.stderr
    *files, batch, slots, inputs = done.stdout.strip().split("|")
    assert all(Path(file).is_relative_to(site) for file in files)
    assert (batch, slots, inputs) == ("2", "3", "5")
