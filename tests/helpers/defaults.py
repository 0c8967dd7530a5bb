"""Other defaults of torch than its own, on which no result may depend."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def other_defaults() -> Iterator[None]:
    """Make tensors in double precision and, unless told otherwise, on a device that holds no numbers."""
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(torch.float32)
