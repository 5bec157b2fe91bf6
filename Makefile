# Everything that a developer does often. `make` alone lists the targets.
#
# Needs Python 3.11 or newer, nothing else: the first target that needs it makes .venv and installs
# simcelery there. Another one can be named: make demo PYTHON=/opt/python/bin/python3.12

PYTHON ?= python3
ARGS ?=

# An activated venv, or a PYTHONPATH for something else, must not leak into ours.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := .venv/bin
# Its bars where somebody looks, else only what is wrong.
PIP := $(BIN)/python -m pip install $(shell test -t 2 || echo --quiet)

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak mutants fuzz sbom docs pictures vendor clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s  %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: .venv/.demo ## Compute the equations of state of seven metals on two real workers (ARGS='--keep')
	$(BIN)/simcelery demo $(ARGS)

test: .venv/.test ## Run all tests, against real servers that they start (ARGS='tests/races -x')
	$(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/.test ## Lint, format, types, layers and known holes; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive simcelery
	@# One that became known today is no fault of the change: it is told, and stops nothing.
	-$(BIN)/python -m tests.audit

bench: .venv/.bench ## Measure everything beside plain Celery, in 20 minutes (ARGS='--quick')
	$(BIN)/python benchmarks/_all.py $(ARGS)

soak: .venv/.test ## Break things at random for half an hour, then audit every job (ARGS='--minutes 2 --seed 7')
	$(BIN)/python -m tests.soak.soak $(ARGS)

mutants: .venv/.mutants ## Break lines on purpose and name those that no test notices, 20 minutes at a time (ARGS=sql)
	$(BIN)/python -m tests.mutants $(ARGS)

fuzz: .venv/.test ## Feed what comes from outside with anything, 5 minutes for each test (ARGS='--minutes 1')
	$(BIN)/python -m tests.fuzz $(ARGS)

sbom: .venv/.sbom ## List what an installation consists of, as CycloneDX, in sbom.json
	rm -rf build/sbom
	$(BIN)/python -m venv build/sbom
	build/sbom/bin/python -m pip install --quiet .
	build/sbom/bin/python -m pip uninstall --quiet --yes pip setuptools
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file sbom.json build/sbom/bin/python

docs: .venv/.docs ## Build the documentation as a site in site/; a broken link is an error
	$(BIN)/python -m pages
	$(BIN)/zensical build --strict --clean

pictures: .venv/.test ## Record the pictures of terminals and of the web monitor in docs/pictures anew, from real ones
	$(BIN)/python -m pages pictures
	MONITOR_PICTURES=$(CURDIR)/docs/pictures $(BIN)/python -m pytest -q tests/acceptance/test_monitor_in_browser.py -k everybody

UPLOT := $(CURDIR)/simcelery/monitor/assets/uplot
vendor: ## Fetch from npm what draws the charts of the web monitor, if its checksums are as they were
	@rm -rf build/vendor && mkdir -p build/vendor
	cd build/vendor && npm pack --silent uplot@1.6.32 && tar -xzf uplot-*.tgz && mv package/dist/* package
	cd build/vendor/package && sha256sum --check $(UPLOT)/SHA256SUMS && cp LICENSE uPlot.iife.min.js uPlot.min.css $(UPLOT)

clean: ## Remove .venv, caches and builds; servers and their data in the home folder stay
	rm -rf .venv build dist mutants site .cache *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -f simcelery-demo.png sbom.json
	find simcelery tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed once, and again when pyproject.toml changes.
.venv/.demo: pyproject.toml | .venv/bin/python
	@echo "installing simcelery[demo] into .venv: some 300 MB, once; a minute or two"
	@$(PIP) --editable '.[demo]'
	@touch $@

.venv/.test: pyproject.toml | .venv/bin/python
	@echo "installing simcelery[test] into .venv: once, some minutes"
	@$(PIP) --editable '.[test]'
	@touch .venv/.demo .venv/.docs $@

.venv/.docs: pyproject.toml | .venv/bin/python
	@echo "installing simcelery[docs] into .venv: once, a minute or two"
	@$(PIP) --editable '.[docs]'
	@touch $@

.venv/.sbom: pyproject.toml | .venv/bin/python
	@echo "installing simcelery[sbom] into .venv: once, a minute or two"
	@$(PIP) --editable '.[sbom]'
	@touch $@

.venv/.mutants: pyproject.toml | .venv/bin/python
	@echo "installing simcelery[mutants] into .venv: once, some minutes"
	@$(PIP) --editable '.[mutants]'
	@touch .venv/.demo .venv/.docs .venv/.test $@

.venv/.bench: pyproject.toml | .venv/bin/python
	@echo "installing simcelery[bench] into .venv: once, some minutes"
	@$(PIP) --editable '.[bench]'
	@touch $@

# The first Python that is new enough; a shim that only says "not installed" is passed over.
.venv/bin/python:
	@rm -rf .venv; \
	for python in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11; do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		found="$$python"; \
		echo "making .venv with $$("$$python" --version) ($$python)"; \
		"$$python" -m venv .venv 2>/dev/null && exit 0; \
		"$$python" -m virtualenv --quiet .venv 2>/dev/null && exit 0; \
		rm -rf .venv; \
	done; \
	if [ -n "$$found" ]; then \
		echo "$$found has neither venv nor virtualenv: install one of them (Debian: python3-venv), or name another with PYTHON=..." >&2; \
	else \
		echo "simcelery needs Python 3.11 or newer, and $(PYTHON) is not: name one, as in make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
	fi; \
	exit 1
