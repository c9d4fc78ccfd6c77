"""Running a learner's answer: in a box of time, its output caught, its errors turned into one sentence.

The time box is a POSIX interval timer, which interrupts the main thread: there a Jupyter kernel runs its cells, and it
goes on living. What it cannot interrupt is one long call into C (a huge matrix product): that ends first. Where there
is no such timer (Windows, or another thread than the main one) nothing is stopped: interrupt the kernel instead.
"""

import io
import math
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from itertools import islice

import numpy as np
import torch

from lib.exercises.progress import Text

SECONDS = 4.0  # for one answer: with what comes around it, a check takes at most 5
LONGEST = 100_000  # numbers taken from a generator, which may never end


class TimeUp(BaseException):
    """Rings in the answer. No Exception, so that an answer's own `except Exception` does not swallow it."""


class Refused(Exception):
    """An answer that cannot be compared; .text says why."""

    def __init__(self, text: Text):
        super().__init__(text.en)
        self.text = text


NOTHING = Text(
    "Your function returns nothing. Is the `return` missing?",
    "함수가 아무것도 돌려주지 않습니다. `return`이 빠졌는지 확인하십시오.",
)
NO_NUMBERS = Text(
    "A result of numbers belongs here, and this is a {type}.", "숫자로 된 결과가 필요한데 {type} 값이 나왔습니다."
)
RAGGED = Text(
    "The rows of your result differ in length, so they make no array.",
    "결과의 행마다 길이가 달라 배열이 되지 않습니다.",
)
SLOW = Text(
    f"Stopped after {SECONDS:.0f} seconds: does a loop never end, or do far too much?",
    f"{SECONDS:.0f}초가 지나 멈추었습니다. 끝나지 않는 반복문이 있거나 계산이 지나치게 많지 않은지 살펴보십시오.",
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


def in_time(call: Callable[[], object], seconds: float) -> object:
    """What `call` returns. After so many seconds TimeUp is raised in it, and every tenth of a second from then on.

    An answer that catches everything would catch that too: so it is raised once more in the next line that runs.
    A bell may come late, long after it was switched off: on a busy machine another thread takes it and hands it on when
    it next runs. So each is held against the clock, and rings only in a line that the answer runs.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        return call()
    here, tracer, ends = sys._getframe(), sys.gettrace(), math.inf  # no bell counts before the clock runs

    def again(frame, event, argument):
        if event == "line":
            raise TimeUp
        return again

    def ring(number, frame):
        if frame and frame.f_code is ring.__code__:  # it rings already
            return
        stack = []
        while frame not in (here, None):
            stack.append(frame)
            frame = frame.f_back
        if time.monotonic() < ends or frame is None or not stack:  # a late bell of another call; not in the answer
            return
        for running in stack:
            running.f_trace = again
        sys.settrace(again)
        raise TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    try:
        ends = time.monotonic() + seconds
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
        return call()
    finally:
        ends = math.inf
        sys.settrace(tracer)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before if callable(before) else deaf)


def deaf(number, frame) -> None:
    """Hears a bell that was on its way when it was switched off: the default would be to end the process."""


def caught(call: Callable[[], Text | None], seconds: float | None = None) -> tuple[Text | None, Bounded]:
    """Run `call`: the sentence that it returns, or the one for what went wrong; and what was printed meanwhile.

    NotImplementedError passes: an answer that is not there yet. So does KeyboardInterrupt.

    >>> caught(lambda: Text("one", "하나"))[0].en, caught(lambda: 1 / 0)[0].en
    ('one', 'Your code raised ZeroDivisionError: division by zero (line 1).')
    """
    printed = Bounded()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            return in_time(call, SECONDS if seconds is None else seconds), printed
    except NotImplementedError:
        raise
    except TimeUp:
        return SLOW, printed
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
