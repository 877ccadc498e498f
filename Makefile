# Everything happens in .venv; nothing outside this folder is touched.
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
DEMO ?=

# `##` describes a target for plain `make`, `##+` for `make help-all` alone.
.DEFAULT_GOAL := help
.PHONY: help help-all setup demo test lab lint format coverage nightly clean lock

help:  ## list the usual targets; `make help-all` lists all of them
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

help-all:  ##+ list all targets
	@awk -F ':.*##[+]? ' '/^[a-z-]+:.*##[+]? / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## build .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.10 or newer is needed, with its venv module"; exit 1; }
	$(PYTHON) -m venv .venv
	@echo "installing into .venv: a minute or two"
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		$(BIN)/python -m pip install -qq -r requirements.lock; \
	else \
		echo "the lock needs Python 3.11: installing by the floors of pyproject.toml"; \
		$(BIN)/python -m pip install -qq -e '.[lab,dev]'; \
	fi
	@$(BIN)/python -m pip install -qq --no-deps -e .
	@touch $@

demo: setup  ## encode a real clip, decode it, compare, write a page; options: make demo DEMO="--out DIR"
	$(BIN)/coordflow demo $(DEMO)

lab: setup  ## open the first chapter in JupyterLab
	$(BIN)/jupyter lab chapters/00_welcome.ipynb

test: setup  ## run all tests, then all notebooks
	$(PYTEST) -n 2
	@$(MAKE) --no-print-directory test-notebooks

lint: setup  ## check style, formatting and types, as CI does
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## format the code and fix what can be fixed safely
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: setup  ## measure the line coverage of the method and the codec: at least 95 %
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -q tests/test_*.py coordflow_mini/*.py
	$(BIN)/coverage report

clean:  ## remove .venv, caches and build products; runs/ stays
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock:  ##+ write requirements.lock anew, from the floors (Python 3.11, Linux)
	rm -rf build/lock && python3.11 -m venv build/lock
	build/lock/bin/python -m pip install --quiet torch==2.13.0 '.[lab,dev]'
	{ sed -n '/^#/p' requirements.lock; build/lock/bin/python -m pip freeze --all \
		--exclude pip --exclude coordflow-mini | sed 's/+cpu$$//'; } > build/requirements.lock
	@! grep -i -E '^(nvidia|cuda|triton)|[/@]' build/requirements.lock || \
		{ echo "this is no lock for everyone: give pip a CPU build of torch"; exit 1; }
	mv build/requirements.lock requirements.lock && rm -rf build/lock

# --- the course ---------------------------------------------------------------------------------------
AUTHOR := coordflow_mini.course.author
CHAPTERS ?= chapters/
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=300 -n 2 --dist loadscope
.PHONY: notebooks test-notebooks test-solved time-chapters data tables

notebooks: setup  ## build chapters/*.ipynb; REPO=owner/name restamps the address, SOLUTIONS=0 goes to build/
	$(BIN)/python -m $(AUTHOR).notebooks $(if $(REPO),--repo $(REPO)) \
		$(if $(filter 0,$(SOLUTIONS)),--no-solutions --out build/notebooks)

test-notebooks: setup  ##+ run every notebook as it is shipped
	$(PYTEST) $(NBVAL) $(CHAPTERS)

test-solved: setup  ##+ run every notebook with the solutions filled in
	rm -rf build/solved
	$(BIN)/python -m $(AUTHOR).notebooks --solved --out build/solved
	$(PYTEST) $(NBVAL) build/solved

data: setup  ##+ encode the files that lessons open (data/*.cfv): four minutes on 2 cores; FILM=bbb.mp4 for the squirrel
	$(BIN)/python -m $(AUTHOR).trained $(if $(FILM),--film $(FILM))

tables: setup  ##+ measure what lessons read from tables (data/*.csv): 45 minutes on 2 cores; ONLY=rates.csv for one (15)
	OMP_NUM_THREADS=2 $(BIN)/python -m $(AUTHOR).tables $(ONLY)

time-chapters: setup  ##+ time every chapter on 2 threads, stamp it, rebuild; ONLY="3 4" for some
	OMP_NUM_THREADS=2 $(BIN)/python -m $(AUTHOR).timing $(ONLY)
	$(BIN)/python -m $(AUTHOR).notebooks

# --- other environments -------------------------------------------------------------------------------
COLAB_PYTHON ?= $(shell python3.13 -c 'import ensurepip, venv; print("python3.13")' 2>/dev/null || echo $(PYTHON))
.PHONY: test-colab test-browser

test-colab: build/colab/.installed  ##+ run every notebook with Colab's versions; COLAB_PYTHON=python3.13 if it has another name
	PYTHONPATH=tests/colab OMP_NUM_THREADS=1 build/colab/bin/python -m pytest -p no:cacheprovider -W default $(NBVAL) $(CHAPTERS)

build/colab/.installed: tests/colab/requirements.txt pyproject.toml
	$(COLAB_PYTHON) -m venv build/colab
	build/colab/bin/python -m pip install --quiet -r tests/colab/requirements.txt -e .
	@touch $@

test-browser: setup  ##+ open chapters in JupyterLab and Chromium, move the widgets; pictures go to runs/browser; BROWSER=all
	$(BIN)/python -m pip install -qq -e '.[browser]'
	COORDFLOW_BROWSER=$(or $(BROWSER),some) $(PYTEST) -q -n 2 tests/browser

# --- trying to break it -------------------------------------------------------------------------------
CAMPAIGN := OMP_NUM_THREADS=1 $(BIN)/python -m campaigns
CASES ?= 20000
SEED ?=
FOR ?= 600
.PHONY: soak inputs damage fuzz kills test-nightly

nightly:  ## run every campaign and the tests marked `nightly`: about two hours
	@failed=; for target in test-nightly test-browser damage fuzz inputs kills soak; do \
		$(MAKE) --no-print-directory $$target BROWSER=all || failed="$$failed $$target"; done; \
		test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

test-nightly: setup  ##+ run the tests that `make test` leaves out
	$(PYTEST) -n 2 -m nightly

damage: setup  ##+ judge damaged .cfv files, and measure what the worst may cost; CASES=20000 SEED=1
	$(CAMPAIGN).damage --cases $(CASES) $(if $(SEED),--seed $(SEED))
	$(CAMPAIGN).damage --worst

fuzz: setup  ##+ fuzz the readers of .cfv files, guided by coverage (atheris, Linux): FOR=600 seconds in all
	$(BIN)/python -m pip install -qq -e '.[fuzz]'
	$(CAMPAIGN).fuzz --seconds $$(($(FOR) / 2)) $(if $(SEED),--seed $(SEED))

inputs: setup  ##+ try every command on hundreds of damaged and hostile inputs: ten minutes; ONLY=mp4 for some
	$(CAMPAIGN).inputs $(ONLY)

kills: setup  ##+ kill -9 and Ctrl-C at random moments, N=1000 kills in half an hour; SEED=1, ONLY=encode,fetch
	$(CAMPAIGN).kills --kills $(or $(N),1000) --interrupts 20 --points --seed $(or $(SEED),0) $(if $(ONLY),--only $(ONLY))

soak: setup  ##+ encode 240 clips in one process, then eight at once: five minutes; CLIPS=2400 for longer
	$(CAMPAIGN).soak $(if $(CLIPS),--clips $(CLIPS))
