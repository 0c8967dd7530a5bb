"""R1 to R6 and R17: object discovery on CLEVR (Sec. 5.1)."""

from __future__ import annotations

from slotnorm_book.claims.claim import Claim, Criterion
from slotnorm_book.claims.comparisons import Quantities, losses, mean_leads
from slotnorm_book.claims.criteria import direction, holds, loses
from slotnorm_book.claims.evidence import Findings
from slotnorm_book.statistics.bootstrap import Estimate
from slotnorm_book.variants import BASELINE, LAYER_NORM, OTHERS, PROPOSED, VARIANTS

WHOLE_BACKGROUND = 0.5
_BACKGROUND = (
    "with every object found, a background of 85 % of the pixels gives an ARI of 1 in one slot, 0.36 cut in two halves"
)

CLEVR_CLAIMS: tuple[Claim, ...] = (
    Claim(
        "R1",
        "Fig. 1a-b",
        "result",
        "Trained with 7 slots, baseline and layer norm lose F-ARI above nine slots; weighted sum and batch norm hold",
        (
            loses("baseline_loss", "F-ARI the baseline loses from 9 to 21 slots, by a line, on each test set"),
            loses("layer_norm_loss", "F-ARI layer norm loses"),
            holds("weighted_sum_loss", "F-ARI weighted sum loses"),
            holds("batch_norm_loss", "F-ARI batch norm loses"),
            direction("advantage", "how much more the baseline loses than either proposed variant"),
        ),
    ),
    Claim(
        "R2",
        "Fig. 1a-b, Sec. 5.1",
        "result",
        "Both proposed variants beat the baseline at 11 slots",
        (
            direction("weighted_sum_gain", "F-ARI of weighted sum less the baseline's, on each test set"),
            direction("batch_norm_gain", "F-ARI of batch norm less the baseline's, on each test set"),
        ),
    ),
    Claim(
        "R3",
        "Fig. 1c",
        "result",
        "With 11 slots both proposed variants beat the baseline at every object count, and F-ARI falls with the count",
        (
            direction("weighted_sum_gain", "F-ARI of weighted sum less the baseline's, at each object count"),
            direction("batch_norm_gain", "F-ARI of batch norm less the baseline's, at each object count"),
            Criterion(
                "object_correlation",
                "rank correlation of F-ARI and object count, for each variant",
                "at most",
                0.0,
                "the paper says that it trends downwards, not how steeply",
            ),
        ),
    ),
    Claim(
        "R4",
        "Fig. 1d-f",
        "result",
        "The proposed variants beat the others in ARI, though runs vary much",
        (
            direction(
                "weighted_sum_gain", "mean ARI over 5 to 21 slots of weighted sum less each other's, on each set"
            ),
            direction("batch_norm_gain", "mean ARI over 5 to 21 slots of batch norm less each other's, on each set"),
        ),
    ),
    Claim(
        "R5",
        "Fig. 3a-c",
        "result",
        "Trained with 11 slots, variants are more alike, the baseline still loses with more slots, the proposed less; "
        "F-ARI is lower than with 7",
        (
            direction(
                "gap_shrinks", "lead of the proposed over the baseline at 11 slots, (6, 7) less (6, 11), on each set"
            ),
            loses("baseline_loss", "F-ARI the baseline loses from 11 to 21 slots, by a line, on each test set"),
            loses("layer_norm_loss", "F-ARI layer norm loses"),
            direction("advantage", "how much more the baseline loses than either proposed variant"),
            direction("fewer_slots_gain", "mean F-ARI over slot counts and variants, (6, 7) less (6, 11), on each set"),
        ),
    ),
    Claim(
        "R6",
        "Fig. 3d-f, Sec. 5.1",
        "result",
        "Trained with 11 slots, every proposed model puts the background in one slot, no layer-norm model does",
        (
            Criterion(
                "proposed_runs",
                "ARI at 11 slots of each run of a proposed variant, on each test set",
                "at least",
                WHOLE_BACKGROUND,
                _BACKGROUND,
            ),
            Criterion(
                "layer_norm_runs",
                "ARI at 11 slots of each run of layer norm, on each test set",
                "at most",
                WHOLE_BACKGROUND,
                _BACKGROUND,
            ),
        ),
    ),
    Claim(
        "R17",
        "Sec. 5.1",
        "result",
        "Trained with 7 slots, weighted sum and batch norm sometimes end in a spatial decomposition, the others never",
        (
            Criterion(
                "proposed_share",
                "share of spatial runs of weighted sum and batch norm",
                "at least",
                0.05,
                "of ten runs, as many as the paper has, a rarer event would most likely show in none",
            ),
            Criterion(
                "others_share",
                "share of spatial runs of the baseline and layer norm",
                "at most",
                0.4,
                "the share that the paper has for the proposed variants, 4 of 10: the others must stay below it",
            ),
        ),
    ),
)


FEW, MANY = "clevr-6-7", "clevr-6-11"
TESTS = ("CLEVR6", "CLEVR10")


def holds_with_more_slots(findings: Findings) -> Quantities:
    """R1: 9 to 21 slots."""
    return losses([findings.over_slots(FEW, "f_ari", test).only(9, 21) for test in TESTS])


def beats_the_baseline(findings: Findings) -> Quantities:
    """R2: 11 slots."""
    panels = [findings.over_slots(FEW, "f_ari", test).only(11, 11) for test in TESTS]
    return {f"{variant}_gain": [panel.lead(variant, BASELINE) for panel in panels] for variant in PROPOSED}


def beats_it_at_every_object_count(findings: Findings) -> Quantities:
    """R3: CLEVR10 with 11 slots."""
    panel = findings.over_objects(FEW, "f_ari", "CLEVR10", slots=11)
    found: Quantities = {f"{variant}_gain": panel.leads(variant, BASELINE) for variant in PROPOSED}
    return found | {"object_correlation": [panel.trend(variant) for variant in VARIANTS]}


def better_overall(findings: Findings) -> Quantities:
    """R4: ARI, 5 to 21 slots."""
    return mean_leads([findings.over_slots(FEW, "ari", test).only(5, 21) for test in TESTS])


def excess_slots_in_training(findings: Findings) -> Quantities:
    """R5: (6, 11) alone and beside (6, 7)."""
    alone = losses([findings.over_slots(MANY, "f_ari", test).only(11, 21) for test in TESTS])
    both = [findings.over_slots((FEW, MANY), "f_ari", test).only(5, 21) for test in TESTS]
    proposed = [f"{experiment}/{variant}" for experiment in (FEW, MANY) for variant in (*PROPOSED, BASELINE)]
    every = [f"{experiment}/{variant}" for experiment in (FEW, MANY) for variant in VARIANTS]
    compared: Quantities = {
        "gap_shrinks": [
            panel.only(11, 11).estimate(
                lambda w, b, base, w2, b2, base2: ((w + b) / 2 - base - (w2 + b2) / 2 + base2)[..., 0], *proposed
            )
            for panel in both
        ],
        "fewer_slots_gain": [
            panel.estimate(lambda *means: (sum(means[:4]) - sum(means[4:])).mean(axis=-1) / 4, *every) for panel in both
        ],
    }
    return {name: alone[name] for name in ("baseline_loss", "layer_norm_loss", "advantage")} | compared


def background_in_one_slot(findings: Findings) -> Quantities:
    """R6: ARI of every run of (6, 11) with 11 slots."""

    def runs(*variants: str) -> list[Estimate]:
        found = [findings.runs(MANY, "ari", test, 11, variant) for test in TESTS for variant in variants]
        return [run for runs in found for run in runs]

    return {"proposed_runs": runs(*PROPOSED), "layer_norm_runs": runs(LAYER_NORM)}


def spatial_decompositions(findings: Findings) -> Quantities:
    """R17: every run of (6, 7)."""
    return {
        "proposed_share": [findings.spatial(FEW, PROPOSED)],
        "others_share": [findings.spatial(FEW, OTHERS)],
    }
