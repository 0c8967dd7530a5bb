"""Stopping in good order: a signal or a spent time budget is answered between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

EXIT_GO_ON = 75
"""Exit status of a command that was stopped and goes on when it is given again (EX_TEMPFAIL of sysexits)."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Says whether to stop; inside ``with``, SIGTERM and SIGINT set it, a second one kills as usual.

    Args:
        budget: seconds after which to stop; ``None`` for no limit.
        also: another reason to stop.

    Example:
        >>> with Stop(budget=0.0) as stop:
        ...     stop()
        True
    """

    def __init__(self, budget: float | None = None, also: Callable[[], bool] = lambda: False) -> None:
        self._deadline = None if budget is None else time.monotonic() + budget
        self._also = also
        self._asked = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether to stop now."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return self._asked or late or self._also()

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(number, self._before[number])
