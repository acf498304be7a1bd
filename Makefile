# radloop: `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
# two test processes on two cores; a bigger machine takes more
WORKERS ?= auto
# what is compiled once is not compiled again by each of the programs that tests start
unexport PYTHONDONTWRITEBYTECODE
# a test process for each core: threads of numpy's would only wait for each other
test test-fast: export OPENBLAS_NUM_THREADS := 1
# options of `python -m benchmarks`, such as --annotations train.csv
BENCH ?=

.DEFAULT_GOAL := help
.PHONY: help demo demo-loop test test-fast test-peers check docs format bench study faults histories fuzz lock release clean machine

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/base ## the whole job on synthetic data: no account, no server
	$(BIN)/radloop demo

demo-loop: .venv-study/installed ## the whole story: a round, a second model, its gates, drift, an alarm, the way back
	PATH="$(CURDIR)/.venv-study/bin:$$PATH" examples/loop/loop.sh radloop-demo-loop

test: $(VENV)/dev machine ## every test; installs what the machine lacks
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --durations 20 --durations-min 1

test-fast: $(VENV)/dev ## the tests for daily work, under three minutes
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow"

test-peers: $(VENV)/dev ## compare with other people's packages, in .venv-peers; RECORD=--record keeps what they said
	@PYTHON=$(PYTHON) tests/peers/install.sh
	$(BIN)/pytest tests/peers -m peers -rP $(RECORD)

check: $(VENV)/dev ## lint, format, strict types, import contract, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/test_docs.py

docs: $(VENV)/dev ## write the pages that are made from the code
	$(BIN)/python docs/generate.py
	$(BIN)/python -m release --page

format: $(VENV)/dev ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev ## measure every stage beside its peers and the floor; writes docs/benchmarks.md
	@PYTHON=$(PYTHON) tests/swift/install.sh
	$(BIN)/python -m benchmarks --write $(BENCH)

study: .venv-study/installed ## does a round make a better model, and which order is worth a look; QUICK=1: does it run; writes docs/loop.md
	.venv-study/bin/python -m study $(if $(QUICK),--quick)

faults: $(VENV)/dev ## kill, fill, refuse and cut the power at every call of every step; writes docs/faults.md
	$(BIN)/python tests/faults
	$(BIN)/python tests/faults --power

histories: $(VENV)/dev ## two and three machines on one store: SEEDS (10000) histories, each replayed by its seed
	$(BIN)/python -m tests.histories --windows 1
	$(BIN)/python -m tests.histories --seeds $(or $(SEEDS),10000)

fuzz: $(VENV)/dev ## attack every reader of files for SECONDS (600) each, guided by coverage
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),600)

lock: $(VENV)/dev ## make the lock files anew (hashes, no index address)
	$(BIN)/python requirements/lock.py

release: $(VENV)/dev ## wheel, sdist, SBOM and checksums of this commit in dist/; VERSION=1.2.3 first: prepare one
	$(BIN)/python -m release $(VERSION)

clean: ## remove what make has made
	rm -rf .venv .venv-swift .venv-triton .venv-containers .venv-bench .venv-label-studio .venv-peers .venv-study study/runs radloop-demo radloop-demo-loop

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "radloop needs Python 3.11 or newer; name one with: make PYTHON=python3.11 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }

$(VENV)/base: requirements/base.txt pyproject.toml | $(VENV)/bin/pip
	@test -e $(VENV)/dev || { echo "installing radloop into $(VENV) …"; $(PIP) install --require-hashes -r $<; }
	@$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/pip
	@echo "installing radloop and its test tools into $(VENV) …"
	@$(PIP) install --require-hashes -r $<
	@$(PIP) install --no-deps --editable .
	@touch $@

.venv-study/installed: requirements/pipeline.txt study/requirements.txt
	@echo "installing torch into .venv-study …"
	@$(PYTHON) -m venv --clear .venv-study
	@for list in $^; do .venv-study/bin/pip --disable-pip-version-check --quiet install -r $$list; done
	@.venv-study/bin/pip --disable-pip-version-check --quiet install --no-deps --editable .
	@touch $@

machine: # what tests talk to: Swift, Triton, docker-compose, a browser, a proxy, a PACS, Prometheus
	@PYTHON=$(PYTHON) tests/swift/install.sh
	@tests/triton/install.sh
	@PYTHON=$(PYTHON) tests/containers/install.sh
	@tests/browser/install.sh
	@tests/caddy/install.sh
	@tests/pacs/install.sh
	@tests/prometheus/install.sh
