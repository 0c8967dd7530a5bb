"""The specification of a training run: frozen, complete, and named by a hash of its content.

A :class:`RunSpec` holds everything that determines the result of a training: equal specs give equal results on one
machine with one version of torch. Device, number of processes and number of threads change a step by rounding alone,
which training can amplify; another version may draw other random numbers; wall time changes nothing. None of these is
part of it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from slotnorm.normalization import describe_unknown, is_known
from slotnorm.tasks import TASKS, Task

__all__ = ["RunSpec", "Data", "Schedule", "Optimizer", "SpecError", "digest"]

Precision = Literal["fp32", "tf32", "bf16"]
PRECISIONS = ("fp32", "tf32", "bf16")
ID_LENGTH = 12
LEAST = {"steps": 1, "warmup": 0, "max_objects": 1, "seed": 0, "batch_size": 1}
POSITIVE = ("peak", "half_life", "epsilon", "clip_norm")
TEXT = ("name", "identity", "variant")
SWITCHES = ("epsilon_hat",)
OPTIONAL = ("max_objects", "clip_norm")


class SpecError(ValueError):
    """A specification that cannot work; the message names the field and what would be right.

    Example:
        >>> Schedule(steps=0)
        Traceback (most recent call last):
        slotnorm.training.spec.SpecError: steps must be at least 1, got 0
    """


class _InRange:
    """Base class of the specifications: compares their fields with the constants above; only some may be ``None``."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None and name in OPTIONAL:
                continue
            if name in LEAST and type(value) is not int:  # JSON holds no other whole number
                raise SpecError(f"{name} must be an int, got {value!r}")
            if name in LEAST and value < LEAST[name]:
                raise SpecError(f"{name} must be at least {LEAST[name]}, got {value}")
            if name in POSITIVE and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise SpecError(f"{name} must be a number, got {value!r}")
            if name in POSITIVE and not 0 < value < math.inf:
                raise SpecError(f"{name} must be positive and finite, got {value}")
            if name in TEXT and not isinstance(value, str):
                raise SpecError(f"{name} must be text, got {value!r}")
            if name in SWITCHES and type(value) is not bool:
                raise SpecError(f"{name} must be true or false, got {value!r}")


@dataclass(frozen=True)
class Schedule(_InRange):
    """Steps and learning rate: linear warm-up to a peak, then halved every ``half_life`` steps (App. E and F).

    The defaults are those of CLEVR, whose peak is 4e-4 · 0.5^0.1; MOVi-C has 4e-4.

    Args:
        steps: updates in all.
        peak: learning rate at the end of the warm-up.
        warmup: steps of linear growth; 0 for none.
        half_life: steps in which the rate then halves.

    Example:
        >>> schedule = Schedule(peak=4e-4)
        >>> [round(schedule.learning_rate(step), 6) for step in (0, 4_999, 9_999, 110_000)]
        [0.0, 0.0002, 0.0004, 0.0002]
    """

    steps: int = 500_000
    peak: float = 4e-4 * 0.5**0.1
    warmup: int = 10_000
    half_life: int = 100_000

    def learning_rate(self, step: int) -> float:
        """Compute the learning rate of the update number ``step``, counted from 0."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        return float(self.peak * 0.5 ** ((step - self.warmup) / self.half_life))


@dataclass(frozen=True)
class Optimizer(_InRange):
    r"""Adam (Kingma & Ba, 2015).

    Args:
        epsilon: :math:`\epsilon`.
        epsilon_hat: whether to add it before the bias correction, :math:`(\sqrt v + \epsilon)/\sqrt{1 - \beta_2^t}`, as
            TensorFlow and the paper's CLEVR code do; otherwise it is added after it, as in torch.
        clip_norm: bound on the norm of the gradient; ``None`` for none.

    Example:
        >>> Optimizer(clip_norm=1.0)
        Optimizer(epsilon=1e-08, epsilon_hat=False, clip_norm=1.0)
    """

    epsilon: float = 1e-8
    epsilon_hat: bool = False
    clip_norm: float | None = None


@dataclass(frozen=True)
class Data(_InRange):
    """The scenes of a training.

    Args:
        name: name of a stand-in, or the name in a prepared split's manifest.
        identity: hash of a prepared split's manifest, checksums included. For a stand-in it is taken without the
            checksums, since another processor may round a pixel differently.
        max_objects: scenes with more objects are left out; ``None`` keeps all.

    Example:
        >>> Data("synth-clevr", identity="fa8e", max_objects=6).name
        'synth-clevr'
    """

    name: str
    identity: str
    max_objects: int | None = None


@dataclass(frozen=True)
class RunSpec(_InRange):
    """One training run.

    Args:
        task: model and loss, see :mod:`slotnorm.tasks`.
        data: the scenes.
        variant: the normalization, a name that :func:`slotnorm.normalization.make_normalization` knows.
        seed: of the weights, the order of the scenes, their flips and the initial slots.
        schedule: steps and learning rate.
        optimizer: Adam's settings.
        batch_size: scenes in a step, over all processes.
        precision: of products in the training step: ``"fp32"``, ``"tf32"`` or ``"bf16"``; evaluation is in fp32.

    Raises:
        SpecError: if a setting is of another type, out of range or unknown. Whether the task's sizes fit each other is
            checked when its model is built.

    Example:
        >>> from slotnorm.tasks import ObjectDiscovery
        >>> spec = RunSpec(ObjectDiscovery(), Data("synth-clevr", "fa8e"), "weighted_sum", seed=0, schedule=Schedule())
        >>> spec.name[:19], RunSpec.from_json(spec.to_json()) == spec
        ('weighted_sum-seed0-', True)
    """

    task: Task
    data: Data
    variant: str
    seed: int
    schedule: Schedule
    optimizer: Optimizer = Optimizer()
    batch_size: int = 64
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind in {"task": Task, "data": Data, "schedule": Schedule, "optimizer": Optimizer}.items():
            if not isinstance(part := getattr(self, name), kind):
                raise SpecError(f"{name} must be of the class {kind.__name__}, got {part!r}")
        for size in fields(self.task):  # type: ignore[arg-type]
            if size.type in ("int", int) and type(value := getattr(self.task, size.name)) is not int:
                raise SpecError(f"{size.name} must be an int, got {value!r}")
        if not is_known(self.variant):
            raise SpecError(describe_unknown("variant", self.variant))
        if self.precision not in PRECISIONS:
            raise SpecError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")

    @property
    def name(self) -> str:
        """Return the name of the run in a store, such as ``weighted_mean-seed0-1f2e3d4c5b6a``."""
        return f"{self.variant}-seed{self.seed}-{digest(self.to_json())[:ID_LENGTH]}"

    def to_json(self) -> dict[str, Any]:
        """Return the whole specification as JSON can hold it; :meth:`from_json` reads it back."""
        content = asdict(self)
        task = {k: v for k, v in content["task"].items() if (k, v) not in self.task.added_later.items()}
        return {**content, "task": {"kind": type(self.task).__name__, **task}}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RunSpec:
        """Read what :meth:`to_json` returned.

        Raises:
            SpecError: if the content is not the specification of a run.
        """
        try:
            if unknown := sorted(set(content) - {field.name for field in fields(cls)}):
                raise SpecError(f"is not the specification of a run: it has no setting {unknown[0]!r}")
            task = dict(content["task"])
            if (kind := task.pop("kind")) not in TASKS:
                wanted = f"task must be one of {', '.join(TASKS)}"
                raise SpecError(f"is not the specification of a run: {wanted}, got {kind!r}")
            return cls(
                **{key: content[key] for key in ("variant", "seed", "batch_size", "precision")},
                task=TASKS[kind](**task),
                data=Data(**content["data"]),
                schedule=Schedule(**content["schedule"]),
                optimizer=Optimizer(**content["optimizer"]),
            )
        except SpecError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(f"is not the specification of a run: {type(error).__name__} {error}") from None


def digest(content: Mapping[str, Any]) -> str:
    """Compute the SHA-256 of canonical JSON: sorted keys, no spaces, and 1.0 written as 1.

    Raises:
        SpecError: if a value is infinite or NaN.

    Example:
        >>> digest({"a": 1.0, "b": [2]}) == digest({"b": [2], "a": 1})
        True
    """
    try:
        canonical = json.dumps(_canonical(content), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise SpecError(f"every setting must be a finite number, got {content}") from None
    return hashlib.sha256(canonical.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
