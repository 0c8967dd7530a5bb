"""The paper's own numbers, for comparison only: no verdict depends on them.

Source: Krimmel, Achterhold & Stueckler, "Attention Normalization Impacts Cardinality Generalization in Slot
Attention", TMLR 09/2024 (`krimmel2024attention`). Exact where a table or the text prints them. No number is read off a
plot: the claims about figures are about directions, and their margins come from Table 1.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median and maximum deviation from it over the runs, as Table 1 prints them."""

    median: float
    deviation: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ±\N{NO-BREAK SPACE}{self.deviation:.3f}"


def _section(text: str) -> dict[str, dict[str, Spread]]:
    table = {}
    for line in text.strip().splitlines():
        variant, *numbers = line.split()
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        spreads = [Spread(float(median), float(deviation)) for median, deviation in pairs]
        table[variant] = dict(zip(("f_ari", "loss", "ari"), spreads, strict=True))
    return table


TABLE_1: dict[str, dict[str, dict[str, Spread]]] = {
    "movi-d-10-11": _section("""
        weighted_mean  0.647 0.015  2.143 0.004  0.172 0.011
        layer_norm     0.660 0.012  2.146 0.002  0.171 0.004
        weighted_sum   0.722 0.005  2.223 0.009  0.204 0.004
        batch_norm     0.725 0.006  2.149 0.004  0.182 0.011
    """),
    "movi-d-6-11": _section("""
        weighted_mean  0.640 0.009  2.220 0.001  0.176 0.003
        layer_norm     0.639 0.011  2.220 0.004  0.176 0.005
        weighted_sum   0.709 0.044  2.309 0.014  0.205 0.147
        batch_norm     0.711 0.005  2.219 0.006  0.175 0.007
    """),
    "movi-d-6-7": _section("""
        weighted_mean  0.741 0.005  2.370 0.009  0.253 0.018
        layer_norm     0.742 0.019  2.365 0.007  0.253 0.007
        weighted_sum   0.797 0.023  2.475 0.038  0.242 0.156
        batch_norm     0.809 0.005  2.374 0.002  0.297 0.030
    """),
}
"""Table 1, MOVi-D with 24 slots: experiment, variant, measure (F-ARI, mean squared error of features, ARI)."""

RUNS = {"movi-d-10-11": 5, "movi-d-6-11": 3, "movi-d-6-7": 3}
"""Runs of each variant (Sec. 5.2)."""

SPATIAL_RUNS: dict[str, dict[str, tuple[int, int]]] = {
    "clevr-6-7": {"weighted_mean": (0, 5), "layer_norm": (0, 5), "weighted_sum": (2, 5), "batch_norm": (2, 5)},
    "clevr-6-11": {"weighted_mean": (0, 3), "layer_norm": (0, 3), "weighted_sum": (0, 3), "batch_norm": (1, 3)},
}
"""Runs that decompose scenes spatially, of how many (Sec. 5.1); the criterion is not published."""


def _medians(measure: str) -> str:
    sections = []
    for experiment, variants in TABLE_1.items():
        setting = experiment.removeprefix("movi-d-").replace("-", ", ")
        sections.append(f"({setting}): " + ", ".join(f"{row[measure].median:.3f}" for row in variants.values()))
    return "; ".join(sections)


def _shares(experiment: str) -> str:
    runs = SPATIAL_RUNS[experiment]
    return ", ".join(f"{spatial} of {total}" for spatial, total in runs.values())


_ORDER = "baseline, layer norm, weighted sum, batch norm"

REPORTED: dict[str, str] = {
    "R9": "Figs. 4 and 5, curves only",
    "R11": f"median F-ARI of {_ORDER}: {_medians('f_ari')}; ARI: {_medians('ari')}",
    "R12": f"median F-ARI of {_ORDER}: {_medians('f_ari')}",
    "R6": "words only: every proposed model, one of the baseline's, none of layer norm's",
    "R17": f"spatial runs of {_ORDER}: {_shares('clevr-6-7')}",
    "R27": f"spatial runs of {_ORDER}: {_shares('clevr-6-11')}",
}
"""What the paper reports in numbers, by claim; where a claim is missing, it has curves only, see its locus."""
