"""The book's package: what the paper claims, and how that is checked. It is used from a checkout of the project."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slotnorm_book.experiments.pretrained import load_pretrained

__all__ = ["load_pretrained"]


def __getattr__(name: str) -> object:
    """Import what the package offers when it is first used, so that ``slotnorm-book --help`` need not import torch."""
    if name != "load_pretrained":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from slotnorm_book.experiments.pretrained import load_pretrained

    return load_pretrained
