.POSIX:

PYTHON ?= python3

venv = .venv
python = $(venv)/bin/python
pip_install = $(python) -m pip install --quiet --disable-pip-version-check

.PHONY: help run test check install clean

help:
	@echo "make run      open the window and train the bundled example"
	@echo "make test     run the tests"
	@echo "make check    style, types and import rules"
	@echo "make install  only install into $(venv), for $(venv)/bin/lbc and $(venv)/bin/lbc-gui"
	@echo "make clean    delete $(venv) and caches; your runs stay"
	@echo "Another Python (3.11 or newer): make PYTHON=python3.12 run"

run: $(venv)/installed
	@$(venv)/bin/lbc-gui --start --runs runs

test: $(venv)/installed-dev
	@QT_QPA_PLATFORM=offscreen PYTHONFAULTHANDLER=1 $(python) -m pytest -n 2 --dist loadfile

check: $(venv)/installed-dev
	$(venv)/bin/ruff check
	$(venv)/bin/ruff format --check
	$(venv)/bin/mypy
	$(venv)/bin/lint-imports

install: $(venv)/installed

clean:
	rm -rf $(venv) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find lbc lbc_gui tests -name __pycache__ -exec rm -rf {} +

# Not .venv/bin/python, a link whose age is that of the system's Python.
$(venv)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed, and $(PYTHON) is not: name one, as in 'make PYTHON=python3.12 run'." >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) lacks the venv module: on Debian and Ubuntu, 'sudo apt install python3-venv' brings it." >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(venv) || { rm -rf $(venv); exit 1; }

$(venv)/installed: $(venv)/pyvenv.cfg pyproject.toml
	@echo "Installing into $(venv): the first time this takes some minutes."
	@$(pip_install) -e .
	@touch $@

# An environment for developing can run the window too.
$(venv)/installed-dev: $(venv)/pyvenv.cfg pyproject.toml
	@echo "Installing into $(venv): the first time this takes some minutes."
	@$(pip_install) -e '.[dev]'
	@touch $(venv)/installed $@
