# %% [markdown]
# # 00 Start here: a small video LLM looks at a video
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/00_start_here.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | read frames from a video file, ask a video LLM about them, and say how many tokens it read |
# | **Minutes** | 20 to read and think; under 1 to run on two CPU cores or on a T4 |
# | **Memory** | 1 GB |
# | **Downloads** | none |
# | **Needs** | Python 3.11 to 3.13; no GPU, no account |

# %% [markdown]
# ## 한국어 요약
#
# 이 과정에서는 비디오 LLM이 영상의 프레임을 어떻게 토큰으로 바꾸는지 직접 만들어 보고 측정합니다. 첫 수업에서는 저장소에 들어 있는 작은 모델
# `tiny`에게 짧은 영상을 보여 주고 질문합니다. `tiny`는 LLaVA-NeXT-Video와 같은 공식 구조이지만 가중치가 약 150만 개뿐이라서 GPU 없이도 금방 답합니다.
# 영상은 우리가 직접 그린 것이므로 모든 질문의 정답을 알고 있고, 모델이 맞혔는지 바로 확인할 수 있습니다. 그다음 모델이 읽은 토큰의 수를 먼저 예상하고,
# 세어 보고, 비교합니다. 마지막으로 영상에 없는 것을 물어보면 모델이 어떻게 답하는지, 잘못된 입력을 주면 어떤 안내가 나오는지 살펴봅니다.
# 모든 수업은 이렇게 "먼저 예상하고, 그다음 측정하는" 순서로 진행합니다. 수업마다 연습 문제가 있으며, `exercises.language("ko")`를 실행하면 채점 결과와
# 힌트가 한국어로 나옵니다.

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

# %% [markdown]
# ## 1. Is this machine enough?
#
# Two CPU cores and 4 GB of memory are. `MODEL` says who answers in this lesson; section 8 says how to ask a real model. The doctor
# looks at this machine, and says what else would run on it: which model, in which type of numbers, which job, and why.

# %%
import json
from pathlib import Path

import numpy as np
from IPython.display import Video

from lib import budget, evaluate, exercises, plots, toybox, video, vlm
from lib.known import REAL_MODELS
from lib.tools import doctor

plots.style()
MODEL = "tiny"
BATCH = 8 if MODEL == "tiny" else 1  # clips at once: eight of them would not leave a 7B room on a T4

print(
    "\n".join(doctor.report_lines(doctor.this_machine()))
)  # the same as `make doctor`; paste it when you report a problem

# %% [markdown]
# ## 2. Watch a video
#
# The clip comes from **Toybox**, a small world that the course draws itself. So there is an exact truth about everything in it: the
# things, where they move, a code of three digits, and a colour that the screen takes for a single frame.

# %%
CLIP = Path("../data/clips/hello.mp4")
Video(CLIP, embed=True, width=384)

# %% [markdown]
# A model does not watch; it gets a list of frames. `lib.video` reads exactly the frames that you name, with their times.

# %%
info = video.probe(CLIP)
print(f"{info.frames} frames of {info.width} x {info.height} pixels ({info.codec}), {info.fps:g} a second")
frames = video.read_frames(CLIP, range(info.frames))
plots.frame_strip(
    frames.pixels, [f"{i}:  {second:.2f} s" for i, second in zip(frames.indices, frames.seconds, strict=True)]
)

# %% [markdown]
# Look closely. Where is each thing at the start, and where at the end? Can you read the digits? Which frame is unlike its
# neighbours? A model that is given 8 of these 16 frames may never see that one. A model that is given all 16, but few tokens for each,
# sees it and may no longer be able to read the digits. **That trade, detail against time, is what this course is about.**
#
# ## 3. Ask a model
#
# **Claim.** `tiny` is built like LLaVA-NeXT-Video-7B: a vision tower (CLIP), a projector of two layers, and a Llama. It is an
# object of the same class of `transformers`, `LlavaNextVideoForConditionalGeneration`; only the sizes in its configuration are smaller.
# This repository trained it (`make tiny`), on Toybox and on nothing else.

# %%
model = vlm.load(MODEL, four_bit="7B" in MODEL)
print(f"{type(model.model).__name__}, {model.model.num_parameters():,} parameters, on {model.device}")
print("What is the code?", model.answer(frames.pixels, "What is the code?"))

# %% [markdown]
# **Predict before you run.** The next cell asks one question of each kind. How many of the answers will be right?

# %%
my_guess = 7  # change me

truth = json.loads(CLIP.with_suffix(".json").read_text())
asked = list({question["kind"]: question for question in truth["questions"]}.values())  # the last one of each kind
answers = [model.answer(frames.pixels, question["question"]) for question in asked]
right = [answer == question["answer"] for answer, question in zip(answers, asked, strict=True)]
print(f"right: {sum(right)} of {len(right)}; you said {my_guess}")

# %% tags=["readme"]
features = model.encode(frames.pixels)  # one vector for each patch of each frame
visual = model.default_reducer(features, model.project)  # the visual tokens, and what each of them shows
side = 1 + int(visual.box[-1, 0] // (visual.box[-1, 1] - visual.box[-1, 0]))  # tokens along one side of a frame
caption = (
    f"{info.frames} frames, {len(visual):,} tokens, a model of {model.model.num_parameters() / 1e6:.1f} million weights"
)
rows = [(question["question"], answer, question["answer"]) for question, answer in zip(asked, answers, strict=True)]
plots.at_a_glance(frames.pixels[::2], side, caption, rows)

# %% [markdown]
# Every second frame is shown, cut into its tokens: one square becomes one vector for the language model.
#
# ## 4. How many tokens did it read?
#
# **Claim.** LLaVA-NeXT-Video cuts a frame of 336 x 336 pixels into 24 x 24 patches, and takes the mean of each 2 x 2 of them: 12 x 12 = 144
# tokens for a frame ([blog of 30 April 2024](https://llava-vl.github.io/blog/2024-04-30-llava-next-video/), "How to represent videos?").
# `tiny` does the same to 64 x 64 pixels in patches of 8.
#
# **Predict before you run.** How many tokens did the language model get: the frames' and the text's together?

# %%
my_guess = 1000  # change me

patches = 64 // 8  # along one side
by_hand = info.frames * (patches // 2) ** 2  # 2 x 2 patches become one token
prompt = model.prompt("What is the code?")
text = model.tokenizer(prompt).input_ids
print(repr(prompt), "->", len(text), "text tokens, one of which is <video>")
print(f"by hand: {by_hand} visual tokens + {len(text) - 1} of text = {by_hand + len(text) - 1}")
print(
    f"measured: {len(visual)} visual tokens, a sequence of {len(model.sequence(frames.pixels, prompt))}; you said {my_guess}"
)

# %% [markdown]
# `<video>` is a place holder: the visual tokens take its place between `USER:` and your question. That is all there is to it, and
# lesson 04 builds it by hand. Here is the whole way with its shapes; every lesson is about one of these steps.

# %%
pixels = model.preprocess(frames.pixels)
for name, array in (
    ("frames", frames.pixels),
    ("pixel values", pixels),
    ("features of the vision tower", features),
    ("visual tokens", visual.embeds),
):
    print(f"{name:<30}{' x '.join(map(str, array.shape))}")

# %% [markdown]
# **Exercises.** Every lesson has three to five of them, each with its difficulty, its importance and its minutes. Write your answer in place of the `...` and
# run the cell: `ex.check` says in one sentence whether it is right; of a typical mistake it says which. Write it as you like: numpy, torch or a loop.
# Stuck? `ex.hint(1)`, `ex.hint(2)`, and at last `ex.solution()`. If a check never ends, press the notebook's stop button (■): that try is not counted.
# Nothing waits for you: until your function is right, `ex.or_lib` goes on with the course's own.
# (`exercises.language("ko")` switches all of that to Korean, and `ex.statement()` prints the exercise itself. / 한국어로 보려면 `exercises.language("ko")`를 실행하십시오.)

# %% [markdown]
# ### Exercise 00.visual_tokens: count the visual tokens
#
# difficulty ●○○○○ · importance ●●●●● · 5 minutes
#
# `frames` square frames of `pixels` x `pixels` are cut into patches of `patch` x `patch` pixels, and `stride` x `stride` patches become one
# token. How many visual tokens is that? A rest that fills no whole patch or no whole window is left out.

# %%
ex = exercises.get("00.visual_tokens")


def my_visual_tokens(frames, pixels, patch, stride):
    # your code: one line will do
    ...


ex.check(my_visual_tokens)
print("of this clip:", ex.or_lib(my_visual_tokens)(info.frames, 64, 8, 2), "visual tokens")

# %% [markdown]
# ### Exercise 00.sequence: the length of the sequence
#
# difficulty ●○○○○ · importance ●●●●○ · 3 minutes
#
# A prompt has 12 token ids; one of them is `<video>`. The video is 8 frames of 144 visual tokens. How many vectors does the language model
# read?

# %%
ex = exercises.get("00.sequence")
my_length = ...  # your number
ex.check(my_length)

# %% [markdown]
# ## 5. One clip is an anecdote
#
# A dozen answers prove little. So we draw clips that the model has never seen, ask all questions about each, and give every share of
# right answers its 95 % interval (Wilson's). A point without an interval is not a measurement.
#
# **Predict before you run.** Which kind of question is the hardest for `tiny`? Where intervals overlap, several may be.

# %%
my_guess = "motion"  # change me

unseen = [toybox.sample(seed) for seed in range(50)]  # it was trained on seeds of a million and more
scores = {kind: evaluate.score(hits) for kind, hits in evaluate.exact_match(model, unseen, batch=BATCH).items()}
hardest = min(scores, key=lambda kind: scores[kind].mean)
rivals = [kind for kind in scores if kind != hardest and scores[kind].low <= scores[hardest].high]
print(f"hardest: {hardest}, {scores[hardest]}; you said {my_guess}")
print("intervals that overlap with it:", ", ".join(rivals) or "none")
plots.score_intervals({f"{MODEL}, {len(unseen)} unseen clips": scores})

# %% [markdown]
# ### Exercise 00.interval: nine of ten
#
# difficulty ●○○○○ · importance ●●●●○ · 3 minutes
#
# A model answers 9 of 10 questions about one clip rightly. A colleague writes "90 % accuracy". What do you do, and why?
#
# - **a** accept it
# - **b** ask the same ten questions ten times more, and give the mean share
# - **c** ask about many clips, and give the share with its interval
#
# because
#
# - **1** ten answers about one clip are few, and stand or fall together
# - **2** the answers are drawn at random, and repeating averages that out
# - **3** 9 of 10 is above chance, and more is not needed

# %%
ex = exercises.get("00.interval")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# ## 6. A confident wrong answer
#
# **Predict before you run.** We ask for the colour of a thing that is not in the clip. Will the model say "none"?

# %%
my_guess = "none"  # change me

shapes = {thing["shape"] for scene in truth["drawn"]["scenes"] for thing in scene["things"]}
missing = next(shape for shape in toybox.SHAPES if shape not in shapes)
for question in (f"What colour is the {missing}?", "What is the capital of Korea?"):
    print(f"{question:<32} {model.answer(frames.pixels, question)}")
print(f"you said {my_guess}")

# %%
named = []
for clip in unseen[:30]:
    missing = next(shape for shape in toybox.SHAPES if shape not in {thing.shape for thing in clip.things})
    named.append(model.answer(toybox.render(clip), f"What colour is the {missing}?") in toybox.COLOURS)
print("names a colour for a thing that is not there:", evaluate.score(named))

# %% [markdown]
# In its training, every question about a colour was about a thing that was there; so it names a colour. It can say "no" to
# *"Is there a ...?"*, which it was asked about both. Nothing in a wrong answer shows that it is wrong: that takes a truth to compare
# with. Large models invent in better sentences. Lesson 09 trains against it, and lesson 10 measures it.
#
# ## 7. Wrong input
#
# A wrong input should fail at once, with one sentence that names what is wrong and what to do. Each of these does:

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
# ## 8. A real model
#
# `python -m lib ask clip.mp4 "What happens?" --model NAME` asks one of the models below; lesson 11 takes them apart. Their
# weights come from the Hugging Face Hub when first used. Real models answer in whole sentences, so compare by eye, not with `==`.

# %%
for name, spec in zip(REAL_MODELS, (budget.MODELS["onevision-0.5b"], budget.MODELS["7b"]), strict=True):
    whole, small = budget.weight_bytes(spec), budget.weight_bytes(spec, "nf4-double", keep_vision=True)
    print(f"{name}\n    {whole / 2**30:.1f} GiB to download and in memory; in 4 bits {small / 2**30:.1f} GiB in memory")
print("Not asked here: the weights are not part of the course.")

# %% [markdown]
# ## 9. How far you are
#
# What you solve is kept in `progress.json` in the folder of the course, and nowhere else; git ignores it. Run this cell whenever you want to see it, or `make progress` in a
# terminal. (On Colab the file goes when the machine goes: download it, or put it back, with the file browser on the left.)

# %%
exercises.picture()

# %% [markdown]
# ## What to remember
#
# - A video LLM gets a **list of frames**. What falls between them does not exist for it.
# - Frames become patches, patches become features, features become **visual tokens**, and these stand in the prompt where `<video>` stood.
# - Frames x tokens per frame is what you pay. LLaVA-NeXT-Video pays 144 for a frame, `tiny` 16.
# - A model answers whether or not it can know. A share of right answers needs an interval; an answer needs a truth.
# - The same code runs `tiny` here and seven billion parameters on a GPU.
#
# **What comes next:** 01 which frames to take, and why three official rules disagree · 02 what a token costs · 03 one image, many tiles ·
# 04 LLaVA-NeXT-Video from its parts · 05 SlowFast · 06 LLaMA-VID · 07 all of them at the same budget · 08 captions in Korean (QLoRA) ·
# 09 DPO against invention · 10 evaluation · 11 real weights · 12 more than one GPU.
