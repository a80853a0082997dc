# Everything runs from a clone with Python 3.11 and nothing else: each target installs what it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-bench setup-store retrain up test test-browser screenshots test-topology test-topology-faults test-chart check format golden drills bench charts secrets setup-cluster lock lock-cluster audit sbom clean

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3))
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

# make retrain: which bars, from which folder, who teaches and who is taught (comma separated)
SOURCE ?= sample
DATA ?=
SOURCES ?=
KILLS ?= 210
TARGETS ?=
RESULT ?=
CONFIG ?=
PORT ?= 8080
PYTEST_ARGS ?=
WORKERS ?= 2

help: ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 14

setup: $(VENV)/.installed ## .venv from the lock, with the transfergate command in it

$(VENV)/.installed: requirements.txt pyproject.toml
	@echo "installing into $(VENV) (minutes, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)) and f"Python 3.11 or 3.12 needed, $(PYTHON) is {sys.version.split()[0]}; next: make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps -e .
	@touch $@

setup-dev: $(VENV)/.installed-dev

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@$(PIP) -r requirements-dev.txt
	@touch $@

setup-bench: $(VENV)/.installed-bench

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	@$(PIP) -c requirements-dev.txt -e '.[bench]'
	@touch $@

retrain: setup ## Bars to verdicts through a real Airflow (SOURCE= DATA= SOURCES= TARGETS= RESULT=)
	@exec $(BIN)/python -m transfergate.orchestration.retrain --source '$(SOURCE)' \
	  $(if $(DATA),--data '$(DATA)') $(if $(SOURCES),--sources '$(SOURCES)') \
	  $(if $(TARGETS),--targets '$(TARGETS)') $(if $(RESULT),--result '$(RESULT)')

up: setup ## Airflow's UI and scheduler on localhost, until Ctrl-C (PORT=)
	@exec $(BIN)/python -m transfergate.orchestration.serve --port '$(PORT)'

# The local S3 server needs an older python-dateutil than the lock has: an environment of its own.
setup-store: .venv-s3/.installed

.venv-s3/.installed: requirements-s3.txt
	@$(PYTHON) -m venv .venv-s3
	@.venv-s3/bin/python -m pip --disable-pip-version-check install --quiet -r requirements-s3.txt
	@touch $@

# Files stay whole, and all that starts an Airflow stays in one process and begins first: tests/conftest.py.
test: setup-dev setup-store ## Every test that this machine can run, WORKERS at a time (PYTEST_ARGS=)
	@exec $(BIN)/python -m pytest -rs -n '$(WORKERS)' --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

test-browser: setup-dev ## A person in Chromium before a real Airflow (needs Debian's chromium; PYTEST_ARGS=)
	@exec $(BIN)/python -m pytest tests/browser -m browser -rs $(PYTEST_ARGS)

# The cluster's packages lie over those of .venv, which stay as make retrain tests them; MLflow's server
# wants other versions altogether. Both only where the topology is tested.
setup-cluster: .venv-cluster/.installed .venv-mlflow/.installed

PACKAGES = awk -F== '!/^\#/ && NF == 2 {name = tolower($$1); gsub(/[_.]/, "-", name); print name "==" $$2}'

.venv-cluster/.installed: requirements-cluster.txt $(VENV)/.installed-dev
	@rm -rf .venv-cluster && $(PYTHON) -m venv .venv-cluster
	@comm -13 <($(PACKAGES) requirements.txt | sort) <($(PACKAGES) requirements-cluster.txt | sort) > .venv-cluster/packages.txt
	@.venv-cluster/bin/python -m pip --disable-pip-version-check install --quiet --no-deps -r .venv-cluster/packages.txt
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  > "$$(.venv-cluster/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_below.pth"
	@touch $@

.venv-mlflow/.installed: requirements-mlflow.txt
	@rm -rf .venv-mlflow && $(PYTHON) -m venv .venv-mlflow
	@.venv-mlflow/bin/python -m pip --disable-pip-version-check install --quiet -r requirements-mlflow.txt
	@touch $@

test-topology: setup-dev setup-store setup-cluster ## docker-compose.yaml's services on loopback, and the chain (needs Debian's postgresql, redis-server)
	@exec $(BIN)/python -m pytest tests/topology -m 'topology and not fault' -rs $(PYTEST_ARGS)

test-topology-faults: setup-dev setup-store setup-cluster ## The same, and its services are killed while it runs
	@exec $(BIN)/python -m pytest tests/topology -m fault -rs $(PYTEST_ARGS)

.venv-chart/.installed: requirements-chart.txt
	@$(PYTHON) -m venv .venv-chart
	@.venv-chart/bin/python -m pip --disable-pip-version-check install --quiet -r requirements-chart.txt
	@touch $@

test-chart: setup-dev .venv-chart/.installed ## Airflow's Helm chart (CHART= its folder or .tgz) rendered with deploy/helm-values.yaml
	@$(if $(CHART),,$(error CHART= is missing: the folder or .tgz of Airflow's chart))CHART='$(abspath $(CHART))' exec $(BIN)/python -m pytest tests/topology/test_helm_chart.py -m chart -rs $(PYTEST_ARGS)

secrets: setup ## .env for docker-compose.yaml: fresh passwords and keys; never overwrites
	@exec $(BIN)/transfergate secrets

screenshots: setup-dev ## docs/images anew (needs Debian's chromium; DATA= a folder of bars instead of the sample, CONFIG=)
	@exec $(BIN)/python -m tests.browser.screenshots $(if $(DATA),--data '$(DATA)') $(if $(CONFIG),--config '$(CONFIG)')

check: setup-dev ## Format, lint, types, import rules, SQL lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=include $(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar sql

format: setup-dev ## Rewrite files in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: setup-dev ## Rewrite tests/golden from what the code does now; read the diff before committing
	@exec $(BIN)/python -m pytest -m golden --rewrite-golden

drills: setup-dev setup-store ## Kills, full disks, clocks, rivals, stores and sources away: what is found after (KILLS=)
	@$(BIN)/python -m drills.faults
	@exec $(BIN)/python -m drills.data_plane --kills '$(KILLS)'

bench: setup-bench ## Comparisons with named peers, into docs/benchmarks.md
	@exec $(BIN)/python -m benchmarks

charts: ## Bundle the pages' chart library anew (needs node and npm)
	@exec tools/charts/bundle.sh include/transfergate/orchestration/ui/static/vendor

# A clean environment each time, so that the lock holds what pip resolves and nothing else.
lock: ## Resolve the dependencies of pyproject.toml anew into requirements*.txt
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet . && build/lock/bin/python -m pip uninstall --quiet -y transfergate
	@( echo "# Every package that make retrain needs, as it was tested on Python 3.11: written by make lock."; \
	  echo "# torch has neither hash nor +cpu: each machine takes the build that fits it."; \
	  build/lock/bin/python -m pip freeze | sed -E 's/^(torch==[0-9.]+)\+.*/\1/; /^(nvidia|cuda|triton)-?/d' ) > requirements.txt
	build/lock/bin/python -m pip install --quiet -c requirements.txt '.[test,lint]' && build/lock/bin/python -m pip uninstall --quiet -y transfergate
	@( echo "# What make test and make check need besides: written by make lock."; echo "-r requirements.txt"; \
	  build/lock/bin/python -m pip freeze | sed -E 's/^(torch==[0-9.]+)\+.*/\1/; /^(nvidia|cuda|triton)-?/d' | grep -vxFf requirements.txt ) > requirements-dev.txt

# Versions of the main lock wherever both have a package, python-dateutil aside: FAB wants an older one.
lock-cluster: setup-dev ## Resolve requirements-cluster.txt and requirements-mlflow.txt anew
	rm -rf build/lock-cluster && $(PYTHON) -m venv build/lock-cluster
	build/lock-cluster/bin/python -m pip install --quiet uv
	$(PACKAGES) requirements.txt | grep -v '^python-dateutil==' > build/lock-cluster/constraints.txt
	@( echo "# What the production image installs: the lock of make retrain, and Celery, PostgreSQL and FAB on top."; \
	  echo "# Written by make lock-cluster; torch has neither hash nor +cpu, as in requirements.txt."; \
	  build/lock-cluster/bin/uv pip compile -q --python-version 3.11 --no-header --no-annotate \
	    -c build/lock-cluster/constraints.txt --extra production pyproject.toml \
	    | sed -E 's/^(torch==[0-9.]+)\+.*/\1/; /^(nvidia|cuda|triton)-?/d' ) > requirements-cluster.txt
	@( echo "# The MLflow server, in an environment of its own: it wants an older pyarrow than the lock has."; \
	  echo "# Written by make lock-cluster."; \
	  printf '%s\n' "mlflow==$$(sed -n 's/^mlflow-skinny==//p' requirements.txt)" psycopg2-binary \
	    | build/lock-cluster/bin/uv pip compile -q --python-version 3.11 --no-header --no-annotate - ) > requirements-mlflow.txt

.venv-audit/.installed: requirements-audit.txt
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip --disable-pip-version-check install --quiet -r requirements-audit.txt
	@touch $@

audit: .venv-audit/.installed ## Known vulnerabilities of the lock (asks pypi.org; AUDIT_ARGS='-s osv' asks osv.dev)
	@.venv-audit/bin/pip-audit --strict --requirement requirements.txt --no-deps --disable-pip $(AUDIT_ARGS) \
	  || { echo "audit: vulnerabilities above, or the database could not be reached (it needs https://pypi.org or, with AUDIT_ARGS='-s osv', https://api.osv.dev)"; exit 1; }

sbom: .venv-audit/.installed ## build/sbom.json: what the lock holds, as CycloneDX 1.6, checked by its schema
	@mkdir -p build
	@.venv-audit/bin/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml \
	  --spec-version 1.6 --output-format JSON --output-reproducible --validate --output-file build/sbom.json
	@echo "build/sbom.json: $$(grep -c '"purl"' build/sbom.json) components"

clean: ## Remove all that runs have made (not .venv)
	rm -rf var build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
