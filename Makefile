# `make demo` and `make test` set up what they need in .venv; nothing but Python 3.11+, make and a C runtime is expected.
PYTHON ?= python3
BIN := .venv/bin
CORES ?= $(shell nproc 2> /dev/null || echo 2)
ROUNDS ?= 10
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test soak lint browser slurm clean

demo: .venv/installed
	snakemake --cores $(CORES) --profile profiles/local --quiet rules progress
	@echo "The report: results/report/index.html   Tables: results/tables   Masks: results/derivatives/flairflow"

# Tests on SLURM, which mostly wait, run beside the others (tests/conftest.py says which).
test: .venv/installed browser slurm lint
	pytest -n 2

# All of tests/slurm, over and over until something fails: make soak ROUNDS=10
soak: .venv/installed slurm
	pytest -x -q -m "" tests/slurm --rounds $(ROUNDS)

lint: .venv/installed
	ruff check
	ruff format --check
	snakefmt --check Snakefile rules
	mypy
	lint-imports --no-cache

# A local virtual environment with exactly the versions of requirements.lock.
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "flairflow needs Python 3.11 or later; say which with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

# The report is tested in Chromium. Debian and Ubuntu: installed here when root; elsewhere those tests are skipped.
browser:
	@if command -v chromium chromium-browser google-chrome > /dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium > /dev/null; \
	else echo "No Chromium: the browser tests will be skipped. To run them: sudo apt-get install chromium"; fi

# tests/slurm starts its own SLURM, from these packages. Debian and Ubuntu: installed here when root; elsewhere those
# tests are skipped.
SLURM := slurmctld slurmd slurm-client munge
slurm:
	@if PATH="$$PATH:/usr/sbin:/sbin"; which slurmctld slurmd sbatch munged > /dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SLURM) > /dev/null \
	  || echo "SLURM cannot be installed: its tests will be skipped."; \
	else echo "No SLURM: its tests will be skipped. To run them: sudo apt-get install --no-install-recommends $(SLURM)"; fi

clean:
	rm -rf results demo .snakemake
