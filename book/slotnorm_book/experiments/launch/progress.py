"""What becomes of jobs that run side by side, and the one progress display for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from tqdm import tqdm

from slotnorm_book.experiments.engine import Job

GO_ON = "the same command goes on from its checkpoint"


@dataclass
class Outcome:
    """What became of some jobs: those finished, those to go on with, and the failures with their reasons."""

    done: list[Job] = field(default_factory=list)
    stopped: list[Job] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class Display:
    """One bar for the steps of all jobs.

    Args:
        jobs: whose steps are counted.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._steps = {job.spec.name: 0 for job in jobs}
        self._done = 0
        self._bar = tqdm(total=sum(job.spec.schedule.steps for job in jobs), unit="step", desc=self._runs())

    def at(self, job: Job, step: int, loss: float) -> None:
        """A job is at this step; after a retry it may be an earlier one."""
        self._move(job, step)
        self._bar.set_postfix({job.spec.variant: f"{loss:.4f}"}, refresh=False)

    def finished(self, job: Job) -> None:
        """A job has its run."""
        self._done += 1
        self._move(job, job.spec.schedule.steps)
        self._bar.set_description(self._runs())

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def _move(self, job: Job, step: int) -> None:
        self._bar.update(step - self._steps[job.spec.name])
        self._steps[job.spec.name] = step

    def _runs(self) -> str:
        return f"{self._done}/{len(self._steps)} runs"
