"""Downloads large public files with pooch: retries, resumes broken transfers and records checksums."""

from __future__ import annotations

from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from data_tools.writing.durable import DataError, sha256

ATTEMPTS = 6
CHUNK_BYTES = 1 << 17
TIMEOUT_S = 60


def fetch(url: str, path: Path) -> Path:
    """Download `url` to `path`, unless the file exists, and record its SHA-256 in `path` + ".sha256".

    The bytes of an interrupted transfer are kept in `path` + ".part"; the next call resumes it if the server allows. If
    an earlier download recorded a checksum, the new file must have the same.

    Raises:
        DataError: The transfer failed repeatedly, or the content does not have the recorded checksum.
    """
    path = path.absolute()
    record = path.with_name(path.name + ".sha256")
    if path.exists():
        return path
    known = record.read_text(encoding="ascii").split()[0] if record.exists() else None
    store = pooch.create(
        path.parent, base_url="", registry={path.name: known}, urls={path.name: url}, retry_if_failed=ATTEMPTS - 1
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        store.fetch(path.name, downloader=_Continue(path.with_name(path.name + ".part")))
        record.write_text(f"{sha256(path)}  {path.name}\n", encoding="ascii")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be downloaded from {url}: {error}") from error
    return path


class _Continue:
    """A pooch downloader that asks the server only for the bytes that are missing."""

    def __init__(self, part: Path) -> None:
        self._part = part

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
        self._part.replace(output_file)

    def _receive(self, response: requests.Response, done: int) -> None:
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with (
            self._part.open("ab" if done else "wb") as file,
            tqdm(total=total, initial=done, unit="B", unit_scale=True, desc=self._part.stem, disable=None) as bar,
        ):
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
