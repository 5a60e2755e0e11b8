# make setup | demo | test | lint | bench        (PYTHON=python3.12 picks another interpreter)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test lint bench rivals sanafe clean

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
	mkdir -p runs && $(BIN)/python benchmarks/compare.py --rounds 3 --out runs/compare.md
	$(BIN)/python benchmarks/recurrent.py --sizes 2000x100 --rounds 3 --out runs/recurrent.md
	$(BIN)/python benchmarks/second_process.py --rounds 5 --out runs/second_process.md

rivals: sanafe
	test -x .venv-rivals/bin/python || $(PYTHON) -m venv .venv-rivals
	.venv-rivals/bin/python -m pip install --quiet -c constraints.txt -r benchmarks/rivals.txt -e '.[train]'
	if command -v python3.13 > /dev/null; then python3.13 -m venv .venv-brian2 && \
	.venv-brian2/bin/python -m pip install --quiet brian2==2.11.0; fi

# By itself, because its licence is the GPL: Gossamer talks to its process and never imports it.
sanafe:
	test -x .venv-sanafe/bin/python || $(PYTHON) -m venv .venv-sanafe
	.venv-sanafe/bin/python -m pip install --quiet -c constraints.txt sanafe==2.2.9 numpy

clean:
	rm -rf $(VENV) .venv-rivals .venv-brian2 .venv-sanafe .typing build dist *.egg-info
