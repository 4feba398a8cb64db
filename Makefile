# `make demo` and `make test` set up what they need in .venv; nothing but Python 3.11+, make and a C runtime is expected.
PYTHON ?= python3
BIN := .venv/bin
CORES ?= $(shell nproc 2> /dev/null || echo 2)
ROUNDS ?= 10
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test pytest soak lint system clean

demo: .venv/installed
	snakemake --cores $(CORES) --profile profiles/local --quiet rules progress
	@echo "The report: results/report/index.html   Tables: results/tables   Masks: results/derivatives/flairflow"

# The linters beside the tests, and of these two at a time. Its last lines say which tests were skipped, and why.
test: .venv/installed
	@$(MAKE) --no-print-directory --jobs 2 lint pytest

pytest: .venv/installed
	pytest -n 2

# All of tests/slurm, over and over until something fails: make soak ROUNDS=10
soak: .venv/installed
	pytest -x -q -m "" tests/slurm --rounds $(ROUNDS)

# mkdocs without --quiet: with it nothing is strict (mkdocs issue 4126).
lint: .venv/installed
	ruff check
	ruff format --check
	snakefmt --check Snakefile rules
	mypy
	lint-imports --no-cache
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

# A local virtual environment with exactly the versions of requirements.lock.
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "flairflow needs Python 3.11 or later; say which with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

# Programs that some tests drive, and skip without: Chromium, in which the report is looked at, and a SLURM, which
# tests/slurm starts for itself. Debian and Ubuntu, as root.
PACKAGES := chromium slurmctld slurmd slurm-client munge
system:
	@if PATH="$$PATH:/usr/sbin:/sbin"; which chromium slurmctld slurmd sbatch munged > /dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES) > /dev/null; \
	else echo "make system needs root and apt-get: sudo make system; elsewhere install $(PACKAGES)"; exit 1; fi

clean:
	rm -rf results demo .snakemake
