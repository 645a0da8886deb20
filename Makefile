# `make help` lists what there is. The virtual environment is made by whatever needs it.
PYTHON ?= python3
TIER   ?= quick
CORES  ?= all
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/installed
DOCS   := $(VENV)/installed-docs
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install extras run test test-browser test-cluster lint format docs bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing into $(VENV), a few minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[slurm,onnx,dev]'
	@touch $@

$(DOCS): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

install: $(STAMP)  ## make the virtual environment

extras: $(STAMP)  ## what is optional: neuraloperator, to compare with, and TensorBoard
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fno,tensorboard]'

run: $(STAMP)  ## the whole workflow: data, training, figures, report (TIER=quick|paper CORES=all)
	snakemake --cores $(CORES) --config tier=$(TIER) --quiet reason
	@snakemake --config tier=$(TIER) --report results/$(TIER)/report.html --quiet all
	@echo "report  results/$(TIER)/report.html"

test: $(STAMP) $(DOCS)  ## all tests
	python -m pytest

test-browser: $(STAMP)  ## the report in a browser, which is installed if there is none (as root)
	tests/browser/chromium-up.sh && python -m pytest tests/browser

test-cluster: $(STAMP)  ## the Slurm profile on a Slurm of one node, which is installed, started and stopped (as root)
	trap 'tests/cluster/slurm-down.sh >/dev/null' EXIT; tests/cluster/slurm-up.sh && python -m pytest tests/cluster

lint: $(STAMP)  ## ruff, snakefmt and snakemake --lint
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	snakemake --lint

format: $(STAMP)  ## bring code into shape
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow/rules

docs: $(DOCS)  ## the documentation site, offline, in site/
	PYTHONWARNINGS=ignore NO_MKDOCS_2_WARNING=1 mkdocs build --strict

bench: $(STAMP)  ## benchmarks: ratios against straightforward implementations
	python -m benchmarks.solvers
	python -m benchmarks.training

clean:  ## remove results of the tier and the site (the environment stays)
	rm -rf results/$(TIER) .snakemake site docs/generated
