# %% [markdown]
# # 13 What came after: merge, leave out, prune
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/13_what_came_after.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | merge, leave out and prune visual tokens by hand; say what each saves and costs at a fixed budget; test with a control whether an idea earns its place |
# | **Minutes** | 45 to read and think; 1 to run on two CPU cores or on a T4 |
# | **Memory** | 1 GB |
# | **Downloads** | none |
# | **Needs** | lessons 02, 04 and 07 |

# %% [markdown]
# ## 한국어 요약
#
# 요즘 공개 모델은 토큰을 세 가지 방법으로 줄입니다. **이웃 합치기**(Qwen2.5-VL, InternVL3), **반복되는 것 빼기**(DyCoke), 언어 모델 안의 **가지치기**(FastV)입니다. 이 수업에서는 세 방법을 직접 구현해
# transformers나 공식 코드와 결과가 같은지 확인하고, 7번 수업과 같은 클립과 예산에서 `tiny`로 측정합니다. 새로 학습하지는 않습니다.
#
# - Qwen2.5-VL은 1분짜리 영상을 17,940토큰으로 읽습니다. LLaVA-NeXT-Video는 4,608토큰입니다.
# - 2 x 2 풀링은 네 블록의 가중치가 같은 패치 병합입니다. 두 프레임의 특징을 평균하면 같은 128토큰으로 한 장씩 건너 읽을 때보다 9.9점 높습니다.
# - DyCoke로 토큰 절반을 빼면 1.2점이 낮아집니다. 그러나 무작위로 골라도 거의 같습니다. 유사도로 고른 효과는 0.7점입니다.
# - FastV처럼 어텐션으로 고르면 1층 뒤에서는 무작위 선택보다 13.8점 낮고, 3층 뒤에서는 무작위와 차이가 없습니다.
# - 세 예산 모두에서 7번 수업의 최고 방법을 넘지 못했습니다. 다만 `tiny`는 이 방법들로 학습하지 않았으므로, 이 결과로 논문을 평가할 수는 없습니다.
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
# what this lesson is about
import numpy as np
import torch

from lib import plots, toybox
from lib.evaluate import bootstrap_shares, percentile_interval
from lib.reducers import DyCoke, PatchMerger, SpatialPool
from lib.vlm import load
from lib.workshop import came_after, same_budget

plots.style()

# what you may ignore
from lib import exercises
from lib.exercises import calibration, predict

vlm = load("tiny", device="cpu")  # as in lesson 07: the stored answers were made on a CPU, in 32 bits
clip = toybox.sample(12)  # 16 frames, a purple flash on frame 8, the code 852
pixels = toybox.render(clip)
features = vlm.encode(pixels)  # (16, 8, 8, 96)

# %% [markdown]
# ## 1. How many tokens do today's open models make of a minute?
#
# Three families show what is usual now. `data/papers.csv` names the source of each number:
#
# - **LLaVA-OneVision** does what lesson 04 does: 27 x 27 patches, pooled to 196 tokens a frame, 32 frames.
# - **InternVL3** joins each 2 x 2 of its 32 x 32 patches into one token: 256 tokens a frame. Its official example reads 8 frames.
# - **Qwen2.5-VL** keeps the shape of a frame. One token covers 28 x 28 pixels of *two* frames, at 2 frames a second.
#
# The first two fix the number of frames: a longer video gets coarser in time. Qwen fixes the rate: a longer video gets more expensive. Lesson
# 02's formulas give the numbers for 640 x 360 pixels.
#
# **Predict before you run.** How many tokens does Qwen2.5-VL make of one minute? (LLaVA-NeXT-Video: 32 x 144 = 4,608.)

# %%
my_minute = None  # your guess

import csv

with open("../data/papers.csv", encoding="utf-8") as file:
    facts = {(row["paper"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}


def qwen_tokens(seconds, height, width, paper="Qwen2.5-VL"):
    """Pairs of frames, each as many tokens as squares fit; within the limits of the official code."""
    rule = {metric: value for (name, metric), value in facts.items() if name in ("Qwen2.5-VL", paper)}
    pairs = min(rule["frames per second"] * seconds, rule["most frames"]) // rule["frames in one token"]
    side = rule["pixels on a side of one token"]
    in_a_pair = round(height / side) * round(width / side)
    if in_a_pair > min(rule["most tokens of two frames"], rule["most tokens of a video"] / pairs):
        raise ValueError("the official code would make such frames smaller first")
    return int(pairs) * in_a_pair


print(f"{'':<18}{'10 s':>9}{'1 min':>9}{'6 min':>9}   tokens of 640 x 360")
for name in ("LLaVA-OneVision", "InternVL3"):
    frames, each = int(facts[name, "frames"]), int(facts[name, "tokens per frame"])
    print(f"{name:<18}" + f"{frames * each:>9,}" * 3 + f"   {frames} frames x {each}")
for name in ("Qwen2.5-VL", "Qwen3-VL"):
    print(f"{name:<18}" + "".join(f"{qwen_tokens(seconds, 360, 640, name):>9,}" for seconds in (10, 60, 360)))
predict("tokens of Qwen2.5-VL for a minute", my_minute, qwen_tokens(60, 360, 640))

# %% [markdown]
# One minute costs Qwen2.5-VL 17,940 tokens, almost four times LLaVA-NeXT-Video's 4,608. Six minutes cost 107,640. Three ways save tokens:
# **merging** neighbours (sections 2 and 3), **leaving out** what repeats (4), and **pruning** inside the language model (5).
#
# Here all three run on tiny as it is shipped: nothing is trained. We ask lesson 07's questions about its clips, at its budgets of 64, 128 and
# 256 tokens.

# %% [markdown]
# ## 2. What does it mean to merge four patches?
#
# InternVL calls it *pixel shuffle*, Qwen a *patch merger*. Write it first.

# %% [markdown]
# ### Exercise 13.merge: four patches side by side
#
# difficulty ●●●○○ · importance ●●●●● · 8 minutes
#
# `features` has shape (T, H, W, C), both sides even. Write the four patches of each 2 x 2 window side by side. Their order is top left, top
# right, bottom left, bottom right. Return shape (T, H / 2, W / 2, 4 C).

# %%
ex = exercises.get("13.merge")


def my_merge(features):
    # your code
    ...


ex.check(my_merge)
merge = ex.or_lib(my_merge)

# %% [markdown]
# Do InternVL and Qwen do what you wrote? transformers has the classes of both. Here they get tiny's features:

# %%
from transformers.models.internvl.modeling_internvl import InternVLModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLPatchMerger

ours = merge(features)  # (16, 4, 4, 384)
internvl = InternVLModel.pixel_shuffle(None, features, scale_factor=0.5)  # this method reads no weight
qwen = Qwen2_5_VLPatchMerger(dim=128, context_dim=96)  # untrained: only the order of the patches is compared
windows = features.reshape(16, 4, 2, 4, 2, 96).transpose(2, 3)  # window by window, as in Qwen's processor
with torch.no_grad():
    apart = (qwen.mlp(merge(qwen.ln_q(features))).flatten(0, 2) - qwen(windows.flatten(0, 4))).abs().max()
print("InternVL's pixel shuffle and ours:", "equal" if torch.equal(ours, internvl) else "DIFFERENT")
print("Qwen2.5-VL's patch merger and ours:", "equal" if apart < 1e-5 else "DIFFERENT")

# %% [markdown]
# Both write the same four patches in the same order. They differ in the norm before the projector: Qwen normalises each patch, InternVL all
# four together. Both need a projector that is four patches wide, and tiny has none. One can be made without training: write tiny's weights
# four times, each divided by four.

# %%
from copy import deepcopy

wide = deepcopy(vlm.model.model.multi_modal_projector)
wide.linear_1.weight.data = wide.linear_1.weight.repeat(1, 4) / 4  # (128, 96) -> (128, 384)
with torch.no_grad():
    merged = PatchMerger(side=2)(features, wide).embeds  # the wide projector on four patches
    shared = PatchMerger(side=2, shared=True)(features, vlm.project).embeds  # lib's name for the same
    pooled = SpatialPool(2)(features, vlm.project).embeds  # lesson 04
apart = max((merged - pooled).abs().max(), (shared - pooled).abs().max())
print("merged, shared and pooled:", "equal" if apart < 1e-4 else "DIFFERENT")

# %% [markdown]
# That is lesson 04's pooling. So **2 x 2 pooling is a patch merger whose four blocks are equal**. Training may make them differ, so that a token
# tells top left from bottom right. Without training, merging in space brings nothing new. In time it does.

# %% [markdown]
# ## 3. Two frames in one: before the vision tower, or after it?
#
# Qwen2.5-VL's first layer reads two frames at once. Suppose its kernel held CLIP's kernel twice, with halved weights. Then it would see the
# *mean of two pictures* (`tests/test_came_after.py` compares the two). The alternative is to average *features*, after the tower. In the
# first case the tower sees two pictures on top of each other, a double exposure:

# %%
blended = pixels.reshape(8, 2, 64, 64, 3).mean(axis=1).astype(np.uint8)
strip = plots.frame_strip(blended, [f"frames {2 * pair}, {2 * pair + 1}" for pair in range(8)])
plots.titled(strip, "Two frames in one picture: the flash fades, moving things stand twice")

# %% [markdown]
# The flash of frame 8 is half as bright, and moving things stand in two places. Averaging pictures and averaging features both turn all 16
# frames into 8 x 16 = 128 tokens. Uniform 8 x 16 costs the same and reads every second frame.
#
# **Predict before you run.** A flash lasts one frame. Reading every second frame, tiny names 61 % of the flashes. How many does it name if
# pairs of features are averaged?

# %%
my_flash = None  # your guess, in per cent


def on_the_same_clips(counts, methods):
    """Shares of these methods and lesson 07's on the same clips: key -> (1 + 2,000 replicates, kinds)."""
    before = same_budget.read_same_budget().right[: len(counts.asked)]
    shares = bootstrap_shares(np.concatenate([counts.right, before], axis=1), counts.asked)
    return dict(zip([m.key for m in (*methods, *same_budget.METHODS)], shares.swapaxes(0, 1), strict=True))


KINDS = list(same_budget.COMPARED_KINDS)
shares = on_the_same_clips(came_after.read_came_after(), came_after.LATER)  # 1,000 clips


def score(table, key, kind=None):
    """The mean of the seven kinds, or one kind, in per cent: on the clips, and on 2,000 redraws of them."""
    return 100 * (table[key].mean(axis=1) if kind is None else table[key][:, KINDS.index(kind)])


def lead(table, first, second, kind=None):
    """By how many points the first method leads, paired, with its 95 % interval."""
    gap = percentile_interval(score(table, first, kind) - score(table, second, kind), clips=0)
    return f"{gap.mean:+5.1f} points [{gap.low:+.1f}, {gap.high:+.1f}]"


def kinds_of(table, key):
    """The line of a method: its share of each kind, in per cent."""
    return f"{key:<34}" + "  ".join(f"{kind} {score(table, key, kind)[0]:.0f}" for kind in KINDS)


second, pairs, exposed = "uniform 8 x 16", "merged features 8 x 16", "merged pixels 8 x 16"
for key in (second, exposed, pairs):
    print(kinds_of(shares, key))
print("merged features over every second frame:", lead(shares, pairs, second))
print("merged features over merged pixels:     ", lead(shares, pairs, exposed))
print("merged features over all 256 tokens:    ", lead(shares, pairs, "uniform 16 x 16"))
predict("flashes named, pairs averaged (%)", my_flash, round(score(shares, pairs, "flash")[0]))

# %% [markdown]
# Averaged pairs name 92 % of the flashes. Over all kinds they lead uniform 8 x 16 by 9.9 points (9.1 to 10.8), at the same cost. Against all
# 16 frames, with twice the tokens, they lose 2.8.
#
# Merging features beats merging pixels by 3.9 points (3.2 to 4.6). This does not judge Qwen2.5-VL: its tower was trained on pairs of frames.
# Tiny's tower never saw a double exposure. Merging pixels has another merit: the tower reads half as many pictures.

# %% [markdown]
# ## 4. Must we read again what has not changed?
#
# **DyCoke** (Tao et al., CVPR 2025) leaves it out, after projector and pooling. In every four frames the first stays whole. The others are
# compared with an earlier frame, and only the tokens that changed most stay. Its authors report a 1.5-fold speed-up and a 1.4-fold reduction
# of memory, without training. Write one step of it:

# %% [markdown]
# ### Exercise 13.kept: what a frame adds
#
# difficulty ●●○○○ · importance ●●●●● · 7 minutes
#
# `before` and `frame` are the tokens (N, D) of two frames. Return the numbers of the `keep` tokens of `frame` that changed most. They have
# the smallest cosine similarity to the token in the same place of `before`. Return them in the order in which they stand in the frame.

# %%
ex = exercises.get("13.kept")


def my_kept(before, frame, keep):
    # your code
    ...


ex.check(my_kept)
kept_of = ex.or_lib(my_kept)

# %% [markdown]
# The rest is a loop over the frames. Kept patches are in colour:

# %%
reducer = DyCoke(prune=0.75, first=SpatialPool(2), order="place")  # 5 x 16 + 11 x 4 tokens
tokens = reducer(features, vlm.project)
grid = SpatialPool(2)(features, vlm.project).embeds.unflatten(0, (16, 16))
by_hand = []
for t in range(16):
    before = reducer.compared_with(t, 16)  # None for a frame that stays whole
    by_hand.append(grid[t] if before is None else grid[t][kept_of(grid[before], grid[t], 4)])
same = torch.equal(torch.cat(by_hand), tokens.embeds)
print(f"{len(tokens)} tokens; by hand and lib: {'equal' if same else 'DIFFERENT'}")

shown = 255 - (255 - pixels) // 5
for frame, (top, bottom, left, right) in zip(tokens.frame.tolist(), (8 * tokens.box).tolist(), strict=True):
    shown[frame, top:bottom, left:right] = pixels[frame, top:bottom, left:right]
plots.titled(plots.frame_strip(shown), "One frame in four stays whole; of the others, mostly what moves")

# %% [markdown]
# Frames 0, 4, 8, 12 and 14 are whole. In the others the kept patches mostly lie where something moves. Frame 9 is compared with frame 8,
# which the flash fills. So all patches of frame 9 changed, and the choice among them means little.
#
# The official code holds three surprises (`lib/reducers/dycoke.py` names the lines; `tests/golden` holds its outputs):
#
# - The paper calls it temporal token *merging*. The code merges nothing, it leaves out.
# - The kept tokens stand in the order of their similarity, not where they stood in the frame.
# - Frame 14 stays whole because a loop ends one step early. Of an odd number of frames the last is lost.
#
# Does choosing by similarity help, and what does the official order cost? Two controls answer. One puts the kept tokens back in place. The
# other draws as many tokens of each frame at random, also in place.
#
# **Predict before you run.** By how many points does DyCoke, tokens in place, lead the random choice?

# %%
my_lead = None  # your guess, in points

names = ("DyCoke", "DyCoke in place", "at random")
official, in_place, drawn = (f"{name} 16 x 16 less 75%" for name in names)
for key in (official, in_place, drawn):
    print(kinds_of(shares, key))
print("similarity: in place over random:  ", lead(shares, in_place, drawn))
print("            codes alone:           ", lead(shares, in_place, drawn, "code"))
print("            counts alone:          ", lead(shares, in_place, drawn, "count"))
print("order:      in place over official:", lead(shares, in_place, official))
print("both:       official over random:  ", lead(shares, official, drawn))
print("in place over all 256 tokens:      ", lead(shares, in_place, "uniform 16 x 16"))
predict("points of DyCoke over random", my_lead, (score(shares, in_place) - score(shares, drawn))[0])

# %% [markdown]
# Leaving out half of the tokens costs only 1.2 points (0.8 to 1.6). But DyCoke's choice explains little of that. Tokens drawn *at random* do
# nearly as well: similarity adds 0.7 points (0.2 to 1.2). It helps with codes (+4.2) and harms counts (-3.1). The official order costs 0.9
# (0.6 to 1.3). So the official code and a random choice show no difference (-0.7 to +0.3).

# %% [markdown]
# ## 5. Does the language model's attention show which tokens it needs?
#
# **FastV** (Chen et al., ECCV 2024) assumes so. After a few layers it ranks the visual tokens by the attention that the *last token of the
# prompt* pays them, averaged over the heads. The highest ranks go on, the others are dropped. The authors report 45 % fewer operations for
# LLaVA-1.5-13B. By hand, in tiny's first layer:

# %%
from lib.vlm.fastv import FastV, attention_of

decoder = vlm.model.model.language_model


def turned(x, cos, sin):
    """RoPE (lesson 04): pairs of numbers turned by the angle of their position."""
    return x * cos + torch.cat([-x[..., 16:], x[..., :16]], dim=-1) * sin


def read(features, question):
    """A prompt: embeddings (1, S, D), place of its 256 visual tokens, last position, rotary positions."""
    prompt = vlm.prompt(question)
    embeds = vlm.sequence(features, prompt, SpatialPool(2))[None]
    start = vlm.tokenizer(prompt).input_ids.index(vlm.model.config.video_token_id)
    positions = torch.arange(embeds.shape[1])
    return embeds, slice(start, start + 256), positions[-1:], decoder.rotary_emb(embeds, positions[None])


embeds, visual, last, around = read(features, "What is the code?")
layer = decoder.layers[0]
with torch.no_grad():
    normed = layer.input_layernorm(embeds)[0]  # (S, 128), four heads of 32
    cos, sin = (part[0, :, None] for part in around)
    made = (layer.self_attn.q_proj(normed), layer.self_attn.k_proj(normed))
    query, key = (turned(part.unflatten(-1, (4, 32)), cos, sin) for part in made)
    by_hand = (torch.einsum("hd,shd->hs", query[-1], key) / 32**0.5).softmax(dim=-1).mean(dim=0)[visual]
    of_lib = attention_of(layer, embeds, around, last)[0, visual]
print("by hand and lib:", "equal" if (by_hand - of_lib).abs().max() < 1e-5 else "DIFFERENT")

# %% [markdown]
# What does it save? Layers after the cut keep fewer keys and values. transformers' own cache shows it:

# %%
fastv = FastV(layer=1, keep=85)
with torch.no_grad(), fastv.pruning(decoder, visual, last):
    cache = decoder(inputs_embeds=embeds, use_cache=True)[1]
print("positions in the KV cache, layer by layer:", [layer.keys.shape[2] for layer in cache.layers])
print("visual tokens per layer, on average:", fastv.mean_tokens(256, layers=4))
answer = fastv.answer(vlm, features, "What is the code?", SpatialPool(2))
print(f"answer {answer}, truth {clip.scenes[0].code}")

# %% [markdown]
# The first layer keeps 268 positions, the three others 97. The layers before the cut cost the full price, so FastV's budget is a mean over
# layers, 127.75 here. In a model of 32 layers, two full layers weigh little; one of tiny's four weighs a quarter.

# %% [markdown]
# ### Exercise 13.keep: a budget over all layers
#
# difficulty ●●○○○ · importance ●●●●○ · 6 minutes
#
# FastV reads `visual` tokens in the first `after` of `layers` layers, and fewer in the rest. How many tokens may go on so that the mean over all
# layers is at most `budget`? A whole number from 0 to `visual`; 0 also where the first layers alone spend too much.

# %%
ex = exercises.get("13.keep")


def my_keep(visual, layers, after, budget):
    # your code
    ...


ex.check(my_keep)
keep_of = ex.or_lib(my_keep)
print("256 tokens, 4 layers, budget 128:", {after: keep_of(256, 4, after, 128) for after in (1, 2, 3)})

# %% [markdown]
# ### Does attention find the right tokens?
#
# The control is chance again: as many tokens, drawn at random after the same layer. Of 256 tokens 64 go on, after layer 1, 2 or 3. Pruning
# must read a clip again for each question, so we use only the first 192 clips.
#
# **Predict before you run.** After layer 1, by how many points does attention lead the random choice?

# %%
my_attention = None  # your guess, in points

inside = on_the_same_clips(came_after.read_pruned(), came_after.PRUNING)
pruned = {"attention": "FastV", "random": "FastV at random", "no positions": "FastV without positions"}
keys = {way: [f"{name} 16 x 16 then 64 after {after}" for after in (1, 2, 3)] for way, name in pruned.items()}
for after, (attention, random, bare) in enumerate(zip(*keys.values(), strict=True), start=1):
    print(f"after layer {after}: attention over random {lead(inside, attention, random)}")
    print(f"               without positions over random {lead(inside, bare, random)}")
curves = {
    way: {after: percentile_interval(score(inside, row[after - 1]) / 100, clips=192) for after in (1, 2, 3)}
    for way, row in keys.items()
}
firsts = [score(inside, keys[way][0])[0] for way in ("attention", "random")]
predict("points of attention over random, layer 1", my_attention, firsts[0] - firsts[1])

figure = plots.score_curves(curves, "64 of 256 tokens kept after layer", "mean of seven kinds")
figure.axes[0].set_title("Attention chooses worse than chance after layers 1 and 2")
figure

# %% [markdown]
# After layer 1, attention loses 13.8 points against a random choice (15.7 to 11.6), after layer 2 it loses 5.4. After layer 3 no difference
# is seen (-0.9 to +0.8). There even a random quarter of the tokens scores 90. Perhaps the first three layers have already carried what matters
# into the words of the prompt.
#
# Endo et al. (2025) found a cause in larger models: early attention ranks tokens by *where they stand*, because of RoPE. Their remedy ranks
# without positions. Here it makes things worse (23.5 points below chance after layer 1). So what else does layer 1 prefer? We look at the
# tokens that it keeps. A token *stands out* if it is among the 64 that differ most from their frame's median token. Such tokens show the
# shapes.

# %%
spread = {}
for seed in range(8):
    seen = vlm.encode(toybox.render(toybox.sample(seed)))
    frames = SpatialPool(2)(seen, vlm.project).embeds.unflatten(0, (16, 16))
    apart = (frames - frames.median(dim=1, keepdim=True).values).norm(dim=-1).flatten()
    for qa in toybox.questions(toybox.sample(seed))[::2]:
        embeds, visual, last, around = read(seen, qa.question)
        with torch.no_grad():
            states = decoder(inputs_embeds=embeds, output_hidden_states=True, use_cache=False).hidden_states
            for after in (1, 3):
                for way, given in (("with", around), ("without", (torch.ones(1), torch.zeros(1)))):
                    layer, state = decoder.layers[after - 1], states[after - 1]
                    weights = attention_of(layer, state, given, last)[0, visual]
                    kept = weights.topk(64).indices
                    middle = torch.isin(kept // 16, torch.tensor([8, 9, 10])).float().mean()
                    outstanding = torch.isin(kept, apart.topk(64).indices).float().mean()
                    spread.setdefault((after, way), []).append((middle, outstanding, weights.sum()))
print("of the kept tokens (by chance: 19 % in frames 8 to 10, 25 % stand out)")
for (after, way), rows in spread.items():
    middle, outstanding, on_video = 100 * np.mean(rows, axis=0)
    print(
        f"layer {after}, {way:<7} positions: {middle:4.1f} % in frames 8 to 10,"
        f" {outstanding:2.0f} % stand out; {on_video:.0f} % of the attention is on the video"
    )

# %% [markdown]
# Positions are one cause: with them, layer 1 nearly skips frames 8 to 10. Without them it keeps these frames as often as chance does. It
# still picks badly: only 18 % of what it keeps stands out, against 25 % by chance. It keeps background. Layer 1 has hardly begun to look: 17
# % of the last token's attention is on the video. At layer 3 it is 78 %, and a third of the kept tokens stand out.
#
# ### Where "features in, tokens out" ends
#
# Every reducer of this course takes features and returns tokens. FastV cannot: its choice needs the question and a layer's attention. So it
# is not a reducer and stands in `lib/vlm/fastv.py`. Two questions about one clip show what that costs:

# %%
kept = []
for question in ("What is the code?", "Which way does the red cross move?"):
    embeds, visual, last, _ = read(features, question)
    with torch.no_grad(), FastV(3, 64).pruning(decoder, visual, last) as seen:
        decoder(inputs_embeds=embeds, use_cache=False)
    kept.append({*seen["kept"][0].tolist()} & {*range(visual.start, visual.stop)})
both = kept[0] & kept[1]
print(f"{len(kept[0])} and {len(kept[1])} tokens kept, {len(both)} of them for both (by chance: 16)")

# %% [markdown]
# The two questions share half of their tokens. So a second question cannot reuse what the first one kept: after layer 3 it needs keys and
# values of its own.

# %% [markdown]
# ### Exercise 13.many: twenty questions
#
# difficulty ●●○○○ · importance ●●●●● · 4 minutes
#
# A service reads each clip once and keeps its keys and values; then come twenty questions about it, one after the other. Which method may it use so
# that nothing has to be read again, and why?
#
# - **a** leaving out what repeats, as DyCoke does
# - **b** FastV after layer 2
# - **c** the context token of LLaMA-VID
#
# because
#
# - **1** it keeps the fewest tokens of the three methods
# - **2** the clip alone decides what is kept
# - **3** it works inside the language model, where the cache is

# %%
ex = exercises.get("13.many")
my_choice = ...  # a letter and a digit, such as "b1"
ex.check(my_choice)

# %% [markdown]
# ## 6. Which of them would you take?
#
# First a check: do the stored answers agree with this machine's?

# %%
for name, methods, stored, some in (
    ("merging and leaving out", came_after.LATER, came_after.read_came_after(), range(16)),
    ("pruning", came_after.PRUNING[:6], came_after.read_pruned(), range(8)),
):
    live = came_after.count_later(vlm, [toybox.sample(seed) for seed in some], methods)
    differ = np.abs(live.right - stored.right[: len(some), : len(methods)]).sum()
    print(f"{name}: {live.asked.sum() * len(methods):,} answers, {differ} differ from the file")

# %% [markdown]
# (A few answers may differ on another machine, where two words are almost equally likely.) Now each method at its budget, against lesson 07's
# best uniform way and its best way of all:

# %%
rows = [(shares, m) for m in came_after.LATER[:9]] + [(inside, m) for m in came_after.PRUNING[:6]]
for budget in (64, 128, 256):
    old = [m for m in same_budget.METHODS if m.budget == budget]
    plain, best = (
        max((m for m in old if m.family in families), key=lambda m: score(shares, m.key)[0]).key
        for families in (["uniform"], ["uniform", "SlowFast-LLaVA", "LLaVA-Video"])
    )
    print(f"{budget} tokens: {plain} {score(shares, plain)[0]:.1f}, {best} {score(shares, best)[0]:.1f}")
    for table, m in rows:
        if m.budget == budget:
            print(f"   {m.key:<29}{score(table, m.key)[0]:5.1f}; over uniform  {lead(table, m.key, plain)}")
            print(f"{'':<37}over the best {lead(table, m.key, best)}")

# %%
table = [*rows, *((shares, m) for m in same_budget.METHODS if m.budget <= 256)]
table = sorted(table, key=lambda row: row[1].budget)
by_kind = [[percentile_interval(of[m.key][:, k], clips=0)[:3] for k in range(len(KINDS))] for of, m in table]
names, budgets = [m.key for _, m in table], [m.budget for _, m in table]
title = "No later method beats the best of lesson 07"
plots.share_table(names, budgets, KINDS, np.array(by_kind), title=title)

# %% [markdown]
# At no budget does a later method beat the best of lesson 07. DyCoke comes nearest at 128 tokens, 4.3 points behind (5.0 to 3.6), then merged
# features, 5.0 behind. Against uniform sampling both win there, by about 10 points. At 256 tokens every later method loses to uniform 16 x
# 16, which reads all frames.
#
# This does not judge the papers. Tiny was trained with none of these methods. Its frames have 64 patches; a frame of the 7B has 576, and
# probably more of them repeat. What carries over is the way to test: the same budget, and a control that shares everything but the idea.

# %% [markdown]
# ### Exercise 13.pairs: four frames in one
#
# difficulty ●●●○○ · importance ●●●●○ · 10 minutes
#
# An experiment, at 64 tokens. Two frames in one beat every second frame. And four in one? Take 128 clips with seeds from 2,000 on. Count with
# `count_later` what `merged(64, 4, 2)` answers, and with `count_right` what uniform 4 x 16 answers, which reads every fourth frame. By how many points
# does uniform lead, in the mean over the seven kinds? (To 80 %: 128 clips do not tell more. Negative if merging leads.)

# %%
ex = exercises.get("13.pairs")
my_points = ...  # what you measured
ex.check(my_points)

# %% [markdown]
# ## Something to win: 32 tokens for a clip
#
# Merge, leave out, or something of your own: `entry(features, project)`, at most 32 tokens, seven kinds of question. The lesson's own way
# scores 0.7; 0.73 wins. `exercises.challenge("13").play(entry)` scores yours.

# %% [markdown]
# ## 7. How good were your guesses?

# %%
calibration()

# %% [markdown]
# ## What to remember
#
# - Three ways to save tokens: merge neighbours, leave out what repeats, prune inside the language model.
# - 2 x 2 pooling is a patch merger with four equal blocks. Averaging the features of two frames beats skipping every second frame by 9.9
#   points at 128 tokens.
# - DyCoke leaves out half of the tokens and loses 1.2 points. Random tokens do nearly as well, so always run the control.
# - FastV ranks by attention. That is worse than chance after tiny's layers 1 and 2, and no better after layer 3. Its choice depends on the
#   question, so questions cannot share it.
# - Here none of the three beats a mixture of a few sharp and many coarse frames.
