"""Learning rates and numbers of steps for Korean captions (lesson 08): `python -m lib.workshop.korean_curve`.

Two questions about the methods of `lib.workshop.korean`:

- Would another learning rate have been better? Each method trains briefly, on few visual tokens, at three rates.
- What do more steps gain? LoRA at the shipped adapter's rate for more and more steps; that adapter is the last of them.

Each run is written to the file when it is done, and is not repeated. All take half an hour on one core.
"""

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from lib.data.batches import Collator
from lib.data.features import Features
from lib.data.videos import toybox_videos
from lib.evaluate.answers import captions_by
from lib.evaluate.intervals import Score, percentile_interval, resample_counts
from lib.evaluate.metrics import FACTS_RIGHT, Record
from lib.files import write_text
from lib.finetune.train import Plan, fit
from lib.vlm.loading import TINY, digest
from lib.workshop.korean import (
    FEW,
    KOREAN_BATCH,
    KOREAN_FRAMES,
    SHIPPED_WAY,
    TESTED_ON,
    TRAINED_ON,
    VIEW,
    TrainingWay,
    read_korean,
    records,
)

CURVE = TINY.parent / "measured" / "korean_curve.json"
SWEEP_RATES = {  # the middle one is that of `lib.workshop.korean`
    "projector": (5e-3, 1e-2, 2e-2),
    "lora": (2e-3, 5e-3, 1e-2),
    "qlora": (2e-3, 5e-3, 1e-2),
    "full": (1e-3, 2e-3, 5e-3),
}
SWEEP_STEPS = 250  # on 88 visual tokens
CURVE_STEPS = (500, 1000, 2000, 4000)  # on 184, as the 7,000 of the shipped adapter
CURVE_RATE = SHIPPED_WAY.plan.learning_rate


class CurveRun(NamedTuple):
    """The result of one training."""

    method: str
    steps: int
    rate: float
    tokens: int  # visual ones
    seconds: float
    loss: float  # mean of the last 50 steps
    facts: list[list[float]]  # for each test clip: facts right, facts in all

    @property
    def share(self) -> Score:
        """The share of facts right, with its bootstrap interval over clips."""
        counts = resample_counts(len(self.facts)) @ np.array(self.facts)
        return percentile_interval(FACTS_RIGHT.value(counts), len(self.facts))

    def minus(self, other: "CurveRun") -> Score:
        """The difference of its share and another's on the same clips, by the paired bootstrap."""
        times = resample_counts(len(self.facts))
        mine, theirs = (FACTS_RIGHT.value(times @ np.array(run.facts)) for run in (self, other))
        return percentile_interval(mine - theirs, len(self.facts))


def planned_runs() -> list[tuple[str, int, float]]:
    """(method, steps, rate) of every run, the sweep first."""
    sweep = [(method, SWEEP_STEPS, rate) for method, rates in SWEEP_RATES.items() for rate in rates]
    return sweep + [("lora", steps, CURVE_RATE) for steps in CURVE_STEPS]


def facts_of(captions: list[Record]) -> list[list[float]]:
    """For each clip: the facts that its caption states, and all its facts."""
    return FACTS_RIGHT.counts(captions).tolist()


def one_run(method: str, steps: int, rate: float, folder: Path) -> CurveRun:
    """Trains as `lib.workshop.korean` does, with this rate and number of steps, then captions the test clips."""
    torch.set_num_threads(1)
    way, view = TrainingWay("", method, Plan(steps, KOREAN_BATCH, rate)), FEW if steps == SWEEP_STEPS else VIEW
    vlm, _ = way.start()
    features = Features(vlm, KOREAN_FRAMES, folder / "features", max_bytes=2**31)
    examples, checkpoints = way.examples(toybox_videos(TRAINED_ON)), folder / f"{method}-{steps}-{rate:g}"
    log = fit(vlm, Collator(vlm, view, features), examples, way.plan, checkpoints)
    captions = captions_by(vlm, method, toybox_videos(TESTED_ON), features, "ko", view)
    loss, seconds = float(np.mean([step.loss for step in log[-50:]])), sum(step.seconds for step in log)
    tokens = view.count(KOREAN_FRAMES, 8, 8)
    return CurveRun(method, steps, rate, tokens, round(seconds, 1), round(loss, 4), facts_of(captions))


def shipped_run() -> CurveRun:
    """The shipped adapter, as `make korean` trained and evaluated it."""
    result, plan = read_korean()[SHIPPED_WAY.name], SHIPPED_WAY.plan
    facts, loss = facts_of(records({SHIPPED_WAY.name: result}, "ko")), round(float(np.mean(result.losses[-50:])), 4)
    tokens = VIEW.count(KOREAN_FRAMES, 8, 8)
    return CurveRun(SHIPPED_WAY.method, plan.steps, plan.learning_rate, tokens, result.seconds, loss, facts)


def read_curve(path: Path = CURVE) -> list[CurveRun]:
    """The runs of the file, the shipped adapter last. Raises ValueError for a file of other weights."""
    return [*read_runs(path), shipped_run()]


def read_runs(path: Path) -> list[CurveRun]:
    """The runs of the file. Raises ValueError for a file of other weights."""
    table = json.loads(path.read_text(encoding="utf-8"))
    if table["weights"] != digest():
        raise ValueError(f"{path} was measured with other weights than these: delete it and run `{table['command']}`")
    return [CurveRun(**run) for run in table["runs"]]


def write_curve(runs: list[CurveRun], path: Path = CURVE) -> None:
    """Writes the runs, and the digest of the weights."""
    table = {"command": "python -m lib.workshop.korean_curve", "weights": digest(), "runs": [r._asdict() for r in runs]}
    write_text(path, json.dumps(table) + "\n")


def main() -> None:
    """Makes the runs that the file lacks, one after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.workshop.korean_curve", description="Learning rates and lengths for Korean captions."
    )
    parser.add_argument("--file", type=Path, default=CURVE, help="the file of results")
    parser.add_argument("--folder", type=Path, default=Path("build/korean"), help="for features, checkpoints and logs")
    arguments = parser.parse_args()
    made = read_runs(arguments.file) if arguments.file.exists() else []
    for method, steps, rate in planned_runs():
        if (method, steps, rate) not in [(run.method, run.steps, run.rate) for run in made]:
            began = time.monotonic()
            made.append(one_run(method, steps, rate, arguments.folder / digest()[:12]))
            write_curve(made, arguments.file)
            seconds = time.monotonic() - began
            print(f"{method} {steps} steps at {rate:g}: {made[-1].share}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
