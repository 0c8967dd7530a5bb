"""Keeps finished runs with the book: copies them into its records, few with their weights, and commits them.

A campaign takes days, and its machine may be lost before. What was kept by then is a balanced part of it, since a sweep
of all experiments goes seed by seed.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from slotnorm.evaluation import SETTING
from slotnorm_book.experiments.record import CURVE, SCENES
from slotnorm_book.experiments.run_store import Run, RunError, RunStore
from slotnorm_book.experiments.run_tables import merge_evaluations
from slotnorm_book.variants import BASELINE

MOST_MB = 60.0
"""Megabytes that the records may take in the repository, if no other limit is given."""
SEED_WITH_WEIGHTS = 0
"""Runs with this seed are kept with their weights, for pages that apply models; tables are enough of most others."""
SLOTS_WITH_WEIGHTS = 7
"""Baselines trained with so many slots are kept with their weights whatever their seed: hypotheses about changes of
trained baselines (:mod:`slotnorm_book.claims.beyond`) need several."""


def keep_runs(source: str, records: Path, *, commit: bool = False, most: float = MOST_MB) -> list[str]:
    """Copy the finished runs of a store into the book's records, except those that are there.

    Of a run that is there, what the store's has been evaluated in since is added, if both are the same training.

    Args:
        source: the store, which stays as it is.
        records: folder of the records, of which there may be none.
        commit: whether to commit them to the repository that the folder is in, and with them the store's other runs
            that were copied before and not committed. Nothing else is committed.
        most: megabytes that the records may take in all.

    Returns:
        The names of the runs that were copied or added to or, with ``commit``, committed.

    Raises:
        RunError: a store cannot be used, the runs would take more than ``most`` together with those that are there, of
            which then nothing is copied, or git cannot commit.
    """
    store = RunStore(records)
    runs = list(RunStore(source))
    new = [run for run in runs if store.find(run.spec) is None]
    size = sum(path.stat().st_size for path in records.rglob("*") if path.is_file()) + sum(map(_size, new))
    if size > most * 1e6:
        raise RunError(
            f"{records}: would take {size / 1e6:.0f} MB with {len(new)} new runs, {most:g} MB are the most; remove "
            "runs of recipes that are no longer used, or set another limit with --most"
        )
    added = [run for run in runs if run not in new and _add_settings(run, store)]
    for run in new:
        store.add(run, weights=_has_weights(run))
    names = [run.spec.name for run in (*new, *added)]
    return _commit(records, [run.spec.name for run in runs]) if commit else names


def keeps_weights(variant: str, seed: int, num_slots: int) -> bool:
    """Return whether a run of this variant and seed, trained with so many slots, is kept with its weights."""
    return seed == SEED_WITH_WEIGHTS or (variant == BASELINE and num_slots == SLOTS_WITH_WEIGHTS)


def _has_weights(run: Run) -> bool:
    return keeps_weights(run.spec.variant, run.spec.seed, run.spec.task.num_slots)


def _add_settings(run: Run, records: RunStore) -> bool:
    """Add the settings and columns to a kept run that only the store's has, and return whether there are any.

    A run with another curve was trained again elsewhere, where rounding differs: nothing is mixed with it.
    """
    kept = records.get(run.spec)
    if kept.files[SCENES] == run.files[SCENES] or kept.files[CURVE] != run.files[CURVE]:
        return False
    here, there = kept.evaluation, run.evaluation
    new_columns, old_columns = set(there.scenes) - set(here.scenes), set(here.scenes) - set(there.scenes)
    new_settings = set(there.scenes.groupby(SETTING).groups) - set(here.scenes.groupby(SETTING).groups)
    if old_columns or not (new_columns or new_settings):
        return False
    records.replace_evaluation(kept, merge_evaluations(here, there), {**kept.evaluations, **run.evaluations})
    return True


def _size(run: Run) -> int:
    files = run.read_files(weights=_has_weights(run))
    return sum(map(len, files.values()))


def _commit(records: Path, names: list[str]) -> list[str]:
    """Commit those of the runs that differ from the last commit, and return their names."""
    if not names:
        return []
    changed = _git(records, "status", "--porcelain", "--untracked-files=all", "--", *names)
    names = [name for name in names if f"/{name}/" in f"/{changed}"]
    if names:
        _git(records, "add", "--", *names)
        _git(records, "commit", "--quiet", "-m", f"Records of {len(names)} runs\n\n" + "\n".join(names), "--", *names)
    return names


def _git(folder: Path, command: str, *arguments: str) -> str:
    words = ["git", "-C", str(folder), command, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"{folder}: the runs are copied, but git {command} failed: {done.stderr.strip()}")
    return done.stdout
