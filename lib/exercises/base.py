"""The three kinds of exercise: write a function, predict a number, choose and say why.

Each judges an answer by what it *does* and knows typical mistakes: a mistake of a function is a function too, the one
that makes it. Where the learner's results are those of a mistake, its sentence is the reply; so a right answer in any
style is right, and a wrong one hears what is wrong with it.
"""

import copy
import dis
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lib.exercises.progress import Text, current_language, record, say
from lib.exercises.run import Refused, caught, numbers

EMPTY = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}  # all that a body of `...` compiles to
VERDICT_COLOURS = {"right": "\x1b[32m", "wrong": "\x1b[31m"}  # green, red

UNTOUCHED = Text("not attempted yet", "아직 풀지 않았습니다")
HELP = Text(
    "When you get stuck: ex.hint(1), ex.hint(2), ex.solution(). If a check never ends: the stop button (■).",
    "막히면 ex.hint(1), ex.hint(2), ex.solution()을 쓰세요. 채점이 끝나지 않으면 정지 버튼(■)을 누르세요.",
)
STOPPED = Text(
    "stopped, and not counted. Does a loop never end?",
    "중단했습니다. 횟수에 넣지 않습니다. 끝나지 않는 반복문이 있는지 확인하세요.",
)
RIGHT = Text("right!", "정답입니다!")
WRONG = Text("not yet.", "아직 정답이 아닙니다.")
PRINTED = Text("(Your code printed {n} lines; the first: {first})", "(코드가 {n}줄을 출력했습니다. 첫 줄: {first})")
EXERCISE_CARD = Text("difficulty {d} · importance {i} · {m} minutes", "난이도 {d} · 중요도 {i} · {m}분")
TWO_HINTS = Text("There are two hints: ex.hint(1) and ex.hint(2).", "힌트는 두 개입니다: ex.hint(1), ex.hint(2).")
CALL_IT = Text(
    "Pass the function itself, {name}: this is a {type}.", "함수 {name} 자체를 넘기세요. 지금은 {type} 값입니다."
)
NO_CALL = Text("Pass a number: this is a function.", "숫자를 넘기세요. 지금은 함수입니다.")
ONE_NUMBER = Text("Pass one number: this has {n}.", "숫자 하나를 넘기세요. 지금은 {n}개입니다.")
LETTER = Text(
    'Answer with a letter and a digit of the lists above, such as "a1".', '위 목록의 글자와 숫자로 답하세요. 예: "a1"'
)
CHANGED = Text(
    "Your function changes its input, which the caller still needs: work on a copy.",
    "함수가 입력을 바꾸어 버립니다. 호출한 쪽에서 아직 쓰는 값이므로 복사본에서 작업하세요.",
)
SHAPE = Text(
    "For {given} the result should have shape {right}; yours has {wrong}.",
    "입력이 {given}일 때 결과의 모양은 {right}이어야 하는데 {wrong}입니다.",
)
WRONG_VALUE = Text(
    "For {given}{where} it should be {right}; yours is {wrong}.",
    "입력이 {given}일 때{where} {right}이어야 하는데 {wrong}입니다.",
)
LESS, MORE = Text("It is less than that.", "그보다 작습니다."), Text("It is more than that.", "그보다 큽니다.")

_found_right: dict[str, object] = {}  # the answer that the last check of an exercise found right, by id


class Verdict(NamedTuple):
    """How an answer was judged, and the sentence for the learner (empty for a right one)."""

    state: Literal["right", "wrong", "untouched", "stopped"]
    text: Text
    printed: str = ""


class Mistake(NamedTuple):
    """A typical wrong answer (a function, or a number), and what to say about it."""

    answer: Callable | float
    en: str
    ko: str

    @property
    def text(self) -> Text:
        return Text(self.en, self.ko)


class Card(NamedTuple):
    """What an exercise asks of the learner: difficulty and importance from 1 to 5, and minutes."""

    difficulty: int
    importance: int
    minutes: int


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What all kinds share. `task` is Markdown; `hint_1` says where to look, `hint_2` nearly everything; `why`, why."""

    id: str  # "04.pool": the lesson and a name
    title: Text
    task: Text
    card: Card
    hint_1: Text
    hint_2: Text
    why: Text

    def wrong(self, answer) -> Text | None:
        """What is wrong with an answer, None if nothing is. Raises NotImplementedError where there is none yet."""
        raise NotImplementedError

    def shown(self) -> str:
        """The answer, as the learner would write it."""
        raise NotImplementedError

    def markdown(self, language: str) -> str:
        """The exercise as its cell in the lesson shows it: a heading with its id, the card, the task."""
        difficulty, importance = ("●" * level + "○" * (5 - level) for level in self.card[:2])
        heading = {"en": "Exercise", "ko": "연습 문제"}[language]
        card = getattr(EXERCISE_CARD.fill(d=difficulty, i=importance, m=self.card.minutes), language)
        return f"### {heading} {self.id}: {getattr(self.title, language)}\n\n{card}\n\n{getattr(self.task, language)}"

    def judge(self, answer) -> Verdict:
        """Right, wrong and why, not attempted, or stopped by the learner; prints and records nothing."""
        if untouched(answer):
            return Verdict("untouched", UNTOUCHED)
        try:
            text, printed = caught(lambda: self.wrong(answer))
        except NotImplementedError:
            return Verdict("untouched", UNTOUCHED)
        except KeyboardInterrupt:
            return Verdict("stopped", STOPPED)
        note = say(PRINTED.fill(n=max(printed.lines, 1), first=printed.first)) if printed.lines or printed.first else ""
        return Verdict("wrong", text, note) if text else Verdict("right", Text("", ""), note)

    def check(self, answer) -> None:
        """Print one sentence on an answer, and record the try in the progress file."""
        verdict = self.judge(answer)
        _found_right[self.id] = answer if verdict.state == "right" else None
        if verdict.state in ("right", "wrong"):
            record(self.id, verdict.state == "right")
        words = {"untouched": f"{say(UNTOUCHED)}. {say(HELP)}", "stopped": say(STOPPED), "right": say(RIGHT)}
        line = words.get(verdict.state) or f"{say(WRONG)} {say(verdict.text)}"
        print(coloured(f"{self.id}: {line}", verdict.state) + (f" {verdict.printed}" if verdict.printed else ""))

    def hint(self, level: int = 1) -> None:
        """Print a hint, 1 or 2."""
        print(say({1: self.hint_1, 2: self.hint_2}.get(level, TWO_HINTS)))

    def solution(self) -> None:
        """Print an answer and why it is one."""
        print(f"{self.shown()}\n\n{say(self.why)}")

    def statement(self) -> None:
        """Print the exercise in the learner's language."""
        print(self.markdown(current_language()))


@dataclass(frozen=True, kw_only=True)
class Write(Exercise):
    """Write a function. `cases()` makes the arguments on which it is compared with `answer`, the plainest first."""

    answer: Callable
    cases: Callable[[], Sequence[tuple]]
    mistakes: Sequence[Mistake]

    def wrong(self, answer) -> Text | None:
        if not callable(answer):
            raise Refused(CALL_IT.fill(name=self.answer.__name__, type=type(answer).__name__))
        tried, failed = [], []
        for arguments in self.cases():
            mine, expected = copy.deepcopy(arguments), self.answer(*copy.deepcopy(arguments))
            try:
                given = numbers(answer(*mine))
            except (Exception, SystemExit):
                if failed:  # the earlier cases say more than an error in a later one
                    break
                raise
            if not all(map(agree, mine, arguments)):
                return CHANGED
            tried.append((arguments, given))
            if not agree(given, expected):
                failed.append((arguments, given))
        if not failed:
            return None
        return self.mistaken(tried) or self.mistaken(failed) or self.difference(*failed[0])

    def mistaken(self, tried: list[tuple]) -> Text | None:
        """The sentence of the first mistake that gives the learner's results in all these cases."""
        for mistake in self.mistakes:
            if all(agree(given, mistake.answer(*copy.deepcopy(arguments))) for arguments, given in tried):
                return mistake.text
        return None

    def difference(self, arguments: tuple, given: np.ndarray) -> Text:
        """Where a result that no known mistake explains is wrong."""
        expected = numbers(self.answer(*arguments))
        named = describe(inspect.signature(self.answer).parameters, arguments)
        if given.shape != expected.shape:
            return SHAPE.fill(given=named, right=expected.shape, wrong=given.shape)
        place = tuple(map(int, np.argwhere(~np.isclose(given, expected, rtol=1e-4, atol=1e-5))[0]))
        where = f", [{', '.join(map(str, place))}]:" if place else ""
        return WRONG_VALUE.fill(given=named, where=where, right=f"{expected[place]:g}", wrong=f"{given[place]:g}")

    def shown(self) -> str:
        return inspect.getsource(self.answer).strip()

    def or_lib(self, answer) -> Callable:
        """The learner's function if the last check found it right, else lib's: so the lesson goes on."""
        return answer if _found_right.get(self.id) is answer else self.answer


@dataclass(frozen=True, kw_only=True)
class Predict(Exercise):
    """Predict a number, within a share `tolerance` of it (0: exactly)."""

    answer: float
    tolerance: float = 0.0
    mistakes: Sequence[Mistake]

    def wrong(self, answer) -> Text | None:
        if callable(answer):
            raise Refused(NO_CALL)
        given = numbers(answer)
        if given.size != 1:
            raise Refused(ONE_NUMBER.fill(n=given.size))
        given = given.item()
        if self.near(given, self.answer):
            return None
        known = next((made.text for made in self.mistakes if self.near(given, made.answer)), None)
        return known or (LESS if given > self.answer else MORE)

    def near(self, given: float, number: float) -> bool:
        return abs(given - number) <= max(self.tolerance, 1e-9) * abs(number)

    def shown(self) -> str:
        return f"{self.answer:,}" if self.tolerance == 0 else f"{self.answer:,.4g} (± {self.tolerance:.0%})"


@dataclass(frozen=True, kw_only=True)
class Choose(Exercise):
    """Choose a letter, and a digit for the reason. `replies` has a sentence for each one that is wrong."""

    answer: str  # "b2"
    replies: Mapping[str, Text]

    def wrong(self, answer) -> Text | None:
        found = re.fullmatch(r"([a-d])([1-4])", re.sub(r"[\s,.+()-]", "", str(answer)).lower())
        if found is None or not {*found.groups()} <= {*self.replies, *self.answer}:
            raise Refused(LETTER)
        return next((self.replies[part] for part in found.groups() if part in self.replies), None)

    def shown(self) -> str:
        return self.answer


def untouched(answer) -> bool:
    """Whether the learner has written nothing: `...`, None, or a function whose body is only `...`.

    >>> untouched(...), untouched(lambda x: ...), untouched(lambda x: x), untouched(0)
    (True, True, False, False)
    """
    if answer is None or answer is ... or answer is NotImplemented:
        return True
    if not inspect.isfunction(answer):
        return False
    steps = list(dis.get_instructions(answer))
    return all(step.opname in EMPTY and step.argval in (None, 0, ...) for step in steps if step.opname != "RESUME")


def agree(given, expected) -> bool:
    """Whether two results are equal: whole numbers exactly, others to 1e-4 relative; text and settings as they are."""
    if isinstance(expected, str):
        return given == expected
    whole = np.asarray(expected).dtype.kind in "iu"
    given, expected = numbers(given), numbers(expected)
    if given.shape != expected.shape:
        return False
    return np.array_equal(given, expected) if whole else np.allclose(given, expected, rtol=1e-4, atol=1e-5)


def describe(names: Sequence[str], arguments: tuple) -> str:
    """Arguments in a few words: numbers as they are, arrays by their shape.

    >>> describe(["features", "stride"], (np.zeros((2, 3)), 2))
    'features of shape (2, 3), stride = 2'
    """
    words = []
    for name, value in zip(names, arguments, strict=True):
        shape = getattr(value, "shape", None)
        words.append(f"{name} of shape {tuple(shape)}" if shape else f"{name} = {textwrap.shorten(repr(value), 60)}")
    return ", ".join(words)


def coloured(line: str, state: str) -> str:
    """Green for right and red for wrong, where IPython shows it."""
    if "IPython" not in sys.modules or state not in VERDICT_COLOURS:
        return line
    return f"{VERDICT_COLOURS[state]}{line}\x1b[0m" if sys.modules["IPython"].get_ipython() else line


def noise(*shape: int) -> Tensor:
    """Random numbers, the same for the same shape.

    >>> noise(2, 3).equal(noise(2, 3))
    True
    """
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
