"""Schedule and training loop."""

import math

import pytest
import torch
from torch import nn

from slotnorm.models import ConvAutoencoder
from slotnorm.training import Schedule, TrainingDivergedError, reconstruction_loss, train


def tiny() -> ConvAutoencoder:
    torch.manual_seed(0)
    return ConvAutoencoder(16, num_slots=2, slot_dim=4, channels=4, encoder_layers=1, hidden_dim=4, iterations=1)


class Batches:
    """The same few images whenever a step is asked for, and a record of what was asked."""

    def __init__(self, value: float | None = None):
        self.asked = []
        g = torch.Generator().manual_seed(0)
        self.image = torch.rand(2, 3, 16, 16, generator=g) if value is None else torch.full((2, 3, 16, 16), value)

    def __getitem__(self, step):
        self.asked.append(step)
        return {"image": self.image}


def test_clevr_schedule_of_appendix_e():
    rate = Schedule().learning_rate
    assert rate(9_999) == rate(10_000) == pytest.approx(3.732e-4, rel=1e-4)  # printed to 4 digits in App. E
    assert rate(4_999) == pytest.approx(rate(9_999) / 2)
    assert rate(110_000) == pytest.approx(rate(10_000) / 2)
    assert rate(499_999) == pytest.approx(rate(10_000) * 0.5**4.9, rel=1e-4)


def test_a_schedule_without_warmup_starts_at_its_peak():
    assert Schedule(peak=1e-3, warmup=0).learning_rate(0) == 1e-3


@pytest.mark.parametrize(
    ("setting", "value"), [("steps", 0), ("peak", 0.0), ("peak", math.nan), ("warmup", -1), ("half_life", 0.0)]
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match="must be positive"):
        Schedule(**{setting: value})


def test_training_lowers_the_loss_and_asks_for_every_step_once():
    batches, model = Batches(), tiny()
    curve = train(model, batches, Schedule(steps=40, peak=1e-2, warmup=5), seed=0)
    assert batches.asked == list(range(40))
    assert len(curve) == 40
    assert min(curve[-5:]) < 0.5 * curve[0]


def test_training_is_repeatable_and_depends_on_the_seed():
    schedule = Schedule(steps=3, peak=1e-2, warmup=0)
    first, same, other = (train(tiny(), Batches(), schedule, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first != other


def test_the_first_step_is_adam_with_the_scheduled_rate():
    model, reference = tiny(), tiny()
    schedule = Schedule(steps=1, peak=1e-2, warmup=4)
    train(model, Batches(), schedule, seed=3)
    optimizer = torch.optim.Adam(reference.parameters(), lr=0.25e-2)
    reconstruction_loss(reference, Batches()[0], torch.Generator().manual_seed(3)).backward()
    optimizer.step()
    for (name, a), (_, b) in zip(model.named_parameters(), reference.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_clipping_bounds_the_gradient():
    norms = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))
            self.weight.register_post_accumulate_grad_hook(lambda p: norms.append(p.grad))

    def steep(model, batch, generator):
        return 1e3 * model.weight.sum()

    train(Spy(), Batches(), Schedule(steps=1), seed=0, loss=steep, clip_norm=1.0)
    assert norms[0].norm().item() == pytest.approx(1.0, rel=1e-5)  # clip_grad_norm_ adds 1e-6 to the norm


def test_divergence_names_the_step_and_a_way_out():
    with pytest.raises(TrainingDivergedError, match=r"baseline: loss is nan at step 0, .*clip_norm=1.0"):
        train(tiny(), Batches(math.nan), Schedule(steps=5), seed=0, label="baseline")
