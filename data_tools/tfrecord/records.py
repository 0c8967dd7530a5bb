"""Reads TFRecord files without TensorFlow, record by record, and compares every checksum.

A TFRecord file is a sequence of `uint64 length, uint32 masked CRC-32C of the length, data, uint32 masked CRC-32C of the
data`, little endian, plain or compressed with GZIP.

    for index, record in enumerate(read_records("clevr_with_masks_train.tfrecords", most=1 << 23)):
        with errors_at(path, index):
            features = parse_example(record)
            x = features["x"].floats()
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from gzip import BadGzipFile
from pathlib import Path
from typing import IO, cast

import google_crc32c
from isal import igzip, isal_zlib

from data_tools.tfrecord.example import RecordError

_HEADER = struct.Struct("<QI")
_GZIP = b"\x1f\x8b"
_BLOCK_BYTES = 1 << 20  # larger reads from a GZIP stream cost twice the time, in fresh pages


def read_records(path: str | Path, *, most: int) -> Iterator[bytes]:
    """Yield the records of a TFRecord file, plain or GZIP, after comparing their checksums. Keeps one in memory.

    Args:
        path: The file.
        most: Most bytes of a record; a longer one is refused before it is read or decompressed.

    Raises:
        RecordError: The file is missing, empty, truncated or damaged; the message names file and record, from 0.
    """
    path = Path(path)
    index = 0
    try:
        with path.open("rb") as file:
            stream = _decompressed(file, path)
            while header := stream.read(_HEADER.size):
                with errors_at(path, index):
                    record = _record(stream, header, most)
                yield record
                index += 1
    except EOFError:
        raise RecordError(f"{path}: record {index}: truncated: the GZIP stream ends before its end marker") from None
    except (isal_zlib.error, BadGzipFile) as error:  # type: ignore[misc] # its stub declares an instance
        raise RecordError(f"{path}: record {index}: damaged GZIP stream: {error}") from None
    except FileNotFoundError:
        raise RecordError(f"{path}: missing: no such file") from None
    except OSError as error:
        raise RecordError(f"{path}: record {index}: cannot be read: {error.strerror or error}") from error
    if index == 0:
        raise RecordError(f"{path}: empty: a GZIP stream without any record")


@contextmanager
def errors_at(path: str | Path, index: int) -> Iterator[None]:
    """Add the file and the number of the record to the message of a `RecordError` that is raised inside."""
    try:
        yield
    except RecordError as error:
        raise RecordError(f"{path}: record {index}: {error}") from None


def read_ahead(items: Iterable[bytes]) -> Generator[bytes, None, None]:
    """Yield the same items, and make the next one in a thread while the current one is used."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        pending = pool.submit(next, iterator, None)
        while (item := pending.result()) is not None:
            pending = pool.submit(next, iterator, None)
            yield item


def masked_crc32c(data: bytes) -> int:
    """Return TFRecord's checksum of `data`: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _decompressed(file: IO[bytes], path: Path) -> IO[bytes]:
    head = file.read(_HEADER.size)
    file.seek(0)
    if not head:
        raise RecordError(f"{path}: empty: 0 bytes")
    # The checksum first: the length of a plain record may happen to begin with GZIP's two magic bytes.
    if _is_plain(head):
        return file
    if head[:2] == _GZIP:
        return cast(IO[bytes], igzip.open(file))  # type: ignore[no-untyped-call] # more than twice as fast as zlib
    raise RecordError(f"{path}: record 0: {_neither(head)}")


def _is_plain(head: bytes) -> bool:
    return len(head) >= _HEADER.size and masked_crc32c(head[:8]) == _HEADER.unpack(head[: _HEADER.size])[1]


def _neither(head: bytes) -> str:
    return (
        f"neither GZIP nor a TFRecord: begins with {head[:8].hex(' ')}, "
        "which is no GZIP magic (1f 8b) and no length with a matching checksum"
    )


def check_head(head: bytes) -> None:
    """Check that a file which begins with these bytes, 64 or more, can be a TFRecord file: the length of its record.

    Raises:
        RecordError: It cannot.
    """
    if not _is_plain(head):
        if head[:2] != _GZIP:
            raise RecordError(_neither(head))
        try:
            head = isal_zlib.decompressobj(wbits=31).decompress(head, _HEADER.size)
        except isal_zlib.error as error:  # type: ignore[misc] # its stub declares an instance
            raise RecordError(f"damaged GZIP stream: {error}") from None
    _length(head[: _HEADER.size])


def _length(header: bytes) -> int:
    if len(header) < _HEADER.size:
        raise RecordError(f"truncated: {len(header)} bytes of its {_HEADER.size}-byte header")
    length, crc = _HEADER.unpack(header)
    if masked_crc32c(header[:8]) != crc:
        raise RecordError("damaged: the checksum of its length does not match")
    return int(length)


def _record(stream: IO[bytes], header: bytes, most: int) -> bytes:
    if (length := _length(header)) > most:
        raise RecordError(f"a length of {length} bytes, but records of this kind have at most {most}")
    sizes = [_BLOCK_BYTES] * (length // _BLOCK_BYTES) + [length % _BLOCK_BYTES]
    data = b"".join(stream.read(size) for size in sizes)
    footer = stream.read(4)
    if len(data) + len(footer) < length + 4:
        raise RecordError(f"truncated: {len(data) + len(footer)} of {length + 4} bytes")
    if masked_crc32c(data) != int.from_bytes(footer, "little"):
        raise RecordError("damaged: the checksum of its data does not match")
    return data
