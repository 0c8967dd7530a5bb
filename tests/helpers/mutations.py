"""Damaged copies of a file's content: the same ones for the same seed."""

import random
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

TOKENS = (b"[", b"]", b"{", b"}", b'"', b",", b":", b"null", b"true", b"-1", b"1e999", b"NaN", b"9" * 5000, b"../")
LARGEST = 64


def mutations(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield `count` copies of `content`, each with one to three changes."""
    chance = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            _change(damaged, chance)
        yield bytes(damaged)


def result_of(run: Callable[[], T], *errors: type[Exception]) -> tuple[T | None, str]:
    """The result of `run` and no message, or None and the one-line message of one of these errors."""
    try:
        return run(), ""
    except errors as error:
        message = str(error)
    assert message
    assert "\n" not in message
    return None, message


def _change(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content) + 1)
    some = slice(at, at + chance.randint(1, LARGEST))
    match chance.randrange(6):
        case 0:
            content[at : at + 1] = bytes([chance.randrange(256)])
        case 1:
            content[at : at + 1] = bytes(byte ^ 1 << chance.randrange(8) for byte in content[at : at + 1])
        case 2:
            del content[some]
        case 3:
            content[at:at] = content[some]
        case 4:
            content[at:at] = chance.choice(TOKENS)
        case 5:
            del content[at:]
