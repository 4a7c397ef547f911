# make demo: set up, train on drawn cells, score, show a report.   make test: set up, run every check.
# make slow: the tests that `make test` leaves out.   make coverage: lines and branches that all tests run.
PYTHON ?= python3
BIN := .venv/bin
# more torch threads than cores only make the parallel test processes wait for each other
TEST_ENV := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
# neighbours stay in one process, which builds their fixtures once; who has nothing left takes from the others
PYTEST := $(TEST_ENV) $(BIN)/pytest --numprocesses auto --dist worksteal

ifndef TOGETHER  # one after the other, even under make -j: everything stands on setup
.NOTPARALLEL:
endif

.PHONY: demo test setup lint types layers tests slow coverage package clean

demo: setup
	$(BIN)/pixelwise demo

# what takes minutes runs side by side: types and package use one core, and tests that wait for others leave some free
test: setup lint layers
	@$(MAKE) --no-print-directory --jobs 3 TOGETHER=yes types tests package
	@echo "all checks passed"

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"expected Python 3.11 to 3.13; got {v[0]}.{v[1]}. Run: make PYTHON=python3.12 setup")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch .venv/ready

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/pyright

layers:
	$(BIN)/lint-imports

tests:
	$(PYTEST) -m 'not slow'

# these check the types of all arguments, not of arrays alone
slow: setup
	$(PYTEST) -m slow --jaxtyping-packages=pixelwise,beartype.beartype

# of all tests, in this process and the threads of it; htmlcov/ shows the lines
coverage: setup
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=json --cov-report=html

package:
	rm -rf dist build/bare
	$(BIN)/python -m build --wheel --no-isolation --outdir dist
	$(PYTHON) -m venv build/bare
	build/bare/bin/python -m pip install --quiet --no-compile --constraint constraints.txt dist/*.whl
	build/bare/bin/pixelwise --help

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .coverage* coverage.json htmlcov
