# Everything a newcomer or a machine runs. `make demo` and `make test` install what is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install demo demo-purchase demo-faults test chaos check format lint types imports differential bench bench-quick check-langgraph compare-server fuzz-server compat lock clean

help:
	@echo "make demo     watch an agent be killed mid-run and finish anyway (≤ 60 s, no API key)"
	@echo "make demo-purchase   watch a shipment fail and the money come back (≤ 60 s, no API key)"
	@echo "make demo-faults     watch an agent finish while its model provider fails every third call (≤ 60 s, no API key)"
	@echo "make test     run the whole test suite"
	@echo "make chaos    crash the examples at every event (some 10 minutes)"
	@echo "make check    format, lint, types, import layers, tests"
	@echo "make install  make .venv with everything that development and tests need"
	@echo "make bench    measure Perdure, bare Temporal and the peers in turns (some 17 minutes, an idle machine)"
	@echo "make bench-quick  compare what a step costs with bench/baseline.json (≤ 2 minutes)"
	@echo "make differential     compare 1,000 random graphs with LangGraph itself, in every mode (about half an hour)"
	@echo "make check-langgraph  run the tests with the lowest, a middle and the newest supported langgraph"
	@echo "make compare-server   compare the HTTP server with LangGraph's own (makes an environment for it)"
	@echo "make fuzz-server      ask the HTTP server many made-up requests (some minutes)"
	@echo "make compat   write the lists of docs/compatibility.md from the tests"
	@echo "make lock     re-resolve requirements/dev.lock"

install: $(STAMP)

$(STAMP): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Perdure needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	@PYTHONPATH=examples $(BIN)/python -m support.demo $(ARGS)

demo-purchase: install
	@PYTHONPATH=examples $(BIN)/python -m purchase.demo $(ARGS)

demo-faults: install
	@PYTHONPATH=examples $(BIN)/python -m faults.demo $(ARGS)

test: install
	$(BIN)/python -m pytest -n 2 --dist loadgroup

chaos: install
	PERDURE_CHAOS=all $(BIN)/python -m pytest tests/testing/test_faults_examples.py -q -s

check: install format lint types imports test

format: install
	$(BIN)/ruff format --check .

lint: install
	$(BIN)/ruff check .

types: install
	$(BIN)/basedpyright

imports: install
	$(BIN)/lint-imports

differential: install
	PERDURE_DIFF_EXAMPLES=$${PERDURE_DIFF_EXAMPLES:-1000} PERDURE_DIFF_EVERY_MODE=1 $(BIN)/python -m pytest -n 2 --dist loadgroup tests/differential

bench: install
	$(BIN)/python bench/run.py $(ARGS)

bench-quick: install
	$(BIN)/python bench/run.py --quick $(ARGS)

check-langgraph: install
	$(BIN)/python scripts/check_langgraph.py $(ARGS)

fuzz-server: install
	PERDURE_SCHEMA_EXAMPLES=$${PERDURE_SCHEMA_EXAMPLES:-100} $(BIN)/python -m pytest -q tests/sdk/test_http_schema.py

compare-server: install
	$(BIN)/python tests/peer/record.py --check
	$(BIN)/python -m pytest tests/peer

compat: install
	$(BIN)/python tests/architecture/compat_page.py

lock: install
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --all-extras --group dev pyproject.toml -o requirements/dev.lock

clean:
	rm -rf $(VENV) .perdure .pytest_cache .ruff_cache
