# make run          everything from a fresh clone: environment, then all notebooks in the fast profile
# make test         everything that is checked: ruff, pytest, every notebook executed
# make check        the fast part of it, in a minute or two
# make help         the other targets

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PYTHONS := $(or $(PYTHON),python3.12 python3.13 python3.11 python3)
ARGS ?=
NAMES ?=
# a thread a worker: two workers with two threads each would only wait for each other
PARALLEL := OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal --durations 10

.DEFAULT_GOAL := help
.PHONY: help venv run test check lab app bench notebooks clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1	\2/'
	@echo '  PYTHON=python3.11 chooses the interpreter that makes $(VENV)'

venv: $(STAMP) ## create .venv and install, nothing else

run: $(STAMP) ## execute notebooks, pages and index.html go to runs/; ARGS="01 -p ber 0.02 --profile full"
	$(VENV)/bin/semanticnn run $(ARGS)

test: $(STAMP) ## everything: ruff, pytest on two workers, every notebook, then the pages in a browser; ARGS="-k codec"
	$(PY) -m ruff check .
	$(PARALLEL) -m "not browser" $(ARGS)
	$(PY) -m pytest -m browser --durations 3 tests/browser $(ARGS); code=$$?; [ $$code -eq 5 ] || exit $$code

check: $(STAMP) ## for the working day: ruff and the fast tests, no notebook and no browser; ARGS="-k codec"
	$(PY) -m ruff check .
	$(PARALLEL) -m "not browser and not notebook and not slow" $(ARGS)

lab: $(STAMP) ## open JupyterLab on the notebooks
	$(VENV)/bin/jupyter lab --LabApp.default_url=/lab/tree/notebooks $(ARGS)

app: $(STAMP) ## serve the playground as a web page, address below; ARGS="--port 8900 --Voila.ip=0.0.0.0"
	$(PY) -m semanticnn_core.panels.voila notebooks/00_playground.ipynb --no-browser $(ARGS)

bench: $(STAMP) ## run the benchmarks
	$(PY) tests/benchmarks/run.py $(ARGS)

notebooks: $(STAMP) ## execute notebooks/source/*.py into the .ipynb to commit; NAMES="01 03"
	$(PY) -m semanticnn_core.runner.committed $(NAMES)
	$(PY) -m semanticnn_core.runner.overview

clean: ## remove .venv and caches; data/ and runs/ stay
	rm -rf $(VENV) *.egg-info .pytest_cache .ruff_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt
	@$(PY) -m pip --version >/dev/null 2>&1 || $(MAKE) --no-print-directory new-venv
	@echo 'Installing into $(VENV): about 170 packages, a few minutes the first time. The large ones:'
	@bash -o pipefail -c '$(PY) -m pip install --disable-pip-version-check -c constraints.txt -e ".[app,test]" \
		| { grep --line-buffered -oE "^ *(Downloading|Using cached) .*[0-9]{2,}\.[0-9] [MG]B\)|^Installing collected packages" || true; }'
	@touch $@

# The first Python in range that runs and can make environments: pyenv leaves commands that exist and fail, and
# Debian packages venv apart.
.PHONY: new-venv
new-venv:
	@for python in $(PYTHONS); do \
		$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || continue; \
		inrange=$$python; \
		$$python -c 'import ensurepip, venv' 2>/dev/null || continue; \
		echo "Creating $(VENV) with $$python, $$($$python --version)"; \
		exec $$python -m venv $(VENV); \
	done; \
	if [ -n "$$inrange" ]; then \
		echo "$$inrange cannot create environments: install its venv module (Debian, Ubuntu: apt install python3-venv)." >&2; \
	else \
		echo "Python 3.11, 3.12 or 3.13 is needed; tried: $(PYTHONS). Name one with make PYTHON=/path/to/python." >&2; \
	fi; \
	exit 1
