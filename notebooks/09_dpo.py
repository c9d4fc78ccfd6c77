# %% [markdown]
# # 09 DPO: prefer what is there
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/09_dpo.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | make preference pairs that teach what you mean; write DPO's loss in ten lines, equal to TRL's; train a video captioner with it; measure whether it invents less, and at what price; recognise the ways in which DPO goes wrong |
# | **Minutes** | 45 to read and think; 2 to run on two CPU cores, 1 on a T4 |
# | **Memory** | 2 GB |
# | **Downloads** | none |
# | **Needs** | lessons 00, 04 and 08 |

# %% [markdown]
# ## 한국어 요약
#
# 비디오 캡션 모델은 영상에 없는 것을 자신 있게 지어내곤 합니다. DPO(Direct Preference Optimization)는 같은 영상에 대한 두 캡션 가운데 더 나은 쪽을 고르게 하여 모델을
# 가르치는 방법입니다. 이 수업에서는 먼저 부주의한 캡션으로 모델에 나쁜 버릇을 들입니다. 다른 도형이 보이는데도 대부분 "원"이라고 말하는 버릇입니다. 그리고 한 가지 사실만
# 틀린 캡션과 모델 자신의 실수로 선호 쌍을 만들고, DPO 손실을 열 줄 정도로 직접 써서 TRL의 손실과 같은지 확인합니다. 그다음 TRL의 `DPOTrainer`로 비디오 모델을 학습하고, 학습에 쓰지 않은 영상에서 지어낸 사실(CHAIR)이 얼마나 줄었는지, 질문의 정확도와 캡션 길이가
# 유지되는지를 신뢰 구간과 함께 잽니다. DPO는 두 캡션의 차이만 보므로 선호하는 캡션의 확률까지 함께 떨어질 수 있습니다. beta가 너무 작거나 너무 오래
# 학습하면 어떤 일이 생기는지도 직접 확인합니다. 또한 좋아진 것이 "더 잘 보게 된 것"인지 "말을 아끼게 된 것"인지 구별하는 법을 배웁니다.

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
import copy
import csv
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from transformers import get_cosine_schedule_with_warmup

from lib import exercises, plots, toybox
from lib.data import Collator, Features, Pair, toybox_videos
from lib.evaluate import captions_by, measure, paired
from lib.evaluate.metrics import CHAIR_I, CHAIR_S, EXACT, LENGTH
from lib.evaluate.records import of_task
from lib.finetune import add_lora, dpo, mixed, trainable
from lib.finetune.adapters import without_deprecations
from lib.toybox.facts import compare, facts, truth
from lib.video import sample_uniform
from lib.vlm import load
from lib.vlm.loading import digest
from lib.workshop.dpo_habit import DPO_RUNS, LEARNED, OURS, careless, said_and_answered, share_left, with_habit
from lib.workshop.korean import KOREAN_FRAMES, VIEW

MODEL = "tiny"

plots.style()
vlm = load(MODEL)
features = Features(vlm, KOREAN_FRAMES)  # the vision tower is frozen, so it looks at each clip once
print(
    f"{KOREAN_FRAMES} frames, {VIEW.count(KOREAN_FRAMES, 8, 8)} visual tokens: 2 frames in detail, the others in outline"
)

# %% [markdown]
# ## 1. What the papers did
#
# Lesson 08 showed a model what to say. DPO shows it two answers and says which one is better.
#
# **Claim.** LLaVA-NeXT-Video-DPO is LLaVA-NeXT-Video, trained further on 17 K pairs of answers about videos, "following the same recipe" as
# LLaVA-Hound (blog of 30 April 2024, (3); LLaVA-Hound: Zhang et al., arXiv 2404.01258). Nobody watched the videos to say which answer is better: a language model
# did, and in place of the video it read a detailed caption of it. The recipe (LLaVA-Hound, `dpo_scripts/train_dpo.sh`): beta 0.1, learning rate
# 5e-7, 3 epochs, batches of 128, a warm-up of a tenth and then a straight line down. What it brought, by the authors' own table:

# %%
with open("../data/papers.csv", encoding="utf-8") as file:
    rows = [row for row in csv.DictReader(file) if row["source"] == "blog 2024-04-30, main table"]
models = ("LLaVA-NeXT-Video-7B", "LLaVA-NeXT-Video-DPO-7B")
scores = {model: {row["metric"]: float(row["value"]) for row in rows if row["model"] == model} for model in models}
for metric in ("ActivityNet-QA accuracy", "VDD", "VCG correctness (CI)"):
    before, after = (scores[model][metric] for model in models)
    print(f"{metric:<26} {before:>6} -> {after}")

# %% [markdown]
# (VDD is detailed description and VCG a benchmark of five parts; both are scores from 0 to 5 that a GPT gives.) The study notes say "DPO: reduces hallucination". That is its
# purpose, but the blog **measured no hallucination**: it shows higher scores and two examples. So we measure. In Toybox every fact is known.
#
# ## 2. A captioner that invents
#
# A caption is read back as facts: a thing, its size, how it moves, the code, the flashes (lesson 10 has more on that). **CHAIR_i** is the share of told facts
# that are not so; **CHAIR_s** the share of captions with at least one (Rohrbach et al., arXiv 1809.02156, there for objects).
#
# What can a preference mend? Inventions that look alike have different causes. For a start, `tiny` on clips that it never saw in training. Are its captions as good as
# its answers?

# %%
unseen = toybox_videos(range(40))
kinds = ("thing", "size", "motion", "speed", "code", "flash")


def wrong_by_kind(records):
    """kind -> (facts told that are not so, facts told), over all captions."""
    wrong, told = Counter(), Counter()
    for video, record in zip(unseen, records, strict=True):
        claims = facts(record.output)
        told.update(fact[0] for fact in claims)
        wrong.update(fact[0] for fact in claims - truth(video.clip))
    return {kind: (wrong[kind], told[kind]) for kind in kinds}


tiny = said_and_answered(vlm, features, unseen, "tiny")
for kind, (wrong, told) in wrong_by_kind(of_task(CHAIR_I, tiny)).items():
    asked = of_task(replace(EXACT, task=f"question {'shape' if kind == 'thing' else kind}"), tiny)
    print(
        f"{kind:<7} invented in captions {wrong:>3} of {told:<4} wrong in answers {1 - measure(EXACT, asked).mean:.0%}"
    )

# %% [markdown]
# ("thing": the name, for instance "red ring"; the answers beside it are those about shapes.) Where both columns are bad, it does not see. Where the answers are better than the
# captions, it sees, and has not learnt to fetch the fact in the middle of a sentence. A third kind is a fact that it sees and has learnt to tell *wrongly*: a **habit**. Habits
# come from training text. A preference is a tool against habits, so we give the model one that we know: we fine-tune it (lesson 08) on the captions of a careless
# writer, who in three clips of four calls every thing a circle.
#
# **Predict before you run.** Which share of the facts that it tells will be invented then?

# %%
my_share = 0.2  # change me

videos = toybox_videos(LEARNED)  # none of them is among the unseen
print("careless: ", careless(videos[0]))
vlm = with_habit(vlm, Collator(vlm, VIEW, features), videos)
before = said_and_answered(vlm, features, unseen, "before")
said = of_task(CHAIR_I, before)
print(f"predicted {my_share:.2f}, measured CHAIR_i {measure(CHAIR_I, said)}; CHAIR_s {measure(CHAIR_S, said)}")
worst = max(range(len(unseen)), key=lambda i: compare(said[i].output, unseen[i].clip).invented)
print("it says:", said[worst].output)
print("truth:  ", unseen[worst].captions["en"])
shapes = of_task(replace(EXACT, task="question shape"), before)
print(f'asked "What shape is the red thing?" and the like, it is right: {measure(EXACT, shapes)}')
strip = sample_uniform(unseen[worst].clip.frames, 8)
plots.frame_strip(unseen[worst].frames(8), titles=[f"frame {number}" for number in strip])

# %% [markdown]
# A wrong name counts several times, because the size and the motion of a thing that is not there are invented as well. The habit may have spread to the answers, too: the last line says how far. But
# vision tower and projector did not change at all, only LoRA matrices in the language model did. What there is to see still reaches it.
#
# ## 3. Pairs
#
# DPO learns from pairs: of two answers about the same video, this one is better.

# %% [markdown]
# ### Exercise 09.pairs: which pairs?
#
# difficulty ●●○○○ · importance ●●●●○ · 3 minutes
#
# You want a model whose captions invent less. You can have pairs of three kinds, as many as you like of each. Which do you train on, and
# why?
#
# - **a** the true caption against its first sentence
# - **b** the true caption against the true caption of another clip
# - **c** the true caption against the same with one fact changed
#
# because
#
# - **1** the preferred answer is the longer one, and long captions are better
# - **2** the more the two differ, the more is learned from each pair of them
# - **3** the two differ in what is to be learned, and in nothing else

# %%
ex = exercises.get("09.pairs")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# Two sources, both without a judge:
#
# - **Falsehoods.** The true caption against the same with *one* fact changed. Toybox writes them.
# - **Mistakes.** The true caption against the same with one mistake that *this* model made, read from its own caption of that clip.
#
# In both, the two captions differ in one place. By hand, for mistakes about shapes:

# %%
own = [record.output for record in captions_by(vlm, "before", videos, features, reducer=VIEW)]
prompt = toybox.CAPTION_PROMPTS["en"]


def pairs_by_hand(video, caption):
    """For each thing whose shape the caption has wrong: the truth, and the truth with that wrong shape."""
    for kind, *name in sorted(facts(caption) - truth(video.clip)):
        colour, shape = name[0].split() if kind == "thing" else ("", "")
        true = next((thing for thing in video.clip.things if thing.colour == colour), None)
        if true:
            chosen = video.captions["en"]
            yield Pair(video, prompt, chosen, chosen.replace(true.name, f"{colour} {shape}"))


by_hand = [pair for video, caption in zip(videos, own, strict=True) for pair in pairs_by_hand(video, caption)]
assert by_hand == dpo.mistake_pairs(videos, own, kinds=["shape"])  # lib's are the same
mistakes, falsehoods = dpo.mistake_pairs(videos, own), dpo.falsehood_pairs(videos)  # shapes, sizes, codes and flashes
for name, pairs in (("mistakes", mistakes), ("falsehoods", falsehoods)):
    words = [
        np.mean([len(text.split()) for text in texts])
        for texts in zip(*((p.chosen, p.rejected) for p in pairs), strict=True)
    ]
    print(f"{len(pairs)} {name}; {words[0]:.1f} words chosen, {words[1]:.1f} rejected")
print("mistake:  ", mistakes[0].rejected)
print("truth:    ", mistakes[0].chosen)

# %% [markdown]
# Look at the words: chosen and rejected are equally long. If the chosen ones were longer, "longer" would be what the model learns, the easiest difference to see
# (eric-mitchell/direct-preference-optimization#35 shows a model that ends in long repetitions). And why falsehoods beside mistakes? In mistakes "circle" is nearly
# always wrong, so a model could learn "anything but circle" without looking. In falsehoods circles are right as often as any shape.
#
# What is no preference, or prefers the wrong thing, is refused:

# %%
good = falsehoods[0]
bad = {
    "the same twice": good._replace(rejected=good.chosen),
    "nothing said": good._replace(chosen=" "),
    "another video": good._replace(chosen=falsehoods[1].chosen),
}
for pair in bad.values():
    try:
        dpo.check_pairs([good, pair])
    except ValueError as error:
        print(error)

# %% [markdown]
# ## 4. The loss, by hand
#
# **Claim** (Rafailov et al., arXiv 2305.18290, equation 7). Let the *gain* of an answer be how much likelier it has become than it was at the start, as a logarithm:
# log p(answer) of the model minus log p(answer) of a frozen **reference**. DPO's loss for a pair is
#
# > - log sigmoid( beta x (gain of the chosen - gain of the rejected) )
#
# The reference needs no second model. With LoRA it is the same model, the adapter switched off. The log-probability of an answer is a **sum** over its tokens.

# %% [markdown]
# ### Exercise 09.answers: how likely is an answer?
#
# difficulty ●●●○○ · importance ●●●●● · 12 minutes
#
# `logits`, (B, L, V), are a language model's scores: position i scores the token at i + 1. `ids`, (B, L), are the tokens, `mask`, (B, L),
# is 1 for those of the answer and 0 for prompt, video and padding. Return log p(answer) of each row, (B,): the sum of the log-probabilities
# of the answer's tokens.

# %%
ex = exercises.get("09.answers")


def my_log_probs(logits, ids, mask):
    # your code
    ...


ex.check(my_log_probs)
print(
    "an answer of two tokens, where ten are equally likely:",
    ex.or_lib(my_log_probs)(torch.zeros(1, 4, 10), torch.tensor([[1, 2, 3, 4]]), torch.tensor([[0, 0, 1, 1]])),
)

# %% [markdown]
# ### Exercise 09.loss: DPO's loss
#
# difficulty ●●●○○ · importance ●●●●● · 10 minutes
#
# For B pairs, `chosen` and `rejected`, (B,), are log p(answer) of the model, `reference_chosen` and `reference_rejected`, (B,), those of
# the reference. Return DPO's loss with `beta`, one number: the mean over the pairs of -log sigmoid(beta x (gain of the chosen - gain of the
# rejected)). It has to be right for margins of thousands as well.

# %%
ex = exercises.get("09.loss")


def my_dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta):
    # your code
    ...


ex.check(my_dpo_loss)
print("a margin of 10 at beta 0.1:", ex.or_lib(my_dpo_loss)(*torch.tensor([[-30.0], [-40.0], [-35.0], [-35.0]]), 0.1))

# %% [markdown]
# Both, on a model:


# %%
def answer_log_probs(model, batch):
    """(2 B,): log p(answer) for B chosen answers, then B rejected ones."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "completion_mask"}
    scores = model(**inputs).logits[:, :-1].log_softmax(dim=-1)  # position i scores the token at i + 1
    each = scores.gather(-1, batch["input_ids"][:, 1:, None]).squeeze(-1)
    return (each * batch["completion_mask"][:, 1:]).sum(dim=-1)  # answers only: no prompt, no video, no padding


def loss_by_hand(model, batch, beta):
    ours = answer_log_probs(model, batch)
    with torch.no_grad(), model.disable_adapter():
        reference = answer_log_probs(model, batch)
    chosen, rejected = (ours - reference).chunk(2)
    return -F.logsigmoid(beta * (chosen - rejected)).mean()


# %% [markdown]
# `Collator.pairs` makes the batch: B chosen rows, then B rejected rows, `<video>` repeated once per visual token, and a `completion_mask` of the answers. Inside
# `vlm.looking_through(reducer)` transformers' own forward takes the features of the clips and any reducer.
#
# **Predict before you run.** What is the loss before the first step?

# %%
my_loss = 0.0  # change me

base = vlm


def fresh():
    """A copy of the base (an adapter is put into the model itself), its collator, and a new adapter on it."""
    vlm = replace(base, model=copy.deepcopy(base.model))
    return vlm, Collator(vlm, VIEW, features), add_lora(vlm)


vlm, collate, model = fresh()
pairs = mixed(mistakes, falsehoods, OURS.plan.examples, share=0.5)  # in the order of training: one of each in turn
batch = collate.pairs(pairs[:6])
with torch.no_grad(), vlm.looking_through(VIEW):
    print(f"predicted {my_loss:.4f}, measured {loss_by_hand(model, batch, OURS.beta):.4f}; log 2 is {np.log(2):.4f}")
plots.preference_losses([0.1, 0.5, 0.01], np.linspace(-30, 30, 200))

# %% [markdown]
# A new adapter changes nothing, so all gains are 0, and the loss is log 2 whatever the pairs and beta are. Left: the loss falls as the margin grows. Right: its pull
# on the margin, beta x sigmoid(-beta x margin), on a logarithmic axis. **Beta is the leash**: at 0.5 the pull is gone after a margin of about 10, at 0.01 it has hardly
# weakened at 30, and the model may go as far from the reference as it likes.
#
# Now the same loss by TRL's own code, on the same batch, with an adapter that has been shaken so that there is something to compare:

# %%
torch.manual_seed(0)
for weight in trainable(vlm).values():
    torch.nn.init.normal_(weight, std=0.02)
trainer = dpo.trl_trainer(model, collate, pairs, OURS.plan, OURS.beta)
model.delete_adapter("ref")  # TRL compares with a copy of the adapter as it is; without the copy, with the adapter off
with torch.no_grad(), vlm.looking_through(VIEW), without_deprecations():
    hand, trl = loss_by_hand(model, batch, OURS.beta), trainer.compute_loss(model, batch)
    lib = dpo.dpo_loss(*dpo.gains(model, batch), OURS.beta).mean()
print(f"by hand {hand:.6f}, TRL {trl:.6f}, lib {lib:.6f}: at most {max(abs(hand - trl), abs(hand - lib)):.0e} apart")
assert abs(hand - trl) <= 1e-6 and abs(hand - lib) <= 1e-6

# %% [markdown]
# ## 5. Training, by hand and by TRL
#
# The loop in plain torch is the one of lesson 08 with another loss:


# %%
def train_by_hand(vlm, model, collate, pairs, plan, beta):
    optimizer = torch.optim.AdamW(trainable(vlm).values(), plan.learning_rate, weight_decay=0)
    schedule = get_cosine_schedule_with_warmup(optimizer, plan.warmup, plan.steps)
    for step in range(plan.steps):
        batch = collate.pairs(pairs[step * plan.batch : (step + 1) * plan.batch])
        with vlm.looking_through(collate.reducer):
            loss = loss_by_hand(model, batch, beta)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable(vlm).values(), 1.0)
        optimizer.step()
        schedule.step()


short, ends = replace(OURS.plan, steps=3, warmup=1, batch=4), []
for way in (None, train_by_hand, lambda vlm, *arguments: dpo.train_dpo(*arguments)):
    vlm, collate, model = fresh()
    if way:
        way(vlm, model, collate, pairs, short, OURS.beta)
    ends.append(torch.cat([weight.detach().flatten() for weight in trainable(vlm).values()]))
start, *ends = ends
moved = ends[0] - start
print(
    f"after {short.steps} steps: weights moved by up to {moved.abs().max():.1e}, the two runs are {(ends[0] - ends[1]).abs().max():.0e} apart"
)
assert (ends[0] - ends[1]).abs().max() < 0.01 * moved.abs().max()

# %% [markdown]
# TRL's `DPOTrainer` knows images but no videos: it has no `videos` column, and its own collators would not expand `<video>`. With our collator it needs neither. Two
# of its defaults would hurt: `max_length=1024` cuts sequences, visual tokens included, and `bf16=True` is no good on a CPU or a T4. See `trl_settings` in `lib/finetune/dpo.py`.
#
# The real run:

# %%
vlm, collate, model = fresh()
print(f"beta {OURS.beta}, {OURS.plan}")
log = dpo.train_dpo(model, collate, pairs, OURS.plan, OURS.beta)
first, last = log[:5], log[-5:]
for name, steps in (("first", first), ("last", last)):
    loss, chosen, rejected, preferred = np.mean([step[1:] for step in steps], axis=0)
    print(
        f"{name} 5 steps: loss {loss:.3f}, gain of chosen {chosen:+.1f}, of rejected {rejected:+.1f}, chosen ahead in {preferred:.0%}"
    )
plots.gains_over_steps({"this run": [(step.chosen, step.rejected) for step in log]})

# %% [markdown]
# LLaVA-Hound's learning rate, 5e-7, is for all weights of a 7-billion-parameter model; ours is for LoRA matrices of a model five thousand times smaller. Beta is the same.
#
# ## 6. Does it invent less?
#
# **Predict before you run.** Which share of its inventions is left? What happens to the share of right answers, and to the length?

# %%
my_left, my_answers, my_length = 1.0, 0.0, 1.0  # change me

after = said_and_answered(vlm, features, unseen, "after")
gap = paired(EXACT, of_task(EXACT, after), of_task(EXACT, before))
print(f"CHAIR_i left:      predicted {my_left:.2f}, measured {share_left(CHAIR_I, after, before)}")
print(f"CHAIR_s left:      {share_left(CHAIR_S, after, before)}")
print(f"right answers:     predicted {my_answers:+.3f}, measured {gap}")
print(f"length:            predicted {my_length:.2f}, measured {share_left(LENGTH, after, before)}")
now = of_task(CHAIR_I, after)
print("it says:", now[worst].output)
print("truth:  ", unseen[worst].captions["en"])

# %% [markdown]
# The intervals redraw the clips (2,000 bootstrap samples), and both captions of a clip stay together. Forty clips are few. `make dpo` trains by the same recipe and measures on 200 clips that no training
# drew (the settings were chosen on the first 40 of them):

# %%
with open(DPO_RUNS, encoding="utf-8") as file:
    measured = json.load(file)
assert measured["base"] == digest(), "measured on other weights: run make dpo"
names = list(measured["systems"])
table = {
    name: {
        metric: tuple(measured["systems"][name]["scores"][metric])
        for metric in ("CHAIR_i", "CHAIR_s", "facts right", "exactly right")
    }
    for name in ("tiny", "before", "ours")
}
for metric in ("CHAIR_i", "CHAIR_s", "characters"):
    left, low, high, clips = measured["systems"]["ours"]["share of before"][metric]
    print(f"{metric:<14} {left:.3f} [{low:.3f}, {high:.3f}] of what it was, on {clips} clips")
for metric in ("facts right", "exactly right"):
    change, low, high, clips = measured["systems"]["ours"]["minus before"][metric]
    print(f"{metric:<14} {change:+.3f} [{low:+.3f}, {high:+.3f}]")
plots.score_intervals(table, ylabel="share")

# %% [markdown]
# CHAIR_s is a hard judge: one wrong speed, and the whole caption counts as before.
#
# **Perception or abstention?** A captioner can invent less in two ways: by telling the truth instead, or by telling less. CHAIR cannot tell them apart: an empty
# caption invents nothing. Facts right can:

# %%
for name, records in (("before", said), ("after", now)):
    counts = [compare(record.output, video.clip) for record, video in zip(records, unseen, strict=True)]
    right, missed, wrong = np.mean(counts, axis=0)
    print(
        f"{name:<7} of a caption's facts: {right:.2f} right, {wrong:.2f} invented, {missed:.2f} of the clip's left out"
    )
kinds_of = [wrong_by_kind(of_task(CHAIR_I, records)) for records in (tiny, before, after)]
print(
    "invented, tiny / with the habit / after DPO:",
    ", ".join(f"{kind} {' / '.join(str(of[kind][0]) for of in kinds_of)}" for kind in kinds),
)

# %% [markdown]
# Compare the three numbers of each kind. The closer the last comes to the first, the more of the habit is gone. That is neither new sight nor silence: the model says again what it saw all
# along. Motion and speed are in none of the pairs: what `tiny` told wrongly there before it had the habit, nothing here mends.

# %% [markdown]
# ## 7. How it goes wrong
#
# The loss sees only the **difference** of two gains. It is as content when the rejected answer falls by 20 as when the chosen one rises by 20, and when both fall, the rejected one
# faster.

# %% [markdown]
# ### Exercise 09.both_fall: both fall
#
# difficulty ●●○○○ · importance ●●●●○ · 4 minutes
#
# Training has made both answers of a pair less likely: log p of the chosen one is 20 lower than at the start, that of the rejected one 50
# lower. beta is 0.1. What is the loss of this pair now?

# %%
ex = exercises.get("09.both_fall")
my_pair_loss = ...  # your number
ex.check(my_pair_loss)

# %% [markdown]
# Where the two share most of their words, that is what tends to happen (Pal et al., arXiv 2402.13228); users keep reporting it as a bug (huggingface/trl#800,
# eric-mitchell/direct-preference-optimization#36). What is likely then, if neither of the two is? Something that nobody asked for.
#
# `make dpo` trained on the same pairs in more ways: with a beta ten times smaller; with five times the learning rate; four times as long; with LLaVA-Hound's learning rate; and on
# the chosen captions alone, without any preference.
#
# **Predict before you run.** In which of the runs does the chosen caption become *less* likely than it was?

# %%
my_runs = {"beta 0.01"}  # change me

logs = {
    name: [(step["chosen"], step["rejected"]) for step in log]
    for name, log in measured["logs"].items()
    if "chosen" in log[0]
}
fell = {name for name, gains in logs.items() if np.mean([chosen for chosen, _ in gains[-10:]]) < -0.5}
print("predicted", sorted(my_runs), "measured", sorted(fell) or "none")
plots.gains_over_steps(logs)

# %%
print(f"{'':<24}{'CHAIR_i':>9}{'facts right':>13}{'answers right':>15}{'characters':>12}{'unread':>8}")
for name in names:
    of = {metric: score[0] for metric, score in measured["systems"][name]["scores"].items()}
    print(
        f"{name:<24}{of['CHAIR_i']:>9.3f}{of['facts right']:>13.3f}{of['exactly right']:>15.3f}{of['characters']:>12.0f}{of['unread']:>8.3f}"
    )

# %% [markdown]
# ("Unread" is the share of captions with a sentence that is no longer a sentence.) Four things to read in this table:
#
# - *A larger margin is no better caption.* It grew most in the longer and in the faster run (figure above); compare their facts, and how many of their captions can still be read.
# - *Beta is a leash for those who run far.* While margins stay well below 1 / beta, the pull is nearly constant whatever beta is, and AdamW divides a constant away: look how alike the first
#   two rows after "before" are. How far the others ran with beta 0.1, the figure shows: a chosen caption can become less likely on the way, and come back in part or in full.
# - *A learning rate belongs to a model.* LLaVA-Hound's, on our few LoRA matrices for a few steps, changes next to nothing.
# - *The last row is the baseline.* It had the same chosen captions, no rejected ones, and a plain loss. Where it does as well as "ours" or better, the preference has earned
#   nothing: who has the true captions can simply train on them. DPO is for where nobody can write the right answer, but somebody can say which of two is better, as in
#   LLaVA-Hound.

# %% [markdown]
# ### Exercise 09.run: judge a run
#
# difficulty ●●●○○ · importance ●●●●● · 4 minutes
#
# A run with ten times the learning rate. Its log, at beta 0.1: loss from 0.69 to 0.03, the chosen answer ahead in 100 % of the pairs, gain
# of the chosen -25, of the rejected -60. What do you do, and why?
#
# - **a** keep it: no other run has a loss as low
# - **b** read its captions and count their facts; take an earlier checkpoint or a lower rate
# - **c** train on until the gain of the chosen is positive
#
# because
#
# - **1** the loss holds the difference alone, which also grows while both fall
# - **2** a low loss means that the chosen captions have become more likely than they were
# - **3** the reference has moved away from the model in training

# %%
ex = exercises.get("09.run")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# ## What to remember
#
# - A preference needs two answers about the same video and a reason to prefer one. If the two differ in length as well, length is learned too.
# - DPO is a logistic loss on a difference of log-ratios. With LoRA, the reference is the model with its adapter off.
# - The loss at the start is log 2. TRL's loss and ten lines of torch are equal to the sixth digit.
# - Watch the gain of the *chosen* answers, not the loss or the margin: the margin also grows when both become unlikely.
# - "Invents less" is half a result. Beside it belong: facts right, length, unreadable sentences, and answers to questions, each with an interval, on clips that were not trained on.
# - Train on the chosen answers alone as a baseline. What that achieves, the preference has not earned.
