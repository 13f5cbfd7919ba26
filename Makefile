PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
EXTRAS := torch,tensorboard,wandb,optuna,parquet,data,cluster,optimizers,integrations,notebook,docs,test,dev
# two workers suit two cores; a file stays on one worker, so that its compiled kernels and fixtures are made once
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile $(COVER)
# for `make ... COVER="--cov --cov-append --cov-report="`
export COVERAGE_FILE := $(CURDIR)/out/coverage/data

.PHONY: demo test test-slow test-figures lint docs bench bench-once performance rot mutate figures gpu clean

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable ".[torch]"
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) --editable ".[$(EXTRAS)]"
	touch $@

demo: $(VENV)/.demo
	$(BIN)/python -m lastiterate demo --out out/demo

test: $(VENV)/.test
	$(PYTEST)

test-slow: $(VENV)/.test
	$(PYTEST) -m "slow and not figures and not gpu"

# nearly all in one file, so shared among the workers by test
test-figures: $(VENV)/.test
	$(PYTEST) --dist load -m "figures and not gpu"

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# the site in docs/_build/html: every example of the gallery runs, a warning is an error, nothing is downloaded
docs: $(VENV)/.test
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build/html

bench: $(VENV)/.test
	$(BIN)/python -m pytest benchmarks --benchmark-only -m "not gpu"

# everything once on small sizes: a benchmark that no longer runs is noticed
bench-once: $(VENV)/.test
	$(BIN)/python -m pytest benchmarks --benchmark-disable -m "not gpu"

# the page in docs/ is a copy: figures.md with its pictures in a folder of their own
figures: $(VENV)/.test
	$(BIN)/python -m lastiterate figures --quick --out out/figures
	mkdir -p docs/figures && cp out/figures/*.png docs/figures/
	sed 's#](\([a-z0-9-]*\)\.png)#](figures/\1.png)#' out/figures/figures.md > docs/figures.md

# ratios to peers and limits, with the previous run beside: an idle machine, please
performance: $(VENV)/.test
	mkdir -p out
	$(BIN)/python -m pytest benchmarks --benchmark-only -m "not gpu" --benchmark-json=out/benchmarks.json
	$(BIN)/python benchmarks/performance_page.py out/benchmarks.json

# oldest and newest dependencies, other interpreters, coverage, the build, known vulnerabilities
rot: $(VENV)/.test
	$(BIN)/nox

# which small changes of the sources no test notices: by hand, half an hour
mutate: $(VENV)/.test
	$(BIN)/nox -s mutate

# needs a CUDA device: one table in under ten minutes
gpu: $(VENV)/.demo
	$(BIN)/python -m lastiterate gpu

clean:
	rm -rf build dist out .pytest_cache docs/_build docs/api docs/auto_gallery
