# Two commands: `make demo` runs the main job, `make test` runs every check. Each sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
PLUGINS := satellite ground text audio location sensors world
# Written by the road that the docs show; the demo needs none of them.
PROOFS := template timeseries maptags
EXTRA_location := [geoclip]
SOURCES := pyproject.toml $(PLUGINS:%=plugins/geobind-%/pyproject.toml) $(PROOFS:%=plugins/geobind-%/pyproject.toml)
EDITABLE := $(foreach p,$(PLUGINS),-e "plugins/geobind-$(p)$(EXTRA_$(p))")
EDITABLE_PROOFS := $(foreach p,$(PROOFS),-e plugins/geobind-$(p))

.PHONY: demo test lint docs template clean

demo: $(VENV)/.installed
	$(VENV)/bin/geobind demo

# Two workers with one thread each: on two cores they take 0.6 of the time of one worker with two threads.
test: $(VENV)/.installed-test lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy geobind $(foreach p,$(PLUGINS) $(PROOFS),plugins/geobind-$(p)/geobind_$(p))

docs: $(VENV)/.installed-test
	$(VENV)/bin/sphinx-build -W --keep-going -E -b html docs docs/_build/html

# What `geobind plugins new template` writes; a test compares.
template: $(VENV)/.installed-test
	rm -rf plugins/geobind-template
	$(VENV)/bin/python -c "from pathlib import Path; from geobind.authoring.scaffold import NewPlugin, write; \
		write(NewPlugin(name='template'), Path('plugins'))"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(VENV)/bin/python $(SOURCES)
	$(VENV)/bin/python -m pip install --progress-bar off -e . $(EDITABLE)
	touch $@

# laion-clap is what the published recipe needs; the demo does not. clip-benchmark is what figures are checked against; its
# metrics need none of what it depends on.
$(VENV)/.installed-test: $(VENV)/bin/python $(SOURCES)
	$(VENV)/bin/python -m pip install --progress-bar off -e ".[test]" $(EDITABLE) $(EDITABLE_PROOFS) -e "plugins/geobind-audio[clap]"
	$(VENV)/bin/python -m pip install --progress-bar off --no-deps "clip-benchmark>=1.6"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) spaces runs reports docs/_build
