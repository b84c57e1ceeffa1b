# `make demo` and `make test` need nothing prepared: Python 3.11 or newer, make and git.
PYTEST = .venv/bin/python -m pytest
FUZZ_SECONDS ?= 180

# Some thousand interpreters are started, which would each compile what they import.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help demo test test-fast test-long test-oldest bench docs fuzz lint clean

help:
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1	/p' Makefile

demo: ## assemble an engine and run a container with it
	@tools/venv
	@tools/demo

# Among them are tests inside guests (tests/guests): user-mode Linux and QEMU with kernels of Debian's, on this machine's
# own root, read-only. tools/test-needs unpacks them into .cache; where it can't, they are skipped and say what lacks.
test: ## everything but what takes minutes by itself; fuzzing for three minutes
	@tools/venv dev
	@tools/test-needs
	@MOBY_FUZZ_SECONDS=$(FUZZ_SECONDS) tools/test "not long" $(OPTIONS)

test-fast: ## what a change wants to know first
	@tools/venv dev
	@tools/test "not long and not slow and not fuzz" $(OPTIONS)

test-long: test-oldest ## the whole matrix, guests included; long faults, soak
	@tools/venv dev
	@tools/test-needs
	MOBY_FUZZ_SECONDS=1800 MOBY_FAULT_ROUNDS=30 $(PYTEST)

test-oldest: ## the fast tests on the oldest Python that is served, OLDEST=python3.11
	@OLDEST=$(OLDEST) tools/oldest
	PATH=$(CURDIR)/.cache/oldest/bin:$$PATH .cache/oldest/bin/python -m pytest -q -p no:cacheprovider \
		-m "not long and not slow and not fuzz"

bench: ## print ratios from one run and write docs/benchmarks.md
	@tools/venv dev
	.venv/bin/python -m benchmarks

docs: ## build the documentation's site, with a reference drawn of the contracts, in build/docs/site
	@tools/venv dev
	.venv/bin/python tools/docs

fuzz: ## random input for FUZZ_SECONDS
	@tools/venv dev
	MOBY_FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTEST) -m fuzz

lint: ## ruff and mypy
	@tools/venv dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean: ## remove what was made
	rm -rf dist build .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
