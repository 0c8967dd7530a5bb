# Everything runs in .venv, which the first target that needs it creates from requirements.lock.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
HTML := _build/html/index.html
PROJECTS := pyproject.toml data_tools/pyproject.toml book/pyproject.toml
PACKAGES := -e . -e ./data_tools -e './book[test]'
TIMEOUT := 300

# One thread per process: chapters and tests run side by side, and spinning threads on shared cores are slower than one.
export OMP_NUM_THREADS := 1
export MPLBACKEND := Agg
export TQDM_DISABLE := 1
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

.PHONY: help install book test check lint pytest test-browser test-lowest test-arithmetic reference verdicts bench lock clean

help: ## print this list
	@echo "usage: make TARGET    (PYTHON=/path/to/python chooses the interpreter; 3.11 or newer)"
	@sed -n 's/^\([a-z-]*\):.*## /  \1	/p' $(MAKEFILE_LIST) | expand -t 18

install: $(INSTALLED) ## create .venv from requirements.lock and install the project into it (the others do so themselves)

book: $(INSTALLED) ## execute every chapter and render the book into _build/html
	$(BIN)/slotnorm-book execute
	@rm -rf _build/html
	$(BIN)/jupyter-book build . --all -W -n --keep-going --quiet
	@echo "the book is built: open $(HTML)"

test: lint book pytest ## everything CI runs: ruff, mypy, import contract, the book, pytest, nbval on every notebook

check: lint ## the fast part of `make test`: ruff, mypy, import contract, quick tests
	$(BIN)/pytest -m "not slow"

lint: $(INSTALLED) ## ruff, mypy, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pytest: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist loadscope slotnorm data_tools tests notebooks --nbval --nbval-current-env \
	  --nbval-cell-timeout $(TIMEOUT) --nbval-sanitize-with tests/book/nbval_sanitize.cfg \
	  --durations 30 --durations-min 10
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	  echo "The pages were NOT tested in a browser: chromium and chromedriver are not installed. \`make test-browser\` installs them."

test-browser: book ## install Debian's chromium if it is missing, test the pages in it, leave pictures in _build/screenshots
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || $(MAKE) --no-print-directory chromium
	$(BIN)/pytest tests/browser --screenshots

.PHONY: chromium
chromium:
	@command -v apt-get >/dev/null || { echo "no apt-get here: install chromium and chromedriver yourself"; exit 1; }
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium chromium-driver fonts-liberation

test-lowest: $(INSTALLED) ## quick tests with the lowest versions that pyproject.toml allows, in .venv-lowest (needs uv)
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct $(PACKAGES)
	.venv-lowest/bin/pytest -n 2 -m "not slow" -W default::DeprecationWarning # what old packages say of themselves

test-arithmetic: $(INSTALLED) ## notebooks and references with the rounding of other processors, half an hour: a table of what moves
	$(BIN)/python -m tests.arithmetic

reference: $(INSTALLED) ## run the notebooks in place at their defaults: the outputs that nbval compares
	$(BIN)/slotnorm-book execute --reference

verdicts: $(INSTALLED) ## judge the claims on the committed records anew: book/verdicts.json, which the tests compare
	$(BIN)/slotnorm-book verdicts

floors: $(INSTALLED) ## compute the F-ARI of blind segmentations anew where it is missing: book/floors.json, which figures read
	$(BIN)/slotnorm-book floors

bench: $(INSTALLED) ## time and memory beside plain forms of the models, minutes: a table, and benchmarks/results.json
	$(BIN)/python -m benchmarks --json benchmarks/results.json

lock: $(INSTALLED) ## resolve pyproject.toml anew into requirements.lock (needs uv)
	$(BIN)/uv pip compile --quiet --upgrade --no-header --no-annotate --all-extras \
	  --no-emit-package slotnorm --no-emit-package slotnorm-data-tools --no-emit-package slotnorm-book $(PROJECTS) -o requirements.lock

clean: ## remove everything that was built; .venv stays
	rm -rf _build build dist book/chapters *.egg-info data_tools/*.egg-info book/*.egg-info data_tools/build book/build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(INSTALLED): requirements.lock $(PROJECTS)
	@test -n "$(PYTHON)" || { echo "no python3.11 or python3 found: install Python 3.11 or newer, or say make PYTHON=/path/to/python"; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"slotnorm needs Python 3.11 or newer, and {sys.executable} is {v[0]}.{v[1]}: say make PYTHON=/path/to/python")'
	@$(BIN)/python -c 'import pip' 2>/dev/null || "$(PYTHON)" -m venv $(VENV)
	@if $(BIN)/python -m pip install --quiet uv && $(BIN)/uv pip install --python $(BIN)/python -c requirements.lock $(PACKAGES); then :; \
	else echo "uv cannot do it here: installing with pip"; $(BIN)/python -m pip install -c requirements.lock $(PACKAGES); fi
	@touch $@
