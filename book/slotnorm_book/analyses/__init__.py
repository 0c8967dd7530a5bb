"""What single chapters compute besides the results of the experiments."""
