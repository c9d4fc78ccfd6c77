"""DPO from the verdicts of a noisy judge, measured once: `make dpo`.

The camera is darker than all training clips of the tiny model, so its captions get worse, and there are no better ones.
The model samples four captions of each clip. A judge compares them two by two and errs in every fifth verdict. The best
and the worst make a pair. Each of the RECIPES trains an adapter, which then captions clips that no training and no
choice of a setting used. The captions go to data/measured/dpo.json, which lesson 09 reads.
"""

import argparse
import copy
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lib import toybox
from lib.data.batches import Collator
from lib.data.features import Features
from lib.data.videos import Example, Pair, Video, toybox_videos
from lib.evaluate.answers import Look, caption_limit, captions_by
from lib.evaluate.metrics import Record
from lib.files import DATA, write_text
from lib.finetune import dpo
from lib.finetune.adapters import add_lora
from lib.finetune.train import Plan, fit, mixed
from lib.toybox.facts import compare
from lib.vlm.loading import digest, load
from lib.vlm.model import VideoLM
from lib.workshop.korean import KOREAN_FRAMES, VIEW

DPO_RUNS = DATA / "measured" / "dpo.json"
LEARNED = range(2 * 10**6, 2 * 10**6 + 400)  # seeds of the clips that samples and verdicts are about
FRESH = range(5000, 5200)  # seeds of the clips that scores are about: no setting was chosen on them
SAMPLES = 4  # captions of each clip
NOISE = 0.2  # share of verdicts that are wrong
DARK = 0.6  # of each pixel's brightness
DPO_PROMPT = toybox.CAPTION_PROMPTS["en"]


class DarkFeatures(Features):
    """Features of darkened frames, as from a camera with too little light."""

    def encode(self, frames: np.ndarray) -> Tensor:
        return super().encode((DARK * frames).astype(np.uint8))


@dataclass(frozen=True)
class Recipe:
    """How an adapter is trained. beta None: on captions only, without preferences (`lib.finetune.fit`)."""

    beta: float | None
    plan: Plan = Plan(steps=50, batch=8, learning_rate=5e-4, warmup=5)
    answers: str = "best"  # the captions of a run without pairs: "best" of the samples, or the "truth"
    judge: str = "errs"  # the pairs' judge: "errs", or "length", which prefers the longest
    nll: float = 0.0  # weight of the chosen captions' plain loss beside DPO's
    light: bool = False  # in the light of the training clips
    seeds: tuple[int, ...] = (0,)  # of samples, verdicts, order and adapter


TWICE = Recipe(0.1, seeds=(0, 1))
LONG_RUN = Recipe(0.1, plan=replace(TWICE.plan, steps=200))
RECIPES = {
    "best only": replace(TWICE, beta=None),
    "DPO": TWICE,
    "truth": replace(TWICE, beta=None, answers="truth"),
    "best only, rate x 4": Recipe(None, plan=replace(TWICE.plan, learning_rate=2e-3)),
    "judged by length": Recipe(0.1, judge="length"),
    "DPO in daylight": Recipe(0.1, light=True),
    "beta 0.1": LONG_RUN,
    "beta 0.01": replace(LONG_RUN, beta=0.01),
    "beta 0.5": replace(LONG_RUN, beta=0.5),
    "beta 0.1 + NLL": replace(LONG_RUN, nll=1.0),
}

SYSTEMS = ("base", "base in daylight", *RECIPES)  # in the order of the file


# ---------------------------------------------------------------------------------------------------------------------
# Samples, verdicts, pairs
# ---------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def sample_captions(
    vlm: VideoLM, videos: Sequence[Video], look: Look, limit: int, seed: int = 0, batch: int = 16
) -> list[list[str]]:
    """SAMPLES captions of each video at temperature 1: each token is drawn by its probability, and none is excluded."""
    torch.manual_seed(seed)
    pad, said = vlm.tokenizer.pad_token_id, []
    drawn = dict(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, num_return_sequences=SAMPLES)
    drawn |= dict(max_new_tokens=limit, pad_token_id=vlm.tokenizer.eos_token_id if pad is None else pad)
    for start in range(0, len(videos), batch):
        some = videos[start : start + batch]
        inputs = vlm.batch([look(video) for video in some], [vlm.prompt(DPO_PROMPT)] * len(some), VIEW, limit)
        ids = vlm.model.generate(**inputs, **drawn)
        texts = [text.strip() for text in vlm.tokenizer.batch_decode(ids, skip_special_tokens=True)]
        said += [texts[place : place + SAMPLES] for place in range(0, len(texts), SAMPLES)]
    return said


def worth(caption: str, clip: toybox.Clip) -> int:
    """The judge's criterion: true facts minus false facts.

    >>> worth("A big yellow square stays still. The code is 123.", toybox.sample(7))
    2
    """
    told = compare(caption, clip)
    return told.right - told.invented


def wins(worths: Sequence[float], noise: float, rng: random.Random) -> list[int]:
    """How many comparisons with the others each caption wins; a share `noise` of the verdicts is reversed.

    For two equally good captions a coin decides.

    >>> wins([5, 3, 9], noise=0, rng=random.Random(0)), wins([5, 3, 9], noise=1, rng=random.Random(0))
    ([1, 0, 2], [1, 2, 0])
    """
    won = [0] * len(worths)
    for one, other in combinations(range(len(worths)), 2):
        first = worths[one] > worths[other] if worths[one] != worths[other] else rng.random() < 0.5
        won[one if first != (rng.random() < noise) else other] += 1
    return won


def judged_pairs(
    videos: Sequence[Video], said: Sequence[Sequence[str]], judge: str = "errs", noise: float = NOISE, seed: int = 0
) -> list[Pair]:
    """A pair for each video: the caption that wins most comparisons, and the one that wins fewest.

    The judge "errs" in a share `noise` of the verdicts; the judge of "length" counts letters and never errs. A clip
    gives no pair if both texts are the same or one is empty.
    """
    rng, pairs = random.Random(f"judge {seed}"), []
    for video, captions in zip(videos, said, strict=True):
        if judge == "length":
            won = [len(caption) for caption in captions]
        else:
            won = wins([worth(caption, video.clip) for caption in captions], noise, rng)
        best, worst = captions[won.index(max(won))], captions[won.index(min(won))]
        if best.strip() and worst.strip() and best.split() != worst.split():
            pairs.append(Pair(video, DPO_PROMPT, best, worst))
    return pairs


# ---------------------------------------------------------------------------------------------------------------------
# Training and measuring
# ---------------------------------------------------------------------------------------------------------------------


def trained(
    base: VideoLM, look: Look, pairs: Sequence[Pair], recipe: Recipe, seed: int = 0
) -> tuple[VideoLM, list[dpo.PreferenceStep]]:
    """A copy of the base with an adapter trained by a recipe, and the log (empty if no pairs are compared)."""
    vlm = replace(base, model=copy.deepcopy(base.model))
    model, collate = add_lora(vlm, seed=seed), Collator(vlm, VIEW, look)
    ordered = mixed(pairs, [], recipe.plan.examples, share=0.0, seed=seed)
    if recipe.beta is not None:
        return vlm, dpo.train_dpo(model, collate, ordered, recipe.plan, recipe.beta, sampled=True, nll=recipe.nll)
    answers = [pair.chosen if recipe.answers == "best" else pair.video.captions["en"] for pair in ordered]
    fit(vlm, collate, [Example(p.video, p.prompt, text) for p, text in zip(ordered, answers, strict=True)], recipe.plan)
    return vlm, []


def main(file: Path = DPO_RUNS) -> None:
    """Trains by all recipes, captions the fresh clips, and rewrites the file after each.

    Half an hour on one core. A stopped run continues: recipes that the file already holds are not trained again.
    """
    torch.set_num_threads(1)
    vlm, learned, fresh = load("tiny", device="cpu"), toybox_videos(LEARNED), toybox_videos(FRESH)
    limit = caption_limit(vlm, toybox_videos(range(10**6, 10**6 + 1000)))
    looks = {light: (Features if light else DarkFeatures)(vlm, KOREAN_FRAMES) for light in (False, True)}

    def captions(model: VideoLM, light: bool = False) -> list[str]:
        return [r.output for r in captions_by(model, "", fresh, looks[light], reducer=VIEW, limit=limit)]

    told = {"command": "make dpo", "weights": digest(), "limit": limit, "recipes": {}, "captions": {}}
    told |= {"gains": {}, "pairs": {}}
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if all(before.get(key) == told[key] for key in ("command", "weights", "limit")):
        told = before
    else:
        told["captions"] = {"base": [captions(vlm)], "base in daylight": [captions(vlm, light=True)]}
    samples = {}
    for name, recipe in tqdm(RECIPES.items(), disable=None):
        if told["recipes"].get(name) == repr(recipe):
            continue
        said, gains = [], []
        for seed in recipe.seeds:
            key = (recipe.light, seed)
            samples[key] = samples.get(key) or sample_captions(vlm, learned, looks[recipe.light], limit, seed)
            pairs = judged_pairs(learned, samples[key], recipe.judge, seed=seed)
            system, log = trained(vlm, looks[recipe.light], pairs, recipe, seed)
            said.append(captions(system, recipe.light))
            gains.append([(round(step.chosen, 3), round(step.rejected, 3)) for step in log])
            told["pairs"].setdefault(f"{recipe.judge}{', daylight' * recipe.light} {seed}", about(pairs))
        told["recipes"][name], told["captions"][name], told["gains"][name] = repr(recipe), said, gains
        told["captions"] = {key: told["captions"][key] for key in SYSTEMS if key in told["captions"]}
        write_text(file, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        print(name, *(f"{score:.3f}" for score in map(right_share, said)), flush=True)


def about(pairs: Sequence[Pair]) -> dict[str, float]:
    """How many pairs there are, the share in which the chosen caption is really better, and the length of both."""
    worths = [(worth(p.chosen, p.video.clip), worth(p.rejected, p.video.clip)) for p in pairs]
    lengths = np.mean([(len(p.chosen), len(p.rejected)) for p in pairs], axis=0).round(1).tolist()
    better, worse = (np.mean([sign * (a - b) > 0 for a, b in worths]).round(4).item() for sign in (1, -1))
    return {"pairs": len(pairs), "better": better, "worse": worse, "characters": lengths}


def right_share(said: Sequence[str]) -> float:
    """The share of the fresh clips' facts that these captions state."""
    counts = [compare(caption, toybox.sample(seed)) for caption, seed in zip(said, FRESH, strict=True)]
    return sum(one.right for one in counts) / sum(one.right + one.missed for one in counts)


def read_dpo(file: Path = DPO_RUNS) -> dict:
    """What `make dpo` wrote, the captions as records: for each system those of all its seeds, one after the other.

    Raises FileNotFoundError if there is no file, and ValueError if it belongs to other weights.
    """
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing: restore it with git, or run make dpo")
    told = json.loads(file.read_text(encoding="utf-8"))
    if told["weights"] != digest():
        raise ValueError(f"{file} was measured with other weights than these: run make dpo")
    videos = toybox_videos(FRESH)
    told["captions"] = {
        name: [
            Record(name, video.name, "caption", "en", DPO_PROMPT, video.captions["en"], caption)
            for said in of_seeds
            for video, caption in zip(videos, said, strict=True)
        ]
        for name, of_seeds in told["captions"].items()
    }
    return told


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m lib.workshop.dpo_judge", description="Train with DPO by each recipe, and keep the captions."
    ).parse_args()
    main()
