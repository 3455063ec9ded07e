# The one vocabulary of commands: demo, up; test, test-spark, check, coverage, crash, bench, docs, reference, audit, lock.
# requirements.lock is what runs, requirements-dev.lock what develops and tests too. Both pin each file by its hash, with the
# same versions, and are complete: pip need not look for more (--no-deps); some versions of pip also trip over extras beside hashes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps
SOURCES := data_contracts tasks flows deployments notebooks tests benchmarks docs

.PHONY: demo up test test-spark coverage check crash bench docs reference audit lock clean

demo: .venv/installed
	@$(BIN)/kingmaker demo

# Prefect, MLflow and a worker on this machine, behind passwords, until Ctrl-C; then: .venv/bin/kingmaker deploy
up: .venv/installed
	@$(BIN)/kingmaker up $(UP_ARGS)

test: .venv/installed-dev
	@.ci/system-packages
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder $(TEST_ARGS)

# The tests once more, with the lines and branches that they ran; a run in a process of its own is counted too.
coverage: TEST_ARGS = --cov --cov-report=term:skip-covered
coverage: test

check: .venv/installed-dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/kingmaker check

# SIGKILL before each write of a run, on one machine and between servers; servers that die, hang and come back: longer than
# all other tests together. KINGMAKER_CRASH_ALL=1 takes every way to every line that writes, and not only one, and every
# line under PostgreSQL, and not only a sample.
crash: .venv/installed-dev
	@.ci/system-packages
	$(BIN)/pytest -n 2 --dist loadfile -m crash tests/crash

# A champion as a function over a Spark table. It needs Java, and installs pyspark, half a gigabyte, beside what is locked.
test-spark: .venv/installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check "pyspark>=4,<5"
	$(BIN)/pytest -m spark tests/flows/test_packaged.py

# BENCH_DATA names a folder with <stream>/data.csv.gz (docs/yardstick.md); without it the built-in example's flights are
# taken. BENCH_ARGS=--quick is for a first look.
BENCHMARKS := decision drift estimates estimators faults features ingest_validate load losses memory reasons scheduled scoring yardstick
bench: .venv/installed-dev
	@for name in $(BENCHMARKS); do \
		$(BIN)/python -m benchmarks.$$name $(BENCH_ARGS) || exit 1; done

# The documentation as a site in site/, which needs no network to be read.
docs: .venv/installed-dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

# The pages and JSON Schemas of docs/reference/ that are made from the code; a test fails when they are stale.
reference: .venv/installed-dev
	$(BIN)/python -m docs.generate

# Is anything known against a version in the locks (the second holds the first)? It asks the advisory database, so it needs
# the network; a package that could not be looked up is a failure too (--strict).
audit:
	@$(call with,pip-audit) && $$directory/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
		-r requirements-dev.lock

# Writes the locks anew from pyproject.toml: what they pin stays, unless LOCK_ARGS=--upgrade. What develops is settled first,
# so that what runs can be the same versions. Neither names a registry.
LOCK := pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml
lock:
	@$(call with,uv) && uv=$$directory/bin/uv \
	&& $$uv $(LOCK) --all-extras --group build --group dev -o requirements-dev.lock $(LOCK_ARGS) \
	&& cp requirements-dev.lock requirements.lock && $$uv $(LOCK) --group build -o requirements.lock

# A tool in an environment that is thrown away when the recipe ends.
with = directory=$$(mktemp -d) && trap "rm -rf $$directory" EXIT && $(PYTHON) -m venv $$directory \
	&& $$directory/bin/pip install --quiet --disable-pip-version-check $(1)

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "expected Python 3.11 or newer, found " + sys.version.split()[0] + "; run: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-build-isolation -e .
	@touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

clean:
	rm -rf .venv .kingmaker site
