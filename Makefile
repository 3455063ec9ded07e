# The one vocabulary of commands: demo, test, check, bench, up.
# Everything is installed into .venv from requirements.lock, which pins each file by its hash. The lock is complete,
# so pip need not look for more (--no-deps); some versions of pip also trip over extras beside hashes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SOURCES := data_contracts tasks flows deployments tests benchmarks

.PHONY: demo test check bench up lock clean

demo: .venv/installed
	@$(BIN)/kingmaker demo

test: .venv/installed
	$(BIN)/pytest -n auto --dist loadfile

check: .venv/installed
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/kingmaker check

# BENCH_DATA names a folder with a data.csv.gz of flights; the built-in example's are taken without it.
bench: .venv/installed
	@for file in benchmarks/*.py; do $(BIN)/python $$file $(BENCH_ARGS) || exit 1; done

# Prefect, MLflow and a worker on this machine, behind passwords, until Ctrl-C; then: .venv/bin/kingmaker deploy
up: .venv/installed
	@$(BIN)/kingmaker up $(UP_ARGS)

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "expected Python 3.11 or newer, found " + sys.version.split()[0] + "; run: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Writes the lock anew from pyproject.toml; needs uv (pip install uv). It names no registry.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--all-extras pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .kingmaker
