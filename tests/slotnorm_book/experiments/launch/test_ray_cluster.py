"""Runs on a Ray cluster: two simulated nodes, one of which is killed in the middle; what needs no Ray without it."""

import os
import socket
import sys
from dataclasses import replace

import pandas as pd
import pytest

from slotnorm.training.checkpoint import read_progress
from slotnorm.training.loop import Interrupted
from slotnorm.training.spec import SpecError
from slotnorm_book.experiments.engine import Execution, Job, list_jobs, load_or_train
from slotnorm_book.experiments.launch import ray_cluster as cluster
from slotnorm_book.experiments.launch.progress import Display
from slotnorm_book.experiments.launch.ray_cluster import run_on_cluster
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.run_store import BusyError, RunError, RunStore
from tests.helpers.paths import FIXTURES

FILE = FIXTURES / "clevr_with_masks_train.tfrecords"
STEPS = 300
OFTEN = Execution(checkpoint_seconds=0.0)


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOTNORM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def two_nodes(_cache):
    """A head and another node, a core each."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80_000_000}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
        nodes.add_node(**node)
        patch.setenv("RAY_ADDRESS", nodes.address)
        yield nodes
        nodes.shutdown()


def tiny(steps: int) -> list[Job]:
    smoke = recipe("clevr-6-7", "smoke").select(slots=[5]).with_data(str(FILE))
    task = replace(smoke.task, num_slots=3, slot_dim=4, channels=4, hidden_dim=4)
    return list_jobs(replace(smoke, task=task, batch_size=1, schedule=replace(smoke.schedule, steps=steps)))


def progress(store: RunStore, todo: list[Job]) -> dict[str, int]:
    return {job.spec.name: read_progress(store.checkpoint_path(job.spec)) or 0 for job in todo}


def go_on() -> bool:
    return False


@pytest.mark.slow
def test_a_stop_leaves_checkpoints_and_failures_have_reasons(two_nodes, tmp_path):
    store, todo = RunStore(tmp_path / "store"), tiny(100_000)
    lost = replace(tiny(1)[0], train=todo[0].train.with_data("/lost"))

    def one_has_begun() -> bool:
        return any(progress(store, todo).values())

    result = run_on_cluster([lost, *todo], store.root, OFTEN, None, one_has_begun)
    assert {job.spec.name for job in result.stopped} == {job.spec.name for job in todo}
    assert not result.done
    assert list(result.failed) == [lost.spec.name]
    assert "'/lost': no such folder" in result.failed[lost.spec.name]


@pytest.mark.slow
def test_a_cluster_without_gpus_is_refused(two_nodes, tmp_path):
    with pytest.raises(SpecError, match="no node of the Ray cluster has a GPU"):
        run_on_cluster(tiny(1), str(tmp_path), Execution("cuda"), None, go_on)


@pytest.mark.slow
def test_a_killed_node_changes_nothing(two_nodes, tmp_path, monkeypatch):
    store, local, todo = RunStore(tmp_path / "cluster"), RunStore(tmp_path / "local"), tiny(STEPS)
    shown: dict[str, list[int]] = {job.spec.name: [] for job in todo}
    (other,) = two_nodes.worker_nodes

    def kill_when_both_train() -> bool:
        if other in two_nodes.worker_nodes and min(progress(store, todo).values()) >= 150:
            two_nodes.remove_node(other, allow_graceful=False)
        return False

    monkeypatch.setattr(Display, "update", lambda self, job, step, loss: shown[job.spec.name].append(step))
    result = run_on_cluster(todo, store.root, OFTEN, None, kill_when_both_train)
    assert other not in two_nodes.worker_nodes, "there was no moment at which both runs were being trained"
    assert {job.spec.name for job in result.done} == set(shown), result
    assert all(steps == sorted(steps) for steps in shown.values()), f"a run began anew: {shown}"
    for job in todo:
        expected, got = load_or_train(job, local, Execution(bar=False)), store.get(job.spec)
        pd.testing.assert_frame_equal(got.evaluation.scenes, expected.evaluation.scenes, check_exact=True)
        pd.testing.assert_frame_equal(got.curve, expected.curve, check_exact=True)


def test_without_ray_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SpecError, match="extra `cluster` of slotnorm-book"):
        run_on_cluster(tiny(1), str(tmp_path), Execution(), None, go_on)


def test_an_address_where_no_cluster_answers_is_refused_at_once(monkeypatch, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(SpecError, match=f"no Ray cluster answers at {address}"):
            run_on_cluster(tiny(1), str(tmp_path), Execution(), None, go_on)


def test_a_store_that_is_read_only_is_refused():
    with pytest.raises(RunError, match="memory://runs: is read only"):
        run_on_cluster(tiny(1), "memory://runs", Execution(), None, go_on)


def test_a_node_that_does_not_see_the_store_says_so(tmp_path):
    ended, reason = cluster._attempt(tiny(1)[0], str(tmp_path / "elsewhere"), Execution(bar=False))
    assert ended == "failed"
    assert "must be one that all nodes see" in reason


class Held:
    """The lock of a run whose node was lost, released after some looks at whether to stop."""

    def __init__(self, store: RunStore, job: Job, looks: int) -> None:
        self.lock, self.looks = store.lock(job.spec), looks

    def __call__(self) -> bool:
        self.looks -= 1
        if self.looks == 0:
            self.lock.release()
        return False


def test_a_lock_that_outlives_its_node_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "POLL_S", 0.01)
    store, job = RunStore(tmp_path), tiny(1)[0]
    held = Held(store, job, looks=3)
    cluster._wait_and_run(job, store, Execution(stop=held, bar=False))
    assert store.find(job.spec) is not None
    assert held.looks <= 0


def test_a_lock_that_is_never_released_is_left_to_its_owner(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "BUSY_S", 0.0)
    store, job = RunStore(tmp_path), tiny(1)[0]
    with store.lock(job.spec), pytest.raises(BusyError):
        cluster._wait_and_run(job, store, Execution(bar=False))
    with store.lock(job.spec):
        ended, reason = cluster._attempt(job, str(tmp_path), Execution(bar=False))
    assert ended == "stopped"
    assert f"{job.spec.name}: another process (process {os.getpid()} on " in reason


def test_a_task_that_is_told_to_stop_does_not_begin(tmp_path):
    store, job = RunStore(tmp_path), tiny(1)[0]
    with pytest.raises(Interrupted):
        cluster._wait_and_run(job, store, Execution(stop=lambda: True, bar=False))
    assert not any(tmp_path.iterdir())


def test_as_many_runs_as_asked_for_fit_a_gpu():
    for runs in range(1, 40):
        units = round(cluster._gpu_share(runs) * 10_000)  # Ray counts in ten-thousandths
        assert units * runs <= 10_000 < (units + 1) * runs
