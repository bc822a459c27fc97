# Everything a newcomer needs: make demo, make test. Each sets up what it needs by itself.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
WORKERS ?= 3

.PHONY: setup demo test check ui ui-check bench bench-search clean

setup: $(VENV)/dev.stamp

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "FlowBot needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) pip  # an old one takes minutes to resolve so many packages

$(VENV)/user.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "setting up $(VENV) (once) ..."
	$(PIP) --editable '.[local]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/user.stamp
	@echo "setting up the tools of the tests (once) ..."
	$(PIP) --editable '.[local,dev]'
	@touch $@

demo: $(VENV)/user.stamp
	$(BIN)/python examples/routing/demo.py

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python ui/check.py

ui/node_modules/.stamp: ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund
	@touch $@

ui: $(VENV)/dev.stamp ui/node_modules/.stamp  # the page, from its sources into the package
	$(BIN)/python -m flowbot.faces.ui.schema > ui/src/api/schema.json
	cd ui && npm run --silent types && npm run --silent check
	$(BIN)/python ui/check.py --build

ui-check: $(VENV)/dev.stamp ui/node_modules/.stamp  # needs Node: the page's own tests, and a fresh build to compare
	cd ui && npm run --silent check && npm run --silent test
	$(BIN)/python ui/check.py --rebuild

bench: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/replay.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/page.py --short
	$(BIN)/python benchmarks/sandbox.py
	$(BIN)/python benchmarks/metering.py --short
	$(BIN)/python benchmarks/serving.py --short
	$(BIN)/python benchmarks/search.py --short

bench-search: $(VENV)/dev.stamp  # LONG=1: hours rather than minutes
	$(BIN)/python benchmarks/induction.py $(if $(LONG),--long,--short)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build *.egg-info
