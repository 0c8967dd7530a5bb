"""Keeps finished runs with the book: copies them into its records, few with their weights, and commits them.

A campaign takes days, and its machine may be lost before. What was kept by then is a balanced part of it, since a sweep
of all experiments goes seed by seed.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from slotnorm.evaluation import SETTING, Evaluation
from slotnorm_book.experiments.missing_settings import join_notes
from slotnorm_book.experiments.record import CURVE, SCENES, SETS
from slotnorm_book.experiments.run_store import Run, RunError, RunStore
from slotnorm_book.experiments.run_tables import make_evaluation_files, merge_evaluations
from slotnorm_book.variants import BASELINE

TABLES = (SCENES, SETS)
"""The files of an evaluation."""
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
        RunError: a store cannot be used, the records would take more than ``most``, of which then nothing is copied, or
            git cannot commit.
    """
    store = RunStore(records)
    runs = list(RunStore(source))
    new = [run for run in runs if store.find(run.spec) is None]
    grown = [(run, merged) for run in runs if run not in new and (merged := _merge(run, store))]
    size = sum(path.stat().st_size for path in records.rglob("*") if path.is_file()) + sum(map(_size, new))
    size += sum(_growth(store.get(run.spec), merged) for run, merged in grown)
    if size > most * 1e6:
        raise RunError(
            f"{records}: would take {size / 1e6:.0f} MB with {len(new)} new runs and {len(grown)} with more "
            f"evaluations, {most:g} MB are the most; remove runs of recipes that are no longer used, or set another "
            "limit with --most"
        )
    for run, merged in grown:
        kept = store.get(run.spec)
        store.replace_evaluation(kept, merged, join_notes(kept.evaluations, run.evaluations))
    for run in new:
        store.add(run, weights=_has_weights(run))
    names = [run.spec.name for run in (*new, *(run for run, _ in grown))]
    return _commit(records, [run.spec.name for run in runs]) if commit else names


def keeps_weights(variant: str, seed: int, num_slots: int) -> bool:
    """Return whether a run of this variant and seed, trained with so many slots, is kept with its weights."""
    return seed == SEED_WITH_WEIGHTS or (variant == BASELINE and num_slots == SLOTS_WITH_WEIGHTS)


def _has_weights(run: Run) -> bool:
    return keeps_weights(run.spec.variant, run.spec.seed, run.spec.task.num_slots)


def _merge(run: Run, records: RunStore) -> Evaluation | None:
    """Return a kept run's evaluation with what only the store's has, or ``None`` if nothing is gained or some is lost.

    A run with another curve was trained again elsewhere, where rounding differs: nothing is mixed with it.
    """
    kept = records.get(run.spec)
    if kept.files[CURVE] != run.files[CURVE] or all(kept.files.get(name) == run.files.get(name) for name in TABLES):
        return None
    merged = merge_evaluations(kept.evaluation, run.evaluation)
    return merged if _list_values(merged) > _list_values(kept.evaluation) else None


def _list_values(evaluation: Evaluation) -> set[tuple[object, ...]]:
    """Return the settings and measures that an evaluation has values of."""
    counts = evaluation.scenes.groupby(SETTING).count().stack()
    return {*counts.index[counts > 0], *evaluation.sets.groupby([*SETTING, "measure"]).groups}


def _size(run: Run) -> int:
    files = run.read_files(weights=_has_weights(run))
    return sum(map(len, files.values()))


def _growth(kept: Run, merged: Evaluation) -> int:
    files = kept.read_files()
    return sum(len(content) - len(files.get(name, b"")) for name, content in make_evaluation_files(merged).items())


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
