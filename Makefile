# Everything that the project does, by name; `make` lists it. Needs Python >= 3.11 with venv, no more.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
JOBS ?= logical

BIN := $(VENV)/bin
PACKAGES := core data tasks bench
FOLDERS := $(PACKAGES:%=packages/sclong-%)
# Present and newer than these files: the environment holds what they ask for.
INSTALLED := $(VENV)/.installed
DECLARED := constraints.txt requirements-dev.txt $(FOLDERS:%=%/pyproject.toml)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-fast test-fault browser format typecheck lint bench bench-full \
	docs wheels sdists clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Settings: PYTHON=$(PYTHON) (makes the environment), VENV=$(VENV) (where it is), ARGS (more"
	@echo "arguments, for example: make test ARGS='-m \"not slow\"'), JOBS=$(JOBS) (tests at a time)."

install: $(INSTALLED)  ## make the environment, if it is missing or out of date

$(INSTALLED): $(DECLARED) | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt \
		$(FOLDERS:%=-e %) -r requirements-dev.txt
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11: give another one, make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

demo: $(INSTALLED)  ## embed real cells, tell their types, pretrain a tiny scLong: a page
	$(BIN)/sclong demo $(ARGS)

test: $(INSTALLED)  ## run every test, JOBS files at a time
	@tests/missing_system_packages
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest \
		--numprocesses=$(JOBS) --maxprocesses=4 --dist=loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(INSTALLED)  ## run the tests that take seconds, JOBS files at a time
	@$(MAKE) --no-print-directory test ARGS='-m "not slow and not fault" $(ARGS)'

test-fault: $(INSTALLED)  ## kill work 25 times each, read 10,000 bad files, write what survived
	$(BIN)/python -W ignore -m faults.kills --kills 25 --rows faults/results/kills.json
	$(BIN)/python -W ignore -m faults.inputs --count 10000 --rows faults/results/inputs.json
	$(BIN)/python -m faults.page docs/reliability.md
	$(BIN)/python -m pytest -m fault $(ARGS)

browser:  ## fetch the libraries that docs/browser ships, by the checksums of its lock file
	npm ci --prefix docs/browser --ignore-scripts --no-audit --no-fund \
		--fetch-retries=1 --fetch-timeout=60000
	mkdir -p docs/browser/libraries
	cd docs/browser/node_modules && cp h5wasm/dist/iife/h5wasm.js \
		onnxruntime-web/dist/ort.wasm.min.js onnxruntime-web/dist/ort-wasm-simd-threaded.mjs \
		onnxruntime-web/dist/ort-wasm-simd-threaded.wasm umap-js/lib/umap-js.min.js ../libraries
	cd docs/browser/node_modules && cp h5wasm/LICENSE.txt ../libraries/h5wasm.LICENSE.txt && \
		cp umap-js/LICENSE ../libraries/umap-js.LICENSE.txt
	rm -rf docs/browser/node_modules

format: $(INSTALLED)  ## write every file in the style of the house
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

typecheck: $(INSTALLED)  ## check types
	$(BIN)/mypy

lint: $(INSTALLED)  ## check style, types, the order of imports, spelling and the documentation
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python -m benchmarks.phrases
	@$(MAKE) --no-print-directory docs

bench: $(INSTALLED)  ## measure core, tasks and commands, on a quiet machine (ARGS: core alone)
	$(BIN)/python -m benchmarks.core $(ARGS)
	$(if $(ARGS),,$(BIN)/python -m benchmarks.tasks)
	$(if $(ARGS),,$(BIN)/python -m benchmarks.commands)

bench-full: $(INSTALLED)  ## measure also what takes long or much memory
	$(BIN)/python -m benchmarks.core --full $(ARGS)

docs: $(INSTALLED)  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheels: $(INSTALLED)  ## build the four wheels into dist/
	@mkdir -p dist && rm -f dist/sclong_*.whl
	@for folder in $(FOLDERS); do \
		$(BIN)/python -m build --wheel --no-isolation --outdir dist $$folder || exit 1; \
	done

sdists: $(INSTALLED)  ## build the four source distributions into dist/
	@mkdir -p dist && rm -f dist/sclong_*.tar.gz
	@for folder in $(FOLDERS); do \
		$(BIN)/python -m build --sdist --no-isolation --outdir dist $$folder || exit 1; \
	done

clean:  ## remove the environment and all that was built
	rm -rf $(VENV) dist site build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find packages tests -name __pycache__ -type d -prune -exec rm -rf {} +
