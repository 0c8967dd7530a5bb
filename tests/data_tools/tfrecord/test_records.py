import gzip
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.tfrecord.example import Feature, RecordError, parse_example
from data_tools.tfrecord.records import errors_at, masked_crc32c, read_ahead, read_records
from tests.data_tools.tfrecord import tfrecord_files as files

MOST = 1 << 24
RECORDS = [b"first", b"", b"the third record" * 10]
int64s = st.integers(-(2**63), 2**63 - 1)
float32s = st.floats(width=32, allow_nan=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.tfrecords"


def test_the_checksum_is_crc32c_in_c():
    assert google_crc32c.implementation == "c"
    assert google_crc32c.value(b"123456789") == 0xE3069283  # the check value of CRC-32C's definition
    unmasked = (masked_crc32c(b"123456789") - 0xA282EAD8) % 2**32
    assert (unmasked << 15 | unmasked >> 17) % 2**32 == 0xE3069283


@pytest.mark.parametrize("compress", [True, False])
def test_records_come_back_in_order(path: Path, compress: bool):
    assert list(read_records(files.write(path, RECORDS, compress=compress), most=MOST)) == RECORDS


def test_a_gzip_file_of_several_members_is_one_stream(path: Path):
    content = b"".join(map(files.framed, RECORDS))
    path.write_bytes(gzip.compress(content[:20]) + gzip.compress(content[20:]))
    assert list(read_records(path, most=MOST)) == RECORDS


def test_records_larger_than_a_read_block(path: Path):
    large = np.random.default_rng(0).bytes((5 << 19) + 7)
    assert list(read_records(files.write(path, [large, b"x"], compress=False), most=MOST)) == [large, b"x"]


def test_a_plain_record_whose_length_looks_like_gzip(path: Path):
    record = bytes(0x088B1F)
    files.write(path, [record], compress=False)
    assert path.read_bytes()[:3] == b"\x1f\x8b\x08"
    assert list(read_records(path, most=MOST)) == [record]


def test_read_ahead_changes_nothing_and_can_be_left_early():
    assert list(read_ahead(RECORDS)) == RECORDS
    items = read_ahead(RECORDS)
    assert next(items) == RECORDS[0]
    items.close()
    assert list(items) == []


def test_read_ahead_passes_errors_on(path: Path):
    with pytest.raises(RecordError, match="missing"):
        list(read_ahead(read_records(path, most=MOST)))


def refused(path: Path, *phrases: str) -> None:
    with pytest.raises(RecordError) as caught:
        list(read_records(path, most=MOST))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    for phrase in phrases:
        assert phrase in str(caught.value)


def test_missing_empty_and_foreign_files(path: Path, tmp_path: Path):
    refused(path, "missing")
    refused(tmp_path, "directory")
    path.write_bytes(b"")
    refused(path, "empty", "0 bytes")
    path.write_bytes(gzip.compress(b""))
    refused(path, "empty")
    path.write_text("This is a text, neither GZIP nor a TFRecord.")
    refused(path, "record 0", "neither GZIP nor a TFRecord", "54 68 69 73")
    path.write_bytes(b"\x05")
    refused(path, "neither")


@pytest.mark.parametrize("compress", [True, False])
def test_every_truncation_is_noticed(path: Path, compress: bool):
    whole = files.write(path, RECORDS, compress=compress).read_bytes()
    ends = {sum(len(files.framed(record)) for record in RECORDS[:n]) for n in range(1, 4)} if not compress else set()
    for length in range(1, len(whole)):
        if length in ends:  # a plain file cut between two records is a shorter file; nothing tells
            continue
        path.write_bytes(whole[:length])
        refused(path, "record")


def test_truncation_names_the_record(path: Path):
    whole = files.write(path, RECORDS, compress=False).read_bytes()
    path.write_bytes(whole[:-1])
    refused(path, "record 2: truncated: 163 of 164 bytes")
    path.write_bytes(whole[: len(files.framed(RECORDS[0])) + 3])
    refused(path, "record 1: truncated: 3 bytes of its 12-byte header")


def test_a_flipped_bit_in_any_byte_of_a_plain_file_is_noticed(path: Path):
    whole = files.write(path, RECORDS, compress=False).read_bytes()
    for position in range(len(whole)):
        for bit in (0, 5):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            refused(path, "record")


def test_flipped_bits_of_a_gzip_file_are_noticed_or_change_nothing(path: Path):
    whole = files.write(path, RECORDS).read_bytes()
    silent = []
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with suppress(RecordError):
            assert list(read_records(path, most=MOST)) == RECORDS
            silent.append(position)
    assert all(3 <= position < 10 or position == len(whole) - 9 for position in silent)  # GZIP's time, padding bits


def test_damage_names_the_record(path: Path):
    content = bytearray(b"".join(map(files.framed, RECORDS)))
    content[-10] ^= 1
    path.write_bytes(content)
    refused(path, "record 2: damaged: the checksum of its data does not match")
    path.write_bytes(gzip.compress(content))
    refused(path, "record 2: damaged")
    length = struct.pack("<Q", 1 << 40)
    path.write_bytes(length + files.checksum(length))
    refused(path, "record 0: a length of 1099511627776 bytes, but records of this kind have at most 16777216")


@given(
    st.lists(st.binary(max_size=300), max_size=5),
    st.lists(float32s, max_size=5),
    st.lists(int64s, max_size=5),
    st.booleans(),
)
def test_examples_come_back(texts: list[bytes], reals: list[float], whole: list[int], packed: bool):
    record = files.example(
        {
            "text": files.strings(texts),
            "real": files.floats(reals, packed=packed),
            "ü": files.ints(whole, packed=packed),
        }
    )
    features = parse_example(record)
    assert sorted(features) == ["real", "text", "ü"]
    assert features["text"].strings() == texts
    assert features["real"].floats().tolist() == reals
    assert features["ü"].ints().tolist() == whole


def test_a_feature_without_a_list_is_an_empty_list_of_anything():
    feature = parse_example(files.example({"none": b""}))["none"]
    assert feature.strings() == []
    assert feature.floats().shape == feature.ints().shape == feature.one_byte_strings().shape == (0,)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_parser(record: bytes):
    with suppress(RecordError):
        features = parse_example(record)
        assert features
        decode_everything(features)


@given(st.data())
def test_mutilated_examples_end_in_a_record_error_or_a_value(data: st.DataObject):
    record = bytearray(
        files.example({"a": files.ints([1, 300]), "b": files.strings([b"xy"]), "c": files.floats([1.5])})
    )
    record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RecordError):
        features = parse_example(bytes(record))
        assert features
        decode_everything(features)


def decode_everything(features: dict[str, Feature]) -> None:
    for feature in features.values():
        for decode in (feature.strings, feature.floats, feature.ints, feature.one_byte_strings):
            with suppress(RecordError):
                assert len(decode()) <= len(feature.payload)


@pytest.mark.parametrize("n", [0, 1, 5, 1023, 1024, 1025, 5000])
def test_one_byte_strings_are_a_view_of_the_record(n: int):
    values = np.random.default_rng(n).integers(0, 256, n, dtype=np.uint8)
    record = np.frombuffer(files.example({"mask": files.strings(bytes([value]) for value in values)}), np.uint8)
    decoded = parse_example(record.tobytes())["mask"].one_byte_strings()
    assert decoded.tolist() == values.tolist()
    assert n < 2 or decoded.strides == (3,)


@pytest.mark.parametrize("position", [0, 1, 1500, 3070, 3072, 6142, 6145, 6599])
def test_one_byte_strings_are_checked_not_assumed(position: int):
    wire = bytearray(b"".join(b"\n\x01" + bytes([value % 256]) for value in range(2200)))
    if position % 3 == 2:
        wire[position] ^= 0xFF  # a value may be anything
    else:
        wire[position] ^= 0x10
    feature = parse_example(files.example({"mask": files.delimited(1, bytes(wire))}))["mask"]
    if position % 3 == 2:
        assert feature.one_byte_strings()[position // 3] == (position // 3) % 256 ^ 0xFF
    else:
        with pytest.raises(RecordError, match="'mask' is not a list of one-byte strings"):
            feature.one_byte_strings()


def test_one_byte_strings_refuse_longer_strings():
    feature = parse_example(files.example({"mask": files.strings([b"a", b"bc", b"d"])}))["mask"]
    with pytest.raises(RecordError, match="one-byte strings"):
        feature.one_byte_strings()


def test_the_kind_of_a_list_is_checked():
    features = parse_example(files.example({"x": files.floats([1.0])}))
    with pytest.raises(RecordError, match="'x' is a list of float, expected bytes"):
        features["x"].strings()


def test_errors_at_says_where():
    with pytest.raises(RecordError, match=r"^some/file: record 7: broken$"), errors_at("some/file", 7):
        raise RecordError("broken")


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """A function that returns the most bytes that Python held since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize("compress", [True, False])
def test_a_record_longer_than_its_kind_is_refused_unread(path: Path, memory: Callable[[], int], compress: bool):
    files.write(path, [b"x", bytes(50 << 20)], compress=compress)
    tracemalloc.reset_peak()
    with pytest.raises(RecordError, match=r"record 1: a length of 52428800 bytes, .* at most 16777216"):
        list(read_records(path, most=MOST))
    assert memory() < 8 << 20


@pytest.mark.parametrize(
    ("feature", "read"),
    [
        (files.delimited(1, b"\n\0" * (2 << 20)), Feature.strings),
        (files.delimited(2, b"\n\0" * (2 << 20)), Feature.floats),
        (files.delimited(3, b"\n\0" * (2 << 20)), Feature.ints),
        (files.delimited(3, b"\n\1\1" * (2 << 20)), Feature.ints),
        (files.delimited(3, b"\x08\1" * (2 << 20)), Feature.ints),
        (files.delimited(3, files.delimited(1, b"\1" * (4 << 20))), Feature.ints),
    ],
)
def test_a_list_cannot_fill_the_memory(memory: Callable[[], int], feature: bytes, read: Callable[[Feature], object]):
    parsed = parse_example(files.example({"x": feature}))["x"]
    tracemalloc.reset_peak()
    with pytest.raises(RecordError, match="feature 'x' holds more than 65536 values"):
        read(parsed)
    assert memory() < 64 << 20


def test_features_cannot_fill_the_memory():
    with pytest.raises(RecordError, match="more than 1024 features"):
        parse_example(files.example({str(number): files.ints([1]) for number in range(1025)}))
    with pytest.raises(RecordError, match="a name of a feature has 0 or over 256 bytes"):
        parse_example(files.example({"x" * 257: files.ints([1])}))
