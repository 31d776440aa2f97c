# Everything a developer or a curious user needs; `make` alone lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 22

$(STAMP): requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## make .venv with everything pinned

demo: $(STAMP) ## the main job with nothing to configure; DEMO_ARGS='--seconds 20'
	@$(BIN)/python -m ftpsyncd demo $(DEMO_ARGS)

# Many tests wait for servers and quiet times, so more run side by side than there are cores: tests/conftest.py has some
# that compute run beside them all the time. The paths below the base are short because those of sockets may have 107 bytes.
# All that tests make is below it, so that nothing is left of those that had no time to clean up when they were interrupted;
# servers that are not root's get through.
WORKERS ?= 5

test: $(STAMP) ## all tests; TEST_ARGS='-k name', WORKERS=0 for one after the other
	@base=$$(mktemp -d /tmp/ft-XXXX) && trap 'rm -rf "$$base"' EXIT && chmod 755 "$$base" && \
	  TMPDIR="$$base" $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --basetemp="$$base/t" $(TEST_ARGS)

LOWEST := $(VENV)-lowest
test-lowest: requirements/lowest.txt ## all tests with the lowest versions of the libraries that pyproject.toml admits
	@$(MAKE) --no-print-directory VENV=$(LOWEST) setup
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@$(MAKE) --no-print-directory VENV=$(LOWEST) test

test-long: $(STAMP) ## the tests that take minutes, and the model's stories with something else at each single step
	@FTPSYNCD_COLD=1 FTPSYNCD_MOMENTS=all $(BIN)/python -m pytest -m long $(TEST_ARGS)
	@FTPSYNCD_MOMENTS=all $(BIN)/python -m pytest tests/model $(TEST_ARGS)

test-servers: $(STAMP) ## the contract, a site and `probe` at all other FTP servers that can be had (root; needs gcc, node, npm); TEST_ARGS='-k zope'
	@scripts/fetch-other-servers >/dev/null
	@base=$$(mktemp -d /tmp/ft-XXXX) && trap 'rm -rf "$$base"' EXIT && \
	  FTPSYNCD_OTHERS=1 $(BIN)/python -m pytest -n 2 --basetemp="$$base/t" tests/others \
	  $(patsubst %,tests/contract/test_%.py,session library resuming) $(TEST_ARGS)

FUZZ_SECONDS ?= 600
fuzz: $(STAMP) ## damaged replies, listings, configurations: ten minutes; FUZZ_SECONDS=60
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest tests/test_fuzz.py $(TEST_ARGS)

test-systemd: $(STAMP) ## the service in a real systemd, in a container (root; needs debootstrap and systemd-container)
	@PIP=$(BIN)/pip scripts/make-test-tree
	@$(BIN)/python -m pytest -m long tests/systemd $(TEST_ARGS)

soak: $(STAMP) ## 2,000 random sequences against the whole engine, 2,000 races, as many with troubles, with reloads, and twice as many of `sync` alone, 500 of plans; SOAK_ARGS='-n 2', FTPSYNCD_SEQUENCES=10000
	@base=$$(mktemp -d /tmp/ft-XXXX) && trap 'rm -rf "$$base"' EXIT && \
	  PYTHONHASHSEED=0 $(BIN)/python -m pytest -m long -k 'many_random_sequences or for_long' --basetemp="$$base/t" tests/model $(SOAK_ARGS)

mutations: $(STAMP) ## break each guarantee on purpose, and see a test fail; MUTATIONS_ARGS='--only G4', or '--new --write docs/reliability/mutations.json' for those that the file does not tell of
	@$(BIN)/python -m tests.mutations.bench $(MUTATIONS_ARGS)

# What tests measured is kept in docs/reliability; one that was not run this time keeps its figures.
reliability: $(STAMP) ## measure everything that docs/reliability.md tells (hours), and write it
	@base=$$(mktemp -d /tmp/ft-XXXX) && trap 'rm -rf "$$base"' EXIT && \
	  FTPSYNCD_COLD=1 FTPSYNCD_MOMENTS=all FTPSYNCD_FIGURES=$(CURDIR)/docs/reliability/figures $(BIN)/python -m pytest -m "" --basetemp="$$base/t" \
	  $$($(BIN)/python -m tests.reliability.page --tests) $(RELIABILITY_ARGS)
	@$(BIN)/python -m tests.mutations.bench --write docs/reliability/mutations.json
	@$(MAKE) --no-print-directory reliability-page

reliability-page: $(STAMP) ## write docs/reliability.md from what was measured before
	@$(BIN)/python -m tests.reliability.page

check: $(STAMP) ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(STAMP) ## let ruff mend what it can
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

# For every Python from 3.11 on: some packages are needed by later ones only.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
LOCK_ARGS ?= --upgrade

$(VENV)/.lock: $(STAMP) requirements/lock.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	@touch $@

lock: $(VENV)/.lock ## renew the pinned requirements; LOCK_ARGS= keeps the versions
	@$(LOCK) $(LOCK_ARGS) -o requirements/run.txt pyproject.toml
	@$(LOCK) $(LOCK_ARGS) --resolution lowest-direct -o requirements/lowest.txt pyproject.toml
	@$(LOCK) $(LOCK_ARGS) --extra dev -c requirements/run.txt -o requirements/dev.txt pyproject.toml
	@$(LOCK) $(LOCK_ARGS) --extra dev --extra bench -c requirements/dev.txt -o requirements/bench.txt pyproject.toml
	@printf 'aioftp\nrclone-bin\ntwisted\nzope.server\n' | $(LOCK) $(LOCK_ARGS) -o requirements/servers.txt -
	@echo 'uv>=0.8' | $(LOCK) $(LOCK_ARGS) -o requirements/lock.txt -

$(VENV)/.bench: $(STAMP) requirements/bench.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

bench: $(VENV)/.bench ## measure latency, large trees, bursts, churn (root, an hour); BENCH_ARGS='--only start'
	@$(BIN)/python -m benchmarks.scale $(BENCH_ARGS)

bench-quick: $(STAMP) ## the same in small, in three minutes, writing nothing
	@$(BIN)/python -m benchmarks.scale --quick $(BENCH_ARGS)

bench-transfer: $(VENV)/.bench ## measure against lftp, rclone, curl (root, an hour); BENCH_ARGS='--only a'
	@$(BIN)/python -m benchmarks.transfer $(BENCH_ARGS)

bench-transfer-quick: $(STAMP) ## the same in small, in a minute, writing nothing
	@$(BIN)/python -m benchmarks.transfer --quick $(BENCH_ARGS)

clean: ## remove what was made here
	rm -rf $(VENV) $(LOWEST) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help setup demo test test-lowest test-long test-servers fuzz test-systemd soak mutations reliability reliability-page check format lock bench bench-quick bench-transfer bench-transfer-quick clean
