# Sets up and runs everything: `make demo` shows the product, `make test` checks it. Needs Python 3.11+ and make only.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

PYTHON ?=# a Python to use instead of the first one found that is new enough
DEMO_ARGS ?= --once
PYTEST_ARGS ?=
REV ?= a0d576d# the revision that bench-against compares this one with
FLEET_ARGS ?=# of bench-fleet: --companies N, --workers N, --threads N, --per-hour N
KILLS ?= 200# how many workers faults-workers kills
FAULTS_ARGS ?=# --write updates the table in docs/reliability.md, --seed N tries other cases
MUTANTS_ARGS ?=# --sample N draws more of them, --minutes N stops in between, --only policies tries a part
WORKERS ?= auto

# What a Python must offer: be new enough, and be able to create a virtual environment with pip in it.
USABLE := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
# Each command and worker would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

CODE := connector providers policies migrations sandbox benchmarks tests

.DEFAULT_GOAL := help
.PHONY: help demo dist test lint types unit faults faults-long faults-workers mutants contract races ninety bench bench-against bench-fleet screenshots gallery audit sbom lock outdated format clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name does; do \
		printf '%-14s %s\n' "$$name" "$$does"; done

demo: $(READY) ## Run the whole product on this machine: simulated services, two companies, eleven days of syncs
	@$(BIN)/duewell demo $(DEMO_ARGS)

dist: $(READY) constraints.txt ## Build what users install, in dist/: the sdist, the wheel made from it, and the versions to install with it
	rm -rf build dist
	$(BIN)/python -c "from setuptools import build_meta; build_meta.build_sdist('dist')" >/dev/null
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist dist/duewell-*.tar.gz
	cp constraints.txt dist/
	rm -rf build duewell.egg-info
	@ls dist

constraints.txt: requirements.lock
	sed -E '/^ +--hash/d; s/ *\\$$//; s/\[[^]]*\]//' $< > $@

# Checking the types keeps one core busy, and what ends the tests may do so too: both at once waste neither.
test: $(READY) ## Run every check: lint, types, import contracts, all tests
	@$(MAKE) --no-print-directory -j 2 lint types unit

lint: $(READY) ## ruff with all rules, formatting, and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(READY) ## mypy, strict
	$(BIN)/mypy $(wildcard $(CODE))

unit: $(READY) ## All tests, on all cores
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

faults: $(READY) ## The fault campaign for a change: syncs killed and disturbed everywhere, planted bugs to be found (ten minutes)
	$(BIN)/python -m tests.faults.campaign --size commit $(FAULTS_ARGS)

faults-long: $(READY) ## Every kill, every disturbance and every network fault over real HTTP: a night
	$(BIN)/python -m tests.faults.campaign --size long $(FAULTS_ARGS)
	FAULTS_EVERY=1 $(BIN)/python -m pytest -n $(WORKERS) tests/faults tests/connector/delivery/test_recover.py $(PYTEST_ARGS)

faults-workers: $(READY) ## Real workers on PostgreSQL killed while they sync, again and again (KILLS=2000: some hours)
	$(BIN)/python -m tests.faults.workers --kills $(KILLS) --minutes 600

mutants: $(READY) build/mutants/tools ## Mutation testing: change policies and core in small ways, list what no test notices; goes on where it was (hours)
	PYTHONPATH=build/mutants/tools $(BIN)/python -m tests.mutants $(MUTANTS_ARGS)

build/mutants/tools: tests/mutants/requirements.txt
	$(PIP) install --quiet --no-deps --upgrade --target $@ -r $<
	@touch $@

contract: $(READY) ## schemathesis against the served API, where it is installed (SCHEMATHESIS=/path/to/it, EXAMPLES=200)
	SCHEMATHESIS=$${SCHEMATHESIS:-schemathesis} $(BIN)/python -m pytest tests/connector/api/test_contract.py $(PYTEST_ARGS)

races: $(READY) ## Every two decisions at once, interleaved at every statement, on both databases: hours
	$(BIN)/python -m tests.races.harness $(RACES_ARGS)

ninety: $(READY) ## Ninety simulated days synced daily, hourly and every five minutes, on both ledgers: over an hour
	HOURLY_DAYS=90 FIVE_MINUTES_DAYS=90 LIMIT_DAYS=90 $(BIN)/python -m pytest -n $(WORKERS) \
		tests/connector/test_run_cadence.py tests/benchmarks/test_calls.py

bench-against: $(READY) ## This revision beside another one: make bench-against REV=a0d576d
	$(BIN)/python -m benchmarks.against $(REV)

bench-fleet: $(READY) ## Many companies, one PostgreSQL, several workers: make bench-fleet FLEET_ARGS="--companies 1000"
	$(BIN)/python -m benchmarks.fleet $(FLEET_ARGS)

bench: $(READY) ## The benchmarks; their figures are ratios to a floor measured in the same run
	$(BIN)/python -m benchmarks.first_load
	$(BIN)/python -m benchmarks.pages
	$(BIN)/python -m benchmarks.webhooks
	$(BIN)/python -m benchmarks.decisions
	$(BIN)/python -m benchmarks.calls
	$(BIN)/python -m benchmarks.forecast $(FORECAST_FILE)

screenshots: $(READY) ## Retake the screenshots of the README and the docs from the demo (needs Chromium)
	$(BIN)/python docs/pictures/take.py

gallery: $(READY) ## Retake the pictures of every email in every language (needs Chromium)
	PYTHONPATH=. $(BIN)/python docs/pictures/gallery.py

# --strict: without it pip-audit reports no vulnerabilities, and succeeds, where the service knows none of the packages.
audit: ## Look up known vulnerabilities of the pinned packages (needs pip-audit and the internet)
	@command -v pip-audit >/dev/null || { \
		echo "pip-audit is not installed, so nothing was looked up. Install it, for example with: pipx install pip-audit" >&2; exit 1; }
	@pip-audit --strict --require-hashes --disable-pip -r requirements.lock || { \
		echo "Either a package has a known vulnerability, or the advisories could not be looked up: the lines above say which." >&2; \
		exit 1; }

sbom: $(READY) ## List everything that is installed with duewell, as CycloneDX JSON, in build/sbom.json
	@mkdir -p build
	$(BIN)/cyclonedx-py environment $(VENV) --pyproject pyproject.toml --output-reproducible --short-PURLs -o build/sbom.json

format: $(READY) ## Format the code and apply ruff's automatic fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## Update requirements.lock from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet --upgrade -o requirements.lock
	$(MAKE) constraints.txt

# Without a package index, pip lists nothing and succeeds.
outdated: $(READY) ## List the pinned packages that have newer versions, without changing anything
	@$(PIP) index versions pip >/dev/null 2>&1 || { \
		echo "No package index can be reached, so nothing was looked up: what is outdated is not known." >&2; exit 1; }
	@$(PIP) list --outdated
	@echo "docs/dependencies.md says which of them other packages hold back. To take what can be taken: make lock, make test."

clean: ## Remove the virtual environment, caches and test output
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache test-output

# The build backend is installed first and builds run without isolation, so that it is pinned by hash as well.
$(READY): requirements.lock pyproject.toml
	@set -e; \
	if ! $(BIN)/python -c '$(USABLE)' >/dev/null 2>&1; then \
		found=; \
		for each in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
			if "$$each" -c '$(USABLE)' >/dev/null 2>&1; then found=$$each; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "duewell needs Python 3.11 or newer with venv and ensurepip (on Debian: apt install python3-venv)." >&2; \
			echo "None was found. If yours has another name: make PYTHON=/path/to/python3 ..." >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$("$$found" --version) ..."; \
		rm -rf $(VENV); "$$found" -m venv $(VENV); \
	fi; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; \
	echo "Installing the pinned dependencies ..."; \
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > $(VENV)/backend.lock; \
	$(PIP) install --quiet --require-hashes -r $(VENV)/backend.lock; \
	$(PIP) install --quiet --require-hashes --no-build-isolation --use-pep517 -r requirements.lock; \
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
