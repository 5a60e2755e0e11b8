# make setup | demo | test | lint | bench        (PYTHON=python3.12 picks another interpreter)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test lint bench clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,nir,dask,viz,dev]'
	rm -rf .typing && mkdir -p .typing/gossamer
	for part in hwmodels compiler simulator training; do ln -s ../../$$part .typing/gossamer/$$part; done
	for part in gossamer/*; do ln -s ../../$$part .typing/gossamer/$$(basename $$part); done
	touch $@

demo: setup
	$(BIN)/gossamer demo

test: setup
	$(BIN)/python -m pytest -q

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m pytest -q benchmarks --benchmark-columns=median,iqr,rounds --benchmark-group-by=param:workload

clean:
	rm -rf $(VENV) .typing build dist *.egg-info
