# Two commands do everything: `make demo` and `make test`. Both install into .venv first, once.
# TORCH_INDEX chooses where torch comes from, for example a CPU-only index:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
EXTRAS := serving client tracing training orchestration postgres s3 celery kubernetes dev
SHIPPED := serving tracing training orchestration postgres s3 celery kubernetes
TOOLS := $(VENV)/tools

export DO_NOT_TRACK = 1

.PHONY: help install demo test check bench format lock audit sbom licences clean

help:
	@echo "make demo      train on the bundled sample, release, and search three photos"
	@echo "make test      run the full test suite"
	@echo "make check     lint, types and import rules"
	@echo "make bench     measure every part, a million articles among them (hours); DATA=... adds real pictures"
	@echo "make format    format the code"
	@echo "make lock      resolve each extra again: locks/*.txt, every release with its hashes"
	@echo "make audit     look the locked releases up for known vulnerabilities"
	@echo "make sbom      write software bills of materials to dist/"
	@echo "make licences  list the licences of what is shipped: docs/licences.md"
	@echo "make install   install into $(VENV) (the others do it by themselves)"
	@echo "make clean     remove $(VENV) and .threadline, decisions, releases and API keys included"

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
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

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
	$(BIN)/python -m tests.benchmarks.million
	$(BIN)/python -m tests.benchmarks.embedding
	$(BIN)/python -m tests.benchmarks.learning
	$(BIN)/python tests/benchmarks/test_evaluation_memory.py 1280 8

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(TOOLS)/.installed: locks/tools.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --progress-bar off --require-hashes --requirement locks/tools.txt
	@touch $@

# Universal: one file for every platform, with markers. No index is written down: hashes say what may be installed.
LOCK = $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --custom-compile-command "make lock"

lock: $(TOOLS)/.installed
	for extra in $(EXTRAS); do $(LOCK) --constraint constraints.txt --extra $$extra --output-file locks/$$extra.txt pyproject.toml || exit 1; done
	$(LOCK) --upgrade --output-file locks/tools.txt locks/tools.in

audit: $(TOOLS)/.installed
	for extra in $(EXTRAS); do $(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off --requirement locks/$$extra.txt || exit 1; done

sbom: $(TOOLS)/.installed
	@mkdir -p dist
	for extra in $(SHIPPED); do $(TOOLS)/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible --output-file dist/sbom-$$extra.json locks/$$extra.txt || exit 1; done

licences: $(INSTALLED) $(TOOLS)/.installed
	$(TOOLS)/bin/pip-licenses --python $(BIN)/python --from mixed --order name --format markdown --with-system --packages \
		$$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/\1/p' $(SHIPPED:%=locks/%.txt) | sort -u) > $(TOOLS)/licences.md
	cat locks/licences-by-hand.md $(TOOLS)/licences.md > docs/licences.md

clean:
	rm -rf $(VENV) .threadline
