"""Parses the `tf.train.Example` of a TFRecord.

An Example maps names to lists of byte strings, floats or integers. This parser knows only the part of Protocol Buffers'
wire format that these lists use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from data_tools.writing.durable import DataError

T = TypeVar("T")
VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
MAX_VALUES = 1 << 16
"""Most values of a list that is parsed value by value; what this project reads so has at most some thousand."""
MAX_FEATURES, MAX_NAME_BYTES = 1 << 10, 1 << 8
LIST_KINDS = {1: "bytes", 2: "float", 3: "int64"}
# A list of one-byte strings is a row of (tag, length, byte); here 1,024 of them.
_PATTERN = np.tile(np.array([1 << 3 | LENGTH_DELIMITED, 1, 0], np.uint8), 1024)
_MASK = np.tile(np.array([0xFF, 0xFF, 0], np.uint8), 1024)


class RecordError(DataError):
    """A TFRecord file or a record that is damaged or holds something unexpected."""


@dataclass(frozen=True)
class Feature:
    """A named list of an Example, which is decoded on request."""

    name: str
    kind: str
    """"bytes", "float" or "int64"; "empty" for a list that was never set."""
    payload: memoryview

    def strings(self) -> list[bytes]:
        """Return the byte strings of a bytes list."""
        self._expect("bytes")
        fields = list(_few(_fields(self.payload), self.name))
        if any((number, wire_type) != (1, LENGTH_DELIMITED) for number, wire_type, _ in fields):
            raise RecordError(f"feature {self.name!r} is not a well-formed list of strings")
        return [bytes(value) for _, _, value in fields]

    def one_byte_strings(self) -> npt.NDArray[np.uint8]:
        """Return the bytes of a list of one-byte strings, a strided view of the record without a copy. Shape (n,).

        Raises:
            RecordError: A string has another length.
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
        """Return the values of a float list. Shape (n,)."""
        self._expect("float")
        parts = []
        for number, wire_type, value in _few(_fields(self.payload), self.name):
            if number != 1 or wire_type not in (LENGTH_DELIMITED, FIXED32) or len(value) % 4:
                raise RecordError(f"feature {self.name!r} is not a well-formed float list")
            parts.append(np.frombuffer(value, "<f4"))
        return np.concatenate(parts).astype(np.float32) if parts else np.empty(0, np.float32)

    def ints(self) -> npt.NDArray[np.int64]:
        """Return the values of an integer list. Shape (n,)."""
        self._expect("int64")
        values: list[int] = []
        for number, wire_type, value in _few(_fields(self.payload), self.name):
            if number != 1 or wire_type not in (LENGTH_DELIMITED, VARINT):
                raise RecordError(f"feature {self.name!r} is not a well-formed integer list")
            packed = [value] if wire_type == VARINT else _varints(value)
            values.extend(_few(packed, self.name, MAX_VALUES - len(values)))
        return np.array(values, np.uint64).view(np.int64)

    def _expect(self, kind: str) -> None:
        if self.kind not in (kind, "empty"):
            raise RecordError(f"feature {self.name!r} is a list of {self.kind}, expected {kind}")


def parse_example(record: bytes) -> dict[str, Feature]:
    """Return the features of a serialised `tf.train.Example` by name, not decoded yet.

    Raises:
        RecordError: The record is not a `tf.train.Example`.
    """
    features: dict[str, Feature] = {}
    for map_field in _messages(memoryview(record), 1):
        for entry in _messages(map_field, 1):
            parts = {number: value for number, kind, value in _fields(entry) if kind == LENGTH_DELIMITED and number < 3}
            if not 1 <= len(parts.get(1, b"")) <= MAX_NAME_BYTES:
                raise RecordError(f"not a tf.train.Example: a name of a feature has 0 or over {MAX_NAME_BYTES} bytes")
            if len(features) == MAX_FEATURES:
                raise RecordError(f"not a tf.train.Example: it has more than {MAX_FEATURES} features")
            name = bytes(parts[1]).decode("utf-8", "replace")
            features[name] = _feature(name, parts.get(2, memoryview(b"")))
    if not features:
        raise RecordError("not a tf.train.Example: it has no feature")
    return features


def _feature(name: str, message: memoryview) -> Feature:
    kind, payload = "empty", memoryview(b"")
    for number, wire_type, value in _fields(message):
        if number in LIST_KINDS and wire_type == LENGTH_DELIMITED:
            kind, payload = LIST_KINDS[number], value
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


def _few(items: Iterable[T], name: str, most: int = MAX_VALUES) -> Iterator[T]:
    """Yield the items of a list that is parsed one by one, so that no record can fill the memory with them."""
    for count, item in enumerate(items):
        if count >= most:
            raise RecordError(f"feature {name!r} holds more than {MAX_VALUES} values")
        yield item


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
