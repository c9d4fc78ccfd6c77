"""Real models on record: ten questions about two real and six drawn clips, each in English and in Korean.

    make real-check

asks the 0.5B in 16 bits and the 7B in 4 bits, and writes data/measured/real.json. The file holds every answer with its
seconds, the peak memory, the card, the commit of the weights, and the packages' versions. Lesson 11 shows that file. It
downloads 1.8 and 14 GB. Without a GPU only the 0.5B is asked, because the 7B would take hours. `make real-check` with
names of models
asks those:  .venv/bin/python -m lib.tools.real_check llava-hf/LLaVA-NeXT-Video-7B-DPO-hf

The file is written after each model, so a failure loses no earlier measurement.
"""

import datetime
import gc
import json
import platform
import re
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch

from lib import machine, quiet
from lib.files import DATA, write_text
from lib.known import GIB, REAL_MODELS
from lib.real_clips import REAL_CLIPS, real_clip
from lib.text import Text
from lib.video import probe, read_frames, sample_uniform
from lib.vlm import VideoLM, load

REAL_RECORD = DATA / "measured" / "real.json"
FRAMES_SEEN = 16  # of each clip
LONGEST_SAID = 160  # in tokens
PACKAGES = ("torch", "transformers", "bitsandbytes", "peft")


class Question(NamedTuple):
    """A question about a clip, and a pattern that a right answer matches, one for each language; "" for an open
    question."""

    clip: str
    asked: Text
    truth: Text
    right: Text


OPEN = Text("What happens in this video?", "이 영상에서 무슨 일이 일어납니까?")
REAL_QUESTIONS = (
    Question("bikes", OPEN, Text("cars, a taxi and bicycles in a city", "도시의 자동차, 택시, 자전거"), Text("", "")),
    Question(
        "bikes",
        Text("What is written on the sign of the car?", "자동차의 표지판에 무엇이라고 쓰여 있습니까?"),
        Text("TAXI", "TAXI"),
        Text("taxi", "taxi|택시"),
    ),
    Question(
        "bigbuckbunny",
        OPEN,
        Text("a fat rabbit leaves its hole and stretches", "뚱뚱한 토끼가 굴에서 나와 기지개를 켭니다"),
        Text("", ""),
    ),
    Question(
        "bigbuckbunny",
        Text("Which animal is in this video?", "이 영상에 나오는 동물은 무엇입니까?"),
        Text("a rabbit", "토끼"),
        Text("rabbit|bunny|hare", "토끼"),
    ),
    Question(
        "still",
        Text("What colour is the diamond?", "마름모는 무슨 색입니까?"),
        Text("orange", "주황색"),
        Text("orange", "주황"),
    ),
    Question(
        "crowd",
        Text("How many things are there?", "물체는 모두 몇 개입니까?"),
        Text("four", "네 개"),
        Text(r"four|\b4\b", "네 ?개|4 ?개"),
    ),
    Question(
        "cut",
        Text("Which way does the orange ring move?", "주황색 고리는 어느 쪽으로 움직입니까?"),
        Text("right", "오른쪽"),
        Text(r"\bright", "오른쪽"),
    ),
    Question("hello", Text("What is the code?", "코드는 무엇입니까?"), Text("852", "852"), Text("852", "852")),
    Question(
        "flashes",
        Text("Which colour flashes first?", "처음에 번쩍이는 색은 무엇입니까?"),
        Text("red", "빨간색"),
        Text(r"\bred\b", "빨간|빨강"),
    ),
    Question(
        "long",
        Text("Is there a big blue triangle?", "큰 파란 삼각형이 있습니까?"),
        Text("yes", "네"),
        Text("^yes", "^(네|예)"),
    ),
)


def path_of(clip: str) -> Path:
    """The file of a clip, real or drawn."""
    return real_clip(clip) if clip in REAL_CLIPS else DATA / "clips" / f"{clip}.mp4"


def is_right(question: Question, language: str, answer: str) -> bool | None:
    """Whether an answer matches its pattern; None for an open question.

    >>> is_right(REAL_QUESTIONS[3], "ko", "큰 토끼가 있습니다."), is_right(REAL_QUESTIONS[0], "en", "A street.")
    (True, None)
    """
    pattern = getattr(question.right, language)
    return bool(re.search(pattern, answer, re.IGNORECASE)) if pattern else None


def ask_all(vlm: VideoLM, longest: int = LONGEST_SAID) -> list[dict]:
    """Every question in both languages, the answer, whether it is right, and the seconds from file to answer."""
    found = []
    for question in REAL_QUESTIONS:
        path, began = path_of(question.clip), time.monotonic()
        features = vlm.encode(read_frames(path, sample_uniform(probe(path).frames, FRAMES_SEEN)).pixels)
        looking = time.monotonic() - began
        for language in Text._fields:
            asked, began = getattr(question.asked, language), time.monotonic()
            answer = vlm.answer(features, asked, max_new_tokens=longest)
            seconds = looking + time.monotonic() - began
            found.append(
                {
                    "clip": question.clip, "language": language, "question": asked,
                    "truth": getattr(question.truth, language), "answer": answer,
                    "right": is_right(question, language, answer), "seconds": round(seconds, 2),
                }
            )  # fmt: skip
    return found


def check_model(name: str, four_bit: bool, longest: int = LONGEST_SAID) -> dict:
    """One model's record. Raises ValueError if it cannot be loaded."""
    on_gpu, began = torch.cuda.is_available(), time.monotonic()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    vlm = load(name, four_bit)
    loading = time.monotonic() - began
    answers = ask_all(vlm, longest)
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else machine.peak_megabytes()
    return vlm.origin | {
        "four_bit": four_bit, "dtype": str(vlm.dtype).removeprefix("torch."), "load_seconds": round(loading, 1),
        "peak_mebibytes": round(peak), "answers": answers,
    }  # fmt: skip


def machine_of(device: str) -> dict:
    """The card and the versions that results depend on, without the name of anyone's machine.

    >>> machine_of("cpu")["gib"] is None
    True
    """
    found = {"device": device, "card": platform.machine(), "capability": None, "gib": None}
    if device == "cuda":
        capability = ".".join(map(str, torch.cuda.get_device_capability()))
        found |= {"card": torch.cuda.get_device_name(), "capability": capability, "cuda": torch.version.cuda}
        found["gib"] = round(torch.cuda.mem_get_info()[1] / GIB, 2)
    return found | {name: version(name) for name in PACKAGES} | {"date": datetime.date.today().isoformat()}


def real_check(names: Sequence[str], path: Path, longest: int = LONGEST_SAID) -> dict:
    """Asks these models, one after the other, and writes the record after each. Only the 0.5B is not quantised."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    report = {"command": "make real-check", "machine": machine_of(device), "frames": FRAMES_SEEN, "models": []}
    for name in names:
        report["models"].append(check_model(name, four_bit=name != REAL_MODELS[0], longest=longest))
        write_text(path, json.dumps(report, ensure_ascii=False, indent=1) + "\n")
        print(in_a_line(report["models"][-1]), flush=True)
        gc.collect()
    return report


def in_a_line(found: dict) -> str:
    """One model's result in a line."""
    marks = [one["right"] for one in found["answers"] if one["right"] is not None]
    seconds = sum(one["seconds"] for one in found["answers"])
    return (
        f"{found['model']}: {sum(marks)} of {len(marks)} right, {seconds:.0f} s for {len(found['answers'])} answers, "
        f"peak {found['peak_mebibytes']:,} MiB"
    )


def answer_rows(report: dict) -> list[dict]:
    """A row for each question and language: the clip, what was asked, the truth, and each model's answer."""
    rows = []
    for number, one in enumerate(report["models"][0]["answers"]):
        row = {"clip": one["clip"], "question": one["question"], "truth": one["truth"]}
        for found in report["models"]:
            answer = found["answers"][number]
            mark = {True: "✓ ", False: "✗ ", None: ""}[answer["right"]]
            row[found["model"].rpartition("/")[2]] = mark + answer["answer"]
        rows.append(row)
    return rows


def main(names: Sequence[str]) -> int:
    """The command: returns 0 if all were asked, or prints one line and returns 2 if a model cannot be loaded."""
    quiet()
    if not names and not torch.cuda.is_available():
        print(f"no GPU here: only {REAL_MODELS[0]} is asked", file=sys.stderr)
    try:
        real_check(names or REAL_MODELS[: 1 + torch.cuda.is_available()], REAL_RECORD)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(f"written: {REAL_RECORD}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
