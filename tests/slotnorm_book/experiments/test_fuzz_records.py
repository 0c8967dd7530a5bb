"""Mutated records and tables: a clear error in one line, or the same result; never another error or result."""

import copy
import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from slotnorm_book.experiments.engine import list_jobs, load_or_train
from slotnorm_book.experiments.record import CURVE, SCENES, SETS, WEIGHTS, RecordError, parse_record
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import RECORD, Run, RunError, RunStore
from slotnorm_book.experiments.run_tables import TableError, decode_table
from tests.helpers import hostile_store, tiny

QUICK, MANY = 300, 3000
LIKELY = b'0123456789"{}[],:.-e \x00\xff'
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    7,
    2**70,
    1e308,
    0.5,
    "",
    "x",
    "../x",
    "/tmp/x",
    "é\n|<b>",
    [],
    [[]],
    {},
    {"a": 1},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A store with one run."""
    root = tmp_path_factory.mktemp("fuzz")
    job = list_jobs(tiny.recipe(tiny.make_data(root / "data")))[0]
    load_or_train(job, RunStore(root / "store"), tiny.QUIET)
    return root / "store" / job.spec.name


def flip(content: bytes, draw: random.Random) -> bytes:
    """Change, remove, insert or repeat some bytes."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 3, 20])):
        place = draw.randrange(len(changed) + 1)
        kind = draw.choice(["bit", "byte", "cut", "insert", "repeat"])
        if kind == "bit" and place < len(changed):
            changed[place] ^= 1 << draw.randrange(8)
        elif kind == "byte" and place < len(changed):
            changed[place] = draw.choice(LIKELY if draw.random() < 0.7 else range(256))
        elif kind == "cut":
            del changed[place : place + draw.choice([1, 2, 50, len(changed)])]
        elif kind == "insert":
            changed[place:place] = draw.randbytes(draw.randrange(1, 5))
        else:
            changed[place:place] = changed[place : place + draw.randrange(1, 100)]
    return bytes(changed)


def list_places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in list_places(item, (*path, key)))]


def regrow(content: bytes, draw: random.Random) -> bytes:
    """Change values inside of a record as somebody would who also writes the checksum anew, in either version."""
    record = json.loads(content)
    record["format_version"] = draw.choice([1, 2])
    for _ in range(draw.choice([1, 1, 2, 5])):
        path = draw.choice(list_places(record)[1:])
        inside = record
        try:
            for key in path[:-1]:
                inside = inside[key]
            change(inside, path[-1], draw)
        except (KeyError, IndexError):
            continue
    return hostile_store.encode(record)


def change(inside: Any, key: Any, draw: random.Random) -> None:
    """Remove or replace a value, or add one beside it."""
    kind = draw.choice(["remove", "replace", "replace", "add"])
    if kind == "remove":
        del inside[key]
    elif kind == "replace" or isinstance(inside, list):
        inside[key] = copy.deepcopy(draw.choice(VALUES))
    else:
        inside[draw.choice(["x", "../x", "files", "spec", "checksum", "model.safetensors"])] = copy.deepcopy(
            draw.choice(VALUES)
        )


def reshape(content: bytes, draw: random.Random) -> bytes:
    """Change a table as somebody would who writes Parquet: columns lost, renamed, of other types or lengths."""
    table = pd.read_parquet(io.BytesIO(content))
    name = draw.choice(list(table.columns))
    values: list[Any] = ["x", None, True, 2**62, -1, 0.5, float("nan"), b"x", pd.Timestamp(0)]
    ways: list[Callable[[], pd.DataFrame]] = [
        lambda: table.drop(columns=name),
        lambda: table.rename(columns={name: "other"}),
        lambda: table.assign(**{name: draw.choice(values)}),
        lambda: table.assign(other=draw.choice(values)),
        lambda: table.assign(**{name: [[1]] * len(table)}),
        lambda: table.assign(**{name: table[name].astype("category")}),
        lambda: table.head(0),
        lambda: table.set_index(name),
    ]
    buffer = io.BytesIO()
    draw.choice(ways)().to_parquet(buffer, index=draw.choice([True, False]))
    return buffer.getvalue()


def seeds(count: int) -> list[Any]:
    return [pytest.param(QUICK, id="quick"), pytest.param(count, id="many", marks=pytest.mark.slow)]


def attempt(read: Callable[[], Any]) -> Any:
    """What was read, or the message of the error, in an ``str`` of one line."""
    try:
        return read()
    except (RecordError, TableError, RunError) as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("count", seeds(MANY))
def test_a_record_with_changed_bytes_is_refused_or_the_same(folder, count):
    content, draw = (folder / RECORD).read_bytes(), random.Random(0)
    found = [attempt(lambda: parse_record(flip(content, draw))) for _ in range(count)]
    accepted = [record for record in found if not isinstance(record, str)]
    assert all(record == parse_record(content) for record in accepted)
    assert len(accepted) < 0.2 * count


@pytest.mark.parametrize("count", seeds(MANY))
def test_a_record_of_somebody_else_is_refused_or_can_be_used(folder, count):
    """Also where its checksum belongs to it."""
    content, draw = (folder / RECORD).read_bytes(), random.Random(1)
    whole = parse_record(content)
    found = [attempt(lambda: parse_record(regrow(content, draw))) for _ in range(count)]
    accepted = [record for record in found if not isinstance(record, str)]
    assert all(record.files.keys() <= {CURVE, SCENES, SETS, WEIGHTS} for record in accepted)
    assert all(record.spec == whole.spec for record in accepted if record.spec.name == whole.spec.name)
    assert 0 < len(accepted) < 0.5 * count


@pytest.mark.parametrize("count", seeds(MANY))
@pytest.mark.parametrize("name", [SCENES, CURVE])
@pytest.mark.parametrize("mutate", [flip, reshape])
def test_a_table_of_somebody_else_is_refused_or_a_table(folder, name, count, mutate):
    """The record's checksum refuses it first, but whoever made the record can vouch for it."""
    content, draw = (folder / name).read_bytes(), random.Random(2)
    found = [attempt(lambda: decode_table(name, mutate(content, draw))) for _ in range(count)]
    refused = [message for message in found if isinstance(message, str)]
    assert all(isinstance(table, pd.DataFrame) for table in found if not isinstance(table, str))
    assert 0 < len(refused) < count


@pytest.mark.parametrize("count", [pytest.param(60, id="quick"), pytest.param(400, id="many", marks=pytest.mark.slow)])
def test_a_store_of_somebody_else_is_reported_and_the_good_run_is_the_same(folder, tmp_path, count):
    """Every command's way through a store whose one run was spoiled, with checksums that belong to it."""
    data = tiny.make_data(tmp_path / "data")
    recipe = tiny.recipe(data)
    root = tmp_path / "store"
    collect(recipe, RunStore(root), "train", tiny.QUIET)
    bad, good = list_jobs(recipe)
    place, expected = root / bad.spec.name, RunStore(root).get(good.spec).evaluation.scenes
    before, draw = shutil.copytree(place, tmp_path / "before"), random.Random(3)
    for _ in range(count):
        spoil(place, before, draw)
        results = collect(recipe, RunStore(root))
        assert set(results.damaged) <= {bad.spec}
        assert all(len(reason.splitlines()) == 1 for reason in results.damaged.values())
        shown = results.scenes[results.scenes["variant"] == good.spec.variant]
        assert len(shown) == len(expected)
        assert sorted(shown["f_ari"]) == sorted(expected["f_ari"])
        for run in results.runs:
            use(run)


def spoil(place: Path, before: Path, draw: random.Random) -> None:
    """Restore the run, then change one of its files; if it is a table, its record vouches for it."""
    shutil.rmtree(place)
    shutil.copytree(before, place)
    name = draw.choice([RECORD, SCENES, SCENES, CURVE])
    content = (place / name).read_bytes()
    if name == RECORD:
        (place / name).write_bytes(draw.choice([flip, regrow])(content, draw))
    else:
        changed = draw.choice([flip, reshape])(content, draw)
        hostile_store.replace_file(place, name, changed)


def use(run: Run) -> None:
    """Read all of a run that was found; its weights may not be what its record says."""
    for read in (run.load_model, lambda: run.evaluation, lambda: run.curve):
        attempt(read)
