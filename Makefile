# `make` alone lists what there is. Everything happens in .venv; nothing else on the machine changes.

PYTHON ?= python3
IMAGE ?= data/coins.png
REPORT ?= out/report.html
PYTEST_ARGS ?= -n auto --dist loadgroup

# Threads that spin while they wait take each other's time where cores are shared.
export OMP_WAIT_POLICY ?= PASSIVE

BIN := .venv/bin
READY := .venv/.samlab-ready
READY_TEST := .venv/.samlab-ready-for-tests
READY_NODE := node_modules/.samlab-ready

.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(READY)  ## segment a photo into classes and write an HTML report; yours: make demo IMAGE=photo.jpg
	$(BIN)/samlab report $(IMAGE) -o $(REPORT)

lab: $(READY)  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir=. notebooks/00_start_here.ipynb

test: $(READY_TEST)  ## run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(READY_TEST) $(READY_NODE)  ## ruff, mypy and the order of imports; eslint and tsc for the JavaScript
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	npm run --silent lint

weights: $(READY)  ## train the embedded model anew (about two hours on two cores)
	$(BIN)/python -m pip install -e ".[train]"
	$(BIN)/python -m training

clean:  ## remove the environment and what the other targets wrote
	rm -rf .venv node_modules out build *.egg-info

# torch and torchvision first and together, so that the resolver takes a pair that fits.
$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("samlab needs Python 3.11 to 3.13, this is " + sys.version.split()[0] if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet torch torchvision
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(READY_TEST): $(READY) pyproject.toml
	$(BIN)/python -m pip install --quiet -e ".[test]"
	@touch $@

# Checkers for the JavaScript; the package itself needs no node.
$(READY_NODE): package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: help demo lab test lint weights clean
