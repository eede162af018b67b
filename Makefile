# The two commands: `make reproduce` and `make test`. Both build the environment in .venv if it is missing.
#   make reproduce PRESET=paper OUT=runs/mine ARGS="--seeds 5"
# Against PyTorch, which comes into an environment of its own, .venv-benchmark:
#   make benchmark OUT=benchmarks/results/mine
#   make test-benchmark
PYTHON ?= python3
PRESET ?= quick
OUT ?= runs/$(PRESET)
ARGS ?=
# Test files run side by side; each process takes some 2.5 GB and a core.
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
BENCHMARK := .venv-benchmark

.PHONY: reproduce test benchmark test-benchmark check-python clean

reproduce: $(VENV)/.installed
	$(BIN)/python -m experiments.reproduce --preset $(PRESET) --out $(OUT) $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

benchmark: OUT = benchmarks/results/mine
benchmark: $(BENCHMARK)/.installed
	$(BENCHMARK)/bin/python -m benchmarks --out $(OUT) $(ARGS)

test-benchmark: $(BENCHMARK)/.installed
	$(BENCHMARK)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile tests/benchmarks

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	  { echo "$(PYTHON) lacks venv; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(BIN)/python: | check-python
	@echo "building the environment in $(VENV): about a minute"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@ $(VENV)/.installed

$(BENCHMARK)/.installed: pyproject.toml constraints.txt | check-python
	$(PYTHON) -m venv $(BENCHMARK)
	$(BENCHMARK)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --editable '.[test,benchmark]'
	touch $@

clean:
	rm -rf $(VENV) $(BENCHMARK)
