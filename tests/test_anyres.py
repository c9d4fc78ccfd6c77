"""AnyRes against transformers' image processor and packing, and the two official ways to choose a grid of tiles."""

import random
from itertools import product

import numpy as np
import pytest
import torch
from conftest import byte_tokenizer, next_video_model, save
from transformers import LlavaNextProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape, unpad_image

from lib import anyres, budget, vlm
from lib.anyres import LLAVA_NEXT_PINPOINTS, anyres_grid, anyres_tokens, unpadded_box
from lib.reducers import Kind

TINY_PINPOINTS = [[64, 128], [128, 64], [128, 128], [192, 64], [64, 192]]
BLOG = [[1, 2], [2, 1], [2, 2], [1, 3], [3, 1], [1, 4], [4, 1]]  # of 384 pixels: 27 patches, an odd number
SETTINGS = {  # pinpoints, tile, patch
    "LLaVA-NeXT": ([list(pinpoint) for pinpoint in LLAVA_NEXT_PINPOINTS], 336, 14),
    "tiny": (TINY_PINPOINTS, 64, 8),
    "largest first": ([list(pinpoint) for pinpoint in reversed(LLAVA_NEXT_PINPOINTS)], 336, 14),
    "odd": ([[384 * side for side in shape] for shape in BLOG], 384, 14),
}
EDGES = (1, 2, 7, 63, 64, 65, 127, 128, 129, 335, 336, 337, 383, 384, 671, 672, 673, 1007, 1008, 1009, 2000)


def sizes(count, largest=2500, seed=0):
    """Heights and widths: all pairs of edge cases, then random ones, as many small as large."""
    rng = random.Random(seed)
    draws = [(round(largest ** rng.random()), round(largest ** rng.random())) for _ in range(count - len(EDGES) ** 2)]
    return [*product(EDGES, EDGES), *draws]


def processor(pinpoints, tile, patch):
    """transformers' processor of LLaVA-NeXT, which draws with Pillow: no torchvision needed."""
    size = {"height": tile, "width": tile}
    images = LlavaNextImageProcessorPil(size={"shortest_edge": tile}, crop_size=size, image_grid_pinpoints=pinpoints)
    return LlavaNextProcessor(images, byte_tokenizer(), patch, "default", num_additional_image_tokens=1)


def image_of(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# ---------------------------------------------------------------------------------------------------------------------
# Counts
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pinpoints", "tile", "patch"), SETTINGS.values(), ids=SETTINGS)
def test_grids_and_counts_equal_transformers(pinpoints, tile, patch):
    official = processor(pinpoints, tile, patch)
    for height, width in sizes(4000):
        grid = anyres_grid(height, width, pinpoints, tile)
        assert grid == get_anyres_image_grid_shape((height, width), pinpoints, tile), (height, width)
        with_cls = official._get_number_of_features(height, width, tile, tile)
        assert anyres_tokens(height, width, pinpoints, tile, patch) == with_cls - 1, (height, width)


def test_unpadding_equals_transformers():
    for height, width in sizes(3000, seed=1):
        rows, columns = (24 * side for side in anyres_grid(height, width))
        kept = unpad_image(torch.arange(rows * columns).reshape(1, rows, columns), (height, width))[0]
        top, bottom, left, right = unpadded_box(height, width, rows, columns)
        assert torch.equal(kept, torch.arange(rows * columns).reshape(rows, columns)[top:bottom, left:right])


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [(672, 672, 2928), (640, 480, 2340), (480, 640, 2352), (1280, 720, 1948), (720, 1280, 1968), (336, 336, 1176),
     (2000, 300, 1306), (28, 56, 888)],
)  # fmt: skip
def test_known_counts(width, height, tokens):
    assert anyres_tokens(height, width) == tokens


def test_one_frame_by_anyres_fills_a_context_of_4096():
    most = max(anyres_tokens(height, width) for height, width in product(range(60, 1400, 60), repeat=2))
    assert most == 576 + 48 * 49 == 2928
    assert [budget.max_frames(context, most, 100, 256) for context in (4096, 8192)] == [1, 2]


# ---------------------------------------------------------------------------------------------------------------------
# The original rule
# ---------------------------------------------------------------------------------------------------------------------


def original_grid(height, width):
    """LLaVA-NeXT's choice, step by step, in its own order (width, height): (rows, columns)."""
    chosen, most, least_waste = None, -1, None
    for wide, high in LLAVA_NEXT_PINPOINTS:
        factor = min(wide / width, high / height)
        used = min(int(width * factor) * int(height * factor), width * height)
        wasted = wide * high - used
        if used > most or (used == most and wasted < least_waste):
            chosen, most, least_waste = (high // 336, wide // 336), used, wasted
    return chosen


def original_tokens(height, width):
    """LLaVA-NeXT's count: the floor of a product of floats, without rounding first."""
    rows, columns = (24 * side for side in original_grid(height, width))
    if width / height > columns / rows:
        rows -= 2 * ((rows - int(height * (columns / width))) // 2)
    else:
        columns -= 2 * ((columns - int(width * (rows / height))) // 2)
    return 576 + rows * columns + rows


def test_the_original_rule():
    for height, width in sizes(4000, seed=2):
        assert anyres_grid(height, width, rule="original") == original_grid(height, width), (height, width)
        assert anyres_tokens(height, width, rule="original") == original_tokens(height, width), (height, width)
    assert anyres_tokens(56, 28, rule="original") == 1776


def grids_differ(height, width):
    return anyres_grid(height, width) != anyres_grid(height, width, rule="original")


def test_the_rules_choose_different_grids_for_small_images_only():
    lattice = [size for size in product(range(30, 1400, 12), repeat=2) if grids_differ(*size)]
    assert lattice == [*product(range(30, 337, 12), repeat=2)] and len(lattice) == 676
    assert [grids_differ(*size) for size in ((336, 336), (337, 336), (336, 337), (1, 1), (1, 337))] == [1, 0, 0, 1, 0]
    assert [grids_differ(*size) for size in ((1, 1008), (1, 1009), (1009, 1), (2, 1400))] == [0, 1, 1, 0]  # thin lines
    for height, width in ((20, 20), (200, 100), (100, 300)):
        assert anyres_grid(height, width) == (1, 2) and anyres_grid(height, width, rule="original") == (2, 1)


def test_how_often_the_rules_count_differently():
    lattice = list(product(range(28, 1400, 7), repeat=2))
    differ = [size for size in lattice if anyres_tokens(*size) != anyres_tokens(*size, rule="original")]
    assert (len(differ), len(lattice)) == (1934, 38416)


# The sizes up to 360 x 360 for which rounding before the floor changes what is kept, and some larger ones.
ROUNDED = [(55, 176), (88, 55), (88, 99), (110, 352), (176, 110), (176, 198), (328, 205), (352, 110)]
ROUNDED_LARGER = [(47, 1128), (205, 984), (376, 799), (396, 704), (1056, 220)]


def test_rounding_before_the_floor_keeps_two_rows_or_columns_more():
    def boxes(height, width):
        rows, columns = (24 * side for side in anyres_grid(height, width))
        return [unpadded_box(height, width, rows, columns, rule) for rule in ("hf", "original")]

    changed = [size for size in product(range(1, 361), repeat=2) if len(set(boxes(*size))) > 1]
    assert changed == ROUNDED
    for size in ROUNDED + ROUNDED_LARGER:
        more = np.subtract(*boxes(*size)).tolist()
        assert more in ([-1, 1, 0, 0], [0, 0, -1, 1])


# ---------------------------------------------------------------------------------------------------------------------
# Crops and packing
# ---------------------------------------------------------------------------------------------------------------------

SHAPES = [(64, 64), (128, 128), (100, 137), (137, 100), (33, 200), (200, 33), (300, 301), (1, 1), (1, 90), (500, 3),
          (64, 193), (129, 64), (96, 128), (59, 113)]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_crops_equal_those_of_transformers(shape):
    image = image_of(*shape)
    official = processor(*SETTINGS["tiny"]).image_processor
    pixels = official([image], input_data_format="channels_last", do_rescale=False, do_normalize=False)["pixel_values"]
    crops = anyres.crops(image, anyres_grid(*shape, TINY_PINPOINTS, 64), 64)
    assert crops.dtype == np.uint8
    assert np.array_equal(crops.transpose(0, 3, 1, 2), np.asarray(pixels)[0])


def test_the_overview_is_squashed_and_the_tiles_are_the_image_row_by_row():
    image = image_of(128, 192)
    overview, *tiles = anyres.crops(image, (2, 3), 64)
    assert np.array_equal(overview, anyres.resize(image, 64, 64))
    for number, tile in enumerate(tiles):
        top, left = 64 * (number // 3), 64 * (number % 3)
        assert np.array_equal(tile, image[top : top + 64, left : left + 64])


def newline(width=3):
    return torch.full((width,), -1.0)


def test_packing_equals_transformers(anyres_vlm):
    official = anyres_vlm.model.model
    for height, width in sizes(1500, largest=1000, seed=3):
        grid = anyres_vlm.tile_grid(height, width)
        features = torch.randn(1 + grid[0] * grid[1], 8, 8, 3)
        tokens = anyres.pack(features, (height, width), grid, newline())
        packed, (length,) = official.pack_image_features(
            [features.flatten(1, 2)], torch.tensor([[height, width]]), "default", newline()
        )
        assert torch.equal(tokens.embeds, packed[0]), (height, width)
        assert len(tokens) == length == anyres_tokens(height, width, TINY_PINPOINTS, 64, 8)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_token_says_from_which_crop_and_patch_it_comes(shape):
    rows, columns = anyres_grid(*shape, TINY_PINPOINTS, 64)
    places = torch.cartesian_prod(*(torch.arange(side) for side in (1 + rows * columns, 8, 8))).float()
    tokens = anyres.pack(places.reshape(-1, 8, 8, 3), shape, (rows, columns), newline())
    patch = tokens.kind == Kind.PATCH
    said = torch.stack([tokens.frame, tokens.box[:, 0], tokens.box[:, 2]], dim=1)
    assert torch.equal(tokens.embeds[patch], said[patch].float())
    assert torch.equal(tokens.box[patch][:, 1::2], tokens.box[patch][:, ::2] + 1)
    assert (tokens.kind[~patch] == Kind.NEWLINE).all() and (tokens.embeds[~patch] == -1).all()
    assert (tokens.box[~patch] == 0).all() and (tokens.frame[~patch] == -1).all()
    assert len(tokens.embeds[patch].unique(dim=0)) == patch.sum()


def test_unpadding_keeps_what_is_all_image_and_drops_what_is_all_padding():
    for height, width in sizes(700, largest=500, seed=4):
        rows, columns = anyres_grid(height, width, TINY_PINPOINTS, 64)
        canvas = anyres.on_canvas(np.full((height, width, 3), 255, np.uint8), 64 * rows, 64 * columns)
        patches = canvas[..., 0].reshape(8 * rows, 8, 8 * columns, 8)
        kept = np.zeros((8 * rows, 8 * columns), bool)
        top, bottom, left, right = unpadded_box(height, width, *kept.shape)
        kept[top:bottom, left:right] = True
        assert kept[patches.min(axis=(1, 3)) == 255].all(), (height, width)
        assert not kept[patches.max(axis=(1, 3)) == 0].any(), (height, width)


# ---------------------------------------------------------------------------------------------------------------------
# The model
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def anyres_vlm(tmp_path_factory):
    """The untrained LLaVA-NeXT-Video of the other tests, with tiny's pinpoints."""
    folder = tmp_path_factory.mktemp("anyres")
    return vlm.load(save(next_video_model(image_grid_pinpoints=TINY_PINPOINTS), folder))


def official_inputs(model, image, question):
    """What transformers' processor hands to its model for an image."""
    images = processor(TINY_PINPOINTS, 64, 8).image_processor
    pixels = images([image], input_data_format="channels_last", return_tensors="pt")
    count = anyres_tokens(*image.shape[:2], TINY_PINPOINTS, 64, 8)
    prompt = model.prompt(question).replace("<video>", "<image>" * count)
    return {**model.tokenizer(prompt, return_tensors="pt"), **pixels}


@pytest.mark.parametrize("shape", [(64, 64), (128, 96), (50, 190), (190, 50), (97, 131)], ids=str)
def test_an_image_gives_the_logits_of_transformers_own_forward(anyres_vlm, shape):
    image, question = image_of(*shape), "What colour is the circle?"
    inputs = official_inputs(anyres_vlm, image, question)
    pixels = anyres_vlm.preprocess(anyres_vlm.crops(image))
    torch.testing.assert_close(pixels, inputs["pixel_values"][0], atol=1e-5, rtol=0)
    with torch.no_grad():
        official = anyres_vlm.model(**inputs).logits[0]
    ours = anyres_vlm.logits(anyres_vlm.image_tokens(image), anyres_vlm.prompt(question))
    assert official.abs().max() > 0.1
    torch.testing.assert_close(ours, official, atol=1e-5, rtol=0)


def test_images_and_clips_are_answered_together(anyres_vlm, make_frames):
    image, frames, questions = anyres_vlm.image_tokens(image_of(90, 120)), make_frames(4), ["What?", "Where is it?"]
    together = anyres_vlm.answers([image, frames], questions, max_new_tokens=5)
    pairs = zip([image, frames], questions, strict=True)
    alone = [anyres_vlm.answer(clip, asked, max_new_tokens=5) for clip, asked in pairs]
    assert together == alone


# ---------------------------------------------------------------------------------------------------------------------
# Bad input
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: anyres_grid(0, 10), "give its height and width, 1 or more"),
        (lambda: anyres_grid(10, 10, rule="huggingface"), "choose one of hf, original"),
        (lambda: unpadded_box(10, 10, 24, 24, rule="HF"), "choose one of hf, original"),
        (lambda: anyres_grid(10, 10, pinpoints=[]), "give multiples"),
        (lambda: anyres_grid(10, 10, pinpoints=[(336, 500)]), "give multiples"),
        (lambda: anyres_grid(10, 10, tile=384), "tiles of 384 pixels"),
        (lambda: anyres_tokens(10, 10, patch=400), "use 0 < patch <= tile"),
        (lambda: anyres.crops(np.zeros((4, 4, 3)), (1, 2), 64), "pass np.asarray(Image.open(path).convert('RGB'))"),
        (lambda: anyres.crops(np.zeros((2, 4, 4, 3), np.uint8), (1, 2), 64), "not uint8 (2, 4, 4, 3)"),
        (lambda: anyres.crops("cat.png", (1, 2), 64), "not str"),
        (lambda: anyres.crops(np.zeros((0, 4, 3), np.uint8), (1, 2), 64), "give at least one"),
        (lambda: anyres.pack(torch.zeros(3, 8, 8, 4), (9, 9), (2, 2), torch.zeros(4)), "give (5, h, w, D)"),
        (lambda: anyres.pack(torch.zeros(5, 64, 4), (9, 9), (2, 2), torch.zeros(4)), "give (5, h, w, D)"),
        (lambda: anyres.pack(torch.zeros(3, 8, 8, 4), (9, 9), (1, 2), torch.zeros(3)), "pass one of shape (4,)"),
    ],
)
def test_errors_name_the_fix(attempt, message):
    with pytest.raises(ValueError) as error:
        attempt()
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_model_that_packs_images_in_another_way_is_refused(random_onevision):
    with pytest.raises(ValueError, match="for images load"):
        random_onevision.image_tokens(image_of(50, 50))


def test_visual_tokens_take_no_reducer_and_must_fit(anyres_vlm):
    tokens = anyres_vlm.image_tokens(image_of(128, 128))
    with pytest.raises(ValueError, match="leave reducer=None"):
        anyres_vlm.answer(tokens, "What?", anyres_vlm.default_reducer)
    with pytest.raises(ValueError, match="336 visual and .* exceed the context of 512: shorten the text"):
        anyres_vlm.answer(tokens, "What?", max_new_tokens=200)
