# The commands of the project: `make help` lists them. Each sets up what it needs first, installing only what is missing.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# What `make run` serves, where, and with how many workers.
APP        ?= app:app
BIND       ?= 127.0.0.1:8000
WORKERS    ?= $(shell getconf _NPROCESSORS_ONLN)
PYTHONPATH ?= examples/fastapi_app
# For the application alone: what sets up, builds and tests must not import from there.
unexport APP BIND WORKERS PYTHONPATH

SETUP  := python3 tools/setup.py
TESTS  := python3 tools/suites.py
REBAR3 := rebar3
VENV   := .venv
PYTHON := $(VENV)/bin/python

# Where the set-up puts Cowboy and Ra if Hex does not answer; a folder that is not there does no harm.
export ERL_LIBS := $(CURDIR)/.deps/erlang/lib$(if $(ERL_LIBS),:$(ERL_LIBS))

# The types of the JavaScript client; a machine without Node has nothing to look with.
TSC := { [ ! -d clients/javascript/node_modules ] || npm --prefix clients/javascript run --silent check; }

# $(call step,NAME,COMMAND): a step whose failure does not keep the next from running; verdict sums up and fails if any did.
step    = $(2) || failed="$$failed $(1)";
verdict = if [ "$$failed" ]; then echo "make $@: FAILED:$$failed"; exit 1; else echo "make $@: all passed"; fi

.PHONY: help setup compile docs run shell quick test platforms check wheel wheel-check site bench bench-smoke bench-channels bench-cluster bench-observed bench-preload bench-services bench-state bench-tasks bench-websocket chaos chaos-cluster test-cluster crash-tasks fuzz \
    clean distclean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  make run APP=module:attribute BIND=host:port WORKERS=number PYTHONPATH=folder[:folder]'

setup: ## Install whatever is missing for all of these
	@$(SETUP) all

compile: ## Compile the Erlang side
	@$(SETUP) run
	@$(REBAR3) compile

docs: compile ## Write docs/options.md, docs/coming-from.md and hornbeam/options.py from their tables
	@erl -noshell -pa _build/default/lib/hornbeam/ebin -eval '$(WRITE_DOCS), halt().'

# What of the documentation a function of hornbeam_options gives.
WRITE_DOCS = ok = file:write_file("docs/options.md", hornbeam_options:markdown()), \
    ok = file:write_file("docs/coming-from.md", hornbeam_options:coming_from()), \
    ok = file:write_file("priv/python/hornbeam/options.py", hornbeam_options:python())

run: compile ## Serve examples/fastapi_app on http://127.0.0.1:8000, or what the variables below say
	@exec bin/hornbeam run '$(APP)' --bind '$(BIND)' --workers '$(WORKERS)' --venv $(VENV) \
	    $(foreach folder,$(subst :, ,$(PYTHONPATH)),--pythonpath '$(folder)')

shell: compile ## Open an Erlang shell with the application started
	@exec erl -pa _build/default/lib/*/ebin \
	    -eval '{ok, _} = application:ensure_all_started(hornbeam).'

quick: compile ## Run in a minute: the parts without processes, and one request per protocol
	@$(SETUP) test
	@$(TESTS) quick

test: ## Run the suites, of a cluster's faults one short run (test-cluster: all): EUnit and Common Test (with PropEr), pytest (with hypothesis)
	@$(SETUP) run test browser javascript
	@$(REBAR3) compile
	@$(TESTS) all

# Which of tools/platforms.py, all if empty; which of tools/suites.py.
PLATFORMS ?=
SUITES    ?= all

platforms: ## Build and test in roots of other Debian releases (PLATFORMS=testing SUITES=short)
	@python3 tools/platforms.py --suites '$(SUITES)' $(PLATFORMS)

check: ## Run the static checks: xref, dialyzer, edoc, ruff, mypy --strict, tsc --strict where Node is
	@$(SETUP) run check javascript
	@failed=; \
	$(call step,xref,$(REBAR3) xref) \
	$(call step,dialyzer,$(REBAR3) dialyzer) \
	$(call step,edoc,$(REBAR3) edoc >/dev/null) \
	$(call step,ruff check,$(PYTHON) -m ruff check) \
	$(call step,ruff format,$(PYTHON) -m ruff format --check) \
	$(call step,mypy,$(PYTHON) -m mypy) \
	$(call step,tsc,$(TSC)) \
	$(verdict)

site: ## Make the documentation's site in site/, without a dead link
	@python3 tools/website.py

# The address that the package's links begin with, of whoever publishes it.
HOME_PAGE ?=

wheel: ## Build dist/hornbeam-*.whl, which brings Erlang along, and the sdist (HOME_PAGE=https://...)
	@$(SETUP) run wheel
	@HORNBEAM_HOME_PAGE='$(HOME_PAGE)' $(PYTHON) tools/wheel.py

# In which of the bare roots of tools/wheel_check.py, all if empty.
RELEASES ?=

wheel-check: ## Install and use the wheel of dist where there is nothing but Python (RELEASES=bookworm)
	@python3 tools/wheel_check.py $(RELEASES)

# Which scenarios, how long and so on: `make bench BENCH=--help`.
BENCH ?=

bench: compile ## Measure next to uvicorn, granian, hypercorn, nginx: 25 minutes (BENCH="--only fastapi")
	@$(SETUP) bench
	@$(PYTHON) bench/run.py $(BENCH)

bench-smoke: compile ## Measure for a moment next to uvicorn
	@$(SETUP) bench
	@$(PYTHON) bench/run.py --smoke $(BENCH)

bench-websocket: compile ## Measure WebSocket against uvicorn (with Redis): memory, echo, one message to many
	@$(SETUP) bench
	@$(PYTHON) bench/websocket.py $(BENCH)

bench-channels: compile ## Measure channels against Django Channels and python-socketio (with Redis)
	@$(SETUP) bench
	@$(PYTHON) bench/realtime.py $(BENCH)

bench-cluster: compile ## Measure the replicated state against etcd and Redis: 12 minutes
	@$(SETUP) bench
	@$(PYTHON) bench/replicated.py --write $(BENCH)

bench-observed: compile ## Measure what metrics, traces and an open dashboard cost a request, into bench/results/observed.md
	@$(SETUP) bench test
	@$(PYTHON) bench/observed.py --write $(BENCH)

bench-preload: compile ## Measure what preload saves of a Django application's memory, into bench/results/preload.md
	@$(SETUP) bench test
	@$(PYTHON) bench/preload.py --write $(BENCH)

bench-services: compile ## Measure service pools: calls, streams, batches, large arguments, into bench/results/services.md
	@$(SETUP) bench
	@$(PYTHON) bench/service_pools.py

bench-state: compile ## Measure the shared state against redis-py and Redis, into bench/results/state.md
	@$(SETUP) bench
	@$(PYTHON) bench/state.py

bench-tasks: compile ## Measure background tasks against Celery, RQ and Dramatiq, into bench/results/tasks.md
	@$(SETUP) bench
	@$(PYTHON) bench/tasks.py $(BENCH)

# How many durable tasks; `make test` has 500 of them.
CRASH_TASKS ?= 10000

crash-tasks: compile ## Kill everything at random points while durable tasks run (CRASH_TASKS=10000)
	@$(SETUP) test
	@CRASH_TASKS=$(CRASH_TASKS) $(PYTHON) -m pytest -s -o timeout=3600 python_tests/ops/test_durable_tasks.py

# How long, in seconds, in all; for the cluster each of so many runs.
chaos: CHAOS_SECONDS ?= 1800
chaos-cluster: CHAOS_SECONDS ?= 60
CHAOS_RUNS    ?= 30
# What is drawn: the seed that a run has printed; empty for another one.
CHAOS_SEED    ?=

chaos: compile ## Faults of clients, workers and the machine under load (CHAOS_SECONDS=1800 CHAOS_SEED=)
	@$(SETUP) test
	@PYTHONPATH=python_tests $(PYTHON) bench/chaos.py --seconds $(CHAOS_SECONDS) $(addprefix --seed ,$(CHAOS_SEED))

test-cluster: compile ## Run the tests of a cluster's faults: nodes cut off, killed, filled; six minutes
	@$(SETUP) test
	@$(TESTS) cluster

chaos-cluster: compile ## Three nodes under load and faults, in networks of their own (CHAOS_RUNS=30 CHAOS_SECONDS=60 CHAOS_SEED=)
	@$(SETUP) test
	@PYTHONPATH=python_tests $(PYTHON) bench/chaos_cluster.py --runs $(CHAOS_RUNS) --seconds $(CHAOS_SECONDS) $(addprefix --seed ,$(CHAOS_SEED))

# How many sessions; `make test` plays 300 of them.
FUZZ_SESSIONS ?= 100000

fuzz: compile ## Play mutated sessions of a worker: kills, and nothing else (FUZZ_SESSIONS=100000)
	@$(SETUP) test
	@FUZZ_SESSIONS=$(FUZZ_SESSIONS) $(PYTHON) -m pytest -s python_tests/worker/test_fuzz.py

clean: ## Remove what compilers and tests made
	@rm -rf _build/*/lib/hornbeam _build/*/extras _build/*/rel _build/test \
	    .mypy_cache .pytest_cache .ruff_cache .hypothesis erl_crash.dump rebar3.crashdump
	@find . \( -path './$(VENV)' -o -path ./.git \) -prune -o -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## Remove what the set-up made, too
	@rm -rf .deps $(VENV) _build dist doc site rebar.lock
