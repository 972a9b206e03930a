# make run   installs hashbench into .venv and runs the main job on embedded real data
# make test  runs the tests but for the slow ones; make slow runs the studies and the fuzzing that take minutes
# make check formats, lints and types; make bench compares speeds
# make docs  builds the site, docs/_build/html/index.html
# make lowest runs quick tests with the oldest dependencies that pyproject.toml allows
# make pins  pins what is new and what has a new version, see tests/test_pins.py
# make lock  names the newest packages, with their hashes, for CI, which installs them by make locked
PYTHON ?= python3
BIN = .venv/bin
unexport PYTHONDONTWRITEBYTECODE # without bytecode each process of a test would compile what it imports

.PHONY: run test slow check bench pins docs lowest locked lock clean

run: .venv/installed
	$(BIN)/hashbench run --suite quick --workers 2

test: .venv/installed-dev
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

slow: .venv/installed-dev
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m slow $(if $(BUDGET),--budget $(BUDGET))

check: .venv/installed-dev
	scripts/check

bench: .venv/installed-dev
	$(BIN)/pytest tests/benchmarks --benchmark-enable --benchmark-only

pins: .venv/installed-dev
	$(BIN)/python scripts/pin.py

docs: .venv/installed-docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python scripts/check_links.py docs/_build/html

lowest: .venv/installed-dev
	$(BIN)/python scripts/lowest.py .venv-lowest

# For an empty .venv of Python 3.11 on Linux x86-64.
locked: | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .ci/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch .venv/installed .venv/installed-dev .venv/installed-docs

lock: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra docs --upgrade --generate-hashes --no-annotate \
	  --python-version 3.11.7 --python-platform x86_64-manylinux_2_28 --quiet --custom-compile-command 'make lock' \
	  --output-file .ci/lock.txt

clean:
	rm -rf .venv .venv-lowest build dist docs/_build *.egg-info

$(BIN)/python:
	@$(PYTHON) -m venv .venv || { echo "python3 lacks its venv module: apt-get install python3-venv" >&2; rm -rf .venv; exit 1; }

.venv/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cluster]'
	@touch $@

.venv/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ .venv/installed

.venv/installed-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cluster,docs]'
	@touch $@ .venv/installed
