# The one vocabulary of commands: demo, test, check, bench, up, docs.
# Everything is installed into .venv from requirements.lock, which pins each file by its hash. The lock is complete,
# so pip need not look for more (--no-deps); some versions of pip also trip over extras beside hashes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SOURCES := data_contracts tasks flows deployments tests benchmarks docs

.PHONY: demo test check crash audit bench up docs reference lock clean

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

# SIGKILL before each write of a run, on one machine and between servers; servers that die, hang and come back: longer than
# all other tests together. KINGMAKER_CRASH_ALL=1 takes every way to every line that writes, and not only one, and every
# line under PostgreSQL, and not only a sample.
crash: .venv/installed
	$(BIN)/pytest -n 2 --dist loadfile -m crash tests/crash

# Is anything known against a version in the lock? It asks the advisory database, so it needs the network; a package that
# could not be looked up is a failure too (--strict). pip-audit lives in an environment that is thrown away.
audit:
	@directory=$$(mktemp -d) && trap "rm -rf $$directory" EXIT && $(PYTHON) -m venv $$directory \
	&& $$directory/bin/pip install --quiet --disable-pip-version-check pip-audit \
	&& $$directory/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.lock

# BENCH_DATA names a folder with <stream>/data.csv.gz (docs/yardstick.md); without it the built-in example's flights are
# taken. BENCH_ARGS=--quick is for a first look.
bench: .venv/installed
	@for file in benchmarks/*.py; do $(BIN)/python $$file $(BENCH_ARGS) || exit 1; done

# Prefect, MLflow and a worker on this machine, behind passwords, until Ctrl-C; then: .venv/bin/kingmaker deploy
up: .venv/installed
	@$(BIN)/kingmaker up $(UP_ARGS)

# The documentation as a site in site/: no file of it asks for an outside address. reference writes the pages that are
# made from the code; a test fails when they are stale.
docs: .venv/installed
	$(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

reference: .venv/installed
	$(BIN)/python -m docs.generate

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
	rm -rf .venv .kingmaker site
