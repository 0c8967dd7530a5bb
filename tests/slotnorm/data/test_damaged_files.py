"""Prepared splits damaged at random: a clear error or the same result, never another error, never another result."""

import json
from pathlib import Path

import pytest

from data_tools.writing.split_writer import SplitWriteError, verify
from slotnorm.data.manifest import SplitError
from slotnorm.data.splits import open_split
from tests.helpers.mutations import mutations, result_of
from tests.helpers.toy_split import items, make

AMOUNTS = [200, pytest.param(5000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_manifest(tmp_path: Path, amount: int) -> None:
    folder = make(tmp_path / "toy")
    path, good = folder / "manifest.json", open_split(folder).manifest
    refused = 0
    for damaged in mutations(path.read_bytes(), amount):
        path.write_bytes(damaged)
        manifest, message = result_of(lambda: open_split(folder).manifest, SplitError)
        assert manifest == good or str(path) in message
        refused += bool(message)
    assert refused > 0.9 * amount


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_manifest_of_the_first_format_which_has_no_checksum(tmp_path: Path, amount: int) -> None:
    folder = make(tmp_path / "toy")
    path = folder / "manifest.json"
    content = {key: value for key, value in json.loads(path.read_text()).items() if key != "digest"}
    path.write_text(json.dumps(content | {"format_version": 1}))
    good = open_split(folder)
    for damaged in mutations(path.read_bytes(), amount):
        path.write_bytes(damaged)
        split, message = result_of(lambda: open_split(folder), SplitError)
        if split is None:
            assert str(folder) in message
        else:
            assert set(split.arrays) <= set(good.arrays)
            assert all(array.tobytes() == good[name].tobytes() for name, array in split.arrays.items())


@pytest.mark.parametrize("amount", AMOUNTS)
def test_an_array(tmp_path: Path, amount: int) -> None:
    folder = make(tmp_path / "toy")
    path = folder / "x.npy"
    good = items(0, 10)["x"].tobytes()
    whole = path.read_bytes()
    for damaged in mutations(whole[:128], amount):  # the header
        path.write_bytes(damaged + whole[128:])
        array, message = result_of(lambda: open_split(folder)["x"].tobytes(), SplitError)
        assert array == good or str(path) in message
    for damaged in mutations(whole, amount // 2, seed=1):
        path.write_bytes(damaged)
        _, message = result_of(lambda: verify(folder), SplitWriteError)
        assert damaged == whole or str(path) in message
