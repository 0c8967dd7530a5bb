"""Counts, durations and rates as text, in the unit that suits them."""

DAY = 86_400


def format_duration(seconds: float) -> str:
    """Write a time in the unit that suits it, to two digits.

    Example:
        >>> [format_duration(seconds) for seconds in (95.0, 5400.0, 3e5, 1e9)]
        ['95 s', '90 min', '3.5 days', '32 years']
    """
    units = (("years", 365.25 * DAY, 2), ("days", DAY, 2), ("h", 3600, 2), ("min", 60, 2), ("s", 1, 0))
    name, size, _ = next(unit for unit in units if seconds >= unit[1] * unit[2])
    amount = seconds / size
    return f"{amount:,.0f} {name}" if amount >= 10 else f"{amount:.2g} {name}"


def format_rate(rate: float) -> str:
    """Write a rate of operations per second to three digits, such as ``"1.5 TFLOP/s"``."""
    return f"{rate / 1e12:.3g} TFLOP/s" if rate >= 1e12 else f"{rate / 1e9:.3g} GFLOP/s"


def format_count(count: int, what: str) -> str:
    """Write a count with its noun, such as ``"1 run"`` or ``"3 runs"``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
