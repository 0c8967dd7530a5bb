"""Computations that single chapters add to the results of the experiments."""
