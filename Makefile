.POSIX:

PYTHON ?= python3

venv = .venv
python = $(venv)/bin/python
pip_install = $(python) -m pip install --quiet --disable-pip-version-check

.PHONY: help run test check docs docs-build mutants screenshots install clean

help:
	@echo "make run      open the window and train the bundled example"
	@echo "make test     run all tests"
	@echo "make check    check style, types and import rules"
	@echo "make docs     build the documentation and serve it on this computer"
	@echo "make mutants  change lbc/sparsity bit by bit and count what its tests notice"
	@echo "make screenshots  train small runs and take the pictures in docs/pictures of the window"
	@echo "make install  install into $(venv), with $(venv)/bin/lbc and $(venv)/bin/lbc-gui"
	@echo "make clean    delete $(venv) and caches, but no runs"
	@echo "To use another Python (3.11 or newer): make PYTHON=python3.12 run"

run: $(venv)/installed
	@$(venv)/bin/lbc-gui --start

test: $(venv)/installed-dev
	@QT_QPA_PLATFORM=offscreen PYTHONFAULTHANDLER=1 $(python) -m pytest -n 2 --dist loadfile

check: $(venv)/installed-dev
	$(venv)/bin/ruff check
	$(venv)/bin/ruff format --check
	$(venv)/bin/mypy
	$(venv)/bin/lint-imports

# Into resources, where the window finds it and a wheel takes it from.
docs-build: $(venv)/installed-docs
	@$(python) -m sphinx --fail-on-warning --keep-going --quiet -E -d build/doctrees docs resources/docs

docs: docs-build
	@$(python) -m docs.serve

mutants: $(venv)/installed-dev
	@$(pip_install) -e '.[dev,mutants]'
	@OMP_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen $(python) -m tests.mutation.run

screenshots: $(venv)/installed
	@$(python) -m tools.screenshots

install: $(venv)/installed

clean:
	rm -rf $(venv) build dist resources/docs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find lbc lbc_gui tests -name __pycache__ -exec rm -rf {} +

# Not .venv/bin/python: it is a link with the timestamp of the system's Python.
$(venv)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "$(PYTHON) is not Python 3.11 or newer: give one, for example 'make PYTHON=python3.12 run'." >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) lacks the venv module: on Debian and Ubuntu, install it with 'sudo apt install python3-venv'." >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(venv) || { rm -rf $(venv); exit 1; }

$(venv)/installed: $(venv)/pyvenv.cfg pyproject.toml
	@echo "Installing into $(venv): this takes some minutes the first time."
	@$(pip_install) -e .
	@touch $@

# The development environment includes everything that the window needs.
$(venv)/installed-dev: $(venv)/pyvenv.cfg pyproject.toml
	@echo "Installing into $(venv): this takes some minutes the first time."
	@$(pip_install) -e '.[dev]'
	@touch $(venv)/installed $@

$(venv)/installed-docs: $(venv)/installed
	@$(pip_install) -e '.[docs]'
	@touch $@
