# instant_nerf_ros on a machine without ROS: everything is in .venv.
#
#   make setup      a Python environment with ROS 2; PYTHON=python3.12 chooses the interpreter
#   make demo       map the simulated flat; DATA=path maps recorded frames or a rosbag2,
#                   DEPTH=no leaves out depth images
#   make animation  docs/images/mapping.webp: the flat as it is mapped, in two minutes
#   make test       style, types and tests
#   make check      style, types and the quick tests
#   make bench      figures of speed and quality
#   make docs       the documentation as HTML, in build/docs; wants Python 3.11 or newer
#   make clean      remove all that these made

PYTHON ?= python3
VENV := $(CURDIR)/.venv
READY := $(VENV)/.ready

# A sourced ROS installation must not mix with the one in .venv.
ifdef ROS_DISTRO
unexport CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH
unexport RMW_IMPLEMENTATION ROS_DISTRO ROS_LOCALHOST_ONLY
endif
export AMENT_PREFIX_PATH := $(VENV)
export FASTDDS_DEFAULT_PROFILES_FILE ?= $(CURDIR)/config/fastdds.xml
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST

.PHONY: setup demo animation test check bench docs clean

setup: $(READY)

UNDERLAY := $(shell find underlay -type f -not -path '*/build/*' -not -path '*.egg-info/*')

$(READY): requirements.txt constraints.txt setup.py $(UNDERLAY)
	@underlay/setup_venv.sh '$(PYTHON)' '$(VENV)'
	@touch '$@'

demo: $(READY)
	'$(VENV)/bin/python' examples/demo.py $(if $(DATA),--data '$(DATA)') $(if $(filter no,$(DEPTH)),--no-depth)

animation: $(READY)
	'$(VENV)/bin/python' examples/animation.py

# A PyTorch for CUDA brings its own. Without one, its interpreter runs the kernels of the GPU.
TRITON := triton==3.9.0

test: $(READY)
	@'$(VENV)/bin/python' -c 'import triton' 2>/dev/null || \
	    '$(VENV)/bin/python' -m pip --disable-pip-version-check install -q '$(TRITON)' || \
	    echo 'Without Triton the tests of the GPU backend do not run.'
	'$(VENV)/bin/ruff' check .
	'$(VENV)/bin/mypy'
	'$(VENV)/bin/python' -m pytest

# What is worth a minute before each commit.
check: $(READY)
	'$(VENV)/bin/ruff' check .
	'$(VENV)/bin/mypy'
	'$(VENV)/bin/python' -m pytest -q -m 'not slow and not ros and not triton'

bench: $(READY)
	'$(VENV)/bin/python' benchmarks/run.py

# In an environment of its own: neither the engine nor ROS is needed to read their docstrings.
DOCS_VENV := $(CURDIR)/.docs-venv

$(DOCS_VENV)/.ready: docs/requirements.txt
	'$(PYTHON)' -m venv '$(DOCS_VENV)'
	'$(DOCS_VENV)/bin/pip' --disable-pip-version-check install -q -r docs/requirements.txt
	@touch '$@'

docs: $(DOCS_VENV)/.ready
	'$(DOCS_VENV)/bin/sphinx-build' -q -W --keep-going docs build/docs
	@echo 'The pages are in build/docs/index.html'

clean:
	rm -rf .venv .docs-venv benchmarks/.*-venv benchmarks/results .pytest_cache .ruff_cache install log demo_output
	find . \( -name build -o -name '*.egg-info' -o -name __pycache__ \) -prune -exec rm -r {} +
