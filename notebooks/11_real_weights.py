# %% [markdown]
# # 11 Real weights: from one million parameters to seven billion
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/11_real_weights.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | say before a download whether a model fits your machine; load the 0.5B, the 7B, its DPO variant and the 34B through the same three lines as tiny; run SlowFast-LLaVA on the 7B as in its paper; put a LoRA adapter on a model in 4 bits |
# | **Minutes** | 45 to read and think; 1 to run on two CPU cores with twins; with real weights on a T4, mostly the download: not measured yet |
# | **Memory** | 2 GB; with real weights 4.2 GiB of GPU memory for the 7B's weights in 4 bits, more for each frame (section 2) |
# | **Downloads** | none; with `REAL = True` 1.8 GB (0.5B) and 14 GB (7B) |
# | **Needs** | lessons 02, 04 and 05; 08 for the adapter |

# %% [markdown]
# ## 한국어 요약
#
# 지금까지 tiny로 만든 코드는 실제 모델에서도 그대로 돌아갑니다. 이 수업에서는 0.5B OneVision, 7B LLaVA-NeXT-Video, 그 DPO 판, 34B를 같은 `load` 한 줄로 다룹니다. 먼저 내려받기 전에 메모리와
# 디스크에 들어가는지 계산합니다. `load`도 가중치를 받기 전에 같은 계산을 하고, 자리가 없으면 한 줄로 알려 줍니다. 이 노트북은 GPU도 가중치도 없는 기계에서 실행되었으므로, 실제 모델 대신
# 설정은 같고 크기만 줄인 "쌍둥이" 모델을 씁니다. 쌍둥이의 가중치는 무작위이므로 **그 답에는 아무 뜻이 없고**, 코드의 모든 경로가 실제로 실행된다는 것만 보여 줍니다. `REAL = True`로 바꾸면 같은 셀이
# 실제 가중치로 실행됩니다. 이어서 학습이 필요 없는 SlowFast-LLaVA를 논문의 설정(50프레임, 3,680토큰, 논문의 프롬프트, dynamic RoPE)대로 7B에 적용하고, 한국어로 물어보고, 4비트 모델에
# LoRA 어댑터를 올립니다. 아직 재지 않은 숫자는 "아직 재지 않았다"고 적습니다.

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
import gc
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lib import budget, exercises, plots, toybox, vlm
from lib.finetune import add_lora, load_adapter, save_adapter
from lib.finetune.trace import trace_answering
from lib.known import REAL_MODELS, REVISIONS
from lib.real_clips import real_clip
from lib.reducers import LlamaVid, LlavaVideo, SlowFastLlava, SpatialPool
from lib.toybox.facts import compare
from lib.video import probe, read_frames, sample_uniform
from lib.vlm import twins

REAL = False  # True: the real weights of the 0.5B and the 7B (downloads 1.8 and 14 GB; the 7B wants a GPU)
CARD = "T4"  # your card: T4, L4, A100-40, A100-80, H100, H200, or "this machine"

plots.style()
ONEVISION, VIDEO_7B = REAL_MODELS
TWINS = Path(tempfile.mkdtemp())
model, current = None, None  # one real model at a time: two of 7B would fill a T4


def get_twin(name, **options):
    """The twin of a real model: its configuration in small, with random weights."""
    folder = TWINS / name.split("/")[1]
    return vlm.load(folder if folder.exists() else twins.write_twin(name, folder), **options)


def get(name, rope=None):
    """The real model, on a GPU in 4 bits; its twin where REAL is False, and where the real one has no room."""
    global model, current
    if current == (name, rope):
        return model
    model, current = None, (name, rope)  # what was there before makes room
    gc.collect()
    try:
        model = vlm.load(name, torch.cuda.is_available(), rope=rope) if REAL else get_twin(name, rope=rope)
    except ValueError as error:
        print(f"{error}\n    Its twin runs instead.")
        model = get_twin(name, rope=rope)
    return model


def note(model):
    """What must be said beside the answers of a twin."""
    return "(random weights)" if model.name.startswith(str(TWINS)) else ""


print("real weights" if REAL else "TWINS: random weights. Every line of code runs, and what they answer means nothing.")

# %% [markdown]
# ## 1. Four models behind one function
#
# **Claim.** All of these are classes of transformers: `LlavaNextVideoForConditionalGeneration` (tiny, the 7B, its DPO variant, the 34B) and
# `LlavaOnevisionForConditionalGeneration` (the 0.5B). What differs stands in their configurations, so `lib.vlm.load` takes all of them.
#
# The configurations are known without a download. Parameters are counted by building each model on torch's "meta" device, which has shapes and no numbers:

# %%
print(f"{'':<43}{'parameters':>14}{'16 bits':>10}{'4 bits':>9}{'a frame':>9}{'context':>9}   commit")
for name, revision in REVISIONS.items():
    config = twins.real_config(name)
    spec = budget.ModelSpec.from_config(config)
    whole, small = (vlm.bytes_to_load(config, four_bit, torch.float16) for four_bit in (False, True))
    print(
        f"{name:<43}{whole // 2:>14,}{whole / 2**30:>6.1f} GiB{small / 2**30:>5.1f} GiB{spec.per_frame:>9}"
        f"{spec.language.context:>9,}   {(revision or 'the newest')[:10]}"
    )

# %% [markdown]
# - **"commit"** is what `load` takes from the Hub. Weights behind a name can change: the 7B's configuration did (section 6). So a result should say
#   which commit it is of. For the 0.5B we know one that several public repositories use, with the checksums of its files. For the others we found
#   none that is surely published, so the newest is taken; `VideoLM.revision` says which one came, and `load(name, revision=...)` keeps you there.
# - 7,063,431,168 parameters, and the file of the 0.5B, 1,787,445,680 bytes, agree with what people published who had them on their disks (`tests/test_real_weights.py`).
# - The 34B wants another **prompt** than the 7B, though the class is the same. The study notes' rule "end with `ASSISTANT:`" is Vicuna's:

# %%
for name, chat in (("7B, 7B-DPO", vlm.VICUNA), ("0.5B", vlm.QWEN), ("34B", vlm.YI)):
    print(f"{name:<11}{chat.prompt('What moves?')!r}")

# %% [markdown]
# **Predict before you run.** 7.06 billion numbers, half a byte each. How many GiB are the 7B's weights in 4 bits?

# %%
my_gib = 7.06e9 * 0.5 / 2**30  # change me

config = twins.real_config(VIDEO_7B)
four, sixteen = (vlm.bytes_to_load(config, bits, torch.float16) / 2**30 for bits in (True, False))
with torch.device("meta"):
    shapes = vlm.FAMILIES[config.model_type].model_class(config)
parts = {
    "language model, layers": shapes.model.language_model.layers,
    "word embeddings": shapes.model.language_model.embed_tokens,
    "output layer": shapes.lm_head,
    "vision tower": shapes.model.vision_tower,
    "projector": shapes.model.multi_modal_projector,
}
for part, module in parts.items():
    count = sum(weight.numel() for weight in module.parameters())
    print(f"{part:<24}{count / 1e6:>8,.0f} million   {'4 bits and a scale' if 'layers' in part else '16 bits'}")
print(
    f"predicted {my_gib:.2f} GiB, counted {four:.2f} GiB; formula of lesson 02: "
    f"{budget.weight_bytes(budget.ModelSpec.from_config(config), 'nf4-double', keep_vision=True) / 2**30:.2f} GiB"
)

# %% [markdown]
# Only the linear layers of the language model are stored in 4 bits (4.127 with their scales, lesson 02). Vision tower and projector stay whole because `lib` says so, in names that
# transformers 5 understands: it compares from the beginning of a name, so the often copied `"vision_tower"` keeps nothing whole, and says nothing. Here, in a twin:

# %%
kinds = {}
for path, module in get_twin(VIDEO_7B, four_bit=True).model.named_modules():
    if isinstance(module, torch.nn.Linear):
        part = next(
            (part for part in ("vision_tower", "projector", "language_model.layers", "lm_head") if part in path), path
        )
        kinds.setdefault(part, set()).add(type(module).__name__)
print(", ".join(f"{part}: {'/'.join(found)}" for part, found in kinds.items()))

# %% [markdown]
# ### Exercise 11.weights: a model in 4 bits
#
# difficulty ●●○○○ · importance ●●●●○ · 6 minutes
#
# `layers` numbers are in the linear layers of the language model, `others` everywhere else. How many bytes does the model take in 4 bits, as `lib`
# loads it? Only `layers` are quantised (NF4 with double quantisation): half a byte each, a scale of one byte for every 64 of them, and a float32 for
# every 256 scales. The rest has 16 bits.

# %%
ex = exercises.get("11.weights")


def my_weight_bytes(layers, others):
    # your code
    ...


ex.check(my_weight_bytes)
print(f"the 7B: {ex.or_lib(my_weight_bytes)(6_476_005_376, 587_425_792) / 2**30:.2f} GiB, counted above {four:.2f} GiB")

# %% [markdown]
# ## 2. Does it fit? Ask before the download
#
# `load` counts the weights and looks at the free memory and disk **before** it fetches or reads any weights. Too little room is one line, in seconds, and not a crash after a
# 14 GB download. What would it say on this machine, without a GPU?

# %%
cpu = torch.device("cpu")
for name in (ONEVISION, VIDEO_7B, "llava-hf/LLaVA-NeXT-Video-34B-hf"):
    for how, four_bit, dtype in (("32 bits", False, torch.float32), ("4 bits", True, torch.bfloat16)):
        try:
            vlm.check_memory(name, twins.real_config(name), four_bit, cpu, dtype)
            said = "fits"
        except ValueError as error:
            said = f"refused: ...{str(error).split(' need ')[1].split(':')[0]}"
        print(f"{name.split('/')[1]:<34}{how:<9}{said}")

# %% [markdown]
# The weights are only the beginning. Each frame costs cache and working memory, and the **plan** (`lib.budget.plan`, lesson 02) says how many frames a card has room for, and how many the context:
#
# **Predict before you run.** The study notes allow 4 frames on a T4. How many does the 7B in 4 bits have room for there, and which limit is reached first?

# %%
my_frames, my_limit = 4, "memory"  # change me

rows = {
    "0.5B, 16 bits": (ONEVISION, "float16"),
    "7B, 4 bits": (VIDEO_7B, "nf4-double"),
    "7B, 16 bits": (VIDEO_7B, "float16"),
    "34B, 4 bits": ("llava-hf/LLaVA-NeXT-Video-34B-hf", "nf4-double"),
    "34B, 16 bits": ("llava-hf/LLaVA-NeXT-Video-34B-hf", "float16"),
}
specs = {name: budget.ModelSpec.from_config(twins.real_config(name)) for name in REVISIONS}
plans = {row: budget.plan(CARD, specs[name], precision) for row, (name, precision) in rows.items()}
print(f"{CARD:<16}{'frames by memory':>18}{'by context':>12}   limit")
for row, found in plans.items():
    print(
        f"{row:<16}{found.by_memory:>18,}{found.by_context:>12,}   {'does not fit' if found.by_memory == 0 else found.binds}"
    )
print(f"predicted {my_frames} ({my_limit}); planned {plans['7B, 4 bits'].frames} ({plans['7B, 4 bits'].binds})")
record = Path("../data/measured/gpu.json")
print(
    "measured on a GPU:",
    json.loads(record.read_text()).get("card", "see the file")
    if record.exists()
    else "not yet. These are predictions.",
)

# %% [markdown]
# A plan is a formula. Here the code itself answers about 8 frames at the 7B's real size, on tensors that have a shape and no numbers, and every byte is counted while it lives
# (lesson 02 shows many such cases). `python -m lib plan jobs/7b-t4.yaml` does this for a whole job, training included.

# %%
counted, by_formula = trace_answering("7b", 8), budget.answering(specs[VIDEO_7B], 8)
print(
    f"an answer about 8 frames: traced {counted.tensors / 2**30:.2f} GiB, planned {by_formula.tensors / 2**30:.2f} GiB"
)

# %% [markdown]
# (The context here is the one in today's configuration: 4,096 positions x 2.5 for the 7B. Section 6 says what that is worth.)
#
# The weights of each model against the cards, as bars:

# %%
gib = [budget.weight_bytes(specs[name], precision, keep_vision=True) / 2**30 for name, precision in rows.values()]
clip = [budget.kv_bytes(specs[name], specs[name].video_tokens(16)) / 2**30 for name, _ in rows.values()]
limits = {card: budget.CARDS[card] for card in ("T4", "L4", "A100-40", "A100-80")}
plots.stacked_bars(list(rows), {"weights": gib, "cache of 16 frames": clip}, ["patch", "newline"], limits, "GiB")

# %% [markdown]
# ### Exercise 11.plan: frames on a card
#
# difficulty ●●○○○ · importance ●●●●● · 8 minutes
#
# A card has `card` GiB, and 95 % of them are planned with. A model takes `fixed` GiB, and each frame `per_frame` GiB more. Its context has `context`
# positions, of which `text` are for prompt and answer; a frame is `tokens` tokens. Return two whole numbers: the frames that memory allows, and those
# that the context allows.

# %%
ex = exercises.get("11.plan")


def my_plan(card, fixed, per_frame, context, tokens, text):
    # your code
    ...


ex.check(my_plan)

# %% [markdown]
# With the 7B's numbers. What a frame costs is the slope of lesson 02's peak, what is there before the first frame its start:

# %%
sixty, hundred = (budget.answering(specs[VIDEO_7B], count).total / 2**30 for count in (60, 100))
per_frame = (hundred - sixty) / 40
settings = (
    budget.card_bytes(CARD) / 2**30,
    sixty - 60 * per_frame,
    per_frame,
    specs[VIDEO_7B].language.context,
    144,
    356,
)
by_memory, by_context = ex.or_lib(my_plan)(*settings)
found = plans["7B, 4 bits"]
print(
    f"the 7B in 4 bits, {settings[1]:.2f} GiB and {per_frame:.3f} a frame: {by_memory:.0f} frames by memory, {by_context:.0f} by context"
)
print(f"lib's plan: {found.by_memory} and {found.by_context}")

# %% [markdown]
# ### Exercise 11.dtype: a number type for the T4
#
# difficulty ●●○○○ · importance ●●●●○ · 3 minutes
#
# A Colab T4 has compute capability 7.5, and `torch.cuda.is_bf16_supported()` returns True there. In which type should the 7B compute, and why?
#
# - **a** bfloat16
# - **b** float16
# - **c** float32
#
# because
#
# - **1** torch says that it is supported
# - **2** the hardware computes in bfloat16 from capability 8.0 on; before that torch emulates it
# - **3** float16 holds larger numbers than bfloat16

# %%
ex = exercises.get("11.dtype")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# **34B: a plan.** In 4 bits its weights take most of an L4, in 16 bits most of an 80 GB card. SlowFast-LLaVA's authors report about 80 GB for its 3,680 tokens (arXiv 2407.15841v2, section 4.2). Nothing
# in this lesson needs it: it loads through the same function, with its own prompt.
#
# ## 3. The same five questions to three models
#
# One file, 16 frames of it, five questions. (Frames are read once at their full size; each model's `preprocess` makes what its vision tower wants.)

# %%
path = "../data/clips/hello.mp4"
frames = read_frames(path, sample_uniform(probe(path).frames, 16)).pixels
truth = json.loads(Path(path).with_suffix(".json").read_text())
asked = [
    next(qa for qa in truth["questions"] if qa["kind"] == kind)
    for kind in ("colour", "shape", "code", "flash", "motion")
]
tiny = vlm.load("tiny")
questions = [qa["question"] for qa in asked]


def ask(model):
    """The five answers of a model, and a line on what it makes of the frames."""
    config, features = model.model.config, model.encode(frames)
    print(
        f"{name}: layer {config.vision_feature_layer}, frames {'cropped' if model.pixels.crop else 'squashed'} to {model.pixels.size} x {model.pixels.size}, "
        f"{features.shape[1]} x {features.shape[2]} patches,\n    {model.default_reducer.count(*features.shape[:3]):,} tokens; <video> is token {config.video_token_id:,} {note(model)}"
    )
    return [model.answer(features, question, max_new_tokens=8) for question in questions]


answers = {}
for name in ("tiny", ONEVISION, VIDEO_7B):
    answers[name] = ask(tiny if name == "tiny" else get(name))
for number, qa in enumerate(asked):
    print(f"\n{qa['question']}   (truth: {qa['answer']})")
    for name, said in answers.items():
        print(f"    {name.split('/')[-1]:<34}{said[number][:60]}")

# %% [markdown]
# `#` and a number is a word that a twin's vocabulary has and no text uses: a random answer, as it must be. With `REAL = True` you see sentences. Then two things are worth a look: tiny knows nothing but Toybox and was trained on exactly such
# questions; the real models know the world and never saw Toybox. So a wrong code says less about a method than lesson 07 does.
#
# The way is the same for all: `encode`, reduce and project, `splice`, generate. What differs (the layer, CLS or none, the grid, the order of projector and pooling, a newline after the
# video, the number of `<video>`) is read from the configuration.
#
# And is `lib`'s way equal to transformers' own? `tests/test_real_weights.py` compares the logits for all three architectures on their twins, to 1e-5. Here for the 7B in three lines: transformers wants one `<video>` per token.

# %%
count = model.default_reducer.count(2, *model.encode(frames[:1]).shape[1:3])
inputs = model.tokenizer(model.prompt("What moves?").replace("<video>", "<video>" * count), return_tensors="pt").to(
    model.device
)
with torch.no_grad():
    theirs = model.model(
        **inputs, pixel_values_videos=model.preprocess(frames[:2])[None].to(model.device, model.dtype)
    ).logits[0]
ours = model.logits(frames[:2], model.prompt("What moves?"))
print(
    f"logits of {len(ours)} positions, at most {(ours - theirs).abs().max():.0e} apart; the largest is {theirs.abs().max():.1f}"
)

# %% [markdown]
# ## 4. Zero-shot Korean
#
# **Claim.** The study notes plan to ask the 7B in Korean, then to fine-tune. Asking costs nothing but a prompt: the question is Korean, the frame around it stays English (lesson 08 trains).
#
# The real models know the real world, so they get the film of lesson 01, ten seconds of a street with cars and bicycles:

# %%
KOREAN = "이 영상을 한국어로 상세히 묘사해주세요."
bikes = real_clip("bikes")
street = read_frames(bikes, sample_uniform(probe(bikes).frames, 16)).pixels
features = model.encode(street)
print(repr(model.prompt(KOREAN)))
for question in ("What happens in this video?", KOREAN):
    print(f"{question} -> {model.answer(features, question, max_new_tokens=8 if note(model) else 400)} {note(model)}")

# %% [markdown]
# tiny stands in a similar place: it describes videos in English, and it learned Korean as *text* only, never with a picture. How much of the clip does it tell, in each language?
#
# **Predict before you run.** Of the facts of this clip, which share is right in its Korean caption without any training for that?

# %%
my_share = 0.0  # change me

scene = toybox.sample(truth["seeds"][0])
for language in ("en", "ko"):
    said = tiny.answer(frames, toybox.CAPTION_PROMPTS[language], max_new_tokens=160)
    told = compare(said, scene, language)
    print(f"{language}: {said[:170]}\n    facts: {told.right} right, {told.missed} missed, {told.invented} invented")
print(f"predicted {my_share:.2f}, measured {told.share_right:.2f}   truth: {truth['caption_ko']}")

# %% [markdown]
# ## 5. Another reducer in the real 7B: SlowFast-LLaVA
#
# **Claim.** SlowFast-LLaVA trains nothing. So it must work on weights as they are downloaded, if four things are as in the paper (arXiv 2407.15841v2, sections 3.2 and 4.2; apple/ml-slowfast-llava): 50 frames,
# **squashed** to 336 x 336; features **behind the projector**; **its own prompt**; and its RoPE setting (section 6).
#
# ### Squashed, not cropped
#
# transformers cuts the middle out of a frame that is not square. Film is wide; that of the street has 640 x 272 pixels. How much of a frame is left?

# %%
wide = street[10:11]
crop = model.pixels
squash = replace(crop, crop=False)
shown = {name: how.resize(wide)[0].permute(1, 2, 0).numpy() for name, how in (("cropped", crop), ("squashed", squash))}
print(f"cropping keeps {100 * wide.shape[1] / wide.shape[2]:.0f} % of the frame")
plots.named_pictures({f"a frame of {wide.shape[2]} x {wide.shape[1]}": wide[0], **shown}, width=6)

# %% [markdown]
# LLaVA-NeXT-Video's cropping keeps shapes, and here 42 % of the frame. SlowFast-LLaVA's squashing keeps everything and makes wheels narrow.
#
# ### Its prompt and its 50 frames
#
# A `VideoLM` is a frozen dataclass, so the 7B of the paper is the loaded one with two fields replaced. (`rope=` is section 6.)

# %%
model = get(VIDEO_7B, rope={"rope_type": "dynamic", "factor": 2.0})
model = replace(model, pixels=squash, chat=vlm.SLOWFAST_VICUNA)
print(model.prompt("What moves?"))

path50 = "../data/clips/long.mp4"
total = probe(path50).frames
many = read_frames(path50, sample_uniform(total, min(50, total), rule="slowfast_llava")).pixels
features = model.encode(many)
if len(features) < 50:  # a clip of ours may be shorter than 50 frames: some are then shown twice
    features = features[torch.linspace(0, len(features) - 1, 50).long()]
print(f"{total} frames in the file, {len(features)} looked at: features {tuple(features.shape)}")

# %% [markdown]
# **Predict before you run.** How many tokens are 50 frames, and how many positions of Vicuna's 4,096 are left for the answer?

# %%
my_tokens, my_left = 50 * 144, 0  # change me

with torch.no_grad():
    projected = model.project(features)  # behind the projector (the paper's footnote 3)
slow = projected[::5].unflatten(2, (-1, 2)).amax(dim=3)  # 10 frames, the larger of two neighbours: 24 rows of 12
fast = projected.unflatten(2, (4, -1)).unflatten(1, (4, -1)).mean(dim=(2, 4))  # all frames, 4 x 4 means
by_hand = torch.cat([slow.flatten(0, 2), fast.flatten(0, 2)])

reducer = SlowFastLlava.from_spec("slowfast-slow_10frms_spatial_1d_max_pool-fast_4x4")
with torch.no_grad():
    tokens = reducer(features, model.project)
words = len(model.tokenizer(model.prompt("What moves?")).input_ids) - 1
same = torch.allclose(tokens.embeds, by_hand, atol=1e-5 if model.dtype == torch.float32 else 0.1)
print(
    f"predicted {my_tokens:,} and {my_left}; measured {len(tokens):,} and {4096 - len(tokens) - words} (a twin's tokenizer needs more for the words)"
)
print("by hand and lib:", "equal" if same else "DIFFERENT")
print("answer:", model.answer(features, "What moves?", reducer, max_new_tokens=8)[:60], note(model))

# %% [markdown]
# Two honest remarks. The paper's numbers (lesson 05) are of LLaVA-NeXT, the *image* model. The 7B here was trained on videos too, with other tokens, so its scores would not be the paper's. And nothing has been scored
# here: a twin cannot be, and the real 7B was not at hand.
#
# ### Every reducer
#
# All reducers of the course take what `encode` returns, so all of them work on the 7B; `tests/test_real_weights.py` runs each on each model in 16 bits and in 4. LLaMA-VID's weights are random in any case (nobody trained
# them for this model), and LLaVA-Video's frame token is the newline here, for want of a trained one.

# %%
some, newline, config = model.encode(frames[:8]), model.model.model.image_newline, model.model.config
sizes = config.vision_config.hidden_size, config.text_config.hidden_size
torch.manual_seed(0)
reducers = {
    "the model's own": model.default_reducer,
    "every patch, a newline per row": SpatialPool(1, newline="grid", newline_embed=newline),
    "LLaVA-Video, every 4th slow": LlavaVideo(4, newline_embed=newline, frame_token=newline),
    "SlowFast-LLaVA, 4 slow": SlowFastLlava.from_spec("slowfast-slow_4frms_spatial_1d_max_pool-fast_4x4"),
    "LLaMA-VID, 2 per frame": LlamaVid(*sizes, tokenizer=model.tokenizer).to(model.device, model.dtype).eval(),
}
print(f"{'tokens of 8 frames':<34}{'24 x 24':>10}{'27 x 27':>10}")
for method, how in reducers.items():
    said = model.answer(some, "What moves?", how, max_new_tokens=4)
    print(
        f"{method:<34}{how.count(8, 24, 24):>10,}{how.count(8, 27, 27):>10,}   the 7B answers: {said[:40]} {note(model)}"
    )

# %% [markdown]
# ### Exercise 11.reducer: fifty frames, no training
#
# difficulty ●●●○○ · importance ●●●●● · 5 minutes
#
# The 7B as downloaded, in 4 bits on a T4, with 4,096 positions. A video of four minutes, and nothing may be trained; 50 frames have to be seen. Which
# reducer, and why?
#
# - **a** the model's own pooling, 144 tokens a frame
# - **b** SlowFast-LLaVA, 10 frames with 288 tokens and all 50 with 16
# - **c** LLaMA-VID, 2 tokens a frame
#
# because
#
# - **1** it needs no weights of its own, and all its tokens fit the context
# - **2** fewer tokens are always better
# - **3** it is the one for which the T4's memory suffices

# %%
ex = exercises.get("11.reducer")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# ## 6. One set of weights, three RoPE settings
#
# **Claim.** The Hub's files of the 7B have carried different RoPE settings. The first configuration had the blog's factor 2 in a place where nothing reads it (lesson 04, section 8). Later copies say linear, 2.5. The 34B has none.
# SlowFast-LLaVA's *paper* says factor 2 "as LLaVA-NeXT-Video" does; its *code* sets the type `"dynamic"` (`builder.py:118-122`). These are different things:
#
# - **linear** divides every angle by the factor, at every length: the short prompt, too, is read with angles that are smaller than in training;
# - **dynamic** changes nothing up to the trained length, and beyond it raises the base, so that the slow pairs turn more slowly and the fast ones hardly change.
#
# The formula of dynamic scaling by hand, for the slowest of the 7B's 64 pairs, which is the first to meet angles that it never saw:


# %%
def frequencies(head, base=10_000.0, factor=1.0, length=4096, kind="default", trained=4096):
    """How far each pair turns from one position to the next."""
    if kind == "dynamic":
        base = base * (factor * max(length, trained) / trained - (factor - 1)) ** (head / (head - 2))
    return base ** -(torch.arange(0, head, 2) / head) / (factor if kind == "linear" else 1)


lengths = np.arange(1, 10_241, 8)
ways = {
    "none": {},
    "linear, factor 2": dict(kind="linear", factor=2.0),
    "linear, factor 2.5": dict(kind="linear", factor=2.5),
    "dynamic, factor 2": dict(kind="dynamic", factor=2.0),
}
largest = {
    name: np.array([length * frequencies(128, length=int(length), **how)[-1].item() for length in lengths])
    for name, how in ways.items()
}
plots.rope_angles(lengths, largest, (4096, 4096 * frequencies(128)[-1].item()))

# %% [markdown]
# Unscaled, the angle leaves the box at 4,096 tokens. Linear scaling by 2.5 stays in it up to 10,240, and uses less than half of it at 4,096. Dynamic scaling follows the unscaled line to the corner, and turns back.
#
# **Predict before you run.** The sequence of section 5 has about 3,800 tokens. By which factor does "dynamic, factor 2" divide the frequencies there? And "linear, factor 2.5"?

# %%
my_dynamic, my_linear = 2.0, 2.5  # change me

ratios = {}
for kind, rope in (
    ("default", {"rope_type": "default"}),
    ("dynamic", {"rope_type": "dynamic", "factor": 2.0}),
    ("linear", None),
):
    small = get_twin(VIDEO_7B, rope=rope)  # None: as its configuration says. For frequencies a twin is enough
    rotary = small.model.model.language_model.rotary_emb
    rotary(torch.zeros(1, device=small.device), torch.arange(3800, device=small.device)[None])
    ratios[kind] = (rotary.inv_freq.cpu(), small.context)
plain = ratios["default"][0]
for kind, mine in (("dynamic", my_dynamic), ("linear", my_linear)):
    print(f"{kind:<8} predicted {mine}, measured {(plain / ratios[kind][0]).mean():.1f}; context {ratios[kind][1]:,}")
head = 2 * len(plain)
print(
    "by hand and transformers:",
    torch.allclose(plain, frequencies(head)),
    torch.allclose(ratios["linear"][0], frequencies(head, factor=2.5, kind="linear")),
)

# %% [markdown]
# So at 3,680 tokens the setting of SlowFast-LLaVA's code is no scaling at all, which is how its image model was trained; while the 7B's own file would squeeze all of them to 40 %. `load(name, rope=...)` sets it **before** the model is built (later is too late:
# lesson 04). Which setting answers better with the real 7B, nobody has measured here. Look at `VideoLM.context` and at the frequencies before you compare two results.

# %% [markdown]
# ### Exercise 11.dynamic: the slowest pair at 8,192 tokens
#
# difficulty ●●●●○ · importance ●●●○○ · 8 minutes
#
# Trained for 4,096 positions, dynamic scaling with factor 2, a sequence of 8,192 tokens. By which number is the turn of the *slowest* pair divided?

# %%
ex = exercises.get("11.dynamic")
my_divisor = ...  # your number
ex.check(my_divisor)

# %% [markdown]
# ## 7. An adapter on top
#
# Lesson 08 trains a LoRA adapter: few numbers beside many, in a file of its own. It belongs to *one* base, so `load_adapter` refuses another. For tiny it is `data/korean-lora`:

# %%
ADAPTER = Path("../data/korean-lora")
if ADAPTER.exists():
    korean = vlm.load("tiny")
    load_adapter(korean, ADAPTER)
    said = korean.answer(frames, toybox.CAPTION_PROMPTS["ko"], max_new_tokens=160)
    told = compare(said, scene, "ko")
    print(f"with the adapter: {said}\n    facts: {told.right} right, {told.missed} missed, {told.invented} invented")
else:
    print("There is no adapter yet: this cell needs data/korean-lora, which `make korean` trains.")

# %% [markdown]
# The same on the 7B in 4 bits, all the way: put LoRA beside its layers, save, load into a fresh copy, compare. (A new adapter changes nothing until it is trained, so one of its matrices is filled with random numbers first.)

# %%
base = get_twin(VIDEO_7B, four_bit=True) if note(model) else model
before = base.logits(frames[:2], base.prompt(KOREAN))
adapter = add_lora(base, rank=16)
torch.manual_seed(0)
for weight_name, weight in adapter.named_parameters():
    if "lora_B" in weight_name:
        torch.nn.init.normal_(weight, std=0.02)
after = base.logits(frames[:2], base.prompt(KOREAN))
size = sum(weight.numel() for weight in adapter.parameters() if weight.requires_grad)
print(f"{size:,} numbers in the adapter; it moves the logits by up to {(after - before).abs().max():.2f}")
if note(base):
    save_adapter(base, adapter, TWINS / "adapter")
    fresh = get_twin(VIDEO_7B, four_bit=True)
    load_adapter(fresh, TWINS / "adapter")
    again = fresh.logits(frames[:2], fresh.prompt(KOREAN))
    print(f"saved and loaded into a fresh 4-bit copy: at most {(again - after).abs().max():.0e} apart")
else:
    print("Not saved: a random adapter of the real 7B is of no use. Lesson 08 trains one.")

# %% [markdown]
# On the real 7B the same call makes 39,976,960 numbers at rank 16, counted by its shapes:

# %%
text = twins.real_config(VIDEO_7B).text_config
width, inner, heads = text.hidden_size, text.intermediate_size, text.num_key_value_heads * text.head_dim
per_layer = 16 * ((width + width) * 2 + (width + heads) * 2 + (width + inner) * 3)  # q and o, k and v, gate up down
print(f"{text.num_hidden_layers} layers x {per_layer:,} = {text.num_hidden_layers * per_layer:,}")

# %% [markdown]
# ## 8. What has not been measured
#
# This notebook ran without a GPU and without real weights. So these are open, and no number in this lesson pretends otherwise:
#
# | not measured yet | what there is instead | who measures it |
# |---|---|---|
# | peak GPU memory of the 7B by frames | the plan of section 2 | `make gpu-check`, into `data/measured/gpu.json` |
# | seconds per answer on a T4, download time | nothing | you, with `REAL = True` |
# | answers of the 0.5B and the 7B to the five questions and about the street, in English and Korean | random answers of twins | you, with `REAL = True` |
# | SlowFast-LLaVA's scores on the video-trained 7B, by RoPE setting | the paper's, on the image model | nobody yet |
# | loading the Hub's own files | twins with the same names, shards and token numbers | the first learner with a network: please report it |

# %% [markdown]
# ## What to remember
#
# - Count before you download: parameters, bytes by precision, frames by memory and by context. `load` refuses in seconds what cannot fit.
# - One class is not one prompt: the 34B speaks ChatML, the 7B Vicuna. One name is not one file: note the commit.
# - In 4 bits the 7B's weights take 4.2 GiB, not 3.3: vision tower, projector, embeddings and output layer stay whole.
# - SlowFast-LLaVA on downloaded weights: 50 frames squashed, behind the projector, 3,680 tokens, its own prompt, dynamic RoPE, which does nothing at that length.
# - Linear RoPE scaling changes every position, dynamic only sequences longer than the training. Look at the frequencies.
# - A twin with random weights proves that code runs and that numbers have the right shape. It proves nothing about answers.
