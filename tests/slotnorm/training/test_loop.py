"""Schedule, specs of a training, and the loop: its steps, its curve, its end when the loss is lost."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from slotnorm.models import SlotModel
from slotnorm.normalization import NORMALIZATIONS, Normalization, aggregate
from slotnorm.numerics import PLACES
from slotnorm.tasks import ObjectDiscovery
from slotnorm.training.build import MODEL_SEED, SLOT_SEED, build_model, stream
from slotnorm.training.loop import Interrupted, TrainingDivergedError, Watch, _Loop, train
from slotnorm.training.spec import Optimizer, RunSpec, Schedule, SpecError
from slotnorm_book.experiments.probe import Probe
from tests.helpers import tiny

QUIET = Watch(bar=False)


class Batches:
    """The same few images whenever a step is asked for, from one step on of another value, and what was asked."""

    def __init__(self, value: float | None = None, since: int = 0):
        self.asked: list[int] = []
        g = torch.Generator().manual_seed(0)
        self.image = torch.rand(4, 3, tiny.SIZE, tiny.SIZE, generator=g)
        self.value, self.since = value, since

    def __getitem__(self, step: int):
        self.asked.append(step)
        lost = self.value is not None and step >= self.since
        return {"image": torch.full_like(self.image, self.value) if lost else self.image}


class ThreeWeights(SlotModel[None]):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs

    def decode(self, slots: torch.Tensor, attention: torch.Tensor) -> None:
        return None


@dataclass(frozen=True)
class Steep(ObjectDiscovery):
    """A task whose gradient is known: the loss is 1000 times the sum of three weights, or the roots of zero."""

    root: bool = False

    def build(self, variant: str) -> ThreeWeights:
        return ThreeWeights()

    def loss(self, model: ThreeWeights, batch: Any, noise: Any) -> torch.Tensor:
        return model.weight.sqrt().sum() if self.root else 1e3 * model.weight.sum()


def test_clevr_schedule_of_appendix_e():
    rate = Schedule().learning_rate
    assert rate(9_999) == rate(10_000) == pytest.approx(3.732e-4, rel=1e-4)  # printed to 4 digits in App. E
    assert rate(4_999) == pytest.approx(rate(9_999) / 2)
    assert rate(110_000) == pytest.approx(rate(10_000) / 2)
    assert rate(499_999) == pytest.approx(rate(10_000) * 0.5**4.9, rel=1e-4)


def test_a_schedule_without_warmup_starts_at_its_peak():
    assert Schedule(peak=1e-3, warmup=0).learning_rate(0) == 1e-3


@pytest.mark.parametrize(
    ("setting", "value"),
    [("steps", 0), ("peak", 0.0), ("peak", math.nan), ("peak", math.inf), ("warmup", -1), ("half_life", 0)],
)
def test_a_schedule_out_of_range_is_refused(setting, value):
    with pytest.raises(SpecError, match=rf"^{setting} must be .*, got {value}$"):
        Schedule(**{setting: value})


@pytest.mark.parametrize(("setting", "value"), [("epsilon", 0.0), ("clip_norm", 0.0), ("clip_norm", math.inf)])
def test_an_optimizer_out_of_range_is_refused(setting, value):
    with pytest.raises(SpecError, match=rf"^{setting} must be positive and finite, got {value}$"):
        Optimizer(**{setting: value})


def test_training_lowers_the_loss_and_asks_for_every_step_once():
    batches, run = Batches(), tiny.spec(schedule=Schedule(steps=40, peak=1e-2, warmup=5))
    curve = train(run, batches, watch=QUIET).curve
    assert batches.asked == list(range(40))
    assert len(curve.loss) == len(curve.gradient_norm) == 40
    assert curve.loss[-5:].min() < 0.5 * curve.loss[0]


def test_training_is_repeatable_and_depends_on_the_seed():
    first, same, other = (train(tiny.spec(seed=seed), Batches(), watch=QUIET) for seed in (0, 0, 1))
    assert torch.equal(first.curve.loss, same.curve.loss)
    assert tiny.equal(first.model, same.model)
    assert not torch.equal(first.curve.loss, other.curve.loss)


def test_torchs_default_device_changes_no_training():
    watch, batches = Watch(bar=False, probe=lambda model: (0.5, 0.25), probe_every=4), Batches()
    plain = train(tiny.spec(), batches, watch=watch)
    with torch.device("meta"):
        other = train(tiny.spec(), batches, watch=watch)
    assert tiny.equal(plain.model, other.model)
    torch.testing.assert_close(vars(other.curve), vars(plain.curve), rtol=0, atol=0)


def test_training_neither_reads_nor_moves_the_global_generator():
    torch.manual_seed(1)
    first = train(tiny.spec(), Batches(), watch=QUIET)
    state = torch.get_rng_state()
    assert torch.equal(state, torch.Generator().manual_seed(1).get_state())
    torch.manual_seed(2)
    assert tiny.equal(first.model, train(tiny.spec(), Batches(), watch=QUIET).model)


def test_variants_begin_with_the_same_weights_where_they_share_them():
    mean, norm = (
        dict(build_model(tiny.spec(variant=name)).named_parameters()) for name in ("weighted_mean", "batch_norm")
    )
    assert mean.keys() < norm.keys()
    assert all(torch.equal(mean[key], norm[key]) for key in mean)


class Drawing(Normalization):
    """Draws weights of its own."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.map = nn.Linear(dim, dim)

    def normalize(self, values: Any, attention: Any, statistics: Any, tokens: Any) -> Any:
        return self.map(aggregate(values, attention) / tokens), None


def test_a_normalization_that_draws_weights_moves_no_other(monkeypatch):
    monkeypatch.setitem(NORMALIZATIONS, "drawing", Drawing)
    mean, drawn, again, other = (
        dict(build_model(tiny.spec(variant=name, seed=seed)).named_parameters())
        for name, seed in (("weighted_mean", 0), ("drawing", 0), ("drawing", 0), ("drawing", 1))
    )
    own = {"slot_attention.normalization.map.weight", "slot_attention.normalization.map.bias"}
    assert drawn.keys() - mean.keys() == own
    assert all(torch.equal(mean[key], drawn[key]) for key in mean)
    assert all(torch.equal(drawn[key], again[key]) and not torch.equal(drawn[key], other[key]) for key in own)


def first_loss(run: RunSpec, model: nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(stream(run.seed, SLOT_SEED))
    noise = torch.randn(run.batch_size, run.task.num_slots, run.task.slot_dim, generator=generator)
    return run.task.loss(model, Batches()[0], noise)


def test_the_first_step_is_adam_with_the_scheduled_rate():
    run = tiny.spec(schedule=Schedule(steps=1, peak=1e-2, warmup=4))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(run.seed, MODEL_SEED))
        reference = run.task.build(run.variant)
    optimizer = torch.optim.Adam(reference.parameters(), lr=0.25e-2)
    loss = first_loss(run, reference)
    loss.backward()
    optimizer.step()
    done = train(run, Batches(), watch=QUIET)
    assert done.curve.loss.item() == loss.item()
    for (name, a), (_, b) in zip(done.model.named_parameters(), reference.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_epsilon_hat_is_the_adam_of_tensorflow():
    """Transcribed from the note on epsilon hat in tf.keras.optimizers.Adam; ε is large so that it matters."""
    steps, epsilon, peak = 6, 1e-2, 1e-2
    schedule = Schedule(steps=steps, peak=peak, warmup=0, half_life=10**9)
    run = tiny.spec(schedule=schedule, optimizer=Optimizer(epsilon=epsilon, epsilon_hat=True))
    model, generator = build_model(run), torch.Generator().manual_seed(stream(run.seed, SLOT_SEED))
    parameters = list(model.parameters())
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for t in range(1, steps + 1):
        noise = torch.randn(run.batch_size, run.task.num_slots, run.task.slot_dim, generator=generator)
        gradients = torch.autograd.grad(run.task.loss(model, Batches()[0], noise), parameters)
        rate = peak * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        with torch.no_grad():
            for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                p.sub_(rate * m / (v.sqrt() + epsilon))
    done = train(run, Batches(), watch=QUIET).model
    plain = train(replace(run, optimizer=Optimizer(epsilon=epsilon)), Batches(), watch=QUIET).model
    for (name, a), b in zip(done.named_parameters(), parameters, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)  # float32, six steps
    gap = max((a - b).abs().max().item() for a, b in zip(plain.parameters(), parameters, strict=True))
    assert gap > 1e-4


def test_clipping_bounds_the_gradient_and_the_curve_keeps_the_unclipped_norm():
    norms = []

    class Spied(Steep):
        def build(self, variant):
            model = super().build(variant)
            model.weight.register_hook(lambda g: norms.append(g.norm().item()))
            return model

    run = tiny.spec(task=Spied(), schedule=Schedule(steps=1, warmup=0), optimizer=Optimizer(clip_norm=1.0))
    done = train(run, Batches(), watch=QUIET)
    assert norms == [pytest.approx(1e3 * math.sqrt(3))]
    assert done.curve.gradient_norm.item() == pytest.approx(1e3 * math.sqrt(3))
    assert done.model.weight.grad.norm().item() == pytest.approx(1.0, rel=1e-5)  # torch adds 1e-6 to the norm


def test_divergence_names_the_step_and_a_way_out():
    with pytest.raises(TrainingDivergedError, match=r"baseline: loss is nan at step 3, .*no checkpoint.*clip_norm=1.0"):
        train(tiny.spec(), Batches(math.nan, since=3), watch=Watch(label="baseline", bar=False))


def test_divergence_names_the_last_good_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("slotnorm.training.loop.FLUSH_EVERY", 2)
    watch = Watch(checkpoint=tmp_path / "run.checkpoint", checkpoint_seconds=-1.0, bar=False)
    with pytest.raises(TrainingDivergedError, match=rf"at step 5, .*good checkpoint is {watch.checkpoint}"):
        train(tiny.spec(), Batches(math.nan, since=5), watch=watch)
    assert train(tiny.spec(), Batches(), watch=watch).curve.loss.isfinite().all()  # it goes on from a sound model


def test_a_gradient_that_is_no_number_is_divergence_too():
    run = tiny.spec(task=Steep(root=True), schedule=Schedule(steps=1, warmup=0))
    with pytest.raises(TrainingDivergedError, match="gradient norm is inf at step 0"):
        train(run, Batches(), watch=QUIET)


@pytest.mark.parametrize(("precision", "closeness"), [("tf32", 2e-3), ("bf16", 5e-2)])  # 10 and 7 bits of mantissa
def test_lower_precision_runs_and_keeps_weights_and_curve_in_single_precision(precision, closeness):
    exact, rough = (train(tiny.spec(precision=p), Batches(), watch=QUIET) for p in ("fp32", precision))
    assert {p.dtype for p in rough.model.parameters()} == {torch.float32}
    torch.testing.assert_close(rough.curve.loss, exact.curve.loss, rtol=closeness, atol=0)


def test_a_run_leaves_the_precision_of_products_as_it_was():
    before = [place.fp32_precision for place in PLACES]
    train(tiny.spec(precision="tf32"), Batches(), watch=QUIET)
    assert [place.fp32_precision for place in PLACES] == before


@pytest.mark.parametrize("variant", ["weighted_mean", "batch_norm"])
def test_a_probe_is_recorded_and_changes_nothing(tmp_path: Path, monkeypatch, variant: str):
    monkeypatch.setattr("slotnorm.training.loop.FLUSH_EVERY", 2)
    split, run = tiny.make_split(tmp_path / "split"), tiny.spec(variant=variant)
    bare = train(run, tiny.loader(split, run), watch=QUIET)
    probed = train(run, tiny.loader(split, run), watch=Watch(probe=Probe(run.task, split, 3), probe_every=4, bar=False))
    assert torch.equal(bare.curve.loss, probed.curve.loss)
    assert torch.equal(bare.curve.gradient_norm, probed.curve.gradient_norm)
    assert tiny.equal(bare.model, probed.model)
    assert probed.curve.probe_step.tolist() == [4, 8]
    assert probed.curve.probe_f_ari.isfinite().all()
    assert probed.curve.probe_blind_f_ari.isfinite().all()
    assert len(bare.curve.probe_step) == 0


def test_a_probe_is_made_at_every_step_that_is_asked_for():
    run = tiny.spec(schedule=Schedule(steps=8, peak=1e-2, warmup=2))
    done = train(run, Batches(), watch=Watch(probe=lambda model: (0.5, 0.25), probe_every=3, bar=False))
    assert done.curve.probe_step.tolist() == [3, 6, 8]


def in_group(monkeypatch: pytest.MonkeyPatch, ranks: int) -> list[torch.Tensor]:
    """Pretend to be the first of several processes; returns what they add up."""
    summed: list[torch.Tensor] = []
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: ranks)
    monkeypatch.setattr(dist, "all_reduce", summed.append)
    return summed


def test_a_batch_that_processes_cannot_share_is_refused(monkeypatch):
    in_group(monkeypatch, 3)
    with pytest.raises(ValueError, match="batch_size must be a multiple of 3 processes, got 4"):
        train(tiny.spec(), Batches(), watch=QUIET)


def test_a_checkpoints_folder_is_made_before_the_first_step_or_refused(tmp_path):
    (tmp_path / "file").touch()
    taken = []
    for folder, stops in (("no/such", Interrupted), ("file", OSError)):
        watch = Watch(checkpoint=tmp_path / folder / "run", stop=lambda: bool(taken.append(1) or True), bar=False)
        with pytest.raises(stops):
            train(tiny.spec(), Batches(), watch=watch)
    assert (tmp_path / "no" / "such" / "run").exists()
    assert len(taken) == 1


def test_probes_at_no_step_are_refused():
    with pytest.raises(ValueError, match="probe_every must be at least 1, got 0"):
        train(tiny.spec(), Batches(), watch=Watch(probe_every=0, bar=False))


def test_several_processes_vote_every_few_steps_and_forget_no_wish_to_stop(monkeypatch):
    votes, wishes = in_group(monkeypatch, 2), iter([False, False, True])
    watch = Watch(bar=False, stop=lambda: next(wishes, False))
    loop = _Loop(tiny.spec(), Batches(), torch.device("cpu"), watch, compile=False)
    stopped = []
    for loop.step in range(11):
        stopped.append(loop.interrupted())
    assert stopped == [False] * 10 + [True]
    assert [vote.item() for vote in votes] == [0, 1]


def test_the_report_tells_the_steps_done_and_the_loss(monkeypatch):
    monkeypatch.setattr("slotnorm.training.loop.FLUSH_EVERY", 4)
    told = []
    curve = train(tiny.spec(), Batches(), watch=Watch(report=lambda *what: told.append(what), bar=False)).curve
    assert told == [(4, curve.loss[3].item()), (8, curve.loss[7].item())]
