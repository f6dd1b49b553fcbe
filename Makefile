# Two commands: `make run` starts the twin, `make test` checks everything. Both set up what they need.

PYTHON ?= python3
BIN := .venv/bin
TBIN := .venv-test/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OPENBLAS_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help run setup test lint types layers unit soak test-system gen bench train clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

run: setup ## Install what is needed, then start the twin and open its page
	@$(BIN)/twin up --open

setup: .venv/.installed ## Install the base (no torch) and the sentence encoder into .venv

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed, this is {v.major}.{v.minor}; name another with make PYTHON=...")'
	@echo "== making .venv and installing the base (about 570 MB, no torch)"
	@$(PYTHON) -m venv .venv || { echo "the venv module is missing (Debian: apt install python3-venv)"; exit 1; }
	@$(BIN)/python -m pip install --upgrade "pip>=25.1" --quiet
	@$(BIN)/python -m pip install -e .
	@echo "== installing the sentence encoder (88 MB); without it the linear router answers"
	@$(BIN)/twin setup || echo "!! the encoder could not be installed: the linear router serves; try 'twin setup' again later"
	@touch $@

.venv-test/.installed: pyproject.toml
	@echo "== making .venv-test and installing the test tools"
	@$(PYTHON) -m venv .venv-test
	@$(TBIN)/python -m pip install --upgrade "pip>=25.1" --quiet
	@$(TBIN)/python -m pip install -e . --group test
	@$(TBIN)/twin setup
	@touch $@

test: .venv/.installed .venv-test/.installed lint types layers ## Run every check and test (20 minutes at most on 2 cores)
	@echo "== base install: size and content"
	@$(BIN)/python tools/check_base.py
	@echo "== unit tests"
	@$(TBIN)/pytest tests/unit -n 2 --dist loadfile
	@echo "== contract and end-to-end tests"
	@$(TBIN)/pytest tests/contract tests/e2e

lint: .venv-test/.installed
	@echo "== ruff"
	@$(TBIN)/ruff check .
	@$(TBIN)/ruff format --check .
	@echo "== buf lint"
	@$(TBIN)/buf lint

types: .venv-test/.installed
	@echo "== basedpyright"
	@$(TBIN)/basedpyright

layers: .venv-test/.installed
	@echo "== import-linter"
	@$(TBIN)/lint-imports

soak: .venv-test/.installed ## Kill and soak suites at their full counts
	@TWIN_TEST_SOAK=1 $(TBIN)/pytest --timeout=3600

test-system: ## Install the Debian packages that some tests need (root; asks first)
	@sh tools/install_test_system.sh

gen: .venv-gen/.installed .venv-test/.installed ## Generate the wire code and the documents that come from code
	@.venv-gen/bin/python tools/gen_proto.py
	@$(TBIN)/python -m tools.engine_codec
	@$(TBIN)/python tools/gen_docs.py
	@$(TBIN)/python tools/gen_graph_docs.py
	@$(TBIN)/python tools/bench_docs.py

.venv-gen/.installed: pyproject.toml
	@$(PYTHON) -m venv .venv-gen
	@.venv-gen/bin/python -m pip install --upgrade "pip>=25.1" --quiet
	@.venv-gen/bin/python -m pip install --group gen
	@touch $@

bench: .venv-test/.installed ## Run every benchmark quickly
	@for script in tests/bench/[a-z]*.py; do echo "== $$script"; $(TBIN)/python $$script --quick || exit 1; done

train: .venv-test/.installed ## Train the planner head again
	@$(TBIN)/python tools/train_planner.py

clean: ## Remove the virtual environments and caches
	rm -rf .venv .venv-test .venv-gen .pytest_cache .ruff_cache .hypothesis build *.egg-info
