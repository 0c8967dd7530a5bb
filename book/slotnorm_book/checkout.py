"""Where things lie in a checkout of the project, which is where this package is installed from."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "book" / "results"
"""The run store that the book shows."""
NOTEBOOKS = ROOT / "notebooks"
PAGES = ROOT / "book" / "chapters"
"""Executed chapters, from which the book is rendered."""
SHOWN = ROOT / "book" / "parameters.json"
"""What the book shows of each chapter, if not its defaults."""
VERDICTS = ROOT / "book" / "verdicts.json"
"""The verdicts on the committed records."""
FIRST_VERDICTS = ROOT / "book" / "first_verdicts.csv"
"""The verdicts on the records of the first campaign, which are gone, and how the rules changed since."""
FLOORS = ROOT / "book" / "floors.json"
"""The F-ARI of the best segmentations that never see a picture."""
BENCHMARK = ROOT / "benchmarks" / "results.json"
CLEVR_FIXTURE = ROOT / "tests" / "data" / "fixtures" / "clevr_with_masks_train.tfrecords"
"""A few scenes in the format of CLEVR-with-masks."""


class CheckoutError(Exception):
    """A file of the checkout that cannot be used; the message names it."""


def read_shown_parameters(chapter: str) -> dict[str, Any]:
    """Return the parameters with which the book shows a chapter, if not the defaults.

    Raises:
        CheckoutError: ``book/parameters.json`` cannot be read, or does not map chapters to parameters.
    """
    try:
        found = json.loads(SHOWN.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckoutError(f"{SHOWN} cannot be read as JSON: {error}") from error
    parameters = found.get(chapter, {}) if isinstance(found, dict) else None
    if not isinstance(parameters, dict):
        raise CheckoutError(f"{SHOWN} must map each chapter to a mapping of its parameters")
    return parameters
