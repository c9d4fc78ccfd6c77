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
import json
import os
import sys
import unicodedata
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lib import toybox
from lib.files import write_text
from lib.packing import IGNORE
from lib.reducers import Reducer
from lib.video import probe, read_frames, sample_uniform
from lib.vlm import VideoLM, check_context

CAPTIONS = {  # where a label may hold its caption, by language: the first place that is there, and not null, counts
    "ko": (
        ("annotation", "description_kr"),  # what code that reads the real files uses
        ("annotation", "description_ko"),
        ("caption", "korean"),  # what a description of the data set by one of its users shows
        ("description_kr",),
    ),
    "en": (("annotation", "description_en"), ("caption", "english"), ("description_en",)),
}
FILE_NAMES = (("filename",), ("video_name",))  # where a label may name its clip; its own name decides first
SAMPLE_SEEDS = range(300, 306)  # of the clips in data/aihub_sample; tiny was never trained on them
FEATURE_FILES = "features-*"  # what Features may delete in its folder: nothing else


# ---------------------------------------------------------------------------------------------------------------------
# Videos
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Video:
    """A clip with its captions. It is either drawn (`clip`) or read from a file (`path`).

    >>> video = toybox_videos([7])[0]
    >>> video.name, video.frames(8).shape, video.captions["en"].startswith("A ")
    ('toybox-7', (8, 64, 64, 3), True)
    """

    name: str  # no two videos of a set share it
    captions: dict[str, str] = field(hash=False)  # by language: "ko", "en"
    clip: toybox.Clip | None = None
    path: Path | None = None

    def __post_init__(self):
        if (self.clip is None) == (self.path is None):
            raise ValueError(f"{self.name}: a video is drawn or read from a file: give one of clip and path")

    def frames(self, n: int) -> np.ndarray:
        """`n` frames (n, H, W, 3) uint8 by LLaVA-NeXT's rule; a clip of fewer repeats some.

        Raises ValueError or FileNotFoundError for a file that has gone or is damaged where a wanted frame lies.
        """
        if self.clip is not None:
            return toybox.render(self.clip, indices=sample_uniform(self.clip.frames, n))
        return read_frames(self.path, sample_uniform(probe(self.path).frames, n)).pixels


def toybox_videos(seeds: Sequence[int]) -> list[Video]:
    """The Toybox clips of these seeds, captioned in English and Korean.

    >>> [video.name for video in toybox_videos(range(2))]
    ['toybox-0', 'toybox-1']
    """
    videos = []
    for seed in seeds:
        clip = toybox.sample(seed)
        captions = {language: toybox.caption(clip, language) for language in ("en", "ko")}
        videos.append(Video(f"toybox-{seed}", captions, clip))
    return videos


class Split(NamedTuple):
    """Videos to train on, to choose settings by, and to report scores of."""

    train: list[Video]
    validation: list[Video]
    test: list[Video]


def split(videos: Sequence[Video], validation: float = 0.1, test: float = 0.1) -> Split:
    """Shares out videos by a hash of their names: about that share to each part, in the order given.

    Where a video goes depends on its name alone, not on the others: when videos are added or left out, none changes
    sides. Of few videos a part may get none. Raises ValueError for shares that leave nothing to train on, and for two
    videos of one name.

    >>> parts = split(toybox_videos(range(100)))
    >>> [len(part) for part in parts]
    [80, 7, 13]
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(f"shares of {validation} and {test}: neither may be negative, and together they stay below 1")
    parts = Split([], [], [])
    for video in unique(videos):
        place = int.from_bytes(hashlib.sha256(video.name.encode("utf-8", "surrogateescape")).digest()[:8]) / 2**64
        part = parts.test if place < test else parts.validation if place < test + validation else parts.train
        part.append(video)
    return parts


def unique(videos: Sequence[Video]) -> Sequence[Video]:
    """The videos. Raises ValueError where two share a name."""
    names = [video.name for video in videos]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two videos are named {twice!r}: give each its own name")
    return videos


# ---------------------------------------------------------------------------------------------------------------------
# AI-Hub
# ---------------------------------------------------------------------------------------------------------------------


class Problem(NamedTuple):
    """A file that was left out, and why."""

    file: str  # inside the folder
    what: str  # what is wrong with it, and what to do

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


class Folder(NamedTuple):
    """What a folder held: the videos, sorted by name, and every problem met. print(folder) tells it all."""

    videos: list[Video]
    problems: list[Problem]

    def __str__(self) -> str:
        head = f"videos: {len(self.videos)}, problems: {len(self.problems)}"
        return "\n  ".join([head, *map(str, self.problems)])


def read_aihub(folder: str | os.PathLike) -> Folder:
    """The captioned clips of a folder of AI-Hub's "대한민국 배경영상 상세묘사 데이터" (dataSetSn 71849).

    A label NAME.json and its clip NAME.mp4 may lie in different subfolders (AI-Hub packs 라벨링데이터 and 원천데이터
    apart). A label whose own name no clip has may name its clip (`FILE_NAMES`). The caption may stand in any of the
    places `CAPTIONS`; the Korean one must be there. Labels are UTF-8, with or without BOM, or CP949. Hidden files, such
    as macOS leaves behind, are passed over.

    Whatever cannot be used is left out and returned as a problem: a label that is no JSON or has no caption, a missing
    or broken clip, several files of one name, a clip without a label, anything that leads out of the folder. A clip is
    opened and its first frame decoded; damage further on is met, as a ValueError, when its frames are read.

    Raises FileNotFoundError for a missing folder, and ValueError for one without a single pair that can be used.

    >>> folder = read_aihub("data/aihub_sample")
    >>> print(folder)
    videos: 6, problems: 0
    >>> folder.videos[0].name, folder.videos[0].frames(4).shape
    ('toybox_000300', (4, 256, 256, 3))
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder. Fix: name the one into which you unpacked AI-Hub's files")
    (labels, clips), problems = find_files(root)
    videos, taken = [], set()
    for of_name in labels.values():
        try:
            videos.append(read_pair(root, of_name, clips, taken))
        except (ValueError, OSError) as error:
            problems.append(problem(root, of_name[0], str(error)))
    for name in clips.keys() - labels.keys() - taken:
        problems.append(problem(root, clips[name][0], f"no label belongs to it. Fix: add {name}.json, or remove it"))
    if not videos:
        first = f"; the first problem: {min(problems)}" if problems else ""
        raise ValueError(
            f"{folder}: none of its {len(labels)} labels (.json) and {len(clips)} clips (.mp4) make a pair that can be "
            f"used{first}. Fix: a label and its clip share a name, and the label holds {dotted(CAPTIONS['ko'][0])}"
        )
    return Folder(sorted(videos, key=lambda video: video.name), sorted(problems))


def find_files(root: Path) -> tuple[tuple[dict[str, list[Path]], dict[str, list[Path]]], list[Problem]]:
    """The labels and the clips of a folder and all below it, each by name; links that lead out of it are problems."""
    found, problems, inside = {".json": defaultdict(list), ".mp4": defaultdict(list)}, [], os.path.realpath(root)
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for path in (Path(folder) / name for name in subfolders + sorted(files)):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(inside):
                problems.append(problem(root, path, "it leads out of the folder. Fix: copy what it points to in here"))
            elif path.suffix.lower() in found and path.name not in subfolders and not path.name.startswith("."):
                found[path.suffix.lower()][name_of(path)].append(path)
    return (dict(found[".json"]), dict(found[".mp4"])), problems


def problem(root: Path, path: Path, what: str) -> Problem:
    """A problem that can be printed, even where a file's name is no UTF-8."""
    shown = (text.encode("utf-8", "replace").decode() for text in (path.relative_to(root).as_posix(), what))
    return Problem(*shown)


def name_of(path: Path | PureWindowsPath) -> str:
    """A file's name without folder and suffix. macOS writes Hangul in pieces (NFD), others whole (NFC): made the same.

    >>> name_of(Path("clips", unicodedata.normalize("NFD", "바다.mp4"))) == "바다"
    True
    """
    return unicodedata.normalize("NFC", path.stem)


def read_pair(root: Path, labels: list[Path], clips: dict[str, list[Path]], taken: set[str]) -> Video:
    """One label and its clip, whose name is added to `taken`. Raises ValueError or OSError that says what is wrong."""
    refuse_several(root, labels)
    label = read_label(labels[0])
    name = clip_name(labels[0], label, clips)
    if name in taken:
        raise ValueError(f"another label has taken the clip {name}.mp4. Fix: keep one label for each clip")
    taken.add(name)
    refuse_several(root, clips[name])
    captions = captions_of(label)
    probe(clips[name][0])
    return Video(name, captions, path=clips[name][0])


def refuse_several(root: Path, paths: list[Path]) -> None:
    """Raises ValueError unless there is one file of a name: nothing says which is the right one."""
    if len(paths) > 1:
        places = ", ".join(path.relative_to(root).as_posix() for path in paths)
        raise ValueError(f"{len(paths)} files have one name ({places}). Fix: keep one, or rename them with their pairs")


def read_label(path: Path) -> dict:
    """The content of a label. Raises ValueError for one that is no JSON object in UTF-8 or CP949."""
    try:
        label = json.loads(decoded(path.read_bytes()))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"it is no JSON, perhaps cut off ({error}). Fix: unpack it again") from None
    if not isinstance(label, dict):
        raise ValueError(f"it is no JSON object {{...}} but {type(label).__name__}. Fix: write one label to a file")
    return label


def decoded(data: bytes) -> str:
    """Text in UTF-8, with or without BOM, or in CP949. UTF-8 first: hardly any text in CP949 passes for it.

    >>> [decoded("바다".encode(encoding)) for encoding in ("utf-8", "utf-8-sig", "cp949")]
    ['바다', '바다', '바다']
    """
    for encoding in ("utf-8-sig", "cp949"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ValueError("it is neither UTF-8 nor CP949. Fix: save it as UTF-8")


def look_up(label: dict, places: Sequence[tuple[str, ...]]) -> tuple[str, object]:
    """The first of the places that is there and not null, and what stands in it; ("", None) where none is.

    A list of one object counts as that object.

    >>> look_up({"annotation": [{"description_kr": "바다"}]}, CAPTIONS["ko"])
    ('annotation.description_kr', '바다')
    """
    for place in places:
        content = label
        for key in place:
            content = content[0] if isinstance(content, list) and len(content) == 1 else content
            content = content.get(key) if isinstance(content, dict) else None
        if content is not None:
            return dotted(place), content
    return "", None


def dotted(place: tuple[str, ...]) -> str:
    """How a place in a label is written.

    >>> dotted(("annotation", "description_kr"))
    'annotation.description_kr'
    """
    return ".".join(place)


def clip_name(path: Path, label: dict, clips: dict[str, list[Path]]) -> str:
    """The name of a label's clip: its own, or else the one it states. A stated name is looked up, never opened.

    Raises ValueError where no clip has either name, and for a stated name that could lead out of the folder.
    """
    place, stated = look_up(label, FILE_NAMES)
    if stated is not None and not isinstance(stated, str):
        raise ValueError(f"its {place} is not text but {type(stated).__name__}. Fix: write the clip's file name")
    stated = PureWindowsPath(stated or "")  # which reads both kinds of slashes
    if stated.anchor or ".." in stated.parts:
        raise ValueError(f"its {place}, {str(stated)!r}, could lead out of the folder. Fix: write a bare file name")
    for name in (name_of(path), name_of(stated)):
        if name in clips:
            return name
    other = f" and no {stated.name}" if stated.name else ""
    raise ValueError(f"there is no {name_of(path)}.mp4{other} in the folder. Fix: add the clip, or remove the label")


def captions_of(label: dict) -> dict[str, str]:
    """The captions of a label by language, the Korean one at least. Raises ValueError that says what is missing.

    >>> captions_of({"caption": {"korean": " 바다가 보입니다. ", "english": None}})
    {'ko': '바다가 보입니다.'}
    """
    captions = {}
    for language, places in CAPTIONS.items():
        place, caption = look_up(label, places)
        if caption is None:
            continue
        if not isinstance(caption, str) or not caption.strip():
            what = "empty" if isinstance(caption, str) else f"not text but {type(caption).__name__}"
            raise ValueError(f"its {place} is {what}. Fix: write the caption there, or remove the label and its clip")
        captions[language] = unicodedata.normalize("NFC", caption.strip())
    if "ko" not in captions:
        places = ", ".join(map(dotted, CAPTIONS["ko"]))
        raise ValueError(f"it has no Korean caption (looked in {places}). Fix: add it, or the place to CAPTIONS")
    return captions


def write_aihub(folder: str | os.PathLike, seeds: Sequence[int] = SAMPLE_SEEDS) -> None:
    """Writes Toybox clips as AI-Hub lays out its own, clips and labels apart, the same bytes each time.

    `annotation.description_kr` is the key that is known from code which reads the real files; `filename` stands in a
    user's description of them. Nothing else is imitated.
    """
    clips, labels = Path(folder) / "원천데이터", Path(folder) / "라벨링데이터"
    for place in (clips, labels):
        place.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        clip = toybox.sample(seed)
        path = toybox.write_mp4(clips / f"toybox_{seed:06}.mp4", toybox.render(clip))
        label = {"filename": path.name, "annotation": {"description_kr": toybox.caption(clip, "ko")}}
        write_text(labels / f"{path.stem}.json", json.dumps(label, ensure_ascii=False, indent=1) + "\n")


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
