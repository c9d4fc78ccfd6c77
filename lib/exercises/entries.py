"""How the entries of challenges are scored: each on clips of given seeds, with an interval. More is better."""

import json
import random
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from lib import toybox
from lib.budget.specs import MODELS
from lib.data.videos import Video, toybox_videos
from lib.evaluate.answers import caption_limit, captions_by
from lib.evaluate.exact import grade
from lib.evaluate.intervals import Score, percentile_interval, resample_counts
from lib.evaluate.metrics import CHRF_PP, FACTS_RIGHT, Record
from lib.evaluate.records import measure
from lib.files import DATA, ROOT
from lib.finetune.adapters import load_adapter
from lib.job.planning import need_of
from lib.job.settings import read_job
from lib.known import GIB
from lib.reducers import LlavaVideo
from lib.reducers.base import VisualTokens
from lib.toybox.facts import compare
from lib.toybox.world import TEST_SEEDS
from lib.vlm.loading import load

CAPTION_TOKENS = 160  # tokens of a caption
LESSON_08 = LlavaVideo(slow_every=8, slow_stride=1, fast_stride=4, mode="average")  # 184 tokens, as its adapters learn
Entry = Callable  # what a learner writes; each function below says what it is given and what it returns


@lru_cache(maxsize=1)
def tiny():
    """The shipped model, as lesson 07 measures: on the CPU, in 32 bits."""
    return load("tiny", device="cpu")


@lru_cache(maxsize=256)
@torch.no_grad()
def features_of(seed: int) -> Tensor:
    """(16, 8, 8, 96)."""
    return tiny().encode(toybox.render(toybox.sample(seed)))


def mean_score(values: Sequence[float]) -> Score:
    """The mean of one value a clip, with the interval over redrawn clips.

    >>> print(mean_score([0, 1] * 20))
    0.500 [0.350, 0.650] n=40
    """
    values = np.asarray(values, dtype=float)
    return percentile_interval(resample_counts(len(values)) @ values / len(values), clips=len(values))


def checked_tokens(tokens, budget: int) -> Tensor:
    """The visual tokens of an entry. Raises ValueError for a wrong shape, too many of them, or what is no number."""
    if not isinstance(tokens, Tensor) or tokens.dim() != 2 or tokens.shape[1] != 128:
        given = tuple(tokens.shape) if isinstance(tokens, Tensor) else type(tokens).__name__
        raise ValueError(f"the entry returned {given}: return a tensor (N, 128) of projected tokens")
    if not 1 <= len(tokens) <= budget:
        raise ValueError(f"the entry returned {len(tokens)} tokens: from 1 to {budget} are allowed")
    if not tokens.isfinite().all():
        raise ValueError("the entry returned infinite tokens, or such as are no number")
    return tokens


def by_clip(asked: Sequence[toybox.QA], hits: Sequence[bool]) -> float:
    """The share of right answers about a clip, each kind of question weighing alike."""
    kinds = {qa.kind for qa in asked}
    of = {kind: [hit for qa, hit in zip(asked, hits, strict=True) if qa.kind == kind] for kind in kinds}
    return float(np.mean([np.mean(some) for some in of.values()]))


def tokens_within(budget: int, kinds: Sequence[str]) -> Callable[[Entry, range], Score]:
    """Entries that take features (16, 8, 8, 96) and the projector, and return at most `budget` tokens (N, 128)."""

    def score(entry: Entry, seeds: range) -> Score:
        return mean_score(shares(lambda seed: entry(features_of(seed), tiny().project), budget, kinds, seeds))

    return score


@torch.no_grad()
def shares(look: Callable[[int], Tensor], budget: int, kinds: Sequence[str], seeds: range) -> list[float]:
    """What a way to look at clips answers, clip by clip."""
    found = []
    for seed in seeds:
        asked = [qa for qa in toybox.questions(toybox.sample(seed)) if qa.kind in kinds]
        (hits,) = grade(tiny(), [checked_tokens(look(seed), budget)], [asked]) if asked else ([],)
        found += [by_clip(asked, hits)] if asked else []
    return found


def frames_chosen(entry: Entry, seeds: range) -> Score:
    """Entries that take the pixels (16, 64, 64, 3) and return two of the 16 frame numbers; read with all patches."""

    def look(seed: int) -> Tensor:
        chosen = sorted({int(number) for number in entry(toybox.render(toybox.sample(seed)))})
        if not (1 <= len(chosen) <= 2 and 0 <= chosen[0] and chosen[-1] < 16):
            raise ValueError(f"the entry chose the frames {chosen}: choose one or two from 0 to 15")
        return tiny().project(features_of(seed)[chosen]).flatten(0, 2)

    return mean_score(shares(look, 128, ("code", "flash"), seeds))


@torch.no_grad()
def crops_read(entry: Entry, seeds: range) -> Score:
    """Entries that take the features of an overview and four tiles (5, 8, 8, 96) of an image of twice the size."""
    found = []
    for seed in seeds:
        still = toybox.still(toybox.sample(seed), 8)
        crops = tiny().encode(tiny().crops(toybox.render(still, size=128)[0]))
        asked = [qa for qa in toybox.questions(still) if qa.kind in ("code", "count", "colour")]
        (hits,) = grade(tiny(), [checked_tokens(entry(crops, tiny().project), 128)], [asked])
        found.append(by_clip(asked, hits))
    return mean_score(found)


@torch.no_grad()
def tokens_for_questions(entry: Entry, seeds: range) -> Score:
    """Entries that see the question too, and return at most two tokens a frame."""
    found = []
    for seed in seeds:
        asked = [qa for qa in toybox.questions(toybox.sample(seed)) if qa.kind in ("colour", "shape", "count", "code")]
        looks = [checked_tokens(entry(features_of(seed), tiny().project, qa.question), 32) for qa in asked]
        hits = [row[0] for row in grade(tiny(), looks, [[qa] for qa in asked])]
        found.append(by_clip(asked, hits))
    return mean_score(found)


def memory_foretold(entry: Entry, seeds: range) -> Score:
    """Entries that take a model's specification and a number of frames; 1 less the mean error against the trace."""
    rows = json.loads((DATA / "measured" / "traced.json").read_text(encoding="utf-8"))["rows"]
    rows = [row for row in rows if row["task"] == "answering" and row.get("attention") == "sdpa"]
    told = [float(entry(MODELS[row["model"]], row["frames"], row["precision"])) for row in rows]
    errors = [abs(bytes_ - row["traced"]) / row["traced"] for bytes_, row in zip(told, rows, strict=True)]
    return mean_score([max(0.0, 1 - error) for error in errors])


def korean_facts(entry: Entry, seeds: range) -> Score:
    """Entries that return the folder of an adapter; the share of facts right in its Korean captions."""
    vlm = load("tiny", device="cpu")
    load_adapter(vlm, entry())
    limit = caption_limit(vlm, toybox_videos(range(TEST_SEEDS, TEST_SEEDS + 480)), "ko")  # lesson 08's training clips

    def look(video: Video) -> Tensor:
        return vlm.encode(toybox.render(video.clip))

    said = captions_by(vlm, "entry", toybox_videos(seeds), look, "ko", LESSON_08, limit=limit)
    return measure(FACTS_RIGHT, said)


def drawn_captions(seed: int, number: int = 4) -> list[str]:
    """Captions of a clip, each word drawn at temperature 1."""
    vlm = tiny()
    prompt, pad = vlm.prompt(toybox.CAPTION_PROMPTS["en"]), vlm.tokenizer.pad_token_id
    inputs = vlm.batch([features_of(seed)] * number, [prompt] * number, None, CAPTION_TOKENS)
    torch.manual_seed(seed)
    ids = vlm.model.generate(**inputs, do_sample=True, top_k=0, max_new_tokens=CAPTION_TOKENS, pad_token_id=pad)
    return [text.strip() for text in vlm.tokenizer.batch_decode(ids, skip_special_tokens=True)]


def caption_chosen(entry: Entry, seeds: range) -> Score:
    """Entries that take four drawn captions of a clip, without its truth, and return the number of the best one."""
    found = []
    for seed in seeds:
        texts = drawn_captions(seed)
        if (choice := int(entry(texts))) not in range(len(texts)):
            raise ValueError(f"the entry chose caption {choice}: choose from 0 to {len(texts) - 1}")
        found.append(compare(texts[choice], toybox.sample(seed)).share_right)
    return mean_score(found)


def blind_caption(entry: Entry, seeds: range) -> Score:
    """Entries that take 500 training captions and return one text; its chrF++ where every clip gets this text."""
    texts = [toybox.caption(toybox.sample(seed)) for seed in range(TEST_SEEDS, TEST_SEEDS + 500)]
    text = str(entry(texts))
    videos = toybox_videos(seeds)
    about = [Record("entry", video.name, "caption", "en", "", video.captions["en"], text) for video in videos]
    return measure(CHRF_PP, about)


def tokens_on_a_t4(entry: Entry, seeds: range) -> Score:
    """Entries that return settings for jobs/7b-t4.yaml: the visual tokens of a clip, if training and captions fit."""
    job = read_job(ROOT / "jobs" / "7b-t4.yaml", [f"{key}={value}" for key, value in entry().items()])
    need = need_of(job)
    for what, memory in (("training", need.train()), ("an answer", need.caption())):
        if memory.total > 14 * GIB:
            raise ValueError(f"{what} needs {memory.total / GIB:.2f} GiB: a T4 leaves 14")
    return Score(need.tokens, need.tokens, need.tokens, 1)


def shards_shared(entry: Entry, seeds: range) -> Score:
    """Entries that take the seconds of 60 shards and a number of processes, and return a list of shards for each."""
    found = []
    for seed in seeds:
        rng = random.Random(seed)
        seconds = [rng.lognormvariate(3, 1) for _ in range(60)]
        lists = [list(some) for some in entry(list(seconds), 8)]
        if len(lists) != 8 or sorted(sum(lists, [])) != list(range(60)):
            raise ValueError("the entry did not give each of the 60 shards to one of the 8 processes, and to one alone")
        slowest = max(sum(seconds[number] for number in some) for some in lists)
        found.append(max(sum(seconds) / 8, max(seconds)) / slowest)
    return mean_score(found)


def captions_within(budget: int) -> Callable[[Entry, range], Score]:
    """Entries that take the pixels (16, 64, 64, 3) and the model, and return at most `budget` tokens: facts right."""

    @torch.no_grad()
    def score(entry: Entry, seeds: range) -> Score:
        vlm, found = tiny(), []
        for seed in seeds:
            tokens = checked_tokens(entry(toybox.render(toybox.sample(seed)), vlm), budget)
            nowhere = torch.zeros(len(tokens), dtype=torch.long)
            clip = VisualTokens(tokens, nowhere - 1, nowhere, nowhere[:, None].expand(-1, 4))
            text = vlm.answer(clip, toybox.CAPTION_PROMPTS["en"], max_new_tokens=CAPTION_TOKENS)
            found.append(compare(text, toybox.sample(seed)).share_right)
        return mean_score(found)

    return score
