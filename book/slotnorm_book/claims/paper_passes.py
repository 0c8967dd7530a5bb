"""Would the paper's own numbers pass? Each rule, held against runs that have the numbers which the paper prints.

Table 1 gives the median and the largest deviation over the runs of each training and variant, Sec. 5.1 counts spatial
runs. Runs are drawn that have exactly these, as many as the paper has, and the judge judges them. For claims about
figures the paper prints no numbers. A rule that the paper's results could not pass would be no rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd

from slotnorm_book.claims.evidence import Evidence
from slotnorm_book.claims.judge import judge
from slotnorm_book.claims.paper_values import RUNS, SPATIAL_RUNS, TABLE_1, Spread

DRAWS, RESAMPLES = 20, 400
FOUND = 0.5
"""Found objects of the drawn runs that are not spatial: the paper has no such control, and its models find objects."""
NO_NUMBERS = "no numbers given"


def draw_runs(spread: Spread, runs: int, rng: np.random.Generator) -> np.ndarray:
    """Draw scores of an odd number of runs that have this median and this largest deviation from it, exactly.

    One run is the median, one deviates most, to either side; the others deviate less, by a uniform share, so that as
    many lie above as below.

    Raises:
        ValueError: the number of runs is even or below three.
    """
    if runs < 3 or runs % 2 == 0:
        raise ValueError(f"the number of runs must be odd and at least 3, got {runs}")
    sides = np.resize([1.0, -1.0], runs - 1) * rng.choice([1, -1])
    shares = np.concatenate([[1.0], rng.uniform(size=runs - 2)])
    return spread.median + np.concatenate([[0.0], sides * shares * spread.deviation])


def draw_evidence(rng: np.random.Generator, exact: bool = False) -> dict[str, Evidence]:
    """Draw the runs of Table 1 and the spatial runs of Sec. 5.1, as evidence by experiment.

    Args:
        rng: draws where runs lie around their median.
        exact: whether every run has the median instead.
    """
    tables = {name: _table_1(name, rows, rng, exact) for name, rows in TABLE_1.items()}
    tables |= {name: _spatial(counts) for name, counts in SPATIAL_RUNS.items()}
    return {
        name: Evidence(table, pd.DataFrame(), int(name.rpartition("-")[2]), "paper") for name, table in tables.items()
    }


def _table_1(
    experiment: str, rows: Mapping[str, Mapping[str, Spread]], rng: np.random.Generator, exact: bool
) -> pd.DataFrame:
    frames = []
    for variant, measures in rows.items():
        scores = {
            name: spread.median if exact else draw_runs(spread, RUNS[experiment], rng)
            for name, spread in measures.items()
        }
        frames.append(_runs(variant, RUNS[experiment]).assign(test="MOVi-D", slots=24, agreement=0.0, **scores))
    table = pd.concat(frames, ignore_index=True)
    return table.assign(blind_f_ari=table["f_ari"] - FOUND)


def _spatial(counts: Mapping[str, tuple[int, int]]) -> pd.DataFrame:
    frames = []
    for variant, (spatial, total) in counts.items():
        runs = _runs(variant, total).assign(test="CLEVR10", slots=11, f_ari=0.9)
        is_spatial = runs["seed"] < spatial
        frames.append(runs.assign(agreement=1.0 * is_spatial, blind_f_ari=0.9 - FOUND * ~is_spatial))
    return pd.concat(frames, ignore_index=True)


def _runs(variant: str, total: int) -> pd.DataFrame:
    """Return one row per run: the paper's 1,280 scenes leave no noticeable uncertainty beside that of the runs."""
    return pd.DataFrame({"variant": variant, "seed": range(total), "scene_id": 0, "objects": 6, "iterations": 3})


@cache
def count_passes(draws: int = DRAWS, seed: int = 0) -> Mapping[str, int]:
    """Count in how many draws the paper's own numbers give ``reproduced``, for each result claim that they decide.

    Args:
        draws: sets of runs.
        seed: of the draws.
    """
    rng, passes = np.random.default_rng(seed), Counter[str]()
    for _ in range(draws):
        for verdict in judge(draw_evidence(rng), resamples=RESAMPLES):
            if verdict.was_run:
                passes[verdict.claim.id] += verdict.outcome == "reproduced"
    return dict(passes)


def would_paper_pass(claim: str) -> str:
    """Say whether the paper's own numbers pass the rule of a result claim, such as ``"in 18 of 20 draws"``."""
    passes = count_passes()
    return f"in {passes[claim]} of {DRAWS} draws" if claim in passes else NO_NUMBERS
