# Every target sets up what it needs; a fresh machine needs Python 3.11 and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
PEERS := .venv-peers
PEERS_READY := $(PEERS)/.ready
LOCKS := requirements/build.txt requirements/dev.txt
PIP_OPTIONS := --disable-pip-version-check --quiet
PIP := $(BIN)/python -m pip $(PIP_OPTIONS)
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.PHONY: help
help:  ## Show what can be made.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

# Hash-locked, and without build isolation, so that every byte that builds or runs is one that the locks name. The locks are whole,
# so nothing is resolved: pip 23 would stop at the first newer release of a package that another one asks for with an extra.
$(READY): $(LOCKS) pyproject.toml
	rm -f $@
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes --no-deps -r requirements/build.txt
	$(PIP) install --require-hashes --no-deps --no-build-isolation -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: setup
setup: $(READY)  ## Make .venv: Python 3.11, the training extras and the test tools.

.PHONY: run
run: $(READY)  ## Run the whole chain on the synthetic corpus, into runs/default.
	$(BIN)/toolkit run-all

.PHONY: test
test: $(READY)  ## Run the tests, files side by side (TESTS="-m slow" for the long ones; WORKERS=0: one by one).
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

.PHONY: bench-features
bench-features: $(READY)  ## Time spectrograms against librosa (CLIPS=FOLDER for real ones).
	$(BIN)/python -m benchmarks.features $(CLIPS)

.PHONY: bench-lrp
bench-lrp: $(READY)  ## Time relevance maps against innvestigate and other tools (RUN=folder of a run).
	$(BIN)/python -m benchmarks.lrp $(if $(RUN),--run $(RUN))

.PHONY: simulate
simulate: $(READY)  ## Simulate false alarms, coverage and power of the statistics, half an hour (QUICK=1: a minute).
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.simulate $(if $(QUICK),--quick)

.PHONY: bench-statistics
bench-statistics: $(READY)  ## Time the statistics of a made-up corpus as large as UrbanSound8K (OPTIONS="--times 10").
	$(BIN)/python -m benchmarks.statistics $(OPTIONS)

.PHONY: bench-reports
bench-reports: $(READY)  ## Time the pages of a made-up corpus as large as UrbanSound8K (OPTIONS="--data").
	$(BIN)/python -m benchmarks.reports $(OPTIONS)

# Without torchvision, which zennit asks for and does not import here.
$(PEERS_READY): requirements/peers.txt
	rm -f $@
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip $(PIP_OPTIONS) install --require-hashes --no-deps --only-binary :all: -r $<
	touch $@

.PHONY: peers
peers: $(PEERS_READY)  ## Make .venv-peers: zennit and captum, for bench-lrp.

.PHONY: check
check: $(READY)  ## Lint, type check, import contracts.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(READY)  ## Rewrite the code in the project's format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(READY)  ## Renew every lock: one resolution (dev), the others cut from it; peers on their own.
	$(COMPILE) --upgrade pyproject.toml --extra train requirements/dev.in -o requirements/dev.txt
	$(COMPILE) pyproject.toml -c requirements/dev.txt -o requirements/core.txt
	$(COMPILE) pyproject.toml --extra train -c requirements/dev.txt -o requirements/train.txt
	$(COMPILE) requirements/build.in -c requirements/dev.txt -o requirements/build.txt
	$(COMPILE) --upgrade --excludes <(echo torchvision) requirements/peers.in -o requirements/peers.txt
