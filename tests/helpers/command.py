"""The command line, run in the process of a test."""

import sys

import pytest

from slotnorm_book.__main__ import cli


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run ``slotnorm-book`` with these arguments and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["slotnorm-book", *arguments])
    try:
        cli()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
