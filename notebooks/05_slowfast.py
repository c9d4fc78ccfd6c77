# %% [markdown]
# # 05 SlowFast: few frames in detail, all frames in outline
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/05_slowfast.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | build SlowFast-LLaVA's two pathways and LLaVA-Video's interleaved variant by hand, equal to the official code; say which pooling each uses and whether a separator stands between; find where that code surprises; measure what 128 tokens see, arranged in three ways |
# | **Minutes** | 45 to read and think; 1 to run on two CPU cores or on a T4 |
# | **Memory** | 1 GB |
# | **Downloads** | none |
# | **Needs** | lessons 02 and 04 |

# %% [markdown]
# ## 한국어 요약
#
# 토큰 수가 정해져 있으면 적은 프레임을 자세히 볼지, 많은 프레임을 대강 볼지 골라야 합니다. SlowFast-LLaVA는 둘 다 합니다. slow 경로는 몇 개의 프레임만
# 골라 세부를 남기고, fast 경로는 모든 프레임을 4×4로 줄여 시간의 흐름을 남깁니다. 이 수업에서는 두 경로를 직접 몇 줄로 만들고 `lib`와 같은지 확인합니다.
# 학습 노트에 남아 있던 두 질문에도 답합니다. slow 경로의 풀링은 가로로 이웃한 두 패치의 최댓값이고, 두 블록 사이에 구분 토큰은 없습니다. LLaVA-Video는 같은 발상을
# 다르게 씁니다. 프레임은 한 번씩만 나오고 slow와 fast가 시간 순서대로 섞이며, 공식 코드는 모든 프레임 끝에 학습된 토큰을 하나 붙입니다. 공식 코드가 예상과
# 다르게 동작하는 곳(되풀이되는 slow 프레임, 홀수 너비에서 줄을 넘는 풀링, 비디오마다 두 배가 되는 stride)은 셀로 하나씩 보여 줍니다. 마지막으로 같은 128개의 토큰을 세 가지로 배치해 작은
# 숫자(code)와 한 프레임짜리 번쩍임(flash)을 얼마나 맞히는지 신뢰 구간과 함께 잽니다. slow 프레임이 하나뿐이면 다른 장면의 숫자는 자세히 보지 못한다는 한계도 확인하고, "학습이 필요 없다"는
# 주장은 이미지만 배운 모델로 시험합니다.

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
import re
from collections import Counter, defaultdict
from copy import deepcopy

import numpy as np
import torch
from torch import nn
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from lib import exercises, plots, toybox
from lib.evaluate import clip_shares, difference, exact_match, score
from lib.reducers import Kind, LlavaVideo, SlowFastLlava, SpatialPool
from lib.reducers.slowfast_llava import SlowFastSpec
from lib.reducers.spatial_pool import pool_2d
from lib.video import sample_uniform
from lib.vlm import TINY, load

MODEL = "tiny"

plots.style()
vlm = load(MODEL)
clip = toybox.sample(28)
frames = toybox.render(clip)  # 16 frames, 64 x 64
with torch.no_grad():
    projected = vlm.project(vlm.encode(frames))  # (T, H, W, D): both methods of this lesson project first, then pool
tolerance = 1e-6 if vlm.dtype == torch.float32 else 0.05  # 16-bit numbers are not that exact


def equal(first, second):
    """Whether two tensors agree, and how far they are apart at most, relative to the largest number."""
    apart = ((first - second).abs().max() / second.abs().max()).item()
    return f"{'equal' if apart <= tolerance else 'DIFFERENT'} (at most {apart:.0e} apart)"


print(
    f"{MODEL}: {projected.shape[0]} frames of {projected.shape[1]} x {projected.shape[2]} patches, {projected.shape[3]} numbers each"
)

# %% [markdown]
# ## 1. The idea: look twice
#
# Lesson 04 gave every frame the same number of tokens. It need not be so.
#
# **Claim.** A small sign needs one frame in detail. A movement needs many frames, each in outline. So look twice: a **slow** pathway with few frames and
# many tokens each, a **fast** pathway with all frames and few tokens each, both given to a language model that was never trained on video (Xu et al., SlowFast-LLaVA,
# arXiv 2407.15841v2, section 3.2). The paper's setting for LLaVA-NeXT: 10 slow frames of 288 tokens and 50 fast frames of 16.
#
# What the paper measured with one pathway and with both:

# %%
with open("../data/papers.csv", encoding="utf-8") as file:
    papers = list(csv.DictReader(file))


def published(source):
    """The rows of one table: (model, setting) -> metric -> value."""
    rows = defaultdict(dict)
    for row in papers:
        if row["source"] == source:
            rows[row["model"], row["setting"]][row["metric"]] = float(row["value"])
    return rows


slow_poolings = {key[1]: row for key, row in published("arXiv 2407.15841v2, Table 5").items()}
both = {("", "slow 10x12x24; fast 50x4x4"): slow_poolings["slow 10x12x24; fast 50x4x4"]}
print(f"{'SlowFast-LLaVA-7B, accuracy in %':<34}{'ActivityNet-QA':>16}{'EgoSchema':>12}")
for rows in (published("arXiv 2407.15841v2, Table 4"), published("arXiv 2407.15841v2, ablation of the pathways"), both):
    for (_, setting), row in rows.items():
        print(f"{setting:<34}{row['ActivityNet-QA accuracy']:>16}{row['EgoSchema']:>12}")

# %% [markdown]
# Slow frames alone do better than fast ones alone, and both together do best. (Read "10x12x24" with care: section 2.)
#
# ## 2. The slow pathway by hand
#
# ### Which frames?
#
# **Claim.** n slow frames, evenly spread (official code, `llava_arch.py`, `prepare_slowfast`: the first n of n + 1 points of `torch.linspace`, cut to whole numbers).

# %% [markdown]
# ### Exercise 05.slow_indices: the slow frames
#
# difficulty ●●○○○ · importance ●●●●● · 6 minutes
#
# SlowFast-LLaVA takes `n` slow frames of `total`: the first frame of each of n equal parts. Return their numbers. With fewer frames than
# slow frames, frames repeat.

# %%
ex = exercises.get("05.slow_indices")


def my_slow_indices(total, n):
    # your code
    ...


ex.check(my_slow_indices)
print("10 of 50:", ex.or_lib(my_slow_indices)(50, 10))

# %% [markdown]
# The official line, and the frames of a clip of 50:


# %%
def slow_frames(total, count):
    """The frames that the slow pathway takes."""
    return torch.linspace(0, total, count + 1).to(torch.int32)[:-1].tolist()


PAPER = "slowfast-slow_10frms_spatial_1d_max_pool-fast_4x4"  # the official setting, as its configuration files write it
print("lib takes the same:", SlowFastLlava.from_spec(PAPER).slow_indices(50) == slow_frames(50, 10))
plots.timeline(50, {"fast: all 50": range(50), "slow: 10": slow_frames(50, 10)})

# %% [markdown]
# **Predict before you run.** Of 50 frames, number 0 to 49, which is the last one that is seen in detail?

# %%
my_last = 49  # change me

print(f"predicted {my_last}, measured {slow_frames(50, 10)[-1]}")

# %% [markdown]
# Each slow frame is the *first* one of its tenth of the video. How the video ends, only the fast pathway sees.
#
# ### "Properly pooling, but what?"
#
# That question stands open in the study notes. **The answer:** in each row of patches, two neighbours become one, and of the two numbers in each channel
# the *larger* is kept: a window of 1 row x 2 columns, max (the paper's section 4.2; the code calls it `spatial_1d_max_pool`).

# %% [markdown]
# ### Exercise 05.slow_pool: properly pooled
#
# difficulty ●●○○○ · importance ●●●●○ · 8 minutes
#
# Pool the slow frames `grid`, (T, H, W, D), as SlowFast-LLaVA does: windows of 1 row x 2 columns, and of the two numbers in each channel
# the larger. Return (T, H, W // 2, D). On an odd width the last column is left out (as the paper's 1 x 2 says, and not as the code).

# %%
ex = exercises.get("05.slow_pool")


def my_slow_pool(grid):
    # your code
    ...


ex.check(my_slow_pool)
print("our clip:", tuple(projected.shape), "->", tuple(ex.or_lib(my_slow_pool)(projected).shape))

# %% [markdown]
# By hand, with four slow frames of our clip:

# %%
slow = slow_frames(len(projected), 4)
slow_grid = projected[slow].unflatten(2, (-1, 2)).amax(dim=3)  # (4, H, W, D) -> (4, H, W / 2, 2, D) -> (4, H, W / 2, D)
print(
    f"frames {slow}: {tuple(projected[slow].shape[:3])} -> {tuple(slow_grid.shape[:3])}; the clip's flash is in frame {clip.flashes[0].frame}"
)

# %% [markdown]
# **Predict before you run.** The paper writes 12 x 24 for 24 x 24 patches. Is that 12 rows of 24 tokens?

# %%
my_rows, my_columns = 12, 24  # change me

box = SlowFastLlava.from_spec(PAPER)(torch.zeros(10, 24, 24, 1)).box[
    :288
]  # the patches of the first slow frame's tokens
rows, columns = len(box[:, :2].unique(dim=0)), len(box[:, 2:].unique(dim=0))
print(
    f"predicted {my_rows} rows of {my_columns}, measured {rows} rows of {columns}; the first token's patches: {box[0].tolist()}"
)

# %% [markdown]
# The code makes 24 rows of 12, so read the paper's "12 x 24" as width x height. The count, 288, is the same either way; what stays sharp is not: up and down is kept whole, left and right halved.
#
# Why this one and not 2 x 2, or none? The authors tried (Table 5, the fast pathway always 50 x 4 x 4):

# %%
print(f"{'slow pathway':<14}{'slow tokens':>12}{'ActivityNet-QA':>16}{'EgoSchema':>12}")
for setting, row in slow_poolings.items():
    count, width, height = map(int, re.match(r"slow (\d+)x(\d+)x(\d+)", setting).groups())
    print(
        f"{setting[5:].split(';')[0]:<14}{count * width * height:>12,}{row['ActivityNet-QA accuracy']:>16}{row['EgoSchema']:>12}"
    )

# %% [markdown]
# - Without pooling EgoSchema is 6.0 points better, and ActivityNet-QA 1.5 worse. 1 x 2 is a choice for the token budget, not the best at everything.
# - At equal tokens (2,880; 1,440) pooling space was better than dropping frames in three of four comparisons, not in all: 39.0 against 39.4.
#
# ## 3. The fast pathway by hand, and the two blocks
#
# **Claim.** All frames, each averaged over a coarse grid: 4 x 4 tokens of 6 x 6 patches for 24 x 24 (the paper's section 4.2). Then the two are put together,
# [slow tokens, fast tokens]. At tiny's size we take 2 x 2:

# %%
windows = projected.unflatten(2, (2, -1)).unflatten(1, (2, -1))  # (T, 2, H / 2, 2, W / 2, D)
fast_grid = windows.mean(dim=(2, 4))
by_hand = torch.cat([slow_grid.flatten(0, 2), fast_grid.flatten(0, 2)])

slowfast = SlowFastLlava.from_spec("slowfast-slow_4frms_spatial_1d_max_pool-fast_2x2")
tokens = slowfast(projected)
print(f"{len(by_hand)} tokens by hand; lib: {equal(by_hand, tokens.embeds)}")

# %% [markdown]
# And is `lib` equal to the official code? `tests/test_reducers.py` compares it, to 1e-5, with what the official functions returned, kept in `tests/golden`:
# four settings of SlowFast-LLaVA, and four of LLaVA-Video's code, two of them with slow and fast frames. So from here on, equal to `lib` means equal to the official code, except where this lesson says otherwise.
#
# One token of each pathway, and what it sees of frame 8. Each token is drawn as large as the patches that it stands for. Outlined: a slow token (third picture), and the fast token (last) that covers the same place,
# with its patches and its pixels:

# %%
height, width = projected.shape[1:3]
half = len(slow_grid.flatten(0, 2))  # where the fast block begins
position = slow.index(8) * slow_grid[0, ..., 0].numel() + slow_grid.shape[2] * (height // 2) + 1
boxes = [tokens.box[position].tolist(), tokens.box[half + 4 * 8 + 2].tolist()]
reference = projected[8].flatten(0, 1).float().cpu().numpy()
as_large = {
    f"{height} x {width} patches": projected[8],
    f"slow: {height} rows of {width // 2}": slow_grid[slow.index(8)].repeat_interleave(2, 1),
    "fast: 2 rows of 2": fast_grid[8].repeat_interleave(height // 2, 0).repeat_interleave(width // 2, 1),
}
maps = {name: plots.feature_colours(grid.float().cpu().numpy(), reference) for name, grid in as_large.items()}
pixels = len(frames[8]) / height
plots.pooled_maps(frames[8], maps, [[pixels * edge for edge in boxes[1]], boxes[1], *boxes])

# %% [markdown]
# ### The setting is a string
#
# The official configuration files write the whole method as one string. Taken apart by hand:


# %%
def parse(spec):
    """Slow frames, slow pooling, rows and columns of the fast grid."""
    count, pool, rows, columns = re.fullmatch(r"slowfast-slow_(\d+)frms_(\w+)-fast_(\d+)x(\d+)", spec).groups()
    return int(count), pool, int(rows), int(columns)


print("by hand:", parse(PAPER))
print("lib:    ", SlowFastSpec.parse(PAPER))
try:
    SlowFastLlava.from_spec("slowfast-slow_10frms_spatial_max_pool-fast_4x4")
except ValueError as error:
    print("lib, of a typing error:", str(error)[:94], "...")

# %% [markdown]
# **Predict before you run.** How many tokens are 50 frames of 24 x 24 patches in the official setting?

# %%
my_tokens = 50 * 24 * 24  # change me

count, _, rows, columns = parse(PAPER)
in_hand = count * 24 * (24 // 2) + 50 * rows * columns
measured = SlowFastLlava.from_spec(PAPER).count(50, 24, 24)
(said,) = [row["value"] for row in papers if row["metric"] == "visual tokens" and row["paper"] == "SlowFast-LLaVA"]
print(
    f"predicted {my_tokens:,}; {count} x 24 x 12 + 50 x {rows} x {columns} = {in_hand:,}; lib {measured:,}; the paper, section 4.2: {said}"
)
print(f"unpooled: {50 * 24 * 24:,}; left of Vicuna's 4,096 positions for question and answer: {4096 - measured}")

# %% [markdown]
# ### Is there a separator?
#
# The second open question of the study notes. **The answer for SlowFast-LLaVA: no.** "We do not use any special tokens to separate" the two (the paper's section 3.2). Every token says what it is:

# %%
print({Kind(kind).name: count for kind, count in Counter(tokens.kind.tolist()).items()})
print(f"tokens {half - 2} to {half + 1} are of frames {tokens.frame[half - 2 : half + 2].tolist()}")
kinds = ["slow"] * half + ["fast"] * (len(tokens) - half)
plots.token_timelines({"SlowFast-LLaVA": (tokens.frame.tolist(), kinds)}, {"slow": "slow token", "fast": "fast token"})

# %% [markdown]
# All are tokens of patches, and none is a separator. On the right of the picture, time runs through the clip once in the slow block, and then again in the fast one. Frame 0 stands at the beginning *and* in the middle of the
# sequence. Nothing but the tokens themselves tells the model that the video starts over. A slow frame appears twice, once in each block.
#
# ## 4. Where SlowFast-LLaVA's code surprises
#
# ### Fewer frames than slow frames
#
# **Predict before you run.** A clip has only 4 frames, and the setting asks for 10 slow ones. How many slow frames are there?

# %%
my_slow_of_4 = 4  # change me

taken = slow_frames(4, 10)
print(f"predicted {my_slow_of_4}, measured {len(taken)}: {taken}")
print(
    f"{SlowFastLlava.from_spec(PAPER).count(4, 24, 24):,} tokens, {(len(taken) - len(set(taken))) * 288:,} of them copies of others"
)

# %% [markdown]
# No error, no word: frames repeat. `lib` does as the official code does, so that results agree. Ask for no more slow frames than there are frames.
#
# ### A rounding that is not the floor
#
# "Frame floor(i T / n)", one would write. The official `torch.linspace` works in float32, and sometimes falls just below a whole number:

# %%
odd_ones = [
    (total, n)
    for total in range(1, 129)
    for n in range(1, 33)
    if slow_frames(total, n) != [i * total // n for i in range(n)]
]
total, n = odd_ones[0]
print(
    f"{len(odd_ones)} of {128 * 32:,} pairs (frames up to 128, slow frames up to 32) differ, the first: {total} frames, {n} slow"
)
print("official", slow_frames(total, n))
print("floor   ", [i * total // n for i in range(n)])

# %% [markdown]
# Rare and harmless, but a port that computes the floor is not equal to the official code. (Its sampler of the 50 frames has a surprise of its own: lesson 01, section 5.)
#
# ### Pairs across rows
#
# The official 1 x 2 pooling does not know rows. It is `MaxPool1d(2)` over all patches of a frame, one row after the other. While the width is even, that is the same. When
# it is odd, the last patch of a row is paired with the first of the next:


# %%
def who_reads(height, width, official):
    """(height, width): the number of the token that reads each patch, -1 for none."""
    if official:
        flat = np.arange(height * width) // 2
        return np.where(flat < height * width // 2, flat, -1).reshape(height, width)
    row, pair = np.arange(height)[:, None], np.arange(width) // 2
    return np.where(pair < width // 2, row * (width // 2) + pair, -1)


values = torch.randn(1, 1, 5 * 5)
numbers = torch.from_numpy(who_reads(5, 5, official=True)).flatten()
by_number = torch.stack([values[0, 0, numbers == number].amax() for number in range(12)])
print("our map of the official pooling is right:", equal(by_number, nn.MaxPool1d(2)(values).flatten()))
plots.token_numbers({"official, 5 x 5 patches": who_reads(5, 5, True), "lib": who_reads(5, 5, False)})

# %% [markdown]
# **Predict before you run.** SigLIP-384 has 27 x 27 patches. How many of a frame's slow tokens mix the right edge of the picture with the left one?

# %%
my_torn = 0  # change me

official = who_reads(27, 27, official=True)
torn = [number for number in range(official.max() + 1) if len(set(np.nonzero(official == number)[0])) > 1]
print(f"predicted {my_torn}, measured {len(torn)} of {official.max() + 1} tokens (the last patch is in none)")
one_frame = SlowFastLlava.from_spec("slowfast-slow_1frms_spatial_1d_max_pool-fast_1x1").count(1, 27, 27) - 1
print(f"lib: 0 of {one_frame} tokens (the last column, 27 patches, is in none)")

# %% [markdown]
# Every second row is also shifted by one patch, so that tokens of neighbouring rows do not stand one above the other. Here `lib` follows the paper, which says
# 1 x 2, and not the code. It pays with the last column. For CLIP's 24 x 24, the only grid that the paper used, the two are equal.
#
# ### A grid that does not divide
#
# The fast pathway's `AdaptiveAvgPool2d` always returns the grid that was asked for. 24 divides by 4. 27 does not, and then its windows overlap. How much does each patch count, in all
# 16 tokens together?


# %%
def weights(side):
    """(side, side): how much each patch counts in the 4 x 4 fast tokens, by the gradient of their sum."""
    grid = torch.zeros(1, 1, side, side, requires_grad=True)
    nn.AdaptiveAvgPool2d(4)(grid).sum().backward()
    return grid.grad[0, 0].numpy()


spans = sorted(
    {tuple(box[:2]) for box in SlowFastLlava.from_spec(PAPER)(torch.zeros(10, 27, 27, 1)).box[-16:].tolist()}
)
print("27 rows in 4 windows, as the tokens' boxes say:", spans)
uneven = weights(27)
print(f"a patch counts up to {uneven.max() / uneven.min():.2f} times as much as another")
plots.reading_maps({"24 x 24 to 4 x 4": weights(24), "27 x 27 to 4 x 4": uneven})

# %% [markdown]
# ### A RoPE factor that does nothing
#
# The paper follows LLaVA-NeXT-Video and stretches the positions by 2 (lesson 04, section 8: linear scaling). The official code sets the factor 2 too, but with type "dynamic"
# (`builder.py:118-122`). That kind wakes up only beyond the trained length. How far do the rotations move, at a length that the model knows and at twice that?

# %%
text = vlm.model.config.text_config


def rotations(length, **scaling):
    """The cosines of all angles (1, length, D / heads) with these settings of RoPE scaling."""
    config = deepcopy(text)
    config.rope_parameters = {**text.rope_parameters, **scaling}
    return LlamaRotaryEmbedding(config)(torch.zeros(1), torch.arange(length)[None])[0]


for name, length in (
    ("the trained length", text.max_position_embeddings),
    ("twice that", 2 * text.max_position_embeddings),
):
    plain = rotations(length, rope_type="default")
    moved = {
        kind: (rotations(length, rope_type=kind, factor=2.0) - plain).abs().max().item()
        for kind in ("dynamic", "linear")
    }
    print(
        f"{name} ({length:,}): dynamic moves a cosine by at most {moved['dynamic']:.2f}, linear by {moved['linear']:.2f}"
    )

# %% [markdown]
# 3,680 visual tokens and a question fit into Vicuna's 4,096 positions. There the released code runs *without* scaling, whatever the configuration says.
#
# ## 5. LLaVA-Video: each frame once, in the order of time
#
# **Claim.** LLaVA-Video (Zhang et al., arXiv 2410.02713, section 4 and appendix A) writes a video as V = (T, M, s, p): of T frames with M patches, **every s-th** is slow and
# pooled p x p; the others are fast, pooled 2p x 2p. (The paper calls s the "strike rate".) Two things differ from SlowFast-LLaVA, and the authors stress both (appendix A.1):
# **each frame appears once**, and slow and fast frames are **interleaved in the order of time**.
#
# In the official code every row of tokens also ends with the newline vector (lesson 04, section 6), and every frame with one more learned vector, `faster_token`
# (`llava_arch.py:312-326`). By hand:


# %%
def interleave(projected, slow_every, newline, frame_token):
    """(T, H, W, D) -> (N, D): slow frames at stride 2, fast ones at stride 4, in the order of time."""
    sequence = []
    for t, patches in enumerate(projected):  # (H, W, D)
        stride = 2 if t % slow_every == 0 else 4
        grid = patches.unflatten(1, (-1, stride)).unflatten(0, (-1, stride)).mean(dim=(1, 3))
        ends = newline.expand(len(grid), 1, -1)
        sequence += [torch.cat([grid, ends], dim=1).flatten(0, 1), frame_token[None]]
    return torch.cat(sequence)


newline = vlm.model.model.image_newline.detach()
frame_token = torch.randn(newline.shape, generator=torch.manual_seed(0)).to(
    newline
)  # a stand-in: no model here learned one
llava_video = LlavaVideo(
    slow_every=3, slow_stride=2, fast_stride=4, mode="average", newline_embed=newline, frame_token=frame_token
)
in_time = llava_video(projected)
print(
    f"{len(in_time)} tokens; by hand and lib: {equal(interleave(projected, 3, newline, frame_token), in_time.embeds)}"
)
print({Kind(kind).name: count for kind, count in Counter(in_time.kind.tolist()).items()})

# %% [markdown]
# Which token sees what, and when? Both methods on the same clip, at nearly the same number of tokens:

# %%
names = {Kind.NEWLINE: "newline", Kind.SEPARATOR: "separator"}
their_kinds = [
    names.get(kind, "slow" if frame % 3 == 0 else "fast")
    for kind, frame in zip(in_time.kind.tolist(), in_time.frame.tolist(), strict=True)
]
sequences = {
    "SlowFast-LLaVA: 4 slow, 16 fast": (tokens.frame.tolist(), kinds),
    "LLaVA-Video: every third slow": (in_time.frame.tolist(), their_kinds),
}
legend = {"slow": "slow token", "fast": "fast token", "newline": "newline", "separator": "frame token"}
plots.token_timelines(sequences, legend)

# %% [markdown]
# Above, two passes through the time of the clip, slow frames twice. Below, one pass: a slow frame is a longer step. So **is there a separator?** Not between
# two blocks, since there are none. The frame token (`SEPARATOR` in the counts above) ends *every* frame, slow or fast, so it cannot tell the model which was which; the number of rows can.
#
# **Predict before you run.** 64 frames, every third one slow. How many are slow?

# %%
my_slow_of_64 = 64 // 3  # change me

of_64 = LlavaVideo(slow_every=3, mode="average")(torch.zeros(64, 4, 4, 1))
measured = sum(count == 4 for count in Counter(of_64.frame.tolist()).values())  # 2 x 2 tokens; fast frames have one
print(f"predicted {my_slow_of_64}, the paper's formula {64 // 3}, measured {measured}")
few = LlavaVideo(slow_every=10, mode="average")(torch.zeros(4, 4, 4, 1))
print("4 frames, every tenth slow: tokens per frame", list(Counter(few.frame.tolist()).values()))

# %% [markdown]
# The code takes frame t where t % s == 0, so the first frame always, and the number is rounded *up*. The paper's formula rounds down:
# tokens = floor(T / s) M / p² + (T - floor(T / s)) M / 4p². What does it give for the row of its Table 9?

# %%
table = published("arXiv 2410.02713, Table 9")
T, M, s, p = 64, 729, 3, 2
formula = T // s * M / p**2 + (T - T // s) * M / (2 * p) ** 2
stated = table["LLaVA-Video SlowFast", "V=(T,M,s,p)=(64,729,3,2); train and test"]["visual tokens"]
by_mode = {mode: LlavaVideo(s, p, 2 * p, mode).count(T, 27, 27) for mode in ("average", "bilinear")}
print(
    f"stated {stated:,.0f}; by the formula {formula:,.1f}; whole windows of 27 x 27: {by_mode['average']:,}; bilinear, the code's default: {by_mode['bilinear']:,}"
)
benchmarks = ("NExT-QA multiple choice", "PerceptionTest", "EgoSchema", "VideoMME without subtitles")
print(f"{'':<24}{'tokens':>8}" + "".join(f"{name.split()[0]:>16}" for name in benchmarks))
for (model, _), row in table.items():
    print(f"{model:<24}{row['visual tokens']:>8,.0f}" + "".join(f"{row[name]:>16}" for name in benchmarks))

# %% [markdown]
# No reading that we tried gives 5,396. (5,408, the row "simple", is 32 x 13 x 13.) The four arrangements, each in a model *trained* with it, lie 0.6 to 2.8 points apart, and none is best at all four benchmarks.
#
# **Who uses it?** The paper gives the 7B model V = (64, 679, 1, 2), which is no slow and fast at all, and only the 72B s = 3 (section 4.1; M is 729 elsewhere in the paper, and 27 x 27 is 729).
# The released 7B model has `add_faster_video` switched off (LLaVA-VL/LLaVA-NeXT#305): 64 x 210 = 13,440 tokens, lesson 04. A published script for
# the 72B (branch `yhzhang/video_dev`) switches it on, with s = 5.

# %% [markdown]
# ### Exercise 05.video_tokens: what LLaVA-Video costs
#
# difficulty ●●●○○ · importance ●●●●○ · 10 minutes
#
# LLaVA-Video: of `frames` frames of `side` x `side` patches every `slow_every`-th is slow, beginning with frame 0, and averaged with
# `stride`; the others with twice that stride. Each frame occurs once. As in the official code, every row ends in a newline and every frame
# in one more token. How many tokens?

# %%
ex = exercises.get("05.video_tokens")


def my_video_tokens(frames, slow_every, side, stride):
    # your code
    ...


ex.check(my_video_tokens)
print("16 frames of 8 x 8, every third slow:", ex.or_lib(my_video_tokens)(16, 3, 8, 2))

# %% [markdown]
# ### Where LLaVA-Video's code surprises
#
# In the published code (`encode_multimodals`, `llava_arch.py:198-220`) the fast stride is made by doubling the slow one, *in the same variable*, and nothing resets it. So the
# second video of a batch starts where the first one ended:


# %%
def doubling(videos, side=24, stride=2):
    """Tokens of a slow and of a fast frame, video by video, as the official loop computes them."""
    counts = []
    for _ in range(videos):
        slow_tokens = (side // stride) ** 2
        stride *= 2
        counts.append((slow_tokens, (side // stride) ** 2))
    return counts


plain_video = LlavaVideo(slow_every=2, mode="average")
ours = [tuple(Counter(plain_video(torch.zeros(2, 24, 24, 1)).frame.tolist()).values()) for _ in range(3)]
print("three videos in one batch, tokens of a slow and of a fast frame")
print("official:", doubling(3))
print("lib:     ", ours)

# %% [markdown]
# `lib` does not copy that. On the main branch (commit df17966) it cannot even happen: the call is commented out, and switching the setting on ends in a `NameError`
# (LLaVA-VL/LLaVA-NeXT#449). One more surprise follows from lesson 04: the code's default mode is "bilinear", and with stride 4 the fast frames are *looked at* through few patches.
#
# **Predict before you run.** Which share of the patches of a fast frame does no token read, with bilinear pooling of 27 x 27 at stride 4?

# %%
my_unread = 0.0  # change me

grid = torch.zeros(1, 27, 27, 1, requires_grad=True)
pool_2d(grid, 4, "bilinear").sum().backward()
print(f"predicted {my_unread:.0%}, measured {(grid.grad == 0).float().mean():.0%}")

# %% [markdown]
# ## 6. "Training-free"
#
# **Claim.** SlowFast-LLaVA changes no weight of the image model and adds none. That can be checked:

# %%
reducer = SlowFastLlava.from_spec(PAPER)
before = [weight.sum().item() for weight in vlm.model.parameters()]
specs = [
    f"slowfast-slow_{slow}-fast_{fast}"
    for slow, fast in (("1frms_concat", "2x2"), ("2frms_concat", "1x1"), ("4frms_spatial_1d_max_pool", "4x4"))
]
print(
    f"parameters of the reducer: {sum(weight.numel() for weight in reducer.parameters())}, entries to save: {len(reducer.state_dict())}"
)
for spec in specs:
    method = SlowFastLlava.from_spec(spec)
    print(
        f"{spec:<52} {method.count(16, height, width):>4} tokens, code: {vlm.answer(frames, 'What is the code?', method)} (it is {clip.code})"
    )
print("weights of the model unchanged:", before == [weight.sum().item() for weight in vlm.model.parameters()])
print(f"LLaVA-Video's learned vectors: {newline.numel() + frame_token.numel()} numbers, which somebody has to train")

# %% [markdown]
# One set of weights reads all three settings. What the method does change is what the model reads: the tokens, and the **prompt**. The official one tells the model that its input is "a sequence of
# key frames from a video". Leaving out a part of it costs up to 4.2 points on EgoSchema. On ActivityNet-QA,
# leaving out the task instruction helps, and gives the 55.5 of Table 5 above. This is Table 7:

# %%
for (_, setting), row in published("arXiv 2407.15841v2, Table 7").items():
    print(f"{setting:<30} ActivityNet-QA {row['ActivityNet-QA accuracy']}   EgoSchema {row['EgoSchema']}")

# %% [markdown]
# ## 7. What 128 tokens see
#
# Now the claim that few frames in detail and many in outline see *both* the small and the brief. Three ways to spend 128 tokens on a Toybox clip of 16 frames:
#
# - SlowFast: frame 0 in detail (64 tokens) and all 16 frames in outline (4 tokens each);
# - 2 frames with all their 64 tokens;
# - 8 frames with 16 tokens each.
#
# Before any model answers, count what is there to be seen. A **code** is three small digits, one patch each: "in detail" means a frame of its scene is there unpooled. A
# **flash** lasts one frame: it is in view if that frame is.

# %%
clips = [toybox.sample(seed) for seed in range(48)]
views = {
    "SlowFast": (SlowFastLlava.from_spec("slowfast-slow_1frms_concat-fast_2x2"), 16),
    "2 frames x 64": (SpatialPool(stride=1), 2),
    "8 frames x 16": (SpatialPool(stride=2), 8),
}
unpooled = {"SlowFast": [0], "2 frames x 64": sample_uniform(16, 2), "8 frames x 16": []}
flashes = [flash.frame for clip in clips for flash in clip.flashes]


def code_scene(clip):
    """The frames of the scene that shows the code."""
    number = [scene.code != "" for scene in clip.scenes].index(True)
    return range(clip.starts[number], clip.starts[number] + clip.scenes[number].frames)


for name, (method, count) in views.items():
    in_detail = sum(any(frame in code_scene(clip) for frame in unpooled[name]) for clip in clips) / len(clips)
    in_view = sum(frame in sample_uniform(16, count) for frame in flashes) / len(flashes)
    print(
        f"{name:<14} {method.count(count, 8, 8)} tokens: {in_detail:>4.0%} of the codes in detail, {in_view:>4.0%} of the flashes in view"
    )

# %% [markdown]
# **Predict before you run.** Which of the three answers each kind of question best? ("flash": which colour flashes; "order": which of two flashes came first, or last;
# "motion": which way a thing moves.)

# %%
my_best = {
    "code": "2 frames x 64",
    "flash": "SlowFast",
    "order": "8 frames x 16",
    "motion": "8 frames x 16",
}  # change me

tiny = load("tiny")  # this section and the next measure answers about Toybox, which only tiny knows
kinds_asked = ("code", "flash", "order", "motion")
answers = {name: exact_match(tiny, clips, method, count) for name, (method, count) in views.items()}
scores = {name: {kind: score(right[kind]) for kind in kinds_asked} for name, right in answers.items()}
for kind in kinds_asked:
    best = max(scores, key=lambda name: scores[name][kind].mean)
    print(f"{kind:<7} predicted {my_best[kind]:<14} measured {best:<14} {scores[best][kind]}")
plots.score_intervals(scores)

# %% [markdown]
# (Wilson 95 % intervals. One clip asks about the motion of several things, so those intervals are a little too narrow. The comparison below takes one share per clip.)


# %%
def verdict(first, second, kind):
    """The mean difference over clips with its 95 % bootstrap interval, and in words."""
    gap = difference(*(clip_shares(right, clips, {kind}) for right in (first, second)))
    words = "no difference seen" if gap.low <= 0 <= gap.high else "better" if gap.low > 0 else "worse"
    return f"{gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}] {words}"


slowfast_name, *uniform = views
for kind in kinds_asked:
    for name in uniform:
        print(f"{kind:<7} SlowFast against {name}: {verdict(answers[slowfast_name], answers[name], kind)}")


def always(kind):
    """What is right most often, and how often: what guessing gives."""
    truths = Counter(qa.answer for clip in clips for qa in toybox.questions(clip) if qa.kind == kind)
    usual, count = truths.most_common(1)[0]
    return f'{kind}, for comparison: always "{usual}" would be right in {count / truths.total():.2f}'


print(always("motion"))

# %% [markdown]
# How to read this:
#
# - Each uniform way has to give up one end: 2 frames miss most flashes (they are not in view), 8 frames blur the digits (four patches in one token). The two pathways of SlowFast keep one foot at each end.
# - Motion needs several frames, each sharp enough to see where a thing is. Its lines say which way keeps more of that; the "always" line says what guessing would give.
# - This is one budget and 48 clips. Lesson 07 compares all methods at three budgets on 1,000 clips.
# - Tiny met all three ways in training (`lib/workshop/tiny.py`, `draw_view`). So this compares what the *tokens* carry, and says nothing yet about "training-free": see section 8.
#
# ### The blind spot
#
# SlowFast's one slow frame is frame 0. Where the code appears only in a second scene, no slow token ever sees it.
#
# **Predict before you run.** Which share of those codes does it read, and what do two slow frames (0 and 8; 192 tokens) change?

# %%
my_share = {"one slow frame": 0.5, "two slow frames": 0.5}  # change me

late = [clip for clip in map(toybox.sample, range(48, 400)) if 0 not in code_scene(clip)][:24]
methods = {
    "one slow frame": views["SlowFast"][0],
    "two slow frames": SlowFastLlava.from_spec("slowfast-slow_2frms_concat-fast_2x2"),
}
for name, method in methods.items():
    shown = sum(any(frame in code_scene(clip) for frame in method.slow_indices(16)) for clip in late)
    print(
        f"{name:<15} shows {shown:>2} of {len(late)} codes in detail; predicted {my_share[name]:.2f}, measured {score(exact_match(tiny, late, method)['code'])}"
    )

# %% [markdown]
# What no slow frame shows, only the fast tokens can tell, and each of them averages 16 patches. If more codes are read than are shown in detail, the rest was read from such
# averages, which still hold something of each digit. Evenly spread slow frames are a bet that what is small stays in view. (Lesson 01 chose frames by scenes.)

# %% [markdown]
# ### Exercise 05.second_scene: the sign in the second scene
#
# difficulty ●●○○○ · importance ●●●●○ · 4 minutes
#
# Clips of two scenes. A small sign, to be read, stands in the second scene only. SlowFast with one slow frame, 64 + 16 x 4 = 128 tokens,
# misreads it. What do you change at the same budget, and why?
#
# - **a** a coarser slow frame, so that the fast ones can be finer
# - **b** 32 fast frames of 2 tokens
# - **c** two slow frames, pooled 1 x 2: 32 tokens each
#
# because
#
# - **1** the fast pathway has too few frames
# - **2** the one slow frame is frame 0, so no slow token sees the second scene
# - **3** 128 tokens are a longer sequence than any that the model was trained on

# %%
ex = exercises.get("05.second_scene")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# ## 8. Training-free, put to the test
#
# The paper's claim is about a model that never saw a video, nor such tokens. We have one: `tiny-image`, trained on single images of 64 or 16 tokens (`lib/workshop/tiny.py`,
# `image_loss`). It never met more than 64 visual tokens, a token of 4 x 4 patches, or pooling behind the projector. Here are all three ways with its weights:

# %%
my_guess = "SlowFast helps the code and the flash"  # change me: predict before you run

tiny_image = load(TINY.parent / "tiny-image")
untrained = {name: exact_match(tiny_image, clips, method, count) for name, (method, count) in views.items()}
known = ("code", "flash", "colour", "shape")
print(f"{'':<8}" + "".join(f"{name:>15}" for name in views) + "   predicted:", my_guess)
for kind in known:
    print(f"{kind:<8}" + "".join(f"{score(right[kind]).mean:>15.2f}" for right in untrained.values()))
for kind in known:
    print(f"{kind:<8}SlowFast against 8 frames x 16: {verdict(untrained[slowfast_name], untrained[uniform[1]], kind)}")
print(always("flash"))

# %% [markdown]
# How to read this:
#
# - **Detail comes along.** A slow frame is an image, and images are what the model knows: the row "code" says how many codes it reads from a sequence it never met. Whether that is surely more than
#   from 8 frames x 16, the line below the table says. Compare each column with the share of codes in detail (section 7): what is in detail and still not read was
#   there to be read, but not by this model.
# - **A flash is another matter.** For an image model a flash is the colour of the whole picture. That *one frame of 16* counts is something only videos teach (lesson 04, section 7). The fast
#   tokens carry the flash (section 7 read it from them, with the same arrangement); whether an untrained model reads it is what the row "flash" shows, beside
#   the last line, which says what guessing would give. With a few dozen of these questions, a gap of some hundredths to guessing is no evidence.
# - **Strange tokens can cost.** Look at the lines for colour and shape: averages of 16 patches mix things that an image model always saw apart.
#
# The language model of the paper is thousands of times larger and knows what a "sequence of key frames" is. Ours only knows Toybox. What carries over is the split of the question: are the
# tokens able to tell it, and is the model able to read them?

# %% [markdown]
# ## What to remember
#
# - SlowFast-LLaVA: n slow frames (1 x 2 max pooling, 24 rows of 12) and then all frames again (4 x 4 averages). Officially 10 x 288 + 50 x 16 = 3,680 tokens.
# - Two blocks, no separator, time runs twice, no weight added or changed.
# - LLaVA-Video: every s-th frame at p x p, the others at 2p x 2p, each frame once and in the order of time; in the code a newline after each row and a learned token after *every* frame.
# - The released LLaVA-Video-7B uses none of it; the paper's token counts, formula and code give three numbers.
# - Read the code before you trust a count: repeated slow frames, pairs across rows on odd widths, overlapping windows, a stride that doubles from video to video, a RoPE factor that does nothing.
# - A small thing should be in a slow frame; a brief thing must be in some frame. Count what is in view before you blame the model.
