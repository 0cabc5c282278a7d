# make demo: build, train on real reviews. make test: build, all tests. Each on a fresh machine.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BUILD_TOOLS := "scikit-build-core>=0.11" "nanobind>=2.9" "cmake>=3.26" "ninja>=1.11" "numpy>=2"
PEERS := .venv-peers
SANITIZE := .venv-sanitize
ARM := aarch64-linux-gnu-g++
NATIVE := $(wildcard native/* native/cells/*) CMakeLists.txt pyproject.toml

.PHONY: demo examples series test build lint bench parity mutants sanitize arm clean
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

# The four shapes of a recurrent network, each trained and scored on unseen cases: a few minutes.
SHAPES := one_to_one one_to_many many_to_one tagging encoder_decoder
examples: $(VENV)/extra-demo
	for shape in $(SHAPES); do $(BIN)/python examples/four_shapes/$$shape.py || exit 1; done

# Real series of unequal length: SequenceClassifier beside simple methods, under a minute.
series: $(VENV)/extra-series
	$(BIN)/python examples/series.py

test: $(VENV)/extra-test lint
	$(BIN)/python -m pytest

lint: $(VENV)/extra-test
	$(BIN)/ruff check .
	$(BIN)/mypy

# Keras on TensorFlow and JAX, PyTorch: in an environment of their own, about 3 GB.
$(PEERS)/extra-%: $(NATIVE)
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(BUILD_TOOLS)
	PATH="$(CURDIR)/$(PEERS)/bin:$$PATH" $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-build-isolation -Cbuild-dir=build/peers -e ".[$*]"
	touch $@

# make bench ARGS="--quick --only chapter-lstm"; make parity ARGS="--seed 17"
bench: $(PEERS)/extra-bench
	$(PEERS)/bin/python benchmarks/bench.py $(ARGS)

parity: $(PEERS)/extra-parity
	$(PEERS)/bin/python tests/parity/parity.py $(ARGS)

# Deliberate bugs in the native code, each of which the kernel battery must notice.
mutants: $(VENV)/extra-test
	$(BIN)/python tests/mutants/mutants.py $(ARGS)

# Tests on a build with AddressSanitizer and UndefinedBehaviorSanitizer; whole programs, whose calls of the engine its own
# tests make too, are left out, and promises of speed. All of them: make sanitize ARGS="-m ''"
$(SANITIZE)/built: $(NATIVE)
	test -x $(SANITIZE)/bin/python || $(PYTHON) -m venv $(SANITIZE)
	$(SANITIZE)/bin/python -m pip install --quiet --disable-pip-version-check $(BUILD_TOOLS)
	PATH="$(CURDIR)/$(SANITIZE)/bin:$$PATH" $(SANITIZE)/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-build-isolation -Cbuild-dir=build/sanitize -Ccmake.define.UNROLLED_SANITIZE=ON -e ".[test]"
	touch $@

sanitize: $(SANITIZE)/built
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so) $$(g++ -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
		$(SANITIZE)/bin/python -m pytest -p no:cacheprovider --timeout=3600 -m "not whole_programs and not timed" $(ARGS)

# Compiles the native sources for 64-bit ARM, all but the binding, which needs that machine's Python.
arm:
	@command -v $(ARM) > /dev/null || { echo "make arm needs $(ARM): apt-get install g++-aarch64-linux-gnu"; exit 1; }
	mkdir -p build/arm
	for source in $(filter-out native/module.cpp native/bind_%,$(wildcard native/*.cpp)); do \
		echo "$(ARM) $$source" && \
		$(ARM) -std=gnu++20 -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -fPIC -Wall -Wextra \
			-DUNROLLED_LEVEL=baseline -c $$source -o build/arm/$$(basename $$source .cpp).o || exit 1; \
	done
	$(ARM) -shared -pthread build/arm/*.o -o build/arm/kernels.so && echo "compiled and linked for ARM"

clean:
	rm -rf build dist $(VENV)
