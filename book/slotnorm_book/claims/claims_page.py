"""All claims in one look: every ruling, how many there are of each, tiles for a page, what differs from the paper.

Needs no chapter's extra; the tiles are HTML that ``book.css`` styles.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

import pandas as pd

from slotnorm_book.claims.evidence import Evidence
from slotnorm_book.claims.judge import MEASURES, judge
from slotnorm_book.claims.mechanism_checks import judge_mechanisms
from slotnorm_book.claims.tables import BREAK, MARKS
from slotnorm_book.claims.verdicts import Ruling
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.results import Results

OUTCOMES = ("reproduced", "contradicted", "inconclusive", "not run")
NEEDED = tuple(dict.fromkeys(name for measure in MEASURES.values() for name in measure.experiments))
"""Experiments that the claims are about."""
PAPER_DATA = {
    "clevr": "CLEVR-with-masks",
    "movi-c": "MOVi-C, features of DINO",
    "movi-d": "MOVi-D, features of DINO",
    "properties": "CLEVR-with-masks",
    "ablations": "CLEVR-with-masks",
}
"""What an experiment's name begins with to the data of the paper."""
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
    "init": "initial weights",
}
"""Field of a task to what it is."""


def all_rulings(evidence: Mapping[str, Evidence], seed: int, trials: int) -> list[Ruling]:
    """Every claim of the ledger judged: M1 to M6 computed as in chapter 1, R1 to R17 on what has been run.

    False discovery rates are over all result claims that were run. Mechanism claims are computed on instances that can
    be drawn at will; they have no p-value, and leaving them out makes the others' rates larger, if anything.

    Args:
        evidence: by experiment.
        seed: of the random instances of the mechanism claims.
        trials: random instances per mechanism claim.
    """
    computed = [Ruling(verdict.claim, verdict) for verdict in judge_mechanisms(seed, trials)]
    return [*computed, *judge(evidence)]


def of_outcome(rulings: Iterable[Ruling], outcome: str, kind: str = "result") -> list[Ruling]:
    """Those rulings on claims of a kind that came out so."""
    return [ruling for ruling in rulings if ruling.outcome == outcome and ruling.claim.kind == kind]


def counts(rulings: Iterable[Ruling]) -> dict[str, int]:
    """How many claims came out how, in the order of :data:`OUTCOMES`."""
    found = [ruling.outcome for ruling in rulings]
    return {outcome: found.count(outcome) for outcome in OUTCOMES}


def changed(rulings: Iterable[Ruling], beside: Mapping[str, Ruling]) -> str:
    """The claims whose verdict is another one with all runs, spatial ones included, as text."""
    names = [
        f"{ruling.claim.id} ({ruling.outcome}, with them {beside[ruling.claim.id].outcome})"
        for ruling in rulings
        if ruling.claim.id in beside and beside[ruling.claim.id].outcome != ruling.outcome
    ]
    return ", ".join(names) or "none"


def discoveries(rulings: Iterable[Ruling], rate: float = 0.05) -> tuple[int, int]:
    """Of the reproduced result claims, how many stand at this false discovery rate, and how many there are."""
    reproduced = of_outcome(rulings, "reproduced")
    return sum(ruling.false_discovery_rate <= rate for ruling in reproduced), len(reproduced)


def runs_of(results: Iterable[Results]) -> tuple[int, int]:
    """How many runs are recorded and how many there should be, each once, though several experiments may show it."""
    found, asked = set[str](), set[str]()
    for one in results:
        here = {run.spec.name for run in one.runs}
        found |= here
        asked |= here | {spec.name for spec in one.missing}
    return len(found), len(asked)


def board(rulings: Iterable[Ruling]) -> str:
    """A tile per claim, in HTML: its id, its verdict as sign and word, a link to its row on the page."""
    tiles = []
    for ruling in rulings:
        outcome, claim = ruling.outcome, ruling.claim
        text = f"<b>{claim.id}</b> <span>{MARKS[outcome]} {outcome}</span>"
        link = f'<a href="#{claim.id}" title="{html.escape(claim.statement)}">{text}</a>'
        tiles.append(f'<li class="verdict {outcome.replace(" ", "-")}">{link}</li>')
    return f'<ul class="claims-board" aria-label="Every claim and its verdict">{"".join(tiles)}</ul>'


def settings_table(results: Mapping[str, Results]) -> pd.DataFrame:
    """What differs between these experiments and the paper's; experiments that differ alike share a row.

    Returns:
        A table with columns ``runs and data`` and ``other settings``.
    """
    alike: dict[str, list[str]] = {}
    for name, found in results.items():
        paper = recipe(name, "paper")
        alike.setdefault("; ".join(differences(found.recipe, paper)), []).append(_runs_and_data(found, paper))
    rows = [(BREAK.join(lines), text or "as in the paper") for text, lines in alike.items()]
    return pd.DataFrame(rows, columns=["runs and data", "other settings"])


def differences(here: Recipe, paper: Recipe) -> list[str]:
    """Every setting of models, training and evaluation that differs from the paper's, as ``what: here, not there``."""
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
    data = next(text for start, text in PAPER_DATA.items() if name.startswith(start))
    ours, theirs = found.recipe.tests[-1].source, len(paper.variants) * len(paper.seeds)
    return f"**{name}**: {len(found.runs)} of {total} runs, on {ours.name}; paper: {theirs}, on {data}"


def _text(value: object) -> object:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else value
