# Targets for users and developers; `make help` lists them.
# Everything runs in .venv, created from hash-pinned lock files. Nothing else on the machine is changed.

.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps
SELF := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
PORT ?= 8420
ONCE ?=
ROUNDS ?= 26
WORKERS = $(shell $(BIN)/python -c "import os; print((os.cpu_count() or 1) + 1)")
IMAGE ?= ucv-ext-rally
PLATFORM ?= linux/amd64
ROOTFS ?= build/rootfs
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/rally_accelerate/__init__.py)

# A variable of the caller's shell must not lead pip or python into another environment.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH
# Without compiled modules, each of the many processes that the tests start compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-pythons lint format bench kill-test mutants docs screenshots lock image image-rootfs clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make demo ONCE=1 runs two syncs and exits. PORT=8420 sets the port."
	@echo "  Set RALLY_URL, RALLY_API_KEY, RALLY_WORKSPACE and RALLY_PROJECTS to read your own Rally."

demo: $(VENV)/run.ready ## Start the server with sample data and keep syncing it
	@$(BIN)/rally-accelerate demo --under-make --port $(PORT) $(if $(ONCE),--once)

test: $(VENV)/dev.ready build/libraries.ready ## Run all tests
	@$(BIN)/python tests/support/optional_programs.py
	@# Long files first (tests/conftest.py), then in the order of the folders: no worker ends with a long test alone.
	@# One worker more than there are cores: some tests wait.
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-pythons: ## Run unit and contract tests on all supported Python versions that are installed
	@$(PYTHON) tests/support/pythons.py

lint: $(VENV)/dev.ready ## Check style, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.ready ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/dev.ready ## Measure speed, requests and memory; writes bench/RESULTS.md
	$(BIN)/python bench/run.py

kill-test: $(VENV)/dev.ready build/libraries.ready ## Kill and stall real processes ROUNDS times; writes bench/RELIABILITY.md
	$(BIN)/python bench/kill_test.py --rounds $(ROUNDS)

mutants: $(VENV)/dev.ready ## Measure how many code changes the tests notice; writes bench/MUTANTS.md
	$(BIN)/python bench/mutants.py

docs: $(VENV)/docs.ready ## Build the documentation site in build/docs and for the server's /help
	@$(BIN)/python tools/make_docs.py

screenshots: $(VENV)/dev.ready ## Create the screenshots in docs/images (needs Chromium)
	$(BIN)/python tools/make_screenshots.py

image: ## Build the container image of the plug-in (needs docker or podman)
	@engine=$$(command -v docker || command -v podman) || \
	  { echo "building the image needs docker or podman; make image-rootfs creates its file tree in a folder"; exit 1; }; \
	$$engine build --platform $(PLATFORM) --build-arg VERSION=$(VERSION) --tag $(IMAGE):$(VERSION) .

image-rootfs: $(VENV)/dev.ready ## Create the file tree of the image in the folder ROOTFS (build/rootfs)
	@$(BIN)/python image/assemble.py $(ROOTFS)
	@echo "$(ROOTFS)/usr/local/bin/node answers as in the container"

lock: $(VENV)/dev.ready ## Update the lock files
	$(BIN)/python requirements/lock.py

clean: ## Delete the environment and all build results
	rm -rf $(VENV) .cache src/rally_accelerate/server/help .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

build/libraries.ready: requirements/plugin.txt image/assemble.py | $(VENV)/dev.ready
	@echo "installing the libraries of the plug-in container"
	@rm -rf build/libraries
	@$(BIN)/python image/assemble.py --libraries build/libraries
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rally-accelerate needs Python 3.11 or newer; specify one with make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.ready: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing dependencies"
	$(PIP) -r requirements/run.txt
	$(SELF)
	@touch $@

$(VENV)/dev.ready: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing test dependencies"
	$(PIP) -r requirements/dev.txt
	$(SELF)
	@touch $@ $(VENV)/run.ready

$(VENV)/docs.ready: requirements/docs.txt | $(VENV)/bin/python
	@echo "installing dependencies of the documentation site"
	$(PIP) -r requirements/docs.txt
	@touch $@
