"""The course on the command line: python -m lib ask clip.mp4 "What colour is the circle?"

The answer goes to stdout. Bad input is one line on stderr and exit code 2; Ctrl-C is exit code 130.
"""

import argparse
import sys
from collections.abc import Sequence

from lib import video
from lib.known import REAL_MODELS

MOST_FRAMES = 16  # what tiny was trained with


class Parser(argparse.ArgumentParser):
    """Reports a wrong command as every other mistake is reported: in one line, by `main`."""

    def error(self, message: str):
        raise ValueError(f"{message}; see python -m lib ask --help")


def parser() -> Parser:
    """The command line's grammar.

    >>> parser().parse_args(["ask", "clip.mp4", "What moves?", "--frames", "8"]).frames
    8
    """
    parser = Parser(prog="python -m lib", description="Frames to Tokens")
    ask = parser.add_subparsers(dest="command", required=True).add_parser("ask", help="ask a question about a video")
    ask.add_argument("path", help="a video file")
    ask.add_argument("question")
    ask.add_argument("--model", default="tiny", help="tiny, a folder, or a Hugging Face Hub id (default: tiny)")
    ask.add_argument("--frames", type=int, help=f"frames to look at, evenly spread (default: at most {MOST_FRAMES})")
    ask.add_argument("--four-bit", action="store_true", help="load the model in 4 bits: a 7B fits a T4")
    return parser


def ask(path: str, question: str, model: str, frames: int | None, four_bit: bool) -> str:
    """The model's answer to one question about one video file. Raises ValueError or FileNotFoundError for bad input."""
    total = video.probe(path).frames
    if frames is not None and not 1 <= frames <= total:
        raise ValueError(f"cannot look at {frames} frames: {path} has {total}; give --frames from 1 to {total}")
    indices = video.sample_uniform(total, frames or min(MOST_FRAMES, total))
    pixels = video.read_frames(path, indices).pixels

    from lib import vlm  # seconds of imports that a wrong file name need not wait for

    loaded = vlm.load(model, four_bit=four_bit)
    if model == "tiny":
        print(f"tiny knows Toybox clips only; a real model: --model {REAL_MODELS[0]}", file=sys.stderr)
    return loaded.answer(pixels, question)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    try:
        options = parser().parse_args(arguments)
        print(ask(options.path, options.question, options.model, options.frames, options.four_bit))
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
