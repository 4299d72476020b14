# Two commands do everything: `make demo` and `make test`. Both install into .venv first, once.
# TORCH_INDEX chooses where torch comes from, for example a CPU-only index:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

export DO_NOT_TRACK = 1

.PHONY: help install demo test check bench format clean

help:
	@echo "make demo      train on the bundled sample, release, and search three photos"
	@echo "make test      run the full test suite"
	@echo "make check     lint, types and import rules"
	@echo "make bench     measure intake, index, service, automation and evaluation (long); DATA=... adds real pictures"
	@echo "make format    format the code"
	@echo "make install   install into $(VENV) (the others do it by themselves)"
	@echo "make clean     remove $(VENV) and everything derived"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
ifdef TORCH_INDEX
	$(BIN)/pip install --constraint constraints.txt --index-url $(TORCH_INDEX) torch torchvision
endif
	$(BIN)/pip install --quiet --progress-bar off --constraint constraints.txt --editable '.[orchestration,dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/threadline demo

test: $(INSTALLED)
	$(BIN)/python -m pytest

check: $(INSTALLED)
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)
ifdef DATA
	$(BIN)/python -m tests.benchmarks.intake $(DATA)/viton
endif
	$(BIN)/python -m tests.benchmarks.index
	$(BIN)/python -m tests.benchmarks.service
	$(BIN)/python -m tests.benchmarks.reindexing
	$(BIN)/python -m tests.benchmarks.automation
	$(BIN)/python tests/benchmarks/test_evaluation_memory.py 1280 8

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .threadline
