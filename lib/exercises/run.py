"""Running a learner's answer: its output caught, its errors turned into one sentence."""

import io
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from itertools import islice

import numpy as np
import torch

from lib.exercises.progress import Text

LONGEST = 100_000  # numbers taken from a generator, which may never end


class Refused(Exception):
    """An answer that cannot be compared; .text says why."""

    def __init__(self, text: Text):
        super().__init__(text.en)
        self.text = text


NOTHING = Text(
    "Your function returns nothing. Is the `return` missing?",
    "함수가 아무것도 돌려주지 않습니다. `return`이 빠졌는지 확인하세요.",
)
NO_NUMBERS = Text(
    "A result of numbers belongs here, and this is a {type}.", "숫자로 된 결과가 필요한데 {type} 값이 나왔습니다."
)
RAGGED = Text(
    "The rows of your result differ in length, so they make no array.",
    "결과의 행마다 길이가 달라 배열이 되지 않습니다.",
)
RAISED = Text("Your code raised {what}.", "코드에서 오류가 났습니다: {what}")


class Bounded(io.TextIOBase):
    """A text stream that keeps the first line and counts the rest.

    >>> stream = Bounded()
    >>> stream.write("one\\ntwo\\n"), stream.lines, stream.first
    (8, 2, 'one')
    """

    def __init__(self):
        self.lines, self.first = 0, ""

    def write(self, text: str) -> int:
        if not self.lines:
            self.first = (self.first + text.split("\n")[0])[:80]
        self.lines += text.count("\n")
        return len(text)


def caught(call: Callable[[], Text | None]) -> tuple[Text | None, Bounded]:
    """Run `call`: the sentence that it returns, or the one for what went wrong; and what was printed meanwhile.

    Two exceptions pass: NotImplementedError (no answer yet) and KeyboardInterrupt (the kernel's stop button).

    >>> caught(lambda: Text("one", "하나"))[0].en, caught(lambda: 1 / 0)[0].en
    ('one', 'Your code raised ZeroDivisionError: division by zero (line 1).')
    """
    printed = Bounded()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            return call(), printed
    except NotImplementedError:
        raise
    except Refused as refused:
        return refused.text, printed
    except (Exception, SystemExit) as error:
        return RAISED.fill(what=brief(error)), printed


def brief(error: BaseException) -> str:
    """An error in one line, with the line of the learner's cell (the last one outside of any library's folder)."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if not is_library(frame.filename)]
    message = " ".join(str(error).split())[:200]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}{': ' if message else ''}{message}{where}"


def is_library(filename: str) -> bool:
    return "site-packages" in filename or "/lib/" in filename.replace("\\", "/") or filename.startswith("<frozen")


def numbers(value) -> np.ndarray:
    """What an answer returned, as an array of float64: a tensor of any type, an array, lists of either, or a number.

    Raises Refused for anything else, and NotImplementedError for `...`.

    >>> numbers([torch.tensor(1), 2.5]).tolist(), numbers(range(3)).tolist(), numbers(7).shape
    ([1.0, 2.5], [0.0, 1.0, 2.0], ())
    """
    if value is ... or value is NotImplemented:
        raise NotImplementedError
    if value is None:
        raise Refused(NOTHING)
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().double().numpy()
    if isinstance(value, Iterator):
        value = list(islice(value, LONGEST))
    try:
        if isinstance(value, list | tuple) and any(isinstance(item, torch.Tensor) for item in value):
            value = [numbers(item) for item in value]
        array = np.asarray(value)
    except ValueError as error:
        raise Refused(RAGGED) from error
    if array.dtype.kind not in "iuf":
        raise Refused(NO_NUMBERS.fill(type=type(value).__name__))
    return array.astype(np.float64)
