"""Source distribution and wheel, as a user gets them: an empty environment, and nothing of the book in it."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from slotnorm.testing import NormalizationConformance
from tests.book.test_guides import files
from tests.helpers.paths import ROOT

UV = Path(sys.executable).with_name("uv")
PARTS = ("pyproject.toml", "README.md", "LICENSE", "slotnorm", "data_tools", "book", "notebooks", "tests/helpers")
LIBRARY_NEEDS = ("pandas", "torch")
ONLY_IN_A_CHECKOUT = ("slotnorm_book", "data_tools", "tests")
ONLY_IN_THE_BOOK = ("matplotlib", "jupyter_book", "papermill", "timm", "typer", "pytest")
FIND = "import importlib.util, sys; print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
SUITE = """
from test_power_mean import TestPowerMean
names = [name for name in dir(TestPowerMean) if name.startswith("test_")]
for name in names:
    getattr(TestPowerMean(), name)()
print(len(names))
"""


def ran(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, the wheel built from the source distribution, out of a copy of the checkout."""
    folder = tmp_path_factory.mktemp("package")
    ignore = shutil.ignore_patterns("*.egg-info", "__pycache__", "results", "chapters")
    for name in PARTS:
        source, target = ROOT / name, folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, ignore=ignore) if source.is_dir() else shutil.copy(source, target)
    ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "source", cwd=folder)
    return folder / "dist"


@pytest.fixture(scope="module")
def python(dist: Path) -> Path:
    """The interpreter of an environment in which the wheel was installed and nothing else."""
    if not UV.exists():
        pytest.skip("uv is not in the environment: without its cache this downloads PyTorch")
    (wheel,) = dist.glob("*.whl")
    empty = dist.parent / "empty"
    ran(UV, "venv", "--python", sys.executable, empty, cwd=dist)
    install = [UV, "pip", "install", "--python", empty / "bin" / "python", "-c", ROOT / "requirements.lock", wheel]
    try:
        ran(*install, "--offline", cwd=dist)
    except AssertionError:  # all of it was installed before, unless the cache was emptied
        ran(*install, cwd=dist)
    return empty / "bin" / "python"


@pytest.mark.slow
def test_the_wheel_has_one_package_and_the_licence(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"slotnorm"}
    assert {"slotnorm/py.typed", "slotnorm/testing/conformance.py"} <= set(names)
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]


@pytest.mark.slow
def test_the_source_distribution_has_nothing_of_the_checkout(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "slotnorm/attention.py"} <= packed
    assert not [name for name in packed if name.startswith(("tests", "book", "notebooks", "data_tools"))]


@pytest.mark.slow
def test_an_empty_environment_gets_what_the_library_needs_and_nothing_of_the_book(python: Path, dist: Path) -> None:
    names = (*LIBRARY_NEEDS, *ONLY_IN_A_CHECKOUT, *ONLY_IN_THE_BOOK)
    assert ran(python, "-c", FIND, *names, cwd=dist).split() == list(LIBRARY_NEEDS)


@pytest.mark.slow
def test_the_example_of_the_readme_runs(python: Path, dist: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    script = f"import torch\ntokens = torch.randn(2, 9, 64)\n{example}\nprint(*slots.shape, *masks.shape)"
    assert ran(python, "-c", script, cwd=dist).split() == ["2", "21", "64", "2", "21", "9"]


@pytest.mark.slow
def test_the_normalization_of_the_guide_passes_the_suite_without_pytest(python: Path, tmp_path: Path) -> None:
    for name, content in files().items():
        (tmp_path / name).write_text(content)
    demands = [name for name in vars(NormalizationConformance) if name.startswith("test_")]
    assert int(ran(python, "-c", SUITE, cwd=tmp_path)) == len(demands) > 10
