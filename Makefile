.POSIX:

PYTHON ?= python3

venv = .venv
python = $(venv)/bin/python
# Compiling all modules takes longer than the rest; Python compiles those that it imports.
pip_install = $(python) -m pip install --quiet --disable-pip-version-check --no-compile

# Three workers keep two cores busy: tests wait for processes, windows and threads much of the time.
# Files in their own order: by number of tests, those that wait would all come last. And bytecode is
# kept: processes that tests start compile nothing again, nor does the next "make test".
run_tests = -m pytest -n 3 --dist loadfile --no-loadscope-reorder
test_environment = QT_QPA_PLATFORM=offscreen PYTHONFAULTHANDLER=1 PYTHONDONTWRITEBYTECODE=

.PHONY: help run test coverage check docs docs-build mutants screenshots dist package package-test install clean

help:
	@echo "make run      open the window and train the bundled example"
	@echo "make test     run all tests"
	@echo "make coverage run all tests, and fail if they leave too many branches untried"
	@echo "make check    check style, types and import rules"
	@echo "make docs     build the documentation and serve it on this computer"
	@echo "make mutants  change lbc/sparsity bit by bit and count what its tests notice"
	@echo "make screenshots  train small runs and take the pictures in docs/pictures of the window"
	@echo "make dist     build the wheel and the sdist into dist"
	@echo "make package  build dist/lbc-explorer, which needs no Python, and a .deb of it"
	@echo "make package-test  install the wheel, and try it and dist/lbc-explorer if it is built"
	@echo "make install  install into $(venv), with $(venv)/bin/lbc and $(venv)/bin/lbc-gui"
	@echo "make clean    delete $(venv) and caches, but no runs"
	@echo "To use another Python (3.11 or newer): make PYTHON=python3.12 run"

run: $(venv)/installed
	@$(venv)/bin/lbc-gui --start

test: $(venv)/installed-dev
	@$(test_environment) $(python) $(run_tests)

coverage: $(venv)/installed-dev
	@rm -rf build/coverage && mkdir -p build/coverage
	@export COVERAGE_FILE="$(CURDIR)/build/coverage/data" && \
	  $(test_environment) $(python) -m coverage run $(run_tests) --timeout 600 && \
	  $(python) -m coverage combine --quiet && \
	  $(python) -m coverage report --include='lbc/*' --fail-under=95 && \
	  $(python) -m coverage report --include='lbc_gui/*' --fail-under=85

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
	@OMP_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen $(python) -m tests.mutation.run

screenshots: $(venv)/installed
	@$(python) -m tools.screenshots

dist: $(venv)/installed-dev
	@rm -f dist/*.whl dist/*.tar.gz
	@$(python) -m hatchling build

package: $(venv)/installed-package
	@$(python) -m PyInstaller --noconfirm --log-level WARN --workpath build packages/lbc-explorer.spec
	@$(python) -m packages.build_deb

# The dependencies are those of $(venv); the program is that of the wheel.
package-test: dist
	@rm -rf build/wheel-venv
	@$(python) -m venv --without-pip build/wheel-venv
	@$(python) -c 'import sysconfig as s; base = "build/wheel-venv"; \
	  to = s.get_path("purelib", vars={"base": base, "platbase": base}); \
	  open(to + "/dependencies.pth", "w").write(s.get_path("purelib") + "\n")'
	@$(python) -m pip --python build/wheel-venv/bin/python install --quiet --no-deps dist/*.whl
	@$(python) packages/check.py build/wheel-venv/bin
	@! test -d dist/lbc-explorer || $(python) packages/check.py dist/lbc-explorer

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

$(venv)/installed-package: $(venv)/installed
	@$(pip_install) -e '.[package]'
	@touch $@
