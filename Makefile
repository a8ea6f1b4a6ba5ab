# Both commands set up what they need in .venv; a later call finds it there.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS = true

.PHONY: demo test lint lock

demo: .venv/ready  ## train, distil, prove, report and register on the embedded data set
	dvc repro
	python -m components.results

test: .venv/ready lint  ## linters, type checker and tests
	python -m pytest

lint: .venv/ready
	ruff check .
	ruff format --check .
	mypy

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "kdflow needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

lock:  ## choose the newest versions that fit pyproject.toml; needs uv
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --output-file requirements.txt
