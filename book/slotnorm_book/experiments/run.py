"""A finished run in a store, whose tables and weights are read when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import safetensors
from safetensors.torch import load, save
from torch import nn

from slotnorm.evaluation import SET_COLUMNS, Evaluation
from slotnorm.models import SlotModel
from slotnorm.training.checkpoint import Curve
from slotnorm.training.spec import RunSpec
from slotnorm_book.experiments.record import CURVE, SCENES, SETS, WEIGHTS
from slotnorm_book.experiments.run_tables import (
    TableError,
    decode_table,
    encode_table,
    make_curve_table,
    make_evaluation_files,
)
from slotnorm_book.experiments.store_files import RunError, UnreadableError

ATTEMPTS = 5
"""How often files are read again because the run was replaced meanwhile."""


@dataclass(frozen=True)
class Run:
    """A finished run in a store. Tables and weights are read each time they are accessed.

    Args:
        address: the run's folder.
        spec: the specification that was run.
        provenance: where and how it ran, see ``slotnorm_book.experiments.provenance``.
        evaluations: what the rows of the table were evaluated on, by
            :attr:`slotnorm_book.experiments.test_sets.EvaluationSpec.key`.
        files: SHA-256 of each file, by name.

    Example:
        >>> from slotnorm_book.checkout import RECORDS
        >>> from slotnorm_book.experiments.run_store import RunStore
        >>> run = next(iter(RunStore(RECORDS)))
        >>> run.has_weights, len(run.curve) == run.spec.schedule.steps
        (True, True)
    """

    address: str
    spec: RunSpec
    provenance: Mapping[str, Any]
    evaluations: Mapping[str, Any]
    files: Mapping[str, str]
    _read_file: Callable[[str], bytes | None] = field(repr=False, compare=False)
    _reopen: Callable[[], Run | None] = field(repr=False, compare=False)

    @property
    def curve(self) -> pd.DataFrame:
        """Return one row per step, with its loss, gradient norm and F-ARI, which is NaN where it was not probed."""
        return self._decode(self._read([CURVE]), CURVE)

    @property
    def evaluation(self) -> Evaluation:
        """The evaluated settings; see :class:`slotnorm.evaluation.Evaluation`."""
        content = self._read([SCENES, SETS])
        sets = self._decode(content, SETS) if SETS in content else pd.DataFrame(columns=SET_COLUMNS)
        return Evaluation(self._decode(content, SCENES), sets)

    @property
    def has_weights(self) -> bool:
        """Whether the store has the weights, so that the model can be loaded."""
        return WEIGHTS in self.files

    def load_model(self) -> SlotModel[Any]:
        """Load the trained model onto the CPU, in evaluation mode.

        Raises:
            RunError: the weights are absent, damaged or of another shape, or the model cannot be built.
        """
        content = self._read([WEIGHTS]).get(WEIGHTS)
        if content is None:
            raise RunError(f"{self.address}: has no weights, only tables; train it again to get them")
        model = self._build()
        try:
            model.load_state_dict(load(content))
        except (RuntimeError, safetensors.SafetensorError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise RunError(f"{self.address}/{WEIGHTS}: does not fit the model of its record: {reason}") from None
        return model.eval()

    def _build(self) -> SlotModel[Any]:
        try:
            return self.spec.task.build(self.spec.variant)
        except Exception as error:  # sizes that anybody can have written, or another package's class
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise RunError(f"{self.address}: the model of its record cannot be built: {reason}") from error

    def read_files(self, *, weights: bool = True) -> dict[str, bytes]:
        """Read all files except the record, by name; those of the weights only if they are asked for."""
        return self._read([CURVE, SCENES, SETS, *([WEIGHTS] if weights else [])])

    def _decode(self, content: Mapping[str, bytes], name: str) -> pd.DataFrame:
        try:
            return decode_table(name, content[name])
        except TableError as error:
            raise RunError(f"{self.address}/{name}: {error}") from None

    def _read(self, names: Iterable[str]) -> dict[str, bytes]:
        """Read those of the files that the run has; if it is replaced meanwhile, all of them from the new one."""
        run = self
        for _ in range(ATTEMPTS):
            try:
                return {name: run._read_whole(name) for name in names if name in run.files}
            except UnreadableError:
                raise
            except RunError:
                newer = self._reopen()
                if newer is None or (newer.address, newer.files) == (run.address, run.files):
                    raise
                run = newer
        raise UnreadableError(f"{self.address}: is replaced again and again; read it when that has ended")

    def _read_whole(self, name: str) -> bytes:
        path, content = f"{self.address}/{name}", self._read_file(name)
        if content is None:
            raise RunError(f"{path}: missing, though its record lists it")
        if hashlib.sha256(content).hexdigest() != self.files[name]:
            raise RunError(f"{path}: damaged: its checksum differs from the record")
        return content


def make_run_files(model: nn.Module, curve: Curve, evaluation: Evaluation) -> dict[str, bytes]:
    """Encode the files of a finished run except its record, by name."""
    weights = {key: value.contiguous().cpu() for key, value in model.state_dict().items()}
    return {
        CURVE: encode_table(make_curve_table(curve)),
        WEIGHTS: save(weights),
        **make_evaluation_files(evaluation),
    }
