# %% [markdown]
# # 00 Start here: a small video LLM looks at a video
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/00_start_here.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | ask a video LLM about a clip, write the whole model in 25 lines, and say what more frames and what more tokens buy |
# | **Minutes** | 30 to read and think; 1 to run on two CPU cores or on a T4 |
# | **Memory** | 1 GB |
# | **Downloads** | none |
# | **Needs** | Python 3.11 to 3.13; no GPU, no account |

# %% [markdown]
# ## 한국어 요약
#
# 이 과정에서는 비디오 LLM이 프레임을 토큰으로 바꾸는 과정을 직접 만들고 측정합니다. 첫 수업에서는 저장소에 들어 있는 작은 모델 `tiny`에 짧은 영상을
# 보여 주고 질문합니다. `tiny`는 LLaVA-NeXT-Video와 구조가 같고 파라미터는 약 150만 개뿐이라서 GPU 없이도 바로 답합니다. 영상은 정답을 모두 아는 합성
# 데이터(Toybox)입니다. 먼저 비디오 LLM 전체를 25줄 안팎의 코드로 쓰고, `transformers`와 같은 답이 나오는지 확인합니다.
#
# 그다음 이 과정의 핵심인 **세부와 시간의 맞바꿈**을 측정합니다. 같은 64토큰이라도 선명한 프레임 한 장에 쓰면 화면의 세 자리 숫자(코드)는 대부분 읽지만,
# 한 프레임 동안만 나오는 번쩍임은 대부분 놓칩니다. 해상도를 낮춘 프레임 16장에 나누어 쓰면 번쩍임은 모두 보지만 코드는 거의 읽지 못합니다. 마지막으로
# 영상에 없는 물체의 색을 물으면 `tiny`는 언제나 색을 지어냅니다. 그래도 답의 확률을 보면 지어낸 답을 어느 정도 가려낼 수 있습니다(AUC 약 0.83). 모든
# 수업은 먼저 예측하고 그다음 측정하는 순서로 진행합니다. 연습 문제를 한국어로 보려면 `exercises.language("ko")`를 한 번 실행하세요.

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
import torch

from lib import evaluate, plots, toybox, video, vlm
from lib.reducers import SpatialPool

plots.style()

# what you may ignore
import io
import json

import numpy as np
import PIL.Image
from IPython.display import Image

from lib import exercises
from lib.exercises import calibration, predict

# %% [markdown]
# ## 1. What does a model get when it "watches" a video?
#
# This clip comes from **Toybox**, a small world that the course draws itself. A clip shows things that move, a *code*
# of three digits, and sometimes a *flash*: a colour that fills the screen for a single frame. We know the truth about
# all of it, so we can count right answers.

# %%
CLIP = Path("../data/clips/hello.mp4")
info = video.probe(CLIP)
frames = video.read_frames(CLIP, range(info.frames))  # exactly the frames that we name, with their times
print(f"{info.frames} frames of {info.width} x {info.height} pixels ({info.codec}), {info.fps:g} a second")

file, pictures = io.BytesIO(), [PIL.Image.fromarray(pixels) for pixels in frames.pixels]
pictures[0].save(file, "PNG", save_all=True, append_images=pictures[1:], duration=1000 / info.fps, loop=0)
Image(file.getvalue(), width=384)  # an animated PNG: it plays on GitHub too

# %% [markdown]
# A model does not watch. It gets a list of frames:

# %%
titles = [f"{i}:  {second:.2f} s" for i, second in zip(frames.indices, frames.seconds, strict=True)]
plots.frame_strip(frames.pixels, titles)

# %% [markdown]
# Look closely. Where is each thing at the start, and where at the end? Can you read the digits? Which frame differs
# from its neighbours? A model that reads 8 of these 16 frames may never see that frame. A model that reads all 16 sees
# it. But if it spends few tokens on each frame, it may no longer read the digits. (A **token** is one vector that the
# language model reads: a piece of a word or a piece of a frame.) **That trade, detail against time, is what this course
# is about.** Section 6 measures it.
#
# ## 2. Can a small model answer?
#
# **Claim.** `tiny` is built like LLaVA-NeXT-Video-7B, from three parts. A **vision tower** (CLIP) turns each small
# square of a frame, a *patch*, into a vector. A **projector** of two layers translates these vectors for the language
# model. The language model, a Llama, reads them together with the question. Both models are objects of the same class
# of `transformers`; only the sizes in tiny's configuration are smaller. This repository trained `tiny` (`make tiny`),
# on Toybox and on nothing else. It sees each frame at 64 x 64 pixels.
#
# **Predict before you run.** This clip allows eleven kinds of question. The cell asks one of each kind. How many
# answers will be right?

# %%
my_guess = None  # write your guess first

model = vlm.load("tiny")
truth = json.loads(CLIP.with_suffix(".json").read_text())
asked = list({question["kind"]: question for question in truth["questions"]}.values())  # the last of a kind
answers = [model.answer(frames.pixels, question["question"]) for question in asked]
for question, answer in zip(asked, answers, strict=True):
    verdict = "✓" if answer == question["answer"] else f"✗  it is {question['answer']}"
    print(f"{question['question']:<44}{answer:<10}{verdict}")
right = sum(answer == question["answer"] for question, answer in zip(asked, answers, strict=True))
print(f"\n{type(model.model).__name__}, {model.model.num_parameters():,} parameters")
predict(f"right answers of {len(asked)}", my_guess, right)

# %% [markdown]
# All 11 answers are right, from a model of 1.5 million parameters. The 7B has almost 5,000 times as many.
#
# ## 3. What happens between the file and the answer?
#
# Each lesson of this course looks at a part of this picture:

# %%
plots.pipeline(
    video=[
        ("16 frames", ""),
        ("vision tower", "8 x 8 patches"),
        ("pooling", "4 x 4 are left"),
        ("projector", ""),
    ],
    text=[("question", "words"), ("tokenizer", "token ids"), ("embedding", "")],
    joined=[("sequence", "one vector a token"), ("language model", ""), ("answer", "token by token")],
    title="Frames and words become vectors of one kind, and the language model reads them as one sequence",
)

# %% [markdown]
# Here is the whole model in code. `net` holds the weights; these lines do everything else. The numbers in the comments
# name the lessons that explain each step. *Pooling* with a `stride` of 2 replaces 2 x 2 neighbouring patches by their
# mean.


# %%
@torch.no_grad()
def answer_by_hand(pixels, question, stride=2, longest=32):
    """The whole video LLM: frames (T, H, W, 3) and a question in, words out."""
    net, tokenizer = model.model.model, model.tokenizer
    values = model.preprocess(pixels)  # 01: which frames? (T, 3, 64, 64) numbers around 0
    seen = net.vision_tower(values, output_hidden_states=True).hidden_states[-2]  # 04: a vector a patch
    patches = seen[:, 1:].unflatten(1, (8, 8))  # without CLS, laid out as the frame is: (T, 8, 8, 96)
    windows = patches.unflatten(1, (-1, stride)).unflatten(3, (-1, stride))
    pooled = windows.mean(dim=(2, 4))  # 04: the mean of stride x stride patches; 05 and 06 differ here
    visual = net.multi_modal_projector(pooled).flatten(0, 2)  # 04: from 96 numbers to the Llama's 128

    ids = tokenizer(model.prompt(question), return_tensors="pt").input_ids[0]
    at = (ids == model.model.config.video_token_id).nonzero().item()  # where <video> stands
    embed = net.get_input_embeddings()
    sequence = torch.cat([embed(ids[:at]), visual, embed(ids[at + 1 :])])  # 02: what all that costs

    written = []
    while len(written) < longest:  # one token after the other, always the most likely one
        token = model.model(inputs_embeds=sequence[None]).logits[0, -1].argmax()
        if token == tokenizer.eos_token_id:
            break
        written.append(token)
        sequence = torch.cat([sequence, embed(token)[None]])
    return tokenizer.decode(written).strip()


by_hand = [answer_by_hand(frames.pixels, question["question"]) for question in asked]
same = sum(mine == theirs for mine, theirs in zip(by_hand, answers, strict=True))
print(f"the same answer as transformers' generate: {same} of {len(asked)}")
print(f"the prompt: {model.prompt('What is the code?')!r}")

# %% [markdown]
# Our lines give the same 11 answers as `transformers`. Its `generate` is faster, because it also keeps what it computed
# for earlier tokens (the KV cache, lesson 02). Note the line break after `<video>` in the prompt: the model was trained
# with it.
#
# ## 4. How many tokens did it read?
#
# **Claim.** LLaVA-NeXT-Video cuts a frame of 336 x 336 pixels into 24 x 24 patches. Then it replaces every 2 x 2
# patches by their mean: 12 x 12 = 144 tokens for a frame
# ([blog of 30 April 2024](https://llava-vl.github.io/blog/2024-04-30-llava-next-video/), "How to represent videos?").
# `tiny` does the same to 64 x 64 pixels, in patches of 8 x 8. Write a function that counts the tokens.
#
# (**Exercises.** Write your answer in place of the `...` and run the cell. `ex.check` says in one sentence whether it
# is right, and names the typical mistakes. Stuck? Run `ex.hint(1)`, then `ex.hint(2)`, and at last `ex.solution()`. You
# can always go on; until your function is right, `ex.or_lib` uses the course's own. 한국어로 보려면
# `exercises.language("ko")`를 한 번 실행하세요.)

# %% [markdown]
# ### Exercise 00.visual_tokens: count the visual tokens
#
# difficulty ●○○○○ · importance ●●●●● · 5 minutes
#
# `frames` square frames of `pixels` x `pixels` are cut into patches of `patch` x `patch` pixels, and `stride` x `stride` patches become
# one token. How many visual tokens is that? Pixels that fill no whole patch are left out, and so are
# patches that fill no whole window.

# %%
ex = exercises.get("00.visual_tokens")


def my_visual_tokens(frames, pixels, patch, stride):
    # your code: one line will do
    ...


ex.check(my_visual_tokens)
count = ex.or_lib(my_visual_tokens)

# %% [markdown]
# Is the count right? We compare it with the visual tokens that the model makes of the clip. The last line is the length
# of the whole sequence, with the words.

# %%
features = model.encode(frames.pixels)  # what the vision tower makes of the frames
visual = model.default_reducer(features, model.project)  # pooled and projected
sequence = model.sequence(frames.pixels, model.prompt("What is the code?"))
for name, array in (("frames", frames.pixels), ("features", features), ("visual tokens", visual.embeds)):
    print(f"{name:<16}{' x '.join(map(str, array.shape))}")
print(f"visual tokens counted: {count(info.frames, 64, 8, 2)}, measured: {len(visual)}")
print(f"length of the sequence: {len(sequence)}")

# %% [markdown]
# The clip costs 256 visual tokens, and the sequence has 268: the other 12 are the question and the words around it.

# %% [markdown]
# ### Exercise 00.sequence: the length of the sequence
#
# difficulty ●○○○○ · importance ●●●●○ · 3 minutes
#
# A prompt has 12 token ids; one of them is `<video>`. The video is 8 frames of 144 visual tokens. How many vectors does the language
# model read?

# %%
ex = exercises.get("00.sequence")
my_length = ...  # your number
ex.check(my_length)

# %% [markdown]
# ## 5. Is `tiny` really that good?
#
# What do eleven right answers about one clip prove? Decide before you read on.

# %% [markdown]
# ### Exercise 00.interval: nine of ten
#
# difficulty ●○○○○ · importance ●●●●○ · 3 minutes
#
# A model answers 9 of 10 questions about one clip correctly. A colleague writes "90 % accuracy". What do you do, and why?
#
# - **a** accept it: these were ten different questions on it
# - **b** ask the same ten questions ten times, give the mean
# - **c** ask about many clips, give share and interval
#
# because
#
# - **1** ten answers about one clip are few, and they depend on each other
# - **2** the answers are drawn at random, and repeating averages that out
# - **3** 9 of 10 is above chance, and more is not needed

# %%
ex = exercises.get("00.interval")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# We draw 96 clips that the model has never seen and ask every question about each. `exact_match` counts an answer
# as right if the model would write exactly the truth, taking the most likely token each time. The bars are 95 % intervals
# (Wilson's, for a share of right answers). Where two of them lie far apart, other clips would very probably show the
# same order.

# %%
unseen = [toybox.sample(seed) for seed in range(96)]  # it was trained on seeds of a million and more
scores = {kind: evaluate.score(hits) for kind, hits in evaluate.exact_match(model, unseen).items()}
hardest = min(scores, key=lambda kind: scores[kind].mean)
print(f"hardest: {hardest}, {scores[hardest]}")
drawn = plots.score_intervals({f"tiny, {len(unseen)} unseen clips": scores})
plots.titled(drawn, "Of twelve kinds of question, the code is the hardest")

# %% [markdown]
# Eleven of the twelve kinds are answered well: about nine times in ten or more. (*Order* is new: it asks which of two
# flashes came first or last. Our clip has only one.) **The code is not: 0.50 of 96.** One clip could not show that. Why
# is it the code?
#
# ## 6. Detail against time
#
# The code's digits are small: 5 x 7 pixels, less than a patch of 8 x 8. Pooling mixes four patches into one token. Does
# that lose half of the codes? If so, more tokens a frame will bring them back. We read 1, 2, 4, 8 or all 16 frames.
# Each becomes 1, 4, 16 or 64 tokens (with a stride of 8, 4, 2 or 1).
#
# **Predict before you run.** With 16 frames of 16 tokens, `tiny` reads 50 % of the codes. What percentage with 64
# tokens a frame?

# %%
my_percentage = None  # write your guess first

FRAMES, STRIDES = (1, 2, 4, 8, 16), (8, 4, 2, 1)
by_patch = [model.encode(toybox.render(clip)) for clip in unseen]  # once: (16, 8, 8, 96) for each clip


@torch.inference_mode()
def right_answers(frames, stride, kinds=("code", "flash"), batch=8):
    """kind -> was each question answered exactly? From evenly spread frames of (8 / stride)² tokens each."""
    pick, right = video.sample_uniform(16, frames), {kind: [] for kind in kinds}
    for start in range(0, len(unseen), batch):
        some = slice(start, start + batch)
        asked = [[qa for qa in toybox.questions(clip) if qa.kind in kinds] for clip in unseen[some]]
        reduced = [SpatialPool(stride)(seen[pick], model.project) for seen in by_patch[some]]
        marks = evaluate.grade(model, [tokens.embeds for tokens in reduced], asked)
        for questions, hits in zip(asked, marks, strict=True):
            for qa, hit in zip(questions, hits, strict=True):
                right[qa.kind].append(hit)
    return right


grid = {(frames, stride): right_answers(frames, stride) for frames in FRAMES for stride in STRIDES}
shares = {at: {kind: evaluate.score(hits) for kind, hits in right.items()} for at, right in grid.items()}
predict("percentage of codes, 64 tokens a frame", my_percentage, 100 * shares[16, 1]["code"].mean)
for stride in STRIDES:
    print(f"16 frames x {(8 // stride) ** 2:>2} tokens   code {shares[16, stride]['code']}")
for number in FRAMES:
    print(f"{number:>2} frames x 16 tokens   flash {shares[number, 2]['flash']}")
print(f"clips without a flash: {sum(not clip.flashes for clip in unseen)}")

# %% [markdown]
# It was the pooling: with 64 tokens a frame `tiny` reads **1.00** of the codes, with 16 tokens 0.50, with 4 tokens
# 0.04. The flash does not need detail. It needs frames: 0.36 of the flashes are named from 1 frame, 0.50 from 4, 0.71
# from 8, **1.00** from 16. (20 of these 66 clips have no flash, and "none" is right there. That alone is 0.30.) The
# table shows all twenty settings in percent; ± is half the width of the 95 % interval:

# %%
later = [not clip.scenes[0].code for clip in unseen]  # the code is shown in the second scene only
missed = [not hit for hit in grid[1, 1]["code"]]
both = sum(a and b for a, b in zip(later, missed, strict=True))
print(f"1 frame x 64 tokens: {sum(missed)} codes missed, {both} of them shown in the second scene only")

kinds, columns = ("code", "flash"), [(kind, stride) for kind in ("code", "flash") for stride in STRIDES]
table = np.array([[shares[frames, stride][kind][:3] for kind, stride in columns] for frames in FRAMES])
names = [f"{kind}\n{(8 // stride) ** 2} a frame" for kind, stride in columns]
rows = [f"{frames} frame{'s' * (frames > 1)}" for frames in FRAMES]
drawn = plots.share_table(rows, [""] * len(rows), names, table)
plots.titled(drawn, "Codes need tokens a frame, flashes need frames")

# %% [markdown]
# The codes depend on the column, the tokens a frame. One frame of 64 tokens misses 12 of the 96 codes. 10 of these 12
# appear only in a second scene, which that frame does not show. The flashes depend on the row alone: the number of
# frames. So what do 64 tokens buy? That depends on how you spend them:

# %% tags=["readme"]
ways = {}
for number, stride in ((1, 1), (4, 2), (16, 4)):
    name = f"{number} frame{'s' * (number > 1)} x {(8 // stride) ** 2} tokens"
    ways[name] = (video.sample_uniform(16, number), 8 // stride, shares[number, stride])
for name, (*_, scores) in ways.items():
    code, flash = (100 * score.mean for score in scores.values())
    print(f"{name}: {code:.0f} % of the codes, {flash:.0f} % of the flashes")
title = "64 tokens read the code or see the flash, not both"
plots.detail_against_time(frames.pixels, ways, title)

# %% [markdown]
# One sharp frame reads 88 % of the codes and names 36 % of the flashes. Sixteen coarse frames see every flash and read
# 4 % of the codes. Four frames of 16 tokens do both badly (55 % and 50 %). No split is best; it depends on the
# question. Each method of this course spends its tokens in another way. SlowFast takes a few sharp frames *and* all
# frames coarsely (lesson 05). LLaMA-VID lets the question choose (lesson 06). Lesson 07 compares them at equal numbers
# of tokens.

# %% [markdown]
# ### Exercise 00.cheapest: the cheapest motion
#
# difficulty ●●○○○ · importance ●●●●○ · 8 minutes
#
# An experiment. `right_answers(frames, stride, ("motion",))` asks which way things move. Try 1, 2, 4, 8 and 16 frames with the strides 1,
# 2, 4 and 8. Which setting with at least 90 % right answers needs the fewest visual tokens, and how many are these?

# %%
ex = exercises.get("00.cheapest")
my_tokens = ...  # your number
ex.check(my_tokens)

# %% [markdown]
# ## 7. Does the model know that it does not know?
#
# We ask for the colour of a shape that the clip does not show.
#
# **Predict before you run.** In what percentage of 60 clips does `tiny` name a colour anyway?

# %%
my_invented = None  # write your guess first


def probability(seen, question):
    """How likely the model finds the first token of its own answer."""
    return model.logits(seen, model.prompt(question))[-1].softmax(dim=-1).max().item()


invented, absent, present = [], [], []
for clip, seen in zip(unseen[:60], by_patch[:60], strict=True):
    shapes = [thing.shape for thing in clip.things]
    missing = next(shape for shape in toybox.SHAPES if shape not in shapes)
    invented.append(model.answer(seen, f"What colour is the {missing}?") in toybox.COLOURS)
    absent.append(probability(seen, f"What colour is the {missing}?"))
    present.append(probability(seen, f"What colour is the {shapes[0]}?"))
predict("percentage of absent things with a colour", my_invented, 100 * np.mean(invented))
print("names a colour for a thing that is not there:", evaluate.score(invented))

# %% [markdown]
# Always: 60 of 60. In training, every question about a colour was about a thing in the clip, so "none" was never an
# answer. But is it as *sure* of an invented colour as of a true one? We compare the probabilities. Draw one present and
# one absent thing at random: **AUC** is the chance that the present one has the higher probability. 0.5 is pure chance;
# 1 separates the two perfectly.

# %%
absent, present = np.array(absent), np.array(present)


def auc(high, low):
    """The share of all pairs in which `high` is higher; a tie counts half."""
    above = high[:, None] - low[None]
    return ((above > 0) + 0.5 * (above == 0)).mean()


rng = np.random.default_rng(0)
draws = [rng.integers(60, size=60) for _ in range(2000)]  # the bootstrap: clips drawn with replacement
low, high = np.quantile([auc(present[draw], absent[draw]) for draw in draws], (0.025, 0.975))
print(f"AUC {auc(present, absent):.2f} [{low:.2f}, {high:.2f}]")
below = np.mean(absent < 0.9), np.mean(present < 0.9)
print(f"answers below 0.9: {below[0]:.2f} of the absent, {below[1]:.2f} of the present things")
figure, axes = plots.canvas(7.5, 2.6)
for name, values, colour in (("in the clip", present, "right"), ("not in the clip", absent, "wrong")):
    axes[0, 0].plot(np.sort(values), np.arange(1, 61) / 60, color=plots.COLORS[colour], label=name)
axes[0, 0].set(xlabel="probability of the answer's first token", ylabel="share of clips up to here")
axes[0, 0].set_title("Invented colours have lower probabilities, but many are above 0.9")
axes[0, 0].legend()
display(figure)

# %% [markdown]
# The probability helps to find inventions: AUC 0.83, interval 0.74 to 0.90. If the model refused to answer below 0.9,
# it would stop 60 % of the inventions. It would also lose 13 % of the answers about things that are there. The other 40
# % of the inventions are at 0.9 or above, like most answers about things that are there. Lesson 09 trains against
# inventions, and lesson 10 measures them.
#
# ## 8. What if the input is wrong?
#
# A wrong input should fail at once, with one sentence that says what is wrong and what to do:

# %%
mistakes = {
    "a frame too many": lambda: video.read_frames(CLIP, [0, info.frames]),
    "one frame where a clip belongs": lambda: model.answer(frames.pixels[0], "What is the code?"),
    "no place for the video": lambda: model.sequence(frames.pixels, "USER: What is the code? ASSISTANT:"),
    "more than fits": lambda: model.answer(np.repeat(frames.pixels, 10, axis=0), "What is the code?"),
}
for name, make_mistake in mistakes.items():
    try:
        make_mistake()
    except ValueError as error:
        print(f"{name}:\n    {error}")

# %% [markdown]
# ## 9. Where do you go from here?
#
# - `make ask VIDEO=clip.mp4 Q="What happens?"` asks `tiny` in a terminal.
# - `python -m lib ask clip.mp4 "What happens?" --model NAME` asks a real model. Lesson 11 shows how.
# - `make doctor` says which real models and which jobs run on your machine, and why.
# - `make progress` shows which exercises you have solved. It is kept only in `progress.json` in the course's folder.
#   (On Colab, download that file before the session ends.)
#
# How good were your guesses? Every lesson ends with this figure.

# %%
calibration()

# %% [markdown]
# ## Something to win: 64 tokens, codes and flashes
#
# One frame reads codes and misses flashes; sixteen small ones see flashes and read no code. Write `entry(features, project)`: features (16,
# 8, 8, 96) to at most 64 tokens (64, 128) that do both. The lesson's own way scores 0.44; 0.8 wins. `exercises.challenge("00").play(entry)`
# scores yours.

# %% [markdown]
# ## What to remember
#
# - A video LLM gets a **list of frames**. It never sees what happens between them.
# - Frames become patches, patches become features, features become **visual tokens**. These take the place of `<video>`
#   in the prompt.
# - A video costs frames x tokens per frame. LLaVA-NeXT-Video pays 144 for a frame, `tiny` 16.
# - **Detail against time**: codes need tokens per frame (0.50 with 16, 1.00 with 64), flashes need frames (0.50 with 4,
#   1.00 with 16).
# - Asked for the colour of a missing thing, `tiny` always names one. A low probability reveals many of these answers
#   (AUC 0.83).
#
# **What comes next:** 01 which frames to take, and why three official rules disagree · 02 what a token costs · 03 one
# image, many tiles · 04 LLaVA-NeXT-Video from its parts · 05 SlowFast · 06 LLaMA-VID · 07 all of them at the same
# budget · 08 captions in Korean (QLoRA) · 09 DPO against invention · 10 evaluation · 11 real weights · 12 more than one
# GPU · 13 what came after.
