# Everything is set up on the way: a target's own prerequisites create .venv and fill it.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
FIGURES := dmoa-figures
CLUSTER := dmoa-cluster
# A Python of your choice: make demo PYTHON=/opt/python3.13/bin/python3
PYTHON ?=
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)

# Pins hold for what is installed and, through the second name, for what builds it.
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	$(BIN)/python -m pip --disable-pip-version-check --no-input -qq
COVERAGE := $(BIN)/coverage
FLOORS_0_1 := dmoa/errors.py,dmoa/core/*,dmoa/scenario/*,dmoa/trace/*,dmoa/theory/*

define gate
@printf '\n\033[1m== %s ==\033[0m\n' '$(1)'
endef

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.base ## Simulate a ring of 8 nodes; figures in ./dmoa-figures
	@$(BIN)/dmoa simulate --topology ring --figures $(FIGURES)
	@printf '\nThe figures are in %s\n' "$$PWD/$(FIGURES)"

.PHONY: live
live: $(VENV)/.llama ## Run four real nodes with real models, ask them a question, stop them
	@$(BIN)/dmoa up --topology ring --nodes 4 --dir $(CLUSTER) --detach
	@trap '$(BIN)/dmoa down --dir $(CLUSTER)' EXIT; \
	$(BIN)/dmoa ask --dir $(CLUSTER) --show 'Why does the sky look blue?' && \
	$(BIN)/dmoa status --dir $(CLUSTER)

# --- the gates ------------------------------------------------------------------------------

.PHONY: test
test: lint format-check types floors docs tests coverage ## Run every gate and every test
	@printf '\nAll gates passed.\n'

.PHONY: lint
lint: $(VENV)/.dev ## Gate: style and likely bugs (ruff)
	$(call gate,lint: ruff check)
	@$(BIN)/ruff check --quiet .

.PHONY: format-check
format-check: $(VENV)/.dev ## Gate: formatting (ruff)
	$(call gate,format: ruff format --check)
	@$(BIN)/ruff format --check --quiet .

.PHONY: types
types: $(VENV)/.dev ## Gate: types (mypy, strict)
	$(call gate,types: mypy)
	@$(BIN)/mypy --no-error-summary

.PHONY: floors
floors: $(VENV)/.dev ## Gate: imports go only downwards (import-linter)
	$(call gate,floors: lint-imports)
	@PYTHONPATH=. $(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter

.PHONY: docs
docs: $(VENV)/.dev ## Gate: documentation, notebooks executed, into docs/_build/html
	$(call gate,docs: sphinx-build with notebooks executed)
	@$(BIN)/sphinx-build -q -W --keep-going -b html -d docs/_build/doctrees docs docs/_build/html
	@printf 'The documentation is in docs/_build/html/index.html\n'

.PHONY: tests
tests: $(VENV)/.dev ## Gate: tests and doctests (pytest), coverage measured
	$(call gate,tests: pytest)
	@mkdir -p .cache && $(COVERAGE) erase
	@$(COVERAGE) run -m pytest

# Depends on the run it measures, so it never reports on an older one.
.PHONY: coverage
coverage: tests ## Gate: branch coverage, 100 % on floors 0 and 1, 90 % above
	$(call gate,coverage: 100 % on floors 0 and 1 and 90 % above)
	@$(COVERAGE) combine --quiet
	@$(COVERAGE) report --include '$(FLOORS_0_1)' --fail-under 100
	@$(COVERAGE) report --omit '$(FLOORS_0_1)' --fail-under 90

# --- work -----------------------------------------------------------------------------------

.PHONY: format
format: $(VENV)/.dev ## Format the code and sort its imports
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

.PHONY: experiments
experiments: $(VENV)/.dev ## Reproduce every result of experiments/
	@for script in experiments/*/run.py; do \
		printf '\n\033[1m== %s ==\033[0m\n' "$$script"; \
		$(BIN)/python "$$script" || failed="$$failed $$script"; \
	done; \
	if [ -n "$$failed" ]; then printf '\nFailed:%s\n' "$$failed" >&2; exit 1; fi

.PHONY: benchmarks
benchmarks: $(VENV)/.dev ## Measure speed and memory; what takes half an hour is `make peers`
	@for script in $(filter-out benchmarks/peers.py,$(wildcard benchmarks/[!_]*.py)); do \
		printf '\n\033[1m== %s ==\033[0m\n' "$$script"; \
		$(BIN)/python "$$script" || failed="$$failed $$script"; \
	done; \
	if [ -n "$$failed" ]; then printf '\nFailed:%s\n' "$$failed" >&2; exit 1; fi

.PHONY: peers
peers: $(VENV)/.dev ## Compare with other simulators on the same networks, in half an hour
	@$(BIN)/python benchmarks/peers.py

.PHONY: clean
clean: ## Remove the environment, caches, figures and built documentation
	@rm -rf $(VENV) .cache .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@rm -rf build dist docs/_build $(FIGURES)
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ---------------------------------------------------------------------------------

# Some of the names may be shims that exist and fail, so each is tried, not looked up.
$(BIN)/python:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
			>/dev/null 2>&1; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		printf 'dmoa needs Python 3.11 or newer with its venv module; tried: %s.\n' \
			'$(PYTHONS)' >&2; \
		printf 'Install one (on Debian and Ubuntu: python3-venv too), or name it:\n' >&2; \
		printf '  make %s PYTHON=/path/to/python3\n' '$(or $(MAKECMDGOALS),demo)' >&2; \
		exit 1; \
	fi; \
	printf 'Creating %s with %s\n' '$(VENV)' "$$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	@printf 'Installing dmoa (about a minute)\n'
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.llama: pyproject.toml constraints.txt | $(BIN)/python
	@printf 'Installing dmoa with llama.cpp (built once: about ten minutes on two cores)\n'
	@$(PIP) install --editable '.[llama]'
	@touch $@ $(VENV)/.base

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@printf 'Installing dmoa with what its gates need (llama.cpp is built once: ten minutes)\n'
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.base $(VENV)/.llama
