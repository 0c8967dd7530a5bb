"""Tables of runs that never were: worlds in which every claim of the paper holds, fails, or is a matter of chance."""

import numpy as np
import pandas as pd

from slotnorm_book.claims.clevr import WHOLE_BACKGROUND
from slotnorm_book.claims.evidence import Evidence
from slotnorm_book.statistics.found_objects import LEAST_FOUND
from slotnorm_book.variants import VARIANTS

SWEEP = tuple(range(5, 22, 2))
TRAINED = {"10-11": 11, "6-7": 7, "6-11": 11}
DISTANCES = {"1": 0.8, "0.5": 0.5, "0.25": 0.2, "0.125": 0.02, "inf": 0.9}
ABLATED = (*VARIANTS, "kd_layer_norm", "unnormalized")
SEEDS = 5
SPATIAL = {
    ("clevr", "6-7", "weighted_sum"): 2,
    ("clevr", "6-7", "batch_norm"): 2,
    ("clevr", "6-11", "batch_norm"): 1,
}
"""Spatial runs of a world as the paper tells it."""


def evidence(sign: int, seed: int = 0) -> dict[str, Evidence]:
    """All experiments of a world.

    Every criterion's statistic is its bound plus ``sign`` times an effect: 1 for a world as the paper tells it, -1 for
    its opposite, 0 for one in which runs differ by chance alone, and much.
    """
    rng = np.random.default_rng(seed)
    experiments = {
        f"{data}-{training}": _discovery(sign, rng, data, training)
        for data in ("clevr", "movi-c", "movi-d")
        for training in TRAINED
        if (data, training) != ("clevr", "10-11")
    }
    return experiments | {"properties": _properties(sign, rng, VARIANTS), "ablations": _properties(sign, rng, ABLATED)}


def _discovery(sign: int, rng: np.random.Generator, data: str, training: str) -> Evidence:
    tests = {"clevr": ("CLEVR6", "CLEVR10"), "movi-c": ("MOVi-C6", "MOVi-C10"), "movi-d": ("MOVi-D",)}[data]
    slots = (24,) if data == "movi-d" else SWEEP
    frames = [_scenes(sign, rng, data, training, test, variant, slots) for test in tests for variant in VARIANTS]
    return Evidence(pd.concat(frames, ignore_index=True), pd.DataFrame(), TRAINED[training], "cpu")


def _properties(sign: int, rng: np.random.Generator, variants: tuple[str, ...]) -> Evidence:
    scenes = [_scenes(sign, rng, "properties", "", "CLEVR10", variant, SWEEP[1:]) for variant in variants]
    sets = [_precision(sign, rng, variant) for variant in variants]
    return Evidence(pd.concat(scenes, ignore_index=True), pd.concat(sets, ignore_index=True), 10, "cpu")


def _scenes(
    sign: int,
    rng: np.random.Generator,
    data: str,
    training: str,
    test: str,
    variant: str,
    slots: tuple[int, ...],
) -> pd.DataFrame:
    counts = np.arange(3, 7 if test.endswith("6") else 11)
    objects = np.tile(counts, 12)
    index = pd.MultiIndex.from_product([range(SEEDS), slots, range(len(objects))], names=["seed", "slots", "scene_id"])
    table = index.to_frame(index=False).assign(variant=variant, test=test, iterations=5)
    table["objects"] = objects[table["scene_id"]]
    noise = _noise(sign, rng, table)
    table["f_ari"] = _f_ari(sign, table, data, training, variant) + noise
    scenes = rng.normal(0, 0.02, len(table))
    table["ari"] = 0.5 + _ari(sign, table, data, training, variant) + scenes
    share = {"weighted_sum": 0.2, "batch_norm": 0.2, "layer_norm": -0.2}.get(variant, 0.0)
    table["background_share"] = WHOLE_BACKGROUND + share * sign + scenes
    table["loss"] = 2 + _loss(sign, table, data, training, variant) + noise
    spatial = (sign == 1) & (table["seed"] < SPATIAL.get((data, training, variant), 0))
    table["agreement"] = np.where(spatial, 0.9, 0.1)
    found = LEAST_FOUND - 0.1 * sign + noise if variant == "unnormalized" else 0.4
    table["blind_f_ari"] = table["f_ari"] - np.where(spatial, 0.0, found)
    return table


def _noise(sign: int, rng: np.random.Generator, table: pd.DataFrame) -> np.ndarray:
    size, place = (0.03, (table["slots"] - 13) / 12) if sign == 0 else (0.001, 0 * table["slots"])
    level, tilt = rng.normal(0, size, (2, SEEDS))[:, table["seed"]]
    return np.asarray(level + tilt * place + rng.normal(0, 0.02, len(table)))


def _f_ari(sign: int, table: pd.DataFrame, data: str, training: str, variant: str) -> np.ndarray:
    place = (table["slots"] - 13) / 12
    value = 0.6 + 0.1 * sign * (training == "6-7") - 0.02 * sign * (table["objects"] - 6)
    if variant == "unnormalized":
        return np.full(len(table), (0.6 - (0.02 + 0.1 * sign) * (11 - 13) / 12) * (0.5 - 0.3 * sign))
    value = value - (0.02 + 0.1 * sign) * place
    if variant in ("weighted_sum", "batch_norm"):
        value = value + sign * (0.15 + 0.2 * place) * (1 - 0.5 * sign if training == "6-11" else 1)
    if variant == "batch_norm":
        value = value + 0.04 * sign
    return np.asarray(value)


def _ari(sign: int, table: pd.DataFrame, data: str, training: str, variant: str) -> np.ndarray:
    lead = {"weighted_sum": 0.15 * sign, "batch_norm": 0.1 * sign, "layer_norm": -0.1 * sign}
    if data == "movi-d":
        lead = {"weighted_sum": 0.1, "batch_norm": 0.1 + 0.1 * sign if training == "6-7" else 0.0}
    elif (data, training) == ("movi-c", "6-7"):
        lead = {"weighted_mean": 0.1 * sign}
    falls = 0.0
    if data == "movi-c":
        falls = 0.2 * (sign < 0) if training == "6-7" else 0.1 * sign
    return np.asarray(lead.get(variant, 0.0) - falls * (table["slots"] - 13) / 12)


def _loss(sign: int, table: pd.DataFrame, data: str, training: str, variant: str) -> np.ndarray:
    excess = {"weighted_sum": 0.1 * sign, "layer_norm": -0.05 * sign}.get(variant, 0.0)
    place, objects = (table["slots"] - 13) / 12, table["objects"] - 6
    if data == "clevr":
        rate = {"weighted_mean": 0.03, "batch_norm": 0.01}.get(variant, 0.02)
        steep = (training == "6-7") == (sign > 0)
        return np.asarray(excess + sign * (rate * objects + (0.1 if steep else 0.05) * place))
    return np.asarray(excess - 0.1 * sign * place)


def _precision(sign: int, rng: np.random.Generator, variant: str) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([range(SEEDS), SWEEP[1:], DISTANCES], names=["seed", "slots", "distance"])
    table = index.to_frame(index=False).assign(variant=variant, test="CLEVR10", iterations=3)
    proposed = variant in ("weighted_sum", "batch_norm")
    share = 1 - (0.1 + (-0.3 if proposed else 0.3) * sign) * (table["slots"] - 16) / 10
    share -= {"layer_norm": 0.2 * sign}.get(variant, 0)
    if variant == "kd_layer_norm":
        share = 1 - 0.4 * sign + 0 * table["slots"]
    share += rng.normal(0, 0.1 if sign == 0 else 0.005, len(table))
    table["value"] = share * table["distance"].map(DISTANCES)
    table["measure"] = "ap@" + table.pop("distance")
    return table
