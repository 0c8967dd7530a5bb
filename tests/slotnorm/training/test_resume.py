"""A training that is stopped or killed, wherever, and goes on ends as one that was not; checkpoints that are no use."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors.torch import save

from slotnorm.atomic_files import write_whole
from slotnorm.data.splits import Split
from slotnorm.training.checkpoint import CheckpointError, _checksum, _read, read_curve, read_progress
from slotnorm.training.loop import Interrupted, Trained, Watch, train
from slotnorm.training.spec import RunSpec
from slotnorm_book.experiments.launch.stop import Stop
from slotnorm_book.experiments.probe import Probe
from tests.helpers import tiny
from tests.helpers.paths import ROOT


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Split:
    return tiny.make_split(tmp_path_factory.mktemp("data") / "split")


@pytest.fixture(autouse=True)
def _look_often(monkeypatch) -> None:
    monkeypatch.setattr("slotnorm.training.loop.FLUSH_EVERY", 2)


def trained(split: Split, run: RunSpec, checkpoint: Path | None, **watch: Any) -> Trained:
    probe = Probe(run.task, split, 3)
    watch = {"checkpoint": checkpoint, "probe": probe, "probe_every": 2, "bar": False, **watch}
    return train(run, tiny.loader(split, run), watch=Watch(**watch))


def after(steps: int):
    """Says to stop when it was asked more often than that."""
    asked = iter([False] * steps)
    return lambda: next(asked, True)


def assert_same(one: Trained, other: Trained) -> None:
    assert tiny.equal(one.model, other.model)
    for name, values in vars(one.curve).items():
        assert torch.equal(values, getattr(other.curve, name)), name


@pytest.mark.parametrize("variant", ["weighted_mean", "batch_norm"])
@pytest.mark.parametrize("step", range(8))
def test_stopped_at_any_step_and_continued_it_ends_the_same(tmp_path, split, step, variant):
    run, checkpoint = tiny.spec(variant=variant), tmp_path / "run.checkpoint"
    with pytest.raises(Interrupted, match=f"stopped at step {step}"):
        trained(split, run, checkpoint, stop=after(step))
    assert read_progress(checkpoint) == step
    assert_same(trained(split, run, checkpoint), trained(split, run, None))


def test_stopped_after_every_single_step_it_ends_the_same(tmp_path, split):
    run, checkpoint = tiny.spec(precision="bf16"), tmp_path / "run.checkpoint"
    for _ in range(run.schedule.steps - 1):
        with pytest.raises(Interrupted):
            trained(split, run, checkpoint, stop=after(1))
    assert_same(trained(split, run, checkpoint), trained(split, run, None))


def test_a_finished_training_is_not_repeated(tmp_path, split):
    run, checkpoint = tiny.spec(), tmp_path / "run.checkpoint"
    first = trained(split, run, checkpoint)
    again = train(run, {}, watch=Watch(checkpoint=checkpoint, bar=False))  # no batch is there to be asked for
    assert_same(first, again)
    kept, _ = _read(checkpoint)
    assert again.seconds >= kept["elapsed"] > 0  # first.seconds also counts the writing of the checkpoint


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_answered_between_two_steps(tmp_path, split, number):
    run, checkpoint = tiny.spec(), tmp_path / "run.checkpoint"
    tell = lambda step, loss: signal.raise_signal(number) if step == 4 else None  # noqa: E731
    before = signal.getsignal(number)
    with Stop() as stop, pytest.raises(Interrupted, match="stopped at step 4"):
        trained(split, run, checkpoint, stop=stop, report=tell)
    assert signal.getsignal(number) is before
    assert_same(trained(split, run, checkpoint), trained(split, run, None))


def test_a_second_signal_kills_as_usual():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores SIGINT
    try:
        with Stop() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_spent_budget_or_another_reason_says_stop():
    assert not Stop(budget=3600.0)()
    assert Stop(budget=0.0)()
    assert Stop(also=lambda: True)()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "stride", "at_least"), [("train", 9, 5), ("random", 1, 10), ("extend", 2, 10), ("prune", 1, 15)]
)
def test_killed_at_many_moments_and_run_again_it_ends_the_same(tmp_path, what, stride, at_least):
    command = [sys.executable, "-m", "tests.slotnorm_book.experiments.killed_run", what, str(tmp_path), str(stride)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= at_least


@contextmanager
def full_disk(size: int = 1500) -> Iterator[None]:
    """A true failure of the operating system in the middle of a file: none may grow larger than that."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, split):
    run, checkpoint = tiny.spec(), tmp_path / "run.checkpoint"
    with pytest.raises(Interrupted):
        trained(split, run, checkpoint, stop=after(3))
    earlier = checkpoint.read_bytes()
    with full_disk(), pytest.raises(OSError, match=str(checkpoint)):
        trained(split, run, checkpoint)
    assert checkpoint.read_bytes() == earlier
    assert list(tmp_path.iterdir()) == [checkpoint]
    assert_same(trained(split, run, checkpoint), trained(split, run, None))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    with full_disk(), pytest.raises(OSError, match=str(path)):
        write_whole(path, bytes(2000))
    assert list(tmp_path.iterdir()) == []
    write_whole(path, b"content")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"file": b"content"}


def edited(path: Path, **about: Any) -> None:
    """Rewrite a checkpoint with other metadata, as if it had been written so."""
    known, tensors = _read(path)
    rewritten(path, known | about, tensors)


def rewritten(path: Path, about: dict[str, Any], tensors: bytes) -> None:
    content = json.dumps(about).encode() + b"\n" + tensors
    path.write_bytes(_checksum(content) + b"\n" + content)


def one_bit(path: Path) -> None:
    """The last byte belongs to a tensor."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.write_text("not safetensors at all")


def without_checksum(path: Path) -> None:
    path.write_bytes(path.read_bytes().partition(b"\n")[2])


def other_step(path: Path) -> None:
    """A digit of the metadata is another one."""
    content = path.read_bytes()
    assert content.count(b'"step": 3') == 1
    path.write_bytes(content.replace(b'"step": 3', b'"step": 4'))


def generator_of_cuda(path: Path) -> None:
    """Earlier versions drew initial slots on the device; CUDA's generator has 16 bytes."""
    about, tensors = _read(path)
    cuda = {"generator": torch.zeros(16, dtype=torch.uint8)}
    rewritten(path, about, save(safetensors.torch.load(tensors) | cuda))


def without_tensors(path: Path) -> None:
    rewritten(path, _read(path)[0], save({"generator": torch.Generator().get_state()}))


def no_tensors_at_all(path: Path) -> None:
    rewritten(path, _read(path)[0], b"")


def about_line(path: Path, line: bytes) -> None:
    content = line + b"\n" + _read(path)[1]
    path.write_bytes(_checksum(content) + b"\n" + content)


NO_OBJECTS = (b"", b"{", b"null", b"[3]", b'"run"', b"\xff", b"[" * 100_000)
NO_RUNS: tuple[dict[str, Any], ...] = (
    {"run": None},
    {"run": 3},
    *({"step": step} for step in (None, "3", -1, 3.0, True)),
    *({"elapsed": seconds} for seconds in (None, "3", -1.0, float("nan"), float("inf"))),
)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncate, "damaged"),
        (empty, "damaged"),
        (foreign, "damaged"),
        (one_bit, "damaged: its SHA-256 is not the one it was written with"),
        (other_step, "damaged"),
        (without_checksum, "damaged"),
        (without_tensors, "does not fit this run"),
        (generator_of_cuda, "does not fit this run: .*RNG state"),
        (no_tensors_at_all, "does not fit this run"),
        (lambda path: edited(path, format_version=99), "has format version 99"),
        (lambda path: edited(path, format_version=None), "has format version None"),
        *((partial(about_line, line=line), "its second line is no JSON object") for line in NO_OBJECTS),
        *((partial(edited, **about), "its second line must name the run") for about in NO_RUNS),
        (lambda path: edited(path, run="other-seed0-123"), "belongs to the run other-seed0-123"),
    ],
)
def test_a_checkpoint_that_is_no_use_is_named_with_what_to_do(tmp_path, split, spoil, reason):
    run, checkpoint = tiny.spec(), tmp_path / "run.checkpoint"
    with pytest.raises(Interrupted):
        trained(split, run, checkpoint, stop=after(3))
    spoil(checkpoint)
    with pytest.raises(CheckpointError, match=rf"{checkpoint}: {reason}.*remove it to begin that run again"):
        trained(split, run, checkpoint)


def test_a_checkpoint_of_another_spec_is_refused(tmp_path, split):
    checkpoint = tmp_path / "run.checkpoint"
    trained(split, tiny.spec(), checkpoint)
    other = tiny.spec(seed=1)
    with pytest.raises(CheckpointError, match=f"belongs to the run {tiny.spec().name}, not to {other.name}"):
        trained(split, other, checkpoint)


def test_progress_is_that_of_the_checkpoint_or_none(tmp_path):
    assert read_progress(tmp_path / "absent") == 0
    foreign(tmp_path / "present")
    assert len(read_curve(tmp_path / "absent").loss) == 0
    for read in (read_progress, read_curve):
        with pytest.raises(CheckpointError, match=r"present: damaged"):
            read(tmp_path / "present")
