"""Sphinx extension: tells for every part of the paper where the book shows it.

The role ``{paper}`Fig. 1` `` writes what it is given and marks the place; ``Eqs. 18-25`` marks several parts at once.
The directive ``{paper-places} figures`` makes a table of all parts of one kind with links to their places. A part that
has no place is a warning, which fails a strict build.
"""

import re
from collections.abc import Iterator
from functools import partial
from itertools import groupby

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.nodes import make_refnode

SECTIONS = {
    "1": "Introduction",
    "2": "Background",
    "2.1": "Slot Attention",
    "2.2": "Von Mises-Fisher distributions",
    "3": "Slot Attention and estimation of mixtures",
    "3.1": "Slot Attention beside EM",
    "3.2": "The normalizations in this analogy",
    "4": "Methods of normalization",
    "4.1": "Weighted sum with a fixed scale",
    "4.2": "Weighted sum with a batch scale",
    "5": "Experiments: models, data, measures",
    "5.1": "Object discovery on CLEVR",
    "5.2": "Object discovery on MOVi-C, transfer to MOVi-D",
    "6": "Related work",
    "7": "Conclusion",
}
APPENDICES = {
    "A": "Reconstruction loss",
    "B": "Lemmas on layer normalization",
    "C": "Proof of Proposition 1",
    "D": "Proof of Proposition 2",
    "E": "Details of CLEVR",
    "F": "Details of MOVi-C",
    "G": "Pseudocode",
    "H": "Visual results",
    "I": "Property prediction",
    "J": "Ablations of the normalization",
}
FIGURES = {
    "1": "CLEVR (6, 7): F-ARI and ARI",
    "2": "CLEVR (6, 7): reconstructions and segmentations",
    "3": "CLEVR (6, 11): F-ARI and ARI",
    "4": "MOVi-C (10, 11): F-ARI and ARI",
    "5": "MOVi-C (6, 7): F-ARI and ARI",
    "6": "MOVi-C (6, 11): F-ARI and ARI",
    "7": "CLEVR (6, 7): loss",
    "8": "CLEVR (6, 11): loss",
    "9": "MOVi-C (10, 11): loss",
    "10": "MOVi-C (6, 7): loss",
    "11": "MOVi-C (6, 11): loss",
    "12": "Properties: F-ARI",
    "13": "Properties: average precision",
    "14": "Ablations: F-ARI",
    "15": "Ablations: average precision",
}
TABLES = {
    "1": "Transfer to MOVi-D",
    "2": "Encoder for CLEVR",
    "3": "Decoder for CLEVR",
    "4": "Encoder for MOVi-C",
    "5": "Decoder for MOVi-C",
    "6": "Scenes of CLEVR",
    "7": "Scenes of MOVi-C",
}
STATEMENTS = {
    "Proposition 1": "What a weighted mean cannot tell",
    "Proposition 2": "What a weighted sum tells",
    "Lemma 1": "Layer normalization maps into a hyperplane",
    "Lemma 2": "An affine subspace is offset and directions in one way",
    "Lemma 3": "The offset is almost never zero",
    "Algorithm 1": "Weighted sum",
    "Algorithm 2": "Batch norm",
}
PARTS = {
    "sections": {f"Section {number}": what for number, what in SECTIONS.items()}
    | {f"Appendix {letter}": what for letter, what in APPENDICES.items()},
    "figures": {f"Figure {number}": what for number, what in FIGURES.items()},
    "tables": {f"Table {number}": what for number, what in TABLES.items()},
    "equations": {f"Equation {number}": "" for number in range(1, 40)},
    "statements": STATEMENTS,
}
"""Kind to the paper's parts of that kind, each with what it is about."""
KNOWN = {part for parts in PARTS.values() for part in parts}
FULL = {"Sec": "Section", "App": "Appendix", "Appendice": "Appendix", "Fig": "Figure", "Eq": "Equation"}
FULL |= {"Prop": "Proposition", "Alg": "Algorithm"}
WRITTEN = re.compile(r"([A-Z][a-z]+?)s?\.? ([A-J]|[\d.]+)(?:[-–](\d+))?")
ATTRIBUTE = "paper_parts"
Row = tuple[str, str, list[tuple[str, str, str]]]
"""A part, what it is about, and its places: page, anchor, number of the figure or table."""
logger = logging.getLogger(__name__)


def read_parts(text: str) -> list[str]:
    """Return the parts that a text such as ``"Eqs. 12-13"`` names, in full: ``["Equation 12", "Equation 13"]``.

    Raises:
        ValueError: the text names nothing that the paper has.
    """
    found = WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f"write a part of the paper like 'Fig. 1', 'Eqs. 12-13' or 'Appendix B', not {text!r}")
    word, first, last = found.groups()
    numbers = [first] if last is None else [str(number) for number in range(int(first), int(last) + 1)]
    parts = [f"{FULL.get(word, word)} {number}" for number in numbers]
    if unknown := [part for part in parts if part not in KNOWN]:
        raise ValueError(f"the paper has no {unknown[0]}")
    return parts


class PaperRole(SphinxRole):
    """Writes its text and marks the place as one that shows this part of the paper."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the marked text."""
        try:
            parts = read_parts(self.text)
        except ValueError as error:
            logger.warning(str(error), location=self.get_location())
            parts = []
        place = nodes.inline(self.text, self.text, ids=[f"paper-{self.env.new_serialno('paper')}"])
        place[ATTRIBUTE] = parts
        return [place], []


class PlacesTable(nodes.General, nodes.Element):
    """A table of places, which is made when all pages are read."""


class PlacesDirective(SphinxDirective):
    """Makes a table of all parts of a kind, a key of :data:`PARTS`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a node that :func:`fill_tables` replaces."""
        if self.arguments[0] not in PARTS:
            raise self.error(f"the paper's parts are {', '.join(PARTS)}, not {self.arguments[0]!r}")
        return [PlacesTable(kind=self.arguments[0])]


def places(env: BuildEnvironment) -> Iterator[tuple[str, str, str, str]]:
    """Find all marked places: part, page, anchor and the number of the figure or table around it, or an empty text."""
    for page in sorted(env.found_docs):
        for node in env.get_doctree(page).findall(nodes.inline):
            anchor, number = node["ids"][0] if node["ids"] else "", ""
            for part in node.get(ATTRIBUTE, ()):
                frame = node
                while frame is not None and not isinstance(frame, nodes.figure | nodes.table):
                    frame = frame.parent
                if frame is not None and frame["ids"]:
                    anchor = frame["ids"][0]
                    kind = "figure" if isinstance(frame, nodes.figure) else "table"
                    numbers = env.toc_fignumbers.get(page, {}).get(kind, {}).get(anchor, ())
                    number = f"{'Fig.' if kind == 'figure' else 'Table'} {'.'.join(map(str, numbers))}"
                yield part, page, anchor, number


def fill_tables(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Replace every table of places in a page."""
    tables = list(doctree.findall(PlacesTable))
    found: dict[str, list[tuple[str, str, str]]] = {}
    for part, *place in places(app.env) if tables else ():
        found.setdefault(part, []).append((place[0], place[1], place[2]))
    for table in tables:
        parts = PARTS[table["kind"]]
        for part in parts:
            if part not in found:
                logger.warning(f"the book shows {part} of the paper nowhere", location=page)
        link = partial(_link, app, page)
        rows = [(part, what, _choose(found.get(part, []), page)) for part, what in parts.items()]
        table.replace_self(_table(_join_neighbors(rows), link))


def _join_neighbors(rows: list[Row]) -> list[Row]:
    """Join rows that follow each other, say nothing about their part and are shown in the same places."""
    joined = []
    for (what, _), group in groupby(rows, key=lambda row: (row[1] or None, [(p, n) for p, _, n in row[2]])):
        same = list(group)
        if what or len(same) == 1:
            joined += same
        else:
            kind, first = same[0][0].split()
            joined.append((f"{kind}s {first} to {same[-1][0].split()[1]}", "", same[0][2]))
    return joined


def _choose(all_places: list[tuple[str, str, str]], here: str) -> list[tuple[str, str, str]]:
    """Choose one place a page, a figure or table where there is one."""
    chosen: dict[str, tuple[str, str, str]] = {}
    for place in sorted(all_places, key=lambda place: not place[2]):
        if place[0] != here:
            chosen.setdefault(place[0], place)
    return list(chosen.values())


def _link(app: Sphinx, here: str, place: tuple[str, str, str]) -> nodes.Node:
    page, anchor, number = place
    title = app.env.titles[page].astext()
    text = f"{title}, {number}" if number else title
    return make_refnode(app.builder, here, page, anchor, nodes.inline(text, text))


def _table(rows: list[Row], link: "partial[nodes.Node]") -> nodes.table:
    described = any(what for _, what, _ in rows)
    names = ["paper", *(["about"] if described else []), "in this book"]
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in names), cols=len(names))
    group += nodes.thead("", _row([nodes.Text(name)] for name in names))
    body = nodes.tbody("")
    for part, what, marked in rows:
        links: list[nodes.Node] = []
        for place in marked:
            links += [nodes.Text("; "), link(place)] if links else [link(place)]
        cells: list[list[nodes.Node]] = [[nodes.Text(part)], *([[nodes.Text(what)]] if described else []), links]
        body += _row(iter(cells))
    group += body
    return nodes.table("", group, classes=["places"])


def _row(cells: Iterator[list[nodes.Node]]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register role and directive."""
    app.add_node(PlacesTable)
    app.add_role("paper", PaperRole())
    app.add_directive("paper-places", PlacesDirective)
    app.connect("doctree-resolved", fill_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
