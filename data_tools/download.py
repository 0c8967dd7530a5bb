"""Downloads large public files with pooch: retries, resumes broken transfers and records checksums."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from data_tools.writing.durable import DataError, LockedError, one_line, release_lock, sha256, take_lock

ATTEMPTS = 6
CHUNK_BYTES = 1 << 17
TIMEOUT_S = 60

CheckHead = Callable[[bytes], None]
"""Raises a DataError if a file that begins with these bytes, up to `CHUNK_BYTES`, is not what was asked for."""


def fetch(url: str, path: Path, check_head: CheckHead) -> Path:
    """Download `url` to `path`, unless the file exists, and record its SHA-256 in `path` + ".sha256".

    The bytes of an interrupted transfer are kept in `path` + ".part"; the next call resumes it if the server allows.
    The first bytes that arrive are looked at, so that an error page is not taken for the file. If an earlier download
    recorded a checksum, the new file must have the same; if it has not, it is downloaded once more.

    Raises:
        DataError: The transfer failed repeatedly, the content is another file's or not that of the checksum, or
            another process is downloading the file.
    """
    path = path.resolve()
    if path.exists():
        return path
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = take_lock(part.with_name(part.name + ".lock"))
    except LockedError:
        raise DataError(f"{path}: another process is downloading it: wait for it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {one_line(error)}") from error
    try:
        return path if path.exists() else _fetch(url, path, part, check_head)
    finally:
        release_lock(lock)


def _fetch(url: str, path: Path, part: Path, check_head: CheckHead) -> Path:
    """Download and check the file and record its checksum, while no other process does."""
    record = path.with_name(path.name + ".sha256")
    known = _read_record(record)
    try:
        for _ in range(2):
            found = _transfer(url, path, _Continue(part, check_head))
            if known in (None, found):
                record.write_text(f"{found}  {path.name}\n", encoding="ascii")
                return path
            path.unlink()
    except _Refused as error:
        raise DataError(f"{path}: {url} sends something else: {error}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be downloaded from {url}: {one_line(error)}") from error
    raise DataError(
        f"{path}: {url} twice sent a file of SHA-256 {found}, {record} records {known}: "
        "remove that file if the source has changed"
    )


def _transfer(url: str, path: Path, downloader: _Continue) -> str:
    """Download a file with several attempts, and return its checksum."""
    store = pooch.create(
        path.parent, base_url="", registry={path.name: None}, urls={path.name: url}, retry_if_failed=ATTEMPTS - 1
    )
    store.fetch(path.name, downloader=downloader)
    return sha256(path)


def _read_record(record: Path) -> str | None:
    """Return the checksum of an earlier download, if there was one."""
    if not record.exists():
        return None
    text = record.read_bytes()
    if not re.fullmatch(rb"[0-9a-f]{64}  [^\n]+\n", text):
        raise DataError(f"{record}: does not hold a SHA-256 and a name: remove it")
    return text[:64].decode()


class _Refused(Exception):  # noqa: N818 # no ValueError, after which pooch would try again
    """A transfer of something else than the file."""


class _Continue:
    """A pooch downloader that asks the server only for the bytes that are missing."""

    def __init__(self, part: Path, check_head: CheckHead) -> None:
        self._part = part
        self._check_head = check_head

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        done = self._part.stat().st_size if self._part.exists() else 0
        ask = {"Range": f"bytes={done}-", "Accept-Encoding": "identity"} if done else {"Accept-Encoding": "identity"}
        with requests.get(url, headers=ask, stream=True, timeout=TIMEOUT_S) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                self._part.unlink(missing_ok=True)  # as long as the server's file or longer: start again
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                done = 0
            self._receive(response, done)
        with self._part.open("rb") as file:
            head = file.read(CHUNK_BYTES)
        try:
            self._check(head)
        except _Refused:
            self._part.unlink()  # of an earlier transfer, so that the next one starts again
            raise
        self._part.replace(output_file)

    def _receive(self, response: requests.Response, done: int) -> None:
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        chunks = response.iter_content(CHUNK_BYTES)
        first = next(chunks, b"")
        if not done:
            self._check(first)  # before it replaces what an earlier transfer left
        with (
            self._part.open("ab" if done else "wb") as file,
            tqdm(total=total, initial=done, unit="B", unit_scale=True, desc=self._part.stem, disable=None) as bar,
        ):
            for chunk in chain([first], chunks):
                file.write(chunk)
                bar.update(len(chunk))

    def _check(self, head: bytes) -> None:
        try:
            self._check_head(head)
        except DataError as error:
            raise _Refused(error) from None
