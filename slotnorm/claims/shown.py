"""Where the book shows what a claim is about: labels of figures and tables, for links."""

from __future__ import annotations

SHOWN: dict[str, tuple[str, ...]] = {
    "M1": ("tab-vmf-prop1",),
    "M2": ("fig-vmf-recovery",),
    "M3": ("fig-vmf-bound",),
    "M4": ("tab-vmf-criteria",),
    "M5": ("fig-vmf-slot-weights",),
    "M6": ("tab-vmf-criteria",),
    "R1": ("fig-clevr-slots",),
    "R2": ("fig-clevr-slots",),
    "R3": ("fig-clevr-slots",),
    "R4": ("fig-clevr-slots",),
    "R5": ("fig-clevr-slots", "fig-clevr-excess"),
    "R6": ("fig-clevr-excess",),
    "R7": ("fig-movi-10-11",),
    "R8": ("fig-movi-10-11",),
    "R9": ("fig-movi-6-7", "fig-movi-10-11"),
    "R10": ("fig-movi-6-11",),
    "R11": ("tab-transfer",),
    "R12": ("tab-transfer",),
    "R13": ("fig-clevr-loss", "fig-clevr-excess", "fig-movi-10-11", "fig-movi-6-7", "fig-movi-6-11"),
    "R14": ("fig-properties-slots",),
    "R15": ("fig-properties-precision",),
    "R16": ("fig-ablations-slots", "fig-ablations-precision"),
    "R17": ("tab-clevr-spatial",),
}
"""Claim to labels, which are unique in the book."""
