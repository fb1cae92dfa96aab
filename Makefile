# Two commands matter: `make book` builds the site, `make test` checks everything.
# Every target sets up .venv by itself (tools/setup.sh) and works offline from then on.
# Written for GNU make 3.81, which is what macOS ships.

ifneq (3.81,$(firstword $(sort 3.81 $(MAKE_VERSION))))
$(error GNU make 3.81 or newer is needed, this is $(MAKE_VERSION). Debian and Ubuntu: apt-get install make)
endif

PYTHON ?= python3
WORKERS ?= 2
PORT ?= 8000
LESSON ?=

PY := .venv/bin/python
PYTEST := $(PY) -m pytest

# What the shell around make happens to set must not reach the course.
unexport PYTHONPATH PYTHONHOME JUPYTER_PATH MPLBACKEND
export IPYTHONDIR := $(CURDIR)/_build/ipython
export MPLCONFIGDIR := $(CURDIR)/_build/matplotlib

# Who has no home to write into (a container's user, a locked-down lab) gets one here.
ifneq (yes,$(shell test -w "$$HOME" && echo yes))
unexport XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR XDG_STATE_HOME
export HOME := $(CURDIR)/_build/home
export PIP_NO_CACHE_DIR := 1
export UV_NO_CACHE := 1
endif

# The workers share the cores: one thread each, or they fight. (UMAP sets torch to numba's number.)
one_thread := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help setup book test test-fast lint pins execute verify labs lab detectors serve bench clean

help: ## list the targets
	@echo "make TARGET, with TARGET one of"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | \
		while IFS='|' read -r name what; do printf '%-12s %s\n' "$$name" "$$what"; done
	@echo "Options: PYTHON=python3.12 (to make .venv with), WORKERS=2 (tests), PORT=8000 (serve),"
	@echo "         LESSON=book/2_deepsad.ipynb (execute only this one)"

setup: ## make .venv and install the pinned packages, if that is still to do
	@sh tools/setup.sh "$(PYTHON)" && mkdir -p _build/home

book: setup ## build the site into _build/html, warnings are errors
	$(PY) -m tools.build_book

test: lint book ## everything: lint, unit tests, notebooks, guards, site, browser
	$(one_thread) $(PYTEST) book tests --nbval-lax --nbval-current-env \
		--nbval-cell-timeout=300 -n $(WORKERS) --dist loadscope --no-loadscope-reorder

test-fast: lint ## lint and unit tests, without notebooks, site and browser
	$(one_thread) $(PYTEST) tests --ignore=tests/book --ignore=tests/site -m "not slow" -p no:nbval \
		-n $(WORKERS) --dist loadscope

lint: setup ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m mypy

pins: setup ## resolve the pins for every Python and platform promised (asks the package index)
	$(PY) -m tools.pins

execute: setup ## run the lessons, store outputs and seconds in place
	$(PY) -m tools.execute $(LESSON)

verify: setup ## run the long trials (lessons, rows, repairs), record which passed
	BADSAD_RECORD=1 BADSAD_ALL_ROWS=1 $(one_thread) $(PYTEST) tests -m trial -n $(WORKERS) --dist load

labs: setup ## derive student versions, without solutions, into _build/labs
	$(PY) -m tools.labs

lab: labs ## open the student versions in JupyterLab
	JUPYTER_PREFER_ENV_PATH=1 $(PY) -m jupyterlab --ServerApp.root_dir=_build/labs

detectors: setup ## train the detectors that come with the course, into data/detectors
	$(PY) -m tools.detectors

serve: setup ## show the built site at http://localhost:8000 (PORT=...)
	@test -f _build/html/index.html || $(MAKE) book
	@echo "http://localhost:$(PORT)/  (Ctrl+C stops)"
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

bench: setup ## print the speed of pretraining, training and scoring
	$(PY) benchmarks/speed.py

clean: ## remove what was built, but not .venv
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -path ./.venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) \
		-type d -prune -exec rm -rf {} +
	@echo "Kept: .venv (rm -rf .venv removes it)."
