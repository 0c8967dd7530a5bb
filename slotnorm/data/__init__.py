"""Prepared splits and their batches."""

from slotnorm.data.loader import Batch, Loader
from slotnorm.data.manifest import FORMAT_VERSION, ArrayEntry, Manifest, SplitError
from slotnorm.data.splits import Split, open_split

__all__ = ["FORMAT_VERSION", "ArrayEntry", "Batch", "Loader", "Manifest", "Split", "SplitError", "open_split"]
