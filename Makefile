# make train   set up, then train the tiny circuit      (more options: make train ARGS="--seed 1")
# make test    set up, then the tests                   (make test-all: the slow ones too)
# make bench   set up, then time and memory beside rivals, 15 minutes (make bench-quick: 3)
# make lint    set up, then ruff and mypy
# make scatter compile torch_scatter, which some layers of PyTorch Geometric like (minutes)
# make clean   remove what was built here, .venv too
#
# Set-up happens once, in the active virtual environment, or else in .venv. To choose otherwise:
#   make test PYTHON=python3.10 TORCH="torch==2.6.0"

PYTHONS = python3.12 python3.11 python3.10 python3
TORCH ?= torch==2.13.0
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
VENV := $(or $(VIRTUAL_ENV),.venv)
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
READY := $(VENV)/nacgraph-ready
LOG := build/set-up.log
IN_RANGE := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))

# $(call step,what,command): says what it does and how long it took; output goes to the log, whose
# end is shown if it fails.
define step
@printf '%s ... ' "$(1)"; start=$$(date +%s); echo "== $(1)" >> $(LOG); \
if { $(2); } >> $(LOG) 2>&1; then echo "$$(($$(date +%s) - start)) s"; \
else echo "FAILED; the end of $(LOG):"; tail -n 40 $(LOG); exit 1; fi
endef

# All cores and no debug symbols: half the time, or less. The options must come this way, since the
# build reads neither MAKEFLAGS nor CFLAGS. If what pip had cached was built for another torch,
# importing fails, and it is built again.
BUILD := DIST_EXTRA_CONFIG=$(CURDIR)/build/jobs.cfg CXXFLAGS="-g0" $(PIP) install \
    --no-build-isolation --no-deps
USABLE := $(PY) -c "import torch, torch_scatter; torch_scatter.scatter_sum"

.PHONY: setup scatter train test test-all bench bench-quick lint clean

setup: $(READY)

train: setup
	$(PY) -m nacgraph.train --task listops --prior ring_of_cliques --preset tiny $(ARGS)

# One thread a process, as many processes as there are cores; a file's tests stay together.
TESTS := OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile

test: setup
	$(TESTS) $(ARGS)

test-all: setup
	$(TESTS) -m "" $(ARGS)

bench: setup
	$(PY) benchmarks/bench.py $(ARGS)

bench-quick: setup
	$(PY) benchmarks/bench.py --quick $(ARGS)

# mypy cannot map nacgraph.priors to priors/, so it reads an installed copy.
lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@rm -rf build/lib build/bdist.* build/installed
	$(PIP) install -q --no-deps --no-build-isolation --target build/installed .
	cd build/installed && $(abspath $(PY)) -m mypy --config-file $(CURDIR)/pyproject.toml \
	    --cache-dir $(CURDIR)/.mypy_cache -p nacgraph

# Nothing of ours calls it; PyTorch Geometric's own layers use it for maxima on an accelerator.
scatter: setup
	@printf '[build_ext]\nparallel = $(JOBS)\n' > build/jobs.cfg
	@$(USABLE) 2>/dev/null || { $(BUILD) torch_scatter && $(USABLE); } || \
	    { $(BUILD) --force-reinstall --no-cache-dir torch_scatter && $(USABLE); }

clean:
	rm -rf .venv build nacgraph.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# torch comes first, at a version that is known to work.
$(READY): pyproject.toml Makefile
	@mkdir -p build; : > $(LOG); date +%s > build/start
	@if $(PY) -c '$(IN_RANGE)' 2>/dev/null; then echo "Setting up in $(VENV)"; \
	elif [ -n "$(VIRTUAL_ENV)" ]; then \
	    echo "The active environment $(VENV) has no usable Python 3.10 to 3.12."; exit 1; \
	else \
	    for python in $(or $(PYTHON),$(PYTHONS)); do \
	        if $$python -c '$(IN_RANGE)' 2>/dev/null; then \
	            echo "Setting up in $(VENV) with $$($$python -V) ($$python)"; \
	            exec $$python -m venv --clear $(VENV); \
	        fi; \
	    done; \
	    echo "No usable Python 3.10 to 3.12 with venv among: $(or $(PYTHON),$(PYTHONS))."; exit 1; \
	fi
	$(call step,pip and setuptools,$(PIP) install -U pip setuptools wheel)
	$(call step,$(TORCH),$(PY) -c "import torch" || $(PIP) install "$(TORCH)" "numpy<2")
	$(call step,nacgraph and what it needs,$(PIP) install --no-build-isolation -e ".[dev]")
	$(call step,pip check,$(PIP) check)
	@echo "Set up in $$(($$(date +%s) - $$(cat build/start))) s."; touch $@
