"""English texts and their Korean twins: when the one changes, somebody has to look at the other.

    python -m notebooks.korean_twins      or: make korean-looked

docs/korean.json holds a digest of every English text as it was when its Korean twin was last looked at. The command
writes those of today; a test fails while one is out of date, and names both texts. Twins are the sections of README.md
and README.ko.md, each lesson's card with "What to remember" and its Korean summary, the two halves of each row of the
glossary, and the sections of the pages in docs/ that have a Korean edition in docs/ko. (The cells of the lessons have
catalogues: notebooks/korean.py.)
"""

import argparse
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from lib.files import write_text
from notebooks import build
from notebooks.address import ROOT, address

RECORD = ROOT / "docs" / "korean.json"
SUMMARY = "한국어 요약"
NUMBER = re.compile(r"(\d+(?:,\d{3})*(?:\.\d+)?)(?:[ -]?(million|billion|만|억))?")
SCALE = {"": 1, "만": 10**4, "million": 10**6, "억": 10**8, "billion": 10**9}


class Twins(NamedTuple):
    """One English text and its Korean twin, each with the place where it stands."""

    name: str  # of the English text, as docs/korean.json has it
    english: str
    korean: str
    korean_place: str


def sections(text: str) -> dict[str, str]:
    """The text under each heading of the second level, and what stands before the first, under "top".

    >>> sections("# Title\\nhello\\n## One\\nbody\\n## Two\\n")
    {'top': '# Title\\nhello\\n', 'One': 'body\\n', 'Two': ''}
    """
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(["top", *parts[1::2]], parts[0::2], strict=True))


def read(name: str) -> str:
    """A file of the course."""
    return (ROOT / name).read_text(encoding="utf-8")


def by_section(name: str, name_ko: str) -> Iterator[Twins]:
    """Section by section, in the order of both files. Raises ValueError unless they have equally many."""
    english, korean = sections(read(name)), sections(read(name_ko))
    if len(english) != len(korean):
        raise ValueError(
            f"{name} has {len(english)} sections and {name_ko} {len(korean)}: {', '.join(english)} | "
            f"{', '.join(korean)}. Fix: give each section of the one its twin in the other, in the same order"
        )
    for (heading, text), (heading_ko, text_ko) in zip(english.items(), korean.items(), strict=True):
        yield Twins(f"{name}: {heading}", f"{heading}\n{text}", text_ko, f"{name_ko}: {heading_ko}")


def pages() -> Iterator[Twins]:
    """The pages of docs/ of which docs/ko has a Korean edition. (The index and the glossary hold other files.)"""
    for path in sorted((ROOT / "docs" / "ko").glob("*.md")):
        if path.stem not in ("index", "glossary") and (ROOT / "docs" / path.name).exists():
            yield from by_section(f"docs/{path.name}", f"docs/ko/{path.name}")


def lessons() -> Iterator[Twins]:
    """What a notebook promises and what it asks to remember, and its Korean summary."""
    for source in build.notebooks():
        cells = build.read_source(source).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown") + "\n"
        parts, name = sections(text), f"notebooks/{source.name}"
        card = "\n".join(line for line in parts["top"].splitlines() if line.startswith(("# ", "| **")))
        english = f"{card}\n{parts['What to remember']}"
        yield Twins(f"{name}: card and What to remember", english, parts[SUMMARY], f"{name}: {SUMMARY}")


def glossary_rows() -> Iterator[list[str]]:
    """The cells of each row of docs/glossary.md, as its head names them: term, Korean term, meaning, ..."""
    for line in read("docs/glossary.md").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] != "Term":
            yield cells


def glossary() -> Iterator[Twins]:
    """The English half of each row, and the Korean one."""
    for term, korean, meaning, meaning_ko, *_ in glossary_rows():
        place = f"docs/glossary.md: {korean}"
        yield Twins(f"docs/glossary.md: {term}", f"{term}: {meaning}", f"{korean}: {meaning_ko}", place)


def twins() -> list[Twins]:
    """Every English text that has a Korean twin."""
    return [*by_section("README.md", "README.ko.md"), *lessons(), *glossary(), *pages()]


@cache
def repository() -> str:
    """Where the course lives: owner/name."""
    return address()[0]


def digest(text: str) -> str:
    """Of the words alone: where lines break does not matter, nor under which address the course lives.

    >>> digest("two  words\\n") == digest("two\\nwords") != digest("Two words")
    True
    """
    words = " ".join(text.split()).replace(repository(), "OWNER/NAME")
    return hashlib.sha256(words.encode()).hexdigest()[:12]


def recorded() -> dict[str, str]:
    """The digests of the English texts when their twins were last looked at."""
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def problems(pairs: list[Twins], record: dict[str, str]) -> list[str]:
    """A sentence for each English text that changed since its twin was looked at, or that is gone.

    >>> problems([Twins("README.md: Top", "new text", "옛 글", "README.ko.md: 처음")], {"README.md: Top": "0" * 12})[0]
    'README.md: Top changed; look at README.ko.md: 처음, then run: make korean-looked'
    """
    found = [
        f"{pair.name} changed; look at {pair.korean_place}, then run: make korean-looked"
        for pair in pairs
        if record.get(pair.name) != digest(pair.english)
    ]
    gone = sorted(set(record) - {pair.name for pair in pairs})
    return found + [f"{name} is gone; is its Korean twin? Then run: make korean-looked" for name in gone]


def numbers(text: str) -> Counter[float]:
    """The numbers in a text, with how often each occurs; "100 million" and "1억" are the same one.

    >>> numbers("100 million clips, 1,024 MB, 3.11") == numbers("3.11, 클립 1억 개, 1,024 MB")
    True
    """
    found = NUMBER.findall(text)
    return Counter(float(digits.replace(",", "")) * SCALE[scale] for digits, scale in found)


def main(arguments: list[str] | None = None) -> int:
    """Record every English text of today as one whose twin was looked at, and say which those are; 0, or 2."""
    text = "Record every English text as one whose Korean twin was looked at, in docs/korean.json."
    parser = argparse.ArgumentParser(prog="python -m notebooks.korean_twins", description=text)
    parser.parse_args(arguments)
    try:
        pairs = twins()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    before, now = recorded(), {pair.name: digest(pair.english) for pair in pairs}
    changed = [pair for pair in pairs if before.get(pair.name) != now[pair.name]]
    write_text(RECORD, json.dumps(now, ensure_ascii=False, indent=1) + "\n")
    for pair in changed:
        print(f"{pair.name} -> {pair.korean_place}")
    print(f"{len(changed)} of {len(pairs)} English texts recorded anew; their Korean twins count as looked at")
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # for any terminal, as in lib/__init__.py
    sys.exit(main())
