# make demo      draw loss surfaces of three small nets
# make test      all that decides: style and the test suite, minutes
# make check     style, types and the fast tests, within a minute
# make nightly   the tests that take long: kills, races, thousands of damaged files
# make docs      build the docs site into site/
# Each makes the environment .venv first, if there is none.

PYTHON ?= python3
VENV := .venv
IN_VENV := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" OMP_NUM_THREADS=1
PIP_INSTALL := $(VENV)/bin/python -m pip install --disable-pip-version-check
PYTEST := python -m pytest -n 2 --dist worksteal

.PHONY: demo test check nightly docs style clean

demo: $(VENV)/installed
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" bash demo/run.sh

test: style
	@$(IN_VENV) $(PYTEST)

check: style
	@$(IN_VENV) mypy
	@$(IN_VENV) $(PYTEST) -q -m "not slow and not nightly"

nightly: $(VENV)/installed-dev
	@$(IN_VENV) $(PYTEST) -m nightly

docs: $(VENV)/installed-docs
	@$(IN_VENV) NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict
	@echo "site/index.html"

style: $(VENV)/installed-dev
	@$(IN_VENV) ruff check .
	@$(IN_VENV) ruff format --check --quiet .

$(VENV)/installed: requirements.txt requirements/core.txt requirements/figures.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -r requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements/nets.txt $(VENV)/installed
	$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

$(VENV)/installed-docs: requirements/docs.txt $(VENV)/installed
	$(PIP_INSTALL) -r requirements/docs.txt
	@touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info
