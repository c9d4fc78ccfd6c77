"""Videos with captions, their split into training, validation and test, and the examples made from them."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib import toybox
from lib.text import Text
from lib.video import probe, read_frames, sample_uniform

OFFICIAL = Text("as the data set's own folders say", "데이터셋 폴더의 공식 분할을 사용")
BOTH = Text(
    "as the data set's own folders say; {n} clips outside of them by their recording",
    "데이터셋 폴더의 공식 분할을 사용, 구분이 없는 {n}개는 촬영본에 따라 분할",
)
HASHED = Text("by a hash of the names of the recordings", "촬영본 이름의 해시로 분할")
TRAINING_HASHED = Text(
    "by a hash of the names of the recordings: the data set's own validation and test parts are not here",
    "데이터셋의 공식 검증·테스트 클립이 없어 촬영본 이름의 해시로 분할",
)
SPLIT_SIZES = Text(
    "train: {train}, validation: {validation}, test: {test}; split {how}",
    "학습 {train}개, 검증 {validation}개, 테스트 {test}개; {how}",
)
NO_TRAINING = Text(
    "there is nothing to train on ({split}). Fix: add clips for training, such as the data set's folder Training",
    "학습할 클립이 없습니다({split}). 해결: 데이터셋의 Training 폴더 등 학습용 클립을 추가하세요",
)


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
    part: str | None = None  # of the data set's official split: "train", "validation" or "test"

    def __post_init__(self):
        if (self.clip is None) == (self.path is None):
            raise ValueError(f"{self.name}: a video is drawn or read from a file: give one of clip and path")

    def frames(self, n: int, rule: str = "llava_next") -> np.ndarray:
        """`n` frames (n, H, W, 3) uint8 by a rule of `sample_uniform`; LLaVA-NeXT's repeats frames of a short clip.

        Raises FileNotFoundError for a missing file and ValueError for one that is damaged at a requested frame.
        """
        if self.clip is not None:
            return toybox.render(self.clip, indices=sample_uniform(self.clip.frames, n, rule))
        return read_frames(self.path, sample_uniform(probe(self.path).frames, n, rule)).pixels


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
    """Videos to train on, to choose settings by, and to report scores of. print(split) shows how they were split."""

    train: list[Video]
    validation: list[Video]
    test: list[Video]

    @property
    def held_out(self) -> list[Video]:
        """The videos to report scores of: the test part, or the validation part if there is no test part."""
        return self.test or self.validation

    def to_train_on(self) -> list[Video]:
        """The training part. Raises ValueError if it is empty, as for a folder with Validation only."""
        if not self.train:
            raise ValueError(NO_TRAINING.say(split=self))
        return self.train

    def __str__(self) -> str:
        count = Counter(video.part for part in self for video in part)
        if official_parts(count):
            how = BOTH if count[None] else OFFICIAL
        else:
            how = TRAINING_HASHED if count["train"] else HASHED
        return SPLIT_SIZES.say(how=how.say(n=count[None]), **{part: len(getattr(self, part)) for part in self._fields})


def split(videos: Sequence[Video], validation: float = 0.1, test: float = 0.1) -> Split:
    """Splits videos as their data set does, or else by a hash of their names; each part in the order given.

    What the data set itself keeps for validation or test is never in `train`. If there are such clips:
    - each clip with a `part` is in that part; with Validation alone, `train` is empty;
    - a clip without one follows its recording (test before validation before training), or else the hash;
    - AI-Hub has no official test part, so `test` is empty: report scores of `held_out`.

    If there are none, as with Training alone, the hash decides for all: the shares of the parts are about `validation`
    and `test`. Clips cut from one recording (`recording`) stay together. A video's part depends on its name alone: it
    does not change when videos are added or removed. With few recordings a part may stay empty.

    Raises ValueError for shares that leave nothing to train on, and for two videos of one name.

    >>> print(split(toybox_videos(range(100))))
    train: 80, validation: 7, test: 13; split by a hash of the names of the recordings
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(f"shares of {validation} and {test}: neither may be negative, and together they stay below 1")
    parts, official, known = Split([], [], []), official_parts(video.part for video in videos), {}
    if official:
        known = {recording(video.name): part for part in Split._fields for video in videos if video.part == part}
    if official == {"validation"}:  # a few clips by the hash are no test part beside it
        validation, test = validation + test, 0
    for video in unique(videos):
        its = recording(video.name)
        part = (official and video.part) or known.get(its) or hashed_part(its, validation, test)
        getattr(parts, part).append(video)
    return parts


def official_parts(parts: Iterable[str | None]) -> set[str]:
    """The videos that a data set keeps out of training."""
    return {"validation", "test"}.intersection(parts)


def hashed_part(name: str, validation: float, test: float) -> str:
    """The part of a recording by the hash of its name, read as a number from 0 to 1: the lowest are for the test.

    >>> [hashed_part(name, validation=0.1, test=0.1) for name in ("toybox-0", "toybox-5", "toybox-33")]
    ['train', 'test', 'validation']
    """
    share = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8]) / 2**64
    return "test" if share < test else "validation" if share < test + validation else "train"


def recording(name: str) -> str:
    """The recording from which a clip was cut, by its name; clips of one recording look alike, so separating them
    leaks.

    AI-Hub ends a clip's name with the number or date of its recording and then the clip's own number. So the last
    number is dropped if another number stands right before it. Any other name is its own recording: a name with one
    number, or one that marks cuts in another way. Two recordings with the same number or date count as one, in any
    folders; that costs balance but leaks nothing.

    >>> [recording(name) for name in ("D3_DR_0816_000001", "a/D3_DR_0816_000002.mp4", "toybox-7", "toybox_000300")]
    ['D3_DR_0816', 'D3_DR_0816', 'toybox-7', 'toybox_000300']
    """
    numbered = re.fullmatch(r"(?:.*/)?([^/]*\d)[_-]\d+(?:\.\w+)?", name, re.DOTALL)
    return numbered[1] if numbered else name


def unique(videos: Sequence[Video]) -> Sequence[Video]:
    """The videos. Raises ValueError if two share a name."""
    names = [video.name for video in videos]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two videos are named {twice!r}: give each its own name")
    return videos


class Example(NamedTuple):
    """A user's request about a video (without `<video>`), and the right answer."""

    video: Video
    prompt: str
    answer: str


class Pair(NamedTuple):
    """Two answers about a video, of which the first is better: what DPO learns from."""

    video: Video
    prompt: str
    chosen: str
    rejected: str


def captioning(videos: Sequence[Video], language: str, prompt: str | None = None) -> list[Example]:
    """One example per video: the prompt (that of the language), and the caption. Raises ValueError if there is none.

    >>> captioning(toybox_videos([7]), "ko")[0].prompt
    '영상을 설명하십시오.'
    """
    for video in videos:
        if language not in video.captions:
            raise ValueError(f"{video.name} has no caption in {language!r}, only in {sorted(video.captions)}")
    return [Example(video, prompt or toybox.CAPTION_PROMPTS[language], video.captions[language]) for video in videos]
