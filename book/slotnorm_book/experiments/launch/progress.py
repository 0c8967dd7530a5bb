"""Outcome and progress display of jobs that run in parallel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from tqdm import tqdm

from slotnorm_book.experiments.engine import Job

RESUME_HINT = "the same command continues from its checkpoint"


@dataclass
class JobOutcome:
    """How jobs ended.

    Args:
        done: the finished ones.
        stopped: those that can be continued, or are another process's.
        busy: of those that are another process's, who that is, by name.
        failed: why the others failed, by name.
    """

    done: list[Job] = field(default_factory=list)
    stopped: list[Job] = field(default_factory=list)
    busy: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Display:
    """One progress bar for the steps of all jobs.

    Args:
        jobs: the jobs whose steps are counted.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._steps = {job.spec.name: 0 for job in jobs}
        self._done = 0
        self._bar = tqdm(total=sum(job.spec.schedule.steps for job in jobs), unit="step", desc=self._count_runs())

    def update(self, job: Job, step: int, loss: float) -> None:
        """Show that a job is at this step; after a retry it may be an earlier one than before."""
        self._move(job, step)
        self._bar.set_postfix({job.spec.variant: f"{loss:.4f}"}, refresh=False)

    def finish(self, job: Job) -> None:
        """Show that a job is done."""
        self._done += 1
        self._move(job, job.spec.schedule.steps)
        self._bar.set_description(self._count_runs())

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def _move(self, job: Job, step: int) -> None:
        self._bar.update(step - self._steps[job.spec.name])
        self._steps[job.spec.name] = step

    def _count_runs(self) -> str:
        return f"{self._done}/{len(self._steps)} runs"
