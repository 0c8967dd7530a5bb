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
        SpecError: Ray is not installed, no cluster answers where one should be, or it refuses.
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
        if not _one_runs():
            ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
        else:
            try:
                ray.init("auto", **quiet)
            except ConnectionError as error:
                raise SpecError(f"{error}; if it asks for a token, set RAY_AUTH_MODE=token") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _one_runs() -> bool:
    """Whether there is a cluster to connect to; Ray itself would wait without end for one that does not answer."""
    address = os.environ.get("RAY_ADDRESS") or (STARTED_HERE.read_text() if STARTED_HERE.exists() else "")
    address = address.strip()
    if address in ("", "local"):
        return False
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise SpecError(
            f"no Ray cluster answers at {address}; unset RAY_ADDRESS or give `ray stop` to be rid of it"
        ) from error
    return True


@contextmanager
def _same_handler(number: int) -> Iterator[None]:
    """Give a signal its handler back, which Ray replaces."""
    before = signal.getsignal(number)
    yield
    signal.signal(number, before)
