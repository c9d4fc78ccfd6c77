"""Scores with intervals: of answers and captions, of one system or of two that saw the same clips.

A score of n clips is a measurement, and a measurement has an interval. Where two models or reducers saw the same
clips, the interval of their difference is narrower than the two intervals suggest: `difference` and `paired` take the
pairs.

    captions_by, answers_by, choices_by -> Records -> write_records, read_records -> measure, paired, table

A table is made of records alone, by the metrics of `lib.metrics`: who has the file has the table, to the last digit.
"""

import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats

from lib import toybox
from lib.data import Video
from lib.files import write_text
from lib.metrics import Metric, Record
from lib.packing import IGNORE, answer_logits, pack, states
from lib.reducers import SpatialPool
from lib.video import sample_uniform
from lib.vlm.loading import TINY, digest, load


class Score(NamedTuple):
    """A share of right answers, with its 95 % interval."""

    mean: float
    low: float
    high: float
    asked: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.asked}"


def score(right: Sequence[bool]) -> Score:
    """The share of True with its Wilson 95 % interval, which stays inside 0 to 1 and is right for small n too.

    >>> print(score([True] * 95 + [False] * 5))
    0.950 [0.888, 0.978] n=100
    """
    if not len(right):
        raise ValueError("no answers to score: ask at least one question")
    interval = stats.binomtest(int(sum(right)), len(right)).proportion_ci(method="wilson")
    return Score(sum(right) / len(right), float(interval.low), float(interval.high), len(right))


def difference(first: Sequence[bool], second: Sequence[bool], seed: int = 0) -> Score:
    """How much larger the share of True is in `first` than in `second`: answers to the same questions in one order.

    The interval is the 95 % percentile bootstrap over the pairs, 2,000 resamples.

    >>> print(difference([True] * 90 + [False] * 10, [True] * 70 + [False] * 30))
    0.200 [0.130, 0.280] n=100
    """
    pairs = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    interval = stats.bootstrap(
        (pairs,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return Score(float(pairs.mean()), float(interval.low), float(interval.high), len(pairs))


def redrawn_shares(right: np.ndarray, asked: np.ndarray, redraws: int = 2000, seed: int = 0) -> np.ndarray:
    """Shares of right answers by kind, on the clips as they are and on `redraws` samples of them (the bootstrap).

    right: (clips, ..., kinds) how many answers to the questions of each kind were right, for any number of ways to
    answer; asked: (clips, kinds) how many there were. Returns (1 + redraws, ..., kinds), the clips as they are first.

    Answers about one clip stand or fall together, so a thousand clips with ten questions each are not ten thousand
    measurements. Here whole clips are drawn, with replacement, and bring all their questions along; and all ways to
    answer meet the same draws, so that the difference of two ways is paired. Give any mean or difference of the shares
    to `middle` for its interval.

    Raises ValueError where a draw has no question of some kind: the clips are too few.

    >>> asked = np.array([[2, 1], [1, 1], [3, 1]] * 20)
    >>> shares = redrawn_shares(asked * [1, 0], asked)         # the first kind always right, the second never
    >>> shares.shape, shares[0].tolist()
    ((2001, 2), [1.0, 0.0])
    >>> print(middle(shares.mean(axis=1), clips=60))
    0.500 [0.500, 0.500] n=60
    """
    clips = len(asked)
    times = drawn_times(clips, redraws, seed)
    out_of = times @ asked
    if (out_of == 0).any():
        raise ValueError(f"{clips} clips are too few: some draws hold no question of a kind. Give more clips")
    hits = (times @ right.reshape(clips, -1)).reshape(len(times), *right.shape[1:])
    return hits / out_of.reshape(len(times), *[1] * (right.ndim - 2), -1)


def drawn_times(clips: int, redraws: int = 2000, seed: int = 0) -> np.ndarray:
    """(1 + redraws, clips): how often each clip is drawn, with replacement; before all draws, each clip once."""
    rng = np.random.default_rng(seed)
    draws = [np.bincount(rng.integers(clips, size=clips), minlength=clips) for _ in range(redraws)]
    return np.stack([np.ones(clips), *draws])


def middle(values: np.ndarray, clips: int) -> Score:
    """What was measured, values[0], with the middle 95 % of what redrawn clips gave, values[1:].

    >>> print(middle(np.array([0.5, *np.linspace(0.4, 0.6, 101)]), clips=80))
    0.500 [0.405, 0.595] n=80
    """
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return Score(float(values[0]), float(low), float(high), clips)


@torch.inference_mode()
def exact_match(
    vlm, clips: Sequence[toybox.Clip], reducer=None, frames: int = 16, batch: int = 8
) -> dict[str, list[bool]]:
    """Asks every question about every clip; says for each kind of question which answers were exactly right.

    The model looks at `frames` frames of each clip, chosen by LLaVA-NeXT's rule, through `reducer` (default: its own).
    An answer counts as right where every token of it, and the end token, is the model's first choice given the tokens
    before: just then greedy decoding writes exactly the true answer. So nothing needs to be decoded, and all questions
    about a clip share its visual tokens. Clips with other numbers of frames cannot share a batch.

    Returns kind -> one bool per question, in the order of the clips.
    """
    reducer = reducer or vlm.default_reducer
    right = defaultdict(list)
    for start in range(0, len(clips), batch):
        some = clips[start : start + batch]
        asked = [toybox.questions(clip) for clip in some]
        marks = mark(vlm, [look(vlm, clip, reducer, frames) for clip in some], asked)
        for of_clip, row in zip(asked, marks, strict=True):
            for qa, hit in zip(of_clip, row, strict=True):
                right[qa.kind].append(hit)
    return dict(right)


def clip_shares(
    right: dict[str, list[bool]], clips: Sequence[toybox.Clip], kinds: Collection[str] | None = None
) -> list[float]:
    """The share of right answers about each clip, from what `exact_match` says of these clips: numbers to redraw.

    With `kinds`, of answers to these kinds of question alone. A clip that is not asked any of them is left out.
    Raises ValueError where the answers are not those to the clips' questions.

    >>> clips = [toybox.sample(seed) for seed in (3, 0)]                      # asked one and two questions of colours
    >>> clip_shares({"colour": [True, True, False]}, clips)
    [1.0, 0.5]
    """
    asked = [[qa.kind for qa in toybox.questions(clip)] for clip in clips]
    left, shares = {kind: iter(hits) for kind, hits in right.items() if kinds is None or kind in kinds}, []
    for kind in left:
        if len(right[kind]) != (count := sum(of_clip.count(kind) for of_clip in asked)):
            raise ValueError(
                f"{len(right[kind])} answers to {count} questions of kind {kind}: give the clips that were asked about"
            )
    for of_clip in asked:
        if hits := [next(left[kind]) for kind in of_clip if kind in left]:
            shares.append(sum(hits) / len(hits))
    return shares


def mark(vlm, visual: Sequence[torch.Tensor], asked: Sequence[Sequence[toybox.QA]]) -> list[list[bool]]:
    """For each of B clips, the visual tokens (N, D) and the questions: was each answer exactly right?"""
    turns = [[(qa.question, qa.answer) for qa in of_clip] for of_clip in asked]
    rows = hits(vlm.model, pack(vlm.model, vlm.tokenizer, visual, turns)).tolist()
    return [row[: len(of_clip)] for row, of_clip in zip(rows, asked, strict=True)]  # the rest of a row is padding


def look(vlm, clip: toybox.Clip, reducer, frames: int) -> torch.Tensor:
    """The visual tokens (N, D) of a clip."""
    indices = sample_uniform(clip.frames, min(frames, clip.frames))
    return reducer(vlm.encode(toybox.render(clip, indices=indices)), vlm.project).embeds


def hits(model, packed) -> torch.Tensor:
    """(B, most questions) bool: was every token of the answer the model's first choice?"""
    logits, target = answer_logits(model, packed, states(model, packed)[-1])
    answers = packed.labels[:, 1:] != IGNORE
    wrong = torch.zeros_like(answers)
    wrong[answers] = logits.argmax(dim=-1) != target
    turns = packed.turn[:, 1:].clamp(min=0)
    return torch.zeros(len(wrong), int(turns.max()) + 1).scatter_add_(1, turns.cpu(), wrong.float().cpu()) == 0


# ---------------------------------------------------------------------------------------------------------------------
# What a system says
# ---------------------------------------------------------------------------------------------------------------------
Look = Callable[[Video], torch.Tensor]  # a video's features (T, h, w, C), as lib.data.Features gives them


class Asked(NamedTuple):
    """A question about a video, with its true answer and, for a choice, all that may be answered."""

    task: str
    question: str
    reference: str
    options: tuple[str, ...] = ()


def captions_by(
    vlm, system: str, videos: Sequence[Video], look: Look, language: str = "en", reducer=None, batch: int = 16
) -> list[Record]:
    """Has the model describe every video. What is longer than 5/4 of the longest reference is cut off there."""
    prompt = toybox.CAPTION_PROMPTS[language]
    longest = max(len(vlm.tokenizer(video.captions[language]).input_ids) for video in videos)
    records = []
    for start in range(0, len(videos), batch):
        some = videos[start : start + batch]
        outputs = vlm.answers([look(video) for video in some], [prompt] * len(some), reducer, 5 * longest // 4)
        for video, output in zip(some, outputs, strict=True):
            records.append(Record(system, video.name, "caption", language, prompt, video.captions[language], output))
    return records


@torch.inference_mode()
def answers_by(
    vlm,
    system: str,
    videos: Sequence[Video],
    look: Look,
    asked: Sequence[Sequence[Asked]],
    reducer=None,
    batch: int = 8,
) -> list[Record]:
    """Has the model answer the questions about every video; those about one video share its visual tokens.

    With options, the output is the most likely of them. Without, it is what greedy decoding writes, as far as
    `exact_match` looks: up to the first token that differs from the reference, with "…" unless the answer ends there.
    The clips of a batch need the same number of frames. For tiny and its relatives: prompts are Vicuna's.
    """
    reducer, records = reducer or vlm.default_reducer, []
    for start in range(0, len(videos), batch):
        some, about = videos[start : start + batch], asked[start : start + batch]
        visual = [reducer(look(video), vlm.project).embeds for video in some]
        outputs = (chosen if about[0][0].options else written)(vlm, visual, about)
        for video, of_video, texts in zip(some, about, outputs, strict=True):
            for one, text in zip(of_video, texts, strict=True):
                question = " / ".join([one.question, *one.options])
                records.append(Record(system, video.name, one.task, "en", question, one.reference, text))
    return records


def written(vlm, visual: Sequence[torch.Tensor], asked: Sequence[Sequence[Asked]]) -> list[list[str]]:
    """For each of B clips, the visual tokens (N, D) and the questions: the beginning of what greedy decoding writes."""
    turns = [[(one.question, one.reference) for one in of_clip] for of_clip in asked]
    tokens = [[[] for _ in of_clip] for of_clip in asked]
    for clip, turn, scores, target in _answer_tokens(vlm, visual, turns):
        tokens[clip][turn].append((int(scores.argmax()), target))
    return [[_spelled(vlm.tokenizer, pairs) for pairs in of_clip] for of_clip in tokens]


def _spelled(tokenizer, pairs: Sequence[tuple[int, int]]) -> str:
    """Tokens beside those of the reference, as text, up to the first that differs: up to there, greedy writes them."""
    same = [choice for choice, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    ids = [choice for choice, _ in pairs[: len(same) + 1]]
    return tokenizer.decode(ids, skip_special_tokens=True).strip() + "…" * (ids[-1] != tokenizer.eos_token_id)


def chosen(vlm, visual: Sequence[torch.Tensor], asked: Sequence[Sequence[Asked]]) -> list[list[str]]:
    """For each of B clips, the visual tokens (N, D) and the questions: the most likely option, its end included."""
    turns = [[(one.question, option) for one in of_clip for option in one.options] for of_clip in asked]
    likelihood = [[0.0] * len(of_clip) for of_clip in turns]
    for clip, turn, scores, target in _answer_tokens(vlm, visual, turns):
        likelihood[clip][turn] += float(scores[target])
    picks = []
    for of_clip, values in zip(asked, map(iter, likelihood), strict=True):
        ranked = [[(next(values), option) for option in one.options] for one in of_clip]
        picks.append([max(options, key=lambda pair: pair[0])[1] for options in ranked])
    return picks


def _answer_tokens(vlm, visual: Sequence[torch.Tensor], turns: Sequence[Sequence[tuple[str, str]]]):
    """For every token of every answer: which clip, which turn, the log-likelihood of all tokens, the token itself."""
    packed = pack(vlm.model, vlm.tokenizer, visual, turns)
    logits, target = answer_logits(vlm.model, packed, states(vlm.model, packed)[-1])
    answers = packed.labels[:, 1:] != IGNORE
    clips, turn = answers.nonzero()[:, 0], packed.turn[:, 1:][answers]
    return zip(clips.tolist(), turn.tolist(), logits.float().log_softmax(dim=-1).cpu(), target.tolist(), strict=True)


# ---------------------------------------------------------------------------------------------------------------------
# What is asked
# ---------------------------------------------------------------------------------------------------------------------
POPE = ("random", "popular", "adversarial")


def plain(video: Video) -> list[Asked]:
    """Toybox's own questions about a video, for answers that must be exactly right.

    >>> from lib.data import toybox_videos
    >>> plain(toybox_videos([7])[0])[0]
    Asked(task='question colour', question='What colour is the square?', reference='yellow', options=())
    """
    return [Asked(f"question {qa.kind}", qa.question, qa.answer) for qa in toybox.questions(video.clip)]


def multiple_choice(videos: Sequence[Video]) -> list[list[Asked]]:
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


def probes(videos: Sequence[Video], strategy: str) -> list[list[Asked]]:
    """POPE's questions (arXiv 2305.10355): "Is there ...?" of each thing of a clip, and of as many that are not there.

    strategy: which absent thing. "random"; "popular", the one that most of these clips show; "adversarial", in POPE the
    one that most often occurs together with the present one. Toybox draws its things independently, so here it is a
    colour and a shape that the clip does show, but not together, or at least one of them.

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


# ---------------------------------------------------------------------------------------------------------------------
# Scores of records
# ---------------------------------------------------------------------------------------------------------------------
class Paired(NamedTuple):
    """How much larger a score of the first system is, and how often chance alone gives as large a difference."""

    gap: Score
    p: float

    def __str__(self) -> str:
        p = f"p={self.p:.3f}" if self.p >= 0.001 else "p<0.001"
        return f"{self.gap.mean:+.3f} [{self.gap.low:+.3f}, {self.gap.high:+.3f}] {p} n={self.gap.asked}"


def measure(metric: Metric, records: Sequence[Record]) -> Score:
    """A metric of one system's records, with the middle 95 % of what 2,000 redraws of the clips give (bootstrap).

    Raises ValueError where there is no record of the metric's task.

    >>> from lib.metrics import EXACT
    >>> answers = ["red"] * 30 + ["blue"] * 10
    >>> print(measure(EXACT, [Record("a", str(i), "question", "en", "", "red", out) for i, out in enumerate(answers)]))
    0.750 [0.625, 0.875] n=40
    """
    sums = _by_clip(metric, records)
    return middle(metric.value(drawn_times(len(sums)) @ sums), len(sums))


def paired(metric: Metric, first: Sequence[Record], second: Sequence[Record]) -> Paired:
    """A metric of the first system minus that of the second, which was asked the same about the same clips.

    The interval redraws clips, with the outputs of both systems. The test swaps the two systems' outputs, clip by clip,
    at random, 2,000 times (approximate randomisation): p is the share of swaps after which the difference is as large.

    Raises ValueError where the two were not asked the same.

    >>> from lib.metrics import EXACT
    >>> first, second = (
    ...     [Record("", str(i), "question", "en", "", "red", "red" if i < right else "blue") for i in range(50)]
    ...     for right in (45, 30)
    ... )
    >>> print(paired(EXACT, first, second))
    +0.300 [+0.180, +0.440] p<0.001 n=50
    """
    systems = [sorted(of_task(metric, records), key=lambda record: record.clip) for records in (first, second)]
    asked = [{(record.clip, record.task, record.language, record.asked) for record in records} for records in systems]
    if differ := asked[0] ^ asked[1]:
        raise ValueError(f"only one of the systems was asked {' / '.join(min(differ))!r}: compare them on the same")
    mine, other = (_by_clip(metric, records) for records in systems)
    times = drawn_times(len(mine))
    gaps = metric.value(times @ mine) - metric.value(times @ other)
    swap = np.random.default_rng(0).random((2000, len(mine))) < 0.5
    swapped = metric.value(swap @ other + ~swap @ mine) - metric.value(swap @ mine + ~swap @ other)
    as_large = np.sum(np.abs(swapped) >= abs(gaps[0]) - 1e-9)
    return Paired(middle(gaps, len(mine)), (1 + as_large) / (1 + len(swapped)))


def table(records: Sequence[Record], metrics: Sequence[Metric]) -> dict[str, dict[str, Score]]:
    """system -> metric's name -> score, in the order of the records; a system lacks the scores of tasks it lacks."""
    by_system = defaultdict(list)
    for record in records:
        by_system[record.system].append(record)
    return {
        system: {m.name: measure(m, mine) for m in metrics if any(r.task.startswith(m.task) for r in mine)}
        for system, mine in by_system.items()
    }


def of_task(metric: Metric, records: Sequence[Record]) -> list[Record]:
    """The records that a metric is about. Raises ValueError where there are none."""
    mine = [record for record in records if record.task.startswith(metric.task)]
    if not mine:
        raise ValueError(f"no record is of the task {metric.task!r}, which {metric.name} is a score of")
    return mine


def _by_clip(metric: Metric, records: Sequence[Record]) -> np.ndarray:
    """(clips, k): the metric's counts of the records of its task, added up by clip, in the order of the clips."""
    mine = of_task(metric, records)
    place = {name: i for i, name in enumerate(dict.fromkeys(record.clip for record in mine))}
    counts = metric.counts(mine)
    sums = np.zeros((len(place), counts.shape[1]))
    np.add.at(sums, [place[record.clip] for record in mine], counts)
    return sums


# ---------------------------------------------------------------------------------------------------------------------
# Records as files
# ---------------------------------------------------------------------------------------------------------------------
def write_records(path: str | os.PathLike, records: Sequence[Record]) -> None:
    """Writes JSON lines: how many records there are, then one to a line."""
    lines = [{"records": len(records)}, *(record._asdict() for record in records)]
    write_text(Path(path), "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def read_records(path: str | os.PathLike) -> list[Record]:
    """The records that `write_records` wrote.

    Raises FileNotFoundError where there is no file, and ValueError, with the line, for one that is damaged or cut off.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: measure again, and write it with write_records")
    first, *lines = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    count = _json_line(path, 1, first, {"records"})["records"]
    records = [Record(**_json_line(path, i, line, set(Record._fields))) for i, line in enumerate(lines, 2)]
    if len(records) != count:
        raise ValueError(
            f"{path} was cut off after line {1 + len(records)}: {count} records belong in it. Measure again"
        )
    return records


def _json_line(path: Path, number: int, line: str, keys: set[str]) -> dict:
    """One line of the file. Raises ValueError where it is no JSON object of these keys."""
    try:
        content = json.loads(line)
    except json.JSONDecodeError:
        content = None
    if not isinstance(content, dict) or set(content) != keys:
        raise ValueError(
            f"{path}, line {number}, is damaged or cut off: {line[:60]!r}. Measure again, or restore the file"
        )
    return content


# ---------------------------------------------------------------------------------------------------------------------
# The model card of the tiny model: python -m lib.evaluate
# ---------------------------------------------------------------------------------------------------------------------
CARD = """# The tiny model

A LLaVA-NeXT-Video of {parameters:,} parameters (`LlavaNextVideoForConditionalGeneration`), trained from nothing by
`make tiny` on Toybox, the course's world of moving shapes. It knows nothing else. It speaks English; its tokenizer
covers any text. Licence: Apache-2.0, as the course.

Share of exactly right answers on {clips:,} clips that it never saw (seeds 0 to {last}), with Wilson 95 % intervals, at
full tokens: {tokens:,} ({frames} frames of {grid} x {grid}, no pooling).

{table}

Recipe: `lib/train.py`. Weights: `model.safetensors`, sha256 `{digest}`.
"""


def card(vlm, clips: int) -> str:
    """The text of the model card, with scores measured on `clips` clips."""
    frames, full = 16, SpatialPool(stride=1)
    right = exact_match(vlm, [toybox.sample(seed) for seed in range(clips)], full, frames)
    grid = vlm.model.config.vision_config.image_size // vlm.model.config.vision_config.patch_size
    rows = ["| question | share right | 95 % interval | asked |", "|---|---|---|---|"]
    for kind, answers in sorted(right.items()):
        share = score(answers)
        rows.append(f"| {kind} | {share.mean:.3f} | {share.low:.3f} to {share.high:.3f} | {share.asked} |")
    return CARD.format(
        parameters=vlm.model.num_parameters(),
        clips=clips,
        last=clips - 1,
        tokens=full.count(frames, grid, grid),
        frames=frames,
        grid=grid,
        table="\n".join(rows),
        digest=digest(),
    )


if __name__ == "__main__":
    write_text(TINY / "README.md", card(load("tiny"), clips=1000))
    print((TINY / "README.md").read_text(encoding="utf-8"))
