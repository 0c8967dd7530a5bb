"""Every command of the page on a run at the paper's scale is run: small, on a CPU, with files in the data's formats.

A command that this file does not know, or in a section that it does not know, fails.
"""

import inspect
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_tools import __main__ as data_tools
from slotnorm.data.splits import open_split
from slotnorm.training.loop import Interrupted
from slotnorm.training.spec import Schedule
from slotnorm_book import checkout
from slotnorm_book.analyses import blind_floors
from slotnorm_book.claims import committed_verdicts
from slotnorm_book.experiments.data_sources import PARTS, Source
from slotnorm_book.experiments.engine import Execution, list_jobs, load_or_train
from slotnorm_book.experiments.launch.stop import EXIT_RESUMABLE
from slotnorm_book.experiments.probe import Probe
from slotnorm_book.experiments.recipes import EXPERIMENTS, recipe
from slotnorm_book.experiments.run_store import RunStore
from slotnorm_book.experiments.sweep_plan import LAST_STEPS
from tests.data_tools.features import vit
from tests.helpers.command import command
from tests.helpers.paths import FIXTURES, ROOT

TEXT = (ROOT / "book" / "paper_scale.md").read_text()
BIN = Path(sys.executable).parent
RUNS = recipe("clevr-6-7", "smoke").runs()
SECTIONS = {
    heading: re.findall(r"^    (\S.*)$", body.replace("\\\n", ""), re.MULTILINE)
    for heading, body in re.findall(r"^## (.*)$([\s\S]*?)(?=^## |\Z)", TEXT, re.MULTILINE)
}
"""Commands of each section of the page."""
ELSEWHERE = ("make install", "export PATH=$PWD/.venv/bin:$PATH", "make book")
"""Commands that other tests are about: the environment that all of them run in, and the pages of the book."""
SMALLER = {
    "--scale paper": "--scale smoke",
    "-p scale paper": "-p scale smoke",
    "--device cuda": "--device cpu",
    "256x256": "128x128",
    "--nproc-per-node 8": "--nproc-per-node 2",
    "seq 0 7 | xargs -P 8": "seq 0 1 | xargs -P 2",
    "--time-budget 3000": "--time-budget 0",
}
"""What stands on the page, and what is run in its place."""
DATA_SIZES = {"clevr": "--size 32 --counts 4 1 3", "movi": "--size 32", "features": "", "verify": ""}


class Workspace:
    """The folder in which the page's commands are run, as if it were the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.status = folder, 0
        (folder / "data").mkdir()
        shutil.copy(FIXTURES / "clevr_with_masks_train.tfrecords", folder / "data")
        self.weights = vit.saved(folder / "vit.safetensors")

    def run(self, line: str, store: str = "runs") -> str:
        """Run a command of the page, in another store if one is given, and return what it printed."""
        for old, new in SMALLER.items():
            line = line.replace(old, new)
        line = line.replace("--store runs", f"--store {store}")
        match shlex.split(line):
            case ["mkdir", "-p", *folders]:
                for folder in folders:
                    Path(folder).mkdir(parents=True, exist_ok=True)
            case ["gsutil", "-m", "cp", "-r", source, target]:
                there = FIXTURES / source.removeprefix("gs://kubric-public/")
                assert Path(target).is_dir(), "gsutil copies several files into a folder only if it is there"
                shutil.copytree(there, Path(target) / there.name)
            case ["gsutil", "-m", "cp", *patterns, target]:
                for pattern in patterns:
                    there = list(FIXTURES.glob(pattern.removeprefix("gs://kubric-public/")))
                    assert there, f"gsutil finds nothing that matches {pattern}"
                    for file in there:
                        assert file.is_file(), "gsutil copies a folder only with -r"
                        shutil.copy(file, Path(target) / file.name)
            case ["python", "-m", "data_tools", name, *_]:
                return self.prepare(name, line)
            case ["slotnorm-book", *arguments] if "ray" not in arguments:
                return self.call(*arguments)
            case ["slotnorm-book" | "torchrun" | "seq" | "papermill" | "python", *_]:
                return self.start(line.replace("notebooks/", f"{ROOT}/notebooks/"))
            case _:
                pytest.fail(f"the page has a command that no test knows: {line}")
        return ""

    def prepare(self, name: str, line: str) -> str:
        """Run a command of ``data_tools`` with small sizes, and with files that are here in place of downloads."""
        line = f"{line} {DATA_SIZES[name]}"
        here = f"--backbone {vit.NAME} --weights {self.weights}" if name == "features" else ""
        words = shlex.split(line.replace("--download", here))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
            patch.setattr(sys, "argv", words[2:])
            with pytest.raises(SystemExit) as ended:
                data_tools.main()
        assert not ended.value.code
        return printed.getvalue()

    def call(self, *arguments: str) -> str:
        """Run ``slotnorm-book`` in this process."""
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
            self.status = command(patch, *arguments)
        return printed.getvalue()

    def start(self, line: str) -> str:
        """Run a command in a shell that finds the programs of this environment."""
        path = os.pathsep.join([str(BIN), os.environ["PATH"]])
        quiet = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "MPLBACKEND": "Agg", "PATH": path}
        env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | quiet
        shell = ["bash", "-c", line]
        done = subprocess.run(shell, cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=280)
        self.status = done.returncode
        assert done.returncode in (0, 123), done.stderr  # 123: of xargs, where one process ended with another status
        return done.stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("checkout")
        patch.chdir(folder)
        patch.setenv("SLOTNORM_CACHE", str(folder / "cache"))
        yield Workspace(folder)


@pytest.fixture(scope="module")
def prepared(workspace: Workspace) -> list[str]:
    """What the commands printed that prepare the data."""
    return [workspace.run(line) for line in SECTIONS["Prepare the data"]]


@pytest.fixture(scope="module")
def trained(workspace: Workspace) -> list[str]:
    """What the commands for one GPU printed."""
    return [workspace.run(line) for line in SECTIONS["On one GPU"]]


def assert_same(store: str, exact: bool = True) -> None:
    """Compare the runs of a store with those of the commands for one GPU, to the bit or but for rounding.

    Several processes add gradients in another order. Slot Attention amplifies that, so their first steps are compared.
    """
    for spec in RUNS:
        got, expected = (RunStore(each).get(spec).curve for each in (store, "runs"))
        if exact:
            pd.testing.assert_frame_equal(got, expected, check_exact=True)
        else:
            assert got["loss"][:5].tolist() == pytest.approx(expected["loss"][:5].tolist(), rel=1e-4)


def test_the_page_has_no_other_commands() -> None:
    tested = {"What it takes", "Install", "Prepare the data", "On one GPU", "On eight GPUs", "After an hour"}
    tested |= {"Stop and resume", "Draw the chapter", "Add the records to the book"}
    assert set(SECTIONS) == tested
    assert SECTIONS["What it takes"] == []
    lines = re.findall(r"^    \S", TEXT.replace("\\\n", ""), re.MULTILINE)
    assert len(lines) == sum(map(len, SECTIONS.values()))
    with pytest.raises(pytest.fail.Exception, match="that no test knows: rm data"):
        Workspace.run(Workspace.__new__(Workspace), "rm data")


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    steps, batch = Schedule().warmup, recipe("clevr-6-7", "paper").batch_size
    assert f"grows until step {steps:,}" in TEXT
    assert f"mean loss of the last {LAST_STEPS} steps" in TEXT
    assert f"first {inspect.signature(Probe).parameters['scenes'].default} training scenes" in TEXT
    assert batch == 64
    assert "keep a GPU less busy than 64" in TEXT
    assert Execution().checkpoint_seconds == 60
    named = set(re.findall(r"`((?:clevr|movi-[cd])-\d+-\d+|properties|ablations)`", TEXT))
    assert {"clevr-6-7", *named} == {name for name in EXPERIMENTS if recipe(name, "smoke").locus[0] != "b"} - {
        "no-clipping",
        "epsilon-hat",
    }


def test_the_environment_counts_its_gpus(workspace: Workspace) -> None:
    (count,) = [line for line in SECTIONS["Install"] if line not in ELSEWHERE]
    assert re.fullmatch(r"\d+ GPUs\n", workspace.run(count))


def test_the_data_are_prepared_where_the_recipes_look(prepared: list[str]) -> None:
    assert sum("whole: clevr_with_masks/" in text for text in prepared) == 1
    for name in ("clevr-6-7", "properties", "movi-c-10-11", "movi-d-6-11"):
        shown = recipe(name, "paper")
        for source in (shown.train, *(test.source for test in shown.tests)):
            split = Source(source.data, source.part, 32, 0).open()
            split.require(*shown.task.fields, *shown.task.evaluation_fields)
    assert {path.parent.name for path in Path("data/clevr").glob("*/manifest.json")} == set(PARTS)


def test_the_loss_of_the_mean_picture_is_what_the_page_computes(
    prepared: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"^  ```python\n(.*?)^  ```", TEXT, re.DOTALL | re.MULTILINE)
    exec(re.sub(r"range\(\d+\)", "range(4)", textwrap.dedent(block)))
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    image = open_split("data/clevr/train")["image"] / 127.5 - 1
    features = open_split("data/movi-c-features/train")["features"][:4].astype(np.float32)
    for name, target in {"CLEVR": image, "MOVi-C": features}.items():
        loss = np.square(target - target.mean(axis=0)).mean()  # as a task computes it, of a painted mean picture
        assert float(printed[name]) == pytest.approx(loss, rel=1e-5)


@pytest.mark.slow
def test_one_gpu_trains_what_a_dry_run_lists(trained: list[str]) -> None:
    plan, first, rest = trained
    assert "0 of 2 runs done" in plan
    assert "2 done, 0 to continue, 0 failed" in first
    assert "2 of 2 runs done" in rest
    assert {run.spec for run in RunStore("runs")} == set(RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("line", SECTIONS["On eight GPUs"], ids=lambda line: line.split()[0])
def test_each_way_to_use_eight_gpus_trains_the_same(workspace: Workspace, trained: list[str], line: str) -> None:
    way = "ray" if "ray" in line else line.split()[0]
    if way == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: its command was NOT tested")
    workspace.run(line, store=way)
    if way == "seq":  # a process that finds all runs taken ends at once; whoever is last has seen all
        assert {run.spec for run in RunStore(way)} == set(RUNS)
    assert_same(way, exact=way != "torchrun")
    processes = {run.provenance["processes"] for run in RunStore(way)}
    assert processes == ({2} if way == "torchrun" else {1})


@pytest.mark.slow
def test_a_stopped_run_is_described_and_resumed(workspace: Workspace, trained: list[str]) -> None:
    jobs = list_jobs(recipe("clevr-6-7", "smoke"))
    asked = iter([False] * 7)
    with pytest.raises(Interrupted):
        load_or_train(jobs[0], RunStore("stopped"), Execution(bar=False, stop=lambda: next(asked, True)))
    (look,) = SECTIONS["After an hour"]
    assert re.search(r"saved at step 7 of 20: loss [\d.]+ in the last 7 steps", workspace.run(look, store="stopped"))
    (limited,) = SECTIONS["Stop and resume"]
    assert "0 done, 2 to continue, 0 failed" in workspace.run(limited, store="stopped")
    assert workspace.status == EXIT_RESUMABLE
    assert "saved at step 7 of 20" in workspace.run(SECTIONS["On one GPU"][-1], store="stopped")
    assert workspace.status == 0
    assert_same("stopped")


@pytest.mark.slow
def test_the_chapter_shows_the_runs(workspace: Workspace, trained: list[str]) -> None:
    (papermill,) = SECTIONS["Draw the chapter"]
    workspace.run(papermill)
    assert "2 of 2 runs at smoke scale" in (workspace.folder / "out.ipynb").read_text()


@pytest.mark.slow
def test_records_are_added_to_the_book(
    workspace: Workspace, trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, floors, verdicts, build = SECTIONS["Add the records to the book"]
    assert build in ELSEWHERE
    records = tmp_path / "book" / "results"
    records.mkdir(parents=True)
    git = ["git", "-C", str(tmp_path), "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    for setting in ("user.name=somebody", "user.email=somebody@example.org", "commit.gpgsign=false"):
        subprocess.run([*git, "config", *setting.split("=")], check=True)
    monkeypatch.setattr(checkout, "RECORDS", records)
    assert "2 runs kept and committed" in workspace.run(keep)
    log = subprocess.run([*git, "log", "--format=%s"], capture_output=True, text=True, check=True)
    assert log.stdout == "Records of 2 runs\n"

    for name, place in {"FLOORS": tmp_path / "book" / "floors.json", "ROOT": tmp_path}.items():
        monkeypatch.setattr(blind_floors, name, place)
    monkeypatch.setitem(blind_floors.FIT, "moves", 10)
    assert workspace.run(floors) == "wrote book/floors.json\n"
    assert set(blind_floors.read_floors(recipe("clevr-6-7", "smoke"))) == {"CLEVR6", "CLEVR10"}

    shown = json.dumps({"08_claims": {"scale": "smoke", "store": "book/results"}})
    (tmp_path / "book" / "parameters.json").write_text(shown)
    monkeypatch.setattr(checkout, "SHOWN", tmp_path / "book" / "parameters.json")
    for name, place in {"VERDICTS": tmp_path / "book" / "verdicts.json", "ROOT": tmp_path}.items():
        monkeypatch.setattr(committed_verdicts, name, place)
    assert workspace.run(verdicts) == "wrote book/verdicts.json\n"
    judged = json.loads((tmp_path / "book" / "verdicts.json").read_text())
    assert judged["scale"] == "smoke"
    assert sorted(judged["records"]["clevr-6-7"]) == sorted(spec.name for spec in RUNS)
