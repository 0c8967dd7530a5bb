"""Error messages for names that do not exist: the nearest name, and all that exist."""

from collections.abc import Collection
from difflib import get_close_matches


def describe_unknown(kind: str, name: str, known: Collection[str]) -> str:
    """Return an error message for a name that does not exist.

    Args:
        kind: what is named, such as ``"experiment"``.
        name: the unknown name.
        known: the names that exist.

    Example:
        >>> describe_unknown("scale", "smok", ["smoke", "cpu"])
        "unknown scale 'smok'; do you mean smoke? There are smoke, cpu"
        >>> describe_unknown("scale", "huge", ["smoke", "cpu"])
        "unknown scale 'huge'; there are smoke, cpu"
    """
    near = get_close_matches(name, known, n=1)
    suggestion = f"do you mean {near[0]}? There are" if near else "there are"
    return f"unknown {kind} {name!r}; {suggestion} {', '.join(known)}"
