# Two commands for a newcomer: `make demo` and `make test`. Both install what is missing first.
SHELL := /bin/bash
BIN := .venv/bin
SITE ?= site.toml
DURATION ?=
PYTHON_SOURCES := conftest.py pkgs lab tests bench
# Tests that need no server, no root and no network: the ones of `make check`.
UNIT := $(wildcard pkgs/*/tests) lab/tests tests/nix tests/docs tests/faults/tests

.PHONY: help
help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: install
install:  ## system packages, Python environment
	@scripts/install

.PHONY: demo
demo:  ## the demonstration plant, live; DURATION=60: that many seconds, then a summary
	@began=$$(date +%s.%N); scripts/install && $(BIN)/fieldline demo --site "$(SITE)" --began $$began $(if $(DURATION),--duration $(DURATION))

.PHONY: format
format: install  ## format all sources
	@$(BIN)/ruff format $(PYTHON_SOURCES) && $(BIN)/ruff check --fix $(PYTHON_SOURCES)
	@scripts/nix-files format

.PHONY: lint
lint: install  ## format, lint and types, without changing anything
	@$(BIN)/ruff format --check $(PYTHON_SOURCES)
	@$(BIN)/ruff check $(PYTHON_SOURCES)
	@$(BIN)/mypy $(wildcard pkgs/*/src) lab/src tests/faults/src
	@scripts/nix-files check

.PHONY: check
check: lint  ## lint, unit and Nix tests; under a minute
	@$(BIN)/pytest -q -n 2 --dist loadgroup -m "not servers and not kafka" $(UNIT)

# The lab's tests boot hosts, which takes root; what they need is prepared as the user before that. They leave
# nothing of root's in the work tree.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo -p "[sudo] password for %u, to boot the tests' hosts: " \
	env XDG_CACHE_HOME="$${XDG_CACHE_HOME:-$$HOME/.cache}" PYTHONDONTWRITEBYTECODE=1)

.PHONY: prepare
prepare: install  ## get the parts and tools; `make check` then tests the settings with them too
	@$(BIN)/python3 -m fieldline_lab.parts --path nixfmt deadnix >/dev/null
	@$(BIN)/fieldline lab prepare

# Not in `make test`: the tool and the NixOS modules that it evaluates are no part of a checkout. Without them this
# fails and says what is missing.
.PHONY: nix-eval
nix-eval: install  ## evaluate every host, image, package and VM test with real NixOS modules
	@$(BIN)/python tests/evaluation/check.py --record tests/evaluation/result.txt
	@$(BIN)/pytest -q -n 2 --dist loadscope -p no:cacheprovider tests/evaluation

.PHONY: options
options: install  ## write docs/options.md from the NixOS modules (needs what nix-eval needs)
	@$(BIN)/python tests/evaluation/options.py docs/options.md

ARGS ?=
.PHONY: faults
faults: prepare  ## each fault on each part of a plant, into docs/faults.md: an hour or two; ARGS=--help
	@$(AS_ROOT) env PYTHONPATH=tests/faults/src $(BIN)/python -m fieldline_faults $(ARGS)

NAME ?=
.PHONY: bench
bench: prepare  ## measure everything, or NAME=…: keeps results and writes bench/README.md
	@$(BIN)/python bench/run.py $(NAME)

.PHONY: test
test: prepare check  ## everything, on real servers and lab hosts (asks for root)
	@$(BIN)/pytest -q --durations 20 -m "servers or kafka" $(wildcard pkgs/*/tests)
	@$(AS_ROOT) $(BIN)/pytest -q --durations 40 -p no:cacheprovider tests/lab tests/plant
