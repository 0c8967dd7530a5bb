"""Ways of carrying out many runs: processes on this machine, or a Ray cluster."""
