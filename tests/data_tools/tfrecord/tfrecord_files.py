"""Writes small TFRecord files, independently of the reader under test."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import google_crc32c


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def delimited(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def strings(values: Iterable[bytes]) -> bytes:
    return delimited(1, b"".join(delimited(1, value) for value in values))


def floats(values: Sequence[float], *, packed: bool = True) -> bytes:
    if packed:
        return delimited(2, delimited(1, struct.pack(f"<{len(values)}f", *values)))
    return delimited(2, b"".join(b"\x0d" + struct.pack("<f", value) for value in values))


def ints(values: Sequence[int], *, packed: bool = True) -> bytes:
    if packed:
        return delimited(3, delimited(1, b"".join(map(varint, values))))
    return delimited(3, b"".join(b"\x08" + varint(value) for value in values))


def example(features: Mapping[str, bytes]) -> bytes:
    entries = (delimited(1, delimited(1, name.encode()) + delimited(2, value)) for name, value in features.items())
    return delimited(1, b"".join(entries))


def checksum(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    rotated = (crc >> 15) | (crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) % (1 << 32))


def framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return length + checksum(length) + record + checksum(record)


def write(path: Path, records: Iterable[bytes], *, compress: bool = True) -> Path:
    content = b"".join(map(framed, records))
    path.write_bytes(gzip.compress(content, mtime=0) if compress else content)
    return path
