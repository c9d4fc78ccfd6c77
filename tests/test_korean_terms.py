"""One Korean term for each concept: docs/glossary.md, and the Korean texts that keep to it."""

import ast
import re

import pytest

from notebooks import build
from notebooks.address import ROOT
from notebooks.korean_twins import glossary_rows, twins

ROWS = list(glossary_rows())
BANNED = {word.strip(): row[1] for row in ROWS for word in row[6].split(",") if word.strip()}
HOMONYMS = {"loss", "reference", "shard", "stream", "twin"}  # words that an earlier lesson uses in another sense


def strings(path):
    """The Korean texts in a Python file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join(text for text in texts if re.search("[가-힣]", text))


def korean_texts():
    """Every Korean text that keeps to the glossary, by the place where it stands."""
    yield from ((pair.korean_place, pair.korean) for pair in twins())
    for folder in ("notebooks/ko", "docs/ko"):
        yield from ((f"{folder}/{path.name}", path.read_text("utf-8")) for path in sorted((ROOT / folder).glob("*.md")))
    yield from ((f"lib/exercises/{path.name}", strings(path)) for path in sorted((ROOT / "lib/exercises").glob("*.py")))


def wrong_words(text):
    """What stands in a text although the glossary has another word for it, in words."""
    return [f"{banned} (say {right})" for banned, right in BANNED.items() if banned in text]


TEXTS = {place: text for place, text in korean_texts() if text}


@pytest.mark.parametrize("place", TEXTS)
def test_korean_text_uses_the_words_of_the_glossary(place):
    assert wrong_words(TEXTS[place]) == []


def test_a_wrong_word_is_found_and_the_right_one_named():
    assert wrong_words("신뢰구간과 함께 잽니다") == ["신뢰구간 (say 신뢰 구간)"]
    assert len(TEXTS) > 100 and any("토큰" in text for place, text in TEXTS.items() if place.startswith("lib/"))


def test_one_concept_one_term_and_no_wrong_word_inside_a_right_one():
    assert all(len(row) == 7 and all(row[:5]) for row in ROWS)
    for column in (0, 1):
        assert len({row[column] for row in ROWS}) == len(ROWS)
    assert [banned for banned in BANNED if any(banned in row[1] for row in ROWS)] == []
    assert [banned for banned in BANNED if any(banned in row[5] for row in ROWS)] == []
    assert all(meaning.endswith((".", "?")) for row in ROWS for meaning in row[2:4])


def prose(source):
    """What a lesson says in English and Korean, without its list of the lessons to come."""
    cells = (cell.source for cell in build.read_source(source).cells if cell.cell_type == "markdown")
    return "\n".join(cells).split("**What comes next:**")[0]


PROSE = {source.name[:2]: prose(source) for source in build.lessons()}


def lessons_that_use(term):
    """The lessons in which a term stands as a word, in the singular or the plural."""
    word = re.compile(rf"(?<![\w/-]){re.escape(term)}(?:s|es)?(?!\w)", re.IGNORECASE)
    return [number for number, text in PROSE.items() if word.search(text)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_lesson_named_is_the_first_that_uses_the_term(row):
    found = lessons_that_use(row[0])
    assert row[4] in found
    assert row[0] in HOMONYMS or row[4] == found[0]
