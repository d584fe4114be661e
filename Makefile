# A target that needs the virtual environment makes it first; nothing else is needed but Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS := 5

# Python keeps what it compiles, whatever the environment says: the tests start some hundred processes of it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo test unit chaos bench check format lock clean

help: ## Print the targets of make with a sentence each.
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 10

install: $(VENV)/.installed ## Install the bridge into .venv.

demo: $(VENV)/.installed ## Run the bridge with a sandbox and real deliveries; on another port with PORT=9000.
	$(BIN)/spacebridge up --demo$(if $(PORT), --port "$(PORT)")

test: $(VENV)/.installed-dev ## Run all tests; ARGS="tests/unit -k backoff" runs some of them.
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

unit: $(VENV)/.installed-dev ## Run the tests that need no server.
	$(BIN)/python -m pytest --numprocesses 2 tests/unit $(ARGS)

chaos: $(VENV)/.installed-dev ## Run the long form of the faults suite, about 45 minutes; ARGS=--help lists its options.
	$(BIN)/python -m tests.chaos $(ARGS)

bench: $(VENV)/.installed-dev ## Measure the bridge beside bare programs, about 40 minutes; bench/README.md explains it.
	$(BIN)/python -m bench $(ARGS)

check: $(VENV)/.installed-dev ## Check format, lint, types and the import contract.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## Format the code, and fix what the linter can fix.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/.installed-dev ## Lock the newest versions that pyproject.toml allows, with hashes, for every platform.
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK_FLAGS) --group build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile $(LOCK_FLAGS) --group build --group dev -c requirements.lock pyproject.toml \
		-o requirements-dev.lock

LOCK_FLAGS := --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Spacebridge needs Python 3.11 or newer, and $(PYTHON) is older: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

clean: ## Remove the virtual environment.
	rm -rf $(VENV)
