"""`plan`: shows whether a job fits, on which card, and how long it takes; downloads nothing.

Memory is traced (`lib.finetune.trace`): the model has its real size but its tensors hold no data, and the code is that
of training and answering. Memory grows linearly with frames, with the batch and with the answer, so three more traces
give the largest value of each. Hours come from `lib.budget.jobs`, with its assumptions.
"""

import json
from collections.abc import Callable, Iterable
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
from lib.text import Text, in_columns
from lib.vlm.loading import TINY, find
from lib.vlm.twins import as_transformers

MOST = 999  # the largest number that is shown
PROMPT_TOKENS = 100  # tokens, rather more than a prompt has
# Korean captions of the AI-Hub set in Vicuna's tokens (data/papers.csv): used until the job's own can be read.
MEAN_CAPTION, LONGEST_CAPTION = 932, 1572
CLIPS, TESTED = 8563, 1068  # of the same set, as the README of JYP-VIDEO-TO-TEXT/korean-video-captioning counts them

PLAN_MODEL = Text(
    "{model} in {bits} bits, {frames} frames, {tokens:,} visual tokens a clip{assumed}",
    "{model}, {bits}비트, 프레임 {frames}장, 클립마다 시각 토큰 {tokens:,}개{assumed}",
)
PLAN_CLIPS = Text(
    "{clips:,} clips to train on, {tested:,} to test on; captions of {mean:,} tokens, at most {longest:,}; answers of "
    "at most {answer:,}",
    "학습 클립 {clips:,}개, 테스트 클립 {tested:,}개. 캡션은 평균 {mean:,}토큰, 최대 {longest:,}토큰이고 답은 최대 "
    "{answer:,}토큰",
)
PLAN_CONTEXT = Text(
    "context {context:,} tokens{stretched}: {room:,} are left to answer",
    "문맥 {context:,}토큰{stretched}: 답에 쓸 수 있는 것은 {room:,}토큰",
)
STRETCHED = Text(
    " ({trained:,} stretched {factor:g} times by RoPE scaling)",
    "({trained:,}토큰을 RoPE 스케일링으로 {factor:g}배 늘림)",
)
TRACED = Text(
    "traced: a step of training {step:.2f} GiB, an answer {answer:.2f} GiB, and {own:.1f} GiB of CUDA's own",
    "추적한 값: 학습 스텝 하나에 {step:.2f} GiB, 답 하나에 {answer:.2f} GiB, 그 밖에 CUDA가 쓰는 {own:.1f} GiB",
)
WIDTHS = (13, 17, -7, -7, 20, -14, -17, -12)
PLAN_HEADS = (
    Text("card", "카드"), Text("training", "학습"), Text("frames", "프레임"), Text("batch", "배치"),
    Text("   captioning", "   캡션"), Text("clips at once", "동시 클립"), Text("hours: training", "시간: 학습"),
    Text("captioning", "캡션"),
)  # fmt: skip
HERE = Text(THIS_MACHINE, "이 컴퓨터")
FITS, LACKS = Text("fits", "들어감"), Text("lacks {gib:.1f} GiB", "{gib:.1f} GiB 부족")
THE_MOST = Text(
    "frames, batch, clips at once: the most that fit, each by itself; c: the context is the limit",
    "프레임, 배치, 동시 클립: 하나씩 늘릴 때 들어가는 최댓값. c: 문맥이 한계",
)
NO_DATA = Text(
    " (assumed, since {data} is not there: AI-Hub's number of clips and length of captions)",
    "({data}이(가) 없어 AI-Hub의 클립 수와 캡션 길이로 가정)",
)
NO_TOKENIZER = Text(
    " (assumed: as many tokens as UTF-8 bytes, until the tokenizer is here)",
    "(토크나이저가 아직 없어 토큰 수를 UTF-8 바이트 수로 가정)",
)
UNKNOWN_SIZE = Text(
    "the size of {model} is unknown before its download: choose one of {known}",
    "{model}의 크기는 내려받기 전에는 알 수 없습니다. 크기를 아는 모델: {known}",
)


@dataclass(frozen=True)
class Need:
    """The job, as a plan sees it."""

    job: Job
    settings: dict  # the contents of config.json
    clips: int  # for training
    tested: int
    mean: int  # tokens of a caption
    longest: int
    assumed: str = ""  # which of these are assumptions

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
        """The factor by which RoPE scaling extends the context beyond the trained positions."""
        trained = self.settings.get("text_config", {}).get("max_position_embeddings", 0)
        factor = self.spec.language.context / trained if trained else 1
        return STRETCHED.say(trained=trained, factor=factor) if factor != 1 else ""


def plan_job(job: Job) -> str:
    """The plan as lines of text. Raises ValueError for a model without a known configuration."""
    need = need_of(job)
    training, captioning = need.train(), need.caption()
    context, bits = need.spec.language.context, 4 if job.four_bit else 16
    lines = [
        PLAN_MODEL.say(model=job.model, bits=bits, frames=job.frames, tokens=need.tokens, assumed=need.assumed),
        PLAN_CLIPS.say(clips=need.clips, tested=need.tested, mean=need.mean, longest=need.longest, answer=need.answer),
        PLAN_CONTEXT.say(context=context, stretched=need.stretched, room=context - PROMPT_TOKENS - need.tokens),
        TRACED.say(step=training.tensors / GIB, answer=captioning.tensors / GIB, own=training.context / GIB),
        "",
        row(head.say() for head in PLAN_HEADS),
    ]
    return "\n".join([*lines, *rows(need, training, captioning)])


def row(cells: Iterable[str]) -> str:
    """A line of the table."""
    return "".join(in_columns(cell, width) for cell, width in zip(cells, WIDTHS, strict=True))


def rows(need: Need, training: Memory, captioning: Memory) -> list[str]:
    """A line for each card: whether the job fits, the largest numbers, and the hours."""
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
        whether = f"   {verdict(captioning, limit)}"
        counts = bound, str(by_batch(limit)), whether, str(at_once(limit))
        name = HERE.say() if card == THIS_MACHINE else card
        found.append(row((name, verdict(training, limit), *counts, *hours)))
    return [*found, THE_MOST.say()]


def verdict(memory: Memory, limit: int) -> str:
    """
    >>> verdict(Memory(weights=10 * GIB), 8 * GIB)
    'lacks 2.5 GiB'
    """
    return FITS.say() if memory.total <= limit else LACKS.say(gib=(memory.total - limit) / GIB)


def line_through(at: int, memory: Memory, trace: Callable[..., Memory], name: str) -> Callable[[int], int]:
    """How many of something (999 at most) fit into bytes, by the straight line through the needs of `at` and twice as
    many."""
    each = (trace(**{name: 2 * at}).total - memory.total) / at

    def most(limit: int) -> int:
        return min(MOST, max(0, int(at + (limit - memory.total) // each)))

    return most


def need_of(job: Job) -> Need:
    """The job's numbers from its data and tokenizer, or named assumptions without them."""
    settings, tokenizer = config_of(job.model), local_tokenizer(job.model)
    try:
        _, parts = clips_of(job)
    except FileNotFoundError:
        return Need(job, settings, CLIPS, TESTED, MEAN_CAPTION, LONGEST_CAPTION, NO_DATA.say(data=job.data))
    captions = [video.captions[job.language] for video in parts.to_train_on()]
    assumed = "" if tokenizer else NO_TOKENIZER.say()
    lengths = [len(tokenizer(text).input_ids) if tokenizer else len(text.encode()) for text in captions]
    mean, longest = sum(lengths) // len(lengths), max(lengths)
    return Need(job, settings, len(parts.train), len(parts.held_out), mean, longest, assumed)


def config_of(model: str) -> dict:
    """The contents of a model's config.json, known or on this machine. Raises ValueError for any other model."""
    name = HUB_IDS.get(model, model)
    if name in CONFIGS:
        return CONFIGS[name]
    folder = Path(TINY if model == "tiny" else find(model))
    if not (folder / "config.json").exists():
        raise ValueError(UNKNOWN_SIZE.say(model=model, known=", ".join(CONFIGS)))
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def local_tokenizer(model: str):
    """The tokenizer of a model on this machine, without a download; None if there is none."""
    folder = TINY if model == "tiny" else model
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError):
        return None
