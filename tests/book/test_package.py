"""Source distribution and wheel, as a user gets them: an empty environment, and nothing of the book in it."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

UV = Path(sys.executable).with_name("uv")
PARTS = ("pyproject.toml", "README.md", "LICENSE", "slotnorm", "data_tools")
ONLY_IN_THE_BOOK = ("pandas", "matplotlib", "jupyter_book", "papermill", "timm")
SCRIPT = """
import importlib.util, sys, torch
import slotnorm, slotnorm.metrics, slotnorm.models, slotnorm_book.theory.vmf
slots, attention = slotnorm.SlotAttention(8, 8, 3, normalization="weighted_sum")(torch.randn(2, 5, 8))
print(slotnorm.__version__, *attention.shape, sep="|")
print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])
slotnorm.load_pretrained("clevr-6-7", "weighted_sum")
"""


def ran(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, the wheel built from the source distribution."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    source.mkdir()
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    done = ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


@pytest.mark.slow
def test_the_distributions_hold_the_two_packages_and_the_licence(dist: Path) -> None:
    (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"slotnorm", "data_tools"}
    assert {"slotnorm/py.typed", "data_tools/py.typed", "data_tools/standin_vit.safetensors"} <= set(names)
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    with tarfile.open(source) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "slotnorm/attention.py"} <= packed
    assert not [name for name in packed if name.startswith(("tests", "book", "notebooks"))]


@pytest.mark.slow
@pytest.mark.skipif(not UV.exists(), reason="uv is not in the environment: without its cache this downloads PyTorch")
def test_the_core_runs_in_an_empty_environment(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    empty = dist.parent / "empty"
    made = ran(UV, "venv", "--python", sys.executable, empty, cwd=dist)
    assert made.returncode == 0, made.stderr
    install = [UV, "pip", "install", "--python", empty / "bin" / "python", "-c", ROOT / "requirements.lock", wheel]
    done = ran(*install, "--offline", cwd=dist)  # all of it was installed before; online where the cache was emptied
    done = ran(*install, cwd=dist) if done.returncode else done
    assert done.returncode == 0, done.stderr
    done = ran(empty / "bin" / "python", "-c", SCRIPT, *ONLY_IN_THE_BOOK, cwd=dist)
    shape, found = done.stdout.splitlines()
    assert shape.split("|")[1:] == ["2", "3", "5"]
    assert found == ""
    assert "slotnorm[train] brings it" in done.stderr.splitlines()[-1]
