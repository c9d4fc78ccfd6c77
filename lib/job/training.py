"""`train`: features once, then LoRA, with validation, checkpoints and the best adapter in the job's folder."""

import fcntl
import json
import math
import os
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import torch
from accelerate import PartialState

from lib.data.batches import Collator
from lib.data.features import Features
from lib.data.formats import CaptionSource, read_source
from lib.data.shards import Cache, World, extract, seal
from lib.data.videos import Example, Split, Video, split
from lib.finetune.adapters import PeftModel, add_lora, read_adapter, save_adapter, train_projector, trainable
from lib.finetune.checkpoints import Step
from lib.finetune.train import Plan, again_and_again, fit, processes
from lib.job.settings import Job, reducer_of, write_job
from lib.machine import peak_megabytes
from lib.reducers import Reducer
from lib.text import Text
from lib.toybox import CAPTION_PROMPTS
from lib.vlm.loading import load
from lib.vlm.model import VideoLM
from lib.vlm.sharded import held_numbers, wanted

SHOWN = 3  # validation clips that are captioned during training
BEGINS = Text(
    "{clips} clips, {steps} steps of {size} in {processes} processes; validation on {checked} clips",
    "학습 클립 {clips}개, 클립 {size}개씩 {steps}스텝, 프로세스 {processes}개. 검증 클립 {checked}개",
)
STEP = Text(  # "step 8" in both: scripts look for it
    "step {step}: loss {loss:.3f}", "step {step}: 손실 {loss:.3f}"
)
VALIDATED = Text(", validation {loss:.3f}", ", 검증 {loss:.3f}")
BEST = Text(" (best)", " (가장 좋음)")
LEFT_OUT = Text("left out: {what}", "제외: {what}")
MORE_PROBLEMS = Text("{n} more", "그 밖에 {n}개")
RESERVED = Text(
    "the {tested} are for testing; {checked} of the {trained} validate",
    "검증 {tested}개는 테스트에 쓰고, 학습 {trained}개 가운데 {checked}개로 검증합니다",
)
HELD = Text(
    "process {number} of {all} held {held:,} of {whole:,} numbers, at most {peak:,.0f} MiB in all",
    "프로세스 {number}/{all}: 전체 가중치 {whole:,}개 중 {held:,}개를 보유, 메모리 최대 {peak:,.0f} MiB",
)
NO_LOGGER = Text(
    "log: {log} is not installed: pip install {log}, or log=none",
    "log: {log}이(가) 설치되어 있지 않습니다. `pip install {log}`을(를) 실행하거나 log=none으로 바꾸세요",
)
NONE_READ = Text(
    "none of the {n} clips for training could be read: see {folder}",
    "학습 클립 {n}개 중 하나도 읽지 못했습니다. {folder} 폴더를 확인하세요",
)
NO_LANGUAGE = Text(
    "{data} has no caption in {language!r}: change `language`",
    "{data}에 {language!r} 캡션이 없습니다. `language`를 바꾸세요",
)
NO_ATTENTION = Text(
    "attention: {name} is not installed: pip install flash-attn, or sdpa",
    "attention: {name}이(가) 설치되어 있지 않습니다. `pip install flash-attn`을 실행하거나 sdpa를 쓰세요",
)
BUSY = Text(
    "another process works in {folder}: wait until it ends, or name another output",
    "다른 프로세스가 {folder} 폴더에서 작업하고 있습니다. 끝날 때까지 기다리거나 output을 바꾸세요",
)


def train_job(job: Job) -> list[Step]:
    """Trains by the settings and writes into the job's folder: adapter/, log.jsonl, samples.jsonl, features/.

    Started by torchrun or `accelerate launch`, all processes train together. An interrupted job continues. Raises
    ValueError or FileNotFoundError, in one line, if the settings or the data do not allow training.
    """
    if job.log != "none" and not find_spec(job.log):
        raise ValueError(NO_LOGGER.say(log=job.log))
    source, parts = clips_of(job)
    parts.to_train_on()
    vlm = load_base(job)
    reducer = reducer_of(job.reducer) or vlm.default_reducer
    prompts = prompts_of(job, source)
    check_lengths(job, vlm, reducer, prompts, parts)
    with alone_in(job.folder):
        return train_on(job, vlm, reducer, prompts, parts)


def train_on(job: Job, vlm: VideoLM, reducer: Reducer, prompts: Sequence[str], parts: Split) -> list[Step]:
    """The features, then the training."""
    cache = feature_cache(job, vlm, reducer, [*parts.train, *parts.validation])
    read = set(cache.names)
    learn_from, validate_on = ([video for video in part if video.name in read] for part in parts[:2])
    if not learn_from:
        raise ValueError(NONE_READ.say(n=len(parts.train), folder=cache.folder))
    adapter = prepare(job, vlm)
    plan = training_plan(job, len(learn_from))
    collate = Collator(vlm, reducer.split()[1], cache)
    examples = drawn(learn_from, job.language, prompts, plan.examples, job.seed)
    checked = [Example(video, prompts[0], video.captions[job.language]) for video in validate_on]
    if is_first():
        write_job(job, job.folder / "job.yaml")
        run = dict(steps=plan.steps, size=plan.step_size, processes=processes())
        tell(BEGINS.say(clips=len(learn_from), checked=len(checked), **run))
    watch = Watch(job, vlm, adapter, collate, validate_on[:SHOWN], prompts[0], longest_answer(job, vlm, parts.train))
    log = fit(vlm, collate, examples, plan, job.folder, checked, watch, job.log)
    if is_first():
        read_adapter(job.folder / "adapter")  # a finished run's adapter may have been deleted
    if processes() > 1:
        tell_all(vlm)
    return log


def clips_of(job: Job) -> tuple[CaptionSource, Split]:
    """The source and its parts. Raises ValueError if nothing is left to train on or a caption is missing."""
    source = read_source(job.data, job.language)
    for problem in source.problems[:5]:
        tell(LEFT_OUT.say(what=problem))
    if len(source.problems) > 5:
        tell(LEFT_OUT.say(what=MORE_PROBLEMS.say(n=len(source.problems) - 5)))
    able = [video for video in source.videos if job.language in video.captions]
    if not able:
        raise ValueError(NO_LANGUAGE.say(data=job.data, language=job.language))
    parts = split(able, job.validation, job.test)
    tell(str(parts))
    if not parts.test:  # AI-Hub's official split: scores use its validation part, so it cannot choose the best
        inner = split([replace(video, part=None) for video in parts.train], job.validation, 0)
        counts = dict(tested=len(parts.validation), checked=len(inner.validation), trained=len(parts.train))
        tell(RESERVED.say(**counts))
        parts = Split(inner.train, inner.validation, parts.validation)
    return source, parts


def load_base(job: Job) -> VideoLM:
    """The model before training, on this process's card."""
    device = f"cuda:{state().local_process_index}" if torch.cuda.is_available() else "cpu"
    vlm = load(job.model, job.four_bit, device, revision=job.revision, sharded=wanted())
    try:
        vlm.model.set_attn_implementation(job.attention)
    except ImportError:
        raise ValueError(NO_ATTENTION.say(name=job.attention)) from None
    return vlm


def check_lengths(job: Job, vlm: VideoLM, reducer: Reducer, prompts: Sequence[str], parts: Split) -> None:
    """Raises ValueError, before hours of work, if an example or the longest answer exceeds the context."""
    config, collate = vlm.model.config.vision_config, Collator(vlm, reducer, None)
    side = config.image_size // config.patch_size
    seen, asked = (job.frames, side, side), max(prompts, key=len)
    for video in (*parts.train, *parts.validation):
        collate.row(video, asked, video.captions[job.language], seen)
    collate.row(parts.train[0], prompts[0], None, seen, longest_answer(job, vlm, parts.train))


def feature_cache(job: Job, vlm: VideoLM, reducer: Reducer, videos: Sequence[Video]) -> Cache:
    """The stored features of each clip, computed once: each process makes its share of the shards."""
    here, folder = World(state().process_index, state().num_processes), job.folder / "features"
    features = Features(vlm, job.frames, dtype=vlm.dtype, reducer=reducer, rule=job.sampling)
    extract(videos, features, folder, world=here)
    state().wait_for_everyone()
    if is_first():
        seal(folder)
    state().wait_for_everyone()
    cache = Cache(folder)
    for name, why in cache.unread.items():
        tell(LEFT_OUT.say(what=f"{name}: {why}"))
    return cache


def prepare(job: Job, vlm: VideoLM) -> PeftModel:
    """Adds the adapter, and chooses the weights that train."""
    adapter = add_lora(vlm, job.rank, job.seed, job.alpha, job.dropout)
    if job.projector:
        train_projector(vlm)
    return adapter


def training_plan(job: Job, clips: int) -> Plan:
    """The run's steps, batch and learning rate."""
    step = job.batch * job.accumulation * processes()
    steps = job.steps or math.ceil(job.epochs * clips / step)
    return Plan(
        steps, job.batch, job.learning_rate, round(job.warmup * steps), job.checkpointing, job.accumulation,
        job.schedule, job.seed, job.every,
    )  # fmt: skip


def drawn(videos: Sequence[Video], language: str, prompts: Sequence[str], count: int, seed: int) -> list[Example]:
    """`count` examples in the order of training: all clips in a random order, then in another; each with a random
    prompt.

    A longer run begins with the same examples, so a run can be extended.
    """
    rng, order = random.Random(f"prompts {seed}"), again_and_again(videos, random.Random(f"order {seed}"))
    return [Example(video, rng.choice(prompts), video.captions[language]) for video in islice(order, count)]


def prompts_of(job: Job, source: CaptionSource) -> list[str]:
    """The job's prompts, else those of its records, else the course's. The first one asks for captions."""
    return job.prompts or source.prompts or [CAPTION_PROMPTS.get(job.language, CAPTION_PROMPTS["en"])]


def longest_answer(job: Job, vlm: VideoLM, videos: Sequence[Video]) -> int:
    """The longest caption in tokens: as set, or 5/4 of the longest training caption."""
    if job.max_new_tokens or not videos:
        return job.max_new_tokens or 256
    longest = max(len(vlm.tokenizer(video.captions[job.language]).input_ids) for video in videos)
    return math.ceil(5 * longest / 4)


def state() -> PartialState:
    """Which process this is, and of how many. (On CPUs, accelerate sees several processes only if a setting says
    so.)"""
    return PartialState(cpu=not torch.cuda.is_available())


def is_first() -> bool:
    """Whether this process prints and writes for all."""
    return state().is_main_process


def tell(line: str) -> None:
    """A line of progress, once for all processes."""
    if is_first():
        print(line, file=sys.stderr, flush=True)


def tell_all(vlm: VideoLM) -> None:
    """The memory of each process, which reveals a launcher that divided nothing."""
    held, whole = held_numbers(vlm.model)
    here = dict(number=state().process_index, all=state().num_processes)
    line = HELD.say(held=held, whole=whole, peak=peak_megabytes(), **here)
    print(line, file=sys.stderr, flush=True)


class Watch:
    """Reports a run's progress: a line, captions of a few validation clips; and saves the best adapter."""

    def __init__(
        self,
        job: Job,
        vlm: VideoLM,
        adapter: PeftModel,
        collate: Collator,
        videos: Sequence[Video],
        prompt: str,
        longest: int,
    ):
        self.job, self.vlm, self.adapter, self.collate = job, vlm, adapter, collate
        self.videos, self.prompt, self.longest = videos, prompt, longest

    def __call__(self, step: Step, best: bool) -> None:
        checked = "" if step.validation is None else VALIDATED.say(loss=step.validation) + BEST.say() * best
        tell(STEP.say(step=step.step, loss=step.loss) + checked)
        if self.videos:
            self.sample(step.step)
        if best and is_first():
            changed = {name: weight for name, weight in trainable(self.vlm).items() if "lora_" not in name}
            save_adapter(self.vlm, self.adapter, self.job.folder / "adapter", self.job.notice, changed)

    def sample(self, step: int) -> None:
        """Adds the captions of a few clips to samples.jsonl. All processes compute them, because each may hold only a
        part of the model."""
        self.vlm.model.eval()
        seen, asked = [self.collate.features(video) for video in self.videos], [self.prompt] * len(self.videos)
        texts = self.vlm.answers(seen, asked, self.collate.reducer, self.longest)
        for video, text in zip(self.videos, texts, strict=True):
            line = {"step": step, "video": video.name, "caption": text, "truth": video.captions[self.job.language]}
            if is_first():
                append(self.job.folder / "samples.jsonl", line)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """A lock on this folder. Raises ValueError if another process holds it; a killed process releases it."""
    if not is_first():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ValueError(BUSY.say(folder=folder)) from None
    except OSError:  # a file system without locks, such as a mounted drive
        pass
    try:
        yield
    finally:
        os.close(handle)


def append(path: Path, line: dict) -> None:
    """Appends a line of JSON to a file, and syncs it to disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
