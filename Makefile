# The same words here and in CI. `make install` is done by every target that needs it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: install format check test attacks bench faults demo lock clean
.DEFAULT_GOAL := help

help:  ## say what can be made
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/installed: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vibecoder needs Python 3.11 or newer; say make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV), once" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . >&2
	@touch $@

install: $(VENV)/installed  ## create .venv from the lock

format: install  ## bring the code into shape
	$(BIN)/ruff format app tests
	$(BIN)/ruff check --fix app tests

check: install  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff format --check app tests
	$(BIN)/ruff check app tests
	$(BIN)/mypy
	$(BIN)/lint-imports

test attacks faults bench: export PYTHONDONTWRITEBYTECODE =
test: install  ## the whole suite
	$(BIN)/python -m pytest $(ARGS)

attacks: install  ## try to break in and to get things out, against running deployments
	$(BIN)/python -m tests.attacks $(ARGS)

bench: install  ## measure; ratios within one run
	$(BIN)/python -m tests.bench $(ARGS)

faults: install  ## kill and break things in running deployments; ARGS names some
	$(BIN)/python -m tests.faults $(ARGS)

demo: install  ## the main job, everything on loopback, the model scripted
	@$(BIN)/vibecoder demo $(ARGS)

COMPILE := uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-emit-index-url \
	--no-emit-find-links --no-header --upgrade pyproject.toml

lock:  ## renew requirements.txt, for running, and requirements-dev.txt (needs uv on PATH)
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) --all-extras --constraint requirements.txt --output-file requirements-dev.txt

clean:  ## remove what was installed and what the demo keeps
	rm -rf $(VENV) .vibecoder
