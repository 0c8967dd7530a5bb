"""The book's package: what the paper claims, and how that is checked. It is used from a checkout of the project."""

from slotnorm_book.experiments.pretrained import load_pretrained

__all__ = ["load_pretrained"]
