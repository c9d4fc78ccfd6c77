"""Videos with captions, from Toybox or from AI-Hub, and the batches that train a model to caption them.

    toybox_videos, read_aihub -> Video -> Example or Pair -> Collator -> vlm.model, inside vlm.looking_through(reducer)

A Video knows its frames and its captions, whatever it is made of. Examples are what the user says and what the model
should answer; Features looks at each clip once; the Collator makes the tensors. What it returns is what transformers'
Trainer, TRL and a loop in plain torch take alike. (`lib.packing` is the way of tiny's own training from nothing: many
short questions in one sequence, by a mask that no trainer but ours knows.)

What this module does not do: download AI-Hub (it takes a Korean account and may not be passed on), or several videos in
one prompt.
"""

import hashlib
import os
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lib import toybox
from lib.aihub import SAMPLE_SEEDS, Folder, Problem, read_aihub, write_aihub  # noqa: F401 (all is imported from here)
from lib.packing import IGNORE
from lib.reducers import Reducer
from lib.videos import Split, Video, split, toybox_videos, unique  # noqa: F401
from lib.vlm.model import VideoLM, check_context

FEATURE_FILES = "features-*"  # what Features may delete in its folder: nothing else


# ---------------------------------------------------------------------------------------------------------------------
# What is said about them
# ---------------------------------------------------------------------------------------------------------------------


class Example(NamedTuple):
    """What a user says about a video (without `<video>`), and what the model should answer."""

    video: Video
    prompt: str
    answer: str


class Pair(NamedTuple):
    """Two answers about a video, of which the first is better: what DPO learns from."""

    video: Video
    prompt: str
    chosen: str
    rejected: str


def captioning(videos: Sequence[Video], language: str) -> list[Example]:
    """One example per video: the prompt of that language, and the caption. Raises ValueError where there is none.

    >>> captioning(toybox_videos([7]), "ko")[0].prompt
    '영상을 설명하십시오.'
    """
    for video in videos:
        if language not in video.captions:
            raise ValueError(f"{video.name} has no caption in {language!r}, only in {sorted(video.captions)}")
    return [Example(video, toybox.CAPTION_PROMPTS[language], video.captions[language]) for video in videos]


# ---------------------------------------------------------------------------------------------------------------------
# Features
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Features:
    """Video -> features (T, h, w, C) on the CPU, from the vision tower once and from a cache ever after.

    The cache is memory or, with a folder, files that outlive the session: one safetensors file for each video, known
    by what was seen (a file's path, size and time of change, or the drawn clip), how many frames of it, and the weights
    of the vision tower. It holds at most `max_bytes`; whatever was not used for the longest time goes first. A clip of
    16 frames is 393 kB for tiny and 19 MB for the 7B in float16: give it room for all videos that an epoch goes
    through, or nothing will be left when the next one begins.

    dtype: None stores what the tower computed (float32 on a CPU, float16 or bfloat16 on a GPU): then no loss changes.
    torch.float16 halves float32 and rounds each number by up to one part in 2,000.

    Only for a frozen tower. Raises ValueError where not even one video fits into max_bytes.

    >>> from lib import vlm
    >>> features, video = Features(vlm.load("tiny"), frames=4), toybox_videos([7])[0]
    >>> features(video).shape, features(video) is features(video), features.encoded
    (torch.Size([4, 8, 8, 96]), True, 1)
    """

    vlm: VideoLM
    frames: int
    folder: str | os.PathLike | None = None
    max_bytes: int = 2**30
    dtype: torch.dtype | None = None
    encoded: int = field(default=0, init=False)  # how many times the tower had to look
    memory: OrderedDict[str, Tensor] = field(default_factory=OrderedDict, init=False, repr=False)

    def __call__(self, video: Video) -> Tensor:
        key = self.key(video)
        features = self.recall(key) if self.folder is None else self.read(key)
        if features is None:
            features = self.vlm.encode(video.frames(self.frames)).to("cpu", self.dtype)
            self.encoded += 1
            (self.remember if self.folder is None else self.write)(key, features)
        return features

    @cached_property
    def way(self) -> bytes:
        """A digest of all that decides over the features besides the video."""
        config = self.vlm.model.config
        layer = (config.vision_feature_layer, config.vision_feature_select_strategy)
        digest = hashlib.sha256(repr((self.frames, self.dtype, self.vlm.pixels, layer)).encode())
        for name, weights in self.vlm.model.model.vision_tower.state_dict().items():
            digest.update(name.encode() + weights.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.digest()

    def key(self, video: Video) -> str:
        """The name under which a video's features are kept."""
        seen = repr(video.clip)
        if video.path is not None:
            stat = os.stat(video.path)
            seen = repr((os.path.realpath(video.path), stat.st_size, stat.st_mtime_ns))
        return hashlib.sha256(self.way + seen.encode("utf-8", "surrogateescape")).hexdigest()

    def recall(self, key: str) -> Tensor | None:
        if key in self.memory:
            self.memory.move_to_end(key)
        return self.memory.get(key)

    def remember(self, key: str, features: Tensor) -> None:
        self.check_size(features.nbytes)
        self.memory[key] = features
        while sum(kept.nbytes for kept in self.memory.values()) > self.max_bytes:
            self.memory.popitem(last=False)

    def path(self, key: str) -> Path:
        return Path(self.folder) / f"features-{key}.safetensors"

    def read(self, key: str) -> Tensor | None:
        """The features in the folder; None where there are none or the file is damaged, which is said."""
        try:
            features = load(self.path(key).read_bytes())["features"]
            os.utime(self.path(key))  # used just now
        except FileNotFoundError:
            return None
        except SafetensorError:
            warnings.warn(f"{self.path(key)} is damaged, perhaps cut off: it is made again", stacklevel=3)
            return None
        return features

    def write(self, key: str, features: Tensor) -> None:
        """Written beside and then renamed, so that no other process reads half a file; then the oldest go."""
        data = save({"features": features.contiguous()})
        self.check_size(len(data))
        self.path(key).parent.mkdir(parents=True, exist_ok=True)
        beside = self.path(key).with_suffix(f".{os.getpid()}.part")
        beside.write_bytes(data)
        os.replace(beside, self.path(key))
        delete_oldest(Path(self.folder), self.max_bytes)

    def check_size(self, size: int) -> None:
        if size > self.max_bytes:
            raise ValueError(
                f"the features of one video take {size:,} bytes, the cache may hold {self.max_bytes:,}: "
                "give it more max_bytes, or look at fewer frames"
            )


def delete_oldest(folder: Path, max_bytes: int) -> None:
    """Deletes feature files, and pieces that were never finished, the longest unused first, until the rest fits."""
    kept = []
    for path in folder.glob(FEATURE_FILES):
        with suppress(FileNotFoundError):  # another process may delete as well
            stat = path.stat()
            kept.append((stat.st_mtime_ns, stat.st_size, path))
    too_much = sum(size for _, size, _ in kept) - max_bytes
    for _, size, path in sorted(kept):
        if too_much <= 0:
            break
        path.unlink(missing_ok=True)
        too_much -= size


# ---------------------------------------------------------------------------------------------------------------------
# Batches
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Collator:
    """Examples -> the batch that the model takes inside `vlm.looking_through(reducer)`, on the CPU, as trainers expect.

    `<video>` is repeated once for each visual token that the reducer will make; the answer ends in the end token; what
    is no answer is masked in the labels. Nothing is ever truncated: a cut through the visual tokens is an error later,
    a cut through the answer teaches captions without an end.

    `features` is any function Video -> (T, h, w, C), such as Features. Raises ValueError for a reducer that looks at
    the question (transformers' forward does not pass it on), for a sequence longer than the context, and for answers
    that are empty or hold special tokens.

    >>> from lib import vlm as models
    >>> vlm = models.load("tiny")
    >>> collator = Collator(vlm, vlm.default_reducer, Features(vlm, frames=4))
    >>> batch = collator(captioning(toybox_videos([7, 8]), "en"))
    >>> batch["pixel_values_videos"].shape, int((batch["input_ids"] == vlm.model.config.video_token_id).sum())
    (torch.Size([2, 4, 8, 8, 96]), 128)
    >>> with vlm.looking_through(vlm.default_reducer):
    ...     vlm.model(**batch).loss.item() > 0
    True
    """

    vlm: VideoLM
    reducer: Reducer
    features: Callable[[Video], Tensor]

    def __post_init__(self):
        if self.reducer.takes_question:
            raise ValueError(
                f"{type(self.reducer).__name__} looks at the question, which transformers' forward does not pass on: "
                "use a reducer that does not (LlamaVid with keep='content'), or train with lib.train_llama_vid"
            )

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """For training, padded on the right: input_ids, attention_mask and labels (B, L), pixel_values_videos."""
        seen = self.look([example.video for example in examples])
        rows = [self.row(*example, seen.shape[1:]) for example in examples]
        labels = [[IGNORE] * asked + ids[asked:] for ids, asked in rows]
        return self.inputs(rows) | {"labels": padded(labels, IGNORE), "pixel_values_videos": seen}

    def pairs(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """For TRL's DPOTrainer: 2 B rows, the chosen ones first. completion_mask is 1 on answers and end tokens."""
        seen = self.look([pair.video for pair in pairs])
        chosen = [Example(pair.video, pair.prompt, pair.chosen) for pair in pairs]
        rejected = [Example(pair.video, pair.prompt, pair.rejected) for pair in pairs]
        rows = [self.row(*example, seen.shape[1:]) for example in chosen + rejected]
        answers = [[0] * asked + [1] * (len(ids) - asked) for ids, asked in rows]
        return self.inputs(rows) | {"completion_mask": padded(answers, 0), "pixel_values_videos": torch.cat([seen] * 2)}

    def prompts(self, examples: Sequence[Example], new_tokens: int = 0) -> dict[str, Tensor]:
        """For generation: prompts without answers, padded on the left; `new_tokens` more must fit into the context."""
        seen = self.look([example.video for example in examples])
        rows = [self.row(video, prompt, None, seen.shape[1:], new_tokens) for video, prompt, _ in examples]
        return self.inputs(rows, left=True) | {"pixel_values_videos": seen}

    def look(self, videos: Sequence[Video]) -> Tensor:
        """The features (B, T, h, w, C) of B videos."""
        if not videos:
            raise ValueError("there is nothing to make a batch of: give at least one example")
        return torch.stack([self.features(video) for video in videos])

    def row(
        self, video: Video, prompt: str, answer: str | None, shape: Sequence[int], new_tokens: int = 0
    ) -> tuple[list[int], int]:
        """The token ids of one sequence, `<video>` repeated, and how many of them are the prompt."""
        asked = self.vlm.prompt(prompt)
        self.vlm.chat.check(asked, has_video=True)
        ids = self.vlm.tokenizer(asked).input_ids
        try:
            answered = [] if answer is None else self.answer_ids(asked, ids, answer)
            check_context(self.vlm.context, len(ids) - 1 + len(answered) + new_tokens, self.reducer, shape)
        except ValueError as error:
            raise ValueError(f"{video.name}: {error}") from None
        token = self.vlm.model.config.video_token_id
        at, visual = ids.index(token), [token] * self.reducer.count(*shape[:3])
        ids = ids[:at] + visual + ids[at + 1 :]
        return ids + answered, len(ids)

    def answer_ids(self, asked: str, asked_ids: list[int], answer: str) -> list[int]:
        """The tokens of an answer and the end token, cut from prompt and answer tokenised as one text, as in use."""
        tokenizer, config = self.vlm.tokenizer, self.vlm.model.config
        if not answer.strip():
            raise ValueError("its answer is empty: leave the example out")
        gap = "" if asked[-1].isspace() else " "
        ids = tokenizer(asked + gap + answer.strip()).input_ids
        if ids[: len(asked_ids)] != asked_ids:
            raise ValueError(f"the tokenizer joins the end of the prompt to the answer {answer[:20]!r}: reword it")
        answered = ids[len(asked_ids) :]
        special = {*tokenizer.all_special_ids, config.video_token_id, config.image_token_id}
        for token in special - {tokenizer.unk_token_id}:
            if token in answered:
                raise ValueError(f"its answer holds the special token {tokenizer.decode([token])}: take it out")
        return answered + [tokenizer.eos_token_id]

    def inputs(self, rows: Sequence[tuple[list[int], int]], left: bool = False) -> dict[str, Tensor]:
        """input_ids and attention_mask (B, L) of the rows' tokens."""
        tokenizer = self.vlm.tokenizer
        pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        ids = [ids for ids, _ in rows]
        return {
            "input_ids": padded(ids, pad, left),
            "attention_mask": padded([[1] * len(row) for row in ids], 0, left),
        }


def padded(rows: Sequence[list[int]], fill: int, left: bool = False) -> Tensor:
    """(B, longest): the rows, filled up on the right or on the left.

    >>> padded([[1, 2], [3]], 0).tolist(), padded([[1, 2], [3]], 0, left=True).tolist()
    ([[1, 2], [3, 0]], [[1, 2], [0, 3]])
    """
    longest = max(map(len, rows))
    fills = [[fill] * (longest - len(row)) for row in rows]
    return torch.tensor([more + row if left else row + more for row, more in zip(rows, fills, strict=True)])


if __name__ == "__main__":
    write_aihub(sys.argv[1] if len(sys.argv) > 1 else "data/aihub_sample")
