"""Stopping between two training steps, never in the middle of one: after a signal or when the time budget is spent."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType

EXIT_RESUMABLE = 75
"""Exit status of a command that was stopped and continues when it is given again (EX_TEMPFAIL of sysexits)."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], object] | int | None


class Stop:
    """A callable that tells whether to stop. Inside ``with``, the first SIGTERM or SIGINT sets it, a second one kills.

    Args:
        budget: seconds after which to stop; ``None`` for no limit.
        also: another condition under which to stop.

    Example:
        >>> with Stop(budget=0.0) as stop:
        ...     stop()
        True
    """

    def __init__(self, budget: float | None = None, also: Callable[[], bool] = lambda: False) -> None:
        self._deadline = None if budget is None else time.monotonic() + budget
        self._also = also
        self._asked = False
        self._before: dict[int, Handler] = {}

    def __call__(self) -> bool:
        """Return whether to stop now."""
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
