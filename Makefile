# Tests run one on each core, with one thread each: small operations on several threads wait more than they work.
# make demo: train five small networks, attack them, print the table. make test: everything developers check;
# make test-avx2: what depends on the processor, as on an older one.
# make docs: the documentation site in site/; a warning is an error, and so is a page that loads anything from elsewhere.
# make paper-small DATA=DIR: the paper's tables and figures by small networks, and docs/results.md from their records, hours on a CPU;
# make paper DATA=DIR: at the paper's own size, on a GPU.
# make bench: beside the peers and against the machine's floor, in an environment with the peers; FLAGS=--quick: a minute.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
BENCH := .venv-bench
DOCS := .venv-docs
FLAGS :=
DATA ?= $(or $(ATLPA_DATA_ROOT),data)

.PHONY: demo test test-avx2 docs paper paper-small bench clean

demo: $(VENV)/installed
	$(RUN)/atlpa-study digits

test: $(VENV)/installed-dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	OMP_NUM_THREADS=1 $(RUN)/pytest -n auto

# As on a processor without AVX-512 and bfloat16, as far as oneDNN and torch let themselves be held back.
test-avx2: $(VENV)/installed-dev
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 OMP_NUM_THREADS=1 $(RUN)/pytest -n auto tests/engine tests/evaluation tests/training

docs: $(DOCS)/installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict --quiet
	$(DOCS)/bin/python -m pytest -q tests/website/test_site.py tests/website/test_drawn_pages.py tests/exercises/test_page_trackers.py

$(DOCS)/installed: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --editable ".[docs]"
	touch $@

paper: $(VENV)/installed
	$(RUN)/python -m scripts.paper full $(DATA)

paper-small: $(VENV)/installed
	$(RUN)/python -m scripts.paper small $(DATA)

bench: $(BENCH)/installed
	$(BENCH)/bin/python -m benchmarks $(FLAGS)

$(BENCH)/installed: pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --editable ".[bench]"
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	$(RUN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml
	$(RUN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) $(DOCS) $(BENCH) build dist site
