# The doors of this project. Each makes what it needs first and skips what is done:
#   make demo         open napari with a sample lesion, ready to click
#   make test         lint, types, import contracts and every test
#   make lint         lint, types and import contracts
#   make bench        measure against stock SAM (BENCH="--rounds 1 --json figures")
#   make screenshots  take the pictures of the documentation anew
# PYTHON=python3.12 chooses the interpreter that .venv is made from.

VENV := .venv
EXTRAS := all,dev,test,test-ui
INSTALLED := $(VENV)/.installed
BOOTSTRAP := sh tools/bootstrap.sh

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
SYSTEM := Windows
else
BIN := $(VENV)/bin
SYSTEM := $(shell uname -s)
endif

# On Linux a test that shows a window shows it on a screen of its own: Qt's offscreen
# platform has no OpenGL, and the user's screen stays quiet.
ifeq ($(SYSTEM),Linux)
ON_SCREEN := env -u WAYLAND_DISPLAY QT_QPA_PLATFORM=xcb OMP_WAIT_POLICY=PASSIVE \
	xvfb-run -a -s "-screen 0 1280x1024x24"
endif

.PHONY: demo test lint bench screenshots

demo: $(INSTALLED)
	@$(BOOTSTRAP) desktop
	$(BIN)/glmedsa demo

test: lint
	@$(BOOTSTRAP) virtual-screen
	$(ON_SCREEN) $(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)
	@$(BOOTSTRAP) virtual-screen
	$(BIN)/python benchmarks/bench_encode.py $(BENCH)
	$(ON_SCREEN) $(BIN)/python benchmarks/bench_click.py $(BENCH)
	$(BIN)/python benchmarks/bench_train_step.py $(BENCH)
	$(BIN)/python benchmarks/bench_cache.py $(BENCH)
	$(BIN)/python benchmarks/bench_predict.py $(BENCH)
	$(BIN)/python benchmarks/bench_scaling.py $(BENCH)
	$(ON_SCREEN) $(BIN)/python benchmarks/bench_import.py $(BENCH)

screenshots: $(INSTALLED)
	@$(BOOTSTRAP) virtual-screen
	$(ON_SCREEN) $(BIN)/python docs/screenshots.py
	$(ON_SCREEN) $(BIN)/python docs/tutorial_screenshots.py
	$(ON_SCREEN) $(BIN)/python docs/finetune_screenshots.py
	$(ON_SCREEN) $(BIN)/python docs/worklist_screenshots.py
	$(ON_SCREEN) $(BIN)/python docs/measurement_screenshots.py
	$(ON_SCREEN) $(BIN)/python docs/export_screenshots.py

$(INSTALLED): setup.cfg pyproject.toml
	@PYTHON="$(PYTHON)" $(BOOTSTRAP) venv $(VENV) ".[$(EXTRAS)]"
	@touch $@
