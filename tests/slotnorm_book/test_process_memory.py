"""Freed memory is kept: a tensor that is made again and again does not fault its pages in again."""

import subprocess
import sys

import pytest

from slotnorm_book.process_memory import keep_freed_memory

STEPS, PAGES = 20, 2**14
PROGRAM = f"""
import resource, sys, torch
from slotnorm_book.process_memory import keep_freed_memory
if "keep" in sys.argv:
    assert keep_freed_memory()
def faults():
    for _ in range({STEPS}):  # the memory's final size is reached after a few
        torch.zeros({PAGES} * 4096, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(-faults() + faults())
"""


def page_faults(*arguments: str) -> int:
    """Return how often a process faults a page in while it makes a tensor of 64 MiB again and again."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's setting")
def test_pages_are_not_faulted_in_again_at_every_step():
    assert page_faults("keep") < PAGES


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
