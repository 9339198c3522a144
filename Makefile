# Every command sets up what it needs. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(shell find protos -name '*.proto')

help:  ## List the commands.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready  ## Virtual environment, locked dependencies, stubs.

$(VENV)/.ready: requirements.lock pyproject.toml scripts/build_stubs.py $(PROTOS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

stubs: $(VENV)/.ready  ## Generate the stubs of the contracts again.
	$(BIN)/python scripts/build_stubs.py

lock: $(VENV)/.ready  ## Pin the newest allowed dependencies in requirements.lock.
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/lock.sh
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/lock_images.sh

test: $(VENV)/.ready $(VENV)/checkov/.ready  ## All tests but the slow ones.
	$(BIN)/python -m pytest

fuzz: $(VENV)/.ready $(VENV)/.fuzz-ready  ## Fuzz what reads bytes of strangers. SECONDS=60 a target, TARGETS= of one's choice.
	$(BIN)/python -m tests.fuzz $(TARGETS) --seconds $(or $(SECONDS),60)

# Not among the locked dependencies: there are wheels for few versions of Python.
$(VENV)/.fuzz-ready: tests/fuzz/atheris.lock | $(VENV)/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement tests/fuzz/atheris.lock
	@touch $@

test-slow: $(VENV)/.ready  ## The tests that take minutes or load the machine.
	$(BIN)/python -m pytest -m slow

test-gpu: $(VENV)/.ready  ## The tests that need an NVIDIA GPU.
	$(BIN)/python -m pytest -m cuda -rs

lint: $(VENV)/.ready  ## Format, style, types, contracts, architecture.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

format: $(VENV)/.ready  ## Format code and contracts.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format --write

k8s-test: $(VENV)/.ready $(VENV)/checkov/.ready  ## The tests of what is deployed.
	$(BIN)/python -m pytest tests/deploy

# checkov pins a hundred packages of its own: it gets an environment of its own.
$(VENV)/checkov/.ready: tests/deploy/checkov.lock | $(VENV)/.ready
	@test -x $(VENV)/checkov/bin/python || $(PYTHON) -m venv $(VENV)/checkov
	$(VENV)/checkov/bin/pip install --quiet --disable-pip-version-check --requirement tests/deploy/checkov.lock
	@touch $@

images:  ## Build the images and push them (docs/operations.md); digests in out/images.json.
	mkdir -p out
	REVISION=$$(git rev-parse HEAD) docker buildx bake --file deploy/images/docker-bake.json \
	  --push --metadata-file out/images.json $(TARGETS)

docs: $(VENV)/.ready  ## Write the pages that are made from the code: settings, errors, metrics, OpenAPI, curves.
	$(BIN)/python -m scripts.document_settings
	$(BIN)/python -m scripts.document_errors
	$(BIN)/python -m scripts.document_http
	$(BIN)/python -m scripts.document_metrics
	$(BIN)/python -m scripts.plot_effects

bench: $(VENV)/.ready  ## Measure separation, rendering, understanding, conversations and turns.
	$(BIN)/python -m benchmarks.separation
	$(BIN)/python -m benchmarks.remix
	$(BIN)/python -m benchmarks.interpretation
	$(BIN)/python -m benchmarks.conversations
	$(BIN)/python -m benchmarks.turn

bench-gpu: $(VENV)/.ready  ## Measure separation on an NVIDIA GPU, and what its host can feed; figures in benchmarks/results/.
	$(BIN)/python -m benchmarks.separation --device cuda --seconds 180 --songs 16 --output benchmarks/results/separation-gpu.json
	$(BIN)/python -m benchmarks.separation_host --output benchmarks/results/separation-host-gpu.json

up: $(VENV)/.ready  ## The five services and Envoy on this machine.
	$(BIN)/mixdown up

demo: $(VENV)/.ready  ## A conversation with a real song; files in out/. SONG=my.mp3 for one's own.
	$(BIN)/python -m benchmarks.demo $(if $(SONG),"$(SONG)")

.PHONY: help setup stubs lock test fuzz test-slow test-gpu lint format docs bench bench-gpu up demo images k8s-test
