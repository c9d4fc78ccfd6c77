# %% [markdown]
# # 12 Scale out: from one process to many
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/12_scale_out.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | start several processes and prove that they are several; extract the features of many clips so that a kill costs one shard; train LoRA with DDP and FSDP2 to the loss of one process; say what 10 thousand, 1 million or 100 million clips cost |
# | **Minutes** | 45 to read and think; 1 to run on two CPU cores or on a T4 |
# | **Memory** | 2 GB, in all processes together |
# | **Downloads** | none |
# | **Needs** | lessons 02 and 08 |

# %% [markdown]
# ## 한국어 요약
#
# 이 수업에서는 프로세스 하나로 하던 일을 여러 프로세스로 나눕니다. 먼저 "두 개로 실행하라"고 해도 말없이 하나만 실행하는 실행기가 있다는 것을 직접 확인합니다.
# `accelerate launch --cpu --num_processes 2`는 프로세스를 하나만 띄우고, CPU에서 Trainer의 `fsdp` 설정은 모델을 나누지 않은 채 DDP로 바뀝니다. 그래서 프로세스
# 수를 직접 확인하고, `lib`는 학습이 끝날 때 프로세스마다 실제로 가진 숫자의 개수를 출력합니다. 다음으로 많은 클립의 특징을 샤드 파일로 저장합니다. 도중에 강제로 종료해도 이어서 계속할 수 있고, 프로세스 수가 바뀌어도
# 마지막에는 같은 바이트가 됩니다. 잘린 샤드는 다시 만들고 그 사실을 알립니다. 그다음 `python -m lib train`을 그대로 DDP와 FSDP2로 실행해 LoRA를 학습하고, 손실이 프로세스 하나일 때와 같은지 비교합니다.
# 손실의 평균을 잘못 내면 다른 값이 나온다는 것도 봅니다. 마지막으로 클립 1만, 100만, 1억 개의 저장 용량과 GPU 시간을 식으로 계산하고, 7B 모델을 vLLM으로
# 서비스하는 방법을 버전과 함께 적어 둡니다. vLLM 부분은 여기서 실행하지 않았습니다.

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

# %%
import os
import re
import subprocess
import tempfile
import time
from contextlib import redirect_stderr
from dataclasses import replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import numpy as np
import torch

from lib import exercises, plots
from lib.budget import MODELS, kv_bytes, weight_bytes
from lib.budget.jobs import PEAKS, Workload, cards_for
from lib.data import Collator, Features, captioning
from lib.data.formats import read_source
from lib.data.shards import Cache, World, extract, plan_of, seal, shard_path
from lib.finetune import add_lora, processes, read_log
from lib.job.settings import read_job
from lib.job.training import train_job
from lib.packing import IGNORE
from lib.video import sample_uniform
from lib.vlm import load

MODEL = "tiny"
SOURCE = "toybox:0:160"  # or a folder in AI-Hub's layout (lesson 08)
TRAINED_ON = "toybox:0:40"  # in section 4
PROCESSES = 2

plots.style()
folder = tempfile.TemporaryDirectory()  # goes away with the notebook
work = Path(folder.name)
print(", ".join(f"{name} {version(name).split('+')[0]}" for name in ("torch", "accelerate", "transformers", "peft")))

# %% [markdown]
# ## 1. Two processes, or one in silence
#
# **Claim.** A launcher starts the same script several times and tells each copy who it is: `RANK` (0, 1, ...) and `WORLD_SIZE`, in the environment
# (PyTorch documentation, *torchrun*). Nothing else makes a run distributed. If the launcher does not do it, the script runs, all is well, and it is *one*
# process. A user met this in huggingface/accelerate#2741: `accelerate launch --num_processes 2 --cpu train.py` "is still run only 1 process".
#
# A script that says who it is:

# %%
who = work / "who.py"
who.write_text("""
import os
print(f"process {os.environ.get('RANK', 0)} of {os.environ.get('WORLD_SIZE', 1)}\\n", end="", flush=True)
""")


def say(command):
    """Run a command; what it printed, line by line in order."""
    done = subprocess.run(command, capture_output=True, text=True, env=processes.environment(), timeout=600)
    assert done.returncode == 0, done.stderr[-500:]
    return sorted(line for line in done.stdout.splitlines() if line.startswith("process"))


accelerate_launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", str(who)]

# %% [markdown]
# **Predict before you run.** How many processes does `accelerate launch --cpu --num_processes 2` start, and how many does
# `torchrun --nproc-per-node 2`?

# %%
my_processes = {"accelerate launch": 2, "torchrun": 2}  # change me

said = {"accelerate launch": say(accelerate_launch), "torchrun": say(processes.torchrun_command(2, str(who)))}
for launcher, lines in said.items():
    print(f"{launcher:<18} predicted {my_processes[launcher]}, measured {len(lines)}: {'; '.join(lines)}")

# %% [markdown]
# On a GPU machine `accelerate launch --num_processes 2` does start two: it is the CPU path that does not. That makes it worse, because
# a CPU is where one tries things out. So a script that counts on two processes begins with a check. By hand, and as `lib` does it:

# %%
expected, found = 2, int(os.environ.get("WORLD_SIZE", 1))
print("by hand:", "as asked for" if expected == found else f"asked for {expected}, there are {found}")
try:
    processes.world(expected)
except ValueError as error:
    print("lib:", error)

# %% [markdown]
# ### The second one: sharding that does not shard
#
# FSDP ("fully sharded data parallel", arXiv 2304.11277) splits the weights themselves over the processes. transformers' Trainer has a switch for it, `fsdp`. Here with
# torchrun, so there *are* two processes; but on CPUs. Each says how many of the model's 10,000 numbers it holds:

# %%
trainer = work / "trainer.py"
trainer.write_text("""
import sys
import torch
from torch.distributed.tensor import DTensor
from transformers import Trainer, TrainingArguments

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(100, 100, bias=False)

    def forward(self, x):
        return {"loss": self.layer(x).square().mean()}

settings = TrainingArguments(sys.argv[1], use_cpu=True, fsdp=True, fsdp_config={"version": 2}, max_steps=1,
                             report_to=[], save_strategy="no", disable_tqdm=True)
run = Trainer(Model(), settings, train_dataset=[{"x": torch.ones(100)}] * 16)
run.train()
held = sum((w.to_local() if isinstance(w, DTensor) else w).numel() for w in run.model.parameters())
print(f"process {settings.process_index}: {type(run.model_wrapped).__name__}, holds {held:,} of 10,000\\n", end="", flush=True)
""")
for line in say(processes.torchrun_command(2, str(trainer), str(work / "out"))):
    print(line)

# %% [markdown]
# Both hold everything: the Trainer fell back to DDP and said nothing. The reason is one line of accelerate (`AcceleratorState` in `state.py`), which turns
# FSDP on for processes with GPUs only. On two GPUs it would be 5,000 each. So do not ask what was configured, ask **what each process holds**.
# `lib.vlm.sharded` cuts the model with PyTorch's own `fully_shard`, which works on CPUs too, and `train` prints what each process held. We come back to it
# in section 4.

# %% [markdown]
# ## 2. Features of many clips: shards
#
# **Claim.** The vision tower is frozen, so what it computes can be kept. For many clips that takes hours on many cards, and something will be killed on the
# way. What a file is called must then say that it is complete. Three rules make it so:
#
# 1. **Which clip lies in which shard follows from the list of clips alone**, not from the number of processes. Process r of w makes shards r, r + w, ...
# 2. **Written beside, then renamed**: a rename is atomic, so a file with a shard's name is whole.
# 3. **A plan first, a manifest last**: plan.json says what there will be, manifest.json what there is (bytes, sha256, clips that could not be read).
#    All processes would write the same plan, so whichever comes first writes it. Each shard also says itself which weights and frames it was made with.

# %% [markdown]
# ### Exercise 12.split: each clip once
#
# difficulty ●○○○○ · importance ●●●●● · 4 minutes
#
# The clips are numbered 0 to `clips` - 1, the processes 0 to `world` - 1. Return the numbers that process `rank` takes: `rank`, `rank + world`, and so
# on. All processes together take each clip exactly once.

# %%
ex = exercises.get("12.split")


def my_clips(clips, rank, world):
    # your code
    ...


ex.check(my_clips)

# %% [markdown]
# The same with shards, by hand, and equal to `lib`'s plan:

# %%
vlm = load(MODEL)
videos = read_source(SOURCE, "en").videos
features = Features(vlm, frames=16)
SIZE = 5  # clips to a shard; in earnest some hundreds


def my_shards(clips, size, rank, world):
    """The shards of one process, each as the numbers of its clips."""
    shards = [list(range(start, min(start + size, clips))) for start in range(0, clips, size)]
    return shards[rank::world]


plan = plan_of(videos, features, SIZE)
for rank in range(PROCESSES):
    theirs = [list(plan.part(shard)) for shard in plan.of(World(rank, PROCESSES))]
    mine = [[videos[clip].name for clip in shard] for shard in my_shards(len(videos), SIZE, rank, PROCESSES)]
    print(f"process {rank}: {len(mine)} of {plan.count} shards, {'equal' if mine == theirs else 'DIFFERENT'}")

# %% [markdown]
# Now for real: two processes with torchrun, and after some shards we end them in the middle of their work.
# (`SIGTERM`, as a preempted machine does; the tests use `SIGKILL` on one of them.) Both run the same script. `started` gives us torchrun's process.
# No process talks to another, so there is nothing to wait for, and no process group.

# %%
extraction = work / "extraction.py"
extraction.write_text(f"""
import sys
from lib.data import Features
from lib.data.formats import read_source
from lib.data.shards import extract
from lib.finetune.processes import world
from lib.vlm import load

me = world({PROCESSES})
videos = read_source("{SOURCE}", "en").videos
written = extract(videos, Features(load("{MODEL}"), frames=16), sys.argv[1], size={SIZE}, world=me)
print(f"process {{me.rank}}: {{len(written.made)}} shards in {{written.seconds:.2f}} s\\n", end="", flush=True)
""")
with processes.started(PROCESSES, str(extraction), str(work / "killed")) as (torchrun, output):
    while len(list(work.glob("killed/shard-*"))) < 6 and torchrun.poll() is None:
        time.sleep(0.02)
there = [shard_path(work / "killed", shard).exists() for shard in range(plan.count)]
print(f"ended with code {torchrun.returncode}; {sum(there)} of {plan.count} shards are there")
try:
    Cache(work / "killed")
except FileNotFoundError as error:
    print("reading it:", str(error).replace(str(work), "..."))

# %% [markdown]
# To make things worse, we cut off one of the finished shards, as a full disk or a bad copy does. Then we go on, with **one** process this time, in this notebook.
#
# **Predict before you run.** How many shards does the second run have to make?

# %%
my_made = plan.count  # change me

broken = there.index(True)
path = shard_path(work / "killed", broken)
path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

written = extract(videos, features, work / "killed", SIZE)
cache = seal(work / "killed")
print(
    f"predicted {my_made}, measured {len(written.made)} made and {len(written.remade)} made again; {len(written.kept)} kept"
)
print("made again:", {f"shard {shard}": why for shard, why in written.remade.items()})
states = [
    "made again" if shard in written.remade else "made" if shard in written.made else "kept"
    for shard in range(plan.count)
]
first = [f"process {shard % PROCESSES}" if there[shard] else "not there" for shard in range(plan.count)]
plots.shard_map({"two processes, ended": first, "one process, to the end": states})

# %% [markdown]
# ### Exercise 12.todo: what is still to be made
#
# difficulty ●●●○○ · importance ●●●●● · 8 minutes
#
# `clips` clips lie in shards of `size`, numbered from 0; the last may be smaller. Process `rank` of `world` makes shards `rank`, `rank + world`, and so
# on. The run was killed; `there` lists the shards that are complete, by whomever. Return the numbers of those that this process still has to make, in
# order.

# %%
ex = exercises.get("12.todo")


def my_todo(clips, size, rank, world, there):
    # your code
    ...


ex.check(my_todo)
print(
    f"missing after the first run: {len(ex.or_lib(my_todo)(len(videos), SIZE, 0, 1, [n for n in range(plan.count) if there[n]]))}; made by lib: {len(written.made)}"
)

# %% [markdown]
# Read back, it is in order, and equal to what the tower computes. `cache(video)` is a function from a video to its features, so a Collator (lesson 08) takes it in the place
# of `Features`:

# %%
print("in order:", [name for name, _ in cache] == [video.name for video in videos])
print("equal to the tower's:", all(torch.equal(cache(video), vlm.encode(video.frames(16))) for video in videos[::20]))
per_clip = cache.bytes / len(videos)
print(f"{len(videos)} clips, {cache.bytes / 1e6:.1f} MB: {per_clip / 1e3:.0f} kB a clip")

# %% [markdown]
# ## 3. Averaging gradients, right and wrong
#
# **Claim.** In data parallel training each process computes the gradient of its share of the batch, and the gradients are averaged (PyTorch documentation,
# *DistributedDataParallel*). That is the gradient of the whole batch if each process's loss is a *sum of its tokens' losses divided by the same number*. It is
# not if each divides by its own number of answer tokens: then a token of a short caption counts for more. The usual loss of transformers does that:
# it is a mean over the tokens of its batch.
#
# **Predict before you run.** Four captions, two for each process. How far is the mean of the two means from the loss of the whole batch?

# %%
my_gap = 0.0  # change me

examples = captioning(videos, "en")
collate = Collator(vlm, vlm.default_reducer, cache)
batch = examples[:4]
halves = batch[0::2], batch[1::2]


@torch.no_grad()
def loss(some, **settings):
    inputs = {name: tensor.to(vlm.device) for name, tensor in collate(some).items()}
    with vlm.looking_through(collate.reducer):
        return vlm.model(**inputs, **settings).loss.item()


answers = [int((collate(half)["labels"] != IGNORE).sum()) for half in halves]
whole, naive = loss(batch), sum(map(loss, halves)) / 2
right = sum(loss(half, num_items_in_batch=sum(answers) / 2) for half in halves) / 2
print(f"answer tokens: {answers[0]} and {answers[1]}")
print(
    f"the whole batch {whole:.6f};  mean of two means {naive:.6f}, {abs(naive - whole):.6f} away (predicted {my_gap})"
)
print(f"sums divided by the tokens per process {right:.6f}, {abs(right - whole):.0e} away")

# %% [markdown]
# The argument is called `num_items_in_batch`: all answer tokens of all processes, divided by the number of processes. Counting them takes one number to be
# exchanged per step. transformers' Trainer, which trains in this course, does it by itself (its setting `average_tokens_across_devices`).

# %% [markdown]
# ### Exercise 12.gradient: one gradient of several
#
# difficulty ●●●○○ · importance ●●●●● · 8 minutes
#
# Process w computed `gradients[w]`, of `gradients` (W, N): the gradient of the *mean* loss over its `tokens[w]` answer tokens. Return the gradient of
# the mean loss over the answer tokens of all processes, (N,).

# %%
ex = exercises.get("12.gradient")


def my_gradient(gradients, tokens):
    # your code
    ...


ex.check(my_gradient)
print(
    f"two means, weighed so: {float(ex.or_lib(my_gradient)(torch.tensor([[loss(half)] for half in halves]), torch.tensor(answers).float())[0]):.6f}; the whole batch {whole:.6f}"
)

# %% [markdown]
# ## 4. DDP and FSDP2 for real
#
# Two ways to train on several cards:
#
# - **DDP**: each process holds the whole model and its own examples; gradients are averaged. `accelerate` wraps the model.
# - **FSDP2** (`fully_shard`, PyTorch documentation): each process holds its rows of every weight of the language model. Before a layer computes, all fetch the
#   others' rows; after it they drop them again. Nobody ever has the whole model, not even while it is loaded: `lib.vlm.sharded` reads only its own rows from
#   the files.
#
# What is small stays whole in every process: the vision tower (each computes its own features), the projector, and LoRA. The gradients of LoRA are averaged as
# in DDP.
#
# First the features once more, now uninterrupted, with two processes. Then a *job*: the file of settings and the command `train` of lesson 08. We run it
# three times: in one process (this one), in two with DDP, and in two with FSDP2. Two processes take half the batch each. FSDP2 is switched on by one variable
# of the environment, which `accelerate launch --config_file jobs/accelerate/fsdp.yaml` sets on a machine with GPUs. All see the same 4 examples a step, whoever
# computes them. On the command line the second and the third are
#
# ```
# torchrun --nproc-per-node 2 -m lib train job.yaml batch=2
# ACCELERATE_USE_FSDP=true torchrun --nproc-per-node 2 -m lib train job.yaml batch=2
# ```
#
# Here one launch does both, because each start imports PyTorch for seconds.

# %%
refilled = say(processes.torchrun_command(PROCESSES, str(extraction), str(work / "whole")))
seal(work / "whole")
print("\n".join(refilled))
RANK = 8
job_file = work / "job.yaml"
job_file.write_text(f"""
data: {TRAINED_ON}
language: en
model: {MODEL}
frames: 4
rank: {RANK}
steps: 4
accumulation: 1
learning_rate: 2.0e-3
checkpointing: false
validation: 0
output: {work / "job"}
""")


with redirect_stderr(StringIO()):  # its lines of progress
    alone = train_job(read_job(job_file, ["batch=4"]))

both = work / "both.py"
both.write_text(f"""
import os
from lib.job.settings import read_job
from lib.job.training import train_job

for name, fsdp in ("ddp", "false"), ("fsdp2", "true"):
    os.environ["ACCELERATE_USE_FSDP"] = fsdp
    train_job(read_job("{job_file}", ["batch=2", "output={work}/" + name]))
""")
said = processes.launch(PROCESSES, str(both))
ddp, fsdp2 = (read_log(work / name / "log.jsonl") for name in ("ddp", "fsdp2"))
held = re.findall(r"held ([\d,]+) of [\d,]+ numbers, at most ([\d,]+) MiB", said)  # a line of each process
held = [tuple(int(text.replace(",", "")) for text in pair) for pair in held]
ddp_held, fsdp2_held = held[:PROCESSES], held[PROCESSES:]


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


print(
    "killed, damaged, finished by one process; or by two in one go: the same bytes?",
    content(work / "killed") == content(work / "whole"),
)

# %% [markdown]
# **Predict before you run.** How far apart are the losses of one process and of two? (With 32-bit numbers, additions in another order differ in the last digits.)

# %%
my_difference = 0.1  # change me

print(f"{'step':<6}{'one process':>13}{'DDP':>12}{'FSDP2':>12}")
for one, two, shared in zip(alone, ddp, fsdp2, strict=True):
    print(f"{one.step:<6}{one.loss:>13.6f}{two.loss:>12.6f}{shared.loss:>12.6f}")
furthest = max(abs(step.loss - one.loss) for log in (ddp, fsdp2) for step, one in zip(log, alone, strict=True))
print(
    f"furthest apart: predicted {my_difference}, measured {furthest:.0e}, {'within' if furthest < 1e-5 else 'NOT WITHIN'} 1e-5"
)

# %% [markdown]
# Now what each process **holds**. By hand: a weight of n rows is cut by `chunk` into as many pieces as there are processes, and a rank keeps its piece.
# Sum that over the weights that are cut, and add the rest:

# %%
fresh = load(MODEL)
language = fresh.model.model.language_model
cut = [*language.layers.parameters()]
if fresh.model.lm_head.weight is not language.embed_tokens.weight:  # tiny has one matrix for both, and keeps it whole
    cut += [fresh.model.lm_head.weight, language.embed_tokens.weight]
add_lora(fresh, RANK)
everything, in_pieces = (sum(weight.numel() for weight in some) for some in (fresh.model.parameters(), cut))


def my_part(weights, rank, world):
    """How many numbers process `rank` of `world` holds if every weight is cut by rows."""
    pieces = [weight.chunk(world) for weight in weights]
    return sum(of_weight[rank].numel() for of_weight in pieces if rank < len(of_weight))


for rank in range(PROCESSES):
    mine = everything - in_pieces + my_part(cut, rank, PROCESSES)
    held = {numbers for numbers, _ in fsdp2_held}
    print(
        f"process {rank}: DDP holds {ddp_held[rank][0]:,}; FSDP2 by hand {mine:,}, {'as printed' if mine in held else 'DIFFERENT'}"
    )
seven_b = MODELS["7b"]
part = 1 - (seven_b.vision.parameters + seven_b.projector_parameters) / seven_b.parameters
print(f"cut into pieces: {in_pieces / everything:.0%} of {MODEL}, {part:.0%} of the 7B")

# %% [markdown]
# That is the point of FSDP: a 7B in 16 bits takes 14.1 GB for its weights on *each* card with DDP, and little more than 14.1 GB divided by the number of
# cards with FSDP. For LoRA in 4 bits (QLoRA) the weights are 4 GB and DDP is the simpler choice. Both together work as well, for a 34B on small cards: each layer is
# put into 4 bits and then cut. The tests run that on two processes, to the same loss as one.
#
# **And the speed?** Two processes on two cores.
#
# **Predict before you run.** How many times as fast as one process?

# %%
my_speedup = {"features": 2.0, "DDP": 2.0, "FSDP2": 2.0}  # change me

clips_per_second = (len(written.made) + len(written.remade)) * SIZE / written.seconds
both = len(videos) / max(float(line.split()[-2]) for line in refilled)
speedup = {
    "features": both / clips_per_second,
    "DDP": sum(step.seconds for step in alone) / sum(step.seconds for step in ddp),
    "FSDP2": sum(step.seconds for step in alone) / sum(step.seconds for step in fsdp2),
}
for what, times in speedup.items():
    print(f"{what:<10} predicted {my_speedup[what]:.1f} times as fast, measured {times:.2f}")
print(
    f"memory: {' and '.join(f'{number} MiB' for _, number in fsdp2_held)} in the two processes, most of it Python and torch"
)

# %% [markdown]
# What these ratios show, and what not:
#
# - **Features** need no word between processes, so two cores can give nearly twice the clips per second if nobody else wants them. On a machine that
#   is busy with other things, as ours often is, the ratio is anything from below 1 to 2.
# - **Training** talks after every step. On a model of 1.5 million numbers with batches of four, that can be a large part of the time, and FSDP2 talks before
#   every layer as well. A step of a 7B computes for seconds; these ratios are no prediction for it.
# - **Starting** is not in them: each process imports torch and loads the model before it does anything. For a job of seconds that is most of it.

# %% [markdown]
# ### Exercise 12.way: one copy or many
#
# difficulty ●●○○○ · importance ●●●●○ · 3 minutes
#
# LoRA on the 34B in 16 bits: 65 GiB of weights. There are four cards of 40 GB. How do you start, and why?
#
# - **a** DDP
# - **b** one process on one card
# - **c** FSDP2
#
# because
#
# - **1** it exchanges less between the processes in each step
# - **2** only gradients have to be averaged between the cards
# - **3** no card has room for all of the weights

# %%
ex = exercises.get("12.way")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# ### When a process fails
#
# torchrun ends the others and exits with code 1. `processes.launch` makes one `RuntimeError` of it, in one sentence: which process was killed, or the first
# error. The last checkpoint stays whole. It does not depend on the number of processes, so `train` goes on with one, two or eight of them, as long
# as batch x accumulation x processes stays the same.

# %% [markdown]
# ## 5. What it costs
#
# From here on it is arithmetic for the real 7B; nothing below was measured. Hours rather than money, because prices change by the month and by
# the contract: multiply by yours. Every assumption is a field that you can change:

# %%
job_7b = Workload(
    clips=1_000_000,
    model=MODELS["7b"],
    frames=32,  # 4,608 visual tokens
    answer=256,  # tokens; detailed Korean captions have 932 on average (lesson 02)
    compute=0.4,  # share of a card's peak that encoding, prompts and training reach: an assumption
    bandwidth=0.6,  # share of its peak bandwidth that writing the answer reaches: an assumption
    read_seconds=0.5,  # of a CPU core, to decode the frames of one clip: measure yours with lesson 01
)
for name, card in PEAKS.items():
    print(
        f"{name:<9}{card.teraflops:>6.0f} TFLOPS (16 bits, dense){card.gigabytes_per_second:>7,.0f} GB/s   weights: {card.precision}"
    )

# %% [markdown]
# **Disk first.** Features are frames x patches x width x 2 bytes.
#
# **Predict before you run.** How many megabytes are the features of one clip of 32 frames, before pooling? A clip of ten seconds as an mp4 file has one or two.

# %%
my_megabytes = 1.0  # change me

one = replace(job_7b, clips=1)
print(
    f"one clip: predicted {my_megabytes} MB, it is 32 x 576 x 1,024 x 2 bytes = {one.feature_bytes(pooled=False) / 1e6:.1f} MB; pooled {one.feature_bytes() / 1e6:.1f} MB"
)
print(f"{'clips':>12}{'frames':>16}{'all patches':>14}{'pooled 2 x 2':>14}")
for clips in (10_000, 1_000_000, 100_000_000):
    some = replace(job_7b, clips=clips)
    print(
        f"{clips:>12,}{clips * some.frames:>16,}{some.feature_bytes(pooled=False) / 1e12:>11,.2f} TB{some.feature_bytes() / 1e12:>11,.2f} TB"
    )

# %% [markdown]
# Features are larger than the videos. Is it worth keeping them? They save one pass of the vision tower per epoch, and the decoding of the video:

# %%
encode, learn = one.encoding_hours("A100-40"), one.training_hours("A100-40")
print(f"vision tower: {encode * 3600:.2f} s of an A100 per clip; one LoRA step on it: {learn * 3600:.2f} s")
print(
    f"so keeping features saves {encode / (encode + learn):.0%} of the card's time per epoch, and {one.read_seconds} s of a CPU core"
)

# %% [markdown]
# A small share: the 7B language model is where the time goes. Keep features when you train for several epochs, try many settings, or have too few CPU cores to decode video as fast
# as the card wants it; keep them *pooled*, unless you want to compare reducers. At 100 million clips, decode and encode on the way.
#
# **Then hours.** Captioning has three stages, and they are bound by different things: the vision tower and the prompt by computing, the answer by memory (each
# token reads all weights once for the whole batch, and every clip's key-value cache; lesson 02).

# %%
deadline = 7 * 24
print(
    f"{'':<9}{'batch':>6}{'hours for 10 K':>16}{'1 M':>11}{'100 M':>13}{'cards for 1 M in a week':>25}{'LoRA, 1 epoch of 10 K':>23}"
)
for card in PEAKS:
    hours = [replace(job_7b, clips=clips).captioning_hours(card) for clips in (10_000, 1_000_000, 100_000_000)]
    lora = replace(job_7b, clips=10_000).training_hours(card)
    print(
        f"{card:<9}{job_7b.batch(card):>6}{hours[0]:>16,.1f}{hours[1]:>11,.0f}{hours[2]:>13,.0f}{cards_for(hours[1], deadline):>25,}{lora:>23,.1f}"
    )
print(f"CPU cores to decode 1 M clips in a week: {cards_for(job_7b.reading_hours, deadline)}")
stages = {
    card: {
        "frames to tokens": job_7b.encoding_hours(card),
        "prompt": job_7b.prefill_hours(card),
        "answer": job_7b.decoding_hours(card),
    }
    for card in PEAKS
}
plots.stacked_hours(stages, "card hours for 1 M clips")

# %% [markdown]
# How to read it:
#
# - **10 K clips** is a job for one card: about a day of a T4 (a free one's sessions end before that: hence the shards), or a few hours of a large card.
# - **1 M clips** is a job for a machine of several cards, for days.
# - **100 M clips** is a cluster and weeks, and the place to spend thought before money: fewer frames, SlowFast tokens (lesson 05), a shorter answer, a smaller model. Halve the tokens and you halve the prompt.
# - The answer's part depends on the batch: a card with little memory writes for few clips at a time, and reads all weights for each token again.

# %%
lean = replace(job_7b, frames=16, answer=128)
saved = 1 - lean.captioning_hours("A100-40") / job_7b.captioning_hours("A100-40")
print(f"16 frames and 128 tokens in place of 32 and 256: {saved:.0%} fewer hours on an A100")

# %% [markdown]
# ### Exercise 12.hours: hours of writing
#
# difficulty ●●●○○ · importance ●●●●○ · 8 minutes
#
# A card writes answers of `answer` tokens for `clips` clips, `batch` of them at a time. A step writes one token for each clip of the batch; it reads
# the language model, `weights` bytes, once, and each clip's cache, `cache` bytes on average, at `speed` bytes a second. Nothing else takes time. How
# many hours? (`batch` divides `clips`.)

# %%
ex = exercises.get("12.hours")


def my_hours(clips, batch, answer, weights, cache, speed):
    # your code
    ...


ex.check(my_hours)

# %% [markdown]
# With the numbers of the A100 in the table:

# %%
seven, a100 = job_7b.model, PEAKS["A100-40"]
language = weight_bytes(seven, a100.precision, keep_vision=True) - 2 * (
    seven.vision.parameters + seven.projector_parameters
)
one_cache = kv_bytes(seven, job_7b.tokens + job_7b.answer // 2)  # half of the answer is written, on average
reach = a100.gigabytes_per_second * 1e9 * job_7b.bandwidth
mine = ex.or_lib(my_hours)(job_7b.clips, job_7b.batch("A100-40"), job_7b.answer, language, one_cache, reach)
print(f"1 M clips: {mine:,.0f} hours of writing; lib {job_7b.decoding_hours('A100-40'):,.0f}")

# %% [markdown]
# ### On several machines
#
# torchrun is started once on each, with one address that all can reach. Not run here:
#
# ```
# torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint first-machine:29400 -m lib train job.yaml
# ```
#
# The job's output folder is one that all machines see: features and checkpoints lie in it. If a machine dies, start the same line again on those that are left,
# with another `accumulation`: the shards that are there stay, and the run goes on from its checkpoint.

# %% [markdown]
# ## 6. Serving the 7B with vLLM: a recipe
#
# **This was not run here.** It needs a GPU and a download of 14 GB. It was written from the source of **vLLM 0.33.0**, the newest release when this lesson was made.
# That version pins torch 2.14.0 and transformers 5.16.1 to 5.20, and this course has others: give it an environment of its own.
#
# ```
# python3 -m venv vllm-env
# vllm-env/bin/pip install vllm==0.33.0
# vllm-env/bin/vllm serve llava-hf/LLaVA-NeXT-Video-7B-hf \
#     --dtype float16 --max-model-len 8192 \
#     --limit-mm-per-prompt '{"video": 1}' \
#     --media-io-kwargs '{"video": {"num_frames": 32}}' \
#     --allowed-local-media-path /data/clips \
#     --enable-lora --max-lora-rank 16 --lora-modules korean=/data/korean-lora
# ```
#
# ```python
# from openai import OpenAI
#
# client = OpenAI(base_url="http://localhost:8000/v1", api_key="none")
# video = {"type": "video_url", "video_url": {"url": "file:///data/clips/0001.mp4"}}
# text = {"type": "text", "text": "이 영상을 한국어로 상세히 묘사해주세요."}
# answer = client.chat.completions.create(
#     model="korean", messages=[{"role": "user", "content": [video, text]}], max_tokens=1600, temperature=0
# )
# ```
#
# What its source says (`vllm/model_executor/models/llava_next_video.py`, `vllm/multimodal/video.py`):
#
# - **One video per prompt** (`get_supported_mm_limits`), no images.
# - **One reducer**: the configuration's pooling, "average" or "max". SlowFast-LLaVA and the others would need a change of that file.
# - **Frames**: 32 unless told otherwise, by `np.linspace(0, total - 1, n, dtype=int)`. That is LLaVA-NeXT's rule, the one of `lib`, so a served model sees the
#   frames that it was trained on. The cell below compares the two.
# - **LoRA** is supported for this class. Whether it takes an adapter that peft saved under transformers 5 was not tried: names of layers changed (`hf_to_vllm_mapper`).
# - 32 frames are 4,608 tokens, more than Vicuna's 4,096: `--max-model-len 8192` needs the configuration with a RoPE factor (lesson 04, section 8).
# - A T4 is no card for it: 13.2 GiB of 16-bit weights leave no room for a cache on 14.75 GiB.

# %%
same = [
    list(np.linspace(0, total - 1, n, dtype=int)) == sample_uniform(total, n)
    for total in range(40, 2000, 7)
    for n in (8, 16, 32)
]
print(f"vLLM's rule and lib's: {'the same frames' if all(same) else 'DIFFERENT'} in {len(same)} cases")

# %% [markdown]
# ## What to remember
#
# - A launcher that starts one process instead of two does not say so. Check the world size in the script, and what each process holds in memory.
# - Split work by the list of clips, not by the number of processes; write beside and rename; plan first, manifest last. Then a kill costs one shard, and the bytes are the same.
# - Averaged gradients equal those of one process only if every process divides by the same number of tokens.
# - DDP copies the model, FSDP cuts it. Choose by what fits: QLoRA on a 7B fits on every card, so DDP.
# - Ratios from two busy cores say that the machinery works, not how fast a cluster is.
# - Features are larger than videos and save a small share of a 7B's training. Pool them before you keep them.
