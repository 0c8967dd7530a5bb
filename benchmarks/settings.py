"""What a benchmark is run with, and what it yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

PRECISIONS = ("fp32", "bf16")
BF16_BESIDE_FP32 = "ours in bf16 beside plain in fp32"
"""What a row is called that compares the project's form with how the authors train; all others have one precision."""


@dataclass(frozen=True)
class Settings:
    """Of a whole run.

    Args:
        device: where models are timed; measures, readers and imports are always timed on the processor.
        quick: tiny sizes and one repeat: shows that everything turns, and nothing of the speed.
        repeats: of every form, in turn with the others; medians count.
        tensorflow: interpreter that has TensorFlow, ``None`` where there is none.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    quick: bool = False
    repeats: int = 3
    tensorflow: str | None = None

    @property
    def cuda(self) -> bool:
        """Whether models are timed on a GPU."""
        return self.device.type == "cuda"

    def rounds(self, most: int | None = None) -> int:
        """Repeats of something slow, of which ``most`` are enough."""
        return 1 if self.quick else min(self.repeats, most or self.repeats)


@dataclass(frozen=True)
class Row:
    """One measurement; what is ``None`` was not measured.

    Args:
        subject: the part of the benchmark it comes from.
        what: was measured.
        size: of it.
        unit: of ``plain`` and ``ours``.
        plain: the straightforward form's median.
        ours: the project's median.
        ratio: plain over ours, or, where a rate is measured, ours over plain: above 1 the project's form is better.
        spread: smallest and largest ratio of the repeats.
        aim: what was wanted.
        met: whether it holds.
        floor: operations and bytes that were counted, and what they would take at this machine's measured rates.
        used: page faults a call and share of the time in the operating system, of both forms.
        note: what else has to be known.
    """

    subject: str
    what: str
    size: str
    unit: str
    plain: float | None = None
    ours: float | None = None
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    aim: str = ""
    met: bool | None = None
    floor: str = ""
    used: str = ""
    note: str = ""


Subject = Callable[[Settings], Iterator[Row]]
"""Measures and yields row by row."""
