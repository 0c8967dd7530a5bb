"""Sets how the C library hands out memory in processes that train or evaluate models."""

from __future__ import annotations

import ctypes
import os
import sys

_SETTINGS = {"MALLOC_MMAP_MAX_": (-4, 0), "MALLOC_TRIM_THRESHOLD_": (-1, 2**31 - 1), "MALLOC_TOP_PAD_": (-2, 2**26)}
"""Environment variable to glibc's number of the option (``malloc.h``) and its value in bytes."""


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for the next tensor, and return whether it does.

    By default it returns large blocks to the system, which hands them out again page by page at every training step.
    Results keep their bits. Whoever has set one of glibc's variables in the environment keeps that setting, and other
    C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    unset = [setting for name, setting in _SETTINGS.items() if name not in os.environ]
    taken = [mallopt(option, value) for option, value in unset]
    return all(taken)
