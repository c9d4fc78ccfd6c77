# %% [markdown]
# # 12 Scale out: from one process to many
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/12_scale_out.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | prove that several processes run; extract features so that a lost machine costs one shard; write DDP and FSDP2 yourself; go on with fewer machines; say what 10 thousand, 1 million or 100 million clips cost |
# | **Minutes** | 45 to read and think; 2 to run on two CPU cores or on a T4 |
# | **Memory** | 2 GB, in all processes together |
# | **Downloads** | none |
# | **Needs** | lessons 02 and 08 |

# %% [markdown]
# ## 한국어 요약
#
# 프로세스 하나로 하던 일을 여러 프로세스로 나누는 수업입니다. 먼저 프로세스를 2개로 지정해도 경고 없이 1개만 띄우는 런처가 있다는 것을 확인합니다.
# 다음으로 많은 클립의 특징을 샤드 파일로 저장합니다. 도중에 강제로 종료해도 이어서 계속할 수 있고, 프로세스 수가 바뀌어도 결과 파일의 바이트는 같습니다.
# 그다음 DDP와 FSDP2를 노트북에서 15줄 정도로 직접 구현하고, 손실이 프로세스 하나일 때와 같은지 확인합니다. 컴퓨터 한 대를 잃었을 때 torchrun이 실제로 어떻게 동작하는지,
# 남은 컴퓨터로 이어서 학습하려면 배치 × 누적 × 프로세스 수를 어떻게 맞춰야 하는지도 측정합니다. 마지막으로 클립 1만 개, 100만 개, 1억 개의 디스크 용량과 GPU 시간을 계산하고,
# 학습할 때와 같은 프레임 수와 프롬프트로 7B를 vLLM에서 서비스하는 명령을 만듭니다. vLLM은 여기서 실행하지 않았습니다.
#
# 연습 문제를 한국어로 보려면 `exercises.language("ko")`를 한 번 실행하세요.

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
# What you may ignore: files, processes and figures
import inspect
import os
import subprocess
import tempfile
import time
from pathlib import Path

import torch

from lib import exercises, plots
from lib.exercises import calibration, predict

plots.style()
folder = tempfile.TemporaryDirectory()  # goes away with the notebook
work = Path(folder.name)
PROCESSES = 2

# %% [markdown]
# ## 1. How do you know that there are two processes?
#
# A *launcher* starts your script several times. It gives each copy two environment variables: its number, `RANK` (0, 1,
# ...), and the number of copies, `WORLD_SIZE` (PyTorch documentation, *torchrun*). Only these two tell the script
# that it is not alone. Some launchers silently start one process. Your script runs, prints no error, and trains on one
# card (huggingface/accelerate#2741).
#
# `lib.finetune.processes` writes torchrun's command, starts it, and ends it. The script below only prints these two
# numbers:

# %%
from lib.finetune import processes  # what this section is about

who = work / "who.py"
who.write_text("""
import os
print(f"process {os.environ.get('RANK', 0)} of {os.environ.get('WORLD_SIZE', 1)}\\n", end="", flush=True)
""")


def lines_of(command):
    """Run a command; the lines in which its processes say who they are."""
    done = subprocess.run(command, capture_output=True, text=True, env=processes.environment(), timeout=600)
    assert done.returncode == 0, done.stderr[-500:]
    return sorted(line for line in done.stdout.splitlines() if line.startswith("process"))


# %% [markdown]
# **Predict before you run.** How many processes does `accelerate launch --cpu --num_processes 2` start?

# %%
my_processes = None  # your guess

accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", str(who)]
by_accelerate, by_torchrun = lines_of(accelerate), lines_of(processes.torchrun_command(2, str(who)))
print("accelerate launch:", "; ".join(by_accelerate))
print("torchrun:", "; ".join(by_torchrun))
predict("processes that accelerate launch starts", my_processes, len(by_accelerate))

# %% [markdown]
# It starts 1; torchrun starts 2. With GPUs, `accelerate launch` does start two; only its CPU path does not. But a CPU
# is where you try things out. So let every script that needs two processes check first:

# %%
expected, found = 2, int(os.environ.get("WORLD_SIZE", 1))
print("by hand:", "as asked for" if expected == found else f"asked for {expected}, there are {found}")
try:
    processes.world(expected)
except ValueError as error:
    print("lib:", error)

# %% [markdown]
# transformers' Trainer has the same trap. On CPUs, its setting `fsdp=True` trains with DDP instead, without a message,
# because accelerate turns FSDP on for GPUs only (`AcceleratorState` in `state.py`). So do not trust the configuration.
# Print how many weights each process holds, as section 4 does; it also explains DDP and FSDP.

# %% [markdown]
# ## 2. What is left when a machine is switched off?
#
# The vision tower is frozen, so you compute its features once and keep them in files of several hundred clips,
# the *shards*. For many clips that takes hours on many cards, and some machine will fail on the way. A file that has a
# shard's name must then be complete. Three rules ensure that:
#
# 1. **The list of clips alone decides which clip lies in which shard**, not the number of processes. Process r of w
#    makes shards r, r + w, ...
# 2. **Write under another name, then rename.** A rename is atomic, so a file with a shard's name is whole.
# 3. **A plan first, a manifest last.** plan.json says what there will be; manifest.json says what there is (bytes,
#    sha256, clips that could not be read). All processes would write the same plan, so the first one writes it.
#
# `extract` follows these rules (`lib/data/shards.py`). Two processes run it; they never communicate. We end them in the
# middle of their work with `SIGTERM`, as a cloud ends a preempted machine.

# %%
from lib.data import Features  # what this section is about
from lib.data.formats import read_source
from lib.data.shards import Cache, World, extract, plan_of, seal, shard_path
from lib.vlm import load

MODEL, SOURCE = "tiny", "toybox:0:160"  # or a folder in AI-Hub's layout (lesson 08)
SIZE = 5  # clips to a shard; in real use several hundred
vlm = load(MODEL)
videos = read_source(SOURCE, "en").videos
features = Features(vlm, frames=16)
plan = plan_of(videos, features, SIZE)
for rank in range(PROCESSES):
    mine = plan.of(World(rank, PROCESSES))
    print(f"process {rank} makes {len(mine)} of {plan.count} shards: {', '.join(map(str, mine[:4]))} ...")

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
extract(videos, Features(load("{MODEL}"), frames=16), sys.argv[1], size={SIZE}, world=me)
""")


def complete():
    """The shards that are there."""
    return [shard for shard in range(plan.count) if shard_path(work / "killed", shard).exists()]


def by_process():
    """How many shards each process has made so far."""
    return [sum(shard % PROCESSES == rank for shard in complete()) for rank in range(PROCESSES)]


with processes.started(PROCESSES, str(extraction), str(work / "killed")) as (torchrun, output):
    while min(by_process()) < 3 and torchrun.poll() is None:
        time.sleep(0.02)
there = complete()
print("plan.json is there:", (work / "killed" / "plan.json").exists())
print(f"{len(there)} of {plan.count} shards are there, {' and '.join(map(str, by_process()))} by process")
try:
    Cache(work / "killed")
except FileNotFoundError as error:
    print("reading it:", str(error).replace(str(work), "..."))

# %% [markdown]
# Both processes have left shards, and the plan lies beside them. Reading the folder fails, so nobody takes it for a
# finished one.
#
# Now we cut one of the finished shards in half, as a full disk or a broken copy does. Then **one** process goes on, in
# this notebook.

# %%
broken = there[0]
path = shard_path(work / "killed", broken)
path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

written = extract(videos, features, work / "killed", SIZE)
cache = seal(work / "killed")
print(f"{len(written.kept)} kept, {len(written.made)} made, {len(written.remade)} made again")
print("made again:", written.remade)
print("in the order of the clips:", [name for name, _ in cache] == [video.name for video in videos])
same = all(torch.equal(cache(video), vlm.encode(video.frames(16))) for video in videos[::20])
print("equal to what the tower computes:", same)
states = {shard: "kept" for shard in written.kept} | {shard: "made" for shard in written.made}
states |= {shard: "made again" for shard in written.remade}
first = [f"process {shard % PROCESSES}" if shard in there else "not there" for shard in range(plan.count)]
second = [states[shard] for shard in range(plan.count)]
plots.shard_map(
    {"two processes, ended": first, "one process, to the end": second},
    "After the kill, one process makes only what is missing or damaged",
)

# %% [markdown]
# The second run kept every whole shard and made the damaged one again. It noticed the damage because a shard's header
# says how long the file must be. Are the bytes those of a run that nobody killed? Section 4 answers that.

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

# %%
todo = ex.or_lib(my_todo)(len(videos), SIZE, 0, 1, there)
print(f"missing after the first run: {len(todo)}; made by lib: {len(written.made)}")

# %% [markdown]
# ## 3. When is the mean of two gradients the gradient of the whole batch?
#
# In data parallel training each process computes the gradient of its share of the batch. Then the gradients are
# averaged (PyTorch documentation, *DistributedDataParallel*). But in each process, the loss of transformers is a mean
# over the answer tokens of *its own* share. Captions differ in length, so the shares differ in tokens, and the mean of
# two means is another number than the mean of the batch. A token of the shorter share counts for more.

# %%
from lib.data import Collator, captioning  # what this section is about
from lib.packing import IGNORE

collate = Collator(vlm, vlm.default_reducer, cache)  # the sealed folder in place of `Features`
examples = captioning(videos, "en")


def answer_tokens(some):
    """How many tokens of these examples are answers: all others are masked in the labels."""
    return int((collate(some)["labels"] != IGNORE).sum())


@torch.no_grad()
def loss(some, **settings):
    """transformers' loss of these examples."""
    with vlm.looking_through(collate.reducer):
        return vlm.model(**collate(some), **settings).loss.item()


batch = examples[:4]
halves = batch[0::2], batch[1::2]  # what process 0 and process 1 see
tokens = [answer_tokens(half) for half in halves]
whole, naive = loss(batch), sum(map(loss, halves)) / 2
right = sum(loss(half, num_items_in_batch=sum(tokens) / 2) for half in halves) / 2
print(f"answer tokens: {tokens[0]} and {tokens[1]}")
print(f"the whole batch {whole:.6f}; mean of two means {naive:.6f}, {abs(naive - whole) / whole:.2%} away")
print(f"sums divided by the tokens per process: {right:.6f}, {abs(right - whole) / whole:.0e} away")

# %% [markdown]
# The mean of two means is off by about 1 %. The remedy is the argument `num_items_in_batch`: every process divides its
# sum of losses by the same number. That number is the count of all answer tokens, divided by the number of processes.
# To know it, the processes exchange one number per step. The Trainer does it by itself
# (`average_tokens_across_devices`).

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

# %%
two = torch.tensor([[loss(half)] for half in halves])
weighed = ex.or_lib(my_gradient)(two, torch.tensor(tokens).float())
print(f"two means, weighed so: {float(weighed[0]):.6f}; the whole batch {whole:.6f}")

# %% [markdown]
# ### Exercise 12.gap: how much more a token counts
#
# difficulty ●●○○○ · importance ●●●●○ · 8 minutes
#
# An experiment. Take the 160 `examples` of the lesson in 40 batches of four, in their order. Process 0 gets examples 0 and 2 of each batch, process 1
# gets 1 and 3. With a mean of two means, a token of the share with fewer answer tokens counts for more. How many times as much, on average over the
# batches? Then sort the examples by length and measure again.

# %%
ex = exercises.get("12.gap")
my_gap = ...  # your measurement
ex.check(my_gap)

# %% [markdown]
# ## 4. What do DDP and FSDP2 do, line by line?
#
# **DDP**: each process holds the whole model and sees its own examples. All begin with the weights of process 0. After each backward pass the gradients are averaged. That is all.
#
# **FSDP2** (fully sharded data parallel, arXiv 2304.11277; `fully_shard`, PyTorch documentation): each process holds its rows of every weight. Before a layer computes, all processes fetch each
# other's rows; afterwards they drop them. The backward pass gives each process the averaged gradient of its own rows.
#
# Both, and the training loop around them:

# %%
import torch.distributed as dist  # what this section is about
from torch.distributed.fsdp import fully_shard

from lib.finetune import add_lora, trainable


def average(tensors):
    """Replace each tensor by its mean over all processes."""
    for tensor in tensors:
        dist.all_reduce(tensor)
        tensor /= dist.get_world_size()


def alone(model):
    return lambda gradients: None  # nobody to average with


def ddp(model):
    for weight in model.parameters():
        dist.broadcast(weight.data, src=0)  # all begin alike
    return average


def fsdp2(model):
    for layer in model.model.language_model.layers:
        fully_shard(layer)
    return lambda gradients: None  # fully_shard averages them itself


def learn(way, videos, rank=0, world=1, steps=4):
    """Some steps of LoRA: the loss of each step, and how many numbers this process holds."""
    vlm = load("tiny")
    add_lora(vlm, rank=8)
    after_backward = way(vlm.model)
    weights = [*trainable(vlm).values()]
    optimizer = torch.optim.AdamW(weights, 2e-3)
    collate = Collator(vlm, vlm.default_reducer, Features(vlm, frames=4))
    losses = []
    for step in range(steps):
        batch = captioning(videos, "en")[4 * step : 4 * step + 4]
        tokens = (collate(batch)["labels"] != IGNORE).sum() / world  # section 3
        with vlm.looking_through(collate.reducer):
            loss = vlm.model(**collate(batch[rank::world]), num_items_in_batch=tokens).loss
        loss.backward()
        after_backward([weight.grad for weight in weights])
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    if world > 1:
        average(losses)
    held = [weight.to_local() if hasattr(weight, "to_local") else weight for weight in vlm.model.parameters()]
    return [loss.item() for loss in losses], sum(weight.numel() for weight in held)


by_one = learn(alone, videos)
print("one process:", " ".join(f"{loss:.6f}" for loss in by_one[0]))

# %% [markdown]
# Now the same functions run in two processes: `inspect.getsource` copies them into a script. Every start needs seconds
# to import PyTorch, so this one launch does two more things. It fills a second folder of features. And it trains a
# *job* of lesson 08 with the course's own `train` and FSDP2. Then we compare.

# %%
from lib.finetune import read_log
from lib.job.settings import read_job
from lib.job.training import train_job

job_file = work / "job.yaml"
job_file.write_text(f"""
data: toybox:0:40
language: en
model: {MODEL}
frames: 4
rank: 8
steps: 16
every: 4
accumulation: 1
learning_rate: 2.0e-3
checkpointing: false
validation: 0
output: {work / "job"}
""")
IMPORTS = """
import json, os, time
import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from lib import quiet
from lib.data import Collator, Features, captioning
from lib.data.formats import read_source
from lib.data.shards import World, extract
from lib.finetune import add_lora, trainable
from lib.job.settings import read_job
from lib.job.training import train_job
from lib.packing import IGNORE
from lib.vlm import load
"""
in_two = work / "in_two.py"
in_two.write_text(
    "\n\n".join([IMPORTS, *map(inspect.getsource, (average, ddp, fsdp2, learn))])
    + f"""
quiet()
dist.init_process_group("gloo")
me = World(dist.get_rank(), dist.get_world_size())
videos = read_source("{SOURCE}", "en").videos
extract(videos, Features(load("{MODEL}"), frames=16), "{work / "whole"}", size={SIZE}, world=me)
for way in (ddp, fsdp2):
    line = json.dumps([way.__name__, me.rank, *learn(way, videos, *me)])
    print(f"learned {{line}}\\n", end="", flush=True)
os.environ["ACCELERATE_USE_FSDP"] = "true"  # what `accelerate launch` with jobs/accelerate/fsdp.yaml sets
train_job(read_job("{job_file}", ["batch=2", "output={work}/fsdp2"]))
"""
)
said = processes.launch(PROCESSES, str(in_two))
seal(work / "whole")


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


ended, made_in_one_go = content(work / "killed"), content(work / "whole")
equal = sum(made_in_one_go[name] == data for name, data in ended.items())
print(f"killed, damaged, finished by one; or by two in one: {equal} of {len(ended)} files are equal")

# %%
import json
from contextlib import redirect_stderr
from io import StringIO

with redirect_stderr(StringIO()):  # its lines of progress
    job_alone = train_job(read_job(job_file, ["batch=4"]))
by_two = [json.loads(line.partition(" ")[2]) for line in said.splitlines() if line.startswith("learned")]
for name, rank, losses, held in sorted(by_two):
    apart = max(abs(a - b) for a, b in zip(losses, by_one[0], strict=True))
    share = f"{held:,} numbers ({held / by_one[1]:.0%})"
    print(f"{name:<6} process {rank}: losses at most {apart:.0e} apart, holds {share}")
layers = sum(weight.numel() for weight in vlm.model.model.language_model.layers.parameters())
print(f"without LoRA, the layers are {layers / vlm.model.num_parameters():.0%} of {MODEL}")
fsdp2_log = read_log(work / "fsdp2" / "log.jsonl")
apart = max(abs(a.loss - b.loss) for a, b in zip(fsdp2_log, job_alone, strict=True))
print(f"lib's FSDP2, {len(fsdp2_log)} steps by two processes: losses at most {apart:.0e} from those of one")

# %% [markdown]
# Killed, damaged and finished by another process, or filled in one go: the folders have the same bytes in all 34 files.
#
# Two processes learn what one learns: the losses agree to 1e-5, by hand and in `train`. (Additions in another order
# change the last digits.) With DDP each process holds everything. With FSDP2 it holds 70 %: the layers, 58 % of tiny
# without LoRA, are cut in half.
#
# `train` does the same with more care. It also cuts the embedding and the output layer, and it reads only its own rows
# from the files (`lib/vlm/sharded.py`). With QLoRA a 7B fits on every card: DDP is simpler there.

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
# ## 5. A machine is lost. Which command comes next?
#
# On several machines you start torchrun once on each, with one address that all can reach:
#
# ```
# torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint first-machine:29400 -m lib train job.yaml
# ```
#
# When one machine dies, the next exchange of the others fails. If the connection breaks, it fails at once; otherwise
# after a timeout, ten minutes with NCCL (PyTorch documentation, `init_process_group`). Then each torchrun stops its
# processes and exits with code 1. `--max-restarts` is 0 unless you set it. Start the same command again on the three that are
# left, and it waits for a fourth machine: `--nnodes 4` means *exactly* four. `--nnodes 1:4` means one to four. We try
# both with one machine where two are asked for. (We shorten the waiting times; torchrun's own are 600 and 30 s.)


# %%
def one_machine(nodes):
    """torchrun on the only machine that comes: what its script says, or the error."""
    address = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]
    waiting = ["--rdzv-conf", "join_timeout=3,last_call_timeout=2"]  # seconds
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", nodes, *address, *waiting, str(who)]
    done = subprocess.run(command, capture_output=True, text=True, env=processes.environment(), timeout=120)
    return done.stdout.strip() or f"code {done.returncode}, {done.stderr.strip().split('.')[-1]}"


for nodes in ("2", "1:2"):
    print(f"--nnodes {nodes:<4} {one_machine(nodes)}")

# %% [markdown]
# `--nnodes 2` gives up with `RendezvousTimeoutError`. `--nnodes 1:2` begins with the machine that is there, after a
# *last call* for others. So write `--nnodes 1:4` from the start. The machine in the address keeps the list of members.
# If that machine fails, write another address into the command.
#
# With fewer machines a step sees fewer examples. The product **batch x accumulation x processes** must stay the same,
# or the run becomes another run. `train` refuses that. We end two processes after a checkpoint and go on with one:

# %%
lost = ["batch=2", f"output={work}/lost"]
with processes.started(PROCESSES, "-m", "lib", "train", str(job_file), *lost) as (torchrun, output):
    while not (work / "lost" / "checkpoint.safetensors").exists() and torchrun.poll() is None:
        time.sleep(0.01)
print(f"lost after step {len(read_log(work / 'lost' / 'log.jsonl'))} of 16")
with redirect_stderr(StringIO()):
    try:
        train_job(read_job(job_file, lost))
    except ValueError as error:
        print("2 x 1 x 1 is refused:", str(error).split("(")[1].split(";")[0])
    gone_on = train_job(read_job(job_file, [*lost, "accumulation=2"]))
apart = max(abs(a.loss - b.loss) for a, b in zip(gone_on, job_alone, strict=True))
print(f"2 x 2 x 1: {len(gone_on)} steps, losses at most {apart:.0e} from those of a run that lost nothing")

# %% [markdown]
# With accumulation 2, one process goes on as if nothing had been lost: its losses agree to 1e-5. But the product must
# also be *divisible*. Four machines of 8 cards with batch 1 and accumulation 1 make 32. Three machines have 24
# processes, and no whole accumulation makes 32 of them. Plan a product that survives a loss: 96 is 3 x 32 and 4 x 24.
#
# One more trap. With `--nnodes 1:4 --max-restarts 3` torchrun restarts by itself, 15 s after the last sign of life plus
# the last call. It restarts the *same* command on fewer machines: the product has changed, and `train` refuses. Restart
# it yourself, with the right accumulation. (On a Slurm cluster, `srun` starts torchrun's line once on each machine. DeepSpeed's ZeRO-3 cuts a
# model as FSDP does; the course does not use it.)

# %% [markdown]
# ### Exercise 12.again: go on with fewer machines
#
# difficulty ●●○○○ · importance ●●●●○ · 6 minutes
#
# A run takes `examples` examples in each step. Now there are `machines` machines with `cards` cards each, and one process per card takes `batch`
# examples at a time. With which `accumulation` does a step still see `examples` examples? Return 0 where no whole
# number fits.

# %%
ex = exercises.get("12.again")


def my_accumulation(examples, batch, machines, cards):
    # your code
    ...


ex.check(my_accumulation)

# %%
for examples_of_a_step in (32, 96):
    found = [ex.or_lib(my_accumulation)(examples_of_a_step, 1, machines, 8) for machines in (4, 3, 2, 1)]
    print(f"{examples_of_a_step} examples a step: accumulation {found} on 4, 3, 2, 1 machines (0: none)")

# %% [markdown]
# ## 6. What does it cost?
#
# This section is arithmetic for the real 7B; nothing in it was measured. We count hours and not money, because prices
# change. The workload is the job of lesson 08, `jobs/7b-t4.yaml`: 8 frames, and captions as long as AI-Hub's, 932
# tokens of Vicuna's on average.
#
# **Predict before you run.** What percentage of an A100's hours goes into *writing* the answers? The rest goes into
# encoding the frames and reading the prompt.

# %%
from dataclasses import replace  # what this section is about

from lib.budget import MODELS, kv_bytes, weight_bytes
from lib.budget.jobs import PEAKS, Workload, cards_for
from lib.job.planning import MEAN_CAPTION

my_share = None  # your guess, in percent

job_7b = Workload(
    clips=10_000,
    model=MODELS["7b"],
    frames=read_job("../jobs/7b-t4.yaml").frames,
    answer=MEAN_CAPTION,
    read_seconds=0.5,  # of a CPU core, to decode a clip's frames: a guess, measure yours with lesson 01
)
print(f"{job_7b.frames} frames, {job_7b.tokens:,} tokens to read, {job_7b.answer} to write")
stages = (job_7b.encoding_hours, job_7b.prefill_hours, job_7b.decoding_hours)
seeing, reading, writing = (stage("A100-40") for stage in stages)
print(f"10,000 clips on an A100: frames {seeing:.2f} h, prompt {reading:.2f} h, answer {writing:.2f} h")
seven, a100, at_once = job_7b.model, PEAKS["A100-40"], job_7b.batch("A100-40")
vision_bytes = 2 * (seven.vision.parameters + seven.projector_parameters)
weights = weight_bytes(seven, a100.precision, keep_vision=True) - vision_bytes  # read once for each token
caches = at_once * kv_bytes(seven, job_7b.tokens + job_7b.answer // 2)  # half the answer, on average
seconds_a_token = (weights + caches) / (a100.gigabytes_per_second * 1e9 * job_7b.bandwidth)
by_hand = job_7b.clips / at_once * job_7b.answer * seconds_a_token / 3600
print(f"by hand: {at_once} clips at once, {1000 * seconds_a_token:.0f} ms a token, {by_hand:.2f} h")
predict("percent of the hours for writing", my_share, round(100 * writing / (seeing + reading + writing)))

# %% [markdown]
# Writing takes 90 %. All frames and the whole prompt are read in one pass, whose limit is arithmetic. The answer is
# written token by token, and each token reads all weights and every clip's cache from memory (lesson 02).
#
# How much of its peak does a card reach? Only a measurement can tell, so we compute a good case and a bad case:
#
# | share of the peak | good | bad |
# |---|---|---|
# | arithmetic | 0.5 | 0.2 |
# | memory, 16 bits | 0.6 | 0.3 |
# | memory, 4 bits | 0.6 | 0.14 |
#
# These are guesses. Only the last one rests on a measurement. One 7B wrote 36.5 tokens a second in NF4 and 48.6 in
# 16 bits (bitsandbytes#611), although NF4 reads a third of the bytes. Unpacking costs time.

# %%
nf4 = weight_bytes(MODELS["7b"], "nf4-double", keep_vision=True) / weight_bytes(MODELS["7b"], "float16")
print(f"NF4 has {nf4:.2f} of the bytes; share of the peak {0.6 * nf4 * 36.5 / 48.6:.2f}")


def ends(job, card):
    """A workload with all that was guessed at its good end, and at its bad end."""
    memory = 0.14 if PEAKS[card].precision.startswith("nf4") else 0.3
    return replace(job, compute=0.5, bandwidth=0.6), replace(job, compute=0.2, bandwidth=memory)


captioning_hours = {}
names = f"{'10 K clips, hours':>19}{'1 M in a week, cards':>22}{'LoRA, 10 K, hours':>19}"
print(f"{'':<9}{'weights':<12}{'at once':>7}{names}")
for card in PEAKS:
    low, high = captioning_hours[card] = tuple(end.captioning_hours(card) for end in ends(job_7b, card))
    hours, cards = f"{low:.1f} to {high:.1f}", f"{cards_for(100 * low, 168)} to {cards_for(100 * high, 168)}"
    lora = " to ".join(f"{end.training_hours(card):.1f}" for end in ends(job_7b, card))
    print(f"{card:<9}{PEAKS[card].precision:<12}{job_7b.batch(card):>7}{hours:>19}{cards:>22}{lora:>19}")
title = "Captioning 10,000 clips takes a T4 one to four days, an H100 a few hours"
plots.hour_ranges(captioning_hours, title, "card hours, log scale (a range of guesses)")

# %% [markdown]
# 10,000 clips take a T4 20 to 84 hours. A free Colab session ends before that. This is why features lie in shards, and
# why `caption` goes on where it stopped. One million clips in a week need 13 to 51 T4s, or 1 to 2 H100s. 100 million
# clips cost 100 times as much. Before you add cards, shorten the answer. Then try a smaller model, fewer frames, or
# SlowFast tokens (lesson 05).
#
# **Disk.** Features are frames x patches x width x 2 bytes. A clip of ten seconds is an mp4 of one or two megabytes.
#
# **Predict before you run.** How many megabytes are the features of one clip, 8 frames, before pooling?

# %%
my_megabytes = None  # your guess

one = replace(job_7b, clips=1)
predict("megabytes of features of one clip", my_megabytes, round(one.feature_bytes(pooled=False) / 1e6, 1))
print(f"pooled 2 x 2, as `train` keeps them: {one.feature_bytes() / 1e6:.1f} MB")
for clips in (10_000, 1_000_000, 100_000_000):
    some = replace(job_7b, clips=clips)
    everything, pooled = some.feature_bytes(pooled=False) / 1e12, some.feature_bytes() / 1e12
    print(f"{clips:>11,} clips: {everything:,.2f} TB, pooled {pooled:,.2f} TB")
encode, learning = one.encoding_hours("A100-40"), one.training_hours("A100-40")
print(f"keeping them saves {encode / (encode + learning):.0%} of the card's time per epoch")
print(f"and {one.read_seconds} s of a CPU core a clip")

# %% [markdown]
# Features are larger than the videos and save only 3 % of an epoch. Keep them when you train for several epochs, or
# when the CPU cores decode too slowly for the card. At 100 million clips, do not store them: decode and encode in each
# epoch.

# %% [markdown]
# ## 7. How do you serve the captioner that you trained?
#
# An adapter learned one prompt and one number of frames. If you serve it with others, there is no error, but the
# captions may get worse. So the cell below writes the command from the job's own settings.
#
# **The command was not run here.** It needs a GPU and a download of 14 GB. It follows the source of **vLLM 0.33.0**,
# the newest release when this lesson was made. That version pins torch 2.14.0 and transformers 5.16.1 to 5.20, so give
# it an environment of its own.

# %%
import numpy as np  # what this section is about

from lib.toybox import CAPTION_PROMPTS
from lib.video import sample_uniform

job = read_job("../jobs/7b-t4.yaml")
prompt = (job.prompts or [CAPTION_PROMPTS[job.language]])[0]  # as `train` chooses it
print(f"""vllm serve {job.model} \\
    --dtype float16 --max-model-len 4096 \\
    --quantization bitsandbytes \\
    --limit-mm-per-prompt '{{"video": 1}}' \\
    --media-io-kwargs '{{"video": {{"num_frames": {job.frames}}}}}' \\
    --allowed-local-media-path /data/clips \\
    --enable-lora --max-lora-rank {job.rank} --lora-modules captioner={job.output}/adapter

client = OpenAI(base_url="http://localhost:8000/v1", api_key="none")
video = {{"type": "video_url", "video_url": {{"url": "file:///data/clips/0001.mp4"}}}}
text = {{"type": "text", "text": "{prompt}"}}
client.chat.completions.create(
    model="captioner", messages=[{{"role": "user", "content": [video, text]}}], max_tokens=1965, temperature=0
)""")
same = [
    list(np.linspace(0, total - 1, n, dtype=int)) == sample_uniform(total, n)
    for total in range(40, 2000, 7)
    for n in (8, 16, 32)
]
print(f"\nvLLM's rule and lib's: {'the same frames' if all(same) else 'DIFFERENT'} in {len(same)} cases")

# %% [markdown]
# About these lines, vLLM's source (`models/llava_next_video.py`, `multimodal/video.py`) and its documentation say:
#
# - **One video per prompt**, no images, and one reducer: the configuration's pooling. SlowFast-LLaVA needs a change of
#   that file.
# - **Frames**: 32 unless you say otherwise, by `np.linspace(0, total - 1, n, dtype=int)`. That is LLaVA-NeXT's rule and
#   `lib`'s, as the last line shows.
# - **4 bits**: `--quantization bitsandbytes` quantises while it loads (docs.vllm.ai, *BitsAndBytes*), so the 7B leaves
#   room on a T4. We did not try whether this model class runs that way. Without that line the weights alone take 13.2
#   of a T4's 14.75 GiB.
# - **LoRA** is supported for this class. We did not try whether it takes an adapter that peft saved under transformers 5.
#   `python -m lib merge job.yaml folder` avoids the question: it writes whole weights.
# - 8 frames and 1,965 tokens of answer (5/4 of AI-Hub's longest caption) fit Vicuna's 4,096 positions. 32 frames do not
#   (lesson 04).

# %%
calibration()

# %% [markdown]
# ## Something to win: sixty shards, eight processes
#
# Write `entry(seconds, processes)`. It gets the seconds that each shard takes, and returns a list of shard numbers for each process. The
# score is the shortest possible time divided by that of the slowest process. The lesson's own way scores 0.63; 0.95 wins.
# `exercises.challenge("12").play(entry)` scores yours.

# %% [markdown]
# ## What to remember
#
# - Some launchers silently start one process. Check the world size in the script, and what each process holds.
# - Split work by the list of clips, not by the number of processes. Write under another name and rename; plan first,
#   manifest last. Then a kill costs each process at most one shard, and the bytes are the same.
# - Averaged gradients equal the gradient of one process only if every process divides by the same number of tokens.
# - DDP copies the model and averages gradients. FSDP cuts the model. Choose by what fits: QLoRA on a 7B fits
#   everywhere, so DDP.
# - `--nnodes 1:4` begins with the machines that are there. Keep batch x accumulation x processes, and choose a product
#   that fewer machines divide.
# - Writing the answer takes 90 % of captioning. Give hours as a range until you have measured.
# - Serve an adapter with the prompt and the number of frames that it was trained with.
