# Every command makes its own virtual environment first; none needs anything but Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS := 5

.PHONY: install demo test chaos bench check format lock clean

install: $(VENV)/.installed

# On another port: `make demo PORT=9000`.
demo: $(VENV)/.installed
	$(BIN)/spacebridge up --demo$(if $(PORT), --port "$(PORT)")

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

# The faults suite's long form: about 45 minutes on two cores. `make chaos ARGS="--database sqlite"`; --help shows the rest.
chaos: $(VENV)/.installed-dev
	$(BIN)/python -m tests.chaos $(ARGS)

# The bridge beside bare baselines: about 40 minutes on two cores; bench/README.md says what is compared.
bench: $(VENV)/.installed-dev
	$(BIN)/python -m bench $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Takes the newest versions that pyproject.toml admits, with their hashes, for every platform.
lock: $(VENV)/.installed-dev
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

clean:
	rm -rf $(VENV)
