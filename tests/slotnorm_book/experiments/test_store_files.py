"""Where a store lies: only what is not found is absent, and nothing lands in another place than was said."""

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from slotnorm_book.experiments.engine import list_jobs
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import RECORD, RunError, RunStore
from slotnorm_book.experiments.store_files import UnreadableError, _check_root
from slotnorm_book.experiments.sweep_plan import make_plan
from tests.helpers import tiny

SMOKE = recipe("clevr-6-7", "smoke")


class ForbiddenError(Exception):
    """As an HTTP client raises it, which is no OSError."""


FAILURES = [
    (
        ForbiddenError("403, message='Forbidden'\nurl=…"),
        "cannot be read: ForbiddenError: 403, message='Forbidden' url=…",
    ),
    (OSError("503 Service Unavailable"), "cannot be read: OSError: 503 Service Unavailable"),
    (ConnectionRefusedError(111, "Connection refused"), "cannot be read: ConnectionRefusedError: .*Connection refused"),
    (TimeoutError(), "cannot be read: TimeoutError$"),
    (PermissionError("x"), "may not be read; its owner can permit it"),
]


@pytest.mark.parametrize(("failure", "reason"), FAILURES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("kind", [MemoryFileSystem, LocalFileSystem])
def test_a_store_that_cannot_be_reached_is_no_empty_store(tmp_path, monkeypatch, kind, failure, reason):
    def fail(*_, **__):
        raise failure

    for way in ("cat_file", "ls", "info", "exists"):
        monkeypatch.setattr(kind, way, fail)
    root = str(tmp_path) if kind is LocalFileSystem else "memory://runs"
    store, (spec, _) = RunStore(root), SMOKE.runs()
    for read in (
        lambda: store.find(spec),
        lambda: store.get(spec),
        lambda: list(store),
        store.damaged,
        lambda: collect(SMOKE, store),
        lambda: make_plan([SMOKE], root, "cpu"),
    ):
        with pytest.raises(UnreadableError, match=f"^{root.replace('//', '//?/?')}.*: {reason}"):
            read()


def test_only_what_is_not_found_is_absent(tmp_path):
    job = list_jobs(SMOKE)[0]
    (tmp_path / "file").write_text("no folder")
    for root in ("memory://none", tmp_path / "none", tmp_path):
        store = RunStore(root)
        assert store.find(job.spec) is None
        assert list(store) == []
        assert store.damaged() == []


def test_one_folder_that_may_not_be_read_does_not_hide_the_others(tmp_path, monkeypatch):
    data = tiny.make_data(tmp_path / "data")
    store = RunStore(tmp_path / "store")
    collect(tiny.recipe(data), store, "train", tiny.QUIET)
    closed, open_ = (job.spec for job in list_jobs(tiny.recipe(data)))
    cat = LocalFileSystem.cat_file

    def forbid(self, path, *rest, **options):
        if path.endswith(f"{closed.name}/{RECORD}"):
            raise PermissionError(path)
        return cat(self, path, *rest, **options)

    monkeypatch.setattr(LocalFileSystem, "cat_file", forbid)
    assert [run.spec for run in store] == [open_]
    assert [type(error) for error in store.damaged()] == [UnreadableError]
    plan = make_plan([tiny.recipe(data)], str(tmp_path / "store"), "cpu")
    assert [job.spec for job in plan.jobs] == [closed]
    assert f"{closed.name} cannot be read: {store.root}/{closed.name}/{RECORD}: may not be read" in plan.text.replace(
        "  ", ""
    )


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ("", "must be a folder or an address, got ''"),
        ("  ", "must be a folder or an address, got '  '"),
        ("/", "is the root of a file system"),
        ("//", "is the root of a file system"),
        ("/tmp/..", "is the root of a file system"),
        ("a::b", "chained addresses"),
        ("simplecache::memory://runs", "chained addresses"),
        ("a\0b", "zero bytes"),
        ("memory://", "an address is PROTOCOL://PLACE"),
        ("s3://", "an address is PROTOCOL://PLACE"),
        ("file:///", "an address is PROTOCOL://PLACE"),
        ("s3:/bucket", r"an address is PROTOCOL://PLACE; a folder of that name is \./s3:/bucket"),
    ],
)
def test_what_would_be_another_place_is_refused(tmp_path, monkeypatch, root, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=reason):
        RunStore(root)
    assert list(tmp_path.iterdir()) == []


def test_no_store_is_no_store():
    with pytest.raises(RunError, match="must be a folder or an address, got None"):
        _check_root(None)


def test_a_folder_with_a_colon_can_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert RunStore("./a:b").local == tmp_path / "a:b"


@pytest.mark.parametrize("address", ["foo://bar", __file__])
def test_what_is_no_store_is_refused_at_once(address):
    with pytest.raises(RunError, match=f"{address}: (is a file|neither a folder .*: Protocol not known)"):
        RunStore(address)


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (ImportError("Install s3fs to access S3"), RunError, "it needs a package .*: Install s3fs to access S3"),
        (TypeError("missing 'org'"), UnreadableError, "cannot be read: TypeError: missing 'org'"),
        (ConnectionRefusedError("refused"), UnreadableError, "cannot be read: ConnectionRefusedError: refused"),
    ],
)
def test_a_filesystem_that_cannot_be_had_is_named(monkeypatch, error, kind, reason):
    def lacking(_):
        raise error

    monkeypatch.setattr(fsspec, "url_to_fs", lacking)
    with pytest.raises(kind, match=f"s3://bucket: .*{reason}"):
        RunStore("s3://bucket")
