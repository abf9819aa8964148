# `make demo` and `make test` need make, a POSIX shell and Python 3.11 to 3.14; the rest comes, with checked
# hashes, from the lock files.  docs/decisions/0002-lock-and-two-commands.md says why.

VENV ?= .venv
PYTHON ?=
ARGS ?=
UPGRADE ?=
UV_VERSION = 0.13.8

STAMP = $(VENV)/.made-for
BENCH_VENV = benchmarks/.venv
BENCH_STAMP = $(BENCH_VENV)/.made-for
RUN = $(VENV)/bin/python -m

# What a shell may hold that would send packages elsewhere, change what Python does, or point the demo and
# the tests at a real Redis.  A mirror, proxy or certificate set for pip is kept.
unexport PYTHONHOME PYTHONPATH PYTHONOPTIMIZE PYTHONSTARTUP PYTHONWARNINGS __PYVENV_LAUNCHER__
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_DRY_RUN PIP_REQUIREMENT PIP_CONSTRAINT PIP_NO_BINARY
unexport PIP_ONLY_BINARY PIP_NO_DEPS PIP_PYTHON PIP_PRE PIP_REQUIRE_VIRTUALENV PIP_LOG
unexport RIPCORD_CONFIG RIPCORD_REDIS_URL RIPCORD_METRICS_PORT

# A virtual environment holds absolute paths: one whose folder was moved, or whose Python is gone, is made anew.
ifneq ($(wildcard $(STAMP)),)
ifneq ($(shell cat '$(STAMP)' && '$(VENV)/bin/python' -c 'import editables' 2>/dev/null && echo usable),$(CURDIR) usable)
.PHONY: $(STAMP)
endif
endif

ifneq ($(wildcard $(BENCH_STAMP)),)
ifneq ($(shell cat '$(BENCH_STAMP)' && '$(BENCH_VENV)/bin/python' -c 'print("usable")' 2>/dev/null),$(CURDIR) usable)
.PHONY: $(BENCH_STAMP)
endif
endif

.PHONY: help demo test simulate soak bench lint format lock bench-lock clean

help:
	@echo 'make demo    cancel 1,000 simulated orders over all five venues (ARGS="--orders 5000")'
	@echo 'make test    check the format, the rules, the types and the layers, then run the tests (ARGS="-k upbit")'
	@echo 'make bench   measure ripcord against other ways, about 3 minutes (ARGS="--rows bulk,kill --rounds 1")'
	@echo 'make simulate  a million schedules of faults, hours (ARGS="--seeds 0..9999 --jobs 4", or "--seed 7 --verbose")'
	@echo 'make soak    trouble real processes for 10 minutes, and audit them (ARGS="--minutes 2 --seed 7", or "--orders 20000")'
	@echo 'make lint    the checks of make test, without the tests'
	@echo 'make format  put the code into its format'
	@echo 'make lock    write the lock files anew (UPGRADE=1: with the newest versions allowed)'
	@echo 'make clean   remove $(VENV) and every cache'
	@echo 'PYTHON=/path/to/python3.12 chooses the Python.'

demo: $(STAMP)
	@'$(VENV)/bin/ripcord' demo $(ARGS)

test: lint
	@$(RUN) pytest $(ARGS)

bench: $(STAMP) $(BENCH_STAMP)
	@$(RUN) benchmarks $(ARGS)

simulate: $(STAMP)
	@$(RUN) tests.simulation $(ARGS)

soak: $(STAMP)
	@$(RUN) tests.soak $(ARGS)

lint: $(STAMP)
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy
	@'$(VENV)/bin/lint-imports' --no-logo

format: $(STAMP)
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix-only .

# Prints the first Python of our versions that can make a virtual environment, or says on stderr what is missing.
FIND_PYTHON = found=; bare=; \
	if [ -n '$(PYTHON)' ]; then set -- '$(PYTHON)'; else set -- python3.13 python3.12 python3.11 python3.14 python3 python; fi; \
	for python in "$$@"; do \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1 || continue; \
		if "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then found=$$python; break; fi; \
		bare=$${bare:-$$python}; \
	done; \
	if [ -z "$$found" ] && [ -n "$$bare" ]; then \
		version=$$("$$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "make: $$bare cannot make a virtual environment; on Debian or Ubuntu: apt install python$$version-venv" >&2; \
		exit 1; \
	elif [ -z "$$found" ]; then \
		echo "make: Python 3.11 to 3.14 is needed; tried: $$*" >&2; \
		echo 'make: install one (Debian or Ubuntu: apt install python3 python3-venv), or say PYTHON=/path/to/python' >&2; \
		exit 1; \
	fi

PIP_INSTALL = -m pip --disable-pip-version-check --no-input --quiet install --no-warn-script-location

# --only-binary: no package's own code runs before its tests do, and no compiler is needed.
# --no-deps and --no-build-isolation: ours is built by the hatchling of the lock, and brings nothing else in.
$(STAMP): requirements-dev.lock pyproject.toml
	@$(FIND_PYTHON); \
	echo "making $(VENV) with $$("$$found" --version), once" >&2; \
	"$$found" -m venv --clear '$(VENV)'
	@'$(VENV)/bin/python' $(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements-dev.lock
	@'$(VENV)/bin/python' $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@echo '$(CURDIR)' > '$@'

# What ripcord is measured against has an environment of its own, made of its own lock: none of it is ever ours.
$(BENCH_STAMP): $(STAMP) benchmarks/requirements.lock
	@echo 'making $(BENCH_VENV), once' >&2
	@'$(VENV)/bin/python' -m venv --clear '$(BENCH_VENV)'
	@'$(BENCH_VENV)/bin/python' $(PIP_INSTALL) --require-hashes --only-binary :all: -r benchmarks/requirements.lock
	@echo '$(CURDIR)' > '$@'

# uv writes one lock for every platform and Python; it lives in a folder of its own for as long as this takes.
WITH_UV = $(FIND_PYTHON); \
	work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; trap 'exit 1' HUP INT TERM; set -e; \
	"$$found" -m venv "$$work"; \
	"$$work/bin/python" $(PIP_INSTALL) --only-binary :all: uv==$(UV_VERSION);
UV_COMPILE = "$$work/bin/uv" --no-config --quiet pip compile --universal --python-version 3.11 \
	--no-emit-index-url --generate-hashes --custom-compile-command 'make $@' \
	$(if $(UPGRADE),--upgrade)

lock:
	@$(WITH_UV) \
	$(UV_COMPILE) pyproject.toml --output-file requirements.lock; \
	$(UV_COMPILE) pyproject.toml --group dev --constraint requirements.lock --output-file requirements-dev.lock
	@echo 'make lock: wrote requirements.lock and requirements-dev.lock' >&2

bench-lock:
	@$(WITH_UV) \
	$(UV_COMPILE) benchmarks/requirements.in --output-file benchmarks/requirements.lock
	@echo 'make bench-lock: wrote benchmarks/requirements.lock' >&2

clean:
	@rm -rf '$(VENV)' '$(BENCH_VENV)' .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find benchmarks connectors simulator tasks tests worker -type d -name __pycache__ -prune -exec rm -rf {} +
