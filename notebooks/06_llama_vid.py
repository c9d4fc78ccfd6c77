# %% [markdown]
# # 06 LLaMA-VID: two tokens for a frame
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/06_llama_vid.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | build LLaMA-VID's two tokens by hand, equal to the official code; see where a question looks; say, with intervals, when the question-dependent token earns its place; read hours of video in the memory of minutes, and say what that is worth |
# | **Minutes** | 60 to read and think; 1.5 to run on two CPU cores, 1 on a T4 |
# | **Memory** | 1 GB |
# | **Downloads** | none |
# | **Needs** | lessons 00, 02 and 04 |

# %% [markdown]
# ## 한국어 요약
#
# LLaMA-VID는 비디오의 프레임 하나를 토큰 두 개로 줄입니다. 하나는 질문에 따라 달라지는 **컨텍스트 토큰**이고, 다른 하나는 프레임의 패치를 평균한
# **콘텐츠 토큰**입니다. 1초에 한 장씩 읽으면 한 시간짜리 영상도 7,200토큰이 됩니다. 이 수업에서는 컨텍스트 어텐션을 몇 줄로 직접 만들어 `lib`와 같은지
# 확인하고, 논문의 식에는 없지만 공식 코드에는 있는 두 가지(키 투영과 1/√C)를 살펴봅니다. 질문마다 프레임의 어디를 보는지 그림으로 그려 보고, 세 단계
# 학습의 효과를 각각 잽니다. 논문의 절제 실험(ablation) 표는 구할 수 없었으므로 Toybox에서 직접 실험합니다. 컨텍스트만, 콘텐츠만, 둘 다, 그리고 질문을
# 보지 않는 콘텐츠 토큰 두 개를 물체 수가 다른 장면에서 비교하여, 질문을 보는 토큰이 언제 값을 하는지 신뢰 구간과 함께 확인합니다. 마지막으로 한 시간, 세
# 시간짜리 영상을 스트림으로 읽어 메모리를 재고, 영상이 길어질 때 "바늘" 질문에 얼마나 답하는지 봅니다. 끝에는 학습 노트의 열 가지 질문에 실행되는 셀로
# 하나씩 답합니다.

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
from math import sqrt

import numpy as np
import torch

from lib import budget, exercises, plots, toybox
from lib.evaluate import bootstrap_shares, percentile_interval, score
from lib.known import GIB
from lib.reducers import LlamaVid, SpatialPool
from lib.reducers.base import Kind
from lib.toybox.needles import asked_patches, needles
from lib.vlm.shipped import TRAINED, load_llama_vid, new_reducer, trained_parts
from lib.workshop.llama_vid import TOKEN_CHOICES
from lib.workshop.llama_vid_scores import (
    SCORED_CLIPS,
    SCORED_KINDS,
    STREAMS,
    answer_from,
    blocks_of,
    count_asked,
    count_llama_vid,
    crowd,
    read_llama_vid,
    stream_alone,
)

plots.style()
torch.set_grad_enabled(False)
vlm, reducer = load_llama_vid("instruction")  # tiny and its LLaMA-VID, after the second of three stages
clip = toybox.sample(13)
frames = toybox.render(clip)
features = vlm.encode(frames)
measured = read_llama_vid()  # what `make llama-vid` measured on these weights; the cells below check a part of it


def equal(first, second):
    """Whether two tensors agree, and how far they are apart at most."""
    apart = (first - second).abs().max().item()
    return f"{'equal' if apart <= 1e-5 else 'DIFFERENT'} (at most {apart:.0e} apart)"


print(f"{len(features)} frames of {features.shape[1]} x {features.shape[2]} patches, {features.shape[3]} numbers each")
print(toybox.caption(clip))

# %% [markdown]
# There is no `MODEL` to set in this lesson. transformers has no LLaMA-VID class, and the official weights (CC BY-NC) need the official
# code. So we trained a small one on top of tiny, with the parts of the paper and one command, `make llama-vid`. What ships in
# `data/llama-vid` is what each of its stages trained.
#
# ## 1. The idea: what was asked, and what else is there
#
# The tokens of lessons 04 and 05 are the same whatever is asked. Half of LLaMA-VID's are not.
#
# **Claim.** "An image is worth 2 tokens": each frame becomes a **context token**, which depends on the question, and a **content token**, which does not
# (Li, Wang and Jia, arXiv 2311.17043). The context token comes first. For three frames and one question:

# %%
question = "What is the code?"
tokens = reducer(features[[0, 7, 15]], vlm.project, question)
names = {Kind.CONTEXT: "context", Kind.CONTENT: "content"}
for frame, kind, box in zip(tokens.frame.tolist(), tokens.kind.tolist(), tokens.box.tolist(), strict=True):
    print(
        f"frame {frame}: {names[kind]} token, of the patches in rows {box[0]} to {box[1] - 1}, columns {box[2]} to {box[3] - 1}"
    )
strips = {
    "LLaMA-VID": [names[kind] for kind in tokens.kind.tolist()],
    "stride 2": ["patch"] * len(SpatialPool(2)(features[:3])),
}
plots.token_strips(
    strips, {"context": "depends on the question", "content": "mean of the frame", "patch": "mean of 2 x 2 patches"}
)

# %% [markdown]
# **Predict before you run.** An hour at one frame per second: how many times fewer tokens than LLaVA-NeXT-Video's 144 per frame?

# %%
my_times = 10  # change me

seven = budget.MODELS["7b"]
print("one hour, 3,600 frames               tokens    KV cache, 7B in 16 bits")
for name, per_frame in {
    "CLIP-336, all patches": 576,
    "Video-LLaVA": 257,
    "LLaVA-NeXT-Video": 144,
    "LLaMA-VID": 2,
}.items():
    total = budget.video_tokens(3600, per_frame)
    print(f"{name:<32}{total:>11,}{budget.kv_bytes(seven, total) / GIB:>20.1f} GiB")
print(f"predicted {my_times} times fewer, measured {144 // reducer.count(1, 8, 8)}")

# %% [markdown]
# ## 2. The content token: a mean
#
# **Claim.** The official code calls it `compress_type`: `None` keeps every patch (images), `grid:g` averages g x g cells, `mean` averages the whole frame
# (the video models). The mean is taken *before* the content projector (`llamavid_arch.py:392-411`). By hand:

# %%
content = vlm.project(features.mean(dim=(1, 2)))
lib = reducer.with_tokens("mean", keep="content")(features, vlm.project).embeds
print("by hand and lib:", equal(content, lib))
print("and pooling with a window as large as the frame:", equal(lib, SpatialPool(8)(features, vlm.project).embeds))
print("projected first, then averaged:", equal(content, vlm.project(features).mean(dim=(1, 2))))

# %% [markdown]
# So the content token is nothing new: it is lesson 04's pooling, driven to its end. How many tokens an image has, context token included:
#
# **Predict before you run.** How many is it with "grid:6" on 16 x 16 patches?

# %%
my_tokens = 37  # change me

print("compress     16 x 16 (224 pixels)   24 x 24 (336 pixels)")
for compress in ("mean", "grid:2", "grid:4", None):
    made = LlamaVid(8, 8, compress)
    print(f"{compress or 'None':<12}{made.count(1, 16, 16):>14}{made.count(1, 24, 24):>23}")
kernel = 16 // 6
print(
    f"the official code at grid:6 pools with kernel and stride 16 // 6 = {kernel}: {(16 // kernel) ** 2 + 1} tokens; predicted {my_tokens}"
)
try:
    LlamaVid(8, 8, "grid:6").count(1, 16, 16)
except ValueError as error:
    print("lib:", error)

# %% [markdown]
# ### Exercise 06.content: content tokens on a grid
#
# difficulty ●●●○○ · importance ●●●●○ · 10 minutes
#
# Return the content tokens of `features`, (T, H, W, C): the means over `rows` x `columns` equal cells of each frame, row by row, (T, rows x
# columns, C). Both sides divide. (1 x 1 is compress_type "mean", 4 x 4 is "grid:4", 1 x 2 two halves.)

# %%
ex = exercises.get("06.content")


def my_content(features, rows, columns):
    # your code
    ...


ex.check(my_content)
print("two halves:", tuple(ex.or_lib(my_content)(features, 1, 2).shape))

# %% [markdown]
# ## 3. The context token by hand
#
# **Claim.** A *text decoder* (InstructBLIP's Q-Former: 32 learned queries that read the question and look at the frame) gives 32 vectors Q per frame. Each
# attends to the patches X; what they find is averaged and projected (`llamavid_arch.py:298-390`):
#
# > E = mean over queries of softmax( Q (X W_k)ᵀ / √C ) X,  context token = E W_v

# %% [markdown]
# ### Exercise 06.context: the context attention
#
# difficulty ●●●●○ · importance ●●●●● · 15 minutes
#
# For T frames: `queries`, (T, L, C), from question and frame; `patches` X, (T, N, C); `key_weight` W, (C, C), the weight of a
# `torch.nn.Linear` without bias. Each query attends to the patches, softmax(Q (X Wᵀ)ᵀ / √C) X. Return the mean of what the queries find,
# (T, C).

# %%
ex = exercises.get("06.context")


def my_context(queries, patches, key_weight):
    # your code
    ...


ex.check(my_context)
print(
    "one token for each frame:",
    tuple(
        ex.or_lib(my_context)(features.new_zeros(16, 32, 96), features.flatten(1, 2), torch.eye(96).to(features)).shape
    ),
)

# %% [markdown]
# The whole of it, from the question on:


# %%
def context_by_hand(features, question):
    """(T, H, W, C) -> (T, D)."""
    patches = features.flatten(1, 2)  # X: (T, N, C)
    queries = reducer.ask(features, question)  # Q: (T, 32, C), the Q-Former's view of question and frame
    keys = reducer.key_proj(patches)  # X W_k
    scores = queries @ keys.transpose(1, 2) / sqrt(patches.shape[-1])  # (T, 32, N)
    found = scores.softmax(dim=-1) @ patches  # (T, 32, C): a weighted mean of patches for each query
    return reducer.value_proj(found.mean(dim=1))


context = context_by_hand(features, question)
both = reducer(features, vlm.project, question)
print("by hand and lib:", equal(context, both.embeds[both.kind == Kind.CONTEXT]))
look = reducer.attention_map(features, question)  # (T, H, W), sums to 1 in each frame
print("one weighted mean:", equal(context, reducer.value_proj((look[..., None] * features).sum(dim=(1, 2)))))
print("another question:", equal(context, context_by_hand(features, "Which colour flashes?")))

# %% [markdown]
# - The second line: the mean of 32 weighted means is *one* weighted mean, with the mean of the weights. So the whole context token is one map over the
#   frame, which can be drawn (section 4), and `lib` averages the weights first: the same, with 32 times less to multiply.
# - The paper's formula has neither the key projection W_k nor 1/√C. The code has both. It matters:

# %%
patches, queries = features.flatten(1, 2), reducer.ask(features, question)
printed = reducer.value_proj(((queries @ patches.transpose(1, 2)).softmax(dim=-1) @ patches).mean(dim=1))
print(
    f"the formula as printed gives a token that is {(printed - context).norm() / context.norm():.0%} of its length away from the code's token"
)
shapes = {
    "Q-Former": reducer.qformer,
    "query projection": reducer.query_proj,
    "W_k": reducer.key_proj,
    "W_v": reducer.value_proj,
}
for name, part in shapes.items():
    print(f"{name:<18}{sum(weight.numel() for weight in part.parameters()):>9,} parameters")

# %% [markdown]
# (In the official model the Q-Former also sees the CLS token of each frame, through a layer norm, and the attention does not; on the long-video path, where features
# come from disk without CLS, neither does. Ours never sees it.)
#
# ## 4. Where a question looks
#
# **Claim.** The context token "aggregates the most informative visual features guided by instruction queries" (study notes). Then the map must lie on what is
# asked about. Several questions, one frame:

# %%
asked = [qa.question for qa in toybox.questions(clip) if qa.kind in ("colour", "where", "count", "code")]
asked = list(
    dict.fromkeys([*asked[:3], "How many things are there?", "What is the code?", "Which colour flashes?", asked[-3]])
)
maps = {one: reducer.attention_map(features[8:9], one)[0].numpy() for one in asked[:7]}
plots.attention_maps(frames[8], maps)

# %% [markdown]
# (The brighter a patch, the more it counts; each map has a scale of its own, up to its brightest patch. Look also for light on what was not asked about.)
#
# **Predict before you run.** A thing covers a few of the 64 patches. Which share of the attention falls on the patches of what is asked about?

# %%
my_share = 0.2  # change me


def attention_on_target(reducer, seeds):
    """The mean share of attention on the patches that a question is about, and the share of those patches in the frame."""
    shares, sizes = [], []
    for seed in seeds:
        image = toybox.still(toybox.sample(seed), 0)
        seen = vlm.encode(toybox.render(image))
        for qa in toybox.questions(image):
            wanted = asked_patches(image, qa.question) > 0
            if not wanted.all():  # it is about something that is to be seen
                shares.append(reducer.attention_map(seen, qa.question)[0].numpy()[wanted].sum())
                sizes.append(wanted.mean())
    return np.mean(shares), np.mean(sizes), len(shares)


on_target, size, count = attention_on_target(reducer, range(40))
untrained = new_reducer(vlm).eval()
print(f"{count} questions: {on_target:.0%} of the attention on {size:.0%} of the patches; predicted {my_share:.0%}")
from_nothing = attention_on_target(untrained, range(10))[0]
print(f"an untrained Q-Former: {from_nothing:.0%}")

# %% [markdown]
# ## 5. Three stages, and one before
#
# **Claim.** LLaMA-VID is trained in three stages (official scripts), each on a part of the model:
#
# | stage | data | trained | learning rate |
# |---|---|---|---|
# | 1 alignment | 558 K images + 232 K videos with captions | content projector, query, key and value projections | 1e-3 |
# | 2 instruction | 665 K image + 98 K video conversations | everything but the vision tower | 2e-5 |
# | 3 long video | 15 K: 9 K about movies, 6 K long texts | language model and content projector | 2e-5 |
#
# The Q-Former comes trained, from InstructBLIP. Ours does not, so it has a stage before: it learns to look at the patches that a question is about, which
# Toybox knows. What each stage of ours trained:

# %%
for stage in TRAINED:
    parts = trained_parts(vlm, reducer, stage)
    groups = sorted(
        {".".join(name.removeprefix("model.").split(".")[: 2 if name.startswith("reducer") else 1]) for name in parts}
    )
    print(f"{stage:<12}{sum(part.numel() for part in parts.values()):>10,}  {', '.join(groups)}")

# %% [markdown]
# **Predict before you run.** Which share of all questions about clips of 16 frames is answered rightly after each stage?

# %%
my_stages = {"reading": 0.3, "alignment": 0.5, "instruction": 0.7, "long": 0.7}  # change me

first = min(SCORED_CLIPS.values())  # the clips that were shown to all stages
asked_of = count_asked(max(SCORED_CLIPS.values()))
stages = np.stack([measured["right"][stage]["context + content"][:first] for stage in TRAINED], axis=1)
shares = bootstrap_shares(stages.sum(axis=2, keepdims=True), asked_of[:first].sum(axis=1, keepdims=True))[..., 0]
for row, stage in enumerate(TRAINED):
    line = f"after {stage:<12} predicted {my_stages[stage]:.2f}, measured {percentile_interval(shares[:, row], first)}"
    print(line + (f"   step {percentile_interval(shares[:, row] - shares[:, row - 1], first)}" if row else ""))

# %% [markdown]
# (The share of right answers on clips that training never drew, with 95 % intervals from redrawing whole clips; "step" is the difference from the line
# above, paired.) The numbers come from `data/measured/llama_vid.json`, which refuses to be read with other weights. We do not have to believe it: the first clips again, here and now:

# %%
again = np.array([count_llama_vid(vlm, reducer, toybox.sample(seed), ["context + content"])[0] for seed in range(12)])
stored = measured["right"]["instruction"]["context + content"][:12]
print(f"12 clips: {again.sum()} right answers here, {stored.sum()} in the file, of {asked_of[:12].sum()}")

# %% [markdown]
# Stage 1 of ours starts far ahead of the paper's: the value projection is fitted to the content projector before, so the language model can read the context token from the first step.
# That leaves alignment little to gain here; where the interval of its step includes 0, no gain is seen.
# Do not conclude that alignment is idle.
#
# Stage 3 freezes everything that makes tokens, for a practical reason: features of hours of video are computed once and read from disk. The author confirms
# that it lowers the scores on short videos (dvlab-research/LLaMA-VID#58; a user there measured 69 before and 52 after on MSVD-QA). The last line above says what it did to ours.
#
# ## 6. When does the question-dependent token earn its place?
#
# **Claim.** "Ablations validate the effectiveness of both tokens" (study notes). The paper has such tables; we could not get at their numbers, so we quote none and
# measure. Four ways to spend one or two tokens on a frame, one set of weights, trained with all four in turn:
#
# - **context only** (1 token), **content only** (1 token), **context + content** (2 tokens);
# - **two content tokens**, the means of the left and the right half: the fair rival. It costs as much as LLaMA-VID and asks no question.
#
# **Predict before you run.** Which way is best where one thing is to be seen, and which where four are?

# %%
my_best = {1: "two content tokens", 4: "context + content"}  # change me

ways = list(TOKEN_CHOICES)
clips = SCORED_CLIPS["instruction"]
right = np.stack([measured["right"]["instruction"][way] for way in ways], axis=1)  # (clips, ways, kinds)
asked_of = count_asked(clips)
by_kind = bootstrap_shares(right, asked_of)
print(f"{'':<20}" + "".join(f"{kind:>8}" for kind in SCORED_KINDS))
for row, way in enumerate(ways):
    print(f"{way:<20}" + "".join(f"{share:>8.2f}" for share in by_kind[0, row]))
gaps = [
    percentile_interval(by_kind[:, 0, column] - by_kind[:, 3, column], clips) for column in range(len(SCORED_KINDS))
]
print(f"{'first minus last':<20}" + "".join(f"{gap.mean:>+8.2f}" for gap in gaps))
print("context + content surely better:", [kind for kind, gap in zip(SCORED_KINDS, gaps, strict=True) if gap.low > 0])
print("two content tokens surely better:", [kind for kind, gap in zip(SCORED_KINDS, gaps, strict=True) if gap.high < 0])

# %% [markdown]
# Now the same by the number of things that are to be seen at once. Only questions about one thing, all kinds together:

# %%
about_things = [SCORED_KINDS.index(kind) for kind in ("colour", "shape", "size", "motion", "speed", "where")]
things, curves, best = crowd(clips), {way: {} for way in ways}, {}
for number in (1, 2, 3, 4):
    chosen = things == number
    counts = right[chosen][:, :, about_things].sum(axis=2, keepdims=True)
    shares = bootstrap_shares(counts, asked_of[chosen][:, about_things].sum(axis=1, keepdims=True))[..., 0]
    for row, way in enumerate(ways):
        curves[way][number] = percentile_interval(shares[:, row], int(chosen.sum()))
    best[number] = max(ways, key=lambda way: curves[way][number].mean)
    gap = percentile_interval(shares[:, 0] - shares[:, 3], int(chosen.sum()))
    verdict = (
        "no difference seen"
        if gap.low <= 0 <= gap.high
        else "LLaMA-VID better"
        if gap.low > 0
        else "two contents better"
    )
    print(
        f"{number} to be seen: context + content minus two content tokens {gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]: {verdict}"
    )
for number, guess in my_best.items():
    print(f"best with {number}: predicted {guess}, measured {best[number]}")
plots.score_curves(curves, "things to be seen at once", "share of right answers")

# %% [markdown]
# How to read it. A content token is one mean over all 64 patches. Even with one thing in the frame most of what it averages is background; with four it is a mixture of
# four. Two halves mix less, until both are crowded. The context token picks its patches *before* averaging. So what counts is not the number of tokens but **how much has
# to be left out before the mean**: that is when the question-dependent token earns its place, and the more so, the more there is to choose from.
#
# It does not help everywhere. What concerns the whole frame, a flash for instance, needs no choice. Counting names no thing, and there the content token is worth
# having. And what one mean of patches cannot carry, whoever chooses the patches, stays mostly unreadable: three digits in their order.
#
# Two cautions. Our Q-Former was *told* where to look, by the labels of Toybox, and started from likeness between words and patches; the paper's learned
# from pictures with texts. So take the distance to the content tokens as what a question-dependent token can give when its attention is good, not as what it gives on any video.
# And this is one training of one small model, in a world where a question names its thing: the intervals cover the choice of clips, not another training.

# %% [markdown]
# ### Exercise 06.when: when does the context token pay?
#
# difficulty ●●○○○ · importance ●●●●● · 4 minutes
#
# Two tokens a frame: context + content, or two content tokens (left and right half). For which video and question do you take the first,
# and why?
#
# - **a** a full shop window: what colour is the clock?
# - **b** a single ball on an empty floor: what colour is it?
# - **c** any scene at all: does the screen flash at some moment?
#
# because
#
# - **1** two tokens are more than one
# - **2** the question says which patches to keep before the mean
# - **3** the context token has more parameters, so it holds more of a frame

# %%
ex = exercises.get("06.when")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# ## 7. Hours
#
# **Claim.** LLaMA-VID "supports hour-long videos". Two things are needed: making the tokens without holding the video, and a language model that reads them.
#
# *Making.* No frame's tokens depend on another frame, so a video can come in blocks, and each block is forgotten at once. The official code computes in blocks of 64 frames
# for long video; `lib` does so always, and `stream` takes the blocks from a generator:

# %%
in_blocks = reducer.stream((features[start : start + 5] for start in range(0, 16, 5)), vlm.project, question)
print("blocks of 5 frames and all at once:", equal(in_blocks.embeds, both.embeds))

# %% [markdown]
# **Predict before you run.** The peak memory of a process that turns 5 minutes (300 frames) and one hour (3,600) into tokens, drawing and encoding included:
# by which factor does it grow?

# %%
my_factor = 12.0  # change me

here = {seconds: stream_alone(seconds) for seconds in STREAMS[:2]}
stored = {int(seconds): megabytes for seconds, megabytes in measured["stream_megabytes"].items()}
for seconds in STREAMS:
    now = f"{here[seconds]:.0f} MB here, " if seconds in here else ""
    print(
        f"{seconds:>6,} frames -> {reducer.count(seconds, 8, 8):>6,} tokens: {now}{stored[seconds]:.0f} MB when measured"
    )
print(
    f"one hour against 5 minutes: predicted x {my_factor}, measured x {here[3600] / here[300]:.2f}; three hours, as stored: x {stored[10800] / stored[300]:.2f}"
)

# %% [markdown]
# ### Exercise 06.factor: three hours
#
# difficulty ●●○○○ · importance ●●●○○ · 4 minutes
#
# Three hours at one frame per second, two tokens a frame, text left out. Which whole linear RoPE factor is needed at least to read them
# with Vicuna's 4,096 positions?

# %%
ex = exercises.get("06.factor")
my_rope = ...  # your number
ex.check(my_rope)

# %% [markdown]
# *Reading.* Two tokens for each of 3,600 frames are 7,200, and tiny was made for 2,048. LLaMA-VID had the same problem: Vicuna was made for 4,096, so it set linear RoPE
# scaling to 65,536 / 4,096 = 16 and trained on, with that factor switched on (`train.py:1037-1047`). Our stage 3 saw at most 1,024 tokens. Now we hide a *needle*: a question that exactly one clip in the video answers.

# %%
rng = random.Random(0)
hay, needle = needles(rng, 4, 1)
visual = reducer.stream(blocks_of(vlm, hay), vlm.project, needle[0].question)
print(
    f"64 frames, {len(visual)} tokens. {needle[0].question} {answer_from(vlm, visual.embeds, needle[0].question)} (true: {needle[0].answer})"
)
try:
    vlm.answer(features.repeat(65, 1, 1, 1), question, reducer)
except ValueError as error:
    print("1,040 frames, asked in the usual way:", error)

# %% [markdown]
# **Predict before you run.** At how many frames does the share of needles found fall below half of what it is at 16?

# %%
my_limit = 3600  # change me

curves = {}
for row in measured["needles"]:
    for rope in set(row) & {"plain", "scaled"}:
        name = f"after {row['stage']}" + (", RoPE scaled" if rope == "scaled" else "")
        hits, count = curves.setdefault(name, {}).setdefault(row["frames"], [0, 0])
        curves[name][row["frames"]] = [hits + row[rope][0], count + row[rope][1]]
curves = {
    name: {n: score([True] * hits + [False] * (count - hits)) for n, (hits, count) in of.items()}
    for name, of in curves.items()
}
longest = curves["after long"]
for frames_seen, share in longest.items():
    print(f"{frames_seen:>6,} frames, {2 * frames_seen:>6,} tokens: {share}")
fallen = [n for n in longest if longest[n].mean < longest[16].mean / 2]
guessed = np.array([row["guessed"] for row in measured["needles"]]).sum(axis=0)
print(
    f"predicted {my_limit:,}, measured {f'{fallen[0]:,}' if fallen else 'never, up to 10,800'}; by chance, in clips without an answer, {guessed[0] / guessed[1]:.2f}"
)
plots.score_curves(curves, "frames", "share of needles found", log=True)

# %% [markdown]
# (Few questions at the right end: an hour is slow to read. The intervals, Wilson's, say how few.) Being able to hold three hours is not being able to use them:
#
# - No training went beyond about 1,100 positions (lesson 04), so much of what 960 frames need is new to the model. From 3,600 frames on, the sequence is longer even than the 2,048 that tiny
#   declares. "RoPE scaled" squeezes it into these, without training for it (lesson 04).
# - Our stage 3 is short; the lines before and after it show what it changed. Where each point lies within the interval of the other, no change is seen.
# - The longer the video, the more frames share the attention of the language model with the one frame that matters, and the more things resemble the needle.
# - LLaMA-VID's third stage allows 65,536 tokens; ours saw at most 1,024. The paper's claim is about a model trained for it. Section 1 shows why hours *need* so few tokens per frame; this curve, that few tokens alone do not suffice.
#
# ## 8. The ten questions of the study notes
#
# **1. Why two tokens? How do their roles differ?** Content is what the frame shows on average, whatever is asked; context is what the question picks. Where does one alone do better than the other? A list may be empty: then
# that token alone is surely better at no kind. Whether it is worth having *beside* the other is another question, which the last two lines answer over all kinds, and the columns of section 6 kind by kind.

# %%
single = {way: ways.index(way) for way in ("context only", "content only")}
gaps = [
    percentile_interval(by_kind[:, single["context only"], k] - by_kind[:, single["content only"], k], clips)
    for k in range(len(SCORED_KINDS))
]
print("context alone surely better:", [kind for kind, gap in zip(SCORED_KINDS, gaps, strict=True) if gap.low > 0])
print("content alone surely better:", [kind for kind, gap in zip(SCORED_KINDS, gaps, strict=True) if gap.high < 0])
all_kinds = by_kind.mean(axis=2)
for way, row in single.items():
    print(f"both minus {way}: {percentile_interval(all_kinds[:, 0] - all_kinds[:, row], clips)}")

# %% [markdown]
# **2. How exactly is the context token made?** Section 3, in a few lines. The order of its sizes, for one frame:

# %%
ids, mask = reducer.read([question])
query = reducer.text_query(ids, mask, features[:1].flatten(1, 2))
weights = reducer.context_attention(query, features[:1].flatten(1, 2))
found = weights[:, None] @ features[:1].flatten(1, 2)
print(
    f"question {tuple(ids.shape)} + frame {tuple(features[:1].flatten(1, 2).shape)} -> queries {tuple(query.shape)} -> weights "
    f"{tuple(weights.shape)} -> found {tuple(found.shape)} -> token {tuple(reducer.value_proj(found).shape)}"
)

# %% [markdown]
# **3. How is content adapted to images and videos?** By `compress_type` alone: every patch for an image, the mean for a video frame, a grid between. Detail is bought with tokens. How many tokens that is on 24 x 24 patches, and how much of the patches' variation is left in the content tokens of one of tiny's frames (1: nothing lost):

# %%
for compress in (None, "grid:4", "grid:2", "mean"):
    means = LlamaVid(96, 128, compress).content_means(features[:1])
    left = (means - features[:1].mean((1, 2))).square().mean() / (
        features[:1] - features[:1].mean((1, 2))
    ).square().mean()
    print(
        f"{compress or 'None':<8}{LlamaVid(8, 8, compress).count(1, 24, 24):>5} tokens at 24 x 24; variation left at tiny's 8 x 8: {left:.2f}"
    )

# %% [markdown]
# **4. Why three stages, and why freeze?** Stage 1 keeps what is already good (vision tower, Q-Former, language model) from being spoiled by projections that still know nothing; stage 2 frees all but the vision tower; stage 3 freezes the token makers, because features of
# long videos are read from disk. How far our stage 3 moved the weights:

# %%
after = load_llama_vid("long")[0].model.state_dict()
for part in ("vision_tower", "multi_modal_projector", "language_model"):
    pairs = [(tensor, after[name]) for name, tensor in vlm.model.state_dict().items() if part in name]
    before, moved = (torch.cat([tensor.flatten() for tensor in tensors]) for tensors in zip(*pairs, strict=True))
    print(f"stage 3 moved the weights of {part:<22} by {(moved - before).norm() / before.norm():.1%}")

# %% [markdown]
# **5. How much is saved for an hour?** Section 1: 7,200 tokens and 3.5 GiB instead of 518,400 and 253 GiB at 144 tokens per frame. In operations of a 7B model that reads them once:

# %%
for name, per_frame in (("144 per frame", 144), ("2 per frame", 2)):
    print(f"{name:<15}{budget.prefill_flops(seven, 3600 * per_frame) / 1e15:>14,.2f} x 10^15 operations")

# %% [markdown]
# **6. What is in the 9 K long-video set, and why was it made?** Nobody had questions about hours of film. More than 400 movies of MovieNet: about 1 K summaries, 4 K questions on plot and persons, 4 K on reasoning and detail, written by GPT-4 and Claude-2 from synopsis, script and subtitles (as
# a reproduction restates it: taslanidis/LLama-VID, blogpost.md; the categories: dvlab-research/LLaMA-VID#61). A frame there stands for a whole shot (MovieNet's "key frame", not the key frame of lesson 01) and comes *with its subtitle*: much of the answer can be read. Ours is the same need in small: clips in a row, questions that one of them answers, and no subtitles.

# %%
hay, asked_here = needles(random.Random(3), 8, 3)
print(f"{len(hay)} clips in a row, {sum(one.frames for one in hay)} frames")
for qa in asked_here:
    print(f"{qa.kind:<8}{qa.question:<46}{qa.answer}")

# %% [markdown]
# **7. Is it of use for very large models with long contexts?** Not studied in the paper. The saving per frame stays. The price is of another kind: with a new question, every frame's context token is new, so nothing
# that the language model computed for the video can be kept. The time until a *second* question about the same 64 frames can be read:

# %%
some = features.repeat(4, 1, 1, 1)
began = time.perf_counter()
reducer(some, vlm.project, "What colour is the circle?")
again_seconds = time.perf_counter() - began
began = time.perf_counter()
reducer.with_tokens("mean", keep="content")(some, vlm.project)
once = time.perf_counter() - began
print(
    f"context + content: {1000 * again_seconds:.0f} ms for every question; content: {1000 * once:.1f} ms, once for all questions"
)

# %% [markdown]
# **8. Would "ETC" and "DNA tokens" help?** The question cites `\cite{etc}` and `\cite{dna_tokens}`: references that lead nowhere, and "DNA tokens" occur nowhere in the official repository. We take the premise as unfounded. What an
# extension would have to add can be measured, though: **time**. Each frame's two tokens know nothing of the other frames; shuffle the frames, and the tokens are just shuffled.

# %%
order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
shuffled = reducer(features[order], vlm.project, question).embeds.unflatten(0, (16, 2))
print("tokens of shuffled frames and shuffled tokens:", equal(shuffled, both.embeds.unflatten(0, (16, 2))[order]))

# %% [markdown]
# **9. Where are the gains largest?** The official results and the distance to Video-ChatGPT:

# %%
with open("../data/papers.csv", encoding="utf-8") as file:
    rows = [
        row
        for row in csv.DictReader(file)
        if row["model"] == "LLaMA-VID-7B-224" and "QA" in row["metric"] and "images" not in row["setting"]
    ]
for row in rows:
    print(
        f"{row['metric']:<32}{float(row['value']):>6.1f}   {row['source']}{'; ' + row['note'] if row['note'] else ''}"
    )

# %% [markdown]
# The largest gain is on ActivityNet-QA, and ActivityNet videos are in its training data (Video-ChatGPT's 98 K conversations): "zero-shot" does not fit there.
#
# **10. Could it be trained from scratch?** The paper did not try; it needs a trained vision tower, a trained Q-Former and a trained language model. Ours had the first and the last, and made the Q-Former from nothing, with help that real videos
# do not give: Toybox said where to look. The share of attention on what is asked about, before and after:

# %%
read_only = load_llama_vid("reading")[1]  # after its own stage, before anything was asked of the language model
print(
    f"untrained {from_nothing:.2f}, after its stage {attention_on_target(read_only, range(10))[0]:.2f}, in the end {on_target:.2f}; looking everywhere alike {size:.2f}"
)

# %% [markdown]
# ## What to remember
#
# - LLaMA-VID: a context token (question-dependent) and a content token (a mean) per frame, in this order. Two tokens hold for video; an image keeps all its patches.
# - The context token is one weighted mean of patches. The map of its weights can be drawn. The code has a key projection and 1/√C, the paper's formula does not.
# - The content token is average pooling over the whole frame, before the projector.
# - A fair rival of "context + content" is not "content", but two content tokens. Compare at the same budget, with intervals, and ask *when* (section 6).
# - Tokens can be made as a stream: hours in the memory of minutes. Whether the language model uses them is another question, and needs another measurement.
# - Tokens that depend on the question cannot be kept for the next question.
