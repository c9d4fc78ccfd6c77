"""Learning rates and numbers of steps for Korean captions (lesson 08): `python -m lib.workshop.korean_curve`.

Three questions about the ways of `lib.workshop.korean`:

- Would another learning rate have been better? Each way is trained again at a lower and at a higher one.
- What can be trained in the lesson's minute? Two schedules of about the same time.
- What do more steps gain? LoRA at the shipped adapter's rate for more and more steps; that adapter is the last of them.

Each run is written to the file when it is done, and a run that is there is not made again. All take 40 minutes on one
core.
"""

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from lib.data.features import Features
from lib.data.videos import captioning, toybox_videos
from lib.evaluate.answers import captions_by
from lib.evaluate.intervals import Score, percentile_interval, resample_counts
from lib.evaluate.metrics import FACTS_RIGHT, Record
from lib.files import write_text
from lib.finetune.train import Plan, mixed
from lib.vlm.loading import TINY, digest
from lib.workshop.korean import (
    ENGLISH,
    KOREAN_BATCH,
    KOREAN_FRAMES,
    LIVE,
    LIVE_ENGLISH,
    SHIPPED_WAY,
    STEPS,
    TESTED_ON,
    TRAINED_ON,
    TRAINING_WAYS,
    VIEW,
    TrainingWay,
    fit_in_stages,
    in_english,
    read_korean,
    records,
)

CURVE = TINY.parent / "measured" / "korean_curve.json"
SWEEP_RATES = {  # the lower and the higher neighbour of each way's rate
    "projector": (5e-3, 2e-2),
    "lora": (2e-3, 1e-2),
    "qlora": (2e-3, 1e-2),
    "full": (1e-3, 5e-3),
}
CURVE_LENGTHS = (1000, 2000, 4000)  # steps, beside the 500 of the sweep and the 7,000 of the shipped adapter
CURVE_RATE = 2e-3
LIVE_CLIPS = TRAINED_ON[:480]  # those of the lesson
TRIES = {  # for the lesson's minute: stages, and the share of English
    "184 tokens in every step": (((VIEW, Plan(STEPS, KOREAN_BATCH, 4e-3)),), ENGLISH),
    "88 tokens, then 184": (LIVE, LIVE_ENGLISH),
}


class CurveRun(NamedTuple):
    """What became of one training."""

    method: str  # or the name of a try
    steps: int
    rate: float
    seconds: float
    loss: float  # mean of the last 50 steps
    facts: list[list[float]]  # for each test clip: facts right, facts in all


def planned_runs() -> list[tuple[str, int, float]]:
    """(method, steps, rate) of every run, the sweep first."""
    sweep = [(method, STEPS, rate) for method, rates in SWEEP_RATES.items() for rate in rates]
    tries = [
        (name, sum(plan.steps for _, plan in stages), stages[-1][1].learning_rate)
        for name, (stages, _) in TRIES.items()
    ]
    return sweep + tries + [("lora", steps, CURVE_RATE) for steps in CURVE_LENGTHS]


def facts_of(captions: list[Record]) -> list[list[float]]:
    """For each clip: the facts that its caption tells right, and all its facts."""
    return FACTS_RIGHT.counts(captions).tolist()


def facts_share(facts: list[list[float]]) -> Score:
    """The share of facts right, with its bootstrap interval over clips."""
    return percentile_interval(FACTS_RIGHT.value(resample_counts(len(facts)) @ np.array(facts)), len(facts))


def facts_gap(first: list[list[float]], second: list[list[float]]) -> Score:
    """The share of the first minus that of the second on the same clips, with its paired bootstrap interval."""
    times = resample_counts(len(first))
    mine, theirs = (FACTS_RIGHT.value(times @ np.array(facts)) for facts in (first, second))
    return percentile_interval(mine - theirs, len(first))


def one_run(method: str, steps: int, rate: float, folder: Path) -> CurveRun:
    """Trains as `lib.workshop.korean` does, with this rate and for so many steps, and has the test clips described."""
    torch.set_num_threads(1)
    way = TrainingWay(f"{method} {steps} {rate:g}", method if method in SWEEP_RATES else "lora")
    vlm, _ = way.start()
    features = Features(vlm, KOREAN_FRAMES, folder / "features", max_bytes=2**31)
    stages, english = TRIES.get(method, (((VIEW, Plan(steps, KOREAN_BATCH, rate)),), ENGLISH))
    videos, count = toybox_videos(LIVE_CLIPS if method in TRIES else TRAINED_ON), KOREAN_BATCH * steps
    other = captioning(videos, "en") if stages is LIVE else in_english(videos)
    examples = mixed(captioning(videos, "ko"), other, count, english)
    log = fit_in_stages(vlm, features, examples, stages, folder / way.name.replace(" ", "-").replace(",", ""))
    captions = captions_by(vlm, way.name, toybox_videos(TESTED_ON), features, "ko", VIEW)
    loss, seconds = float(np.mean([step.loss for step in log[-50:]])), sum(step.seconds for step in log)
    return CurveRun(method, steps, rate, round(seconds, 1), round(loss, 4), facts_of(captions))


def known_runs() -> list[CurveRun]:
    """The runs of `make korean` that belong to the same questions."""
    made, results = [], read_korean()
    for way in (*TRAINING_WAYS[1:5], SHIPPED_WAY):
        result, facts = results[way.name], facts_of(records({way.name: results[way.name]}, "ko"))
        loss = round(float(np.mean(result.losses[-50:])), 4)
        made.append(CurveRun(way.method, way.plan.steps, way.plan.learning_rate, result.seconds, loss, facts))
    return made


def read_curve(path: Path = CURVE) -> list[CurveRun]:
    """The runs of the file, then those of `make korean`. Raises ValueError for a file of other weights."""
    table = json.loads(path.read_text(encoding="utf-8"))
    if table["weights"] != digest():
        raise ValueError(f"{path} was measured with other weights than these: delete it and run `{table['command']}`")
    return [CurveRun(**run) for run in table["runs"]] + known_runs()


def write_curve(runs: list[CurveRun], path: Path = CURVE) -> None:
    """Writes the runs, and with which weights."""
    table = {"command": "python -m lib.workshop.korean_curve", "weights": digest(), "runs": [r._asdict() for r in runs]}
    write_text(path, json.dumps(table) + "\n")


def main() -> None:
    """Makes the runs that the file lacks, one after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.workshop.korean_curve", description="Learning rates and lengths for Korean captions."
    )
    parser.add_argument("--folder", type=Path, default=Path("build/korean"), help="for features, checkpoints and logs")
    folder = parser.parse_args().folder / digest()[:12]
    known = known_runs()
    made = read_curve()[: -len(known)] if CURVE.exists() else []
    for method, steps, rate in planned_runs():
        if not any((method, steps, rate) == (run.method, run.steps, run.rate) for run in made):
            began = time.monotonic()
            made.append(one_run(method, steps, rate, folder))
            write_curve(made)
            print(
                f"{method} {steps} steps at {rate:g}: {facts_share(made[-1].facts)}, {time.monotonic() - began:.0f} s"
            )


if __name__ == "__main__":
    main()
