# %% [markdown]
# # 08 Korean captions: projector, LoRA, QLoRA
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/08_korean_qlora.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | teach a video model a new language: choose what may change (projector, LoRA, QLoRA, everything), keep adapters off CLIP and CLIP out of 4 bits, write the training loop, resume it, keep what the model knew, and say what it cost |
# | **Minutes** | 60 to read and think; 2 to run on two CPU cores or on a T4 |
# | **Memory** | 2 GB |
# | **Downloads** | none |
# | **Needs** | lessons 04 and 05; lesson 10 explains the scores in depth |

# %% [markdown]
# ## 한국어 요약
#
# 이 수업에서는 영어로만 영상을 설명하던 모델에게 한국어 캡션을 가르칩니다. 기본 모델은 한국어를 글로만 배웠고, 한국어로 영상을 설명해 본 적은 없습니다.
# 먼저 한국어 캡션이 토큰을 얼마나 쓰는지 재고, 학습 노트의 `max_new_tokens=256`이 왜 실제 캡션을 중간에 자르는지 확인합니다.
# 이어서 LoRA와 NF4 양자화를 직접 만들어 peft와 bitsandbytes의 결과와 같은지 확인합니다. 흔히 쓰는 target 목록은 CLIP에도 어댑터를 붙이고,
# 짧은 이름으로 쓴 제외 목록은 CLIP을 4비트로 만들어 버립니다. 둘 다 아무 경고가 없으므로 직접 세어 봅니다.
# 학습 루프는 한 번 직접 쓰고, transformers의 Trainer와 TRL의 SFTTrainer로 같은 데이터를 학습해 손실이 같은지 비교합니다.
# 그다음 제로샷, 프로젝터만, LoRA, QLoRA, 전체 미세 조정을 같은 조건에서 비교합니다. 한국어만 학습하면 영어를 잊지만, 배치마다 영어를 섞으면 영어가 대부분 남습니다.
# 마지막으로 AI-Hub 폴더를 읽고, 설정 파일 하나로 같은 학습을 명령으로 실행합니다(`python -m lib train jobs/tiny.yaml`). 7B도 설정 파일만 바꾸면 같은 명령으로 학습합니다. 학습하기 전에 `plan`이 카드에 들어가는지 알려 줍니다.
# AI-Hub 데이터를 국외로 반출하려면 별도 합의가 필요하고, Colab 서버도 국외일 수 있습니다. 11절의 이용 조건을 먼저 읽어 주세요.

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
import os
import subprocess
import tempfile
import warnings
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from lib import exercises, finetune, plots, toybox
from lib.data import Collator, Features, captioning, read_aihub, split, toybox_videos
from lib.evaluate import captions_by, measure, paired, percentile_interval
from lib.evaluate.metrics import CHRF_PP, EXACT, FACTS_RIGHT
from lib.finetune import Plan, add_lora, fit, mixed
from lib.finetune.trace import trace_answering, trace_training
from lib.reducers import VisualTokens
from lib.toybox.facts import compare
from lib.vlm import FAMILIES, compute_dtype, find, load
from lib.workshop import korean

MODEL = "tiny"  # the 7B is trained by the job of section 11, with the same functions

plots.style()
torch.manual_seed(0)
FRAMES, VIEW, PLAN, LANGUAGES = korean.KOREAN_FRAMES, korean.VIEW, korean.LIVE, ("ko", "en")
RUN = found[0] / "runs" / "lesson-08"  # what this lesson trains stays there


def fresh():
    """The base, as it was before any training."""
    return load(MODEL)


vlm = fresh()
train, test = toybox_videos(range(10**6, 10**6 + 480)), toybox_videos(range(48))
features = Features(vlm, FRAMES)  # the tower looks at each clip once: it is frozen in all that follows
collate = Collator(vlm, VIEW, features)
print(
    f"{MODEL}: {len(train)} clips to train on, {len(test)} to test on, {VIEW.count(*features(test[0]).shape[:3])} visual tokens each"
)

# %% [markdown]
# ## 1. The base: English about videos, Korean only as text
#
# The lessons so far were about what a model sees. This one is about what it says, and in which language.
#
# Vicuna, the language model of LLaVA-NeXT-Video, has read Korean text but was aligned with pictures in English. Tiny was made the same way: its recipe (`lib/workshop/tiny.py`) holds English captions and questions with frames,
# and Korean only in translations, with nothing to see. What does it say when asked for a Korean caption?

# %%
one = test[3]
for language in LANGUAGES:
    prompt = toybox.CAPTION_PROMPTS[language]
    print(f"{prompt}\n   {vlm.answer(features(one), prompt, VIEW, 64)}")
nothing = VisualTokens(torch.zeros(0, 128), *(torch.zeros(0, *shape, dtype=torch.long) for shape in ((), (), (4,))))
asked = "A small red circle moves up slowly.\nTranslate into Korean."
print(f"{asked}\n   {vlm.answer(nothing, asked, max_new_tokens=64)}")
print("the truth:\n  ", one.captions["ko"])

# %% [markdown]
# ## 2. What Korean costs in tokens, and why 256 are not enough
#
# **Claim.** The study notes generate with `max_new_tokens=256`. The Korean captions of their own data set average **932** tokens of Vicuna's tokenizer (at most 1,572), because that tokenizer
# was learned from text with little Korean: many syllables fall apart into bytes (JYP-VIDEO-TO-TEXT/korean-video-captioning, `siglip_study/docs/05_tokenization_analysis.md`).
#
# Both halves of that can be seen in small. First the tokenizer: tiny's was learned from both languages. We learn one of the same size from the English captions alone.

# %%
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

english_only = Tokenizer(models.BPE())
english_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
english_only.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(
    vocab_size=len(vlm.tokenizer), show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
)
sentences = {
    language: [video.captions[language] for video in toybox_videos(range(10**6, 10**6 + 400))]
    for language in ("en", "ko")
}
english_only.train_from_iterator(sentences["en"], trainer)
for name, encode in (
    ("learned from both", lambda text: vlm.tokenizer.encode(text, add_special_tokens=False)),
    ("learned from English", lambda text: english_only.encode(text).ids),
):
    mean = {language: np.mean([len(encode(text)) for text in sentences[language]]) for language in sentences}
    print(
        f"{name:<22} English {mean['en']:.0f} tokens a caption, Korean {mean['ko']:.0f}: {mean['ko'] / mean['en']:.1f} times as many"
    )

# %% [markdown]
# Then the cut. 256 of 932 tokens are 27 %.
#
# **Predict before you run.** A *true* Korean caption is cut off at 27 % of its tokens. Which share of its facts is left?

# %%
my_share = 0.27  # change me


def facts_left(videos, share):
    """Facts told by true Korean captions that are cut off at a share of their tokens: (clips, 2), told and all."""
    counts = []
    for video in videos:
        ids = vlm.tokenizer.encode(video.captions["ko"], add_special_tokens=False)
        told = compare(vlm.tokenizer.decode(ids[: round(share * len(ids))]), video.clip, "ko")
        counts.append((told.right, told.right + told.missed))
    return np.array(counts, dtype=float)


def score_left(share):
    """The share of facts with its interval over clips."""
    counts, rng = facts_left(toybox_videos(range(200)), share), np.random.default_rng(0)
    sums = [counts.sum(0), *(counts[rng.integers(200, size=200)].sum(0) for _ in range(500))]
    return percentile_interval(np.array([told / of for told, of in sums]), 200)


left = {percent: score_left(percent / 100) for percent in (10, 27, 40, 60, 80, 100)}
print(f"predicted {my_share:.0%}, measured {left[27]}")
plots.score_curves(
    {"facts that are still told": left}, "tokens that may be written, in % of what the caption takes", "share"
)

# %% [markdown]
# A cut caption loses its end: in these captions the flashes and often the code, in AI-Hub's the end of the story. And the missing end looks like a badly trained model. So: **measure the token lengths of your training captions, and
# set `max_new_tokens` above the longest.** The room comes out of the context: with Vicuna's 4,096 and 932 tokens of answer, 21 frames of 144 tokens fit; with 256, 25 (`lib.budget`, lesson 02).

# %% [markdown]
# ### Exercise 08.room: room for the longest caption
#
# difficulty ●○○○○ · importance ●●●●○ · 3 minutes
#
# Vicuna has 4,096 positions. A frame takes 144 of them, the prompt's words 60. Your captions take 932 tokens on average and 1,572 at most.
# You set `max_new_tokens` so that no caption is cut off. How many frames fit at most?

# %%
ex = exercises.get("08.room")
my_frames = ...  # your number
ex.check(my_frames)

# %% [markdown]
# ## 3. What a batch teaches
#
# The loss is taken over the answer and its end token alone. The prompt and the visual tokens are context: their labels are -100. A wrong mask is a silent mistake: with the prompt unmasked the model learns to
# ask; without the end token it never learns to stop.

# %% [markdown]
# ### Exercise 08.labels: the label mask
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# `ids`, (B, L), are sequences padded on the right. Row i begins with `prompt[i]` tokens of prompt and video; the answer follows and ends in
# the end token; together they are `length[i]` tokens. The rest is padding, for which some tokenizers use the end token again. Return the
# labels, (B, L): the ids of what is to be learned, -100 everywhere else. (transformers' loss itself compares position i with label i + 1.)

# %%
ex = exercises.get("08.labels")


def my_labels(ids, prompt, length):
    # your code
    ...


ex.check(my_labels)

# %% [markdown]
# A batch of two captions, masked by your function (or ours, until yours is right) and by the collator; and what one of them teaches:

# %%
batch = collate(captioning([one, test[4]], "ko"))
asked = (batch["labels"] != -100).int().argmax(dim=1)  # how many tokens stand before the answer
by_hand = ex.or_lib(my_labels)(batch["input_ids"], asked, batch["attention_mask"].sum(dim=1))
print("by hand and by the collator:", "equal" if np.array_equal(by_hand, batch["labels"]) else "DIFFERENT")
ids, labels = (batch[name][0, : batch["attention_mask"][0].sum()] for name in ("input_ids", "labels"))
seen = ids == vlm.model.config.video_token_id
kinds = ["patch" if see else "right" if label != -100 else "text" for see, label in zip(seen, labels, strict=True)]
print("taught:", vlm.tokenizer.decode(ids[labels != -100]))
plots.token_strips(
    {"tokens": kinds}, {"patch": "visual: masked", "text": "prompt: masked", "right": "answer and end: learned"}
)

# %% [markdown]
# ## 4. LoRA by hand, and where it must not go
#
# **Claim.** LoRA leaves a weight W as it is and adds a product of two thin matrices: W x + (alpha / r) B A x, with A of r rows and B of r columns, B zero at the start (Hu et al., arXiv 2106.09685).
# Everything that is learned is A and B.

# %% [markdown]
# ### Exercise 08.lora: LoRA's forward
#
# difficulty ●●○○○ · importance ●●●●● · 8 minutes
#
# `x`, (N, m), are inputs, `weight` W, (n, m), the frozen weight of a `torch.nn.Linear` without bias. LoRA adds `A`, (r, m), and `B`, (n,
# r). Return W x + (`alpha` / r) B A x for each input, (N, n).

# %%
ex = exercises.get("08.lora")


def my_lora(x, weight, A, B, alpha):
    # your code
    ...


ex.check(my_lora)

# %% [markdown]
# As a module, beside peft's:

# %%
from peft import LoraConfig, get_peft_model


class LoraByHand(nn.Module):
    def __init__(self, linear, rank, alpha):
        super().__init__()
        self.linear, self.scale = linear.requires_grad_(False), alpha / rank
        self.A = nn.Parameter(torch.randn(rank, linear.in_features) / rank)
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x):
        return self.linear(x) + self.scale * (x @ self.A.T) @ self.B.T


layer = nn.Linear(128, 384, bias=False)
by_hand = LoraByHand(layer, rank=16, alpha=32)
nn.init.normal_(by_hand.B)
by_peft = get_peft_model(
    nn.Sequential(nn.Linear(128, 384, bias=False)), LoraConfig(r=16, lora_alpha=32, target_modules=["0"])
)
theirs = by_peft.base_model.model[0]
theirs.base_layer.load_state_dict(layer.state_dict())
theirs.lora_A["default"].weight.data, theirs.lora_B["default"].weight.data = by_hand.A.data, by_hand.B.data
x = torch.randn(5, 128)
apart = (by_hand(x) - theirs(x)).abs().max().item()
print(f"by hand and by peft: {'equal' if apart < 1e-4 else 'DIFFERENT'} ({apart:.0e} apart)")
written = ex.or_lib(my_lora)(x, layer.weight.data, by_hand.A.data, by_hand.B.data, 32)
print("by your function, or ours:", "equal" if np.allclose(written, theirs(x).detach(), atol=1e-4) else "DIFFERENT")

# %% [markdown]
# **Predict before you run.** A layer with m inputs and n outputs gets r (m + n) numbers. Tiny's language model has 4 layers; each has four matrices of 128 x 128 and three between 128 and 384. How many numbers can change at rank 16? (For the
# 7B: 32 layers, four of 4096 x 4096, three between 4096 and 11008.)

# %%
my_count = 100_000  # change me


def lora_numbers(layers, width, inner, rank):
    return layers * rank * (4 * (width + width) + 3 * (width + inner))


adapter = add_lora(vlm, rank=16)
text = vlm.model.config.text_config
formula = lora_numbers(text.num_hidden_layers, text.hidden_size, text.intermediate_size, 16)
counted = sum(weight.numel() for weight in finetune.trainable(vlm).values())
print(
    f"predicted {my_count:,}, by the formula {formula:,}, counted {counted:,}; the 7B at rank 16: {lora_numbers(32, 4096, 11008, 16):,}"
)
vlm = fresh()  # without it again

# %% [markdown]
# ### Exercise 08.numbers: the adapter's size
#
# difficulty ●●○○○ · importance ●●●○○ · 5 minutes
#
# LoRA of rank 16 on the language model of LLaVA-OneVision 0.5B. It has 24 layers of width 896. In each: q and o, 896 x 896; k and v, from
# 896 to only 128, because groups of heads share them; three matrices between 896 and 4,864. How many numbers are trained?
# Answer in millions.

# %%
ex = exercises.get("08.numbers")
my_millions = ...  # your number
ex.check(my_millions)

# %% [markdown]
# Recipes on the web pass a list of names as `target_modules`. peft matches names **by their ends**, and CLIP's attention has layers called `q_proj`, `k_proj` and `v_proj` too. Where do adapters land?

# %%
USUAL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
print(f"{'target_modules':<26}{'vision tower':>14}{'projector':>11}{'language model':>16}")
for name, targets in (
    ("the usual list", USUAL),
    ('"all-linear"', "all-linear"),
    ("language_targets(model)", finetune.language_targets(vlm.model)),
):
    bare = load("tiny", device="cpu").model
    with finetune.without_deprecations():
        get_peft_model(bare, LoraConfig(r=16, target_modules=targets))
    hit = finetune.parts_hit(bare)
    print(f"{name:<26}{hit['vision_tower']:>14}{hit['multi_modal_projector']:>11}{hit['language_model']:>16}")
print("the last one is", finetune.language_targets(vlm.model))

# %% [markdown]
# Adapters in CLIP are worse than useless here: they change the features that the projector was trained on, features that were computed once no longer fit, and memory grows. Nothing warns. Hence the regular expression.
#
# ## 5. QLoRA: 4 bits by hand, and what must stay out of them
#
# **Claim.** QLoRA stores the frozen weights in 4 bits: blocks of 64 numbers are divided by their largest, and each becomes the nearest of 16 levels, the quantiles of a normal distribution ("NF4"); the blocks' largest numbers are quantised as well
# ("double quantisation"). Adapters are trained on top, in full precision (Dettmers et al., arXiv 2305.14314). By hand:

# %%
import bitsandbytes.functional as bnb
from scipy.stats import norm

positive, negative = (norm.ppf(np.linspace(0.9677083, 0.5, count)[:-1]) for count in (9, 8))  # bitsandbytes' offset
levels = torch.tensor(sorted([*positive, 0.0, *-negative]), dtype=torch.float32)
levels /= levels.max()


def nf4_by_hand(weight):
    """The weight as it is after 4 bits: the nearest level times the block's largest number."""
    blocks = weight.reshape(-1, 64)
    largest = blocks.abs().amax(dim=1, keepdim=True)
    nearest = ((blocks / largest)[..., None] - levels).abs().argmin(dim=-1)
    return (levels[nearest] * largest).reshape(weight.shape)


weight = load("tiny", device="cpu").model.model.language_model.layers[0].mlp.up_proj.weight.detach()
single, double = (
    bnb.dequantize_4bit(*bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=again))
    for again in (False, True)
)
print("the 16 levels:", *(f"{level:.2f}" for level in levels))
print(
    f"by hand and bitsandbytes: the same in {(nf4_by_hand(weight) - single).abs().le(1e-6).float().mean():.1%} of the numbers"
)
print(
    f"error of a weight, relative: nf4 {(single - weight).norm() / weight.norm():.3f}, doubly quantised {(double - weight).norm() / weight.norm():.3f}"
)
print(f"bits per number: {4 + 32 / 64:.3f}, doubly quantised {4 + 8 / 64 + 32 / (64 * 256):.3f}")

# %% [markdown]
# Vision tower and projector stay whole: they are small (5 % of the 7B), and every caption goes through them. `llm_int8_skip_modules` says so, **but since transformers 5 a name is matched from its start**: the short names of older recipes skip nothing, silently. Counted:

# %%
from transformers import BitsAndBytesConfig

source = find("tiny")


def in_four_bits(skip):
    """How many layers of each part are in 4 bits, when `skip` shall be left out."""
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, llm_int8_skip_modules=skip
    )
    model = FAMILIES["llava_next_video"].model_class.from_pretrained(
        source, quantization_config=config, device_map="cpu"
    )
    names = [name for name, module in model.named_modules() if type(module).__name__ == "Linear4bit"]
    return [sum(part in name for name in names) for part in ("vision_tower", "multi_modal_projector", "language_model")]


print(f"{'llm_int8_skip_modules':<62}{'tower':>7}{'projector':>11}{'language':>10}")
for skip in (
    ["vision_tower", "multi_modal_projector", "lm_head"],
    ["model.vision_tower", "model.multi_modal_projector", "lm_head"],
):
    tower, projector, language_model = in_four_bits(skip)
    print(f"{', '.join(skip):<62}{tower:>7}{projector:>11}{language_model:>10}")

# %% [markdown]
# ### Exercise 08.silent: two settings that fail in silence
#
# difficulty ●●○○○ · importance ●●●●● · 4 minutes
#
# Another model. Its parts are `model.visual`, whose attention also has layers called `q_proj` and `v_proj`, and `model.language_model`. You
# want adapters in the language model alone, and `model.visual` kept out of 4 bits. Which two settings do you take, and why?
#
# - **a** targets `".*language_model.*(q_proj|v_proj)"`; leave out `["model.visual"]`
# - **b** targets `["q_proj", "v_proj"]`; leave out `["visual"]`
# - **c** targets `"all-linear"`; leave out `["model.visual"]`
#
# because
#
# - **1** a name that matches nothing raises an error
# - **2** both compare with any piece of a name
# - **3** peft compares a list with the ends of names, transformers a part to be left out with their starts

# %%
ex = exercises.get("08.silent")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# 4 bits are for storage; each layer computes in 16 bits. In which kind of 16 bits? bfloat16 has float32's range, so nothing overflows, but a GPU must have it in hardware: compute capability 8.0 (Ampere). A T4 is 7.5, and `torch.cuda.is_bf16_supported()`
# says yes all the same, because it counts emulation. `lib.vlm.compute_dtype` asks for the capability instead. Three GPUs, as they would report themselves:

# %%
for card, capability in (("T4", (7, 5)), ("A100", (8, 0)), ("H100", (9, 0))):
    with patch("torch.cuda.get_device_capability", return_value=capability):
        print(f"{card:<5} {capability[0]}.{capability[1]}  ->  {compute_dtype(torch.device('cuda'))}")

# %% [markdown]
# float16 ends at 65,504 and small gradients vanish in it. So with float16 the loss is scaled up before the backward pass (`GradScaler`), and what is trained must itself be float32: *"Attempting to unscale FP16 gradients"* is the error of those who forget (haotian-liu/LLaVA#363).
#
# ## 6. The loop, by hand and by two libraries
#
# A training loop is short. Here it is whole, in plain torch; then transformers' `Trainer` and TRL's `SFTTrainer` get the same examples in the same order, through the same collator.
#
# **Predict before you run.** By how much will the three losses differ at most? (They are the same arithmetic.)

# %%
from datasets import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments, get_cosine_schedule_with_warmup
from trl import SFTConfig, SFTTrainer

my_difference = 0.1  # change me
SHORT = Plan(steps=6, batch=4, learning_rate=PLAN.learning_rate, warmup=2)
examples = mixed(captioning(train[:24], "ko"), captioning(train[:24], "en"), SHORT.examples, 0.25)


def loop_by_hand(vlm, collate):
    weights = [weight for weight in vlm.model.parameters() if weight.requires_grad]
    optimizer, losses = torch.optim.AdamW(weights, SHORT.learning_rate, weight_decay=0.0), []
    schedule = get_cosine_schedule_with_warmup(optimizer, SHORT.warmup, SHORT.steps)  # up in a line, down in a cosine
    vlm.model.train()
    with vlm.looking_through(VIEW):  # transformers' forward takes features, and this reducer makes tokens of them
        for step in range(SHORT.steps):
            batch = collate(examples[step * SHORT.batch : (step + 1) * SHORT.batch])
            loss = vlm.model(**{name: tensor.to(vlm.device) for name, tensor in batch.items()}).loss
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses


def by_a_library(vlm, collate, adapter, trainer_class, config_class, **more):
    data = Dataset.from_dict({"number": range(len(examples))})  # TRL takes no list of ours, and a Dataset no video

    def of_numbers(rows):
        return collate([examples[row["number"]] for row in rows])

    with finetune.without_deprecations(), vlm.looking_through(VIEW):
        settings = config_class(
            output_dir=tempfile.mkdtemp(),
            max_steps=SHORT.steps,
            per_device_train_batch_size=SHORT.batch,
            learning_rate=SHORT.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=SHORT.warmup,
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            bf16=False,
            **more,
        )
        trainer = trainer_class(
            adapter, settings, data_collator=of_numbers, train_dataset=data, processing_class=vlm.tokenizer
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


curves = {}
for name in ("by hand", "Trainer", "SFTTrainer"):
    again = fresh()
    adapter, its = add_lora(again), Collator(again, VIEW, features)
    if name == "by hand":
        curves[name] = loop_by_hand(again, its)
    elif name == "Trainer":
        curves[name] = by_a_library(again, its, adapter, Trainer, TrainingArguments)
    else:
        uncut = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}, "gradient_checkpointing": False}
        curves[name] = by_a_library(again, its, adapter, SFTTrainer, SFTConfig, **uncut)
    print(f"{name:<12}", *(f"{loss:.5f}" for loss in curves[name]))
apart = max(abs(np.array(curves["by hand"]) - curve).max() for curve in curves.values())
print(f"predicted {my_difference}, measured at most {apart:.0e}")

# %% [markdown]
# `max_length=None` matters: TRL's default of 1,024 cuts sequences, and 8 frames of the 7B are 1,152 visual tokens: *"video features and video tokens do not match"*. TRL's own collators know images and no videos, so ours is needed. `lib.finetune.fit` is
# `Trainer` with a log, a checkpoint in one file, and 16 bits on a GPU.
#
# ## 7. Train it
#
# LoRA on the language model, three Korean captions for every two English examples (captions and questions), mixed evenly into every batch. (Why: section 10.)
#
# Two scores say what became of it (lesson 10 builds both): **chrF++**, from 0 to 100, says how many groups of characters and words a caption shares with the true one; **facts right** is the share of a
# clip's facts that the caption tells.
#
# **Predict before you run.** Which share of the facts will its Korean captions get right on clips that it never saw?

# %%
my_facts = 0.5  # change me
student = fresh()
adapter = add_lora(student)
order = mixed(captioning(train, "ko"), korean.in_english(train), PLAN.examples, korean.ENGLISH)
fit(student, Collator(student, VIEW, features), order, PLAN, RUN)  # runs once: a second time it finds what is there
finetune.save_adapter(student, adapter, RUN / "adapter")
log = finetune.read_log(RUN / "log.jsonl")  # one JSON object per step: step, loss, learning rate, seconds
print(f"{len(log)} steps of {PLAN.batch}; the last line of the log: {log[-1]._replace(seconds=0)}")
plots.loss_curves({"loss, mean of ten steps": [step.loss for step in log]}, window=10)


# %%
def say(model, name, language):
    """Its captions of the test clips."""
    return captions_by(model, name, test, features, language, VIEW)


said = {
    language: {"before": say(vlm, "before", language), "after": say(student, "after", language)}
    for language in LANGUAGES
}
for language, by_system in said.items():
    for name, records in by_system.items():
        facts_right = measure(FACTS_RIGHT, records)
        print(f"{language} {name:<7}chrF++ {measure(CHRF_PP, records).mean:5.1f}, facts right {facts_right}")
print(f"predicted {my_facts}, measured {measure(FACTS_RIGHT, said['ko']['after']).mean:.2f}")
for number in (3, 5):
    print(
        f"\ntruth   {test[number].captions['ko']}\nbefore  {said['ko']['before'][number].output}\nafter   {said['ko']['after'][number].output}"
    )

# %% [markdown]
# ## 8. Interrupted, and resumed
#
# Colab ends sessions. A checkpoint therefore holds what was trained *and* the optimizer's moments, and each step's batch depends on its number alone. Then a run that was interrupted ends with the same weights as one that was not, to the last bit:


# %%
class Killed(Exception):
    pass


def killed_after(steps, collate):
    """A collator that ends the session."""
    left = iter(range(steps))

    def collated(some):
        if next(left, None) is None:
            raise Killed
        return collate(some)

    collated.reducer, collated.features = collate.reducer, collate.features
    return collated


def run(folder=None, steps=None):
    """The weights after SHORT's steps; killed after some, where that is asked for."""
    model = fresh()
    add_lora(model)
    its = Collator(model, VIEW, features)
    try:
        fit(model, killed_after(steps, its) if steps else its, examples, SHORT, folder)
    except Killed:
        print(f"killed after {steps} steps; in the folder: {', '.join(sorted(os.listdir(folder)))}")
    return finetune.trainable(model)


with tempfile.TemporaryDirectory() as folder:
    run(folder, steps=3)
    resumed, whole = run(folder), run()
print("the same weights:", all(torch.equal(resumed[name], whole[name]) for name in whole))

# %% [markdown]
# ## 9. Gradient checkpointing and merging
#
# **Claim.** Gradient checkpointing keeps only the input of each layer and computes the rest again in the backward pass: less memory, more time, the same gradients. Torch can say how much a forward pass keeps:


# %%
def gradients(checkpointing):
    """The gradients of one batch, and the bytes that the forward pass kept for them."""
    model, kept = fresh(), []
    add_lora(model)
    for weight in finetune.trainable(model).values():
        weight.data.add_(0.01)  # away from zero, where half of the gradients vanish
    model.model.train()
    with finetune.without_deprecations():
        if checkpointing:
            model.model.gradient_checkpointing_enable({"use_reentrant": False})
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: kept.append(tensor.nbytes) or tensor, lambda tensor: tensor
        )
        with model.looking_through(VIEW), hooks:
            loss = model.model(**{k: v.to(model.device) for k, v in collate(examples[:2]).items()}).loss
        loss.backward()
    positions = collate(examples[:2])[
        "input_ids"
    ].numel()  # checkpointing holds each layer's input where no hook sees it
    inputs = text.num_hidden_layers * positions * text.hidden_size * 4 if checkpointing else 0
    return {name: weight.grad for name, weight in finetune.trainable(model).items()}, sum(kept) + inputs


plain, kept_plain = gradients(checkpointing=False)
again, kept_again = gradients(checkpointing=True)
apart = max((plain[name] - again[name]).abs().max().item() for name in plain)
print(
    f"gradients at most {apart:.0e} apart; kept {kept_plain / 2**20:.0f} MiB without, {kept_again / 2**20:.0f} MiB with checkpointing"
)

# %% [markdown]
# **Claim.** An adapter can be merged: W + (alpha / r) B A is a weight like any other, and inference costs nothing extra. Into full-precision weights that is exact, but for the rounding of float32. **Into 4 bits it is not**: the sum has to be rounded to 16 levels again, and what LoRA
# learned is often smaller than the step from one level to the next. We merge the adapter that was just trained, both ways, and compare the logits of one caption:


# %%
def merged_apart(four_bit):
    """How far the logits of a caption move by merging the trained adapter, as a share of their spread."""
    model = load(MODEL, four_bit=four_bit)
    put = finetune.load_adapter(model, RUN / "adapter")
    prompt = model.prompt(toybox.CAPTION_PROMPTS["ko"])
    before = model.logits(features(one), prompt, VIEW)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        put.merge_and_unload()
    error = (model.logits(features(one), prompt, VIEW) - before).abs().max() / before.std()
    return error.item(), sorted(
        {str(warning.message).split(".")[0] for warning in warned if "rounding" in str(warning.message)}
    )


print(f"the adapter on disk: {finetune.size_on_disk(RUN / 'adapter'):,} bytes")
for name, four_bit in (("whole weights", False), ("4 bits", True)):
    error, warned = merged_apart(four_bit)
    print(f"merged into {name:<14} logits at most {error:.0e} of their spread apart", *warned)

# %% [markdown]
# So after QLoRA: load the base **whole**, put the adapter on it, merge, and quantise the result again if you must. An adapter belongs to one base: `save_adapter` writes the base's sha256 beside it, and `load_adapter` refuses another base, on which its differences would be noise.
#
# ## 10. Six ways, side by side
#
# `make korean` trains six ways on the same clips for the same number of steps, and LoRA for longer: that adapter is shipped in `data/korean-lora`. It keeps what each model said, clip by clip, so every number below is computed here. (One training each: the intervals cover
# clips, not other seeds.)

# %%
results = korean.read_korean()
ko, en = korean.records(results, "ko"), korean.records(results, "en")


def of(records, name):
    return [record for record in records if record.system == name]


print(f"{'':<22}{'numbers':>9}{'to store':>10}{'model':>9}{'seconds':>9}   chrF++")
for name, result in results.items():
    kib, chrf = result.numbers * 4 / 1024, measure(CHRF_PP, of(ko, name))
    print(
        f"{name:<22}{result.numbers:>9,}{kib:>6,.0f} KiB{result.model_bytes / 2**20:>5.1f} MiB{result.seconds:>9.0f}   {chrf.mean:.1f} [{chrf.low:.1f}, {chrf.high:.1f}]"
    )
columns = {
    "Korean:\nfacts right": (FACTS_RIGHT, ko),
    "English:\nfacts right": (FACTS_RIGHT, en),
    "English:\nquestions": (EXACT, en),
}
shares = np.array(
    [[measure(metric, of(records, name))[:3] for metric, records in columns.values()] for name in results]
)
plots.share_table(list(results), [0] * len(results), list(columns), shares)

# %%
print("facts right in Korean, QLoRA minus LoRA:", paired(FACTS_RIGHT, of(ko, "QLoRA"), of(ko, "LoRA")))
for name in ("LoRA", "LoRA without questions", "LoRA without English", "shipped"):
    for what, (metric, records) in list(columns.items())[1:]:
        print(
            f"{name} minus zero-shot, {' '.join(what.split())}: {paired(metric, of(records, name), of(records, 'zero-shot'))}"
        )
shipped = fresh()
finetune.load_adapter(shipped, korean.ADAPTER)
live = captions_by(shipped, "shipped", test[:12], features, "ko", VIEW)
print(
    "the shipped adapter says here what the file says:",
    sum(record.output == kept for record, kept in zip(live, results["shipped"].korean, strict=False)),
    "of 12",
)

# %% [markdown]
# - **The projector alone** points pictures at Korean words, which this language model knows from text. That makes it write Korean, with most facts wrong or missing, and since English goes through the same projector, English suffers. As a first stage it is what LLaVA does before anything else; as the only stage it is not enough.
# - **QLoRA** is LoRA on rounded weights. Its model takes less memory (on the 7B: 3.8 to 4.2 GiB instead of 13.2). Whether Korean captions pay for it, the first difference above says: an interval that includes 0 shows no price on this many clips.
# - **Full fine-tuning** stores language model and projector whole for each task, and forgot more English than LoRA did.
# - **Without English in the mix the model forgets English.** Nothing in the loss asks for it. Mixed into every batch, most of it stays, but not all: the short runs lose points on questions; the lines above say how many, with English questions in the mix and without. The shipped adapter was trained for longer at a lower rate: its English captions are better than before, and the last line with an interval says whether its answers to questions are worse.
#
# The same lesson stands in LLaVA-NeXT-Video's own table (lesson 04, section 7). The study notes train on images first and then, "optionally", on video. The authors tried that:

# %%
with open("../data/papers.csv", encoding="utf-8") as file:
    for row in csv.DictReader(file):
        if row["source"] == "blog 2024-04-30, (2) How to fine-tune on videos?":
            print(f"{row['metric']} {row['value']}  {row['model']:<22}{row['setting']}")

# %% [markdown]
# Continual training on video alone is *worse than not training on video at all*; images and videos in separate batches as well; mixed in every batch is best. The paper mixes modalities and we mix languages: in both, what is not in the batch is forgotten.
#
# (The study notes' table of four benchmarks, of which the authors reported one, is settled in lesson 07, sections 1 and 9.)
#
# ## 11. Your data, your model, one command
#
# **AI-Hub's terms come first.** "대한민국 배경영상 상세묘사 데이터" (dataSetSn 71849) needs a Korean account. Its terms of use (aihub.or.kr, 이용정책) say:
#
# - Taking the data abroad needs an agreement with NIA. A Colab machine may well stand abroad, so train on a machine in Korea unless you have one.
# - NIA is to be named in whatever is made from the data, adapters included. The job writes that line into `adapter/base.json`.
# - Frames and captions may not be shown to others. A notebook with outputs shows both: clear the outputs before you share it.
#
# The course ships a twin of the folder's layout, made of Toybox clips:
#
# ```
# Training/01.원천데이터/TS_toybox/toybox_000300.mp4       clips
# Training/02.라벨링데이터/TL_toybox/toybox_000300.json    their labels, paired by name
# Validation/...                                          the same, VS_ and VL_
# ```
#
# `Training` and `Validation` are AI-Hub's official split. `split` keeps it, so that your scores can be compared with others'; where there is none, it keeps clips of one recording together:

# %%
folder = read_aihub(found[0] / "data" / "aihub_sample")
print(folder)
print(split(folder.videos))
video = folder.videos[0]
print(video.name, video.frames(4).shape, "|", video.captions["ko"][:60])
print(
    "the shipped adapter, from the mp4 file:",
    shipped.answer(video.frames(FRAMES), toybox.CAPTION_PROMPTS["ko"], VIEW, 64)[:60],
)

# %% [markdown]
# The reader is tolerant in where a label holds its caption and strict about everything else: what it leaves out it lists, with the reason and the fix. `F2T_LANGUAGE=ko` lists them in Korean.
#
# **The job.** Everything that this lesson did by hand is one file of settings and five commands: `plan`, `train`, `caption`, `evaluate`, `merge`. The file names the data, the model and how to train; the same commands run tiny on two cores and the 7B on a card:


# %%
def command(*words):
    """One command of the course, as you would type it in the course's folder."""
    print("$ python -m lib", *words)
    done = subprocess.run([sys.executable, "-m", "lib", *words], cwd=found[0], capture_output=True, text=True)
    print((done.stderr + done.stdout).strip(), "\n")


print((found[0] / "jobs" / "tiny.yaml").read_text())
with tempfile.TemporaryDirectory() as folder:
    short = ["steps=10", "data=toybox:1000000:1000060", f"output={folder}"]  # without these: 300 steps, 1,200 clips
    command("train", "jobs/tiny.yaml", *short)
    print("in the folder:", ", ".join(sorted(os.listdir(folder))))

# %% [markdown]
# `log.jsonl` has a line per step, `samples.jsonl` captions of a few validation clips while it trained, `adapter` the adapter with the lowest validation loss. A run that was stopped goes on when the command is given again; one with more steps is prolonged.
#
# **A real model.** `plan` says before any download whether a job fits. It builds the 7B at its real size on tensors without numbers and runs the code of a training step and of an answer on them, counting every byte:

# %%
for what, memory in {
    "a step of QLoRA with checkpointing": trace_training("7b", 8, answer=932, checkpointing=True),
    "without checkpointing": trace_training("7b", 8, answer=932),
    "an answer of up to 932 tokens": trace_answering("7b", 8, answer=932),
}.items():
    print(f"{what:<36}{memory.total / 2**30:5.1f} GiB, CUDA's own state included; a T4 has 14.75")

# %% [markdown]
# A QLoRA step with checkpointing and an answer both fit a T4; without checkpointing the step does not. `python -m lib plan jobs/7b-t4.yaml` says this for the very job, with the most frames, clips and hours on every card.
# `jobs/` holds files for an L4, an A100 and four A100s; `notebooks/colab_job.ipynb` runs the whole job on Colab with its folder on your Drive.
#
# ## What to remember
#
# - Captions have a length in *your* tokenizer. Set `max_new_tokens` above the longest training caption.
# - Targets by regular expression on `language_model`; skip modules by their full names; both fail silently, so count what they hit.
# - Compute in float16 on a T4 and in bfloat16 from Ampere on: ask for the capability, not for `is_bf16_supported`.
# - The training loop is short; Trainer and SFTTrainer compute the same.
# - Merge into whole weights. An adapter belongs to the very weights that it was trained on.
# - What is not in the batch is forgotten: mix.
