# The two commands: `make reproduce` and `make test`. Both build the environment in .venv if it is missing.
#   make reproduce PRESET=paper OUT=runs/mine ARGS="--seeds 5"
#   make install                                       the environment alone
#   make reproduce EXTRA=cuda                          on an NVIDIA GPU; EXTRA=tpu in a TPU VM
#   make test-fast                                     between commits
#   make docs                                          the site, into docs/_build/html
#   make docs-links                                    whether what it links to is still there
#   make test PYTHON=python3.12 VENV=.venv-3.12        with the newest JAX, in an environment of its own
#   make test-oldest                                   with the oldest versions that pyproject.toml allows, in .venv-oldest
# Against PyTorch, which comes into an environment of its own, .venv-benchmark:
#   make benchmark OUT=benchmarks/results/mine
#   make test-benchmark
PYTHON ?= python3
PRESET ?= quick
OUT ?= runs/$(PRESET)
ARGS ?=
# What JAX computes on: nothing for the CPU, cuda or tpu.
EXTRA ?=
# Test files run side by side; each process takes some 2.5 GB and a core.
WORKERS ?= 2
VENV ?= .venv
BIN := $(VENV)/bin
BENCHMARK := .venv-benchmark
OLDEST := .venv-oldest
INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
FOR := $(if $(EXTRA),-$(EXTRA))
PYTEST := python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: install reproduce test test-fast test-oldest docs docs-links benchmark test-benchmark check check-python same-python clean

# The environment alone; the other commands build it where it is missing.
install: $(VENV)/.installed$(FOR)

reproduce: $(VENV)/.installed$(FOR)
	$(BIN)/python -m experiments.reproduce --preset $(PRESET) --out $(OUT) $(ARGS)

test: check
	$(BIN)/$(PYTEST)

# Without the files that tests/slow_files.py names, and without what looks at a finished run.
test-fast: check
	$(BIN)/$(PYTEST) --fast

# Without lint and types, whose findings are those of the newest tools.
test-oldest: $(OLDEST)/.installed-test
	$(OLDEST)/bin/$(PYTEST)

check: $(VENV)/.installed-test$(FOR)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, into docs/_build/html.
docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html

# Whether the pages outside that the site links to are still there; needs the network.
docs-links: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -b linkcheck -q -D nb_execution_mode=off -d docs/_build/doctrees-links docs docs/_build/links

benchmark: OUT = benchmarks/results/mine
benchmark: $(BENCHMARK)/.installed-benchmark
	$(BENCHMARK)/bin/python -m benchmarks --out $(OUT) $(ARGS)

# `make test` runs the others.
test-benchmark: $(BENCHMARK)/.installed-benchmark
	$(BENCHMARK)/bin/$(PYTEST) $(shell grep -l 'importorskip("torch")' tests/benchmarks/test_*.py)

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	  { echo "$(PYTHON) lacks venv; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(BIN)/python: | check-python
	@echo "building the environment in $(VENV): about a minute"
	$(PYTHON) -m venv $(VENV)

same-python: | $(BIN)/python
	@test "$(origin PYTHON)" = file || test "$$($(PYTHON) -V)" = "$$($(BIN)/python -V)" || \
	  { echo "$(VENV) has $$($(BIN)/python -V), not $$($(PYTHON) -V): add VENV=.venv-other, or make clean first"; exit 1; }

# What an extra has installed stays when another is asked for.
$(VENV)/.installed$(FOR): pyproject.toml constraints.txt | same-python
	$(BIN)/python $(INSTALL) '.[experiments$(EXTRA:%=,%)]'
	touch $@

$(VENV)/.installed-test$(FOR): pyproject.toml constraints.txt | same-python
	$(BIN)/python $(INSTALL) '.[test$(EXTRA:%=,%)]'
	touch $@ $(VENV)/.installed$(FOR)

$(VENV)/.installed-docs: pyproject.toml constraints.txt | same-python
	$(BIN)/python $(INSTALL) '.[docs,experiments]'
	touch $@ $(VENV)/.installed

$(BENCHMARK)/.installed-benchmark: pyproject.toml constraints.txt | check-python
	$(PYTHON) -m venv $(BENCHMARK)
	$(BENCHMARK)/bin/python $(INSTALL) '.[test,benchmark]'
	touch $@

$(OLDEST)/.installed-test: pyproject.toml | check-python
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --resolution lowest-direct --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) $(BENCHMARK) $(OLDEST)
