"""`VideoLM`: encodes frames, reduces them to visual tokens, splices these into the prompt, and answers.

Images work too: `image_tokens` makes an image's visual tokens (AnyRes), and `answer` accepts them in place of a clip.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from packaging.version import Version
from torch import Tensor
from transformers import (
    LlavaNextVideoForConditionalGeneration,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TextStreamer,
    __version__,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from lib import anyres
from lib.anyres import anyres_grid
from lib.known import FRAMES_PER_BLOCK
from lib.reducers import Reducer, SpatialPool, VisualTokens
from lib.vlm.chat import VICUNA, Chat
from lib.vlm.pixels import FrameArray, PixelSettings, checked_frames
from lib.vlm.sharded import is_sharded

NEWLINE_INSIDE = Version("5.18")  # from this transformers on, OneVision adds its newline when it makes video features
Seen = FrameArray | VisualTokens  # frames, their features (T, h, w, C) as floating-point numbers, or what is spliced


class AnswerStreamer(TextStreamer):
    """Prints an answer while it is written, without the blank before its first word."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.begun = False

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        text = text if self.begun else text.lstrip()
        self.begun = self.begun or bool(text)
        super().on_finalized_text(text, stream_end)


@dataclass(frozen=True, eq=False)
class VideoLM:
    """A video language model and its tokenizer, as `load` returns them.

    A method that takes a clip accepts its frames or the features from `encode`. So encode a clip once to ask many
    questions about it, or to compare reducers. Finished visual tokens, such as those of an image, also work.

    >>> from lib.vlm.loading import load
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
    def origin(self) -> dict[str, str | None]:
        """The model's name and commit, as every file of results records them.

        >>> from lib.vlm import load
        >>> load("tiny").origin
        {'model': 'tiny', 'revision': None}
        """
        return {"model": self.name, "revision": self.revision}

    @property
    def context(self) -> int:
        """The longest sequence it takes, in tokens: the trained positions, times the factor of RoPE scaling."""
        text = self.model.config.text_config
        rope = text.rope_parameters or {}
        factor = rope["factor"] if rope.get("rope_type") in ("linear", "dynamic") else 1
        return int(text.max_position_embeddings * factor)

    @cached_property
    def default_reducer(self) -> Reducer:
        """The reducer that the model was trained with, as in transformers."""
        if isinstance(self.model, LlavaOnevisionForConditionalGeneration):
            return SpatialPool(2, "bilinear", "before", "one", self.model.model.image_newline)
        config = self.model.config
        conv = self.model.model.vision_resampler.pool if config.spatial_pool_mode == "conv" else None
        return SpatialPool(config.spatial_pool_stride, config.spatial_pool_mode, conv=conv)

    def preprocess(self, frames: FrameArray) -> Tensor:
        """(T, H, W, 3) uint8 -> pixel values (T, 3, size, size) float32, those of transformers' video processor."""
        return self.pixels.normalise(self.pixels.resize(checked_frames(frames)))

    @torch.no_grad()
    def encode(self, frames: FrameArray) -> Tensor:
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
            patches = patches[:, 1:]  # drop CLS; SigLIP has none
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

        Raises ValueError for a model that is not a LLaVA-NeXT: OneVision packs its tiles differently.
        """
        if not isinstance(self.model, LlavaNextVideoForConditionalGeneration):
            raise ValueError(f"{self.name} is not a LLaVA-NeXT and packs images differently: for images load('tiny')")
        return anyres_grid(height, width, self.model.config.image_grid_pinpoints, self.pixels.size)

    def crops(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (1 + n, size, size, 3) uint8: the overview and the n tiles of an image."""
        anyres.check_image(image)
        return anyres.crops(image, self.tile_grid(*image.shape[:2]), self.pixels.size)

    def image_tokens(self, image: np.ndarray) -> VisualTokens:
        """(H, W, 3) uint8 -> the visual tokens of an image by AnyRes; `lib.anyres.anyres_tokens` gives their number.

        Pass them in place of a clip. (An image's own placeholder is `<image>`, but the visual tokens replace it.)

        >>> from lib.vlm.loading import load
        >>> vlm = load("tiny")
        >>> tokens = vlm.image_tokens(np.zeros((128, 96, 3), np.uint8))      # 8 x 8, then 16 rows of 12 and a newline
        >>> len(tokens), vlm.answer(tokens, "What colour is the circle?") != ""
        (272, True)
        """
        features = self.project(self.encode(self.crops(image)))
        grid = self.tile_grid(*image.shape[:2])
        return anyres.pack(features, image.shape[:2], grid, self.model.model.image_newline)

    def prompt(self, question: str) -> str:
        """The prompt that this model was trained with; `<video>` marks the place of the visual tokens."""
        return self.chat.prompt(question)

    def room(self, frames: int, question: str) -> int:
        """The context that remains for the answer to a question about that many frames, in tokens."""
        side = self.model.config.vision_config.image_size // self.model.config.vision_config.patch_size
        asked = len(self.tokenizer(self.prompt(question)).input_ids) - 1
        return self.context - asked - self.default_reducer.count(frames, side, side)

    def splice(self, input_ids: Tensor, visual: VisualTokens | None = None) -> Tensor:
        """Token ids (L,) -> embeddings (L - 1 + N, D): the N visual tokens in place of `<video>`.

        Raises ValueError for `<video>` without visual tokens, or visual tokens without exactly one `<video>`.
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

    def sequence(self, clip: Seen | None, prompt: str, reducer: Reducer | None = None, new_tokens: int = 0) -> Tensor:
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
        clips: Sequence[Seen | None],
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
        makes their visual tokens. So Trainer, TRL and generate work with any reducer. The vision tower is frozen and
        encodes each clip once instead of in every step. A prompt holds one `<video>` per visual token.

        Raises ValueError for OneVision in an older transformers, whose forward always added a newline.
        """
        if isinstance(self.model, LlavaOnevisionForConditionalGeneration) and Version(__version__) < NEWLINE_INSIDE:
            raise ValueError(f"OneVision needs transformers {NEWLINE_INSIDE}, here is {__version__}: pip install -U it")

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
    def logits(self, clip: Seen | None, prompt: str, reducer: Reducer | None = None) -> Tensor:
        """(L, V): for each position of the spliced sequence, the scores of the next token."""
        return self.model(**self.batch([clip], [prompt], reducer)).logits[0]

    def answer(self, frames: Seen, question: str, reducer: Reducer | None = None, max_new_tokens: int = 32) -> str:
        """The model's most likely answer to one question about one clip, word by word (greedy)."""
        return self.answers([frames], [question], reducer, max_new_tokens)[0]

    def answers(
        self,
        clips: Sequence[Seen],
        questions: Sequence[str],
        reducer: Reducer | None = None,
        max_new_tokens: int = 32,
    ) -> list[str]:
        """One answer for each (clip, question), all at once."""
        ids = self.generate(clips, questions, reducer, max_new_tokens)
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    @torch.no_grad()
    def generate(
        self,
        clips: Sequence[Seen],
        questions: Sequence[str],
        reducer: Reducer | None = None,
        max_new_tokens: int = 32,
        streamer: TextStreamer | None = None,
    ) -> Tensor:
        """The tokens of the answers (B, at most max_new_tokens), greedy, with padding after an end token."""
        prompts = [self.prompt(question) for question in questions]
        inputs = self.batch(clips, prompts, reducer, max_new_tokens)
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        return self.model.generate(  # the 34B's configuration still switches the cache off, as in training
            **inputs,
            do_sample=False,
            max_new_tokens=max_new_tokens,
            pad_token_id=pad,
            use_cache=True,
            streamer=streamer,
            synced_gpus=is_sharded(self.model),  # no process may stop early: the others need its part
        )


def check_context(
    context: int, text: int, reducer: Reducer | None = None, shape: Sequence[int] = (0,), visual: int = 0
) -> None:
    """Raises ValueError if `text` tokens and the visual ones exceed the context.

    Their number is `visual`, or with a reducer its count for features of that shape.

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
