"""The names of the variants that the book compares, as they stand in specifications and tables."""

BASELINE, LAYER_NORM, WEIGHTED_SUM, BATCH_NORM = "weighted_mean", "layer_norm", "weighted_sum", "batch_norm"
OTHERS = (BASELINE, LAYER_NORM)
PROPOSED = (WEIGHTED_SUM, BATCH_NORM)
VARIANTS = (*OTHERS, *PROPOSED)

SCALED_MEAN = "scaled_mean"
"""The baseline's codes, scaled with the number of slots; not in the paper."""

EM, EM_EQUAL = "em", "em_equal"
"""EM that estimates its mixture weights, and EM whose weights stay equal."""
