"""The packages that only parts of slotnorm need come with extras; whoever lacks one is told which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Inside, a package that is not installed is named together with the extra that brings it.

    Args:
        extra: an optional dependency of pyproject.toml, such as ``"train"``.

    Raises:
        ModuleNotFoundError: names the package and the extra.

    Example:
        >>> with needs("train"):
        ...     import no_such_package
        Traceback (most recent call last):
        ModuleNotFoundError: no_such_package is not installed; slotnorm[train] brings it (in a checkout: '.[train]')
    """
    try:
        yield
    except ModuleNotFoundError as error:
        brings = f"slotnorm[{extra}] brings it (in a checkout: '.[{extra}]')"
        raise ModuleNotFoundError(f"{error.name} is not installed; {brings}", name=error.name) from error
