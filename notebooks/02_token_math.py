# %% [markdown]
# # 02 Token math: from pixels to tokens, bytes and seconds
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/02_token_math.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | compute, before running anything, how many tokens a video costs, how many bytes and operations a model needs for them, and which limit you hit first |
# | **Minutes** | 50 to read and think; 1 to run on two CPU cores or on a T4 |
# | **Memory** | 1 GB |
# | **Downloads** | none |
# | **Needs** | lesson 00 |

# %% [markdown]
# ## 한국어 요약
#
# 비디오 LLM은 프레임을 14픽셀 패치로 자르고, 패치를 풀링한 뒤, 남은 것을 모두 토큰으로 읽습니다. CLIP-L/14-336은 프레임 한 장에서
# 24×24=576개의 패치를 만들고, 2×2 풀링을 하면 12×12=144개의 토큰이 남습니다. 이 수업에서는 토큰 수, KV 캐시와 가중치의 바이트 수,
# 연산량을 공식으로 먼저 예측하고, 작은 모델(tiny)에서 실제로 잰 값과 나란히 비교합니다. 토큰과 바이트는 한 개도 틀리지 않고 맞아야 합니다.
# 같은 공식을 0.5B와 7B 모델에 적용하면, 학습 노트의 "GPU별 프레임 수" 표(T4 4장, L4 8장, A100 16장, H100 32장)는 메모리에서 나온
# 숫자가 아니라는 것을 알 수 있습니다. 4비트로 올리면 T4에서도 메모리는 100장 이상을 허용하지만, Vicuna의 문맥 4,096토큰이 먼저 가득 찹니다.
# 또한 한국어 캡션은 Vicuna 토크나이저로 평균 932토큰이라서, 답변 길이를 256으로 잡으면 문장이 중간에 끊깁니다.

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
import json
import statistics
import time
from math import ceil

import numpy as np
import torch

from lib import budget, exercises, plots, toybox
from lib.budget import MIB, MODELS, ModelSpec
from lib.known import GIB, nf4_bytes
from lib.reducers import SpatialPool
from lib.tools import doctor, explorer
from lib.vlm import TINY, load

MODEL = "tiny"

plots.style()
vlm = load(MODEL)
spec = ModelSpec.from_config(vlm.model.config, MODEL)  # the model as numbers: no weights, only sizes
seven, half = MODELS["7b"], MODELS["onevision-0.5b"]
with open("../data/papers.csv", encoding="utf-8") as file:  # every published number that this course quotes
    papers = list(csv.DictReader(file))
print(f"{MODEL}: {spec.parameters:,} parameters; 0.5B: {half.parameters:,}; 7B: {seven.parameters:,}")

# %% [markdown]
# Every estimate of this lesson goes through one function. It prints the estimate beside the measurement, and keeps both
# for the ledger at the end.

# %%
ledger = []


def beside(what, estimate, measured):
    """Print an estimate beside what was measured."""
    ledger.append((what, estimate, measured))
    verdict = "equal" if estimate == measured else f"measured / estimate = {measured / estimate:.3f}"
    print(f"{what:<40} estimate {estimate:>13,}   measured {measured:>13,}   {verdict}")


# %% [markdown]
# ## 1. Pixels to patches
#
# **Claim.** A vision transformer cuts a frame into squares of `patch_size` pixels. CLIP-L/14-336, the eyes of LLaVA-NeXT-Video, sees
# 336 / 14 = 24 patches a side: **576** per frame, plus one CLS token that LLaVA throws away
# (LLaVA-NeXT `clip_encoder.py:58-66`; transformers `vision_feature_select_strategy="default"`).
#
# Cutting needs no network. Two reshapes do it:

# %%
frame = toybox.render(toybox.sample(7), indices=[0])[0]  # (64, 64, 3), what tiny sees
patch = 8
rows = frame.reshape(64 // patch, patch, 64 // patch, patch, 3)  # row of patches, row in it, column of patches, column
patches = rows.swapaxes(1, 2).reshape(-1, patch, patch, 3)
print("patches:", patches.shape, "and side", budget.patches_per_side(64, patch))
plots.token_grids(frame, patches=8, pooled=4)

# %% [markdown]
# Then the patches are pooled. LLaVA-NeXT-Video takes the mean of 2 x 2 patches, so 24 x 24 becomes 12 x 12 = **144 tokens per frame**
# ("How to represent videos?", blog of 30 April 2024). Tiny works the same way at its own size: 8 x 8 becomes 4 x 4.
#
# **Predict before you run.** How many visual tokens does tiny read for a clip of 16 frames?

# %%
my_tokens = 1_000  # change me

clip = toybox.render(toybox.sample(7))
features = vlm.encode(clip)  # (frames, height, width, channels)
beside("patches of 16 frames", 16 * spec.vision.side**2, features[..., 0].numel())
beside("visual tokens of 16 frames", spec.video_tokens(16), len(vlm.default_reducer(features, vlm.project)))
print(f"you predicted {my_tokens:,}")

# %% [markdown]
# ## 2. What happens when the side does not divide
#
# Average and max pooling **leave out** the last row and column; bilinear pooling rounds **up** (LLaVA-NeXT
# `llava_arch.py:171-190`). On CLIP's 24 x 24 nobody notices. SigLIP-384 has 27 x 27, and there it is 169 tokens or 196. A newline
# token may follow every row ("grid"), every frame, or the whole video. By hand:


# %%
def tokens_by_hand(side, stride, mode, newline):
    """Tokens of one frame, counted by pooling a real (empty) frame with torch."""
    grid = torch.zeros(1, 1, side, side)
    if mode == "bilinear":
        pooled = torch.nn.functional.interpolate(grid, size=(ceil(side / stride),) * 2, mode="bilinear")
    else:
        pooled = torch.nn.functional.avg_pool2d(grid, stride)
    height, width = pooled.shape[2:]
    return height * (width + 1) if newline == "grid" else height * width + (newline == "frame")


print("encoder        stride  mode       none  frame  grid")
for name, side, stride, mode in (
    ("CLIP-336", 24, 2, "average"),
    ("CLIP-336", 24, 3, "average"),
    ("SigLIP-384", 27, 2, "average"),
    ("SigLIP-384", 27, 2, "bilinear"),
):
    counts = [tokens_by_hand(side, stride, mode, newline) for newline in ("none", "frame", "grid")]
    print(f"{name:<14} {stride:<7} {mode:<10} {counts[0]:<5} {counts[1]:<6} {counts[2]}")

# %% [markdown]
# `lib.budget` has the same as two formulas. They agree with torch on every side from 4 to 40, every stride and every newline:

# %%
from itertools import product

cases = 0
for side in range(4, 41):
    for stride, mode, newline in product((1, 2, 3, 4), ("average", "bilinear"), ("none", "frame", "grid")):
        pooled = budget.pooled_side(side, stride, mode)
        assert budget.tokens_per_frame(pooled, pooled, newline) == tokens_by_hand(side, stride, mode, newline)
        cases += 1
print(
    f"{cases} cases equal; LLaVA-Video 7B (SigLIP, bilinear, grid): 64 x 210 = {budget.video_tokens(64, 210):,} tokens"
)

# %% [markdown]
# ### Exercise 02.frame_tokens: tokens of a frame
#
# difficulty ●●○○○ · importance ●●●●● · 8 minutes
#
# A frame of `height` x `width` patches is pooled with `stride`. The modes "average" and "max" leave out what fills no window, "bilinear"
# rounds up. The newline comes after each row ("grid"), once after the frame ("frame") or not at all ("none"). How many tokens is the frame?

# %%
ex = exercises.get("02.frame_tokens")


def my_frame_tokens(height, width, stride, mode, newline):
    # your code
    ...


ex.check(my_frame_tokens)
print("SigLIP, bilinear, grid:", ex.or_lib(my_frame_tokens)(27, 27, 2, "bilinear", "grid"))

# %% [markdown]
# **3 x 3 pooling.** The study notes suggest 3 x 3 when memory is short. The arithmetic is fine: 24 / 3 = 8, 64 tokens per frame. But in
# transformers you cannot just set `spatial_pool_stride=3`: the processor writes `height * width // 4` placeholders with the **4
# hard-coded** (`processing_llava_next_video.py:93-105`), so model and prompt disagree. The same **error** on a model of tiny's size, where
# stride 3 leaves 2 x 2 = 4 tokens per frame and the processor writes 16 (the message counts placeholders on one side and
# single numbers on the other: 2 frames x 4 tokens x 128):

# %%
from transformers import AutoConfig, LlavaNextVideoForConditionalGeneration

config = AutoConfig.from_pretrained(TINY)
config.spatial_pool_stride = 3
untrained = LlavaNextVideoForConditionalGeneration(config)
placeholders = torch.full((1, 2 * (8 * 8 // 4)), config.video_token_id)  # what the processor writes for 2 frames
try:
    untrained(input_ids=placeholders, pixel_values_videos=torch.zeros(1, 2, 3, 64, 64))
except ValueError as error:
    print(f"transformers, stride 3: {error}")
if MODEL == "tiny":
    tokens = SpatialPool(stride=3)(features, vlm.project)
    print("our reducer, stride 3:", len(tokens), "tokens for 16 frames; 8 // 3 = 2, and the last 2 rows are not seen")

# %% [markdown]
# ## 3. Frames x tokens + text must fit the context
#
# **Claim.** "24 x 24 x N + text < 4096" (blog, Technical Insights). Vicuna was trained on 4,096 positions; prompt, video and
# answer share them. The number of frames is one division. Try it before you read on:

# %% [markdown]
# ### Exercise 02.max_frames: frames that fit
#
# difficulty ●○○○○ · importance ●●●●● · 5 minutes
#
# How many frames of `per_frame` tokens fit into `context` positions, beside `prompt` tokens of text and an answer of up to `answer` tokens?

# %%
ex = exercises.get("02.max_frames")


def my_max_frames(context, per_frame, prompt, answer):
    # your code
    ...


ex.check(my_max_frames)

# %% [markdown]
# As long as the text fits at all, it is this:


# %%
def frames_that_fit(context, per_frame, prompt, answer):
    """What is left for the video, divided by the price of a frame."""
    return (context - prompt - answer) // per_frame


for context in (4096, 8192, 10240):
    english, korean = frames_that_fit(context, 144, 100, 256), frames_that_fit(context, 144, 100, 932)
    assert (english, korean) == tuple(budget.max_frames(context, 144, 100, answer) for answer in (256, 932))
    print(f"context {context:>6}: {english} frames with an answer of 256 tokens, {korean} with one of 932")

# %% [markdown]
# Without any text it would be 4096 // 144 = 28. So 32 frames, the study notes' setting for the H100, are 4,608 tokens: **beyond the
# context of the model, on any card.** Users who tried 30 frames got garbage (LLaVA-VL/LLaVA-NeXT#468). We do not let that
# happen in silence.
#
# **Predict before you run.** Tiny has 2,048 positions and 16 tokens per frame. How many frames fit with a short question?

# %%
my_frames = 100  # change me

question = "What colour is the circle?"
text = len(vlm.tokenizer(vlm.prompt(question)).input_ids) - 1  # <video> itself is replaced by the visual tokens
fit = budget.max_frames(vlm.context, spec.per_frame, text + (spec.newline == "one"), answer=8)
long_clip = np.concatenate([toybox.render(toybox.sample(seed)) for seed in range(fit // 16 + 1)])[: fit + 1]
long_features = vlm.encode(long_clip)
embeds = vlm.sequence(long_features[:fit], vlm.prompt(question), new_tokens=8)
beside(f"sequence of {fit} frames and the question", spec.video_tokens(fit) + text, len(embeds))
try:
    vlm.sequence(long_features, vlm.prompt(question), new_tokens=8)
except ValueError as error:
    print(f"{fit + 1} frames: {error}")
print(f"you predicted {my_frames}, it is {fit}")

# %% [markdown]
# ## 4. The answer counts too, above all in Korean
#
# What a text costs depends on the tokenizer. First a measurement on our own, with the same 300 clips described in both
# languages, and with two sentences that are not from Toybox:


# %%
def token_count(text):
    """Tokens of a text, without the <s> that opens a sequence."""
    return len(vlm.tokenizer(text).input_ids) - 1


for language in ("en", "ko"):
    captions = [toybox.caption(toybox.sample(seed), language) for seed in range(10_000, 10_300)]
    tokens, characters = sum(map(token_count, captions)), sum(map(len, captions))
    print(f"Toybox captions, {language}: {tokens / 300:.1f} tokens each, {tokens / characters:.2f} per character")
for sentence in ("Please describe this video in detail.", "이 영상을 한국어로 상세히 묘사해주세요."):
    tokens = token_count(sentence)
    print(f"not from Toybox: {tokens} tokens, {tokens / len(sentence):.2f} per character: {sentence}")

# %% [markdown]
# Read this with care. Tiny's tokenizer **learned** Toybox's sentences, Korean ones too, and there Korean costs no more than
# English. Korean that it never saw falls apart into bytes (a syllable has three). So the price is not the language's: it is the
# tokenizer's, which merges what it was trained on. Vicuna's and Qwen3's cannot run here without a download; the next numbers are the Korean
# captioning project's own, on its AI-Hub captions of 575 characters on average (`papers.csv`, status "reported").

# %%
reported = {row["model"]: int(row["value"]) for row in papers if row["metric"] == "mean tokens per Korean caption"}
for name, tokens in reported.items():
    print(f"{name}: {tokens} tokens per Korean caption, {tokens / 575:.2f} per character")
korean = reported["Vicuna tokenizer"]
print(f"with Vicuna, max_new_tokens=256 cuts a mean caption at {256 / korean:.0%} of its length")
parts = {"video": [25 * 144, 25 * 144, 21 * 144], "prompt": [100] * 3, "answer": [256, korean, korean]}
labels = ["256-token answer, 25 frames", "Korean caption, 25 frames", "Korean caption, 21 frames"]
plots.stacked_bars(labels, parts, ["patch", "text", "predicted"], {"4,096 positions": 4096}, "tokens")

# %% [markdown]
# ## 5. A longer context by arithmetic: the linear RoPE factor
#
# **Claim.** Dividing all rotary angles by 2 squeezes 8,192 positions into the range the model was trained on; then 56 frames fit
# ("length generalisation", blog, Technical Insights (2)). The official demo picks the factor by a rule (`playground/demo/video_demo.py:129-142`):


# %%
def demo_factor(frames, stride=2):
    """Tokens of the video plus 1,000 for text, in units of 4,096, rounded up."""
    least = frames * (24 // stride) ** 2 + 1000
    return ceil(least / 4096)


print({frames: demo_factor(frames) for frames in (8, 16, 21, 22, 28, 32, 56)})
assert all(demo_factor(n, stride) == budget.demo_rope_factor(n, stride) for n in range(1, 200) for stride in (1, 2, 4))

# %% [markdown]
# The rule reserves 1,000 tokens for text, so 22 frames already get factor 2, and the blog's 56 frames get 3 where the blog itself
# used 2 (8,192 less 128 for text). What the factor does is one division, and transformers
# does nothing else. (What it costs in accuracy is measured in lesson 04.)

# %%
from copy import deepcopy

from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

text_config = deepcopy(config.text_config)
plain = LlamaRotaryEmbedding(text_config).inv_freq
text_config.rope_parameters = {**text_config.rope_parameters, "rope_type": "linear", "factor": 2.0}
stretched = LlamaRotaryEmbedding(text_config).inv_freq
print("every angle per position is exactly half:", torch.equal(stretched, plain / 2))

# %% [markdown]
# **How to spend a budget.** The blog tried several splits of the same number of visual tokens. The image model, zero-shot, on Video
# Detailed Description (table of "How to represent videos?"; our `papers.csv`):

# %%
ablation = []
for row in papers:
    if row["source"].endswith("(1) How to represent videos?, table"):
        setting = dict(part.split("=") for part in row["setting"].split("; "))
        ablation.append((int(setting["frames"]), int(setting["tokens_per_frame"]), float(row["value"])))
print("2,304 visual tokens:", sorted(point for point in ablation if point[0] * point[1] == 2304))
plots.scores_by_budget(ablation, "Video Detailed Description (0 to 5)")

# %% [markdown]
# The same 2,304 tokens score 2.24 as 64 frames x 36, 2.76 as 16 x 144 and 2.71 as 4 x 576. Beyond 4,096 tokens the RoPE factor pays
# (3.12), and more frames stop helping. One benchmark, one model, one judge: lesson 07 asks the question again with intervals.

# %% [markdown]
# ## 6. Bytes: weights and KV cache
#
# **Claim.** Weights cost 2 bytes per parameter in 16 bits. Every token that the decoder has read leaves a key and a value in
# every layer: `2 x layers x kv_heads x head size x bytes`. For Vicuna-7B that is half a mebibyte per token. By hand:


# %%
def cache_per_token(config, bytes_per_value):
    """Key and value, in every layer, of every key-value head."""
    head_size = config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * config.num_key_value_heads * head_size * bytes_per_value


size = torch.finfo(vlm.dtype).bits // 8
assert cache_per_token(vlm.model.config.text_config, size) == budget.kv_bytes(spec, 1, size)
with torch.no_grad():
    cache = vlm.model(**vlm.batch([features], [vlm.prompt(question)])).past_key_values
tensors = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
sequence = spec.video_tokens(16) + text
beside("KV cache of 16 frames + text, bytes", budget.kv_bytes(spec, sequence, size), sum(t.nbytes for t in tensors))
beside("parameters", spec.parameters, sum(p.numel() for p in vlm.model.parameters()))
beside("their bytes", size * spec.parameters, sum(p.nbytes for p in vlm.model.parameters()))

# %% [markdown]
# Not one byte off. In 4 bits the formula is `4 + 8/64 + 32/16384 = 4.127` bits per weight: a one-byte scale for every 64 weights, and
# a float32 for every 256 scales ("double quantisation", QLoRA). Measured on a matrix of tiny's size, with the library that does it on a T4:

# %%
from bitsandbytes.functional import quantize_4bit

for double in (False, True):
    packed, state = quantize_4bit(torch.randn(384, 128), quant_type="nf4", compress_statistics=double)
    scales = [state.absmax] + ([state.state2.absmax] if double else [])
    stored = packed.nbytes + sum(scale.nbytes for scale in scales)
    beside(f"384 x 128 in nf4{', double' if double else ''}, bytes", nf4_bytes(384 * 128, double), stored)

# %% [markdown]
# **Predict before you run.** After how many frames does the 7B's KV cache weigh as much as its 4-bit weights?

# %%
my_guess = 500  # change me

print("                weights, GiB: 16-bit   4-bit   4-bit, vision kept   cache: KiB per token   MiB per frame")
for model in (spec, half, seven):
    weights = [budget.weight_bytes(model, *how) / GIB for how in (("float16",), ("nf4-double",), ("nf4-double", True))]
    per_token, per_frame = budget.kv_bytes(model, 1) / 1024, budget.kv_bytes(model, model.per_frame) / MIB
    columns = "{:>20.3f}{:>8.3f}{:>21.3f}".format(*weights) + f"{per_token:>23,.0f}{per_frame:>16.2f}"
    print(f"{model.name[-16:]:<16}{columns}")
balance = budget.weight_bytes(seven, "nf4-double") / budget.kv_bytes(seven, seven.per_frame)
print(f"the cache outweighs the 7B's 4-bit weights after {balance:.1f} frames; you predicted {my_guess}")

# %% [markdown]
# The projector, called a "linear layer" in the study notes, is a two-layer MLP: 1024 x 4096 + 4096 + 4096 x 4096 + 4096 =
# 20,979,712 parameters, the "21M" of the model card. One linear layer would have 4.2 million. (The counts of the 0.5B and 7B are
# tested against models that are built without memory, on torch's "meta" device.)
#
# The 0.5B keeps 2 key-value heads for 14 query heads, so its cache is 43 times cheaper per token than the 7B's. One hour of video at
# one frame per second shows what tokens per frame mean (question 5 of the third study note):

# %%
print("one hour at 1 fps, 3,600 frames        tokens      KV cache on the 7B")
ways = {"all patches of CLIP-336": 576, "Video-LLaVA": 257, "LLaVA-NeXT-Video": 144, "LLaMA-VID": 2}
for name, per_frame in ways.items():
    tokens = budget.video_tokens(3600, per_frame)
    print(f"{name:<34}{tokens:>12,}{budget.kv_bytes(seven, tokens) / GIB:>12.1f} GiB")

# %% [markdown]
# ### Exercise 02.kv_bytes: bytes of the KV cache
#
# difficulty ●●○○○ · importance ●●●●● · 8 minutes
#
# A decoder has `layers` layers, `heads` query heads, `kv_heads` key-value heads and the width `width`. How many bytes does its cache hold
# after `tokens` tokens, at `value_bytes` bytes for a number?

# %%
ex = exercises.get("02.kv_bytes")


def my_kv_bytes(layers, heads, kv_heads, width, value_bytes, tokens):
    # your code
    ...


ex.check(my_kv_bytes)
print("7B, one token:", ex.or_lib(my_kv_bytes)(32, 32, 32, 4096, 2, 1), "bytes")

# %% [markdown]
# ### Exercise 02.ten_minutes: ten minutes in the cache
#
# difficulty ●●○○○ · importance ●●●●○ · 5 minutes
#
# Ten minutes of video, 2 frames a second, pooled to 36 tokens a frame, on the 7B (half a MiB per token). How many GiB of KV cache, to 3 %?

# %%
ex = exercises.get("02.ten_minutes")
my_gib = ...  # your number
ex.check(my_gib)

# %% [markdown]
# ## 7. Operations and seconds
#
# **Claim.** Every token costs 2 operations per weight, and attention grows with the square of the length. By hand, for the decoder:


# %%
def reading(config, tokens):
    """All linear layers, attention (query x key, scores x value), and the output layer for the last token."""
    width, kv_width = config.hidden_size, config.hidden_size * config.num_key_value_heads // config.num_attention_heads
    layer = 2 * width * (width + kv_width) + 3 * width * config.intermediate_size
    attention = 2 * 2 * tokens**2 * width
    return config.num_hidden_layers * (2 * tokens * layer + attention) + 2 * width * config.vocab_size


assert reading(vlm.model.config.text_config, sequence) == budget.prefill_flops(spec, sequence)
print(
    f"{reading(vlm.model.config.text_config, sequence) / 1e6:,.0f} million operations to read 16 frames and the question"
)

# %% [markdown]
# torch can count what really happens:

# %%
from torch.utils.flop_counter import FlopCounterMode


def operations(call):
    """Operations that torch counts while `call` runs (the rotary table, which some versions multiply out, aside)."""
    with FlopCounterMode(display=False, depth=99) as counter, torch.no_grad():
        call()
    tables = sum(
        sum(found.values()) for name, found in counter.get_flop_counts().items() if name.endswith("rotary_emb")
    )
    return counter.get_total_flops() - tables


vlm.model.set_attn_implementation("eager")  # torch's counter does not see into fused attention on a CPU
inputs = vlm.batch([features], [vlm.prompt(question)])
encoded = operations(lambda: vlm.default_reducer(vlm.encode(clip), vlm.project))
beside("operations to encode 16 frames", budget.encode_flops(spec, 16), encoded)
read = operations(lambda: vlm.model(**inputs, logits_to_keep=1))
beside("operations to read the sequence", budget.prefill_flops(spec, sequence), read)
vlm.model.set_attn_implementation("sdpa")

# %% [markdown]
# **Predict before you run.** Four times as many frames: how many times longer does reading them take?

# %%
my_ratio = 4.0  # change me

counts = [fit // 4, fit // 2, fit]
batches = [vlm.batch([long_features[:frames]], [vlm.prompt(question)]) for frames in counts]
seconds = {frames: [] for frames in counts}
for _ in range(11):  # the sizes take turns, so that a busy machine slows all of them
    for frames, batch in zip(counts, batches, strict=True):
        start = time.perf_counter()
        with torch.no_grad():
            vlm.model(**batch, logits_to_keep=1).logits.max().item()  # .item() waits: a GPU works while Python goes on
        seconds[frames].append(time.perf_counter() - start)
flops = {frames: budget.prefill_flops(spec, spec.video_tokens(frames) + text) for frames in counts}
for frames in counts:
    low, median, high = (1000 * value for value in statistics.quantiles(seconds[frames]))  # half of the runs in between
    print(f"{frames:>4} frames: {median:6.1f} ms ({low:.1f} to {high:.1f}), {flops[frames] / 1e6 / median:.1f} GFLOP/s")
pairs = zip(seconds[counts[0]], seconds[counts[-1]], strict=True)
low, ratio, high = statistics.quantiles([long / short for short, long in pairs])
growth, spread = flops[counts[-1]] / flops[counts[0]], f"half of the runs: {low:.1f} to {high:.1f}"
print(f"ratio {ratio:.1f} ({spread}); by operations {growth:.1f}; you predicted {my_ratio}")

# %% [markdown]
# Seconds are the one estimate that is not exact. Time grows faster than the number of frames, because of attention's square. It grows
# more slowly than the operations: the formula counts the full square, a fused kernel leaves out much of the masked half, and a
# machine manages more operations a second on larger matrices (and fewer when someone else is using it).
#
# The same count bounds the 7B from below. A T4 does at most 65 TFLOP/s in 16 bits and reads 320 GB/s (its published data). Reading the
# video is bound by operations; writing the answer by memory, because each new token reads all weights once:

# %%
for frames in (8, 32):
    tokens = seven.video_tokens(frames) + 100
    look, read = budget.encode_flops(seven, frames) / 65e12, budget.prefill_flops(seven, tokens) / 65e12
    write = budget.weight_bytes(seven, "nf4-double", keep_vision=True) / 320e9
    print(f"7B on a T4, {frames:>2} frames: at least {look:.2f} s to encode, {read:.2f} s to read,", end=" ")
    print(f"{256 * write:.1f} s to write 256 tokens, {932 * write:.1f} s for 932")

# %% [markdown]
# A long answer costs more time than many frames. Real runs are slower than these bounds: 4-bit weights must be unpacked at every step.

# %% [markdown]
# ## 8. How many frames on which card?
#
# The study notes recommend T4 4, L4 8, A100 16, H100 32 frames, "memory constrained" on the T4. Let us add up what memory needs:
#
# `0.5 GiB for CUDA + weights + the worst moment of three`
#
# - **looking**: the vision tower encodes 16 frames at a time, and keeps every layer's output;
# - **reading**: the prompt goes through the decoder: its KV cache, five copies of the hidden states, and three of the MLP's inside;
# - **writing**: the KV cache of prompt and answer, at the last word.
#
# Reading also depends on the attention code. "sdpa" never writes the scores down; "eager" holds `heads x length²` of them in 16 bits,
# their softmax in 32, and a copy of that in 16: 8 bytes each. By hand, what reading takes beyond the cache:


# %%
def reading_by_hand(width, mlp, heads, tokens, eager=False):
    """Bytes in 16 bits: hidden states, rotary tables (cosine and sine of one head), then the MLP or the scores."""
    states = tokens * (5 * width + 2 * width // heads) * 2
    scores = tokens**2 * (8 * heads + 2)  # and one mask for all heads
    return states + (max(3 * tokens * mlp * 2, scores) if eager else 3 * tokens * mlp * 2)


tokens = seven.video_tokens(32) + 100
for attention in ("sdpa", "eager"):
    by_hand = reading_by_hand(4096, 11008, 32, tokens, attention == "eager")
    assert by_hand == budget.reading_bytes(seven, tokens, "float16", attention)
    print(f"32 frames and 100 tokens of text, {attention}: {by_hand / GIB:.2f} GiB beside the cache")

# %%
settings = [("nf4-double", "sdpa"), ("nf4-double", "eager"), ("float16", "sdpa"), ("float16", "eager")]
memories = [budget.answering(seven, 32, *setting) for setting in settings]
parts = {
    "CUDA": [memory.context / GIB for memory in memories],
    "weights": [memory.weights / GIB for memory in memories],
    "KV cache": [memory.cache / GIB for memory in memories],
    "activations": [memory.activations / GIB for memory in memories],
}
labels = [f"{'4' if 'nf4' in precision else '16'}-bit weights, {attention}" for precision, attention in settings]
limits = {card: budget.CARDS[card] for card in ("T4", "L4")}
plots.stacked_bars(labels, parts, ["text", "slow", "context", "fast"], limits, "GiB for 32 frames on the 7B (estimate)")

# %% [markdown]
# One witness: a user saw "about 20 GB" for 32 frames in 16 bits (LLaVA-VL/LLaVA-NeXT#142), between the last two bars.
#
# A better witness is the code itself. `make traced` builds each model at its real size on tensors that have a shape and no numbers, runs
# an answer or a step of training on them, and counts every byte while it lives. It needs no GPU and no download:

# %%
table = json.loads(Path("../data/measured/traced.json").read_text())["rows"]
largest = max(abs(row["planned"] / row["traced"] - 1) for row in table)
for row in table[:: len(table) // 8]:
    what = f"{row['task']}, {row['frames']} frames, batch {row.get('batch', 1)}"
    print(f"{row['model']:<16}{what:<34}planned {row['planned'] / GIB:6.2f} GiB, traced {row['traced'] / GIB:6.2f}")
print(f"{len(table)} cases, planned and traced at most {largest:.1%} apart")

# %% [markdown]
# Whether a GPU agrees:

# %%
print("\n".join(doctor.measured_lines()))

# %% [markdown]
# **Predict before you run.** How many frames does the *memory* of a T4 allow, with 4-bit weights?

# %%
my_t4 = 4  # change me

notes = {
    row["setting"].removeprefix("card="): int(row["value"]) for row in papers if row["metric"] == "recommended frames"
}
by_memory = {}
print("card       notes   4-bit sdpa   16-bit sdpa   16-bit eager   context 4,096   binds (4-bit)")
for card in budget.CARDS:
    plans = [budget.plan(card, "7b", *setting) for setting in (settings[0], settings[2], settings[3])]
    by_memory[card] = [plan.by_memory for plan in plans]
    row = (card, notes.get(card, "-"), *by_memory[card], plans[0].by_context, plans[0].binds)
    print("{:<10}{:>6}{:>13}{:>14}{:>15}{:>16}{:>16}".format(*row))
print(f"you predicted {my_t4} for the T4")
names = ("memory, 4-bit weights", "memory, 16-bit weights", "memory, 16-bit weights, eager attention")
columns = zip(*(by_memory[card] for card in notes), strict=True)
series = {"the study notes": list(notes.values())} | dict(zip(names, columns, strict=True))
plots.frames_per_card(list(notes), series, {"4,096 positions": 25, "8,192": 54})

# %% [markdown]
# - With 4-bit weights **every card, the T4 too, has memory for 32 frames and more.** A frame costs less than 0.1 GiB.
# - The **context** stops you first: 25 frames at 4,096 positions, 54 at 8,192. A bigger card changes nothing about that.
# - "T4: memory constrained" is true only for 16-bit weights: 13.16 of 14.75 GiB are gone before the first frame. But the notes themselves
#   say to use 4 bits there.
# - These are weights as `load(..., four_bit=True)` keeps them: vision tower and projector stay in 16 bits, which takes 0.45 GiB.
# - Good reasons for fewer frames exist: speed, quality, and training, where a frame costs much more.

# %% [markdown]
# ### Exercise 02.what_helps: forty frames
#
# difficulty ●●○○○ · importance ●●●●● · 4 minutes
#
# The 7B in 4 bits on a T4, 4,096 positions, 144 tokens a frame. You want 40 frames and a short answer, and it is refused. What helps, and
# why?
#
# - **a** a card with more memory, such as an A100
# - **b** pooling 3 x 3, so 64 tokens a frame
# - **c** weights in 16 bits, which lose no precision
#
# because
#
# - **1** the memory of the card is full before the last frame
# - **2** 40 x 144 tokens exceed the context
# - **3** 4-bit weights cannot read that many frames

# %%
ex = exercises.get("02.what_helps")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# **Training.** QLoRA keeps what each layer needs for its backward pass: `24 D + 4 K + 14 M` bytes for every token and layer (D wide, K of keys,
# M in the MLP; `lib.budget.memory.trained_layer_bytes` says of what). With gradient checkpointing a layer keeps its input alone, `4 D`, and is
# computed again when its turn comes. A Korean caption of 932 tokens is part of the sequence:

# %%
per_token = 32 * (24 * 4096 + 4 * 4096 + 14 * 11008), 32 * 4 * 4096
print(f"kept for each token: {per_token[0] / MIB:.1f} MiB, with checkpointing {per_token[1] / MIB:.1f}")
print("card       notes   QLoRA: frames by memory   with checkpointing   context, 932-token caption")
for card in budget.CARDS:
    plans = [budget.plan(card, "7b", memory=budget.training, answer=korean, checkpointing=how) for how in (False, True)]
    row = (card, notes.get(card, "-"), plans[0].by_memory, plans[1].by_memory, plans[0].by_context)
    print("{:<10}{:>6}{:>26}{:>21}{:>29}".format(*row))

# %% [markdown]
# On a T4 QLoRA needs checkpointing. Without it a card allows about as many frames as the notes recommend; if that is where their numbers come
# from, they do not say it. `python -m lib plan jobs/7b-t4.yaml` says the same for a whole job, traced (lesson 08).
#
# Here is the plan for all models and cards (`python -m lib.budget.cards`). `cache`, `encoding` and `reading` are GiB for each further frame, `context` is
# the number of frames that the positions allow. Under each card, frames by memory: asked / asked with eager attention / QLoRA with
# checkpointing / QLoRA without.

# %%
cards = list(budget.CARDS)
print("\n".join(budget.plan_table(cards[:3]) + budget.plan_table(cards[3:])))

# %% [markdown]
# The 0.5B has 32,768 positions and a small cache, so it takes far more frames; the 34B in 4 bits does not fit a T4. What fits need not work: that must be
# measured. And this machine?

# %%
machine = doctor.this_machine()
print("\n".join(doctor.real_model_lines(machine, *doctor.settings(machine))))
if torch.cuda.is_available():
    torch.cuda.reset_peak_memory_stats()
    vlm.answer(clip, question)
    print(f"measured peak of PyTorch on this GPU: {torch.cuda.max_memory_allocated() / GIB:.2f} GiB")
else:
    print(
        "Not run here: measuring the peak needs an NVIDIA GPU (Colab: Runtime, Change runtime type, T4) and a real MODEL."
    )

# %% [markdown]
# ## 9. Move everything yourself: the token explorer
#
# Frames, frame size, method, pooling, card and precision in one page, and below it which patches a token sees. Its numbers are those of
# `lib.budget` (a test compares every combination). Use the mouse, a finger, or the Tab and arrow keys. It appears once this cell has run, in
# JupyterLab, VS Code and Colab. Where scripts do not run, as on GitHub, there is the figure; or run `make explorer` and open `notebooks/explorer.html`.
#
# The figure shows 16 frames through four methods, each with one token and what it sees (orange), and where all tokens stand in the
# sequence. Look at LLaVA-Video's coarse frames: bilinear pooling at stride 4 reads only the middle 2 x 2 of every 4 x 4 patches.

# %%
display(explorer.figure())
explorer.show()

# %% [markdown]
# ## The ledger

# %%
print(f"{'estimate beside measured on ' + MODEL:<42}{'estimate':>14}{'measured':>14}")
for what, estimate, measured in ledger:
    print(f"{what:<42}{estimate:>14,}{measured:>14,}  {'equal' if estimate == measured else 'DIFFERENT'}")
print(f"{'seconds: growth for 4 times the frames':<42}{growth:>14.1f}{ratio:>14.1f}  {spread}")
assert all(estimate == measured for _, estimate, measured in ledger)

# %% [markdown]
# ## What to remember
#
# - Tokens per frame = (side / stride)², plus newlines. 24 x 24 at stride 2 is 144; 27 x 27 is 169 or 196, depending on the pooling.
# - Frames x tokens + prompt + answer must fit the context: 25 frames at 4,096 with a short answer, 21 with a Korean caption.
# - KV cache = 2 x layers x kv_heads x head size x bytes per token: 72 MiB per frame on the 7B.
# - Weights of the 7B: 13.16 GiB in 16 bits, 3.76 to 4.21 in 4 bits.
# - Eager attention costs memory with the square of the length; use sdpa.
# - Training keeps 8 MiB for every token of the 7B; gradient checkpointing keeps half a MiB, and makes QLoRA fit a T4.
# - Context, not memory, limits the frames of the 7B. Ask which limit binds before buying a bigger card.
