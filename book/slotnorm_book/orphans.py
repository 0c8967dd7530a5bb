"""Ends worker processes, and everything that they started, with the command that started them."""

from __future__ import annotations

import os
from multiprocessing import parent_process
from threading import Thread

import psutil


def end_with_parent() -> None:
    """Make this worker process, and all processes below it, end when its parent ends, even by ``kill -9``.

    A thread waits for the other end of a pipe that the parent holds. A kernel is in a session of its own, so that no
    signal to the worker's process group would reach it.
    """
    Thread(target=_wait_and_end, name="end-with-parent", daemon=True).start()


def _wait_and_end() -> None:
    parent = parent_process()
    if parent is None:
        return
    parent.join()
    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.Error:  # it has ended already
            continue
    os._exit(1)
