"""The scores of the small LLaMA-VID, measured once: `make llama-vid` trains it, then runs this module.

data/measured/llama_vid.json holds the numbers of right answers for clips that training never drew. It has them for each
of the WAYS, after each stage of training, and for needles in longer and longer videos. It also holds the peak memory of
streams. Lesson 06 makes its tables and intervals from these counts.
"""

import argparse
import hashlib
import json
import multiprocessing
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lib import toybox
from lib.evaluate.exact import grade
from lib.files import DATA, write_text
from lib.machine import peak_megabytes
from lib.reducers import LlamaVid
from lib.toybox.needles import cleared, needles
from lib.toybox.world import FRAMES, new_clip
from lib.vlm.model import VideoLM
from lib.vlm.shipped import LLAMA_VID, TRAINED, load_llama_vid
from lib.workshop.llama_vid import TOKEN_CHOICES, llama_vid_tokens

LLAMA_VID_SCORES = DATA / "measured" / "llama_vid.json"
SCORED_KINDS = (
    "colour", "shape", "size", "exists", "motion", "speed", "where", "count", "code", "flash", "order", "scenes",
)  # fmt: skip
SCORED_CLIPS = {"reading": 100, "alignment": 100, "instruction": 300, "long": 100}  # seeds 0 to n - 1
CHECKED_SHARE = 10  # clips to a process at a time
HAYSTACKS = {16: (20, 6), 64: (12, 6), 256: (8, 6), 960: (8, 6), 3600: (8, 6)}  # frames: videos, asked of each
STREAMS = (300, 3600, 10800)  # frames: five minutes, one hour and three hours at one frame a second


# ---------------------------------------------------------------------------------------------------------------------
# Right answers
# ---------------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def count_llama_vid(vlm: VideoLM, reducer: LlamaVid, clip: toybox.Clip, ways: Sequence[str]) -> list[list[int]]:
    """How many answers about a clip were right, a row for each of the ways and a number for each kind."""
    asked = toybox.questions(clip)
    videos = vlm.encode(toybox.render(clip)).expand(len(asked), -1, -1, -1, -1)
    rows = []
    for way in ways:
        visual = llama_vid_tokens(vlm, reducer.with_tokens(*TOKEN_CHOICES[way]), videos, [qa.question for qa in asked])
        hits = [hit for (hit,) in grade(vlm, list(visual), [[qa] for qa in asked])]
        rows.append([sum(hit for qa, hit in zip(asked, hits, strict=True) if qa.kind == kind) for kind in SCORED_KINDS])
    return rows


def count_llama_vid_seeds(job: tuple[str, range, tuple[str, ...]]) -> list[list[list[int]]]:
    """One process's share: a stage, seeds of clips, ways -> (clips, ways, kinds)."""
    stage, seeds, ways = job
    torch.set_num_threads(1)
    vlm, reducer = load_llama_vid(stage)
    return [count_llama_vid(vlm, reducer, toybox.sample(seed), ways) for seed in seeds]


def count_asked(clips: int) -> np.ndarray:
    """(clips, kinds): how many questions of each kind there are about the clips of the first seeds.

    >>> dict(zip(SCORED_KINDS, count_asked(1)[0].tolist()))["count"]
    1
    """
    asked = [[qa.kind for qa in toybox.questions(toybox.sample(seed))] for seed in range(clips)]
    return np.array([[kinds.count(kind) for kind in SCORED_KINDS] for kinds in asked])


def crowd(clips: int) -> np.ndarray:
    """(clips,): the most things visible at once in each of the clips of the first seeds.

    >>> set(crowd(50).tolist()) == {1, 2, 3, 4}
    True
    """
    return np.array([max(len(scene.things) for scene in toybox.sample(seed).scenes) for seed in range(clips)])


# ---------------------------------------------------------------------------------------------------------------------
# Hours of video
# ---------------------------------------------------------------------------------------------------------------------


def blocks_of(vlm: VideoLM, clips: Sequence[toybox.Clip]) -> Iterator[Tensor]:
    """The features of one clip after the other: drawn and encoded one at a time."""
    for clip in clips:
        yield vlm.encode(toybox.render(clip))


@torch.inference_mode()
def answer_from(vlm: VideoLM, visual: Tensor, question: str) -> str:
    """The answer to a question from any number of visual tokens (N, D): the context is not checked."""
    ids = vlm.tokenizer(vlm.prompt(question), return_tensors="pt").input_ids[0]
    at = ids.tolist().index(vlm.model.config.video_token_id)
    words = vlm.model.get_input_embeddings()(ids)
    embeds = torch.cat([words[:at], visual, words[at + 1 :]])[None]
    written = vlm.model.generate(inputs_embeds=embeds, do_sample=False, max_new_tokens=8, pad_token_id=0)[0]
    return vlm.tokenizer.decode(written, skip_special_tokens=True).strip()


def stretched(vlm: VideoLM, factor: float) -> VideoLM:
    """The model with linear RoPE scaling, untrained for it: all frequencies divided by the factor (lesson 04)."""
    model = deepcopy(vlm.model)
    model.model.language_model.rotary_emb.inv_freq /= factor
    return replace(vlm, model=model)


@torch.inference_mode()
def find_needles(vlm: VideoLM, reducer: LlamaVid, frames: int, video: int) -> dict[str, list[int]]:
    """A video with needles: how many of the questions were answered, [right, asked], with unscaled and with scaled
    RoPE.

    "guessed": the same questions about clips that do not hold the answer, which measures chance.
    """
    rng = random.Random(f"needles {frames} {video}")
    clips, asked = needles(rng, frames // FRAMES, HAYSTACKS[frames][1])
    questions = [qa.question for qa in asked]
    parts = [
        llama_vid_tokens(vlm, reducer, block.expand(len(asked), -1, -1, -1, -1), questions)
        for block in blocks_of(vlm, clips)
    ]
    visual = torch.cat(parts, dim=1)
    found = {"plain": vlm}
    if visual.shape[1] > vlm.context:
        found["scaled"] = stretched(vlm, visual.shape[1] / vlm.context)
    others = torch.stack([vlm.encode(toybox.render(cleared(new_clip(rng), question))) for question in questions])
    tokens = {name: visual for name in found} | {"guessed": llama_vid_tokens(vlm, reducer, others, questions)}
    answers = {
        name: [answer_from(found.get(name, vlm), *pair) for pair in zip(of, questions, strict=True)]
        for name, of in tokens.items()
    }
    true = [qa.answer for qa in asked]
    return {name: [sum(map(str.__eq__, written, true)), len(true)] for name, written in answers.items()}


def find_share(job: tuple[str, int, int]) -> dict[str, list[int]]:
    """One process's share: the weights of a stage, one video."""
    stage, frames, video = job
    torch.set_num_threads(1)
    return find_needles(*load_llama_vid(stage), frames, video)


# ---------------------------------------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def stream(frames: int) -> float:
    """Makes the tokens of a video of `frames` frames as a stream; the peak memory of the process in MB."""
    vlm, reducer = load_llama_vid("long")
    clips = (toybox.sample(seed, frames=60) for seed in range(frames // 60))
    tokens = reducer.stream(blocks_of(vlm, clips), vlm.project, "What is the code?")
    if len(tokens) != reducer.count(frames, 8, 8):
        raise ValueError(f"{frames} frames became {len(tokens)} tokens: give a multiple of 60")
    return peak_megabytes()


def stream_alone(frames: int) -> float:
    """`stream` in a process of its own, so that nothing else is counted."""
    command = [sys.executable, "-m", "lib.workshop.llama_vid_scores", "--stream", str(frames)]
    done = subprocess.run(command, cwd=LLAMA_VID_SCORES.parents[2], capture_output=True, text=True, check=True)
    return float(done.stdout)


# ---------------------------------------------------------------------------------------------------------------------
# The file
# ---------------------------------------------------------------------------------------------------------------------


def trained_digest() -> str:
    """The sha256 of all shipped weights, stage after stage."""
    return hashlib.sha256(b"".join((LLAMA_VID / f"{stage}.safetensors").read_bytes() for stage in TRAINED)).hexdigest()


def measure_llama_vid() -> dict:
    """Everything, on every core."""
    ways = {stage: tuple(TOKEN_CHOICES) if stage == "instruction" else tuple(TOKEN_CHOICES)[:1] for stage in TRAINED}
    shares = [
        (stage, range(first, min(first + CHECKED_SHARE, clips)), ways[stage])
        for stage, clips in SCORED_CLIPS.items()
        for first in range(0, clips, CHECKED_SHARE)
    ]
    videos = [
        (stage, frames, video)
        for frames, (count, _) in HAYSTACKS.items()
        for stage in ("instruction", "long")
        if stage == "long" or frames <= 256  # stage 3's effect shows early, and hours of video are slow
        for video in range(count)
    ]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(tqdm(pool.map(find_share, videos[::-1]), "needles", total=len(videos)))[::-1]
        counted = list(tqdm(pool.map(count_llama_vid_seeds, shares), f"{CHECKED_SHARE} clips", total=len(shares)))
    right = {}
    for (stage, _, _), part in zip(shares, counted, strict=True):
        right.setdefault(stage, []).extend(part)
    return {
        "command": "make llama-vid",
        "weights": trained_digest(),
        "first_seed": 0,
        "kinds": list(SCORED_KINDS),
        "right": {stage: as_text(np.array(counts), ways[stage]) for stage, counts in right.items()},
        "needles": [
            {"stage": stage, "frames": frames, **hits} for (stage, frames, _), hits in zip(videos, found, strict=True)
        ],
        "stream_megabytes": {str(frames): round(stream_alone(frames), 1) for frames in STREAMS},
    }


def as_text(right: np.ndarray, ways: Sequence[str]) -> dict[str, dict[str, str]]:
    """(clips, ways, kinds) as one digit per clip, for every way and kind.

    >>> as_text(np.arange(3)[:, None, None].repeat(12, 2), ["content only"])["content only"]["colour"]
    '012'
    """
    return {
        way: {kind: "".join(map(str, right[:, row, column])) for column, kind in enumerate(SCORED_KINDS)}
        for row, way in enumerate(ways)
    }


def as_counts(text: dict[str, dict[str, str]]) -> dict[str, np.ndarray]:
    """The inverse: way -> (clips, kinds).

    >>> counts = np.arange(24).reshape(2, 1, 12) % 10
    >>> bool((as_counts(as_text(counts, ["both"]))["both"] == counts[:, 0]).all())
    True
    """
    return {way: np.array([list(map(int, of_way[kind])) for kind in SCORED_KINDS]).T for way, of_way in text.items()}


def read_llama_vid(path: Path = LLAMA_VID_SCORES) -> dict:
    """What `measure_llama_vid` wrote, with the counts of right answers as arrays: right[stage][way] is (clips, kinds).

    Raises FileNotFoundError if there is no file, and ValueError if it was measured with other weights.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: restore it with git, or run `make llama-vid`")
    table = json.loads(path.read_text(encoding="utf-8"))
    if table["weights"] != trained_digest():
        raise ValueError(f"{path} was measured with other weights than those in {LLAMA_VID}: run `make llama-vid`")
    return table | {"right": {stage: as_counts(text) for stage, text in table["right"].items()}}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lib.workshop.llama_vid_scores", description="Measure LLaMA-VID in small."
    )
    parser.add_argument("--stream", type=int, metavar="FRAMES", help="only print the peak memory of one stream, in MB")
    frames = parser.parse_args().stream
    if frames:
        print(stream(frames))
        return
    write_text(LLAMA_VID_SCORES, json.dumps(measure_llama_vid(), indent=1) + "\n")


if __name__ == "__main__":
    main()
