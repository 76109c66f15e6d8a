# Two commands set up a fresh machine:   make demo   |   make test
# Needed before: Python 3.11 or newer and Node 20 or newer. Nothing else; no Docker, no account, no token.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# cdk.json runs the app with the Python of VIRTUAL_ENV: ours, even where a foreign one is active.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
# jsii warns about Node 20 at every start although it works (the value lists major versions); no usage reports.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20
export CDK_DISABLE_CLI_TELEMETRY := 1

BENCHMARKS := synth prepare local_overhead write_units publish lookup cold throttled container wire_formats rollback refresh growth publish_crashes

.PHONY: demo test lint format bench switch-drill soak docs install install-all clean pr

demo: install                   ## The main job, end to end, on the local cloud
	@$(BIN)/turnout demo

test: install-all               ## The whole suite, integration included
	@$(BIN)/ruff check .
	@$(BIN)/python -m pytest -n 2 --no-loadscope-reorder

lint: install-all               ## Static checks only
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: install-all             ## Put the code into its one form
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: install-all              ## The benchmarks behind docs/performance.md (by hand, more than an hour; never part of the suite)
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

switch-drill: install-all       ## All thirty switches under load, then ten failures in the midst of one (half an hour)
	@$(BIN)/python -m benchmarks.switch_drill
	@$(BIN)/python -m benchmarks.switch_failures

soak: install-all               ## Ten minutes of transform jobs and endpoints on the local cloud, and what they leave behind
	@$(BIN)/python -m benchmarks.local_soak

docs: install-all               ## Regenerate the configuration reference and the JSON Schema
	@$(BIN)/python -m turnout.config.generate
	@$(BIN)/python -m turnout.openapi
	@$(BIN)/python -m turnout.switching.matrix

pr: lint test                   ## What to run before a pull request

install: $(VENV)/.run node_modules/.installed
install-all: $(VENV)/.all node_modules/.installed

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit("Turnout needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.venv requirements/run.txt requirements/data.txt requirements/constraints.txt
	@./requirements/install "to run" requirements/run.txt
	@touch $@

$(VENV)/.all: $(VENV)/.run requirements.txt
	@./requirements/install "to test" requirements.txt
	@touch $@

node_modules/.installed: package.json package-lock.json
	@command -v node >/dev/null || { echo "Turnout needs Node 20 or newer for the AWS CDK; node is not on the PATH."; exit 1; }
	@./requirements/install "CDK CLI" package.json
	@touch $@

clean:                          ## Remove everything that make and the local cloud created
	@if [ -x $(BIN)/turnout ]; then $(BIN)/turnout local down; $(BIN)/turnout local down --state-dir .turnout/demo/cloud; fi
	@rm -rf $(VENV) node_modules cdk.out .turnout model_code/*/artifact
