# make demo: build, train on real reviews. make test: build, all tests. Each on a fresh machine.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BUILD_TOOLS := "scikit-build-core>=0.11" "nanobind>=2.9" "cmake>=3.26" "ninja>=1.11" "numpy>=1.26"
NATIVE := $(wildcard native/* native/cells/*) CMakeLists.txt pyproject.toml

.PHONY: demo test build lint bench parity mutants sanitize arm clean
.DEFAULT_GOAL := build

$(VENV)/tools: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(BUILD_TOOLS)
	touch $@

$(VENV)/built: $(VENV)/tools $(NATIVE)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e .
	touch $@

build: $(VENV)/built

$(VENV)/extra-%: $(VENV)/built
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e ".[$*]"
	touch $@

demo: $(VENV)/extra-demo
	$(BIN)/python examples/demo.py

test: $(VENV)/extra-test lint
	$(BIN)/python -m pytest

lint: $(VENV)/extra-test
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf build dist $(VENV)
