"""The training loop: one for all tasks, resumable to the bit, in one process or in several under ``torchrun``.

The loop uses only the interface :class:`slotnorm.tasks.Task`. It stops early with :class:`Interrupted` when asked to (a
signal, a time budget) and with :class:`TrainingDivergedError` when the loss is no longer finite; in both cases the same
call continues from the checkpoint.

Shape letters: B batch, K slots, D slot dimension.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from tqdm import tqdm

from slotnorm.arguments import require_positive
from slotnorm.models import SlotModel
from slotnorm.numerics import matmul_precision
from slotnorm.tasks import Batch
from slotnorm.training.build import SLOT_SEED, Objective, build_model, build_optimizer, set_rates, stream
from slotnorm.training.checkpoint import Curve, load_checkpoint, save_checkpoint
from slotnorm.training.spec import RunSpec

FLUSH_EVERY = 50
"""Steps between two transfers of the loss from the device; a GPU has to wait for each."""
VOTE_EVERY = 10
"""Steps between two votes of several processes on whether to stop; a GPU has to wait for each."""


class TrainingDivergedError(RuntimeError):
    """The loss or its gradient is no longer finite."""


class Interrupted(Exception):  # noqa: N818 - not an error: the same command continues
    """Training stopped because it was asked to; the checkpoint holds everything done so far."""


@runtime_checkable
class BatchSource(Protocol):
    """Source of the batch of each step, such as :class:`slotnorm.data.Loader`."""

    def __getitem__(self, step: int, /) -> Batch:
        """Return the batch of a step."""


@dataclass(frozen=True)
class Watch:
    """Checkpoints, probes and progress of a training; none of them affects the result.

    Args:
        checkpoint: file to resume from and to write to, whose folder is made; ``None`` for no checkpoint.
        checkpoint_seconds: time between two checkpoints.
        stop: called before every step; ``True`` interrupts the run, one of several processes within
            :data:`VOTE_EVERY` steps.
        probe: computes F-ARI of the model on a few scenes and its control, for the progress bar and the curve.
        probe_every: steps between two probes.
        report: called every :data:`FLUSH_EVERY` steps and at every probe with the number of steps done and the loss.
        label: name of the run in the progress bar and in messages.
        bar: whether to show a progress bar.
    """

    checkpoint: Path | None = None
    checkpoint_seconds: float = 60.0
    stop: Callable[[], bool] = lambda: False
    probe: Callable[[SlotModel[Any]], tuple[float, float]] | None = None
    probe_every: int = 500
    report: Callable[[int, float], None] = lambda step, loss: None
    label: str = "training"
    bar: bool = True


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Args:
        model: in training mode, as the last step left it.
        curve: loss and gradient norm of every step, and the probes.
        seconds: duration of the training, interruptions left out.
    """

    model: SlotModel[Any]
    curve: Curve
    seconds: float


def train(
    spec: RunSpec,
    batches: BatchSource,
    device: torch.device | str = "cpu",
    watch: Watch = Watch(),
    compile: bool = False,
) -> Trained:
    """Train a run from its beginning or from its checkpoint.

    Under ``torchrun`` every process calls this with its share of the batches; gradients and batch statistics are those
    of the global batch, and only the first process writes files.

    Args:
        spec, watch: the run; its checkpoint, probe and progress.
        batches: the batch of every step, on ``device``, which is that of this process.
        compile: whether to compile the forward and backward pass with ``torch.compile``.

    Raises:
        Interrupted: if ``watch.stop`` returns ``True``.
        TrainingDivergedError: naming the step at which the loss stopped being finite, and the last good checkpoint.
        CheckpointError: see :func:`slotnorm.training.checkpoint.load_checkpoint`.
        ValueError: if the processes cannot share a batch equally, or ``watch.probe_every`` is below 1.
        OSError: if the checkpoint's folder cannot be made.
    """
    return _Loop(spec, batches, torch.device(device), watch, compile).run()


class _Loop:
    def __init__(self, spec: RunSpec, batches: BatchSource, device: torch.device, watch: Watch, compile: bool) -> None:
        self.spec, self.batches, self.device, self.watch = spec, batches, device, watch
        distributed = dist.is_available() and dist.is_initialized()
        self.rank, self.ranks = (dist.get_rank(), dist.get_world_size()) if distributed else (0, 1)
        if spec.batch_size % self.ranks:
            raise ValueError(f"batch_size must be a multiple of {self.ranks} processes, got {spec.batch_size}")
        require_positive(probe_every=watch.probe_every)
        if watch.checkpoint is not None and not self.rank:  # here and not at the first checkpoint, which it would cost
            watch.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        self.model = build_model(spec, device)
        self.compile = compile
        self.generator = torch.Generator("cpu").manual_seed(stream(spec.seed, SLOT_SEED))
        self.optimizer = build_optimizer(self.model)
        self.step, self.curve, self.before = 0, Curve.empty(), 0.0
        self.pending: list[tuple[Tensor, Tensor]] = []
        self.saved = self.started = time.monotonic()
        self.asked_to_stop = False

    def run(self) -> Trained:
        path = self.watch.checkpoint
        if path is not None and path.exists():
            self.step, self.curve, self.before = load_checkpoint(path, **self.state())
        objective = self.objective()
        self.model.train()
        with matmul_precision(self.spec.precision), self.bar() as bar:
            while self.step < self.spec.schedule.steps:
                if self.interrupted():
                    self.fetch()
                    self.save()
                    raise Interrupted(f"{self.watch.label}: stopped at step {self.step}")
                self.update(objective)
                bar.update()
                if self.step % FLUSH_EVERY == 0 or self.step == self.spec.schedule.steps or self.time_to_probe():
                    self.flush(bar)
        self.save()  # so that a later failure costs no training
        return Trained(self.model, self.curve, self.elapsed())

    def objective(self) -> nn.Module:
        objective = Objective(self.spec.task, self.model, self.spec.precision)
        if self.compile:
            objective.compile()
        return nn.parallel.DistributedDataParallel(objective) if self.ranks > 1 else objective

    def update(self, objective: nn.Module) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss = objective(self.batches[self.step], self.noise())
        loss.backward()
        norm = nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        if self.spec.optimizer.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.model.parameters(), self.spec.optimizer.clip_norm, norm)
        set_rates(self.optimizer, self.spec, self.step)
        self.optimizer.step()
        self.pending.append((loss.detach(), norm.detach()))
        self.step += 1

    def noise(self) -> Tensor:
        """Draw the global batch's noise and return this process's share.

        So the number of processes changes nothing, nor does the device, since the noise is drawn on the CPU.
        """
        task, share = self.spec.task, self.spec.batch_size // self.ranks
        shape = (self.spec.batch_size, task.num_slots, task.slot_dim)
        whole = torch.randn(shape, generator=self.generator, device="cpu", dtype=torch.float32)
        noise = whole[self.rank * share : (self.rank + 1) * share]
        if self.device.type == "cuda":
            noise = noise.pin_memory()  # so that sending it need not wait
        return noise.to(self.device, non_blocking=True)

    def flush(self, bar: tqdm) -> None:
        """Fetch the losses and report them; probe and save if it is time."""
        self.fetch()
        if self.time_to_probe():
            self.probe()
        last = {"loss": f"{self.curve.loss[-1]:.4f}"}
        if len(self.curve.probe_f_ari):
            last["F-ARI"] = f"{self.curve.probe_f_ari[-1]:.3f}"
            last["blind"] = f"{self.curve.probe_blind_f_ari[-1]:.3f}"
        bar.set_postfix(last, refresh=False)
        self.watch.report(self.step, float(self.curve.loss[-1]))
        if time.monotonic() - self.saved > self.watch.checkpoint_seconds:
            self.save()

    def fetch(self) -> None:
        """Move the losses since the last fetch into the curve; raise if one, or a gradient norm, is not finite."""
        if not self.pending:
            return
        losses, norms = (torch.stack(column).float() for column in zip(*self.pending, strict=True))
        self.pending.clear()
        if self.ranks > 1:
            dist.all_reduce(losses.div_(self.ranks))
        losses, norms = losses.cpu(), norms.cpu()
        self.check(losses, norms)
        self.curve.loss = torch.cat([self.curve.loss, losses])
        self.curve.gradient_norm = torch.cat([self.curve.gradient_norm, norms])

    def check(self, losses: Tensor, norms: Tensor) -> None:
        lost = ~(losses.isfinite() & norms.isfinite())
        if not lost.any():
            return
        first = int(lost.int().argmax())
        step = self.step - len(losses) + first
        name, value = ("gradient norm", norms[first]) if losses[first].isfinite() else ("loss", losses[first])
        good = self.watch.checkpoint is not None and self.watch.checkpoint.exists()
        raise TrainingDivergedError(
            f"{self.watch.label}: {name} is {value} at step {step}, learning rate "
            f"{self.spec.schedule.learning_rate(step):.3g}; "
            + (f"the last good checkpoint is {self.watch.checkpoint}; " if good else "there is no checkpoint; ")
            + "a lower learning rate or clip_norm=1.0 usually helps"
        )

    def time_to_probe(self) -> bool:
        due = self.watch.probe and (self.step % self.watch.probe_every == 0 or self.step == self.spec.schedule.steps)
        return bool(due)

    def probe(self) -> None:
        assert self.watch.probe is not None
        if self.rank == 0:
            f_ari, blind = (self.curve.loss.new_tensor([value]) for value in self.watch.probe(self.model))
            self.curve.probe_f_ari = torch.cat([self.curve.probe_f_ari, f_ari])
            self.curve.probe_blind_f_ari = torch.cat([self.curve.probe_blind_f_ari, blind])
            self.curve.probe_step = torch.cat([self.curve.probe_step, self.curve.probe_step.new_tensor([self.step])])
        self.model.train()

    def interrupted(self) -> bool:
        self.asked_to_stop = self.asked_to_stop or self.watch.stop()
        if self.ranks == 1:
            return self.asked_to_stop
        if self.step % VOTE_EVERY:  # all processes are at one step, so they all vote or none does
            return False
        votes = torch.tensor([float(self.asked_to_stop)], device=self.device)
        dist.all_reduce(votes)
        return bool(votes.item())

    def state(self) -> dict[str, Any]:
        changing = {"model": self.model, "optimizer": self.optimizer, "generator": self.generator}
        return {"run": self.spec.name, **changing}

    def save(self) -> None:
        if self.watch.checkpoint is None or self.rank:
            return
        progress: dict[str, Any] = {"step": self.step, "curve": self.curve, "elapsed": self.elapsed()}
        save_checkpoint(self.watch.checkpoint, **self.state(), **progress)
        self.saved = time.monotonic()

    def elapsed(self) -> float:
        return self.before + time.monotonic() - self.started

    def bar(self) -> tqdm:
        hidden = {} if self.watch.bar and self.rank == 0 else {"disable": True}
        total = self.spec.schedule.steps
        return tqdm(total=total, initial=self.step, desc=self.watch.label, unit="step", **hidden)
