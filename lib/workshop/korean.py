"""Korean captions taught in six ways, and the adapter that the course ships: `make korean`.

Each method starts from the tiny model, which describes videos in English and has seen Korean only as text. All six
train on the same clips for the same number of steps; the seventh, which is shipped, is LoRA for longer. Each model then
describes unseen clips, in Korean and in English, and answers English questions about them. This measures what it
learned, and what it forgot.

The file keeps the models' outputs, clip by clip, so that lesson 08 can compute every score and interval from it.
"""

import argparse
import json
import multiprocessing
import random
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from lib import toybox
from lib.data.batches import Collator
from lib.data.features import Features
from lib.data.videos import Example, Video, captioning, toybox_videos
from lib.evaluate.answers import captions_by
from lib.evaluate.exact import grade
from lib.evaluate.metrics import CHRF_PP, EXACT, FACTS_RIGHT, Record
from lib.evaluate.records import measure
from lib.files import write_text
from lib.finetune.adapters import PeftModel, add_lora, all_but_tower, projector_only, save_adapter, trainable
from lib.finetune.train import Plan, fit, mixed
from lib.reducers import LlavaVideo
from lib.vlm.loading import TINY, digest, load
from lib.vlm.model import VideoLM

ADAPTER = TINY.parent / "korean-lora"
KOREAN_RUNS = TINY.parent / "measured" / "korean.json"
KOREAN_FRAMES = 16
VIEW = LlavaVideo(slow_every=8, slow_stride=1, fast_stride=4, mode="average")  # 2 frames x 64 and 14 x 4: 184 tokens
FEW = LlavaVideo(slow_every=8, slow_stride=2, fast_stride=4, mode="average")  # 2 frames x 16 and 14 x 4: 88 tokens
TRAINED_ON = range(10**6, 10**6 + 4000)  # seeds; clips below a million are for testing
TESTED_ON = range(100)
ENGLISH = 0.4  # of the examples: a third captions, the rest questions
KOREAN_BATCH = 4  # twice the steps of batch 8 at the same cost, and a lower loss
RATE = 5e-3
STEPS = 500
TrainingStage = tuple[LlavaVideo, Plan]
LIVE = (  # in the lesson, in about a minute: cheap steps on few tokens first, then full ones
    (FEW, Plan(600, KOREAN_BATCH, 3e-3, schedule="constant_with_warmup")),
    (VIEW, Plan(160, KOREAN_BATCH, 3e-3, warmup=0)),
)
LIVE_ENGLISH = 0.2  # of its examples: captions only
LONG = ((VIEW, Plan(7000, KOREAN_BATCH, 2e-3)),)  # the shipped adapter's plan: 17 minutes


@dataclass(frozen=True)
class TrainingWay:
    """One method to teach Korean: the trainable weights, the plan, and the share of English."""

    name: str
    method: str  # "projector", "lora", "qlora", "full"; "" changes nothing
    plan: Plan = Plan(steps=0)
    english: float = ENGLISH
    questions: bool = True  # among the English

    def start(self) -> tuple[VideoLM, PeftModel | None]:
        """The base with its adapter, if any, and everything else frozen."""
        vlm = load("tiny", four_bit=self.method == "qlora", device="cpu")
        prepare = {"projector": projector_only, "lora": add_lora, "qlora": add_lora, "full": all_but_tower}
        return vlm, prepare[self.method](vlm) if self.method else None

    def examples(self, videos: Sequence[Video]) -> list[Example]:
        """What it is trained on, in order."""
        other = in_english(videos) if self.questions else captioning(videos, "en")
        return mixed(captioning(videos, "ko"), other, self.plan.examples, self.english)


def in_english(videos: Sequence[Video], seed: int = 0) -> list[Example]:
    """The English examples: for each video its caption, and two of its questions.

    A model forgets what its batches lack; lesson 08, section 10, measures this, also without the questions.

    >>> [example.prompt for example in in_english(toybox_videos([7]))]
    ['Describe the video.', 'Where does the yellow square end?', 'What shape is the white thing?']
    """
    rng = random.Random(f"english {seed}")
    asked = [(video, qa) for video in videos for qa in rng.sample(toybox.questions(video.clip), 2)]
    return captioning(videos, "en") + [Example(video, qa.question, qa.answer) for video, qa in asked]


TRAINING_WAYS = (
    TrainingWay("zero-shot", ""),
    TrainingWay("projector only", "projector", Plan(STEPS, KOREAN_BATCH, 2 * RATE)),
    TrainingWay("LoRA", "lora", Plan(STEPS, KOREAN_BATCH, RATE)),
    TrainingWay("QLoRA", "qlora", Plan(STEPS, KOREAN_BATCH, RATE)),
    TrainingWay("full fine-tuning", "full", Plan(STEPS, KOREAN_BATCH, 2e-3)),
    TrainingWay("LoRA without questions", "lora", Plan(STEPS, KOREAN_BATCH, RATE), questions=False),
    TrainingWay("LoRA without English", "lora", Plan(STEPS, KOREAN_BATCH, RATE), english=0.0),
)
SHIPPED_WAY = TrainingWay("shipped", "lora", Plan(7000, KOREAN_BATCH, 2e-3))  # at 5e-3, 7,000 steps diverged


class Result(NamedTuple):
    """The result of one method."""

    numbers: int  # trainable parameters
    model_bytes: int  # of the model in memory during training
    seconds: float  # of training, on one core
    losses: list[float]  # one per step
    korean: list[str]  # a caption for each test clip
    english: list[str]
    right: list[str]  # for each test clip a digit per English question: was the answer exactly right?


# ---------------------------------------------------------------------------------------------------------------------
# Training and examining
# ---------------------------------------------------------------------------------------------------------------------


def train_and_examine(way: TrainingWay, folder: Path, save_to: Path | None = None) -> Result:
    """Trains one method, or continues from its checkpoint, and evaluates it; may save its adapter.

    Features go through `folder`, so that parallel processes encode no clip twice.
    """
    torch.set_num_threads(1)
    vlm, adapter = way.start()
    features = Features(vlm, KOREAN_FRAMES, folder / "features", max_bytes=2**31)  # all clips: 0.4 MB each
    model_bytes = vlm.model.get_memory_footprint()
    numbers, log = 0, []
    if way.method:
        numbers = sum(weight.numel() for weight in trainable(vlm).values())
        examples = way.examples(toybox_videos(TRAINED_ON))
        log = fit(vlm, Collator(vlm, VIEW, features), examples, way.plan, folder / way.name.replace(" ", "-"))
    if save_to:
        save_adapter(vlm, adapter, save_to)
    seconds, losses = round(sum(step.seconds for step in log), 1), [round(step.loss, 4) for step in log]
    return Result(numbers, model_bytes, seconds, losses, *examine(vlm, features, toybox_videos(TESTED_ON)))


def examine(vlm: VideoLM, features: Features, videos: Sequence[Video]) -> tuple[list[str], list[str], list[str]]:
    """Korean captions, English captions, and which English questions were answered exactly right."""
    said = {language: captions_by(vlm, "", videos, features, language, VIEW) for language in ("ko", "en")}
    korean, english = ([record.output for record in records] for records in said.values())
    right = []
    for start in range(0, len(videos), 10):
        some = videos[start : start + 10]
        with torch.inference_mode():
            seen = [VIEW(features(video), vlm.project).embeds for video in some]
            rows = grade(vlm, seen, [toybox.questions(video.clip) for video in some])
        right += ["".join(str(int(hit)) for hit in row) for row in rows]
    return korean, english, right


# ---------------------------------------------------------------------------------------------------------------------
# The file
# ---------------------------------------------------------------------------------------------------------------------


def write_korean(results: dict[str, Result], path: Path = KOREAN_RUNS) -> None:
    """Writes the result of each method, and the digest of the weights."""
    table = {"command": "make korean", "weights": digest(), "results": {k: v._asdict() for k, v in results.items()}}
    write_text(path, json.dumps(table, ensure_ascii=False, indent=0) + "\n")


def read_korean(path: Path = KOREAN_RUNS) -> dict[str, Result]:
    """What `make korean` wrote: a result for each of WAYS and for SHIPPED, by name.

    Raises FileNotFoundError if there is no file, and ValueError if it is damaged, or belongs to other weights or
    methods.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: restore it with git, or run `make korean`")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        raise ValueError(f"{path} is cut off: restore it with git, or run `make korean`") from None
    if table["weights"] != digest() or list(table["results"]) != [way.name for way in (*TRAINING_WAYS, SHIPPED_WAY)]:
        raise ValueError(f"{path} was measured with other weights or ways than these: run `make korean`")
    return {name: Result(**result) for name, result in table["results"].items()}


def records(results: dict[str, Result], language: str) -> list[Record]:
    """The captions of one language as `lib.evaluate` takes them; for English also the questions, "right" or "wrong"."""
    videos, prompt, made = toybox_videos(TESTED_ON), toybox.CAPTION_PROMPTS[language], []
    for name, result in results.items():
        said = result.korean if language == "ko" else result.english
        for video, output in zip(videos, said, strict=True):
            made.append(Record(name, video.name, "caption", language, prompt, video.captions[language], output))
        for video, row in zip(videos, result.right if language == "en" else [], strict=language == "en"):
            for qa, hit in zip(toybox.questions(video.clip), row, strict=True):
                answer = "right" if hit == "1" else "wrong"
                made.append(Record(name, video.name, f"question {qa.kind}", "en", qa.question, "right", answer))
    return made


ADAPTER_CARD = """# The Korean adapter

LoRA (rank 16) for the tiny model of this course: it describes Toybox clips in Korean, and still in English. Trained by
`make korean` on {clips} clips in {steps} steps of {batch}, {english:.0%} of the examples English captions or questions,
{seconds:.0f} s on one core. peft's format; load it with `lib.finetune.load_adapter`, which refuses it for any other
base. Licence: Apache-2.0.

On {tested} clips that it never saw (seeds 0 to {last}), {tokens} visual tokens each, with 95 % bootstrap intervals over
clips:

| | zero-shot | with the adapter |
|---|---|---|
| Korean captions, chrF++ | {before_chrf} | {after_chrf} |
| Korean captions, facts right | {before_ko} | {after_ko} |
| English captions, facts right | {before_en} | {after_en} |
| English questions, exactly right | {before_exact} | {after_exact} |

Base: `data/tiny-vlm`, sha256 `{weights}`.
"""


def adapter_card(results: dict[str, Result]) -> str:
    """The text beside the shipped adapter."""
    scores = {}
    for when, name in (("before", "zero-shot"), ("after", SHIPPED_WAY.name)):
        korean, english = (records({name: results[name]}, language) for language in ("ko", "en"))
        scores[f"{when}_chrf"] = measure(CHRF_PP, korean)
        scores[f"{when}_ko"], scores[f"{when}_en"] = measure(FACTS_RIGHT, korean), measure(FACTS_RIGHT, english)
        scores[f"{when}_exact"] = measure(EXACT, english)
    return ADAPTER_CARD.format(
        clips=len(TRAINED_ON), steps=SHIPPED_WAY.plan.steps, batch=SHIPPED_WAY.plan.batch, english=SHIPPED_WAY.english,
        seconds=results[SHIPPED_WAY.name].seconds, tested=len(TESTED_ON), last=TESTED_ON[-1],
        tokens=VIEW.count(KOREAN_FRAMES, 8, 8), weights=digest(), **{key: str(score) for key, score in scores.items()},
    )  # fmt: skip


def main() -> None:
    """Trains and evaluates all methods on every core, the longest first; writes the adapter, its card and the file."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.workshop.korean", description="Teach the tiny model Korean captions."
    )
    parser.add_argument("--folder", type=Path, default=Path("build/korean"), help="for features, checkpoints and logs")
    folder, began = parser.parse_args().folder, time.monotonic()
    folder /= digest()[:12]  # a checkpoint belongs to certain weights
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = {SHIPPED_WAY.name: pool.submit(train_and_examine, SHIPPED_WAY, folder, ADAPTER)}
        jobs |= {way.name: pool.submit(train_and_examine, way, folder) for way in TRAINING_WAYS}
        results = {
            way.name: jobs[way.name].result() for way in tqdm((*TRAINING_WAYS, SHIPPED_WAY), unit="way", disable=None)
        }
    write_korean(results)
    write_text(ADAPTER / "README.md", adapter_card(results))
    print((ADAPTER / "README.md").read_text(encoding="utf-8"))
    print(f"took {(time.monotonic() - began) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
