"""The course on the command line: questions about videos, and the job from a folder of videos to a captioner.

    python -m lib ask clip.mp4 "What colour is the circle?"
    python -m lib ask "$(python -m lib.real_clips bikes)" "What happens?" --model llava-hf/LLaVA-NeXT-Video-7B-hf
    python -m lib plan|train|caption|evaluate|merge job.yaml
    python -m lib challenge 05 entry.py

Answers, captions and plans go to stdout, everything else to stderr. Bad input prints one line on stderr and exits with
code 2; Ctrl-C exits with code 130.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lib import quiet, video
from lib.known import REAL_MODELS
from lib.text import Text

MOST_FRAMES = 16  # the number that tiny was trained with
LONGEST_ANSWER = 256  # default, in tokens
ERROR, INTERRUPTED = Text("error: {what}", "오류: {what}"), Text("stopped", "중단했습니다")
FEW_TOKENS = Text("--max-new-tokens {n}: give at least 1", "--max-new-tokens {n}: 1 이상으로 정하세요")
ONLY_TOYBOX = Text(
    "tiny knows Toybox clips only; a real model: --model {model}",
    "tiny는 Toybox 클립만 압니다. 실제 모델: --model {model}",
)
TOO_MANY_FRAMES = Text(
    "cannot look at {frames} frames: {path} has {total}; give --frames from 1 to {total}",
    "{frames}프레임을 볼 수 없습니다. {path}의 프레임은 {total}장입니다. --frames를 1에서 {total} 사이로 정하세요",
)
MAKE_ROOM = Text(
    "{error}: make room on the disk, then give the same command again",
    "{error}: 디스크를 비우고 같은 명령을 다시 실행하세요",
)
LESS_MEMORY = Text(
    "{error} `plan` says what fits: fewer frames, a smaller batch or four_bit=true",
    "{error} 들어가는 크기는 `plan`이 알려 줍니다. 프레임이나 배치를 줄이거나 four_bit=true로 바꾸세요",
)


class Parser(argparse.ArgumentParser):
    """A parser whose errors reach `main`, which prints every error in one line."""

    def error(self, message: str):
        raise ValueError(f"{message}; see {self.prog} --help")


def parser() -> Parser:
    """The command line's grammar.

    >>> parser().parse_args(["ask", "clip.mp4", "What moves?", "--frames", "8"]).frames
    8
    >>> parser().parse_args(["train", "jobs/tiny.yaml", "steps=50"]).changes
    ['steps=50']
    """
    parser = Parser(prog="python -m lib", description="Frames to Tokens")
    commands = parser.add_subparsers(dest="command", required=True)
    ask = commands.add_parser("ask", help="ask a question about videos")
    ask.add_argument(
        "paths", nargs="+", metavar="path", help="video files; a real one: $(python -m lib.real_clips bikes)"
    )
    ask.add_argument("question")
    ask.add_argument("--model", default="tiny", help="tiny, a folder, or a Hugging Face Hub id (default: tiny)")
    ask.add_argument("--adapter", help="a folder that train or save_adapter wrote")
    ask.add_argument("--frames", type=int, help=f"frames to look at, evenly spread (default: at most {MOST_FRAMES})")
    ask.add_argument("--four-bit", action="store_true", help="load the model in 4 bits: a 7B fits a T4")
    ask.add_argument("--prompt", help="a full prompt with <video> and {question} in it, in place of the model's")
    ask.add_argument("--max-new-tokens", type=int, help=f"longest answer (default: {LONGEST_ANSWER}, or what fits)")
    win = commands.add_parser("challenge", help="play an entry in a lesson's challenge, or in the capstone")
    win.add_argument("id", help="a lesson's number, or capstone")
    win.add_argument("entry", nargs="?", help="a Python file with a function `entry`; without it, the task is shown")
    win.add_argument("--seed", type=int, help="first clip of the capstone (default: drawn, and shown)")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("job", help="a file of settings, such as jobs/tiny.yaml")
        if name == "caption":
            command.add_argument("videos", nargs="*", help="files or folders; without any, the job's test clips")
            command.add_argument("--base", action="store_true", help="caption with the model before training")
        elif name == "merge":
            command.add_argument("out", help="a new folder")
        elif name == "evaluate":
            command.add_argument("--against", type=Path, help="another run's captions.jsonl, in place of the base's")
        else:
            command.add_argument("changes", nargs="*", metavar="key=value", help="settings to change")
    return parser


COMMANDS = {
    "plan": "show whether the job fits, on which card, how long it takes; downloads nothing",
    "train": "train an adapter, or continue an interrupted run",
    "caption": "write one JSON line per clip",
    "evaluate": "score the test clips, with intervals, against the model before training",
    "merge": "write full weights that transformers and vLLM load",
}


def ask(options: argparse.Namespace) -> None:
    """Answers one question about each video, word by word. Raises ValueError or FileNotFoundError for bad input."""
    if options.max_new_tokens is not None and options.max_new_tokens < 1:
        raise ValueError(FEW_TOKENS.say(n=options.max_new_tokens))
    clips = [frames_of(path, options.frames) for path in options.paths]
    from lib import vlm  # takes seconds, so file names are checked first

    loaded = vlm.load(options.model, four_bit=options.four_bit)
    if options.adapter:
        from lib.finetune.adapters import load_adapter

        load_adapter(loaded, options.adapter)
    if options.model == "tiny":
        print(ONLY_TOYBOX.say(model=REAL_MODELS[0]), file=sys.stderr)
    if options.prompt:
        loaded = replace(loaded, chat=vlm.Chat.of(options.prompt))
    for path, clip in zip(options.paths, clips, strict=True):
        if len(clips) > 1:
            print(f"{path}: ", end="", flush=True)
        streamer = vlm.AnswerStreamer(loaded.tokenizer)
        longest = options.max_new_tokens or max(1, min(LONGEST_ANSWER, loaded.room(len(clip), options.question)))
        loaded.generate([clip], [options.question], None, longest, streamer)


def frames_of(path: str, frames: int | None):
    """Frames of a video, evenly spread."""
    total = video.probe(path).frames
    if frames is not None and not 1 <= frames <= total:
        raise ValueError(TOO_MANY_FRAMES.say(frames=frames, path=path, total=total))
    return video.read_frames(path, video.sample_uniform(total, frames or min(MOST_FRAMES, total))).pixels


def play(options: argparse.Namespace) -> None:
    """Shows a challenge, or plays a file in it."""
    from lib.exercises import challenge
    from lib.exercises.challenges import read_entry

    found = challenge(options.id)
    if options.entry is None:
        print(repr(found))
    else:
        entry = read_entry(options.entry)
        quiet()
        found.play(entry, options.seed)


def run_job(options: argparse.Namespace) -> None:
    """Runs one command on a job. After a kill or a full disk, training continues from the last checkpoint."""
    from lib.job.settings import read_job

    job = read_job(options.job, getattr(options, "changes", ()))
    quiet()
    with in_one_line():
        do(job, options)


@contextmanager
def in_one_line() -> Iterator[None]:
    """Turns the libraries' errors about a full disk or full memory into a ValueError."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError) as error:
        if "No space left" not in str(error) and isinstance(error, OSError):
            raise
        raise ValueError(MAKE_ROOM.say(error=error)) from None
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not re.search("out of memory|allocate memory", str(error)):
            raise
        raise ValueError(LESS_MEMORY.say(error=str(error).partition("\n")[0])) from None


def do(job, options: argparse.Namespace) -> None:
    """Runs the command."""
    if options.command == "plan":
        from lib.job.planning import plan_job

        print(plan_job(job))
    elif options.command == "train":
        from lib.job.training import is_first, train_job

        train_job(job)
        if is_first():
            print(job.folder / "adapter")
    elif options.command == "caption":
        from lib.job.captioning import caption_clips

        caption_clips(job, options.videos, options.base, show=True)
    elif options.command == "evaluate":
        from lib.job.scoring import evaluate

        print(evaluate(job, options.against).read_text(encoding="utf-8"), end="")
    else:
        from lib.job.merging import merge

        print(merge(job, options.out))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    try:
        options = parser().parse_args(arguments)
        {"ask": ask, "challenge": play}.get(options.command, run_job)(options)
    except (ValueError, OSError) as error:
        print(ERROR.say(what=" ".join(str(error).split())), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(INTERRUPTED.say(), file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    code = main()
    if "RANK" in os.environ:  # under torchrun: exit at once, or the others wait forever
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
