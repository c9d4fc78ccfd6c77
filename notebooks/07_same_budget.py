# %% [markdown]
# # 07 Same budget: all methods on one set of weights
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/07_same_budget.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | compare ways to spend visual tokens at the same budget, with intervals that are right; say which way suits your own questions, and why |
# | **Minutes** | 45 to read and think; 1 to run on two CPU cores or on a T4 |
# | **Memory** | 1 GB |
# | **Downloads** | none |
# | **Needs** | lessons 04 and 05; lesson 06 for LLaMA-VID |

# %% [markdown]
# ## 한국어 요약
#
# 지금까지 배운 방법들은 같은 질문에 서로 다르게 답합니다. 비주얼 토큰을 64개, 128개, 256개만 쓸 수 있다면 어디에 쓰겠습니까? 한두 프레임을 자세히 볼 수도 있고, 모든 프레임을
# 흐릿하게 볼 수도 있고, 둘을 섞을 수도 있습니다(SlowFast-LLaVA, LLaVA-Video). 논문들은 저마다 다른 가중치, 다른 학습 데이터, 다른 토큰 수로 점수를 재기 때문에 이 방법들을 한자리에서 비교하지 못합니다.
# 이 수업에서는 같은 가중치로, 같은 토큰 수에서, 처음 보는 클립 1,000개에 대해 모든 방법을 잽니다. 질문 종류별 정확도와 토큰, 시간, 메모리를 함께 봅니다.
# 신뢰 구간은 클립 단위 부트스트랩으로 구합니다. 한 클립에 대한 여러 질문은 서로 독립이 아니기 때문입니다. 파레토 그림으로 어떤 방법이 토큰 값을 하는지 보고,
# 마지막에는 내 비디오에서 자주 묻는 질문의 비율을 넣어 어떤 방법이 이길지 예측합니다. 학습 노트에 있지만 어느 출처에서도 찾을 수 없는 숫자들도 따로 모아 보여 줍니다.

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
import csv
import random
import time
from collections import Counter
from functools import partial

import numpy as np
import torch

from lib import exercises, plots, toybox
from lib.budget import MODELS, kv_bytes
from lib.evaluate import bootstrap_shares, percentile_interval, score
from lib.video import sample_uniform
from lib.vlm import load
from lib.workshop import llama_vid_scores, same_budget
from lib.workshop.same_budget import COMPARED_KINDS, METHODS
from lib.workshop.tiny import draw_view

MODEL = "tiny"  # the only one here: the questions are about Toybox, and only tiny knows Toybox

plots.style()
vlm = load(MODEL, device="cpu")  # also where there is a GPU: answers in 16 bits would not be the ones in the file
clips = [toybox.sample(seed) for seed in range(same_budget.COMPARED_CLIPS)]  # training never drew seeds below a million
print(f"{len(clips):,} clips of {clips[0].frames} frames; {len(METHODS)} ways to look at them; one set of weights")

# %% [markdown]
# ## 1. What the papers compare
#
# **Claim.** No paper of this course puts all of these methods on one set of weights at one number of tokens. Here are the published scores on
# ActivityNet-QA of models that all have about 7 billion parameters:

# %%
with open("../data/papers.csv", encoding="utf-8") as file:
    papers = list(csv.DictReader(file))
for row in papers:
    full = row["source"].endswith(("main table", "v2, Table 1", "README, results")) and row["status"] == "published"
    if full and row["metric"] == "ActivityNet-QA accuracy" and "7B" in row["model"]:
        print(f"{row['value']:>5}  {row['model']:<24}{row['setting']:<46}{row['source']}")

# %% [markdown]
# It is tempting to read this as a ranking of methods. It is none:
#
# - **other weights**: 760 K images; the same and 100 K videos; the same and 17 K preference pairs; for LLaMA-VID another vision tower, a text decoder, and training data whose
#   videos come from ActivityNet itself;
# - **other budgets**: 2,304 tokens (16 x 144), 4,608 (32 x 144), 3,680 (10 x 288 + 50 x 16), or 2 for each second;
# - **another judge**: GPT-3.5 decides what is right, and its snapshots differ (LLaVA-VL/LLaVA-NeXT#109; dvlab-research/LLaMA-VID#52 reports swings of
#   about 7 % between endpoints).
#
# Three papers each hold a piece of the comparison that we want:


# %%
def quote(title, source, metrics, models="", settings=""):
    """The rows of one table of one paper, a line for each setting."""
    print(title)
    found = {}
    for row in papers:
        if (
            row["source"] == source
            and row["metric"] in metrics
            and models in row["model"]
            and settings in row["setting"]
        ):
            found.setdefault((row["model"], row["setting"]), {})[row["metric"]] = row["value"]
    for (model, setting), values in found.items():
        print(f"   {model:<22}{setting:<62}" + "".join(f"{values.get(metric, '–'):>8}" for metric in metrics))


quote(
    "One set of weights, at most 4,096 tokens (detail, VDD):",
    "blog 2024-04-30, (1) How to represent videos?, table",
    ["VDD"],
    settings="context=4096",
)
both = ["ActivityNet-QA accuracy", "EgoSchema"]
quote(
    "One set of weights, the slow pathway alone (ActivityNet-QA, EgoSchema):",
    "arXiv 2407.15841v2, ablation of the pathways",
    both,
)
quote("... the fast pathway alone:", "arXiv 2407.15841v2, Table 4", both, settings="225")
quote("... and both:", "arXiv 2407.15841v2, Table 5", both, settings="10x12x24")
shown = ["visual tokens", "NExT-QA multiple choice", "PerceptionTest", "EgoSchema", "VideoMME without subtitles"]
quote(
    "Four sets of weights, 5,313 to 5,408 tokens (tokens, NExT-QA, PerceptionTest, EgoSchema, VideoMME):",
    "arXiv 2410.02713, Table 9",
    shown,
)

# %% [markdown]
# - The blog keeps the weights, and two of its rows spend the same, 16 x 144 = 4 x 576 = 2,304 tokens: more frames or more detail, but nothing mixed.
# - SlowFast-LLaVA needs no training, so its ablations keep the weights too: slow pathway alone, fast pathway alone, both. (If the pathways alone pool as the
#   whole method does, they spend 12 x 288 = 3,456 and 225 x 16 = 3,600 tokens, against 3,680.) Both together win on both benchmarks, by 1.4 and 0.6
#   points over the slow pathway and by 5.5 and 9.0 over the fast one.
# - LLaVA-Video compares four ways at nearly one budget, each with a training of its own. Its own way leads on three of the four benchmarks, by 0.3 to
#   0.8 points over the second, and is last on PerceptionTest.
#
# Where the truth is known and a model takes seconds, we can have the whole: **the same weights, the same tokens, the same clips**, and an interval.

# %% [markdown]
# ## 2. What 128 tokens can buy
#
# **Claim.** SlowFast-LLaVA at 128 tokens, in tiny's size: all 64 patches of the first frame, then all 16 frames as 2 x 2 means, after the projector, with nothing in
# between (arXiv 2407.15841v2, section 3.2). By hand:

# %%
ways = {method.key: method for method in METHODS}
pixels = toybox.render(clips[12])
with torch.no_grad():
    features = vlm.encode(pixels)
    projected = vlm.project(features)  # (16, 8, 8, D)
    slow = projected[0].flatten(0, 1)
    fast = projected.reshape(16, 2, 4, 2, 4, -1).mean(dim=(2, 4)).flatten(0, 2)
    by_hand = torch.cat([slow, fast])
    apart = (by_hand - ways["SlowFast-LLaVA 1 x 64 + 16 x 4"].look(vlm, features)).abs().max().item()
print(
    f"{len(slow)} slow + {len(fast)} fast = {len(by_hand)} tokens; equal to lib's: {apart < 1e-5} (at most {apart:.0e} apart)"
)

# %% [markdown]
# The same 128 tokens can be spent in other ways. Which frames become tokens, and how finely each is cut:

# %%
rows = {}
for method in METHODS:
    if method.budget == 128:
        read = sample_uniform(len(features), method.frames)
        tokens = method.reducer(features[read], vlm.project)
        rows[f"{method.family}\n{method.name} = {method.tokens}"] = (
            np.array(read)[tokens.frame.numpy()],
            tokens.box.numpy(),
        )
plots.spent_tokens(pixels, rows, patches=same_budget.GRID)

# %% [markdown]
# (A name says frames x tokens per frame. Faded frames are never seen. Where a method has no way to spend exactly 128, it spends a few less.
# On a slow frame of SlowFast-LLaVA both pathways lie on top of each other: it is read twice. In LLaVA-Video every frame is read once.)
#
# "Uniform" is LLaVA-NeXT-Video's way: the same for every frame. All ways, at all three budgets:

# %%
for budget in (64, 128, 256):
    print(f"at most {budget}: " + "; ".join(f"{m.key} = {m.tokens}" for m in METHODS if m.budget == budget))
print("for comparison, all patches of all frames:", METHODS[-1].key, "=", METHODS[-1].tokens)

# %% [markdown]
# **LLaMA-VID is not among them.** Its context token needs a text decoder and three projections of its own, so it cannot run on these weights at all: the
# condition "one set of weights" leaves it out, not its score. Lesson 06 trains weights for it, on top of tiny's; section 7 shows it beside the others, out of competition.
#
# Is the comparison fair? Tiny met a random reducer in every batch of its video training (`draw_view` in `lib/workshop/tiny.py`). A method that it met
# more often has had more practice:


# %%
def same(first, second):
    """Do two views read as many frames, through reducers of the same settings?"""
    (frames, reducer), (other_frames, other) = first, second
    names = ("stride", "mode", "project", "newline", "spec", "slow_every", "slow_stride", "fast_stride")
    settings = [[getattr(one, name, None) for name in names] for one in (reducer, other)]
    learned = [getattr(one, "newline_embed", None) is None for one in (reducer, other)]
    return (
        frames == other_frames
        and type(reducer) is type(other)
        and settings[0] == settings[1]
        and learned[0] == learned[1]
    )


rng = random.Random(0)
views = [draw_view(rng, vlm.model.model.image_newline) for _ in range(4000)]
share = {
    method.key: sum(same((method.frames, method.reducer), view) for view in views) / len(views) for method in METHODS
}
families = Counter(type(reducer).__name__ for _, reducer in views)
print({name: f"{count / len(views):.0%}" for name, count in families.most_common()})
print("in exactly this form:", ", ".join(f"{key} {part:.1%}" for key, part in share.items() if part))
print("never in exactly this form:", ", ".join(key for key, part in share.items() if not part))

# %% [markdown]
# No way got more than a few per cent of the training in exactly its form, and each is one of a family that was trained from start to end. Keep in mind which ones were never
# met: if one of them does badly, lack of practice may be the reason.

# %% [markdown]
# ## 3. What is asked, and what the score is
#
# Toybox was made to ask for what the methods may differ on: small detail (a three-digit **code**), a single moment (a **flash** that lasts one frame), the **order** of
# two flashes, **motion**, **count**, **colour** and **shape**. The score is the **mean of the seven shares**, each kind counting the same. That was fixed before anything was measured. It
# is a choice: the plain share of all answers would count colour and shape, which a clip is asked two or three times on average, more than four times as much as a flash.
# Section 8 lets you choose your own weights.

# %%
for kind in COMPARED_KINDS:
    asked = [qa for clip in clips for qa in toybox.questions(clip) if qa.kind == kind]
    usual, times = Counter(qa.answer for qa in asked).most_common(1)[0]
    print(
        f"{kind:<8}{len(asked):>5} questions, like {asked[0].question!r}; always answering {usual!r} gets {times / len(asked):.2f}"
    )

# %% [markdown]
# ### Exercise 07.score: a mean of kinds
#
# difficulty ●●○○○ · importance ●●●●● · 6 minutes
#
# `right` and `asked`, (clips, kinds), count right answers and questions; some clips are not asked some kinds. Return the score of lesson
# 07: the share of right answers of each kind over all clips, and of these shares the plain mean.

# %%
ex = exercises.get("07.score")


def my_score(right, asked):
    # your code
    ...


ex.check(my_score)

# %% [markdown]
# **Predict before you run.** At 128 tokens: which way has the highest mean, and by how many points is the best SlowFast or LLaVA-Video ahead of the best uniform way?

# %%
my_winner = "uniform 8 x 16"  # change me: one of the names above
my_lead = 5  # change me: points; negative if a uniform way wins

# %% [markdown]
# ## 4. The measurement
#
# An answer counts as right if greedy decoding would write exactly the truth (`lib.evaluate`). The clips are encoded once; every method then reads the same
# features. A thousand clips take some minutes of a processor for all methods, so that table is made by one command, `make compare`, which keeps for every
# method, kind **and clip** how many answers were right. Here we do the same live for the first 64 clips, and check the file against it.

# %%
LIVE = 64
some = [method for method in METHODS if method.budget <= 256]
start = time.perf_counter()
live = same_budget.count_right(vlm, clips[:LIVE], some)
print(
    f"{LIVE} clips x {len(some)} methods, {live.asked.sum() * len(some):,} answers, in {time.perf_counter() - start:.0f} s"
)

counts = same_budget.read_same_budget()  # refuses a file that was made with other weights than these
differ = np.abs(counts.right[:LIVE, : len(some)] - live.right).sum()
print(
    f"file: {len(counts.asked):,} clips, {counts.asked.sum():,} questions per method; answers that differ from the live ones: {differ}"
)

# %% [markdown]
# (One or two might differ on another machine: sums are rounded in another order there, and a tie between two words can tip.)
#
# What does each way cost? Seconds are measured on this machine, on the frames that a method reads: the vision tower, then the reducer and
# the language model up to the first word of the answer. Memory is what must stay for as long as words are written: keys and values of
# all tokens. Lesson 02 predicts it: 4 layers x 2 x 128 numbers of 4 bytes per token.


# %%
def fastest(calls):
    """Seconds of the fastest of ten runs of each call, which take turns: a busy moment of the machine hits all alike."""
    took = {name: [] for name in calls}
    for _ in range(10):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            took[name].append(time.perf_counter() - start)
    return {name: min(runs) for name, runs in took.items()}


prompt = vlm.prompt("What is the code?")
seen = {m.key: features[sample_uniform(len(features), m.frames)] for m in METHODS}
vision = {count: partial(vlm.encode, pixels[:count]) for count in sorted({m.frames for m in METHODS})}
language = {m.key: partial(vlm.logits, seen[m.key], prompt, m.reducer) for m in METHODS}
seconds = fastest(vision | language)
kept, text = {}, len(vlm.tokenizer(prompt).input_ids) - 1
for method in METHODS:
    with torch.no_grad():
        cache = vlm.model(**vlm.batch([seen[method.key]], [prompt], method.reducer), use_cache=True).past_key_values
    kept[method.key] = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
wrong = [m.key for m in METHODS if kept[m.key] != kv_bytes(MODELS["tiny"], m.tokens + text, value_bytes=4)]
print(
    "bytes kept, measured and predicted by lib.budget:",
    "equal for all methods" if not wrong else f"DIFFERENT for {wrong}",
)
for count in vision:
    print(f"vision tower, {count:>2} frames: {1000 * seconds[count]:.0f} ms")

# %% [markdown]
# The table, with the mean of the seven shares on 1,000 clips:

# %%
shares = bootstrap_shares(*counts)  # (1 + 2,000, methods, kinds): the clips as they are, then 2,000 times redrawn
means = shares.mean(axis=2)
place = {method.key: number for number, method in enumerate(METHODS)}
intervals = [percentile_interval(means[:, number], len(clips)) for number in range(len(METHODS))]
print(f"{'':<32}frames  tokens   ms: vision + language    KiB   mean, 95 % interval")
for m, i in zip(METHODS, intervals, strict=True):
    ms = f"{1000 * seconds[m.frames]:.0f} + {1000 * seconds[m.key]:.0f}"
    print(
        f"{m.key:<32}{m.frames:>6}{m.tokens:>8,}{ms:>24}{kept[m.key] / 2**10:>7,.0f}   {i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]"
    )

# %% [markdown]
# And by kind of question, in per cent, ± half of the interval:

# %%
by_kind = [
    [percentile_interval(shares[:, m, k], len(clips))[:3] for k in range(len(COMPARED_KINDS))]
    for m in range(len(METHODS))
]
plots.share_table([m.key for m in METHODS], [m.budget for m in METHODS], COMPARED_KINDS, np.array(by_kind))

# %% [markdown]
# Read the picture row by row within one budget (between two lines), then column by column. And in the table: at the same tokens, memory is the same by
# construction, and so is the work of the language model: where its milliseconds differ all the same, look for the reason in the machine first. What the method decides is the
# work of the vision tower: who reads 16 frames pays for 16. (On a 7B that matters less: at 32 frames its language model does about six times the arithmetic of its vision tower, by the formulas of lesson 02.)

# %% [markdown]
# ## 5. An interval that is right
#
# How sure are these numbers? There are about eleven answers for every clip, and they are not independent: a clip whose things are hard to see is hard for several questions.
# So we redraw **clips**, with all their questions, and recompute everything. The same redraws serve all methods, so the difference of
# two methods is *paired*: what is hard for both drops out. That narrows the interval where two methods fail on the same clips, and hardly, or not at
# all, where they do not.

# %% [markdown]
# ### Exercise 07.leads: paired redraws
#
# difficulty ●●●○○ · importance ●●●●● · 8 minutes
#
# `first` and `second`, (clips,), are two methods' scores on the same clips; `drawn`, (R, clips), are the numbers of the clips in R redraws.
# Return by how much the first method leads in each redraw, (R,): the mean difference over the drawn clips, which are the same for both.

# %%
ex = exercises.get("07.leads")


def my_leads(first, second, drawn):
    # your code
    ...


ex.check(my_leads)

# %% [markdown]
# By hand, for SlowFast and the best uniform way at 128:


# %%
def best(family, budget):
    """The place of the method of a family with the highest mean at one budget."""
    return max(
        (place[m.key] for m in METHODS if (m.family, m.budget) == (family, budget)), key=lambda number: means[0, number]
    )


slowfast, plain = place["SlowFast-LLaVA 1 x 64 + 16 x 4"], best("uniform", 128)
right, asked = counts.right[:, [slowfast, plain]], counts.asked
draws, leads = np.random.default_rng(0), []
for _ in range(2000):
    drawn = draws.integers(len(clips), size=len(clips))
    share = right[drawn].sum(axis=0) / asked[drawn].sum(axis=0)  # (2 methods, 7 kinds)
    leads.append(share[0].mean() - share[1].mean())
gap = percentile_interval(means[:, slowfast] - means[:, plain], len(clips))
low, high = np.quantile(leads, (0.025, 0.975))
print(f"SlowFast minus {METHODS[plain].key}: by hand {low:+.4f} to {high:+.4f}, lib {gap.low:+.4f} to {gap.high:+.4f}")
unpaired = sum((i.high - i.low) ** 2 for i in (intervals[slowfast], intervals[plain])) ** 0.5
print(f"width of the interval: paired {gap.high - gap.low:.4f}; if each method had had clips of its own {unpaired:.4f}")
ratios = {}
for number, kind in enumerate(COMPARED_KINDS):
    hits, total = counts.right[:, slowfast, number].sum(), counts.asked[:, number].sum()
    naive, by_clips = (
        score([True] * hits + [False] * (total - hits)),
        percentile_interval(shares[:, slowfast, number], len(clips)),
    )
    if hits < total:  # without a single wrong answer there is nothing to redraw
        ratios[kind] = round((by_clips.high - by_clips.low) / (naive.high - naive.low), 2)
print("width by clips, over the width as if all answers were independent:", ratios)

# %% [markdown]
# A ratio above 1 says that answers about one clip stand or fall together; near 1, that they might as well be about different clips. (Code, count and flash are asked
# at most once per clip, so theirs differ from 1 only by the way of computing, and where hardly an answer is wrong that can make a difference. A kind without a wrong answer is left out.) You cannot know which before you look, so always redraw clips.
#
# `bootstrap_shares` and `percentile_interval` of `lib.evaluate` are these lines for all methods at once. (`difference`, which lesson 04 used, takes one number per clip. A mean
# over kinds is no such number: flash and order are asked about different clips.)
#
# ## 6. The verdict
#
# For each budget, the first SlowFast-LLaVA and the first LLaVA-Video of the table (chosen before measuring) against the *best* uniform way (chosen after, in its favour):

# %%
print(
    f"at 128 tokens you predicted {my_winner}; measured: {max((m for m in METHODS if m.budget == 128), key=lambda m: means[0, place[m.key]]).key}"
)
for budget in (64, 128, 256):
    plain = best("uniform", budget)
    for family in ("SlowFast-LLaVA", "LLaVA-Video"):
        method = next(m for m in METHODS if (m.family, m.budget) == (family, budget))
        gap = percentile_interval(means[:, place[method.key]] - means[:, plain], len(clips))
        verdict = "no difference seen" if gap.low <= 0 <= gap.high else "better" if gap.low > 0 else "worse"
        print(
            f"{budget:>4}: {method.key:<31} against {METHODS[plain].key:<16}{100 * gap.mean:>+6.1f} points [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}] {verdict}"
        )
mixed = max(best("SlowFast-LLaVA", 128), best("LLaVA-Video", 128), key=lambda number: means[0, number])
lead = percentile_interval(means[:, mixed] - means[:, best("uniform", 128)], len(clips))
print(
    f"lead of {METHODS[mixed].key} at 128: you predicted {my_lead:+} points, measured {100 * lead.mean:+.1f} [{100 * lead.low:+.1f}, {100 * lead.high:+.1f}]"
)

# %% [markdown]
# ## 7. Why
#
# Look at the kinds one by one. At 128 tokens:

# %%
chosen = ["uniform 2 x 64", "uniform 8 x 16", "SlowFast-LLaVA 1 x 64 + 16 x 4"]
plots.score_intervals(
    {
        key: {
            kind: percentile_interval(shares[:, place[key], number], counts.asked[:, number].sum())
            for number, kind in enumerate(COMPARED_KINDS)
        }
        for key in chosen
    }
)

# %% [markdown]
# Two things decide, and both can be said before any model is trained:
#
# - **How many patches share a token.** A digit of the code fills one patch. Where 2 x 2 patches are one token, the three digits share two tokens; where
#   4 x 4 are, one or two, with a dozen other patches. So a code wants a frame at full detail.
# - **How many frames are read.** A flash lasts one frame. Who reads 2 of 16 frames misses most flashes, whatever the detail.
#
# Motion asks for some of both: several frames, each fine enough to tell where a thing stands. See which way leads there.
#
# A uniform way must choose. SlowFast need not: 64 tokens for detail and 64 for time. What if a uniform way could be chosen anew **for every kind of question**, knowing the right
# answers? No real system can, but it is the most that choosing among uniform ways could bring. A plus below says that SlowFast beats even that, a minus that it does not:

# %%
for budget in (64, 128, 256):
    uniform = [place[m.key] for m in METHODS if (m.family, m.budget) == ("uniform", budget)]
    oracle = shares[:, uniform].max(axis=1).mean(axis=1)
    one = best("SlowFast-LLaVA", budget)
    gap = percentile_interval(means[:, one] - oracle, len(clips))
    picks = {
        kind: METHODS[uniform[shares[0, uniform, number].argmax()]].name for number, kind in enumerate(COMPARED_KINDS)
    }
    print(
        f"{budget:>4}: best uniform for each kind {oracle[0]:.3f}; {METHODS[one].key} {means[0, one]:.3f}, {100 * gap.mean:+.1f} points [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
    )
    print("      ", picks)

# %% [markdown]
# **Where SlowFast fails.** Its one slow frame is frame 0. Three clips in ten have two scenes, and then the code may stand in the second one, where no slow frame looks.
#
# **Predict before you run.** Which share of *those* codes does SlowFast with one slow frame read?

# %%
my_share = 0.5  # change me

code = COMPARED_KINDS.index("code")
second = np.array([bool(clip.scenes[-1].code) and len(clip.scenes) > 1 for clip in clips])
two = np.array([len(clip.scenes) > 1 for clip in clips])
print(f"code in the second scene: {second.sum()} of {len(clips)} clips")
for method in (m for m in METHODS if m.budget == 128):
    hits = counts.right[:, place[method.key], code]
    print(
        f"{method.key:<32} code in the only or first scene {hits[~second].mean():.2f}, in the second {hits[second].mean():.2f}"
    )
print(f"predicted {my_share}, measured {counts.right[second, slowfast, code].mean():.2f}")
for name, of in (("one scene", ~two), ("two scenes", two)):
    gap_of = bootstrap_shares(counts.right[of][:, [slowfast, best("uniform", 128)]], counts.asked[of]).mean(axis=2)
    gap = percentile_interval(gap_of[:, 0] - gap_of[:, 1], int(of.sum()))
    print(
        f"{name}: SlowFast minus the best uniform way {100 * gap.mean:+.1f} points [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}], {gap.asked} clips"
    )

# %% [markdown]
# That is no flaw of the idea but of *where the slow frame stands*. Two slow frames at half the columns (SlowFast-LLaVA's own 1 x 2 pooling) are frames 0 and 8: they see the second scene
# where it has begun by then, and pay with detail. Lesson 01's `sample_scenes` could say where to look. The official method spreads ten slow frames over 50.

# %% [markdown]
# ### Exercise 07.line: the Pareto line
#
# difficulty ●●○○○ · importance ●●●○○ · 8 minutes
#
# Methods cost `tokens` and reach `scores` (two lists). Return the numbers of those on the Pareto line, in the order of the lists: those
# than which no method with *as many tokens or fewer* scores higher.

# %%
ex = exercises.get("07.line")


def my_line(tokens, scores):
    # your code
    ...


ex.check(my_line)

# %% [markdown]
# **Out of competition: LLaMA-VID**, 2 tokens for each of 16 frames, after the first two stages of its training (lesson 06). Its language model was trained further
# than tiny's, and on its own tokens only. Counted on the first clips of the same thousand (`make llama-vid`); beside it a mean of each half frame, and the uniform way nearest to it:

# %%
vid = llama_vid_scores.read_llama_vid()["right"]["instruction"]
first = len(vid["context + content"])  # clips
columns = [llama_vid_scores.SCORED_KINDS.index(kind) for kind in COMPARED_KINDS]
nearest = place["uniform 16 x 4"]
rows = {
    "context + content, 16 x 2": vid["context + content"][:, columns],
    "two content tokens, 16 x 2": vid["two content tokens"][:, columns],
    "tiny's own weights, uniform 16 x 4": counts.right[:first, nearest],
}
guest_shares = bootstrap_shares(np.stack(list(rows.values()), axis=1), counts.asked[:first])
guests = []
print(f"{first} clips{'':<28}mean, 95 % interval     " + "".join(f"{kind:>7}" for kind in COMPARED_KINDS))
for number, name in enumerate(rows):
    mean = percentile_interval(guest_shares[:, number].mean(axis=1), first)
    print(
        f"{name:<37}{mean.mean:.3f} [{mean.low:.3f}, {mean.high:.3f}]    "
        + "".join(f"{part:>7.2f}" for part in guest_shares[0, number])
    )
    guests += [("LLaMA-VID", "16 x 2", 32, mean)] if number == 0 else []

# %% [markdown]
# All methods in one picture. What is on the grey line gives the most for its tokens (Pareto); everything below it can be had better for less or for the same:

# %%
points = [(m.family, m.name, m.tokens, interval) for m, interval in zip(METHODS, intervals, strict=True)]
plots.pareto(points, "mean of seven kinds, 95 % interval", guests)

# %%
on_line = [
    m for m in METHODS if means[0, place[m.key]] >= max(means[0, place[o.key]] for o in METHODS if o.tokens <= m.tokens)
]
print("on the line:", ", ".join(f"{m.key} ({m.tokens:,})" for m in sorted(on_line, key=lambda m: m.tokens)))
full = intervals[-1].mean
cheapest = min((m for m in METHODS if means[0, place[m.key]] > 0.95 * full), key=lambda m: m.tokens)
print(f"all {METHODS[-1].tokens:,} tokens: {full:.3f}; 95 % of that from {cheapest.tokens} tokens on ({cheapest.key})")

# %% [markdown]
# ### Exercise 07.which: the camera above a machine
#
# difficulty ●●○○○ · importance ●●●●● · 4 minutes
#
# A camera above a machine. You ask for the serial number on its plate, which is in view all the time, and for the colour of a warning lamp
# that lights in one of 16 frames. 128 tokens. Which way, and why?
#
# - **a** SlowFast, 1 x 64 + 16 x 4
# - **b** uniform, 8 frames x 16
# - **c** uniform, 2 frames x 64
#
# because
#
# - **1** it has the most tokens of the three ways
# - **2** one frame sharp, all frames in outline
# - **3** it treats all frames alike, so neither question is at a disadvantage

# %%
ex = exercises.get("07.which")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# ## 8. Which method wins for your videos?
#
# The mean of seven kinds is nobody's workload. Someone who watches a gate asks for moments and their order; someone who reads slides asks for
# detail; someone who sorts a catalogue asks for colours and shapes. Say how often you ask what, and the same counts answer:


# %%
def winners(mix, budget):
    """All ways within a budget, best first: (method, its score for the mix, how often it won on redrawn clips)."""
    if unknown := set(mix) - set(COMPARED_KINDS):
        raise ValueError(f"no questions of kind {', '.join(sorted(unknown))}: choose from {', '.join(COMPARED_KINDS)}")
    weights = np.array([mix.get(kind, 0) for kind in COMPARED_KINDS], dtype=float)
    within = [method for method in METHODS if method.tokens <= budget]
    scores = shares[:, [place[method.key] for method in within]] @ (weights / weights.sum())
    won = np.bincount(scores[1:].argmax(axis=1), minlength=len(within)) / (len(scores) - 1)
    order = scores[0].argsort()[::-1]
    return [(within[number], percentile_interval(scores[:, number], len(clips)), won[number]) for number in order]


mixes = {
    "a gate: moments and their order": {"flash": 3, "order": 2, "motion": 1, "count": 1},
    "slides: what is written": {"code": 8, "flash": 1, "colour": 1},
    "a catalogue: colours and shapes": {"colour": 3, "shape": 3, "count": 1},
}
for name, mix in mixes.items():
    firsts = [winners(mix, budget)[0] for budget in (64, 128, 256)]
    print(f"{name:<33}" + "; ".join(f"{m.tokens}: {m.key} {s.mean:.2f}" for m, s, _ in firsts))

# %% [markdown]
# **Predict before you run.** Your own mix, and the method that will win for it:

# %%
my_mix = {"code": 1, "flash": 1, "order": 1, "motion": 4, "count": 2, "colour": 1, "shape": 1}  # change me
my_budget = 128  # change me
my_method = "LLaVA-Video 4 x 16 + 12 x 4"  # change me

ranked = winners(my_mix, my_budget)
print(f"you predicted {my_method}; measured, best first:")
for method, result, won in ranked[:4]:
    print(
        f"   {method.key:<32}{result.mean:.3f} [{result.low:.3f}, {result.high:.3f}], best on {won:.0%} of the redrawn clips"
    )
plots.pareto([(m.family, m.name, m.tokens, result) for m, result, _ in winners(my_mix, 1024)], "share right for my mix")

# %% [markdown]
# **What carries over to real videos, and what does not.** The scores do not: this is a model of 1.5 million parameters in a world of moving shapes, trained on every one of
# these families, with clips of 16 frames. What carries over is the arithmetic behind them: *who does not read a frame cannot see what happens in it, and what shares a token must share
# its numbers.* It points the same way as the published ablation of section 1, where both pathways beat either one. So write down your questions first,
# sort them by how much detail and how many moments they need, and then measure your two best candidates on your own clips, in pairs.

# %% [markdown]
# ## 9. Numbers that no source supports
#
# Some numbers in the study notes look like measurements and are none. They stand in `data/papers.csv` too, marked, so that no lesson quotes them as published:

# %%
unsupported = {}
for row in papers:
    if row["status"].startswith("study-notes"):
        mark = "contradicted" if row["status"].endswith("wrong") else "no source"
        model = row["model"].removeprefix("LLaVA-NeXT-Video-")
        unsupported.setdefault(f"{mark}: {row['note']}", []).append(
            f"{row['value']} {row['metric']} ({model}, {row['setting']})"
        )
for why, numbers in unsupported.items():
    print(why)
    for number in numbers:
        print("   ", number)

# %% [markdown]
# ## What to remember
#
# - Scores from different papers mix three things: weights, budget and judge. Compare methods with all three held fixed, or say that you cannot.
# - At one budget, a uniform way chooses between detail and time. Mixing two rates, as SlowFast-LLaVA and LLaVA-Video do, need not choose.
# - Which way is best depends on the questions. Ask for shares by kind, and weigh them by your own mix.
# - The same tokens cost the same memory and the same work of the language model. They do not cost the same in the vision tower.
# - Redraw clips, not answers; pair the methods; and name your method before you look.
