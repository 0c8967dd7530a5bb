"""Two gloo processes under torchrun train as one does: curve, weights and running statistics; and a sweep so."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from slotnorm_book.experiments.engine import list_jobs, load_or_train
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import RunStore
from tests.helpers import tiny
from tests.helpers.paths import ROOT
from tests.slotnorm.training import ranks

VARIANTS = ("weighted_mean", "batch_norm")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def torchrun(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Two processes of a module of these tests."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"} | environment
    command = [*TORCHRUN, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with the split and what both ranks made of it."""
    folder = tmp_path_factory.mktemp("ranks")
    tiny.make_split(folder / "split")
    done = torchrun("tests.slotnorm.training.ranks", str(folder / "split"), str(folder), *VARIANTS)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_train_as_one_does(trained, variant):
    alone = ranks.result(variant, trained / "split")
    together = load_file(trained / f"{variant}-0.safetensors")
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-6, atol=1e-6, msg=lambda text, name=name: name + text)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_processes_end_with_the_same_weights_and_statistics(trained, variant):
    first, second = (load_file(trained / f"{variant}-{rank}.safetensors") for rank in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.slow
def test_a_sweep_under_torchrun_ends_with_one_record_a_run(tmp_path):
    data, root = tiny.make_data(tmp_path / "data"), tmp_path / "store"
    arguments = ("tests.helpers.tiny", "sweep", "tiny", "--scale", "smoke", "--store", str(root), "--device", "cpu")
    tried, store = tiny.recipe(data), RunStore(root)
    with store.lock(tried.runs()[0]):
        done = torchrun(*arguments, TINY_DATA=str(data))
    assert done.stderr.count("is working on this run") == 1
    assert done.stdout.count("0 of 2 runs done") == 1
    assert [run.spec for run in store] == [tried.runs()[1]], "another's run holds up none of the others"
    done = torchrun(*arguments, TINY_DATA=str(data))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 of 2 runs done") == 1
    assert {run.spec for run in store} == {job.spec for job in list_jobs(tried)}
    assert {run.provenance["processes"] for run in store} == {2}
    assert {path.suffix for path in (root / ".running").iterdir()} == {".lock"}
    together = collect(tried, store).curves
    alone = pd.concat([load_or_train(job, RunStore(tmp_path / "alone"), tiny.QUIET).curve for job in list_jobs(tried)])
    assert together["loss"].tolist() == pytest.approx(alone["loss"].tolist(), abs=1e-6)
