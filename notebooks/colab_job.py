# %% [markdown]
# # The job on Colab: from your videos to a captioner
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/colab_job.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | train the 7B on your own videos on a free T4, go on after a disconnect, caption new videos, and say with intervals how much better it became |
# | **Minutes** | 20 to read and think; 2 to rehearse with tiny on two CPU cores, hours with the 7B on a T4 |
# | **Memory** | 2 GB; with the 7B a T4 |
# | **Downloads** | none in the rehearsal; 14 GB for the 7B |
# | **Needs** | lesson 08; on Colab a Google Drive |
#
# Outside Colab this notebook rehearses the same commands with tiny, on clips of the Toybox world.
#
# **AI-Hub's terms come first.** If your videos are AI-Hub's, its terms of use (aihub.or.kr, 이용정책) say:
#
# - Taking the data abroad needs a separate agreement with NIA (별도 합의). A Colab machine may well stand abroad, and so may Google Drive. Without that agreement, run the same commands on a machine in Korea.
# - Whatever is made from the data names NIA, adapters included. The setting `notice` writes that line into `adapter/base.json`. For a folder of AI-Hub's layout it is NIA's by default.
# - Frames and captions may not be shown to others. This notebook prints captions: choose *Edit > Clear all outputs* before you share it.

# %% [markdown]
# ## 한국어 요약
#
# 내 영상으로 7B 캡션 모델을 Colab의 무료 T4에서 학습하는 노트북입니다. 데이터와 결과는 Google Drive에 두므로, 연결이 끊겨도 같은 셀을 다시 실행하면 마지막 체크포인트부터 이어서 학습합니다.
# 순서는 `plan`(카드에 들어가는지, 몇 시간 걸리는지), `train`, `caption`, `evaluate`입니다. Colab이 아닌 곳에서는 같은 명령을 tiny와 Toybox 클립으로 연습합니다.
#
# AI-Hub 데이터를 쓴다면 이용 조건을 먼저 확인해 주세요.
#
# - 국외로 반출하려면 NIA와 별도 합의가 필요합니다. Colab 서버와 Google Drive는 국외에 있을 수 있습니다. 합의가 없다면 국내 컴퓨터에서 같은 명령을 실행해 주세요.
# - 데이터로 만든 2차적 저작물에도 NIA의 사업 결과임을 밝혀야 합니다. 어댑터도 마찬가지입니다. 설정 `notice`가 이 문구를 `adapter/base.json`에 적습니다.
# - 프레임과 캡션을 다른 사람에게 보여 줄 수 없습니다. 노트북을 공유하기 전에 출력을 모두 지워 주세요.

# %% tags=["setup"]
import sys
from pathlib import Path

COURSE = Path("/content/frames-to-tokens") if "google.colab" in sys.modules else Path.cwd()
if not COURSE.exists():  # on Colab: fetch the course once
    get_ipython().system(
        f"git clone -q --depth 1 --branch main https://github.com/frames-to-tokens/frames-to-tokens {COURSE}"
    )
found = [folder for folder in (COURSE, *COURSE.parents) if (folder / "lib" / "colab.py").exists()]
if not found:
    raise FileNotFoundError(f"no course in {COURSE} or above it: start this lesson in the course's folder notebooks")
sys.path.insert(0, str(found[0]))
from lib import colab

colab.set_up()

# %% [markdown]
# ## 1. Where the data and the results lie
#
# A Colab machine loses its disk when the session ends. So videos and results lie on your Drive. Only the model, 14 GB, is downloaded anew in each session. Change `DATA` and `OUTPUT` to your folders.
#
# - `DATA` is a folder in AI-Hub's layout, or a `.jsonl` file of videos and captions ([all formats](https://github.com/frames-to-tokens/frames-to-tokens/blob/main/docs/job.md)).
# - Drive is slow with many small files. Keep the videos there as one archive, and unpack it in each session: `!unzip -q -O cp949 /content/drive/MyDrive/videos.zip -d /content/videos`.
# - `OUTPUT` also holds the features of the frames, so that the vision tower sees each clip once. With 8 frames they take 2.4 MB a clip: Drive's free 15 GB hold about 6,000 clips.

# %%
import shutil
import subprocess

from IPython.display import Image, display

ON_COLAB = "google.colab" in sys.modules
if ON_COLAB:
    from google.colab import drive

    drive.mount("/content/drive")
    JOB = "jobs/7b-t4.yaml"
    DATA, OUTPUT = "/content/drive/MyDrive/videos", "/content/drive/MyDrive/captioner"
    SETTINGS = [f"data={DATA}", f"output={OUTPUT}"]
else:  # the rehearsal begins anew each time
    JOB = "jobs/tiny.yaml"
    DATA, OUTPUT = "toybox:1000000:1000060", "runs/colab"
    SETTINGS = [f"data={DATA}", f"output={OUTPUT}", "test=0.2", "batch=4", "steps=12", "every=4"]
    SETTINGS += ["notice=Made of Toybox clips."]
    shutil.rmtree(found[0] / OUTPUT, ignore_errors=True)
RESULTS = found[0] / OUTPUT


def command(*words, stop_at=None):
    """Runs a command of the course and shows its lines as they come; kills it at a line that begins with `stop_at`."""
    print("$ python -m lib", *words)
    run = [sys.executable, "-m", "lib", *words]
    with subprocess.Popen(run, cwd=found[0], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            print(line, end="")
            if stop_at and line.startswith(stop_at):
                process.kill()
                print("(killed)")
                return
    if process.returncode:
        raise RuntimeError("the command failed: its last line above names the fix")


print((found[0] / JOB).read_text())

# %% [markdown]
# ## 2. Does it fit, and how long does it take?
#
# `plan` answers before anything is downloaded. It runs a training step and an answer on tensors without numbers, and counts every byte. Its hours are for one pass over your clips.

# %%
command("plan", JOB, *SETTINGS)

# %% [markdown]
# Look at your card's row. *fits* under training and under captioning means: go on. *lacks 2.1 GiB* means: fewer `frames`, a smaller `batch`, or another card. Add the change to `SETTINGS`, for example `"frames=4"`, and plan again.
#
# ## 3. Train, and go on after a disconnect
#
# Colab may end a session at any time. The checkpoint is on Drive: run the notebook's cells again, and `train` goes on from there. It ends with the same weights as a run without a break (lesson 08).
#
# The rehearsal does not wait for a disconnect: its next cell kills the process at step 8.

# %%
command("train", JOB, *SETTINGS, stop_at=None if ON_COLAB else "step 8")

# %% [markdown]
# The same command goes on from the last checkpoint. Compare step 8, which is computed a second time:

# %%
command("train", JOB, *SETTINGS)
print("in the folder:", ", ".join(sorted(path.name for path in RESULTS.iterdir())))

# %% [markdown]
# Step 8 has the same losses both times. `log.jsonl` has a line per step. `samples.jsonl` has captions of a few validation clips, made during the training: look there first when the loss is fine and the captions are not. `adapter` holds the weights with the lowest validation loss. More `steps` or `epochs` extend a finished run.
#
# ## 4. Caption
#
# The file `job.yaml` in the folder of results repeats all settings, so the other commands need nothing else. Without names of videos, `caption` takes the clips that were kept for testing. After a disconnect it goes on too: it skips the clips that are in `captions.jsonl`.

# %%
SAVED = f"{OUTPUT}/job.yaml"
command("caption", SAVED)

# %% [markdown]
# For your own videos, name files or folders: `command("caption", SAVED, "/content/drive/MyDrive/new")`. `"cut": true` marks a caption that was cut off at the longest answer; then raise `max_new_tokens`.
#
# ## 5. Evaluate
#
# Is the trained model better than the model before training? `evaluate` captions the test clips with both and compares the two, clip by clip.

# %%
command("evaluate", SAVED)
display(Image(RESULTS / "report.png"))

# %% [markdown]
# Read the column *difference*: an interval that includes 0 shows no gain on this many clips. The rehearsal's nine test clips and twelve steps show that the commands work, and nothing about your model.
#
# ## 6. Take it with you
#
# The adapter is small, and it works only with the weights that it was trained on. `base.json` beside it records which those are, and the notice that the data's terms ask for:

# %%
print((RESULTS / "adapter" / "base.json").read_text())

# %% [markdown]
# `command("merge", SAVED, "/content/merged")` writes full weights that transformers and vLLM load. For the 7B they take 14 GB, too much for a free Drive. Keep the notice with them.
#
# ## What to remember
#
# - Plan first: `plan` says whether the job fits your card, before a download.
# - Everything that must survive a disconnect is in the job's folder on Drive; the same command goes on.
# - AI-Hub's data needs an agreement with NIA before it goes to a machine abroad; Colab's may be one.
# - Name NIA in what you derive, and clear the outputs before you share the notebook.
