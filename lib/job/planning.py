"""`plan`: does a job fit, on which card, and how long does it take; nothing is downloaded.

Memory is traced (`lib.finetune.trace`): the model of the real size on tensors without numbers, and the code of training
and answering itself. Memory grows in a line with frames, with the batch and with the answer, so three traces more say
the largest of each. Hours are those of `lib.budget.jobs`, with its assumptions.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from transformers import AutoTokenizer

from lib.budget.cards import CARDS, SHARE, THIS_MACHINE, card_bytes, frames_in
from lib.budget.jobs import PEAKS, Workload
from lib.budget.memory import Memory
from lib.budget.specs import ModelSpec
from lib.finetune.trace import trace_answering, trace_training
from lib.job.settings import Job, reducer_of
from lib.job.training import clips_of
from lib.known import CONFIGS, GIB, HUB_IDS
from lib.vlm.loading import TINY, find
from lib.vlm.twins import as_transformers

MOST = 999  # more than this is not counted
PROMPT_TOKENS = 100  # tokens, rather more than a prompt has
# Korean captions of the AI-Hub set in Vicuna's tokens (data/papers.csv): where the job's own cannot be read yet.
MEAN_CAPTION, LONGEST_CAPTION = 932, 1572
CLIPS, TESTED = 8563, 1068  # of the same set, as the README of JYP-VIDEO-TO-TEXT/korean-video-captioning counts them


@dataclass(frozen=True)
class Need:
    """What a plan is made for."""

    job: Job
    settings: dict  # the contents of config.json
    clips: int  # for training
    tested: int
    mean: int  # tokens of a caption
    longest: int
    assumed: str = ""  # what of this is not known yet

    @property
    def answer(self) -> int:
        """The longest answer in tokens."""
        return self.job.max_new_tokens or -(-5 * self.longest // 4)

    @cached_property
    def spec(self) -> ModelSpec:
        return ModelSpec.from_config(as_transformers(self.settings))

    @cached_property
    def reducer(self):
        return reducer_of(self.job.reducer)

    @property
    def tokens(self) -> int:
        """Visual tokens of a clip."""
        return self.spec.tokens_of(self.job.frames, self.reducer)

    def train(self, frames: int = 0, batch: int = 0) -> Memory:
        """The memory of a step on the longest captions, traced."""
        job = self.job
        return trace_training(
            self.settings, frames or job.frames, self.precision, job.attention, PROMPT_TOKENS, self.longest,
            self.reducer, job.rank, job.checkpointing, batch or job.batch,
        )  # fmt: skip

    def caption(self, frames: int = 0, batch: int = 1, answer: int = 0) -> Memory:
        """The memory of the longest answer, traced."""
        return trace_answering(
            self.settings, frames or self.job.frames, self.precision, self.job.attention, PROMPT_TOKENS,
            answer or self.answer, self.reducer, batch,
        )  # fmt: skip

    @property
    def precision(self) -> str:
        return "nf4-double" if self.job.four_bit else "float16"

    @property
    def stretched(self) -> str:
        """By how much RoPE scaling makes the context longer than the positions that the model was trained with."""
        trained = self.settings.get("text_config", {}).get("max_position_embeddings", 0)
        factor = self.spec.language.context / trained if trained else 1
        return f" ({trained:,} stretched {factor:g} times by RoPE scaling)" if factor != 1 else ""


def plan_job(job: Job) -> str:
    """The plan as lines of text. Raises ValueError for a model of which no configuration is at hand."""
    need = need_of(job)
    training, captioning = need.train(), need.caption()
    kind = "in 4 bits" if job.four_bit else "in 16 bits"
    room = need.spec.language.context - PROMPT_TOKENS - need.tokens
    lines = [
        f"{job.model} {kind}, {job.frames} frames, {need.tokens:,} visual tokens a clip{need.assumed}",
        f"{need.clips:,} clips to train on, {need.tested:,} to test on; captions of {need.mean:,} tokens, at most "
        f"{need.longest:,}; answers of at most {need.answer:,}",
        f"context {need.spec.language.context:,} tokens{need.stretched}: {room:,} are left to answer",
        f"traced: a step of training {training.tensors / GIB:.2f} GiB, an answer {captioning.tensors / GIB:.2f} GiB, "
        f"and {training.context / GIB:.1f} GiB of CUDA's own",
        "",
        f"{'card':<13}{'training':<17}{'frames':>7}{'batch':>7}   {'captioning':<17}{'clips at once':>14}"
        f"{'hours: training':>17}{'captioning':>12}",
    ]  # fmt: skip
    return "\n".join([*lines, *rows(need, training, captioning)])


def rows(need: Need, training: Memory, captioning: Memory) -> list[str]:
    """A line for each card: does it fit, what is the most, how many hours."""
    job = need.job
    by_frames = line_through(job.frames, training, need.train, "frames")
    by_batch = line_through(job.batch, training, need.train, "batch")
    at_once = line_through(1, captioning, need.caption, "batch")
    context = frames_in(
        need.spec.language.context - PROMPT_TOKENS - max(need.longest, need.answer), need.spec, need.reducer
    )
    work = Workload(
        need.clips, need.spec, job.frames, PROMPT_TOKENS, need.mean, job.epochs, checkpointing=job.checkpointing
    )
    asked = replace(work, clips=need.tested)
    found = []
    for card in [*CARDS, THIS_MACHINE]:
        limit = int(SHARE * card_bytes(card))
        hours = ["-", "-"]
        if card in PEAKS and max(training.total, captioning.total) <= limit:
            hours = [f"{work.training_hours(card):.1f}", f"{asked.captioning_hours(card):.2f}"]
        frames = by_frames(limit)
        bound = f"{min(frames, context)}{'c' if context < frames else ''}"
        found.append(
            f"{card:<13}{verdict(training, limit):<17}{bound:>7}{by_batch(limit):>7}   "
            f"{verdict(captioning, limit):<17}{at_once(limit):>14}{hours[0]:>17}{hours[1]:>12}"
        )
    return [*found, "frames, batch, clips at once: the most that fit, each by itself; c: the context is the limit"]


def verdict(memory: Memory, limit: int) -> str:
    """
    >>> verdict(Memory(weights=10 * GIB), 8 * GIB)
    'lacks 2.5 GiB'
    """
    return "fits" if memory.total <= limit else f"lacks {(memory.total - limit) / GIB:.1f} GiB"


def line_through(at: int, memory: Memory, trace: Callable[..., Memory], name: str) -> Callable[[int], int]:
    """How many of something (999 at most) fit into bytes, by the line through what `at` and twice as many need."""
    each = (trace(**{name: 2 * at}).total - memory.total) / at

    def most(limit: int) -> int:
        return min(MOST, max(0, int(at + (limit - memory.total) // each)))

    return most


def need_of(job: Job) -> Need:
    """What the job's data and tokenizer say; without them, assumptions, which are named."""
    settings, tokenizer = config_of(job.model), local_tokenizer(job.model)
    try:
        _, parts = clips_of(job)
    except FileNotFoundError:
        assumed = f" (assumed, since {job.data} is not there: AI-Hub's number of clips and length of captions)"
        return Need(job, settings, CLIPS, TESTED, MEAN_CAPTION, LONGEST_CAPTION, assumed)
    captions = [video.captions[job.language] for video in parts.to_train_on()]
    assumed = "" if tokenizer else " (assumed: as many tokens as UTF-8 bytes, until the tokenizer is here)"
    lengths = [len(tokenizer(text).input_ids) if tokenizer else len(text.encode()) for text in captions]
    mean, longest = sum(lengths) // len(lengths), max(lengths)
    return Need(job, settings, len(parts.train), len(parts.held_out), mean, longest, assumed)


def config_of(model: str) -> dict:
    """The contents of a model's config.json, known or on this machine. Raises ValueError for another one."""
    name = HUB_IDS.get(model, model)
    if name in CONFIGS:
        return CONFIGS[name]
    folder = Path(TINY if model == "tiny" else find(model))
    if not (folder / "config.json").exists():
        raise ValueError(f"the size of {model} is not known before its download: known are {', '.join(CONFIGS)}")
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def local_tokenizer(model: str):
    """The tokenizer of a model on this machine, without a download; None where there is none."""
    folder = TINY if model == "tiny" else model
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError):
        return None
