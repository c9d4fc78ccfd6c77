"""Every exercise: its solution and other right answers are right, each typical mistake hears its own sentence, and the
lessons show it as it is. Right and wrong answers stand in tests/answers."""

import ast
import inspect
import math
import re
import types
from collections import Counter
from functools import lru_cache
from importlib import import_module
from io import StringIO
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from tokenize import COMMENT, NL, STRING, generate_tokens
from unicodedata import east_asian_width

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lib import exercises
from lib.exercises.base import Choose, Predict, Write, agree
from notebooks import build

NAME = attrgetter("id")
ALL = {exercise.id: exercise for lesson in exercises.lessons().values() for exercise in lesson.EXERCISES}
SOURCES = {path.stem[:2]: path for path in build.lessons()}
ANSWERS = {
    path.stem[-2:]: import_module(f"tests.answers.{path.stem}")
    for path in sorted((Path(__file__).parent / "answers").glob("lesson_*.py"))
}
RIGHT = {name: answers for module in ANSWERS.values() for name, answers in module.RIGHT.items()}
WRONG = {name: answers for module in ANSWERS.values() for name, answers in module.WRONG.items()}
CHOICES = [exercise for exercise in ALL.values() if isinstance(exercise, Choose)]
HANGUL = re.compile("[가-힣]")
read_source = lru_cache(build.read_source)


def replies(exercise):
    """The sentences that an exercise has of its own."""
    if isinstance(exercise, Choose):
        return list(exercise.replies.values())
    return [mistake.text for mistake in exercise.mistakes]


def texts(exercise):
    """Every text of an exercise."""
    return [exercise.title, exercise.task, exercise.hint_1, exercise.hint_2, exercise.why, *replies(exercise)]


def test_every_lesson_has_three_to_five_exercises():
    assert set(exercises.lessons()) == set(SOURCES)
    assert all(3 <= len(lesson.EXERCISES) <= 5 for lesson in exercises.lessons().values())
    assert len(ALL) == sum(len(lesson.EXERCISES) for lesson in exercises.lessons().values())
    assert all(
        name.startswith(f"{number}.")
        for number, lesson in exercises.lessons().items()
        for name in (exercise.id for exercise in lesson.EXERCISES)
    )


def test_none_lacks_a_right_answer_of_another_kind_or_three_wrong_ones():
    assert set(RIGHT) == set(WRONG) == set(ALL)
    assert [name for name in ALL if not RIGHT[name]] == []
    assert [name for name in ALL if len({words for _, words in WRONG[name]}) < 3] == []


@pytest.mark.parametrize("exercise", ALL.values(), ids=NAME)
def test_card_and_texts_are_complete_in_both_languages(exercise):
    assert {*exercise.card[:2]} <= {1, 2, 3, 4, 5} and 1 <= exercise.card.minutes <= 30
    for text in texts(exercise):
        assert HANGUL.search(text.ko) and not HANGUL.search(text.en), text
        assert set(re.findall(r"`[^`]+`", text.en)) == set(re.findall(r"`[^`]+`", text.ko)), text


@pytest.mark.parametrize("exercise", ALL.values(), ids=NAME)
def test_solution_is_right_as_it_is_printed(exercise, capsys):
    exercise.solution()
    printed = capsys.readouterr().out
    if not isinstance(exercise, Write):
        assert exercise.judge(exercise.answer).state == "right"
        assert printed == f"{exercise.shown()}\n\n{exercise.why.en}\n"
        return
    names = {"np": np, "torch": torch, "F": F, "math": math}
    exec(printed.split("\n\n" + exercise.why.en)[0], names)
    assert exercise.judge(names[exercise.answer.__name__]).state == "right"


@pytest.mark.parametrize(("name", "answer"), [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_other_right_answers_are_right(name, answer):
    assert ALL[name].judge(answer) == ("right", ("", ""), "")


@pytest.mark.parametrize(("name", "answer", "words"), [(name, *wrong) for name in WRONG for wrong in WRONG[name]])
def test_typical_mistake_hears_its_own_sentence(name, answer, words):
    exercise = ALL[name]
    verdict = exercise.judge(answer)
    assert verdict.state == "wrong" and words in verdict.text.en
    assert verdict.text in replies(exercise)  # and not the general one
    assert sum(words in text.en for text in set(replies(exercise))) == 1


@pytest.mark.parametrize("exercise", [one for one in ALL.values() if not isinstance(one, Choose)], ids=NAME)
def test_every_mistake_that_is_known_is_told_from_the_others(exercise):
    for mistake in exercise.mistakes:
        assert exercise.judge(mistake.answer).text == mistake.text


@pytest.mark.parametrize("exercise", CHOICES, ids=NAME)
def test_every_choice_that_is_wrong_has_a_reply(exercise):
    for text in exercise.task:
        offered = re.findall(r"\*\*([a-d1-4])\*\*", text)
        assert set(offered) == set(exercise.replies) | set(exercise.answer)
    assert not set(exercise.answer) & set(exercise.replies)


def length_rank(text, right):
    """Among the choices of its list, 0 if the right one is the longest."""
    offered = dict(re.findall(r"^- \*\*([a-d1-4])\*\* (.+)$", text, re.MULTILINE))
    return sum(len(words) > len(offered[right]) for key, words in offered.items() if key.isalpha() == right.isalpha())


def passed_blind(choices):
    """How often each letter, each digit and, by language and list, each rank in length is right."""
    right = Counter()
    for choice in choices:
        for key in choice.answer:
            texts = choice.task._asdict().items()
            right.update([key, *((language, key.isalpha(), length_rank(text, key)) for language, text in texts)])
    return right


def test_no_letter_no_digit_and_no_length_passes_the_choices_blind():
    assert {by: times for by, times in passed_blind(CHOICES).items() if times > 0.4 * len(CHOICES)} == {}


@pytest.mark.parametrize("exercise", [one for one in ALL.values() if isinstance(one, Predict)], ids=NAME)
def test_predictions_say_too_low_and_too_high(exercise):
    assert exercise.judge(exercise.answer * 7.3).text.en == "It is less than that."
    assert exercise.judge(-1).text.en == "It is more than that."


@pytest.mark.parametrize("exercise", [one for one in ALL.values() if isinstance(one, Write)], ids=NAME)
def test_written_answers_may_come_in_double_precision_but_not_a_bit_too_large(exercise):
    answer, plus = exercise.answer, lambda value: value + 0.01 if isinstance(value, torch.Tensor) else np.add(value, 1)
    assert exercise.judge(lambda *arguments: np.asarray(answer(*arguments), np.float64)).state == "right"
    assert exercise.judge(lambda *arguments: plus(answer(*arguments))).state == "wrong"


# The source


def width(text):
    """Columns in an editor, where Korean letters take two."""
    return sum(1 + (east_asian_width(letter) in "WF") for letter in text)


def broken_early(source):
    """Lines of strings that are continued although the first word of the next piece would have fit."""
    lines, found = source.splitlines(), []
    tokens = [token for token in generate_tokens(StringIO(source).readline) if token.type not in (COMMENT, NL)]
    for one, other in pairwise(tokens):
        if one.type == other.type == STRING and one.end[0] < other.start[0] and one.string[-3:-1] != "\\n":
            word = re.match(r"\S+ ?", other.string[1:-1])[0]
            found += [one.end[0]] if width(lines[one.end[0] - 1]) + width(word) < 120 else []  # and room for a comma
    return found


@pytest.mark.parametrize("path", sorted((build.HERE.parent / "lib" / "exercises").glob("*.py")), ids=attrgetter("name"))
def test_strings_fill_their_lines(path):
    assert broken_early(path.read_text(encoding="utf-8")) == []


def test_a_string_broken_into_single_words_is_found():
    assert broken_early('x = (\n    "one or no whole "\n    "patch "\n    "is\\n"\n    "left out"\n)\n') == [2, 3]


# The lessons


def code_after(nb, name):
    """The Markdown cell of an exercise and the code cell after it."""
    found = [number for number, cell in enumerate(nb.cells) if f"### Exercise {name}:" in cell.source]
    assert len(found) == 1, f"{name} stands in {len(found)} cells"
    return nb.cells[found[0]], nb.cells[found[0] + 1]


@pytest.mark.parametrize("number", sorted(SOURCES))
def test_lesson_shows_its_exercises_in_order_and_no_others(number):
    nb = read_source(SOURCES[number])
    shown = [name for cell in nb.cells for name in re.findall(r"^### Exercise (\S+):", cell.source, re.MULTILINE)]
    asked = [name for cell in nb.cells for name in re.findall(r'exercises\.get\("(.+?)"\)', cell.source)]
    assert shown == asked == [exercise.id for exercise in exercises.lessons()[number].EXERCISES]


@pytest.mark.parametrize("exercise", ALL.values(), ids=NAME)
def test_cells_in_the_lesson_agree_with_the_exercise(exercise):
    markdown, code = code_after(read_source(SOURCES[exercise.id[:2]]), exercise.id)
    expected = exercise.markdown("en")
    assert markdown.source.split() == expected.split(), f"the cell of {exercise.id} should be:\n{expected}"
    tree = ast.parse(code.source)
    if isinstance(exercise, Write):
        (stub,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert stub.name == exercise.answer.__name__
        assert [argument.arg for argument in stub.args.args] == list(inspect.signature(exercise.answer).parameters)
    checked = types.SimpleNamespace(answers=[])
    fake = types.SimpleNamespace(check=checked.answers.append, or_lib=lambda answer: exercise.answer)
    statements = [node for node in tree.body if not (isinstance(node, ast.Expr) and "print" in ast.unparse(node))]
    names = {"exercises": types.SimpleNamespace(get=lambda name: fake)}
    exec(compile(ast.Module(statements, []), "cell", "exec"), names)
    assert [exercise.judge(answer).state for answer in checked.answers] == ["untouched"]


@pytest.mark.parametrize(
    ("given", "expected", "same"),
    [
        (5.0, 5, True),
        (5.0004, 5, False),
        (5.0004, 5.0, True),
        ("grid", "grid", True),
        ("grid", "one", False),
        (torch.ones(2, dtype=torch.bfloat16), np.ones(2), True),
        ([1, 2], [[1, 2]], False),
    ],
)
def test_results_agree(given, expected, same):
    assert agree(given, expected) == same


def test_guesses_are_kept_and_drawn(capsys, monkeypatch):
    from lib.exercises import predictions

    monkeypatch.setattr(predictions, "_guesses", {})
    for name, guess, measured in [("tokens", 144, 144), ("misses", 0, 44), ("none", None, 1), ("zero", 0, 0)]:
        predictions.predict(name, guess, measured)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["misses: predicted 0, measured 44", "none: no guess yet, measured 1"]
    figure = predictions.calibration()
    assert figure.axes[0].get_title() == "2 of 3 guesses within a factor of two"
    assert {text.get_text() for text in figure.axes[0].texts} == {"tokens", "misses", "zero"}
