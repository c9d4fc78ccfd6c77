"""The video language model: from frames to an answer, with one interface for three sizes.

frames (T, H, W, 3) uint8 -> preprocess -> pixels -> encode -> features (T, h, w, C) -> a reducer -> visual tokens
(N, D) -> splice, where `<video>` stands in the prompt -> answer. "tiny" ships with the course; half a billion or
seven billion parameters come from the Hugging Face Hub. All are the classes of transformers, with safetensors weights.

An image takes the same way: `image_tokens` makes its visual tokens (AnyRes), and `answer` takes them for a clip.

What this module does not do: several videos in one prompt, sampling (answers are greedy).
"""

import copy
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    BitsAndBytesConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from lib import anyres, machine, quiet
from lib.budget import GIB, anyres_grid, nf4_bytes
from lib.files import DATA
from lib.hub import REVISIONS, SETTINGS, Source, cached_folder, look_up, weight_files
from lib.reducers import Reducer, SpatialPool, VisualTokens

Frames = np.ndarray | Tensor  # (T, H, W, 3) uint8
Clip = Frames | VisualTokens  # frames, their features (T, h, w, C) as floating-point numbers, or what is spliced

TINY = DATA / "tiny-vlm"
REAL_MODELS = ("llava-hf/llava-onevision-qwen2-0.5b-ov-hf", "llava-hf/LLaVA-NeXT-Video-7B-hf")
OTHER_MODELS = f"Load 'tiny', a folder that save_pretrained wrote, or a Hub id such as {REAL_MODELS[0]}"
ROPE_KINDS = ("default", *ROPE_INIT_FUNCTIONS)
HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
FRAMES_PER_BLOCK = 16  # frames that the vision tower sees at once: bounds the memory, changes nothing else
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


# ---------------------------------------------------------------------------------------------------------------------
# Prompts
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chat:
    """How a model is talked to: `opening` + question + `closing`.

    >>> VICUNA.prompt("What moves?")
    'USER: <video>\\nWhat moves? ASSISTANT:'
    >>> VICUNA.question("USER: <video>\\nWhat moves? ASSISTANT:")
    'What moves?'
    """

    opening: str
    closing: str

    def prompt(self, question: str) -> str:
        return f"{self.opening}{question}{self.closing}"

    def question(self, prompt: str) -> str:
        """What a prompt asks: the text between the opening and the closing."""
        return prompt.partition(self.opening)[2].removesuffix(self.closing)

    def check(self, prompt: str, has_video: bool) -> None:
        """Raises ValueError unless `<video>` stands once, where frames belong, and the prompt ends in its closing."""
        fix = f"write {self.prompt('...')!r}, as VideoLM.prompt('...') does"
        count = prompt.count("<video>")
        if not has_video and count:
            raise ValueError(f"the prompt {prompt!r} holds <video> but there are no frames: pass the frames of a clip")
        if has_video and count != 1:
            raise ValueError(f"the prompt {prompt!r} holds <video> {count} times where 1 belongs: {fix}")
        if has_video and self.opening not in prompt:
            raise ValueError(f"<video> stands in the wrong place of the prompt {prompt!r}: {fix}")
        if not prompt.endswith(self.closing.strip(" ")):
            raise ValueError(f"the prompt {prompt!r} must end in {self.closing.strip(' ')!r}: {fix}")


VICUNA = Chat("USER: <video>\n", " ASSISTANT:")  # model card of LLaVA-NeXT-Video-7B-hf
QWEN = Chat("<|im_start|>user\n<video>\n", "<|im_end|>\n<|im_start|>assistant\n")  # transformers' OneVision conversion
# Of the 34B: LLaVA-NeXT `llava/conversation.py`, chatml_direct. No line break follows <|im_end|>.
YI = Chat(
    "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n<video>\n",
    "<|im_end|><|im_start|>assistant\n",
)

# SlowFast-LLaVA asks in words of its own (apple/ml-slowfast-llava `prompt.py`, image_seq_v3 and image_seq_34b_v3).
KEY_FRAMES = (
    "The input consists of a sequence of key frames from a video. Answer concisely with overall content and context "
    "of the video, highlighting any significant events, characters, or objects that appear throughout the video. "
    "Question: "
)
SLOWFAST_VICUNA = Chat(f"USER: <video>\n{KEY_FRAMES}", " \nASSISTANT:\nAnswer: In the video,")
SLOWFAST_YI = Chat(
    f"<|im_start|>system\n Answer the question. <|im_end|>\n<|im_start|>user\n <video>\n{KEY_FRAMES}",
    " <|im_end|>\n<|im_start|>assistant\nAnswer: In the video,",
)


@dataclass(frozen=True)
class Family:
    """What differs between the model classes."""

    model_class: type[PreTrainedModel]
    chatml: Chat  # of those models whose tokenizer knows <|im_start|>
    crop: bool  # see PixelSettings


FAMILIES = {
    "llava_next_video": Family(LlavaNextVideoForConditionalGeneration, YI, crop=True),
    "llava_onevision": Family(LlavaOnevisionForConditionalGeneration, QWEN, crop=False),
}


# ---------------------------------------------------------------------------------------------------------------------
# Pixels
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PixelSettings:
    """How frames become pixel values, as in a model's video_preprocessor_config.json."""

    size: int  # pixels on a side
    crop: bool  # True: resize the shortest side, cut out the centre. False: squash to a square
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def resize(self, frames: np.ndarray) -> Tensor:
        """(T, H, W, 3) uint8 -> (T, 3, size, size) uint8. Bicubic with antialiasing: the very call of torchvision.

        >>> frame = np.tile(np.uint8([[[0], [100], [200], [250]]]), (2, 1, 3))
        >>> PixelSettings(size=2, crop=True).resize(frame[None])[0, 0, 0].tolist()
        [100, 200]
        """
        height, width = frames.shape[1:3]
        short = min(height, width)
        shape = (self.size * height // short, self.size * width // short) if self.crop else (self.size, self.size)
        top, left = (shape[0] - self.size) // 2, (shape[1] - self.size) // 2
        frames = np.require(frames, requirements=["C", "W"])  # torch takes no reversed and no read-only array
        video = torch.from_numpy(frames).permute(0, 3, 1, 2)
        video = F.interpolate(video, size=shape, mode="bicubic", antialias=True)
        return video[:, :, top : top + self.size, left : left + self.size]

    def normalise(self, video: Tensor) -> Tensor:
        """(T, 3, size, size) uint8 -> float32, near zero mean and unit deviation."""
        return (video / 255 - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]


def checked_frames(frames: Frames) -> np.ndarray:
    """Returns the frames as an array. Raises ValueError unless they are (T, H, W, 3) uint8 with T of 1 or more.

    >>> checked_frames(torch.zeros(2, 8, 8, 3, dtype=torch.uint8)).shape
    (2, 8, 8, 3)
    """
    found = f"{frames.dtype} {tuple(frames.shape)}" if isinstance(frames, Frames) else type(frames).__name__
    if isinstance(frames, Tensor) and frames.dtype == torch.uint8:
        frames = frames.numpy(force=True)
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be a uint8 array (T, H, W, 3), not {found}: pass read_frames(...).pixels")
    if 0 in frames.shape:
        raise ValueError(f"frames of shape {frames.shape} hold no pixels: read at least one frame")
    return frames


# ---------------------------------------------------------------------------------------------------------------------
# The model
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class VideoLM:
    """A video language model and its tokenizer, as `load` returns them.

    Where a method takes a clip, it takes its frames or the features that `encode` made of them: encode a clip once to
    ask many questions about it, or to compare reducers. Finished visual tokens, such as those of an image, do as well.

    >>> vlm = load("tiny")
    >>> frames = np.zeros((8, 64, 64, 3), np.uint8)
    >>> features = vlm.encode(frames)
    >>> features.shape                                                   # 8 frames of 8 x 8 patches
    torch.Size([8, 8, 8, 96])
    >>> len(vlm.default_reducer(features, vlm.project))                  # 8 frames of 4 x 4 tokens
    128
    >>> vlm.answer(features, "What colour is the circle?") == vlm.answer(frames, "What colour is the circle?")
    True
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    pixels: PixelSettings
    name: str
    chat: Chat = VICUNA

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The type in which it computes; with four_bit, not the type in which its weights are stored."""
        return self.model.model.multi_modal_projector.linear_1.weight.dtype

    @property
    def revision(self) -> str | None:
        """The commit of the Hub that was loaded; None for a folder."""
        return getattr(self.model.config, "_commit_hash", None)

    @property
    def context(self) -> int:
        """The longest sequence it takes, in tokens: the trained positions, times the factor of RoPE scaling."""
        text = self.model.config.text_config
        rope = text.rope_parameters or {}
        factor = rope["factor"] if rope.get("rope_type") in ("linear", "dynamic") else 1
        return int(text.max_position_embeddings * factor)

    @cached_property
    def default_reducer(self) -> Reducer:
        """What transformers itself does with a video: the reducer that the model was trained with."""
        if isinstance(self.model, LlavaOnevisionForConditionalGeneration):
            return SpatialPool(2, "bilinear", "before", "one", self.model.model.image_newline)
        config = self.model.config
        conv = self.model.model.vision_resampler.pool if config.spatial_pool_mode == "conv" else None
        return SpatialPool(config.spatial_pool_stride, config.spatial_pool_mode, conv=conv)

    def preprocess(self, frames: Frames) -> Tensor:
        """(T, H, W, 3) uint8 -> pixel values (T, 3, size, size) float32, those of transformers' video processor."""
        return self.pixels.normalise(self.pixels.resize(checked_frames(frames)))

    @torch.no_grad()
    def encode(self, frames: Frames) -> Tensor:
        """(T, H, W, 3) uint8 -> features (T, h, w, C) of the vision tower, a block of frames at a time."""
        frames = checked_frames(frames)
        starts = range(0, len(frames), FRAMES_PER_BLOCK)
        return torch.cat(
            [self.features_of(self.preprocess(frames[start : start + FRAMES_PER_BLOCK])) for start in starts]
        )

    def features_of(self, pixels: Tensor) -> Tensor:
        """Pixel values (T, 3, size, size) -> features (T, h, w, C): the layer that the projector was trained on."""
        config = self.model.config
        seen = self.model.model.vision_tower(pixels.to(self.device, self.dtype), output_hidden_states=True)
        patches = seen.hidden_states[config.vision_feature_layer]
        if config.vision_feature_select_strategy == "default":
            patches = patches[:, 1:]  # without CLS; SigLIP has none
        side = config.vision_config.image_size // config.vision_config.patch_size
        return patches.unflatten(1, (side, side))

    def checked_features(self, features: Tensor) -> Tensor:
        """Returns the features. Raises ValueError unless they are (T, h, w, C), with C the vision tower's width."""
        width = self.model.config.vision_config.hidden_size
        if features.dim() != 4 or features.shape[-1] != width:
            raise ValueError(
                f"features for {self.name} must be (T, h, w, {width}), not {features.dtype} {tuple(features.shape)}: "
                "pass what VideoLM.encode(frames) returns, or frames (T, H, W, 3) as uint8"
            )
        return features

    def project(self, features: Tensor) -> Tensor:
        """(..., C) -> (..., D): from the vision tower's space to that of the language model."""
        return self.model.model.multi_modal_projector(features.to(self.device, self.dtype))

    def tile_grid(self, height: int, width: int) -> tuple[int, int]:
        """(rows, columns) of AnyRes tiles for an image, as transformers chooses them from the model's pinpoints.

        Raises ValueError for a model that is no LLaVA-NeXT: OneVision packs its tiles in another way.
        """
        if not isinstance(self.model, LlavaNextVideoForConditionalGeneration):
            raise ValueError(f"{self.name} is no LLaVA-NeXT and packs images in another way: for images load('tiny')")
        return anyres_grid(height, width, self.model.config.image_grid_pinpoints, self.pixels.size)

    def crops(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (1 + n, size, size, 3) uint8: the overview and the n tiles of an image."""
        anyres.check_image(image)
        return anyres.crops(image, self.tile_grid(*image.shape[:2]), self.pixels.size)

    def image_tokens(self, image: np.ndarray) -> VisualTokens:
        """(H, W, 3) uint8 -> the visual tokens of an image by AnyRes, as many as `lib.budget.anyres_tokens` says.

        Pass them in the place of a clip. (An image's own placeholder is `<image>`, but what is spliced replaces it.)

        >>> vlm = load("tiny")
        >>> tokens = vlm.image_tokens(np.zeros((128, 96, 3), np.uint8))      # 8 x 8, then 16 rows of 12 and a newline
        >>> len(tokens), vlm.answer(tokens, "What colour is the circle?") != ""
        (272, True)
        """
        features = self.project(self.encode(self.crops(image)))
        grid = self.tile_grid(*image.shape[:2])
        return anyres.pack(features, image.shape[:2], grid, self.model.model.image_newline)

    def prompt(self, question: str) -> str:
        """The prompt that this model was trained with; `<video>` stands where the visual tokens go."""
        return self.chat.prompt(question)

    def splice(self, input_ids: Tensor, visual: VisualTokens | None = None) -> Tensor:
        """Token ids (L,) -> embeddings (L - 1 + N, D): the N visual tokens in place of `<video>`.

        Raises ValueError where `<video>` stands without visual tokens, or visual tokens come without one `<video>`.
        """
        at = (input_ids == self.model.config.video_token_id).nonzero().flatten().tolist()
        if len(at) != (visual is not None):
            raise ValueError(
                f"{len(at)} <video> in the prompt, {'no' if visual is None else 'one set of'} visual tokens: "
                "there must be one of each, or none"
            )
        embeds = self.model.get_input_embeddings()(input_ids)
        if visual is None:
            return embeds
        return torch.cat([embeds[: at[0]], visual.embeds.to(embeds), embeds[at[0] + 1 :]])

    def sequence(self, clip: Clip | None, prompt: str, reducer: Reducer | None = None, new_tokens: int = 0) -> Tensor:
        """The embeddings (L, D) of one prompt, with room for `new_tokens` more. A prompt without video: clip=None.

        Raises ValueError for a wrong prompt, and for a sequence longer than the context.
        """
        self.chat.check(prompt, clip is not None)
        ids = self.tokenizer(prompt, return_tensors="pt").input_ids[0].to(self.device)
        if clip is None:
            check_context(self.context, len(ids) + new_tokens)
            return self.splice(ids)
        if isinstance(clip, VisualTokens):
            if reducer is not None:
                raise ValueError("visual tokens are reduced already: leave reducer=None, or pass frames or features")
            check_context(self.context, len(ids) - 1 + new_tokens, visual=len(clip))
            return self.splice(ids, clip)
        reducer = self.default_reducer if reducer is None else reducer
        is_features = isinstance(clip, Tensor) and clip.is_floating_point()
        features = self.checked_features(clip) if is_features else self.encode(clip)
        check_context(self.context, len(ids) - 1 + new_tokens, reducer, features.shape)
        question = self.chat.question(prompt) if reducer.takes_question else None
        return self.splice(ids, reducer(features, self.project, question))

    def batch(
        self,
        clips: Sequence[Clip | None],
        prompts: Sequence[str],
        reducer: Reducer | None = None,
        new_tokens: int = 0,
    ) -> dict[str, Tensor]:
        """The model's inputs for B clips, padded on the left: inputs_embeds (B, L, D), attention_mask, position_ids."""
        if len(clips) != len(prompts) or not prompts:
            raise ValueError(
                f"{len(clips)} clips and {len(prompts)} prompts: give at least one clip, and one prompt for each"
            )
        rows = [self.sequence(clip, text, reducer, new_tokens) for clip, text in zip(clips, prompts, strict=True)]
        longest = max(map(len, rows))
        embeds = torch.stack([F.pad(row, (0, 0, longest - len(row), 0)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows], device=embeds.device)
        positions = torch.arange(longest, device=embeds.device) - (longest - lengths)[:, None]
        mask = (positions >= 0).long()
        return {"inputs_embeds": embeds, "attention_mask": mask, "position_ids": positions.clamp(min=0)}

    @contextmanager
    def looking_through(self, reducer: Reducer) -> Iterator[None]:
        """Inside, transformers' own forward takes features (B, T, h, w, C) as `pixel_values_videos`, and `reducer`
        makes their visual tokens. So Trainer, TRL and generate work with any reducer, and the vision tower, which is
        frozen, looks at each clip once instead of in every step. A prompt holds one `<video>` per visual token.

        Raises ValueError for OneVision, whose forward adds a newline of its own.
        """
        if not isinstance(self.model, LlavaNextVideoForConditionalGeneration):
            raise ValueError(f"{self.name} is no LLaVA-NeXT-Video: train one of those, or pass pixels")

        # `generate` looks for the name pixel_values_videos, and passes features under it
        def get_video_features(pixel_values_videos: Tensor, **_) -> BaseModelOutputWithPooling:
            tokens = [reducer(features, self.project).embeds[None] for features in pixel_values_videos]
            return BaseModelOutputWithPooling(pooler_output=torch.stack(tokens))

        self.model.model.get_video_features = get_video_features
        try:
            yield
        finally:
            del self.model.model.get_video_features

    @torch.no_grad()
    def logits(self, clip: Clip | None, prompt: str, reducer: Reducer | None = None) -> Tensor:
        """(L, V): for each position of the spliced sequence, the scores of the token that follows it."""
        return self.model(**self.batch([clip], [prompt], reducer)).logits[0]

    def answer(self, frames: Clip, question: str, reducer: Reducer | None = None, max_new_tokens: int = 32) -> str:
        """The model's most likely answer to one question about one clip, word by word (greedy)."""
        return self.answers([frames], [question], reducer, max_new_tokens)[0]

    @torch.no_grad()
    def answers(
        self,
        clips: Sequence[Clip],
        questions: Sequence[str],
        reducer: Reducer | None = None,
        max_new_tokens: int = 32,
    ) -> list[str]:
        """One answer for each (clip, question), all at once."""
        prompts = [self.prompt(question) for question in questions]
        inputs = self.batch(clips, prompts, reducer, max_new_tokens)
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        ids = self.model.generate(  # the 34B's configuration switches the cache off, as it was in training
            **inputs, do_sample=False, max_new_tokens=max_new_tokens, pad_token_id=pad, use_cache=True
        )
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]


def check_context(
    context: int, text: int, reducer: Reducer | None = None, shape: Sequence[int] = (0,), visual: int = 0
) -> None:
    """Raises ValueError where `text` tokens and the visual ones exceed the context.

    Those are `visual`, or with a reducer as many as it makes of features of that shape.

    >>> check_context(200, 40, SpatialPool(2), (10, 8, 8, 96))         # 10 frames of 16 tokens
    >>> check_context(200, 40, SpatialPool(2), (11, 8, 8, 96))
    Traceback (most recent call last):
    ValueError: 176 visual and 40 text tokens (the answer's included) exceed the context of 200: use at most 10 frames
    """
    frames, *grid = shape[:3]
    visual = reducer.count(frames, *grid) if reducer else visual
    if visual + text <= context:
        return
    fitting = (n for n in range(frames - 1, 0, -1) if reducer.count(n, *grid) + text <= context)
    fit = next(fitting, 0)
    fix = f"use at most {fit} frames" if fit else "shorten the text, or make fewer visual tokens"
    raise ValueError(
        f"{visual} visual and {text} text tokens (the answer's included) exceed the context of {context}: {fix}"
    )


# ---------------------------------------------------------------------------------------------------------------------
# Loading
# ---------------------------------------------------------------------------------------------------------------------


def load(
    name: str | os.PathLike = "tiny",
    four_bit: bool = False,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    rope: dict | None = None,
) -> VideoLM:
    """Loads "tiny", a model of the Hugging Face Hub, or a folder that save_pretrained wrote. Safetensors only.

    four_bit: the language model in 4 bits (QLoRA's nf4, doubly quantised); vision tower and projector stay whole.
    device: a GPU where there is one. dtype: float32 on a CPU; on a GPU float16, or bfloat16 where its hardware has it.
    revision: a commit, branch or tag of the Hub; without it the one in REVISIONS. `VideoLM.revision` is what came.
    rope: RoPE scaling in place of that in the configuration, for instance {"rope_type": "linear", "factor": 2.0}. The
    older key "type" does as well.

    Disk and memory are looked at before weights are downloaded or read.

    Raises FileNotFoundError where a folder holds no model, and ValueError for a model that is unknown, cannot be
    reached, has no room here, is damaged, or is of another architecture.

    >>> vlm = load("tiny")
    >>> vlm.name, vlm.context, vlm.model.num_parameters() < 2_000_000
    ('tiny', 2048, True)
    """
    quiet()
    found = find(name)
    revision = revision or REVISIONS.get(found)
    source = Source(str(name), Path(found)) if Path(found).is_dir() else look_up(found, revision)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or compute_dtype(device)
    try:
        source.fetch([file for file in SETTINGS if file in source.sizes])
        config = read_config(name, source.folder, rope)
        check_memory(name, config, four_bit, device, dtype)
        tokenizer = load_tokenizer(source.folder)  # before gigabytes of weights come
        check_video_token(name, tokenizer, config.video_token_id)
        family = FAMILIES[config.model_type]
        pixels = pixel_settings(source.folder, family, config.vision_config.image_size)
        source.fetch(weight_files(source.folder))
        source.remember(revision)
        model = read_weights(name, source.folder, config, four_bit, device, dtype)
    except (OSError, SafetensorError) as error:
        reasons = [str(error).splitlines()[0].rstrip("."), *filter(None, [source.problem])]  # it may be what is lacking
        raise ValueError(f"cannot load the model {name}: {'; '.join(reasons)}. {OTHER_MODELS}") from None
    chat = family.chatml if "<|im_start|>" in tokenizer.get_vocab() else VICUNA
    return VideoLM(model.eval(), tokenizer, pixels, str(name), chat)


def read_config(name: str | os.PathLike, folder: Path, rope: dict | None) -> PreTrainedConfig:
    """The configuration of a model, with another RoPE scaling if one is given: it must be there before the weights."""
    if not (folder / "config.json").exists():
        raise ValueError(no_model(name, folder))
    settings = PreTrainedConfig.get_config_dict(folder)[0]
    config_class = family_of(name, settings).model_class.config_class
    try:
        config = config_class.from_dict(settings)
        if rope is not None:
            text = config.text_config
            text.rope_parameters = {"rope_theta": text.rope_parameters["rope_theta"], **rope}
            text.standardize_rope_params()  # "type", the older key, becomes "rope_type"
            text.validate_rope()
    except (KeyError, TypeError) as error:
        raise ValueError(f"the configuration of {name}, with rope={rope}, is wrong: {error.args[0]}") from None
    check_rope(name, config.text_config.rope_parameters)
    config._commit_hash = folder.name if folder.parent.name == "snapshots" else None  # the layout of the Hub's cache
    return config


def check_rope(name: str | os.PathLike, rope: dict) -> None:
    """Raises ValueError for a RoPE scaling of an unknown kind, or with a factor that stretches nothing.

    >>> check_rope("tiny", {"rope_type": "linear", "factor": 2.0})
    """
    kind, factor = rope["rope_type"], rope.get("factor", 1.0)
    stretches = isinstance(factor, int | float) and (factor == 1 if kind == "default" else 1 <= factor < float("inf"))
    if kind not in ROPE_KINDS or not stretches:
        raise ValueError(
            f"{name} has RoPE scaling {rope}: give rope_type, one of {', '.join(ROPE_KINDS)}, "
            "and a factor of 1 or more (none for default)"
        )


def read_weights(
    name: str | os.PathLike,
    folder: Path,
    config: PreTrainedConfig,
    four_bit: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> PreTrainedModel:
    """The model with its weights. Raises ValueError where they do not fit the configuration."""
    quantization = {"quantization_config": four_bit_config(dtype)} if four_bit else {}
    model, report = FAMILIES[config.model_type].model_class.from_pretrained(
        folder, config=config, dtype=dtype, device_map=str(device), use_safetensors=True, trust_remote_code=False,
        output_loading_info=True, ignore_mismatched_sizes=True, **quantization,
    )  # fmt: skip
    layers = {key for key in report["unexpected_keys"] if ".layers." in key and key.endswith(".weight")}
    mismatched = {key for key, *_ in report["mismatched_keys"]}
    if wrong := sorted({*report["missing_keys"], *mismatched, *layers}):
        raise ValueError(
            f"the weights of {name} do not fit its config.json ({wrong[0]}, {len(wrong)} in all): download it again"
        )
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, never with code of its own. Raises OSError where there is none that can be read."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # tokenizers and transformers raise what comes: KeyError, ValueError, plain Exception
        reason = "it asks for code of its own, which is never run here" if "remote_code" in str(error) else str(error)
        raise OSError(f"it has no tokenizer that can be read ({reason.splitlines()[0]})") from None


def check_video_token(name: str | os.PathLike, tokenizer: PreTrainedTokenizerBase, expected: int) -> None:
    """Raises ValueError unless the tokenizer writes `<video>` as the number that the configuration expects.

    The conversion of the 34B wrote 64000 into its configuration; its tokenizer says 64003, as newer configurations do.
    """
    found = tokenizer.convert_tokens_to_ids("<video>")
    if found != expected:
        raise ValueError(
            f"the tokenizer of {name} writes <video> as {found}, its configuration expects {expected}: "
            "take another revision of the model"
        )


def find(name: str | os.PathLike) -> str:
    """The folder or Hub id that a name stands for. Raises FileNotFoundError where there is neither.

    >>> find("llava-hf/LLaVA-NeXT-Video-7B-hf")
    'llava-hf/LLaVA-NeXT-Video-7B-hf'
    """
    if name == "tiny" and not (TINY / "config.json").exists():
        raise FileNotFoundError(f"the tiny model is missing from {TINY}: restore it with git, or run `make tiny`")
    folder = TINY if name == "tiny" else Path(name)
    if (folder / "config.json").exists():
        return str(folder)
    if isinstance(name, str) and HUB_ID.fullmatch(name) and not folder.exists():
        return name
    raise FileNotFoundError(no_model(name, folder))


def no_model(name: str | os.PathLike, folder: Path) -> str:
    """What a folder without config.json is, and what to do."""
    if (folder / "adapter_config.json").exists():
        return f"{name} is a LoRA adapter, no model: load its base model, then lib.finetune.load_adapter"
    return f"there is no model in {name}: a model's folder holds config.json. {OTHER_MODELS}"


def model_files(name: str | os.PathLike, revision: str | None = None) -> list[Path]:
    """The files of a model's weights on this machine, in the order of their names."""
    found = find(name)
    folder = Path(found) if Path(found).is_dir() else cached_folder(found, revision)
    if folder is None:
        raise FileNotFoundError(f"{name} is not in the cache of this machine: load it first")
    return [folder / file for file in weight_files(folder)]


def weights_digest(name: str | os.PathLike, revision: str | None = None) -> str:
    """The sha256 of a model's weights as they lie on disk, all files in the order of their names.

    >>> weights_digest("tiny") == hashlib.sha256((TINY / "model.safetensors").read_bytes()).hexdigest()
    True
    """
    digest = hashlib.sha256()
    for path in model_files(name, revision):
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def check_memory(
    name: str | os.PathLike, config: PreTrainedConfig, four_bit: bool, device: torch.device, dtype: torch.dtype
) -> None:
    """Raises ValueError where not even the weights fit: an answer needs more (`lib.budget.plan` says how much)."""
    needed, free = weight_bytes(config, four_bit, dtype), free_bytes(device)
    if needed <= free:
        return
    in_four_bits = weight_bytes(config, True, dtype)
    fix = f"four_bit=True needs {in_four_bits / GIB:.1f} GiB" if in_four_bits <= free else "take a smaller model"
    kind = "4 bits" if four_bit else str(dtype).removeprefix("torch.")
    raise ValueError(
        f"the weights of {name} need {needed / GIB:.1f} GiB in {kind} and {device} has {free / GIB:.1f} GiB free: "
        f"{fix}, or go to a larger machine (lib.budget.plan says which)"
    )


def free_bytes(device: torch.device) -> int:
    """Free memory of a GPU; of any other device, what this process can still get (`lib.machine`)."""
    if device.type == "cuda":  # torch keeps what a model that is gone has used, and gives it to the next one
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return machine.free_memory()


def weight_bytes(config: PreTrainedConfig, four_bit: bool, dtype: torch.dtype) -> int:
    """The bytes of a model's weights, counted on one without any (torch's "meta" device).

    >>> config = load("tiny").model.config
    >>> weight_bytes(config, False, torch.float32) / weight_bytes(config, False, torch.float16)
    2.0
    """
    with torch.device("meta"):
        model = FAMILIES[config.model_type].model_class(copy.deepcopy(config))
    total = sum(weight.numel() for weight in model.parameters())
    layers = model.model.language_model.layers.modules() if four_bit else ()
    quantised = sum(layer.weight.numel() for layer in layers if isinstance(layer, nn.Linear))
    return nf4_bytes(quantised) + dtype.itemsize * (total - quantised)


def family_of(name: str | os.PathLike, config: dict) -> Family:
    """The family of a config.json. Raises ValueError for one that this course has no use for.

    >>> family_of("some/model", {"model_type": "llava_onevision"}).crop
    False
    """
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise ValueError(f"{name} is a {kind}, not one of {', '.join(FAMILIES)}. {OTHER_MODELS}")
    return FAMILIES[kind]


def compute_dtype(device: torch.device) -> torch.dtype:
    """float32 on a CPU, bfloat16 on a GPU that computes in it (Ampere and later), else float16.

    torch.cuda.is_bf16_supported() is no help: it is True on a T4, which only emulates bfloat16.
    """
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def four_bit_config(dtype: torch.dtype) -> BitsAndBytesConfig:
    """QLoRA's storage: nf4, with the quantisation constants quantised too (arXiv 2305.14314).

    transformers 5 matches the skipped names from the start: "vision_tower" alone would skip nothing.

    >>> four_bit_config(torch.float16).bnb_4bit_quant_type
    'nf4'
    """
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=["model.vision_tower", "model.multi_modal_projector", "lm_head"],
    )


def pixel_settings(folder: Path, family: Family, size: int) -> PixelSettings:
    """Mean and deviation from the files in which transformers looks, in its order; CLIP's where there are none."""
    for file in ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json"):
        settings = json.loads((folder / file).read_text("utf-8")) if (folder / file).exists() else {}
        settings = settings.get("video_processor", settings)
        if "image_mean" in settings:
            return PixelSettings(size, family.crop, tuple(settings["image_mean"]), tuple(settings["image_std"]))
    return PixelSettings(size, family.crop)
