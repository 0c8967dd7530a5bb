"""The way to a Ray cluster: the one that runs, or one of this machine alone."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slotnorm.spec import SpecError

OBJECT_STORE_BYTES = 100_000_000
"""Of a cluster of this machine alone; only small messages pass through it."""
STARTED_HERE = Path("/tmp/ray/ray_current_cluster")
"""Where ``ray start`` notes the address of the cluster that this machine belongs to."""


@contextmanager
def connected() -> Iterator[Any]:
    """Ray, connected to the running cluster, or to one of this machine alone that ends with the context.

    Raises:
        SpecError: Ray is not installed, or no cluster answers where one should be.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise SpecError("--executor ray needs Ray: install slotnorm[cluster]") from error
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    with _same_handler(signal.SIGTERM):
        if address := _address():
            ray.init(address, **quiet)
        else:
            ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
    try:
        yield ray
    finally:
        ray.shutdown()


def _address() -> str | None:
    """Of the running cluster, which Ray itself would wait for without end if it does not answer."""
    address = os.environ.get("RAY_ADDRESS") or (STARTED_HERE.read_text() if STARTED_HERE.exists() else "")
    if address in ("", "local"):
        return None
    host, _, port = address.strip().rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise SpecError(
            f"no Ray cluster answers at {address.strip()}; unset RAY_ADDRESS or give `ray stop` to be rid of it"
        ) from error
    return address.strip()


@contextmanager
def _same_handler(number: int) -> Iterator[None]:
    """Give a signal its handler back, which Ray replaces."""
    before = signal.getsignal(number)
    yield
    signal.signal(number, before)
