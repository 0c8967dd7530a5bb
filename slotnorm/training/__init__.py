"""Training: the specification of a run, the loop, its checkpoints."""
