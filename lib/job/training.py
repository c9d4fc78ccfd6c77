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
from lib.toybox import CAPTION_PROMPTS
from lib.vlm.loading import load
from lib.vlm.model import VideoLM
from lib.vlm.sharded import held_numbers, wanted

SHOWN = 3  # validation clips that are captioned while it trains


def train_job(job: Job) -> list[Step]:
    """Trains as the settings say and leaves in the job's folder: adapter/, log.jsonl, samples.jsonl, features/.

    Started by torchrun or `accelerate launch`, all processes train together. A job that was interrupted goes on.
    Raises ValueError and FileNotFoundError, in one line, where the settings or the data do not allow it.
    """
    if job.log != "none" and not find_spec(job.log):
        raise ValueError(f"log: {job.log} is not installed: pip install {job.log}, or log=none")
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
        raise ValueError(f"none of the {len(parts.train)} clips for training could be read: see {cache.folder}")
    adapter = prepare(job, vlm)
    plan = training_plan(job, len(learn_from))
    collate = Collator(vlm, reducer.split()[1], cache)
    examples = drawn(learn_from, job.language, prompts, plan.examples, job.seed)
    checked = [Example(video, prompts[0], video.captions[job.language]) for video in validate_on]
    if is_first():
        write_job(job, job.folder / "job.yaml")
        steps = f"{plan.steps} steps of {plan.step_size} in {processes()} processes"
        tell(f"{len(learn_from)} clips, {steps}; validation on {len(checked)} clips")
    watch = Watch(job, vlm, adapter, collate, validate_on[:SHOWN], prompts[0], longest_answer(job, vlm, parts.train))
    log = fit(vlm, collate, examples, plan, job.folder, checked, watch, job.log)
    if is_first():
        read_adapter(job.folder / "adapter")  # of a run that was finished before, it may have gone
    if processes() > 1:
        tell_all(vlm)
    return log


def clips_of(job: Job) -> tuple[CaptionSource, Split]:
    """The source and its parts. Raises ValueError where nothing is left to train on or a caption is missing."""
    source = read_source(job.data, job.language)
    for problem in source.problems[:5]:
        tell(f"left out: {problem}")
    if len(source.problems) > 5:
        tell(f"left out: {len(source.problems) - 5} more")
    able = [video for video in source.videos if job.language in video.captions]
    if not able:
        raise ValueError(f"{job.data} has no caption in {job.language!r}: change `language`")
    parts = split(able, job.validation, job.test)
    tell(str(parts))
    if not parts.test:  # AI-Hub's official split: scores are of its validation part, so the best is not chosen by that
        inner = split([replace(video, part=None) for video in parts.train], job.validation, 0)
        tell(f"the {len(parts.validation)} are for testing; {len(inner.validation)} of the {len(parts.train)} validate")
        parts = Split(inner.train, inner.validation, parts.validation)
    return source, parts


def load_base(job: Job) -> VideoLM:
    """The model before training, on this process's card."""
    device = f"cuda:{state().local_process_index}" if torch.cuda.is_available() else "cpu"
    vlm = load(job.model, job.four_bit, device, revision=job.revision, sharded=wanted())
    try:
        vlm.model.set_attn_implementation(job.attention)
    except ImportError:
        raise ValueError(f"attention: {job.attention} is not installed: pip install flash-attn, or sdpa") from None
    return vlm


def check_lengths(job: Job, vlm: VideoLM, reducer: Reducer, prompts: Sequence[str], parts: Split) -> None:
    """Raises ValueError, before hours of work, where an example or the longest answer exceeds the context."""
    config, collate = vlm.model.config.vision_config, Collator(vlm, reducer, None)
    side = config.image_size // config.patch_size
    seen, asked = (job.frames, side, side), max(prompts, key=len)
    for video in (*parts.train, *parts.validation):
        collate.row(video, asked, video.captions[job.language], seen)
    collate.row(parts.train[0], prompts[0], None, seen, longest_answer(job, vlm, parts.train))


def feature_cache(job: Job, vlm: VideoLM, reducer: Reducer, videos: Sequence[Video]) -> Cache:
    """What is kept of each clip's frames, computed once: each process makes its share of the shards."""
    here, folder = World(state().process_index, state().num_processes), job.folder / "features"
    features = Features(vlm, job.frames, dtype=vlm.dtype, reducer=reducer, rule=job.sampling)
    extract(videos, features, folder, world=here)
    state().wait_for_everyone()
    if is_first():
        seal(folder)
    state().wait_for_everyone()
    cache = Cache(folder)
    for name, why in cache.unread.items():
        tell(f"left out: {name}: {why}")
    return cache


def prepare(job: Job, vlm: VideoLM) -> PeftModel:
    """Puts on what is trained."""
    adapter = add_lora(vlm, job.rank, job.seed, job.alpha, job.dropout)
    if job.projector:
        train_projector(vlm)
    return adapter


def training_plan(job: Job, clips: int) -> Plan:
    """The run's length and pace."""
    step = job.batch * job.accumulation * processes()
    steps = job.steps or math.ceil(job.epochs * clips / step)
    return Plan(
        steps, job.batch, job.learning_rate, round(job.warmup * steps), job.checkpointing, job.accumulation,
        job.schedule, job.seed, job.every,
    )  # fmt: skip


def drawn(videos: Sequence[Video], language: str, prompts: Sequence[str], count: int, seed: int) -> list[Example]:
    """`count` examples in the order of training: all clips in a random order, then in another; any of the prompts.

    A longer run begins with the same examples, so it can be prolonged.
    """
    rng, order = random.Random(f"prompts {seed}"), again_and_again(videos, random.Random(f"order {seed}"))
    return [Example(video, rng.choice(prompts), video.captions[language]) for video in islice(order, count)]


def prompts_of(job: Job, source: CaptionSource) -> list[str]:
    """The job's prompts; without any those of its records, or else the course's. The first one asks for captions."""
    return job.prompts or source.prompts or [CAPTION_PROMPTS.get(job.language, CAPTION_PROMPTS["en"])]


def longest_answer(job: Job, vlm: VideoLM, videos: Sequence[Video]) -> int:
    """Tokens that a caption may have: as set, or 5/4 of the longest caption for training."""
    if job.max_new_tokens or not videos:
        return job.max_new_tokens or 256
    longest = max(len(vlm.tokenizer(video.captions[job.language]).input_ids) for video in videos)
    return math.ceil(5 * longest / 4)


def state() -> PartialState:
    """Which process this is, and of how many. (accelerate sees several processes on CPUs only where it is told.)"""
    return PartialState(cpu=not torch.cuda.is_available())


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return state().is_main_process


def tell(line: str) -> None:
    """A line of progress, once for all processes."""
    if is_first():
        print(line, file=sys.stderr, flush=True)


def tell_all(vlm: VideoLM) -> None:
    """What each process held: a launcher that shared out nothing would be seen here."""
    held, whole = held_numbers(vlm.model)
    line = f"held {held:,} of {whole:,} numbers, at most {peak_megabytes():,.0f} MiB in all"
    print(f"process {state().process_index} of {state().num_processes} {line}", file=sys.stderr, flush=True)


class Watch:
    """Shows how a run goes on: a line, captions of a few validation clips, and the adapter where it is the best."""

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
        checked = "" if step.validation is None else f", validation {step.validation:.3f}{' (best)' * best}"
        tell(f"step {step.step}: loss {step.loss:.3f}{checked}")
        if self.videos:
            self.sample(step.step)
        if best and is_first():
            changed = {name: weight for name, weight in trainable(self.vlm).items() if "lora_" not in name}
            save_adapter(self.vlm, self.adapter, self.job.folder / "adapter", self.job.notice, changed)

    def sample(self, step: int) -> None:
        """Adds the captions of a few clips to samples.jsonl. All processes compute them: each may hold a part only."""
        self.vlm.model.eval()
        seen, asked = [self.collate.features(video) for video in self.videos], [self.prompt] * len(self.videos)
        texts = self.vlm.answers(seen, asked, self.collate.reducer, self.longest)
        for video, text in zip(self.videos, texts, strict=True):
            line = {"step": step, "video": video.name, "caption": text, "truth": video.captions[self.job.language]}
            if is_first():
                append(self.job.folder / "samples.jsonl", line)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Inside, no other process works in this folder. Raises ValueError where one does; a killed one holds nothing."""
    if not is_first():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ValueError(f"another process works in {folder}: wait until it ends, or name another output") from None
    except OSError:  # a file system without locks, such as a mounted drive
        pass
    try:
        yield
    finally:
        os.close(handle)


def append(path: Path, line: dict) -> None:
    """A line of JSON at the end of a file, on the disk before the next one begins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
