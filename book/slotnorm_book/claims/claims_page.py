"""The page of all claims: counts of outcomes, a tile per claim, and the settings that differ from the paper's.

The tiles are HTML, for which ``book.css`` has the style.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

from slotnorm_book.claims.claim import OUTCOMES, Kind, Outcome, Verdict
from slotnorm_book.claims.tables import BREAK, MARKS
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.results import Results
from slotnorm_book.markup import MarkdownTable, escape_markdown, render_html

PAPER_DATA = {
    "clevr": "CLEVR-with-masks",
    "movi-c-features": "MOVi-C, features of DINO",
    "movi-d-features": "MOVi-D, features of DINO",
}
"""Data of a recipe at paper scale to their name for readers."""
SIZES = {
    "image_size": "pixels a side",
    "grid_size": "patches a side",
    "feature_dim": "features of a patch",
    "slot_dim": "features of a slot",
    "channels": "channels",
    "encoder_layers": "convolutions",
    "strides": "strides",
    "hidden_dim": "width of the slots' perceptron",
    "decoder_dim": "width of the decoder",
    "decoder_convs": "convolutions of the decoder that keep the size",
    "init": "initial weights",
    "position_scale": "deviation of the decoder's first positions",
}
"""Field of a task to its meaning."""


def select_verdicts(verdicts: Iterable[Verdict], outcome: Outcome, kind: Kind = "result") -> list[Verdict]:
    """Select the verdicts on one kind of claim that have the given outcome."""
    return [verdict for verdict in verdicts if verdict.outcome == outcome and verdict.claim.kind == kind]


def count_outcomes(verdicts: Iterable[Verdict]) -> dict[Outcome, int]:
    """Count the claims with each outcome, in the order of :data:`slotnorm_book.claims.claim.OUTCOMES`."""
    found = [verdict.outcome for verdict in verdicts]
    return {outcome: found.count(outcome) for outcome in OUTCOMES}


def list_changed_verdicts(verdicts: Iterable[Verdict], others: Mapping[str, Verdict], how: str) -> str:
    """List, as text, the claims whose outcome changes when they are judged otherwise.

    Args:
        verdicts: on result claims.
        others: verdicts on the same claims, by claim; some may be absent.
        how: what is judged otherwise, such as ``"in found objects"``.
    """
    names = [
        f"{verdict.claim.id} ({verdict.outcome}, {how} {others[verdict.claim.id].outcome})"
        for verdict in verdicts
        if verdict.claim.id in others and others[verdict.claim.id].outcome != verdict.outcome
    ]
    return ", ".join(names) or "none"


def count_discoveries(verdicts: Iterable[Verdict], rate: float = 0.05) -> tuple[int, int]:
    """Count the reproduced result claims: those within a false discovery rate, and all of them."""
    reproduced = select_verdicts(verdicts, "reproduced")
    return sum(verdict.false_discovery_rate <= rate for verdict in reproduced), len(reproduced)


def count_runs(results: Iterable[Results]) -> tuple[int, int]:
    """Count the runs that are recorded and the runs that the recipes ask for; a run of several experiments once."""
    recorded, wanted = set[str](), set[str]()
    for one in results:
        here = {run.spec.name for run in one.runs}
        recorded |= here
        wanted |= here | {spec.name for spec in one.missing}
    return len(recorded), len(wanted)


def render_board(verdicts: Iterable[Verdict]) -> str:
    """Render a tile per claim in HTML: its id, its outcome as sign and word, a link to its row on the page."""
    return render_html("claims/board.html.j2", verdicts=list(verdicts), marks=MARKS)


def settings_table(results: Mapping[str, Results]) -> MarkdownTable:
    """Make a table of the differences from the paper; experiments that differ in the same settings share a row.

    Returns:
        A table with columns ``runs and data`` and ``other settings``.
    """
    runs_by_differences: dict[str, list[str]] = {}
    for name, found in results.items():
        paper = recipe(name, "paper")
        differences = escape_markdown("; ".join(list_differences(found.recipe, paper)))
        runs_by_differences.setdefault(differences, []).append(_runs_and_data(found, paper))
    rows = [(BREAK.join(lines), text or "as in the paper") for text, lines in runs_by_differences.items()]
    return MarkdownTable(rows, columns=["runs and data", "other settings"])


def list_differences(here: Recipe, paper: Recipe) -> list[str]:
    """List every setting that differs from the paper's, as ``setting: here, not there``."""
    pairs: list[tuple[str, object, object]] = [
        ("steps", f"{here.schedule.steps:,}", f"{paper.schedule.steps:,}"),
        ("scenes in a step", here.batch_size, paper.batch_size),
        ("precision", here.precision, paper.precision),
        ("peak of the learning rate", f"{here.schedule.peak:.2g}", f"{paper.schedule.peak:.2g}"),
        ("steps of warm-up", f"{here.schedule.warmup:,}", f"{paper.schedule.warmup:,}"),
        ("half-life of the learning rate in steps", f"{here.schedule.half_life:,}", f"{paper.schedule.half_life:,}"),
        ("Adam's ε before the bias correction", _text(here.optimizer.epsilon_hat), _text(paper.optimizer.epsilon_hat)),
        ("bound on the gradient's norm", _text(here.optimizer.clip_norm), _text(paper.optimizer.clip_norm)),
        ("training scenes, before a choice by objects", f"{here.train.scenes:,}", f"{paper.train.scenes:,}"),
        ("scenes in a test set", f"{here.tests[-1].scenes:,}", f"{paper.tests[-1].scenes:,}"),
    ]
    for field in fields(here.task):  # type: ignore[arg-type]
        what = SIZES.get(field.name, field.name)
        pairs.append((what, _text(getattr(here.task, field.name)), _text(getattr(paper.task, field.name))))
    return [f"{what}: {left}, not {right}" for what, left, right in pairs if left != right]


def _runs_and_data(found: Results, paper: Recipe) -> str:
    name, total = paper.experiment, len(found.runs) + len(found.missing)
    ours, theirs = found.recipe.tests[-1].source.name, paper.tests[-1].source.name
    paper_runs, data = len(paper.variants) * len(paper.seeds), PAPER_DATA.get(theirs, theirs)
    here = f"{len(found.runs)} of {total} runs, on {escape_markdown(ours)}"
    return f"**{escape_markdown(name)}**: {here}; paper: {paper_runs}, on {escape_markdown(data)}"


def _text(value: object) -> object:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else value
