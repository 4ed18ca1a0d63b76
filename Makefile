# One-line recipes; CI runs the same ones. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL := build/resnet50/model.tar.gz
IMAGES := payloads/images.tar.gz
SLOW := server or docker or browser or tensorflow

.PHONY: help install demo test test-docker test-beside test-fast lint images images-if-possible images-offline bench clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed ## the virtual environment with everything in it

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[tensorflow,dev]'
	@touch $@

$(MODEL): $(VENV)/.installed containers/resnet50/export.py $(wildcard containers/resnet50/code/*)
	$(BIN)/python containers/resnet50/export.py --out build/resnet50 --weights random

$(IMAGES): $(VENV)/.installed payloads/make_images.py
	$(BIN)/python payloads/make_images.py --out $(IMAGES)

demo: $(MODEL) $(IMAGES) ## measure ResNet50 on this machine and recommend (10 minutes)
	$(BIN)/rightsizer run containers/demo.yaml

# BESIDE_FAST: what else is made while the fast tests run, with --jobs.
# Tests that measure run one at a time: each wants the CPUs to itself. The others share them; of
# these, Docker's take turns, for they look at whatever is in its engine.
test: test-fast $(MODEL) $(IMAGES) $(BESIDE_FAST) ## everything: lint, types, all tests (Docker's where an engine answers, a browser's where there is one), the real ResNet50
	$(BIN)/python -m pytest -m '($(SLOW)) and not shared_cpus'
	@echo 'Two runs of tests side by side; each is told when it has ended (10 minutes):'
	$(MAKE) --jobs 2 --output-sync test-docker test-beside

test-docker:
	$(BIN)/python -m pytest -m 'shared_cpus and docker'

test-beside:
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'shared_cpus and ($(SLOW)) and not docker'

test-fast: lint ## without TensorFlow, Docker, browser and servers; under a minute
	$(BIN)/python -m pytest -n auto -m 'not ($(SLOW))'

lint: $(VENV)/.installed ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

images: ## container images, from public base images (Docker, a registry)
	containers/build.sh

# Where it cannot be built the test of it tries again, and says why.
images-if-possible:
	-$(MAKE) images-offline

images-offline: $(VENV)/.installed ## savedmodel-server's image without a registry; BASE=IMAGE, or debootstrap
	PYTHON=$(BIN)/python containers/build.sh offline

bench: $(MODEL) $(IMAGES) ## measure the instrument itself, into benchmarks/results.json
	$(BIN)/python benchmarks/run_all.py

clean: ## what was built; stored jobs stay
	rm -rf $(VENV) build $(IMAGES) payloads/images.manifest.yaml .mypy_cache .pytest_cache .ruff_cache
