# `make demo` and `make test` do all the set-up. What they build is remembered in stamp files.

PYTHON ?= python3
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
ARGS ?=

BIN := .venv/bin
TOOLS := .venv/tools.stamp
INSTALLED := .venv/installed.stamp
BUILT := .venv/built.stamp
PLOTTER := .venv/plotter.stamp
ENGINE := $(shell find src -name '*.pyx' -o -name '*.pxd' -o -name '*.h')

.PHONY: help demo test lint build bench bench-quick soak memcheck peers install uninstall clean distclean

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(BUILT) ## ten MQTT clients spread over three brokers, live (ARGS=--once: one table)
	@scripts/peers --where-possible mosquitto
	$(BIN)/tidegate demo $(ARGS)

test: $(BUILT) ## all tests (ARGS="tests/config -k lexer": some)
	@scripts/peers --where-possible
	$(BIN)/pytest -n auto --dist loadgroup $(ARGS)
	@! grep -qs true .pytest_cache/v/tidegate/running || { echo "the test run died"; exit 1; }

lint: $(BUILT) ## style, types, and which way imports run
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src
	$(BIN)/pytest -q tests/test_imports.py

build: $(BUILT) ## the engine, and the tidegate command in .venv/bin

$(TOOLS): pyproject.toml
	scripts/build-packages $(PYTHON)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --group dev
	@touch $@

$(INSTALLED): $(TOOLS) setup.py
	$(BIN)/pip install --quiet --no-build-isolation --editable '.[demo]'
	@touch $@

# pip compiles everything anew each time, this only what has changed.
$(BUILT): $(INSTALLED) $(ENGINE)
	$(BIN)/python setup.py --quiet build_ext --inplace --parallel 2
	@touch $@

bench: $(BUILT) $(PLOTTER) ## beside nginx, HAProxy and a C relay, on loopback (ARGS="--only rt-100")
	@scripts/peers --where-possible nginx haproxy
	$(BIN)/python benchmarks/run.py $(ARGS)

bench-quick: $(BUILT) $(PLOTTER) ## the same in under two minutes
	@scripts/peers --where-possible nginx haproxy
	$(BIN)/python benchmarks/run.py --quick $(ARGS)

$(PLOTTER): $(TOOLS)
	@$(BIN)/pip install --quiet --group bench && touch $@ || echo "without matplotlib there is no plot"

soak: $(BUILT) ## reloads, kills and restarts under traffic, much longer than in the tests (half an hour)
	@scripts/peers --where-possible
	TIDEGATE_SOAK_SECONDS=60 TIDEGATE_SOAK_SESSIONS=2000 TIDEGATE_SOAK_RELOADS=300 \
	TIDEGATE_SOAK_KILLS=60 TIDEGATE_STORM_CLIENTS=5000 TIDEGATE_STORM_SECONDS=20 \
	$(BIN)/pytest -q --timeout 1200 -o faulthandler_timeout=1230 \
	tests/e2e -k "reloads or kills or flooded" $(ARGS)

memcheck: $(BUILT) ## the engine's TLS under valgrind: no leak, no wrong access (some three minutes)
	@scripts/memcheck $(ARGS)

peers: ## the programs that tests run against (scripts/peers.txt), by apt and npm
	@scripts/peers

install: ## tidegate on PATH (PREFIX=/usr/local), a starter file in /etc/tidegate
	@scripts/build-packages $(PYTHON)
	@scripts/install "$(PYTHON)" "$(DESTDIR)" "$(PREFIX)" "$(SYSCONFDIR)"

uninstall: ## undo install; /etc/tidegate stays
	@scripts/uninstall "$(DESTDIR)" "$(PREFIX)"

clean: ## remove what was built, but for .venv
	rm -rf build dist .venv/*.stamp .*_cache .hypothesis src/*.egg-info
	find src tests scripts \( -name '*.so' -o -name '__pycache__' \) -prune -exec rm -rf {} +

distclean: clean ## remove .venv too
	rm -rf .venv
