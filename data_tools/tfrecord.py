"""TFRecord files of `tf.train.Example` without TensorFlow: streamed, checksummed, parsed from the wire.

A TFRecord is a row of `uint64 length, uint32 masked CRC-32C of it, data, uint32 masked CRC-32C of the data`, little
endian, plain or within GZIP. An Example maps names to lists of byte strings, floats or integers; of Protocol Buffers'
wire format only what these lists need is understood here.

    for index, record in enumerate(read_records("clevr_with_masks_train.tfrecords")):
        with errors_at(path, index):
            features = parse_example(record)
            x = features["x"].floats()
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path
from typing import IO, Any, cast

import google_crc32c
import numpy as np
import numpy.typing as npt
from isal import igzip, isal_zlib

from data_tools.durable import DataError

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
KINDS = {1: "bytes", 2: "float", 3: "int64"}
MAX_RECORD_BYTES = 1 << 31
_HEADER = struct.Struct("<QI")
_BLOCK_BYTES = 1 << 20  # larger reads from a GZIP stream cost twice the time, in fresh pages
# A list of one-byte strings is a row of (tag, length, byte); here 1,024 of them.
_PATTERN = np.tile(np.array([1 << 3 | LENGTH_DELIMITED, 1, 0], np.uint8), 1024)
_MASK = np.tile(np.array([0xFF, 0xFF, 0], np.uint8), 1024)


class RecordError(DataError):
    """A TFRecord file, or a record in it, that is damaged or not what was expected."""


@dataclass(frozen=True)
class Feature:
    """One named list of an Example; decoded on request."""

    name: str
    kind: str
    """"bytes", "float" or "int64"; "empty" for a list that was never set."""
    payload: memoryview

    def strings(self) -> list[bytes]:
        """The byte strings of a bytes list."""
        self._expect("bytes")
        fields = list(_fields(self.payload))
        if any((number, wire_type) != (1, LENGTH_DELIMITED) for number, wire_type, _ in fields):
            raise RecordError(f"feature {self.name!r} is not a well-formed list of strings")
        return [bytes(value) for _, _, value in fields]

    def one_byte_strings(self) -> npt.NDArray[np.uint8]:
        """The values of a list whose strings all hold one byte: a strided view of the record, not a copy. Shape (n,).

        Raises:
            RecordError: Some string has another length.
        """
        self._expect("bytes")
        wire = np.frombuffer(self.payload, np.uint8)
        whole = len(wire) // len(_PATTERN) * len(_PATTERN)
        rows, rest = wire[:whole].reshape(-1, len(_PATTERN)), wire[whole:]
        fits = len(wire) % 3 == 0 and bool((rest & _MASK[: len(rest)] == _PATTERN[: len(rest)]).all())
        if fits and len(rows):  # what both AND and OR make of all rows, every row holds: faster than ==
            folds = (np.bitwise_and.reduce(rows), np.bitwise_or.reduce(rows))
            fits = all(np.array_equal(fold & _MASK, _PATTERN) for fold in folds)
        if not fits:
            raise RecordError(f"feature {self.name!r} is not a list of one-byte strings")
        return wire[2::3]

    def floats(self) -> npt.NDArray[np.float32]:
        """The values of a float list. Shape (n,)."""
        self._expect("float")
        parts = []
        for number, wire_type, value in _fields(self.payload):
            if number != 1 or wire_type not in (LENGTH_DELIMITED, FIXED32) or len(value) % 4:
                raise RecordError(f"feature {self.name!r} is not a well-formed float list")
            parts.append(np.frombuffer(value, "<f4"))
        return np.concatenate(parts).astype(np.float32) if parts else np.empty(0, np.float32)

    def ints(self) -> npt.NDArray[np.int64]:
        """The values of an integer list. Shape (n,)."""
        self._expect("int64")
        values: list[int] = []
        for number, wire_type, value in _fields(self.payload):
            if number != 1 or wire_type not in (LENGTH_DELIMITED, VARINT):
                raise RecordError(f"feature {self.name!r} is not a well-formed integer list")
            values.extend([value] if wire_type == VARINT else _varints(value))
        return np.array(values, np.uint64).view(np.int64)

    def _expect(self, kind: str) -> None:
        if self.kind not in (kind, "empty"):
            raise RecordError(f"feature {self.name!r} is a list of {self.kind}, expected {kind}")


def read_records(path: str | Path) -> Iterator[bytes]:
    """Stream the records of a TFRecord file, plain or GZIP, with every checksum compared. Memory: one record.

    Raises:
        RecordError: Naming the file and the record (counted from 0): missing, empty, truncated, damaged.
    """
    path = Path(path)
    index = 0
    try:
        with path.open("rb") as file:
            stream = _decompressed(file, path)
            while header := stream.read(_HEADER.size):
                with errors_at(path, index):
                    record = _record(stream, header)
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


def parse_example(record: bytes) -> dict[str, Feature]:
    """The named features of a serialised `tf.train.Example`, not decoded yet.

    Raises:
        RecordError: The record is something else.
    """
    features: dict[str, Feature] = {}
    for map_field in _messages(memoryview(record), 1):
        for entry in _messages(map_field, 1):
            parts = {number: value for number, wire_type, value in _fields(entry) if wire_type == LENGTH_DELIMITED}
            if 1 not in parts:
                raise RecordError("not a tf.train.Example: a feature has no name")
            name = bytes(parts[1]).decode("utf-8", "replace")
            features[name] = _feature(name, parts.get(2, memoryview(b"")))
    if not features:
        raise RecordError("not a tf.train.Example: it has no feature")
    return features


@contextmanager
def errors_at(path: str | Path, index: int) -> Iterator[None]:
    """Let a `RecordError` raised inside say in which file and record it arose."""
    try:
        yield
    except RecordError as error:
        raise RecordError(f"{path}: record {index}: {error}") from None


def read_ahead(items: Iterable[bytes]) -> Generator[bytes, None, None]:
    """The same items, the next one being made in a thread while the current one is used."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        pending = pool.submit(next, iterator, None)
        while (item := pending.result()) is not None:
            pending = pool.submit(next, iterator, None)
            yield item


def masked_crc32c(data: bytes) -> int:
    """TFRecord's checksum: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _decompressed(file: IO[bytes], path: Path) -> IO[bytes]:
    head = file.read(_HEADER.size)
    file.seek(0)
    if not head:
        raise RecordError(f"{path}: empty: 0 bytes")
    # The checksum first: the length of a plain record may happen to begin with GZIP's two magic bytes.
    if len(head) == _HEADER.size and masked_crc32c(head[:8]) == _HEADER.unpack(head)[1]:
        return file
    if head[:2] == b"\x1f\x8b":
        return cast(IO[bytes], igzip.open(file))  # type: ignore[no-untyped-call] # more than twice as fast as zlib
    raise RecordError(
        f"{path}: record 0: neither GZIP nor a TFRecord: begins with {head[:8].hex(' ')}, "
        "which is no GZIP magic (1f 8b) and no length with a matching checksum"
    )


def _record(stream: IO[bytes], header: bytes) -> bytes:
    if len(header) < _HEADER.size:
        raise RecordError(f"truncated: {len(header)} bytes of its {_HEADER.size}-byte header")
    length, crc = _HEADER.unpack(header)
    if masked_crc32c(header[:8]) != crc:
        raise RecordError("damaged: the checksum of its length does not match")
    if length > MAX_RECORD_BYTES:
        raise RecordError(f"damaged: a length of {length} bytes")
    sizes = [_BLOCK_BYTES] * (length // _BLOCK_BYTES) + [length % _BLOCK_BYTES]
    data = b"".join(stream.read(size) for size in sizes)
    footer = stream.read(4)
    if len(data) + len(footer) < length + 4:
        raise RecordError(f"truncated: {len(data) + len(footer)} of {length + 4} bytes")
    if masked_crc32c(data) != int.from_bytes(footer, "little"):
        raise RecordError("damaged: the checksum of its data does not match")
    return data


def _feature(name: str, message: memoryview) -> Feature:
    kind, payload = "empty", memoryview(b"")
    for number, wire_type, value in _fields(message):
        if number in KINDS and wire_type == LENGTH_DELIMITED:
            kind, payload = KINDS[number], value
    return Feature(name, kind, payload)


def _messages(message: memoryview, number: int) -> Iterator[memoryview]:
    for got, wire_type, value in _fields(message):
        if got == number and wire_type == LENGTH_DELIMITED:
            yield value


def _fields(message: memoryview) -> Iterator[tuple[int, int, Any]]:
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == VARINT:
            value, position = _varint(message, position)
            yield number, wire_type, value
            continue
        if wire_type == LENGTH_DELIMITED:
            size, position = _varint(message, position)
        elif wire_type in (FIXED32, FIXED64):
            size = 4 if wire_type == FIXED32 else 8
        else:
            raise RecordError(f"not a tf.train.Example: wire type {wire_type}")
        if position + size > len(message):
            raise RecordError(f"not a tf.train.Example: field {number} runs over the end of its message")
        yield number, wire_type, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise RecordError("not a tf.train.Example: a varint without an end")


def _varints(packed: memoryview) -> Iterator[int]:
    position = 0
    while position < len(packed):
        value, position = _varint(packed, position)
        yield value
