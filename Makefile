# The same words here and in CI. `make install` is done by every target that needs it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: install format check test attacks bench faults demo lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/installed: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vibecoder needs Python 3.11 or newer; run make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV), once" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . >&2
	@touch $@

install: $(VENV)/installed  ## create .venv from the lock file

format: install  ## format the code
	$(BIN)/ruff format app tests
	$(BIN)/ruff check --fix app tests

check: install  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff format --check app tests
	$(BIN)/ruff check app tests
	$(BIN)/mypy
	$(BIN)/lint-imports

test attacks faults bench: export PYTHONDONTWRITEBYTECODE =
test: install  ## run the test suite
	$(BIN)/python -m pytest $(ARGS)

attacks: install  ## run the attack suite against live deployments
	$(BIN)/python -m tests.attacks $(ARGS)

bench: install  ## run the benchmarks; results are ratios within one run
	$(BIN)/python -m tests.bench $(ARGS)

faults: install  ## run the fault-injection suite; ARGS selects faults
	$(BIN)/python -m tests.faults $(ARGS)

demo: install  ## run the demo on loopback with a scripted model
	@$(BIN)/vibecoder demo $(ARGS)

COMPILE := uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-emit-index-url \
	--no-emit-find-links --no-header --upgrade pyproject.toml

lock:  ## update requirements.txt and requirements-dev.txt (needs uv on PATH)
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) --all-extras --constraint requirements.txt --output-file requirements-dev.txt

clean:  ## remove .venv and the demo's data
	rm -rf $(VENV) .vibecoder
