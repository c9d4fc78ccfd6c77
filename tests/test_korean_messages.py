"""Every message that exists in two languages says the same with the same values, each in its language."""

import importlib
import re
from pathlib import Path
from string import Formatter

import pytest

from lib.text import Text
from notebooks.address import ROOT

HANGUL = re.compile("[가-힣]")
ROOMS = ("data", "job")
FILES = [path for room in ROOMS for path in sorted((ROOT / "lib" / room).glob("[a-z]*.py"))]
FILES += [ROOT / "lib/tools/doctor.py", ROOT / "lib/__main__.py"]
SAME = {"{card}, compute capability {capability}, {gib:.1f} GiB"}  # nothing to translate
KOREAN_ENDS = {" and no "}  # its Korean is a comma


def texts(value):
    """The texts in a value of a module: alone, or in a tuple, a list or a dictionary."""
    if isinstance(value, Text):
        yield from [value] if value.en else []
    elif isinstance(value, tuple | list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, dict):
        yield from texts(list(value.values()))


def messages(path: Path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return [text for name, value in vars(module).items() if name.isupper() for text in texts(value)]


def fields(text: str) -> list[str]:
    """The values that a text takes, each with its format.

    >>> fields("{n:,} of {all}")
    ['all', 'n:,']
    """
    found = [(name, kind) for _, name, kind, _ in Formatter().parse(text) if name]
    return sorted(f"{name}:{kind}" if kind else name for name, kind in found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT / "lib").as_posix())
def test_both_languages_take_the_same_values(path):
    for text in messages(path):
        assert set(fields(text.en)) == set(fields(text.ko)), text
        assert not HANGUL.search(text.en), text
        assert HANGUL.search(text.ko) or text.en in SAME | KOREAN_ENDS, text


def test_the_messages_that_people_meet_are_there():
    counts = {path.relative_to(ROOT / "lib").as_posix(): len(messages(path)) for path in FILES}
    least = {
        "data/aihub.py": 30, "job/planning.py": 15, "job/training.py": 12, "job/captioning.py": 8, "job/scoring.py": 7,
        "job/settings.py": 12, "tools/doctor.py": 25, "__main__.py": 6,
    }  # fmt: skip
    assert [name for name in least if counts[name] < least[name]] == []
