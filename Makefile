# make demo   draws loss surfaces of three small nets
# make test   checks the code's style and runs the tests
# Both make the environment .venv first, if it is not there.

PYTHON ?= python3
VENV := .venv
IN_VENV := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.PHONY: demo test clean

demo: $(VENV)/installed
	@$(IN_VENV) bash demo/run.sh

test: $(VENV)/installed-dev
	@$(IN_VENV) ruff check .
	@$(IN_VENV) OMP_NUM_THREADS=1 python -m pytest -n 2 --dist worksteal

$(VENV)/installed: requirements.txt requirements/core.txt requirements/figures.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(VENV)/bin/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV)
