"""Loads trained models from a run store."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from slotnorm_book.checkout import RECORDS
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.recorded_data import with_recorded_training_data
from slotnorm_book.experiments.run_store import RunStore


def load_pretrained(
    experiment: str,
    variant: str,
    *,
    scale: str = "cpu",
    seed: int = 0,
    store: str | Path | None = None,
    data: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Load a model that an experiment of the book has trained, in evaluation mode.

    The models of the ``cpu`` and ``gpu`` scales are trained on stand-in data.

    Args:
        experiment: a name in :data:`slotnorm_book.experiments.recipes.EXPERIMENTS`, such as ``"clevr-6-7"``.
        variant: a name that :func:`~slotnorm.normalization.make_normalization` knows.
        scale: ``"smoke"``, ``"cpu"``, ``"gpu"`` or ``"paper"``.
        seed: seed of the run.
        store: folder or fsspec address of a run store; by default the records committed with the book.
        data: what the run was trained on, if not the recipe's data: a folder of prepared splits, the name of a
            stand-in, or the name of data as the run's record has it. Data need not be here: records say what they were.
        device: device of the model.

    Returns:
        A :class:`~slotnorm.models.ConvAutoencoder`, :class:`~slotnorm.models.FeatureAutoencoder` or
        :class:`~slotnorm.models.SetPredictor`; it can be called with any number of slots.

    Raises:
        SpecError: the experiment, scale or variant is unknown, or it is not clear which data are meant.
        RunError: the store has no such run, or has no weights of it.

    Example:
        >>> model = load_pretrained("clevr-6-7", "weighted_sum")
        >>> model(torch.zeros(1, 3, 32, 32), num_slots=21).masks.shape
        torch.Size([1, 21, 32, 32])
    """
    chosen = recipe(experiment, scale).select([variant], [seed])
    runs = RunStore(RECORDS if store is None else store)
    if data is not None:
        chosen = chosen.with_data(str(data))
    (spec,) = with_recorded_training_data(chosen, runs).runs()
    return runs.get(spec).load_model().to(device)
