"""Whether committed outputs and references hold on other processors: `make test-arithmetic`."""
