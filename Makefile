# Everything a fresh machine needs, each target from nothing.  CONTRIBUTING.md
# explains the builds.
#
#   make run [CLIENTS=1000] [DURATION=seconds]   the main job; ends at Ctrl-C
#            [CONSOLE=[ADDRESS:]PORT|off]        where its console listens (127.0.0.1:8088)
#   make million [CONNECTIONS=1000000] [RATE=30000] [SECONDS=60] [SYSCTLS=yes]
#                                                a million kernel TCP clients at one server: benchmarks/results
#   make test [TESTS=tests/tcp] [PYTEST_ARGS=]   the test suite
#   make packet-scripts [ROOT=folder LIST=file] [JSON=file]   scripts of others
#   make debug-test                              the suite on the debug build
#   make docs                                    the pages of docs/ that are made from code and tests
#   make reference                               the API reference, build/reference/index.html
#   make screenshots                             the pictures of the console in docs/images
#   make compare [OPTIONS='--quick']             XTCP beside what one would serve with else: benchmarks/results
#   make growth [OPTIONS='--connections 1000,10000']  what grows with connections, and what must not
#   make bulk [OPTIONS='--quick']                bulk streams
#   make lint | develop | wheel | clean
#
# Another Python: make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
CLIENTS ?= 1000
DURATION ?=
CONSOLE ?=
CONNECTIONS ?=
RATE ?=
SECONDS ?=
SYSCTLS ?=
TESTS ?=
ROOT ?= .
LIST ?=
JSON ?=
PYTEST_ARGS ?=
OPTIONS ?=

BIN := $(abspath $(VENV))/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
INSTALLED := $(VENV)/.installed
DEBUG_TREE := build/debug-tree

METADATA := setup.cfg setup.py pyproject.toml MANIFEST.in
CYTHON := $(shell find xtcp_twisted -name '*.pyx' -o -name '*.pxd')
# An editable install has to hear of new files, not of changes to old ones: its
# folder of the console is made of links to single files.
LINKED_FILES := $(sort $(shell find xtcp_twisted twisted console -name '*.py' 2>/dev/null) \
  $(shell find console/static console/templates -type f 2>/dev/null))

# Folders with Python that is typed strictly: all but the tests, and of those the
# interpreter of packet scripts, which is a program.
TYPED := $(foreach folder,xtcp_twisted twisted console benchmarks examples tools,$(if \
  $(shell find $(folder) -name '*.py' 2>/dev/null),$(folder)))

.PHONY: run million test packet-scripts debug-test lint compare growth bulk docs reference screenshots develop wheel clean FORCE
.DELETE_ON_ERROR:

# setpriv (util-linux): whoever kills make ends the job, too.
run: $(INSTALLED)
	@exec setpriv --pdeathsig TERM $(BIN)/python -m xtcp_twisted.demo --clients $(CLIENTS) \
	  $(if $(DURATION),--duration $(DURATION)) $(if $(CONSOLE),--console $(CONSOLE))

test: $(INSTALLED) $(VENV)/.extra-test
	@PYTHON=$(PYTHON) tools/debian-packages test
	@tools/debian-packages browser || true   # the tests themselves say what they miss
	@exec $(BIN)/python -m pytest $(PYTEST_ARGS) $(TESTS)

# Without LIST: the project's own scripts.
packet-scripts: $(INSTALLED) $(VENV)/.extra-test
	@PYTHONPATH=tests exec $(BIN)/python -m tests.packet_scripts $(if $(JSON),--json $(JSON)) \
	  $(if $(LIST),--root $(ROOT) --list $(LIST),tests/packet_scripts/scripts/*.pkt)

# The debug build has its own tree as well as its own environment: modules lie
# beside their sources, and the two kinds must never be taken for each other.
debug-test:
	@mkdir -p $(DEBUG_TREE)
	@find $(DEBUG_TREE) -type f ! -name '*.so' ! -path '$(DEBUG_TREE)/build/*' -delete
	@tar -c --exclude-vcs --exclude=./build --exclude=./dist --exclude='./.venv*' --exclude='*.so' . \
	  | tar -x -C $(DEBUG_TREE)
	@XTCP_DEBUG=1 $(MAKE) --no-print-directory -C $(DEBUG_TREE) test VENV=$(CURDIR)/.venv-debug \
	  PYTEST_ARGS='--debug-build -m "not packaging" $(PYTEST_ARGS)'

lint: $(INSTALLED) $(VENV)/.extra-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy setup.py $(TYPED)
	MYPYPATH=tests $(BIN)/mypy --package packet_scripts
	PATH=$(BIN):$$PATH cython-lint xtcp_twisted   # it looks for pycodestyle there

# setpriv: as for run.
million: $(INSTALLED) $(VENV)/.extra-bench
	@exec setpriv --pdeathsig TERM $(BIN)/python -m benchmarks.million \
	  $(if $(CONNECTIONS),--connections $(CONNECTIONS)) $(if $(RATE),--rate $(RATE)) \
	  $(if $(SECONDS),--seconds $(SECONDS)) $(if $(filter yes,$(SYSCTLS)),--allow-host-sysctls)

compare: $(INSTALLED) $(VENV)/.extra-bench
	@tools/debian-packages bench || true   # what cannot be measured is left out, and named
	@exec $(BIN)/python -m benchmarks $(OPTIONS)

growth: $(INSTALLED) $(VENV)/.extra-bench
	@exec $(BIN)/python -m benchmarks growth $(OPTIONS)

bulk: $(INSTALLED) $(VENV)/.extra-bench
	@exec $(BIN)/python -m benchmarks bulk $(OPTIONS)

docs: $(INSTALLED)
	@exec $(BIN)/python -m tools.docs

# From docstrings; a warning, or a public name or parameter of which nothing is said, is an error.
reference: $(INSTALLED) $(VENV)/.extra-reference
	@exec $(BIN)/python -m tools.reference build/reference

screenshots: $(INSTALLED) $(VENV)/.extra-screenshots
	@tools/debian-packages browser
	@exec $(BIN)/python -m tools.screenshots

develop: $(INSTALLED)

wheel: $(VENV)/.made
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-build-isolation --no-deps -w dist .
	@ls dist/*.whl

clean:
	rm -rf build dist .venv .venv-* *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.git -prune -o \( -name '*.so' -o -name '*.py[co]' \
	  -o -name dropin.cache \) -delete

# --- The virtual environment --------------------------------------------------

$(VENV)/.made: pyproject.toml
	@PYTHON=$(PYTHON) tools/debian-packages build
	@test -x $(BIN)/python || { echo "Making $(VENV) ..." >&2 && $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], \
	  sep="\n")' | $(PIP) -r /dev/stdin
	@touch $@

# Strict is the only editable mode that finds both the twistd plugin and the
# console's folder under its installed name.
$(INSTALLED): $(VENV)/.made $(METADATA) $(CYTHON) build/linked-files
	@echo "Building and installing xtcp_twisted into $(VENV) (the first time takes a minute or two) ..." >&2
	@$(PIP) --no-build-isolation --editable '.[console]' --config-settings editable_mode=strict
	@touch $@

$(VENV)/.extra-%: setup.cfg | $(INSTALLED)
	@echo "Installing what '$*' needs into $(VENV) ..." >&2
	@$(PIP) 'xtcp_twisted[$*]'
	@touch $@

build/linked-files: FORCE
	@mkdir -p build
	@echo '$(LINKED_FILES)' | cmp -s - $@ || echo '$(LINKED_FILES)' >$@
