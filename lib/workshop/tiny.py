"""The recipe of the tiny model, from nothing: `make tiny`, or `python -m lib.workshop.tiny`.

Four stages, each from the weights of the one before. The order matters: trained end to end from the start, the model
stays at chance for much longer.

1. vision: vision tower, projector and word embeddings learn to name Toybox's drawing, patch by patch.
2. images: projector and language model answer questions about single frames. The vision tower is frozen from here on.
   Halfway through the language model, digits learn to name their place in the code, so that codes are read in order.
   (Saved as the image model: lesson 04 asks how far it gets on videos it never saw.)
3. clips: all questions and captions about clips of 4 to 8 frames, with every frame seen. Halfway through the language
   model, patches also learn to name the event of their thing, and which things are new. A layer later they name how
   many were new so far. So the model learns motion and counting. Counting is the hardest, above all across a cut and
   in a crowd, so more clips have one than in Toybox. The answers to the hardest questions have a larger weight.
4. videos: the same about 16 frames, with another reducer in every batch, so that one set of weights works with any.
   The naming losses have a smaller weight by now. No question is about a flash between the seen frames.

In stages 3 and 4 the language model also translates between English and Korean, without frames.

Whether a late skill is learned depends on chance, so score a changed recipe before you measure anything else on it. Two
changes were tried in November 2026 and not kept. The first had text in half of the batches instead of TEXT_SHARE, and
another Korean wording. "Is there ...?" stayed at chance (0.58), as tiny-image's answers did, and 240 more steps did not
help. The second asked both questions "Is there ...?" of each clip, among the HARDEST. They reached 0.999, but "Where
...?" fell to 0.65 and colours to 0.94. Both questions in stage 2 alone may do no harm; that was not tried.

Every batch is drawn from (seed, stage, step) alone. So an interrupted run continues from its last checkpoint and ends
with the same weights as one without a break. Everything is computed in float32: processors without bfloat16 only
emulate it, which took thirty times as long.
"""

import argparse
import math
import os
import random
import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import LlavaNextVideoConfig, LlavaNextVideoForConditionalGeneration, PreTrainedTokenizerFast

from lib import toybox
from lib.files import written_whole
from lib.packing import IGNORE, Packed, answer_logits, pack_questions, states
from lib.reducers import Kind, LlavaVideo, Reducer, SlowFastLlava, SpatialPool, VisualTokens
from lib.toybox.world import FRAMES, GRID, TEST_SEEDS, new_clip
from lib.video import sample_uniform
from lib.vlm.loading import load
from lib.vlm.model import VideoLM
from lib.vlm.pixels import PixelSettings
from lib.workshop.muon import Muon

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>")
SENTENCE_END = re.compile(r"(?<=\.) ")
THING = re.compile(rf" the ((?:\w+ )?(?:thing|{'|'.join(toybox.SHAPES)}))\b")
ASKED_FOR = re.compile(rf"^Is there an? ({'|'.join(toybox.COLOURS)}) ")
CHECKPOINT_EVERY = 100  # steps
CUT_OR_CROWD_SHARE = 0.4  # this share of the videos is drawn again until it has a cut or a crowd
CROWD = 3  # things
HARDEST = ("How many things", "What is the code", "Where", "Which colour flashes ")  # how such questions begin
SO_FAR_WEIGHT = 0.3  # weight of the loss for naming how many things were new so far
MUON = 4.0  # Muon's learning rate divided by AdamW's
NOT_NEW_WEIGHT = 0.5  # weight of the loss for naming nothing new on patches without a thing's middle
TEXT_SHARE = 0.3  # of the video batches also hold text in English and Korean, as a language model has read
POOLED_VIEWS = (  # (frames, stride); the most important ones stand more than once
    (16, 1), (16, 1), (16, 1), (8, 1), (4, 1), (2, 1), (16, 2), (16, 2), (8, 2), (4, 2), (16, 4), (16, 4),
    (8, 4), (16, 8),
)  # fmt: skip
SHORT_VIEWS = ((4, 1), (6, 1), (4, 2), (6, 2), (8, 2), (8, 2))  # (frames of the clip, stride), fine and not long


@dataclass(frozen=True)
class Stage:
    """One stage's steps, batch size, peak learning rate, and the weights of its auxiliary losses."""

    name: str
    steps: int
    batch: int
    learning_rate: float
    naming: float = 1.0  # the weight of the naming losses halfway through the language model
    scaffold: float = 0.0  # the share of batches with captions and answers that name the thing first
    hardest: float = 0.6  # the weight of the answers to the HARDEST questions, which is added


TINY_RECIPE = (
    Stage("vision", 1100, 32, 3e-3),
    Stage("images", 900, 10, 1.5e-3, scaffold=1.0, hardest=0.4),
    Stage("clips", 1500, 8, 1.5e-3, scaffold=1.0),
    Stage("videos", 1400, 8, 1.2e-3, naming=0.5, scaffold=0.6),
)


# ---------------------------------------------------------------------------------------------------------------------
# The model
# ---------------------------------------------------------------------------------------------------------------------


def tiny_tokenizer(vocabulary: int = 1024) -> PreTrainedTokenizerFast:
    """Byte-level BPE learned from Toybox's own sentences, English and Korean. Bytes cover any other text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\d"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(4000), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        padding_side="left",
        model_max_length=2048,
    )


def corpus(clips: int) -> Iterable[str]:
    """The sentences that the tokenizer is learned from."""
    for seed in range(TEST_SEEDS, TEST_SEEDS + clips):
        clip = toybox.sample(seed)
        for language, prompt in toybox.CAPTION_PROMPTS.items():
            yield f"USER: \n{prompt} ASSISTANT: {toybox.caption(clip, language)}"
        for asked, translation in translations(random.Random(seed), clip):
            yield f"USER: \n{asked} ASSISTANT: {translation}"
        for qa in toybox.questions(clip):
            yield f"USER: \n{qa.question} ASSISTANT: {qa.answer}"
            yield "USER: \n{} ASSISTANT: {}".format(*thing_first(clip, qa.question, qa.answer))
            yield f"USER: \n{qa.question_ko} ASSISTANT: {qa.answer_ko}"


def tiny_model(vocabulary: int = 1024) -> LlavaNextVideoForConditionalGeneration:
    """A LLaVA-NeXT-Video of 1.5 million parameters, untrained.

    As in the 7B, the language model reads the vision tower's second-to-last layer without CLS: `vision_feature_layer`
    -2, "default". So three of the four vision layers do the work.
    """
    config = LlavaNextVideoConfig(
        vision_config=dict(
            model_type="clip_vision_model", hidden_size=96, intermediate_size=384, num_hidden_layers=4,
            num_attention_heads=4, image_size=64, patch_size=8, projection_dim=96,
        ),
        text_config=dict(
            model_type="llama", hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
            num_key_value_heads=4, vocab_size=vocabulary, max_position_embeddings=2048, tie_word_embeddings=True,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            initializer_range=0.08,  # the usual 0.02 suits models thirty times as wide
        ),
        image_token_index=SPECIAL_TOKENS.index("<image>"),
        video_token_index=SPECIAL_TOKENS.index("<video>"),
        image_grid_pinpoints=[[64, 128], [128, 64], [128, 128], [192, 64], [64, 192]],
        tie_word_embeddings=True,
    )  # fmt: skip
    return start_with_likeness(LlavaNextVideoForConditionalGeneration(config))


@torch.no_grad()
def start_with_likeness(model: LlavaNextVideoForConditionalGeneration) -> LlavaNextVideoForConditionalGeneration:
    """Initialises every attention head to find tokens like the query and copy them: K = Q and O = V transposed.

    So "circle" in a question looks at patches named circle from the first step. From a random start, questions for a
    thing's colour were still at chance after 700 steps.
    """
    for layer in model.model.language_model.layers:
        attention = layer.self_attn
        attention.k_proj.weight.copy_(attention.q_proj.weight)
        attention.o_proj.weight.copy_(attention.v_proj.weight.T)
    return model


def with_noise(frames: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """Frames (T, H, W, 3) uint8 with a little noise and another brightness, as after a codec and a resize."""
    light = noise.uniform(0.9, 1.1, (len(frames), 1, 1, 1)).astype(np.float32)
    grain = noise.standard_normal(frames.shape, dtype=np.float32) * 5
    return (frames * light + grain).clip(0, 255).astype(np.uint8)


# ---------------------------------------------------------------------------------------------------------------------
# Stage 1: what is in each patch
# ---------------------------------------------------------------------------------------------------------------------


FACTS = {  # the names that a patch learns; each can also be "none"
    "shape": tuple(toybox.SHAPES),
    "colour": tuple(toybox.COLOURS),
    "size": tuple(toybox.SIZES),
    "row": ("top", "middle", "bottom"),
    "column": ("left", "middle", "right"),
    "digit": tuple("0123456789"),
    "middle": ("things",),  # the patch of a thing's middle: one per thing, so things can be counted
}
EVENT_KINDS = ("motion", "order")  # the hardest questions: only several frames answer them
IMAGE_KINDS = ("colour", "shape", "size", "flash")  # the questions that one frame answers, and that images teach well
EVENTS = ("nowhere", "left", "right", "up", "down", "first", "last", "middle")  # ways of things; flashes; digits


class Naming(nn.Module):
    """Stage 1: a projected patch should point at the right words for its content, among the words of each fact.

    The words are the language model's own embeddings, so vision tower, projector and words grow together. `centre`
    reads out the middle of the patch's thing, and is discarded after the stage. It makes projected patches encode
    positions to the unit, which motion needs.
    """

    def __init__(self, tokenizer, width: int):
        super().__init__()
        self.centre = nn.Linear(width, 2)
        self.words = {fact: word_ids(tokenizer, ("none", *names)) for fact, names in FACTS.items()}
        self.events = word_ids(tokenizer, EVENTS)
        self.numbers = word_ids(tokenizer, ("none", *(english for english, _ in toybox.NUMBERS.values())))

    def loss(self, vlm: VideoLM, features: Tensor, labels: dict[str, Tensor]) -> Tensor:
        projected, embeddings = vlm.project(features), vlm.model.get_input_embeddings().weight
        loss = torch.zeros(())
        for fact, words in self.words.items():
            named = F.linear(projected, embeddings[words])
            there = labels[fact] > 0  # one patch in ten: it has its own term, or "none" would dominate
            loss = loss + F.cross_entropy(named.flatten(0, -2), labels[fact].flatten())
            loss = loss + F.cross_entropy(named[there], labels[fact][there])
        seen = labels["shape"] > 0
        return loss + F.smooth_l1_loss(self.centre(projected)[seen], labels["centre"][seen])

    def loss_of_events(self, vlm: VideoLM, tokens: VisualTokens, halfway: Tensor, events: Tensor) -> Tensor:
        """Stages 2 to 4: halfway through the language model, a visual token should point at the event in its patches.

        halfway: (B, N, D) states of the visual tokens; events: (B, T, 8, 8), from `events_of`.
        """
        fine = is_fine(tokens)
        frame, (top, bottom, left, right) = tokens.frame[fine], tokens.box[fine].T
        happens = events[:, frame, (top + bottom) // 2, (left + right) // 2]
        return self.pointing(vlm, halfway[:, fine], happens, self.events)

    def loss_of_news(self, vlm: VideoLM, tokens: VisualTokens, halfway: Tensor, news: Tensor) -> Tensor:
        """A token should also point at "things" on the middle of a new thing, and at "none" everywhere else.

        halfway: (B, N, D) states of the visual tokens; news: (B, T, 8, 8), from `first_appearances`.
        """
        fine = is_fine(tokens)
        frame, (top, bottom, left, right) = tokens.frame[fine], tokens.box[fine].T
        corners = [news[:, frame, row, column] for row in (top, bottom - 1) for column in (left, right - 1)]
        new = torch.stack(corners).amax(0)  # of at most 2 x 2 patches
        elsewhere = torch.where(new == IGNORE, 0, IGNORE)  # a mean of its own: middles are few
        states, words = halfway[:, fine], self.words["middle"]
        return self.pointing(vlm, states, new, words) + NOT_NEW_WEIGHT * self.pointing(vlm, states, elsewhere, words)

    def loss_of_counting(self, vlm: VideoLM, tokens: VisualTokens, later: Tensor, news: Tensor) -> Tensor:
        """One layer later the token of a patch should point at the number of things that were new so far, its own
        included.

        later: (B, N, D) states of the visual tokens; news: (B, T, 8, 8). Coarse tokens are left out.
        """
        patch = tokens.kind == Kind.PATCH
        if not is_fine(tokens)[patch].all():
            return torch.zeros(())
        frame, (top, bottom, left, right) = tokens.frame[patch], tokens.box[patch].T
        sums = F.pad((news == 1).long().cumsum(-1).cumsum(-2), (1, 0, 1, 0))  # of all patches above and to the left
        upper = sums[:, frame, top, right] - sums[:, frame, top, left]
        new = sums[:, frame, bottom, right] - sums[:, frame, bottom, left] - upper  # things, (B, tokens)
        return SO_FAR_WEIGHT * self.pointing(vlm, later[:, patch], new.cumsum(1), self.numbers)

    def pointing(self, vlm: VideoLM, states: Tensor, label: Tensor, words: list[int]) -> Tensor:
        """The loss of states (B, N, D) that should point at the words with the numbers (B, N), except at IGNORE."""
        told = label != IGNORE
        if not told.any():
            return torch.zeros(())
        read = vlm.model.model.language_model.norm(states[told])  # as the output layer would read it
        named = F.linear(read, vlm.model.get_input_embeddings().weight[words])
        return F.cross_entropy(named, label[told])


def is_fine(tokens: VisualTokens) -> Tensor:
    """(N,) bool: does the token cover at most 2 x 2 patches? Coarser ones show neither digits nor edges."""
    rows, columns = (tokens.box[:, 1::2] - tokens.box[:, 0::2]).T
    return (tokens.kind == Kind.PATCH) & (rows * columns <= 4)


def events_of(clip: toybox.Clip, index: int) -> np.ndarray:
    """The event in each of the 8 x 8 patches of a frame, as a number into EVENTS, or IGNORE.

    A thing's direction shows late in its scene, so the first half is left out. A flash is the first or the last of two.
    A digit is the left, middle or right one of its code, because an answer has to read them in that order.
    """
    scene, time = clip.scene_at(index)
    events = np.full((GRID, GRID), IGNORE)
    if len(clip.flashes) == 2 and index in (clip.flashes[0].frame, clip.flashes[1].frame):
        events[:] = EVENTS.index("first" if index == clip.flashes[0].frame else "last")
    for thing, area in zip(scene.things, toybox.coverage(toybox.still(clip, index)), strict=True):
        way = EVENTS.index(thing.motion if thing.speed else "nowhere")
        events[area >= toybox.PATCH] = way if 2 * time >= scene.frames else IGNORE
    if scene.code:
        x, y = np.array(scene.code_at) // toybox.PATCH
        events[y, x : x + 3] = [EVENTS.index(place) for place in ("left", "middle", "right")]
    return events


def first_appearances(clip: toybox.Clip, indices: Sequence[int]) -> np.ndarray:
    """(T, 8, 8): 1 on a thing's middle in the first seen frame of its scene, 0 in later ones; IGNORE elsewhere.

    A thing is in every frame but new only once, so new things can be counted.
    """
    news, before = np.full((len(indices), GRID, GRID), IGNORE), None
    for row, index in enumerate(indices):
        scene, _ = clip.scene_at(index)
        for thing in toybox.still(clip, index).scenes[0].things:
            x, y = thing.start
            news[row, y // toybox.PATCH, x // toybox.PATCH] = scene is not before
        before = scene
    return news


def word_ids(tokenizer, words: Iterable[str]) -> list[int]:
    """The token of each word as it stands in an answer: after a space, but a digit by itself."""
    spelled = [tokenizer.encode(word if word.isdigit() else f" {word}", add_special_tokens=False) for word in words]
    if any(len(tokens) != 1 for tokens in spelled):
        raise ValueError(f"a word of {tuple(words)} is not one token: learn the tokenizer from more sentences")
    return [tokens[0] for tokens in spelled]


def patch_labels(image: toybox.Clip) -> dict[str, np.ndarray]:
    """Toybox's drawing in each of the 8 x 8 patches of an image, as numbers into ("none", *FACTS[...])."""
    scene = image.scenes[0]
    labels = {fact: np.zeros((GRID, GRID), dtype=np.int64) for fact in FACTS}
    labels["centre"] = np.zeros((GRID, GRID, 2), dtype=np.float32)
    if image.flashes:
        labels["colour"][:] = 1 + FACTS["colour"].index(image.flashes[0].colour)
    for thing, area in zip(scene.things, toybox.coverage(image), strict=True):
        here = area >= toybox.PATCH  # an eighth of the patch
        x, y = thing.start
        for fact in ("shape", "colour", "size"):
            labels[fact][here] = 1 + FACTS[fact].index(getattr(thing, fact))
        labels["middle"][y // toybox.PATCH, x // toybox.PATCH] = 1
        labels["row"][here], labels["column"][here] = 1 + 3 * y // toybox.CANVAS, 1 + 3 * x // toybox.CANVAS
        labels["centre"][here] = (np.array(thing.start) - toybox.CANVAS / 2) / toybox.PATCH
    for i, digit in enumerate(scene.code):
        labels["digit"][scene.code_at[1] // toybox.PATCH, scene.code_at[0] // toybox.PATCH + i] = 1 + int(digit)
    return labels


# ---------------------------------------------------------------------------------------------------------------------
# Stages 2 to 4: questions
# ---------------------------------------------------------------------------------------------------------------------


def draw_turns(rng: random.Random, clip: toybox.Clip, unseen: Collection[str] = ()) -> list[tuple[str, str]]:
    """One question of each kind that the clip answers; none of the kinds `unseen`.

    Videos get all questions about events, and only half of the questions that images already taught.
    """
    kinds, turns = defaultdict(list), []
    for qa in toybox.questions(clip):
        if qa.kind not in unseen:
            kinds[qa.kind].append((qa.question, qa.answer))
    for kind, of_kind in kinds.items():
        if kind in EVENT_KINDS:
            turns += of_kind
        elif clip.frames == 1 or kind not in IMAGE_KINDS or rng.random() < 0.5:
            turns.append(rng.choice(of_kind))
    return turns


def translations(rng: random.Random, clip: toybox.Clip, turns: int = 2) -> list[tuple[str, str]]:
    """Translations between English and Korean about a clip: sentences of its caption, all of it, questions with
    answers.

    The base of a Korean captioner has read Korean text but never described a picture in it. So here Korean never comes
    with a frame. The text comes first and the instruction second, as with a video.
    """
    english, korean = toybox.caption(clip, "en"), toybox.caption(clip, "ko")
    pairs = [*zip(SENTENCE_END.split(english), SENTENCE_END.split(korean), strict=True)]
    asked = rng.choice(toybox.questions(clip))
    pairs.append((f"{asked.question} {asked.answer}", f"{asked.question_ko} {asked.answer_ko}"))
    drawn = [(english, korean) if rng.random() < 0.5 else rng.choice(pairs) for _ in range(turns)]
    return [
        (f"{en}\nTranslate into Korean.", ko) if rng.random() < 0.7 else (f"{ko}\nTranslate into English.", en)
        for en, ko in drawn
    ]


def with_scaffold(rng: random.Random, clip: toybox.Clip, turns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Half of the answers name their thing first, and a caption is added: both show how to find an answer.

    In a caption the red thing follows "red", so the model learns to look for the patches that a word names. An answer
    that repeats the question's thing teaches it to look back at the question. Short answers need both.
    """
    turns = [thing_first(clip, *turn) if rng.random() < 0.5 else turn for turn in turns]
    return turns + [(toybox.CAPTION_PROMPTS["en"], toybox.caption(clip))]


def thing_first(clip: toybox.Clip, question: str, answer: str) -> tuple[str, str]:
    """The question and its answer with the thing named first, if the question names one.

    For "Is there ...?" it is the thing of that colour in the clip, because it decides the answer.

    >>> clip = toybox.sample(12)
    >>> thing_first(clip, "Where does the red cross start?", "top left")
    ('Where does the red cross start? Name the thing first.', 'red cross: top left')
    >>> thing_first(clip, "Is there a white square?", "no")
    ('Is there a white square? Name the thing first.', 'white triangle: no')
    >>> thing_first(clip, "What is the code?", "472")
    ('What is the code?', '472')
    """
    thing, asked_for = THING.search(question), ASKED_FOR.search(question)
    if not (thing or asked_for):
        return question, answer
    name = thing[1] if thing else next(thing.name for thing in clip.things if thing.colour == asked_for[1])
    return f"{question} Name the thing first.", f"{name}: {answer}"


def draw_view(rng: random.Random, newline: Tensor) -> tuple[int, Reducer]:
    """The number of frames and the reducer of a batch: drawn anew for every batch."""
    family = rng.choice(("slowfast_llava",) * 2 + ("llava_video",) + ("spatial_pool",) * 7)
    if family == "slowfast_llava":
        slow, fast = rng.choice((1, 1, 2, 4)), rng.choice(("1x1", "2x2", "2x2", "4x4"))
        pool = rng.choice(("concat", "concat", "spatial_1d_max_pool"))
        return FRAMES, SlowFastLlava.from_spec(f"slowfast-slow_{slow}frms_{pool}-fast_{fast}")
    if family == "llava_video":
        newlines = newline if rng.random() < 0.3 else None
        return FRAMES, LlavaVideo(rng.choice((4, 8, 16)), rng.choice((1, 1, 2)), 4, "average", newlines)
    frames, stride = rng.choice(POOLED_VIEWS)
    mode, project = rng.choice(("average",) * 6 + ("max", "bilinear")), rng.choice(("after", "after", "before"))
    where = rng.choice(("none",) * 6 + ("grid", "frame"))
    return frames, SpatialPool(stride, mode, project, where, None if where == "none" else newline)


def new_video(rng: random.Random, frames: int) -> toybox.Clip:
    """A clip; a share CUT_OR_CROWD_SHARE of them has a cut or a crowd for certain, because these are hard to count."""
    clip, hard = new_clip(rng, frames), rng.random() < CUT_OR_CROWD_SHARE
    while hard and not clip.cuts and len(clip.things) < CROWD:
        clip = new_clip(rng, frames)
    return clip


def new_image(rng: random.Random) -> toybox.Clip:
    """Any frame of a clip; one time in three one that flashes, if there is one: flashes are rare, but questions need
    them."""
    clip = new_clip(rng)
    flash = clip.flashes and rng.random() < 0.33
    return toybox.still(clip, clip.flashes[0].frame if flash else rng.randrange(FRAMES))


def vision_loss(vlm: VideoLM, naming: Naming, size: int, rng: random.Random, noise: np.random.Generator) -> Tensor:
    images = [new_image(rng) for _ in range(size)]
    frames = np.concatenate([toybox.render(image) for image in images])
    labels = [patch_labels(image) for image in images]
    labels = {name: torch.from_numpy(np.stack([of[name] for of in labels])) for name in labels[0]}
    features = vlm.features_of(vlm.preprocess(with_noise(frames, noise)))
    return naming.loss(vlm, features, labels)


def image_loss(vlm: VideoLM, naming: Naming, stage: Stage, rng: random.Random, noise: np.random.Generator) -> Tensor:
    images = [new_image(rng) for _ in range(stage.batch)]
    tokens = see(vlm, images, [0], SpatialPool(1 if rng.random() < 0.8 else 2), noise)
    turns = draw_questions(rng, images, stage.scaffold, [()] * len(images))
    packed = pack_turns(vlm, tokens, turns)
    after = states(vlm.model, packed)
    events = torch.from_numpy(np.stack([events_of(image, 0)[None] for image in images]))
    halfway = after[len(after) // 2][:, packed.visual]
    loss = answers_loss(vlm, stage, packed, turns, after)
    return loss + stage.naming * naming.loss_of_events(vlm, tokens[0], halfway, events)


def clip_loss(vlm: VideoLM, naming: Naming, stage: Stage, rng: random.Random, noise: np.random.Generator) -> Tensor:
    """Short clips of which every frame is seen: no question is about an unseen frame, and sequences are short."""
    frames, stride = rng.choice(SHORT_VIEWS)
    return look_and_ask(vlm, naming, stage, rng, noise, frames, list(range(frames)), SpatialPool(stride))


def video_loss(vlm: VideoLM, naming: Naming, stage: Stage, rng: random.Random, noise: np.random.Generator) -> Tensor:
    frames, reducer = draw_view(rng, vlm.model.model.image_newline)
    return look_and_ask(vlm, naming, stage, rng, noise, FRAMES, sample_uniform(FRAMES, frames), reducer)


def look_and_ask(
    vlm: VideoLM,
    naming: Naming,
    stage: Stage,
    rng: random.Random,
    noise: np.random.Generator,
    length: int,
    indices: list[int],
    reducer: Reducer,
) -> Tensor:
    """Clips of `length` frames, of which those at `indices` are seen: questions, events, and now and then text."""
    clips = [new_video(rng, length) for _ in range(batch_size(stage, reducer.count(len(indices), GRID, GRID) + 150))]
    tokens = see(vlm, clips, indices, reducer, noise)
    legible = bool(is_fine(tokens[0]).any())
    turns = draw_questions(rng, clips, stage.scaffold, [unseen_kinds(clip, indices, legible) for clip in clips])
    packed = pack_turns(vlm, tokens, turns)
    after = states(vlm.model, packed)
    loss = answers_loss(vlm, stage, packed, turns, after)
    if rng.random() < TEXT_SHARE:
        loss = loss + text_loss(vlm, rng, clips)
    if isinstance(reducer, SlowFastLlava):  # its slow frames come first, so they cannot attend to earlier frames
        return loss
    return loss + stage.naming * naming_loss(vlm, naming, clips, indices, tokens, packed, after)


def text_loss(vlm: VideoLM, rng: random.Random, clips: list[toybox.Clip]) -> Tensor:
    """Translations between English and Korean, without frames."""
    blind = vlm.model.get_input_embeddings().weight.new_empty(0, vlm.model.config.text_config.hidden_size)
    packed = pack_questions(vlm.model, vlm.tokenizer, [blind] * len(clips), [translations(rng, clip) for clip in clips])
    return answer_loss(vlm, packed, states(vlm.model, packed))


def batch_size(stage: Stage, length: int) -> int:
    """Batches of long sequences are smaller, so that every step costs about the same."""
    return min(stage.batch, max(4, stage.batch * 400 // length))


def see(
    vlm: VideoLM, clips: list[toybox.Clip], indices: list[int], reducer: Reducer, noise: np.random.Generator
) -> list[VisualTokens]:
    """The visual tokens of each clip, from its frames `indices`."""
    return [reducer(of_clip, vlm.project) for of_clip in noisy_features(vlm, clips, indices, noise)]


def noisy_features(
    vlm: VideoLM, clips: Sequence[toybox.Clip], indices: Sequence[int] | None, noise: np.random.Generator
) -> Tensor:
    """(B, T, h, w, C): features of the frames `indices` of B clips, or of all frames, with a little noise on them."""
    frames = np.concatenate([toybox.render(clip, indices=indices) for clip in clips])
    return vlm.encode(with_noise(frames, noise)).unflatten(0, (len(clips), -1))


def unseen_kinds(clip: toybox.Clip, indices: Sequence[int], legible: bool) -> list[str]:
    """The kinds of questions that the frames `indices` cannot answer: training on those would teach guessing.

    >>> unseen_kinds(toybox.sample(17), [0, 8, 15], legible=False)             # its flashes are on frames 9 and 14
    ['code', 'flash', 'order']
    """
    flashes_seen = all(flash.frame in indices for flash in clip.flashes)
    return ([] if legible else ["code"]) + ([] if flashes_seen else ["flash", "order"])


def draw_questions(
    rng: random.Random, clips: list[toybox.Clip], scaffold: float, unseen: Sequence[Collection[str]]
) -> list[list[tuple[str, str]]]:
    """Questions about each clip, none of the kinds `unseen`; in a share `scaffold` of the batches with a scaffold."""
    turns = [draw_turns(rng, clip, of_clip) for clip, of_clip in zip(clips, unseen, strict=True)]
    if rng.random() < scaffold:  # the whole batch: captions are long, and all clips are padded to the longest
        turns = [with_scaffold(rng, clip, of_clip) for clip, of_clip in zip(clips, turns, strict=True)]
    return turns


def pack_turns(vlm: VideoLM, tokens: list[VisualTokens], turns: list[list[tuple[str, str]]]) -> Packed:
    return pack_questions(vlm.model, vlm.tokenizer, [of_clip.embeds for of_clip in tokens], turns)


def only_hardest(packed: Packed, turns: list[list[tuple[str, str]]]) -> Packed:
    """The same batch with only the answers to the HARDEST questions."""
    hardest = [[question.startswith(HARDEST) for question, _ in of_clip] + [False] for of_clip in turns]  # -1: no turn
    asked = [torch.tensor(of_clip)[turn] for of_clip, turn in zip(hardest, packed.turn, strict=True)]
    return replace(packed, labels=packed.labels.where(torch.stack(asked), IGNORE))


def answers_loss(
    vlm: VideoLM, stage: Stage, packed: Packed, turns: list[list[tuple[str, str]]], after: tuple[Tensor, ...]
) -> Tensor:
    """The loss of all answers, and once more of the hardest ones."""
    hardest = answer_loss(vlm, only_hardest(packed, turns), after)
    return answer_loss(vlm, packed, after) + stage.hardest * hardest


def answer_loss(vlm: VideoLM, packed: Packed, after: tuple[Tensor, ...]) -> Tensor:
    """The mean loss over the tokens of the answers. `after`: the states after 0, 1, ... layers."""
    logits, target = answer_logits(vlm.model, packed, after[-1])
    return F.cross_entropy(logits, target)


def naming_loss(
    vlm: VideoLM,
    naming: Naming,
    clips: list[toybox.Clip],
    indices: list[int],
    tokens: list[VisualTokens],
    packed: Packed,
    after: tuple[Tensor, ...],
) -> Tensor:
    """The loss of naming events and what is new, halfway through the language model, and how many things were new, a
    layer later."""
    events = np.stack([[events_of(clip, index) for index in indices] for clip in clips])
    news = np.stack([first_appearances(clip, indices) for clip in clips])
    halfway, later = (layer[:, packed.visual] for layer in after[len(after) // 2 :][:2])
    loss = naming.loss_of_events(vlm, tokens[0], halfway, torch.from_numpy(events))
    loss = loss + naming.loss_of_news(vlm, tokens[0], halfway, torch.from_numpy(news))
    return loss + naming.loss_of_counting(vlm, tokens[0], later, torch.from_numpy(news))


# ---------------------------------------------------------------------------------------------------------------------
# Training, with checkpoints
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Run:
    """A training run: the model, what it is trained with, and the folder of its checkpoint and log."""

    vlm: VideoLM
    naming: Naming
    recipe: tuple[Stage, ...]
    seed: int
    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def parameters(self, stage: Stage) -> list[nn.Parameter]:
        tower = list(self.vlm.model.model.vision_tower.parameters())
        if stage.name == "vision":
            projector = list(self.vlm.model.model.multi_modal_projector.parameters())
            return tower + projector + [self.vlm.model.get_input_embeddings().weight] + list(self.naming.parameters())
        frozen = {id(parameter) for parameter in tower}
        return [parameter for parameter in self.vlm.model.parameters() if id(parameter) not in frozen]

    def optimizers(self, stage: Stage) -> list[torch.optim.Optimizer]:
        """AdamW, and from stage 2 on Muon for the matrices of the language model's layers: it needs fewer steps."""
        layers = self.vlm.model.model.language_model.layers.parameters()
        matrices = [] if stage.name == "vision" else [parameter for parameter in layers if parameter.ndim == 2]
        taken = {id(matrix) for matrix in matrices}
        others = [parameter for parameter in self.parameters(stage) if id(parameter) not in taken]
        adamw = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.01)
        return [adamw, Muon(matrices)] if matrices else [adamw]

    def loss(self, stage: Stage, step: int) -> Tensor:
        """The loss of one batch. Its place in the recipe determines its randomness."""
        rng = random.Random(f"{self.seed} {stage.name} {step}")
        noise = np.random.default_rng(rng.getrandbits(64))
        if stage.name == "vision":
            return vision_loss(self.vlm, self.naming, stage.batch, rng, noise)
        if stage.name == "images":
            return image_loss(self.vlm, self.naming, stage, rng, noise)
        batch_loss = clip_loss if stage.name == "clips" else video_loss
        return batch_loss(self.vlm, self.naming, stage, rng, noise)

    def tensors(self) -> dict[str, Tensor]:
        """All weights by name. The output layer is left out: it is the input embedding."""
        named = [("model.", self.vlm.model), ("naming.", self.naming)]
        weights = {prefix + name: tensor for prefix, module in named for name, tensor in module.state_dict().items()}
        return {name: tensor for name, tensor in weights.items() if name != "model.lm_head.weight"}


def start(folder: Path, recipe: tuple[Stage, ...] = TINY_RECIPE, seed: int = 0) -> Run:
    """A run before its first step."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer()
    vlm = VideoLM(tiny_model(len(tokenizer)), tokenizer, PixelSettings(toybox.CANVAS, crop=True), "tiny")
    return Run(vlm, Naming(tokenizer, vlm.model.config.text_config.hidden_size), recipe, seed, Path(folder))


def train(run: Run) -> VideoLM:
    """Trains the remaining steps after the run's checkpoint, if there is one; returns the model.

    Raises ValueError if the checkpoint comes from another recipe or seed.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    stages_done, steps_done, moments = restore(run)
    for number, stage in enumerate(run.recipe[stages_done:], stages_done):
        train_stage(run, number, steps_done, moments)
        steps_done, moments = 0, {}
        if stage.name == "images":
            save_model(run.vlm, run.folder / "tiny-image")
    save_model(run.vlm, run.folder / "tiny-vlm")
    return run.vlm


def train_stage(run: Run, number: int, steps_done: int, moments: dict) -> None:
    stage = run.recipe[number]
    parameters, optimizers = run.parameters(stage), run.optimizers(stage)
    for place, of_optimizer in moments.items():
        groups = optimizers[place].state_dict()["param_groups"]
        optimizers[place].load_state_dict({"state": of_optimizer, "param_groups": groups})
    began, losses = time.monotonic(), []
    for step in tqdm(range(steps_done, stage.steps), stage.name, initial=steps_done, total=stage.steps):
        loss = checked_loss(run.loss(stage, step), stage, step)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in optimizers:
            faster = MUON if isinstance(optimizer, Muon) else 1
            optimizer.param_groups[0]["lr"] = faster * learning_rate(stage, step)
            optimizer.step()
        losses.append(loss.item())
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == stage.steps:
            save_checkpoint(run, number, step + 1, optimizers)
            log(run.folder, f"{stage.name},{step + 1},{np.mean(losses):.4f},{time.monotonic() - began:.0f}")
            began, losses = time.monotonic(), []


def checked_loss(loss: Tensor, stage: Stage, step: int) -> Tensor:
    """Returns `loss`; raises ValueError if it is NaN or infinite, so that the last checkpoint survives."""
    if not loss.isfinite():
        raise ValueError(f"the loss is {loss.item()} at step {step + 1} of {stage.name}: lower its learning rate")
    return loss


def learning_rate(stage: Stage, step: int) -> float:
    """Up in 50 steps, then down along a cosine to a fiftieth.

    >>> stage = Stage("videos", 1000, 24, 1e-3)
    >>> [round(learning_rate(stage, step), 5) for step in (0, 50, 999)]
    [2e-05, 0.00099, 2e-05]
    """
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / stage.steps)
    return stage.learning_rate * min(1, (step + 1) / 50) * (0.02 + 0.98 * cosine)


def log(folder: Path, line: str, header: str = "stage,step,loss,seconds") -> None:
    with open(folder / "log.csv", "a", encoding="utf-8") as file:
        if not file.tell():
            file.write(header + "\n")
        file.write(line + "\n")


def save_checkpoint(run: Run, number: int, step: int, optimizers: list[torch.optim.Optimizer]) -> None:
    """Writes weights and the optimizers' moments to one temporary file, then renames it."""
    moments = {
        f"moments.{place}.{i}.{name}": tensor
        for place, optimizer in enumerate(optimizers)
        for i, of_parameter in optimizer.state_dict()["state"].items()
        for name, tensor in of_parameter.items()
    }
    where = {"recipe": repr((run.recipe, run.seed)), "stage": str(number), "step": str(step)}
    with written_whole(run.checkpoint) as beside:
        save_file(run.tensors() | moments, beside, metadata=where)


def restore(run: Run) -> tuple[int, int, dict]:
    """Loads the checkpoint into the run: stages done, steps done in the next, and the optimizers' moments there."""
    if not run.checkpoint.exists():
        return 0, 0, {}
    moments = defaultdict(lambda: defaultdict(dict))  # optimizer -> parameter -> name -> tensor
    with safe_open(run.checkpoint, framework="pt") as file:
        where, weights = file.metadata(), run.tensors()
        if where["recipe"] != repr((run.recipe, run.seed)):
            raise ValueError(
                f"{run.checkpoint} is of another recipe or seed: delete {run.folder} to start from nothing"
            )
        for name in file.keys():
            if name in weights:
                weights[name].copy_(file.get_tensor(name))
            else:
                _, place, parameter, moment = name.split(".")
                moments[int(place)][int(parameter)][moment] = file.get_tensor(name)
    return int(where["stage"]), int(where["step"]), dict(moments)


def save_model(vlm: VideoLM, folder: Path) -> None:
    """Model and tokenizer as `from_pretrained` reads them; each file gets a temporary name and is then renamed."""
    beside = folder.with_name(f".{folder.name}.part")
    vlm.model.save_pretrained(beside)
    vlm.tokenizer.save_pretrained(beside)
    folder.mkdir(parents=True, exist_ok=True)
    for file in beside.iterdir():
        os.replace(file, folder / file.name)
    beside.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lib.workshop.tiny", description="Train the tiny model from nothing."
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("build/tiny"), help="for the checkpoint, the log, the models"
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="destination of the two trained models")
    arguments = parser.parse_args()
    run = start(arguments.folder)
    if run.checkpoint.exists():
        print(f"going on from {run.checkpoint}; delete {run.folder} to start from nothing")
    began = time.monotonic()
    train(run)
    for name in ("tiny-image", "tiny-vlm"):
        save_model(load(run.folder / name), arguments.data / name)
    print(f"trained in {(time.monotonic() - began) / 60:.0f} minutes; log: {run.folder / 'log.csv'}")


if __name__ == "__main__":
    main()
