# Frames to Tokens. `make` alone lists the targets. Nothing is installed outside the folder .venv.

PYTHON ?= python3
VENV   ?= .venv
READY  := $(subst $(subst ,, ),\ ,$(VENV))/.ready
RUN    := "$(VENV)/bin/python"

# A tiny model loses far more to threads that wait for each other than it gains from a second core.
export OMP_NUM_THREADS = 1
# Reuse the memory of freed tensors instead of asking the system for more (glibc; other systems ignore this).
export MALLOC_MMAP_THRESHOLD_ = 33554432
export MALLOC_TRIM_THRESHOLD_ = 1073741824

# These variables reach the commands through the environment, exactly as typed: a $ in a question is a dollar.
export VIDEO Q TEAM NAME TITLE REPO TAG
$(foreach name,VIDEO Q TEAM NAME TITLE REPO TAG,$(eval override $(name) := $$(value $(name))))

.DEFAULT_GOAL := help
.PHONY: help course test lab notebooks book tiny compare compare-later llama-vid korean dpo aihub-sample explorer progress ask bench doctor gpu-check real-check traced rehearse new-lesson korean-looked colab clean

help:  ## list these targets
	@echo "Frames to Tokens: how video LLMs turn frames into tokens"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

course: $(READY)  ## set up, run every lesson into course/, side by side (one: NAME=01_frames; one by one: JOBS=1)
	@$(RUN) notebooks/build.py course $(if $(JOBS),--jobs=$(JOBS)) $(NAME)

test: $(READY)  ## set up, run every test (each lesson is one of them)
	@$(RUN) -m pytest -n 2 --dist worksteal

lab: $(READY)  ## open the lessons in JupyterLab
	@$(RUN) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks

notebooks: $(READY)  ## make the committed .ipynb from notebooks/*.py, and the Korean ones (one: NAME=01_frames)
	@$(RUN) notebooks/build.py notebooks $$NAME
	@$(RUN) -m notebooks.korean $$NAME

book: $(READY)  ## make the website in build/book, from the lessons as they are committed
	@rm -rf build/book
	@$(RUN) -m sphinx -qWE -d build/book-cache docs build/book
	@echo "To look at it: python3 -m http.server --directory build/book, then open http://localhost:8000"

tiny: $(READY)  ## train the shipped tiny model from scratch
	@env -u OMP_NUM_THREADS $(RUN) -m lib.workshop.tiny  # only training from scratch is faster with every core
	@$(RUN) -m lib.workshop.tiny_card  # scores on unseen clips, and the model card

compare: $(READY)  ## ask 1,000 clips through every reducer at the same budget (lesson 07 reads the counts)
	@$(RUN) -m lib.workshop.same_budget

compare-later: $(READY)  ## the same for merging, leaving out and pruning (lesson 13 reads the counts)
	@$(RUN) -m lib.workshop.came_after

llama-vid: $(READY)  ## train and measure LLaMA-VID on top of the tiny model (lesson 06)
	@env -u OMP_NUM_THREADS $(RUN) -m lib.workshop.llama_vid
	@$(RUN) -m lib.workshop.llama_vid_scores

aihub-sample: $(READY)  ## write data/aihub_sample again: Toybox clips laid out like AI-Hub's data
	@$(RUN) -m lib.workshop.aihub_sample

explorer: $(READY)  ## write the token explorer, notebooks/explorer.html, from lib.budget
	@$(RUN) -m lib.tools.explorer

progress: $(READY)  ## show which exercises you have solved (a team's: TEAM=folder of their progress files)
	@$(RUN) -m lib.exercises $${TEAM:+"$$TEAM"}

korean: $(READY)  ## teach the tiny model Korean in six ways; write data/korean-lora (lesson 08 reads the results)
	@$(RUN) -m lib.workshop.korean

dpo: $(READY)  ## train captioners by DPO from a noisy judge, and measure the gain (lesson 09)
	@$(RUN) -m lib.workshop.dpo_judge

ask: $(READY)  ## ask about a video: VIDEO=data/clips/NAME.mp4 Q="What colour is the circle?"
	@[ -n "$$VIDEO" ] && [ -n "$$Q" ] || { echo 'Give a video and a question: make ask VIDEO=data/clips/hello.mp4 Q="What is the code?"'; exit 2; }
	@$(RUN) -m lib ask -- "$$VIDEO" "$$Q"

bench: $(READY)  ## time the reducers against plain torch calls and transformers; results in data/measured/
	@PYTHONPATH=. KINETO_LOG_LEVEL=9 $(RUN) tests/bench_reducers.py

doctor: $(READY)  ## show what runs on this machine, and with which settings; paste it into a bug report
	@$(RUN) -m lib.tools.doctor

gpu-check: $(READY)  ## compare the memory plan with a GPU, and time the methods there; results in data/measured/
	@PYTHONPATH=. $(RUN) tests/gpu_check.py

real-check: $(READY)  ## ask the real 0.5B and 7B about two real clips and six drawn ones; answers in data/measured/
	@$(RUN) -m lib.tools.real_check

traced: $(READY)  ## compare the memory plan with real code on tensors without data; results in data/measured/
	@$(RUN) -m lib.finetune.trace

rehearse: $(READY)  ## run the job with a model as large as the 7B, on this machine's processor (an hour, 45 GB of disk)
	@$(RUN) -m lib.tools.rehearse

new-lesson: $(READY)  ## write the first draft of a lesson: NAME=14_time_tokens TITLE="Time tokens"
	@$(RUN) -m notebooks.new_lesson "$$NAME" "$$TITLE"

korean-looked: $(READY)  ## record that you looked at the Korean twins of changed English texts
	@$(RUN) -m notebooks.korean_twins

colab: $(READY)  ## write the course's address everywhere: REPO=owner/name TAG=v1.0
	@$(RUN) -m notebooks.address $$REPO $$TAG

clean:  ## remove the environment, course/ and what tools left behind (not a training run)
	rm -rf "$(VENV)" course build/book build/book-cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Targets that write into this folder first check that they may.
WRITABLE = [ -w . ] || { echo "This folder is read-only: copy the course to a folder in which you may write, and run make there."; exit 1; }
course test notebooks book tiny compare compare-later llama-vid korean dpo aihub-sample explorer bench gpu-check real-check traced rehearse new-lesson korean-looked colab: | .writable
.PHONY: .writable
.writable:
	@$(WRITABLE)

# Built once, and again when the lock changes. A torch of the locked version that is already in $(VENV) stays.
$(READY): requirements.lock
	@$(WRITABLE)
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
	  echo "The course needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is: $$("$(PYTHON)" --version 2>&1 | head -n 1)."; \
	  echo "Install one of them and name it, for example: make course PYTHON=python3.11"; exit 1; }
	@echo "Setting up $(VENV), once; this downloads PyTorch and takes a few minutes."
	@"$(PYTHON)" -m venv "$(VENV)"
	@$(RUN) -m pip install --disable-pip-version-check --requirement requirements.lock
	@touch "$@"
