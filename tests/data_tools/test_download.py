import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from data_tools.download import fetch
from data_tools.writing.durable import DataError

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Serves CONTENT, honours ranges, and breaks the first `failures` transfers after a third of what was asked."""

    failures = 0
    content = CONTENT

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
        body = self.server.content[start:]
        if not body:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        broken = len(self.server.starts) <= self.server.failures
        self.wfile.write(body[: len(body) // 3] if broken else body)

    def log_message(self, *_: object) -> None:
        pass


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
    with pytest.raises(DataError, match=r"cannot be downloaded.*hash"):
        fetch(server.url, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_server_that_always_fails(server: Server, tmp_path: Path):
    server.content = b""
    with pytest.raises(DataError, match=f"file: cannot be downloaded from {server.url}: 416"):
        fetch(server.url, tmp_path / "file")
    assert not (tmp_path / "file").exists()
