"""Draws random numbers that depend only on where they are used.

A scene's numbers come from hashing (seed, scene, attempt, stream, index) with the finaliser of SplitMix64, so scene i
of a seed is the same in any batch, in any order and after any interruption.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_INDEX_BITS = np.uint64(32)


class Draws:
    """The random numbers of some scenes; those of different streams or indices are independent.

    Args:
        seed: Seed of the data set, 0 <= seed < 2^63.
        scene: Numbers of the scenes, int64 (B,).
        attempt: Number of the layout that is tried for each scene, int64 (B,).

    >>> one, two = Draws(0, np.arange(4), np.zeros(4)), Draws(0, np.arange(2, 4), np.zeros(2))
    >>> bool((one.uniform(7, 3)[2:] == two.uniform(7, 3)).all())
    True
    """

    def __init__(self, seed: int, scene: NDArray[np.generic], attempt: NDArray[np.generic]) -> None:
        state = _mix(np.full(len(scene), seed, np.uint64))
        for part in (scene, attempt):
            state = _mix(state + part.astype(np.uint64) * _STEP)
        self._state = state

    def __getitem__(self, chosen: Bools | Ints) -> Draws:
        """Select the random numbers of some of the scenes."""
        part = object.__new__(Draws)
        part._state = self._state[chosen]
        return part

    def uniform(self, stream: int, *shape: int) -> Floats:
        """Draw numbers in [0, 1), of shape (B, *shape)."""
        size = math.prod(shape)
        counter = (np.uint64(stream) << _INDEX_BITS) + np.arange(1, size + 1, dtype=np.uint64)
        bits = _mix(_mix(self._state[:, None] + counter * _STEP) + counter)
        return ((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(-1, *shape)

    def between(self, stream: int, low: float, high: float, *shape: int) -> Floats:
        """Draw numbers in [low, high), of shape (B, *shape)."""
        return low + (high - low) * self.uniform(stream, *shape)

    def choice(self, stream: int, options: int, *shape: int) -> Ints:
        """Draw integers from 0 to options - 1, of shape (B, *shape)."""
        return (self.uniform(stream, *shape) * options).astype(np.int64)

    def rotation(self, stream: int, *shape: int) -> Floats:
        """Draw uniformly distributed rotation matrices (B, *shape, 3, 3) from random unit quaternions."""
        u, a, b = np.moveaxis(self.uniform(stream, *shape, 3), -1, 0)
        s, t = np.sqrt(1 - u), np.sqrt(u)
        x, y = s * np.sin(2 * np.pi * a), s * np.cos(2 * np.pi * a)
        z, w = t * np.sin(2 * np.pi * b), t * np.cos(2 * np.pi * b)
        rows = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
        return np.stack([np.stack(row, -1) for row in rows], -2)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
