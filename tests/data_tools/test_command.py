import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_tools import __main__ as cli
from data_tools import download
from data_tools.converters import clevr_file
from data_tools.stand_ins import PICTURES
from slotnorm.data.splits import open_split
from tests.data_tools.converters.test_clevr import FILE
from tests.data_tools.features import vit
from tests.helpers.paths import ROOT
from tests.helpers.toy_split import make


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["data_tools", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return call


def test_help_helps(run):
    status, out, _ = run("--help")
    assert status == 0
    for word in ("clevr", "verify", "Example: python -m data_tools"):
        assert word in out
    status, out, _ = run("clevr", "--help")
    assert status == 0
    for word in ("--tfrecord", "--out", "--split", "--counts", "--interpolation", "--download", "70000", "192"):
        assert word in out


def test_converting_and_verifying(run, tmp_path: Path):
    out = tmp_path / "clevr"
    stand_in = ("--source", "stand-in scenes in CLEVR's format", "--license", "MIT")
    status, printed, _ = run("clevr", "--tfrecord", FILE, "--out", out, "--counts", 4, 2, 2, "--size", 32, *stand_in)
    assert (status, printed.split()) == (0, [str(out / name) for name in ("train", "validation", "test")])
    assert open_split(out / "train").manifest.source == "stand-in scenes in CLEVR's format"
    status, printed, _ = run("verify", out / "train", out / "test")
    assert status == 0
    assert f"{out / 'train'}: whole: clevr_with_masks/train, 4 scenes" in printed
    assert "segmentation uint8    (2, 32, 32)" in printed


def test_what_a_user_can_mend_is_one_line_and_status_2(run, tmp_path: Path):
    status, out, err = run("clevr", "--tfrecord", tmp_path / "none", "--out", tmp_path / "out")
    assert (status, out, err) == (2, "", f"error: {tmp_path / 'none'}: missing: no such file\n")
    status, _, err = run("verify", tmp_path)
    assert (status, err.count("\n")) == (2, 1)
    assert "manifest.json: missing; not a prepared split" in err
    folder = make(tmp_path / "toy")
    os.truncate(folder / "x.npy", 200)
    status, _, err = run("verify", folder)
    assert (status, err.count("\n")) == (2, 1)
    assert "x.npy: damaged" in err


def test_an_error_of_the_system_is_one_line_too(run, tmp_path: Path):
    (tmp_path / "file").write_text("")
    status, _, err = run("pretrain", "--out", tmp_path / "file" / "w.safetensors")
    assert (status, err.count("\n")) == (2, 1)
    assert str(tmp_path / "file") in err


def test_a_typo_in_the_tag_of_a_backbone_is_one_line(run, tmp_path: Path):
    folder = make(tmp_path / "toy")
    status, _, err = run("features", "--split", folder, "--backbone", "vit_base_patch8_224.dinos")
    assert (status, err.count("\n")) == (2, 1)
    assert "timm has no model 'vit_base_patch8_224.dinos'; did you mean vit_base_patch8_224.dino" in err
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_a_hostile_split_writes_nothing_elsewhere(run, tmp_path: Path):
    folder = make(tmp_path / "data" / "toy")
    (folder / "x.npy").rename(tmp_path / "data" / "payload.npy")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["digest"]
    manifest["arrays"]["../payload"] = manifest["arrays"].pop("x")
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format_version": 1}))
    weights = vit.saved(tmp_path / "vit.safetensors")
    options = ("--backbone", vit.NAME, "--weights", weights, "--out", tmp_path / "made" / "out")
    status, _, err = run("features", "--split", folder, *options)
    assert (status, err.count("\n")) == (2, 1)
    assert "lists an array '../payload': names must be plain identifiers" in err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "wrong",
    [("--size", "0"), ("--size", "500"), ("--interpolation", "bicubic"), ("--counts", "0", "1", "1"), ("--sise", "1")],
)
def test_impossible_options_are_refused_before_any_work(run, tmp_path: Path, wrong: tuple[str, ...]):
    status, _, err = run("clevr", "--tfrecord", FILE, "--out", tmp_path / "out", *wrong)
    assert status == 2
    assert wrong[0] in err
    assert not (tmp_path / "out").exists()


def test_download_comes_first_when_asked_for(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def fetch(url: str, path: Path, check_head: Callable[[bytes], None]) -> None:
        asked.append(url)
        check_head(FILE.read_bytes()[:1000])
        path.write_bytes(FILE.read_bytes())

    monkeypatch.setattr(download, "fetch", fetch)
    file = tmp_path / "clevr.tfrecords"
    status, _, err = run(
        "clevr", "--tfrecord", file, "--out", tmp_path / "o", "--split", "all", "--size", 16, "--download"
    )
    assert (status, err) == (0, "")
    assert asked == [clevr_file.URL]


def test_as_a_program(tmp_path: Path):
    command = [sys.executable, "-m", "data_tools", "verify", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", PICTURES)
def test_stand_ins_are_drawn_and_verified(run, tmp_path: Path, name: str):
    status, printed, err = run(name, "--out", tmp_path / "s", "--count", 2, "--size", 16)
    assert (status, printed, err) == (0, f"{tmp_path / 's'}\n", "")
    status, printed, _ = run("verify", tmp_path / "s")
    assert status == 0
    assert f"whole: {name}, 2 scenes" in printed


@pytest.mark.parametrize(
    ("command", "wrong", "message"),
    [
        ("synth-clevr", ("--count", "0"), "count must be at least 1, got 0"),
        ("synth-clevr", ("--max-objects", "12"), "max_objects must be from 1 to 10, got 12"),
        ("synth-movi-c", ("--min-objects", "11"), "min_objects must be from 1 to max_objects = 10, got 11"),
        ("synth-movi-d", ("--device", "warp"), "device 'warp' cannot be used"),
    ],
)
def test_stand_ins_that_cannot_be_meant(run, tmp_path: Path, command: str, wrong: tuple[str, str], message: str):
    status, _, err = run(command, "--out", tmp_path / "s", "--count", 2, "--size", 16, *wrong)
    assert (status, err.count("\n")) == (2, 1)
    assert message in err
    assert not (tmp_path / "s").exists()


def test_help_lists_every_command(run):
    _, out, _ = run("--help")
    for command in ("verify", "clevr", "movi", "features", "pretrain", *PICTURES):
        assert command in out.split()
