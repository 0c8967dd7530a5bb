"""Where things lie in a checkout of the project, which is where this package is installed from."""

from pathlib import Path

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
BENCHMARK = ROOT / "benchmarks" / "results.json"
CLEVR_FIXTURE = ROOT / "tests" / "data" / "fixtures" / "clevr_with_masks_train.tfrecords"
"""A few scenes in the format of CLEVR-with-masks."""
