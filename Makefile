# Every verb does its own set-up in .venv: Python 3.11 or later and make are all it takes.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
	if $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$each; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
DATA ?= .data
LOCK := $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock"
INSTALL := $(UV) pip install --quiet --python $(BIN)/python

.PHONY: help demo test check format bench bench-long proof docs lock wheel clean

help: ## show the verbs
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

$(UV):
	@test -n "$(PYTHON)" || { echo "expected Python 3.11 or later on PATH; found none: install it" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9

# What the demo needs; a subset of what development needs, so that the download is small.
$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(UV)
	@test -f $(VENV)/.dev || $(INSTALL) --require-hashes -r requirements/demo.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(UV)
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo ## a million flight events through Kafka into PostgreSQL, checked
	@$(BIN)/foldlog demo flights --data $(DATA)

# Tests wait for servers more than they compute, so three processes run them, on servers of their own.
test: $(VENV)/.dev ## all tests, on a real Kafka and PostgreSQL that it starts itself
	@$(BIN)/pytest $(if $(FOLDLOG_KAFKA),,--numprocesses 3 --dist worksteal)

check: $(VENV)/.dev ## ruff, mypy, pyright, import-linter
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pyright --warnings
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q tests/test_public_names.py

format: $(VENV)/.dev ## format and sort imports
	@$(BIN)/ruff check --fix-only --select I .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## ours beside floors by hand and a peer, latency and failover; writes build/bench.json
	@$(BIN)/python benchmarks/run.py

bench-long: $(VENV)/.dev ## the same on ten million events, kept in build/long; writes build/bench-long.json
	@$(BIN)/python benchmarks/long.py

proof: $(VENV)/.dev ## the write side under faults, SECONDS=600; writes docs/explanation/proof.md
	@$(BIN)/python -m tests.proof --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

docs: $(VENV)/.dev ## the documentation, into docs/_build/html
	@$(BIN)/sphinx-build --fail-on-warning --nitpicky --keep-going --quiet -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

lock: | $(UV) ## lock all versions anew, with hashes
	@$(LOCK) --all-extras --group dev --output-file requirements/dev.txt
	@$(LOCK) --all-extras --group build --constraint requirements/dev.txt --output-file requirements/demo.txt

wheel: $(VENV)/.dev ## the wheel, into dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean: ## remove what was built here, but for .venv and the data
	@rm -rf build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
