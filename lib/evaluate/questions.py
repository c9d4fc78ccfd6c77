"""Questions about a video: open questions, multiple choice, and POPE's probes for things that are not there."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from lib import toybox


class CaptionedVideo(Protocol):
    """The parts of a video that questions need, as `lib.data.Video` has them."""

    name: str
    captions: dict[str, str]
    clip: toybox.Clip | None


class Asked(NamedTuple):
    """A question about a video, with its true answer and, for a choice, all that may be answered."""

    task: str
    question: str
    reference: str
    options: tuple[str, ...] = ()


POPE = ("random", "popular", "adversarial")


def open_questions(video: CaptionedVideo) -> list[Asked]:
    """Toybox's own questions about a video, for answers that must be exactly right.

    >>> from lib.data import toybox_videos
    >>> open_questions(toybox_videos([7])[0])[0]
    Asked(task='question colour', question='What colour is the square?', reference='yellow', options=())
    """
    return [Asked(f"question {qa.kind}", qa.question, qa.answer) for qa in toybox.questions(video.clip)]


def multiple_choice(videos: Sequence[CaptionedVideo]) -> list[list[Asked]]:
    """The same questions, each with the truth and up to three answers that questions of its kind have elsewhere.

    >>> from lib.data import toybox_videos
    >>> multiple_choice(toybox_videos(range(9)))[7][0].options
    ('red', 'green', 'orange', 'yellow')
    """
    rng, asked = random.Random("choice"), [toybox.questions(video.clip) for video in videos]
    elsewhere = defaultdict(set)
    for qa in (qa for of_video in asked for qa in of_video):
        elsewhere[qa.kind].add(qa.answer)
    return [[_with_options(qa, elsewhere[qa.kind], rng) for qa in of_video] for of_video in asked]


def _with_options(qa: toybox.QA, elsewhere: set[str], rng: random.Random) -> Asked:
    others = sorted(elsewhere - {qa.answer})
    shown = [qa.answer, *rng.sample(others, min(3, len(others)))]
    return Asked(f"choice {qa.kind}", qa.question, qa.answer, tuple(rng.sample(shown, len(shown))))


def probes(videos: Sequence[CaptionedVideo], strategy: str) -> list[list[Asked]]:
    """POPE's questions (arXiv 2305.10355): "Is there ...?" of each thing of a clip, and of as many that are not there.

    strategy: which absent thing. "random"; "popular", the one that most of these clips show; "adversarial", in POPE the
    one that most often occurs together with the present one. Toybox draws its things independently. So here it has a
    colour and a shape that the clip shows, but not together, or at least one of them.

    >>> from lib.data import toybox_videos
    >>> [(one.question, one.reference) for one in probes(toybox_videos([2]), "adversarial")[0][:2]]
    [('Is there a red cross?', 'yes'), ('Is there a blue triangle?', 'no')]
    """
    if strategy not in POPE:
        raise ValueError(f"no strategy {strategy!r}: choose from {', '.join(POPE)}")
    rng, shown = random.Random(f"probes {strategy}"), Counter(t.name for v in videos for t in v.clip.things)
    return [_probe(video.clip, strategy, rng, shown) for video in videos]


def _probe(clip: toybox.Clip, strategy: str, rng: random.Random, shown: Counter) -> list[Asked]:
    present = {thing.name for thing in clip.things}
    words = {word for name in present for word in name.split()}
    absent = [(c, s) for c in toybox.COLOURS for s in toybox.SHAPES if f"{c} {s}" not in present]
    rng.shuffle(absent)
    if strategy == "popular":
        absent.sort(key=lambda name: -shown[" ".join(name)])
    if strategy == "adversarial":
        absent.sort(key=lambda name: -len(words.intersection(name)))
    pairs = [(t.colour, t.shape, True) for t in clip.things], [(*name, False) for name in absent]
    asked = [toybox.ask_existence(*one) for both in zip(*pairs, strict=False) for one in both]
    return [Asked(f"pope {strategy}", qa.question, qa.answer) for qa in asked]
