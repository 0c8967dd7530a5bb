import errno
import fcntl
import gzip
import hashlib
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from data_tools import download
from data_tools.tfrecord.records import check_head
from data_tools.writing.durable import DataError, take_lock
from tests.data_tools.tfrecord import tfrecord_files as files

CONTENT = files.framed(np.random.default_rng(0).bytes(3_000_000))
PAGE = b"<!DOCTYPE html><html><body>Sign in to this network</body></html>" * 100


class Server(ThreadingHTTPServer):
    """Serves CONTENT, honours ranges, and breaks the first `failures` transfers after a third of what was asked."""

    failures = 0
    content = CONTENT
    page = False
    """Whether it answers every request, also for a range, with the whole content and status 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.starts: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.server.starts.append(start)
        if self.server.page:
            start = 0
        body = self.server.content[start:]
        if not body and not self.server.page:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        broken = len(self.server.starts) <= self.server.failures
        self.wfile.write(body[: len(body) // 3] if broken else body)

    def log_message(self, *_: object) -> None:
        pass


def fetch(url: str, path: Path) -> Path:
    return download.fetch(url, path, check_head)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("time.sleep", lambda _: None)  # pooch waits between its attempts
    with Server() as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_download_and_its_checksum(server: Server, tmp_path: Path):
    path = fetch(server.url, tmp_path / "new" / "file")
    assert path.read_bytes() == CONTENT
    assert (tmp_path / "new" / "file.sha256").read_text() == f"{hashlib.sha256(CONTENT).hexdigest()}  file\n"
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["file", "file.sha256"]
    fetch(server.url, path)
    assert server.starts == [0]  # there already


def test_a_file_is_downloaded_by_one_process_at_a_time(server: Server, tmp_path: Path):
    with take_lock(tmp_path / "file.part.lock"), pytest.raises(DataError, match=r"file: another process is downloadi"):
        fetch(server.url, tmp_path / "file")
    assert server.starts == []
    assert fetch(server.url, tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("reason", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_named_instead_of_leaving_marks_for_ever(tmp_path, monkeypatch, reason):
    def no_locks(*_):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(DataError, match=r"file.lock: the file system has no locks; mount it with locks"):
        take_lock(tmp_path / "file.lock")


def test_broken_transfers_are_continued(server: Server, tmp_path: Path):
    server.failures = 2
    assert fetch(server.url, tmp_path / "file").read_bytes() == CONTENT
    assert server.starts[0] == 0
    assert 0 < server.starts[1] < server.starts[2] < len(CONTENT)


def test_an_earlier_run_is_continued(server: Server, tmp_path: Path):
    (tmp_path / "file.part").write_bytes(CONTENT[:1_000_000])
    assert fetch(server.url, tmp_path / "file").read_bytes() == CONTENT
    assert server.starts == [1_000_000]


def test_a_part_longer_than_the_file_is_dropped(server: Server, tmp_path: Path):
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    assert fetch(server.url, tmp_path / "file").read_bytes() == CONTENT
    assert server.starts == [len(CONTENT) + 4, 0]


def test_another_content_than_recorded_is_refused(server: Server, tmp_path: Path):
    (tmp_path / "file.sha256").write_text("0" * 64 + "  file\n")
    with pytest.raises(DataError, match=rf"file: {server.url} twice .*file\.sha256 records 0{{64}}: remove that file"):
        fetch(server.url, tmp_path / "file")
    assert server.starts == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["file.sha256"]
    (tmp_path / "file.sha256").unlink()
    assert fetch(server.url, tmp_path / "file").read_bytes() == CONTENT


def test_another_content_than_recorded_may_be_right_the_second_time(server: Server, tmp_path: Path):
    (tmp_path / "file.sha256").write_text(f"{hashlib.sha256(CONTENT).hexdigest()}  file\n")
    (tmp_path / "file.part").write_bytes(CONTENT[:1000] + b"!" + CONTENT[1001:2000])
    assert fetch(server.url, tmp_path / "file").read_bytes() == CONTENT
    assert server.starts == [2000, 0]


@pytest.mark.parametrize("record", ["", "abc", "Z" * 64 + "  file\n", "é"])
def test_a_damaged_record_of_a_checksum_is_named(server: Server, tmp_path: Path, record: str):
    (tmp_path / "file.sha256").write_text(record, encoding="utf-8")
    with pytest.raises(DataError, match=r"file\.sha256: does not hold a SHA-256 and a name: remove it"):
        fetch(server.url, tmp_path / "file")
    assert server.starts == []


@pytest.mark.parametrize(
    "page",
    [PAGE, PAGE[:20], gzip.compress(PAGE, mtime=0), gzip.compress(b"", mtime=0), b"\x1f\x8b", b""],
    ids=["whole", "begun", "compressed", "empty compressed", "compressed begun", "empty"],
)
def test_a_page_instead_of_the_file_is_neither_kept_nor_recorded(server: Server, tmp_path: Path, page: bytes):
    server.content, server.page = page, True
    with pytest.raises(DataError, match=rf"file: {server.url} sends something else: \S+") as refused:
        fetch(server.url, tmp_path / "file")
    assert "\n" not in str(refused.value)
    assert server.starts == [0]
    assert not list(tmp_path.iterdir())
    server.content, server.page = CONTENT, False
    assert fetch(server.url, tmp_path / "file").read_bytes() == CONTENT


def test_a_page_does_not_replace_what_arrived_before(server: Server, tmp_path: Path):
    (tmp_path / "file.part").write_bytes(CONTENT[:1_000_000])
    server.content, server.page = PAGE, True
    with pytest.raises(DataError, match="sends something else: neither GZIP nor a TFRecord"):
        fetch(server.url, tmp_path / "file")
    server.content, server.page = CONTENT, False
    assert fetch(server.url, tmp_path / "file").read_bytes() == CONTENT
    assert server.starts == [1_000_000, 1_000_000]


def test_the_rest_of_a_page_is_not_taken_for_the_file(server: Server, tmp_path: Path):
    (tmp_path / "file.part").write_bytes(PAGE)
    with pytest.raises(DataError, match="sends something else"):
        fetch(server.url, tmp_path / "file")
    assert fetch(server.url, tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("compress", [True, False])
def test_the_head_of_a_tfrecord(tmp_path: Path, compress: bool):
    path = files.write(tmp_path / "file", [b"a record" * 100], compress=compress)
    check_head(path.read_bytes())
    check_head(path.read_bytes()[:64])
    with pytest.raises(DataError, match=r"truncated|neither"):
        check_head(path.read_bytes()[:11])


def test_a_link_to_another_disk_is_followed(server: Server, tmp_path: Path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "file")
    assert fetch(server.url, tmp_path / "link") == tmp_path / "disk" / "file"
    assert (tmp_path / "link").read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["ftp//nowhere", "http://[", "http://127.0.0.1:1/file"])
def test_an_address_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(DataError, match="file: cannot be downloaded from ") as refused:
        fetch(url, tmp_path / "file")
    assert "\n" not in str(refused.value)


def test_a_server_that_always_fails(server: Server, tmp_path: Path):
    server.content = b""
    with pytest.raises(DataError, match=f"file: cannot be downloaded from {server.url}: 416"):
        fetch(server.url, tmp_path / "file")
    assert not (tmp_path / "file").exists()
