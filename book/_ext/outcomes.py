"""Sphinx extension: counts the committed verdicts.

The directive ``{outcomes}`` makes a table of ``book/verdicts.json``: how many claims about results, and how many about
the mechanism, have each outcome.
"""

import json
from collections import Counter
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FILE = Path("book", "verdicts.json")
KINDS = {"R": "claims about results", "M": "claims about mechanism"}
"""First letter of a claim's name to its kind."""
ORDER = ("reproduced", "contradicted", "inconclusive", "not decidable", "not run")


def count_outcomes(path: Path) -> dict[str, Counter[str]]:
    """Return for each outcome how many claims of each kind have it; outcomes without a claim are left out."""
    verdicts = json.loads(path.read_text(encoding="utf-8"))["verdicts"]
    counts: dict[str, Counter[str]] = {}
    for claim, verdict in verdicts.items():
        counts.setdefault(verdict["outcome"], Counter())[claim[0]] += 1
    known = [outcome for outcome in ORDER if outcome in counts]
    return {outcome: counts[outcome] for outcome in (*known, *sorted(counts.keys() - set(ORDER)))}


class Outcomes(SphinxDirective):
    """Makes the table."""

    def run(self) -> list[nodes.Node]:
        """Return the table, with a last row of sums."""
        path = Path(self.env.srcdir) / FILE
        self.env.note_dependency(str(path))
        counts = count_outcomes(path)
        rows = [["", *KINDS.values()]]
        rows += [[outcome, *(str(of[kind]) for kind in KINDS)] for outcome, of in counts.items()]
        rows.append(["all", *(str(sum(of[kind] for of in counts.values())) for kind in KINDS)])
        head, *body = (nodes.row("", *(nodes.entry("", nodes.paragraph("", cell)) for cell in row)) for row in rows)
        group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in rows[0]), cols=len(rows[0]))
        group += [nodes.thead("", head), nodes.tbody("", *body)]
        return [nodes.table("", group, classes=["outcomes"])]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("outcomes", Outcomes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
