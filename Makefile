# Every command of the project; `make help` lists them.
CONFIG ?= configs/demo.yaml
SET ?=
PHANTOM ?=
PLAN ?=
GPU ?=
INPUT ?= data/demo/test
N ?= 1
RUN ?= runs/demo
BIN := .venv/bin
STALE := $(shell sh scripts/environment.sh stale '$(PYTHON)')
PIP := $(BIN)/pip install --quiet -c constraints.txt
TESTED := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations 40
OF_BUNDLE := $(if $(OUT),--output $(OUT)) $(if $(OWNER),--owner $(OWNER)) $(if $(SLUG),--slug $(SLUG)) $(if $(DOWNLOAD),--download $(DOWNLOAD)) $(if $(WHEELS),--wheels $(WHEELS))
OPTIONS := $(strip $(if $(PLAN),--set @$(PLAN)) $(foreach pair,$(SET),--set $(pair)))
.DEFAULT_GOAL := help
.PHONY: stale help setup demo stage1 stage2 end-to-end joint preview round audit placebo montage plan tune predict preflight doctor kaggle-bundle neuroglancer napari check test test-all bench clean

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'
	@echo "  CONFIG=configs/demo.yaml chooses the configuration, SET='a.b=c d=e' overrides settings, PYTHON=python3.12 the interpreter (else one is found)"

.venv/installed: pyproject.toml constraints.txt $(STALE)
	$(if $(STALE),$(if $(PYTHON),@sh scripts/environment.sh find '$(PYTHON)' > /dev/null,@sh scripts/environment.sh make))
	$(if $(STALE),$(if $(PYTHON),'$(PYTHON)' -m venv --clear .venv))
	$(PIP) -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(PIP) -e ".[dev]"
	@touch $@

setup: .venv/installed  ## make .venv with the pinned packages

demo: setup  ## phantom -> stage one -> stage two -> submission, score and report, in minutes on two cores
	$(BIN)/python scripts/demo.py $(CONFIG) $(if $(PHANTOM),--phantom='$(PHANTOM)') $(OPTIONS)

stage1: setup  ## train stage one on every fold and predict out of fold
	$(BIN)/python -m ensemble.check $(CONFIG) $(OPTIONS)
	$(BIN)/python -m stage1_3d.train $(CONFIG) $(OPTIONS)

stage2: setup  ## train stage two on stage one's out-of-fold stacks, then fit the ensemble
	$(BIN)/python -m stage2_2d.train $(CONFIG) $(OPTIONS)
	$(BIN)/python -m ensemble.calibrate $(CONFIG) $(OPTIONS)

end-to-end: setup  ## train one member and stage two on as one network, where the configuration says `end_to_end:`; then fit again
	$(BIN)/python -m ensemble.end_to_end.train $(CONFIG) $(OPTIONS)
	$(BIN)/python -m ensemble.calibrate $(CONFIG) $(OPTIONS)

joint: end-to-end  ## now end-to-end

preview: setup  ## a contact sheet of augmented training patches with their labels
	$(BIN)/python scripts/preview.py $(CONFIG) $(OPTIONS)

round: setup  ## CONFIG, N=1: a label round: predict, propose, ask a person; after painting, the same again: train, report
	$(BIN)/python scripts/label_round.py $(CONFIG) $(N) $(if $(STEP),--step $(STEP)) $(if $(UNPAINTED),--unpainted) $(OPTIONS)

audit: setup  ## CONFIG, INPUT=folder: is it ink? A verdict a sheet: blank copies, planted ink, direction, depth, agreement; into RUN/predict
	$(BIN)/python scripts/audit.py $(CONFIG) --input $(INPUT) --output $(RUN)/predict $(OPTIONS)

placebo: audit  ## now audit

montage: setup  ## RUN=runs/demo: one wide PNG of a finished run, for a post or a chat: CT, prediction, errors
	$(BIN)/python scripts/montage.py $(RUN) $(if $(TRUTH),--truth $(TRUTH)) $(if $(COUNT),--count $(COUNT)) $(if $(OUT),--out $(OUT))

plan: setup  ## which patch, batch and workers suit GPU=t4, and how long that takes; PLAN=file then uses it in any command
	$(BIN)/python scripts/plan.py $(CONFIG) $(foreach card,$(GPU),--gpu $(card)) $(if $(CPUS),--cpus $(CPUS)) $(if $(RAM),--ram $(RAM)) $(if $(HOURS),--hours $(HOURS)) $(OPTIONS)

tune: setup  ## measure which batch, workers and prefetching suit this machine; writes <run_dir>.tuned.yaml for PLAN=
	$(BIN)/python scripts/tune.py $(CONFIG) $(OPTIONS)

preflight: setup  ## INPUT=folder: do its layers lie as in training? direction, depth, scale (audit --look)
	$(BIN)/python scripts/audit.py $(CONFIG) --input $(INPUT) --look $(OPTIONS)

kaggle-bundle: setup  ## RUN=runs/demo_ink OWNER=you DOWNLOAD=3.12: a folder with wheels, weights and a notebook that needs no internet
	$(BIN)/python scripts/kaggle_bundle.py $(RUN) $(OF_BUNDLE)

neuroglancer: setup  ## VOLUMES='a.zarr b/prob.zarr' LABELS=...: serve them on this machine and print a link to look at them
	$(BIN)/python scripts/neuroglancer.py $(VOLUMES) $(if $(LABELS),--labels $(LABELS)) $(if $(VOXEL_UM),--voxel-um $(VOXEL_UM)) $(if $(PORT),--port $(PORT)) --serve

napari: setup  ## VOLUMES=... LABELS=...: open them as layers of napari, which it installs; or PAINT=folder: paint on its label
	$(PIP) -e ".[view]"
	$(BIN)/python scripts/napari_view.py $(VOLUMES) $(if $(LABELS),--labels $(LABELS)) $(if $(VOXEL_UM),--voxel-um $(VOXEL_UM)) $(if $(PAINT),--paint $(PAINT))

doctor: setup  ## look for what would go wrong: data, labels, folds, patches, disk
	$(BIN)/python scripts/doctor.py $(CONFIG) $(OPTIONS)

check: .venv/installed-dev  ## ruff, mypy and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: .venv/installed-dev  ## all tests but the slow ones
	$(TESTED) -m "not slow"

test-all: .venv/installed-dev  ## all tests, the slow ones too
	$(TESTED)

bench: .venv/installed-dev  ## speed next to what others do, as ratios of one run
	$(BIN)/python scripts/bench.py all

clean:  ## remove what was made: runs, phantoms, working copies, environment; other data stays
	@for folder in runs/*/ data/*/; do case "$$folder" in *"*/") continue;; esac; folder="$${folder%/}"; \
	  if [ -L "$$folder" ] || ! { [ "$$folder" = data/cache ] || [ -f "$$folder/phantom.json" ] || [ -f "$$folder/settings.yaml" ] || [ -f "$$folder/.scroll-ensemble" ]; }; \
	  then echo "$$folder: not made by this project; it stays"; else rm -rf "$$folder"; fi; done
	rm -rf .venv
