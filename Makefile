# make setup | demo | test | lint | bench        (PYTHON=python3.12 picks another interpreter)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test lint bench rivals sanafe clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,attack,nir,dask,viz,dev]'
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

# Everything that benchmarks/results.md has, with the rivals that are there (make rivals); an hour on two cores.
ROUNDS ?= 3
RIVALS = $(shell test -x .venv-rivals/bin/python && echo .venv-rivals/bin/python || echo $(BIN)/python)

bench: setup
	$(BIN)/python -m pytest -q benchmarks --benchmark-columns=median,iqr,rounds --benchmark-group-by=param:workload
	mkdir -p runs
	$(RIVALS) benchmarks/compare.py --rounds $(ROUNDS) --out runs/compare.md
	$(RIVALS) benchmarks/recurrent.py --rounds $(ROUNDS) --out runs/recurrent.md
	for part in second_process neurons counting c_twins scaling; do \
	$(BIN)/python benchmarks/$$part.py --rounds $(ROUNDS) --out runs/$$part.md || exit 1; done
	test ! -x .venv-sanafe/bin/python || $(BIN)/python benchmarks/sanafe_compare.py --rounds $(ROUNDS) --out runs/sanafe.md

# SANA-FE and NEST by themselves, because their licence is the GPL: Gossamer talks to their processes, and imports neither.
rivals: sanafe
	test -x .venv-rivals/bin/python || $(PYTHON) -m venv .venv-rivals
	.venv-rivals/bin/python -m pip install --quiet -c constraints.txt -r benchmarks/rivals.txt -e '.[train]'
	if command -v python3.13 > /dev/null; then python3.13 -m venv .venv-brian2 && \
	.venv-brian2/bin/python -m pip install --quiet brian2==2.11.0; fi
	test -x .venv-nest/bin/python || $(PYTHON) -m venv .venv-nest
	.venv-nest/bin/python -m pip install --quiet nest-simulator==3.10.0 numpy

sanafe:
	test -x .venv-sanafe/bin/python || $(PYTHON) -m venv .venv-sanafe
	.venv-sanafe/bin/python -m pip install --quiet -c constraints.txt sanafe==2.2.9 numpy

clean:
	rm -rf $(VENV) .venv-rivals .venv-brian2 .venv-sanafe .venv-nest .typing build dist *.egg-info
