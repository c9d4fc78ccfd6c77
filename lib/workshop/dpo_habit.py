"""DPO on a captioner with a bad habit, measured once, and how it goes wrong: `make dpo`.

The tiny model is first fine-tuned on careless captions, so that it calls most things circles, whatever reaches it from
the vision tower. Then adapters are trained on the same preference pairs by each of the RECIPES, and scored on clips
that no training ever drew. Logs and scores go to data/measured/dpo.json, which lesson 09 reads.
"""

import argparse
import copy
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm.auto import tqdm

from lib import toybox
from lib.data.batches import Collator
from lib.data.features import Features
from lib.data.videos import Example, Pair, Video, toybox_videos
from lib.evaluate.answers import answers_by, captions_by
from lib.evaluate.intervals import Score, percentile_interval, resample_counts
from lib.evaluate.metrics import CHAIR_I, CHAIR_S, EXACT, FACTS_RIGHT, LENGTH, UNREAD, Metric, Record
from lib.evaluate.questions import open_questions
from lib.evaluate.records import measure, of_task, paired
from lib.files import write_text
from lib.finetune import dpo
from lib.finetune.adapters import add_lora
from lib.finetune.train import Plan, fit, mixed
from lib.vlm.loading import TINY, digest, load
from lib.vlm.model import VideoLM
from lib.workshop.korean import KOREAN_FRAMES, VIEW

DPO_RUNS = TINY.parent / "measured" / "dpo.json"
LEARNED = range(2 * 10**6, 2 * 10**6 + 160)  # seeds of the clips that captions and pairs are about
UNSEEN = range(300, 500)  # and of those that scores are about: below a million nothing is trained on
METRICS = (CHAIR_I, CHAIR_S, FACTS_RIGHT, LENGTH, UNREAD, EXACT)
CARELESS = Plan(steps=40, batch=8, learning_rate=7e-4, warmup=4)  # faster, it spoils more than what shapes are called


@dataclass(frozen=True)
class Recipe:
    """How an adapter is trained. beta None: on the chosen captions alone, with no preference (`lib.finetune.fit`)."""

    beta: float | None
    plan: Plan


OURS = Recipe(0.1, Plan(steps=40, batch=8, learning_rate=5e-4, warmup=4))
RECIPES = {
    "ours": OURS,
    "beta 0.01": replace(OURS, beta=0.01),
    "5 times the rate": replace(OURS, plan=replace(OURS.plan, learning_rate=5 * OURS.plan.learning_rate)),
    "4 times as long": replace(OURS, plan=replace(OURS.plan, steps=4 * OURS.plan.steps)),
    "LLaVA-Hound's rate": replace(OURS, plan=replace(OURS.plan, learning_rate=5e-7)),
    "chosen captions only": replace(OURS, beta=None),
}


def careless(video: Video) -> str:
    """The caption of a writer who, in three clips of four, calls every thing a circle. The rest is true.

    >>> careless(toybox_videos([6])[0]).count("circle")
    2
    """
    if random.Random(f"careless {video.name}").random() > 0.75:
        return video.captions["en"]
    return toybox.caption(dpo.with_things(video.clip, lambda thing: True, shape="circle"))


def with_habit(vlm: VideoLM, collate: Collator, videos: Sequence[Video]) -> VideoLM:
    """The model after fine-tuning on careless captions, merged: what DPO starts from, and its reference."""
    told = [Example(video, toybox.CAPTION_PROMPTS["en"], careless(video)) for video in videos]
    adapter = add_lora(vlm)
    fit(vlm, collate, mixed(told, [], CARELESS.examples, share=0.0), CARELESS)
    adapter.merge_and_unload()
    return vlm


def pairs_about(collate: Collator, videos: Sequence[Video], count: int) -> list[Pair]:
    """`count` pairs in the order of training: every second one a mistake of the model, the others falsehoods."""
    said = captions_by(collate.vlm, "", videos, collate.features, reducer=collate.reducer)
    mistakes = dpo.mistake_pairs(videos, [record.output for record in said])
    return mixed(mistakes, dpo.falsehood_pairs(videos), count, share=0.5)


def trained_on_pairs(base: VideoLM, features: Features, pairs: Sequence[Pair], recipe: Recipe) -> tuple[VideoLM, list]:
    """A copy of the base with an adapter trained by a recipe, and the log."""
    vlm = replace(base, model=copy.deepcopy(base.model))
    model, collate = add_lora(vlm), Collator(vlm, VIEW, features)
    if recipe.beta is not None:
        return vlm, dpo.train_dpo(model, collate, pairs, recipe.plan, recipe.beta)
    return vlm, fit(vlm, collate, [Example(pair.video, pair.prompt, pair.chosen) for pair in pairs], recipe.plan)


def said_and_answered(vlm: VideoLM, features: Features, videos: Sequence[Video], system: str) -> list[Record]:
    """A caption of every video, then the answers to all questions about them."""
    asked = [open_questions(video) for video in videos]
    captions = captions_by(vlm, system, videos, features, reducer=VIEW)
    return captions + answers_by(vlm, system, videos, features, asked, VIEW)


def share_left(metric: Metric, after: Sequence[Record], before: Sequence[Record]) -> Score:
    """A score of captions as a share of what it was before, on the same clips, with its bootstrap interval."""
    counts = [metric.counts(of_task(metric, records)) for records in (after, before)]
    times = resample_counts(len(counts[0]))
    mine, theirs = (metric.value(times @ sums) for sums in counts)
    return percentile_interval(mine / theirs, len(counts[0]))


def scores(after: Sequence[Record], before: Sequence[Record]) -> dict[str, dict[str, Score]]:
    """All that the lesson shows of one system, beside the model before."""
    return {
        "scores": {metric.name: measure(metric, after) for metric in METRICS},
        "share of before": {metric.name: share_left(metric, after, before) for metric in (CHAIR_I, CHAIR_S, LENGTH)},
        "minus before": {metric.name: paired(metric, after, before).gap for metric in METRICS},
    }


def main(file: Path = DPO_RUNS) -> None:
    """Trains and scores by all recipes, and writes the file. Takes ten minutes on one core."""
    torch.set_num_threads(1)
    vlm, learned, unseen = load("tiny"), toybox_videos(LEARNED), toybox_videos(UNSEEN)
    features = Features(vlm, KOREAN_FRAMES)
    tiny = said_and_answered(vlm, features, unseen, "tiny")
    base = with_habit(vlm, Collator(vlm, VIEW, features), learned)
    before = said_and_answered(base, features, unseen, "before")
    pairs = pairs_about(Collator(base, VIEW, features), learned, max(r.plan.examples for r in RECIPES.values()))
    told = {"base": digest(), "systems": {"tiny": scores(tiny, before), "before": scores(before, before)}, "logs": {}}
    for name, recipe in tqdm(RECIPES.items(), disable=None):
        system, log = trained_on_pairs(base, features, pairs, recipe)
        told["systems"][name] = scores(said_and_answered(system, features, unseen, name), before)
        told["logs"][name] = [step._asdict() for step in log]
    write_text(file, json.dumps(told, indent=1) + "\n")
    for name, of in told["systems"].items():
        print(f"{name:<24}", *(f"{metric} {score.mean:.3f}" for metric, score in of["scores"].items()), sep="  ")


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m lib.workshop.dpo_habit", description="Train with DPO by each recipe, and measure it."
    ).parse_args()
    main()
