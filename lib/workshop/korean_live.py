"""The short run of lesson 08 with other settings: `python -m lib.workshop.korean_live`.

Each run differs from the lesson's in one thing. All but the two with more steps cost about as much. They are scored on
clips that neither the lesson nor its challenge uses. A run that is in the file is not made again; each takes a minute
and a half of one core.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import get_scheduler

from lib import toybox
from lib.data.batches import Collator
from lib.data.features import Features
from lib.data.videos import Example, captioning, toybox_videos
from lib.evaluate.answers import caption_limit, captions_by
from lib.evaluate.metrics import FACTS_RIGHT
from lib.files import write_text
from lib.finetune.adapters import add_lora, trainable
from lib.finetune.train import mixed
from lib.packing import answer_logits, pack_questions, states
from lib.reducers import LlavaVideo, Reducer
from lib.vlm.loading import TINY, digest, load
from lib.vlm.model import VideoLM
from lib.workshop.korean import FEW, KOREAN_BATCH, KOREAN_FRAMES, LIVE_ENGLISH, TRAINED_ON, VIEW
from lib.workshop.korean_curve import CurveRun
from lib.workshop.muon import Muon

LIVE_RUNS = TINY.parent / "measured" / "korean_live.json"
FEWER = LlavaVideo(slow_every=8, slow_stride=2, fast_stride=8, mode="average")  # 2 frames x 16 and 14 x 1: 46 tokens
TUNED_ON = range(70_000, 70_096)  # clips that choose the settings


@dataclass(frozen=True)
class LiveTry:
    """The settings of one run."""

    name: str
    steps: tuple[int, int] = (600, 160)  # on few visual tokens at a constant rate, then on 184 at a falling one
    batch: int = KOREAN_BATCH
    clips: int = 480
    first: LlavaVideo = FEW
    rate: float = 3e-3
    times: float = 1.0  # B's rate, times A's: LoRA+ (Hayou, Ghosh and Yu, arXiv 2402.12354)
    warmup: int = 5
    muon: bool = False  # in place of AdamW
    packed: bool = False  # one clip of each batch brings its English caption along, behind the same visual tokens


TRIES = (
    LiveTry("as in the lesson"),
    LiveTry("LoRA+, B's rate 4 times A's", rate=1.5e-3, times=4),
    LiveTry("LoRA+, B's rate 16 times A's", rate=5e-4, times=16),
    LiveTry("a warmup of 50 steps to 5e-3", rate=5e-3, warmup=50),
    LiveTry("Muon in place of AdamW", muon=True),
    LiveTry("packed, 10 % more steps", steps=(660, 175), packed=True),
    LiveTry("batches of 2", steps=(1200, 320), batch=2, rate=2e-3),
    LiveTry("46 visual tokens first", steps=(830, 160), first=FEWER),
    LiveTry("packed, in the same time", steps=(520, 140), packed=True),
    LiveTry("345 of 645 steps on 184 tokens", steps=(300, 345)),
    LiveTry("a rate of 2e-3", rate=2e-3),
    LiveTry("30 % more steps", steps=(780, 208)),
    LiveTry("960 clips", clips=960),
)


class LiveRun(NamedTuple):
    """What became of one run."""

    name: str
    seconds: float  # of a core, for training; the clips are encoded before
    facts: list[list[float]]  # for each clip: facts right, facts in all

    share, minus = CurveRun.share, CurveRun.minus  # both read `facts` alone


def live_run(one: LiveTry, features: Features) -> LiveRun:
    """Trains an adapter and has the clips described."""
    vlm, videos = load("tiny", device="cpu"), toybox_videos(TRAINED_ON[: one.clips])
    add_lora(vlm)
    for video in videos:
        features(video)  # before the clock runs
    began = time.process_time()
    train_live(vlm, one, features)
    seconds, limit = time.process_time() - began, caption_limit(vlm, videos, "ko")
    records = captions_by(vlm, one.name, toybox_videos(TUNED_ON), features, "ko", VIEW, limit=limit)
    return LiveRun(one.name, round(seconds, 1), FACTS_RIGHT.counts(records).tolist())


def train_live(vlm: VideoLM, one: LiveTry, features: Features) -> list[float]:
    """The loop of lesson 08, section 6, in two stages; returns the losses."""
    order, losses = examples(one), []
    vlm.model.train()
    for view, steps, schedule, warmup in zip(
        (one.first, VIEW), one.steps, ("constant_with_warmup", "cosine"), (one.warmup, 0), strict=True
    ):
        optimizer, collate = live_optimizer(vlm, one), Collator(vlm, view, features)
        rates = get_scheduler(schedule, optimizer, num_warmup_steps=warmup, num_training_steps=steps)
        for step in range(steps):
            some, order = order[: one.batch], order[one.batch :]
            loss = packed_loss(vlm, some, collate, step) if one.packed else plain_loss(vlm, some, collate)
            loss.backward()
            nn.utils.clip_grad_norm_(trainable(vlm).values(), 1.0)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    vlm.model.eval()
    return losses


def examples(one: LiveTry) -> list[Example]:
    """As in the lesson; where English is packed behind Korean, none stands alone."""
    videos, share = toybox_videos(TRAINED_ON[: one.clips]), 0.0 if one.packed else LIVE_ENGLISH
    count = sum(one.steps) * one.batch
    return mixed(captioning(videos, "ko"), captioning(videos, "en"), count, share)


def live_optimizer(vlm: VideoLM, one: LiveTry) -> torch.optim.Optimizer:
    """AdamW or Muon, with one rate for A and another for B."""
    weights = trainable(vlm)
    groups = [
        {"params": [weight for name, weight in weights.items() if part in name], "lr": rate}
        for part, rate in (("lora_A", one.rate), ("lora_B", one.rate * one.times))
    ]
    return Muon(groups, weight_decay=0.0) if one.muon else torch.optim.AdamW(groups, weight_decay=0.0, fused=True)


def plain_loss(vlm: VideoLM, some: Sequence[Example], collate: Collator) -> Tensor:
    """As transformers computes it."""
    with vlm.looking_through(collate.reducer):
        return vlm.model(**collate(some), use_cache=False).loss


def packed_loss(vlm: VideoLM, some: Sequence[Example], collate: Collator, step: int) -> Tensor:
    """One clip of the batch, another in each step, has two answers behind its visual tokens."""
    visual = [seen(vlm, example, collate.reducer, collate) for example in some]
    turns = [[(example.prompt, example.answer)] for example in some]
    also = some[step % len(some)].video
    turns[step % len(some)].append((toybox.CAPTION_PROMPTS["en"], also.captions["en"]))
    packed = pack_questions(vlm.model, vlm.tokenizer, visual, turns)
    return nn.functional.cross_entropy(*answer_logits(vlm.model, packed, states(vlm.model, packed)[-1]))


@torch.no_grad()
def seen(vlm: VideoLM, example: Example, view: Reducer, collate: Collator) -> Tensor:
    """The visual tokens of a clip."""
    return view(collate.features(example.video), vlm.project).embeds


def read_live(path: Path = LIVE_RUNS) -> list[LiveRun]:
    """The runs of the file. Raises ValueError for a file of other weights."""
    table = json.loads(path.read_text(encoding="utf-8"))
    if table["weights"] != digest():
        raise ValueError(f"{path} was measured with other weights than these: delete it and run `{table['command']}`")
    return [LiveRun(**run) for run in table["runs"]]


def write_live(runs: Sequence[LiveRun], path: Path = LIVE_RUNS) -> None:
    """Writes the runs, and with which weights."""
    table = {"command": "python -m lib.workshop.korean_live", "weights": digest(), "runs": [r._asdict() for r in runs]}
    write_text(path, json.dumps(table) + "\n")


def main() -> None:
    """Makes the runs that the file lacks, one after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.workshop.korean_live", description="Other settings for the short run of lesson 08."
    )
    parser.add_argument("--file", type=Path, default=LIVE_RUNS, help="where the results are kept")
    file = parser.parse_args().file
    torch.set_num_threads(1)
    made = read_live(file) if file.exists() else []
    features = Features(load("tiny", device="cpu"), KOREAN_FRAMES, max_bytes=2**31)
    for one in tqdm([one for one in TRIES if one.name not in [run.name for run in made]], unit="run", disable=None):
        made.append(live_run(one, features))
        write_live(made, file)
        print(f"{made[-1].name}: {made[-1].share}, {made[-1].seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
