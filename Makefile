# `make demo` and `make test` set up .venv on the first call.
PYTHON ?= python3
DOCKER ?= docker
# name of the image, such as registry.example.com/team/kdflow
IMAGE ?= kdflow
COMMIT = $(shell git describe --always --exclude '*' --abbrev=40 --dirty)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS = true

.PHONY: demo test lint lock image paper

demo: .venv/ready  ## run every step on the embedded dataset and print the results
	dvc repro
	kdflow results

# tiny networks do not benefit from threads, and some tests wait for servers: several processes with one thread each are faster
test: .venv/ready lint  ## linters, type checker and tests
	OMP_NUM_THREADS=1 python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: .venv/ready
	ruff check .
	ruff format --check .
	mypy

.venv/ready: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "kdflow needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# BASE_IMAGE replaces the base image; SSL_CERT_FILE and PIP_CONFIG_FILE are available during the build and not stored in the image
image:  ## the image of all steps, tagged with the commit; prints its digest
	DOCKER_BUILDKIT=1 $(DOCKER) build --tag $(IMAGE):$(COMMIT) --build-arg COMMIT=$(COMMIT) \
		$${BASE_IMAGE:+--build-arg BASE_IMAGE=$$BASE_IMAGE} \
		$${SSL_CERT_FILE:+--secret id=ca,src=$$SSL_CERT_FILE} \
		$${PIP_CONFIG_FILE:+--secret id=pip.conf,src=$$PIP_CONFIG_FILE} .
	@$(DOCKER) image inspect --format '$(IMAGE):$(COMMIT) {{.Id}}' $(IMAGE):$(COMMIT)

# results that need a GPU: the published networks with three seeds; ARGS are options of the ablation, such as ARGS="--set student.train.epochs=50"
PAPER := outputs/paper

paper: .venv/ready  ## train the networks of the paper on your pictures: make paper DATA=/path/to/pictures
	$(if $(DATA),,$(error DATA is missing; run make paper DATA=/path/to/pictures))
	python -m benchmarks.ablation --data $(DATA) --params examples/paper.yaml --variants baseline default --split test --out $(PAPER) $(ARGS)
	python -m benchmarks.pictures --params examples/paper.yaml --data $(PAPER)/prepared --teacher $(PAPER)/teacher \
		--baseline $(PAPER)/runs/baseline/seed-* --student $(PAPER)/runs/default/seed-* --maps $(PAPER)/maps/* --output $(PAPER)/pictures

LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header

lock:  ## lock the newest versions that fit pyproject.toml; needs uv
	$(LOCK) --extra dev --output-file requirements-dev.txt
	$(LOCK) --constraint requirements-dev.txt --output-file requirements.txt  # for the image: the same versions without the tools
