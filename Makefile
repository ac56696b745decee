# Overdial. `make help` lists the targets; options pass through variables: make demo DEMO="--fast".
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

DEMO ?=
TESTS ?=
BENCH ?=
PJSUA2 ?=
PYTHON ?=

BIN := .venv/bin
SOURCES := pacing campaigns dialer sip-lab benchmarks demo setup tests

.PHONY: help demo test bench pjsua2 check format setup lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  Options pass through: make demo DEMO="--fast --seed 7", make test TESTS="-k import",'
	@echo '  make bench BENCH="--quick", make pjsua2 PJSUA2="--source FILE-OR-URL", PYTHON=python3.12'

demo: setup ## Call 300 leads on this machine, from nothing: service, carrier, agents, report
	@$(BIN)/python -m demo $(DEMO)

test: setup check ## Run the whole test suite, exactly what CI runs
	@$(BIN)/python -m tests.suite $(TESTS)

bench: setup ## Run the benchmarks beside their peers, as a table and as JSON
	@$(BIN)/python -m benchmarks $(BENCH)

pjsua2: override PJSUA2 += --rebuild
pjsua2: setup ## (Re)build the SIP stack, PJSIP with room for 1000 calls, and install it

check: setup ## Check format, lint, types and import contracts
	@failed=; \
	$(BIN)/ruff format --check --quiet $(SOURCES) || failed="$$failed format (make format)"; \
	$(BIN)/ruff check --quiet $(SOURCES) || failed="$$failed lint"; \
	$(BIN)/mypy --no-error-summary || failed="$$failed types"; \
	contracts=$$($(BIN)/lint-imports --no-logo) || { echo "$$contracts"; failed="$$failed contracts"; }; \
	if [ -n "$$failed" ]; then echo "error: check failed:$$failed" >&2; exit 1; fi
	@echo "check: format, lint, types and import contracts are in order"

format: setup ## Format the code and apply the linter's safe fixes
	@$(BIN)/ruff check --quiet --fix $(SOURCES) || true
	@$(BIN)/ruff format --quiet $(SOURCES)

setup: ## Install what is missing: packages, virtual environment, SIP stack (part of all others)
	@PYTHON="$(PYTHON)" PJSUA2="$(PJSUA2)" setup/setup.sh

lock: ## Pin the newest allowed dependencies with their hashes (needs uv)
	@uv pip compile pyproject.toml --group dev --extra plot --extra fast --universal --python-version 3.11 \
	    --upgrade --generate-hashes --no-annotate --quiet \
	    --custom-compile-command "make lock" --output-file requirements.lock

clean: ## Remove the virtual environment and every cache in this folder (not the SIP stack's)
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
