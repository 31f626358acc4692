# Everything a checkout needs: each target sets up its own environment first and installs nothing twice.
#   make demo [BUNDLE=<name>]   train, evaluate and explain a bundle on data it makes itself
#   make test                   the quick tests          make test-slow   the others
#   make lint                   style, types, import directions
#   make check                  lint and every test      make clean       remove caches (keeps .venv, data and runs)

SHELL := /bin/bash
PYTHON ?= python3
BUNDLE ?= xml_explainer_classification

VENV := .venv
BIN := $(VENV)/bin
# The stamp carries a checksum of what is to be installed, so that touching a file or switching branches reinstalls nothing.
STAMP := $(VENV)/.installed-$(shell cat requirements.txt pyproject.toml | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint check clean

help:
	@sed -n 's/^#   //p' Makefile

install: $(STAMP)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, '$(PYTHON)' is $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/pip || { echo "Creating $(VENV) ..."; $(PYTHON) -m venv $(VENV); } || { \
	  echo "Python's venv module is missing. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
	@echo "Installing the requirements into $(VENV) (about 7 GB, once) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt -e ".[dev]"
	@rm -f $(VENV)/.installed-* && touch $@

demo: $(STAMP)
	@$(BIN)/python -m scripts.demo --bundle $(BUNDLE)

# Tests use tiny tensors, on which one thread per process is faster than all of them.
test test-slow: export OMP_NUM_THREADS ?= 1

test: $(STAMP)
	@$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-slow: $(STAMP)
	@$(BIN)/python -m pytest -n auto --dist loadfile -m slow

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports --no-logo

check: lint
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-slow

clean:
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
