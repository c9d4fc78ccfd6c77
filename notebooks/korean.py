"""The Korean lessons: what the English notebooks have run, in Korean words.

    python -m notebooks.korean [NAME ...]     write NN_slug.ko.ipynb; `make notebooks` does it too

`notebooks/ko/NN_slug.md`, the catalogue, holds one Korean block for each Markdown cell of a lesson:

    <!-- cell 0123456789ab -->
    한국어 본문

The twelve digits are `key` of the English cell. Code, outputs and pictures come from the executed English notebook;
nothing is run again. Exercises and challenges are in Korean in `lib.exercises` already, and the cell "한국어 요약" is
left out. A cell without a block stays English, says so, and is counted. When an English cell changes, its block is
stale: the command and a test name both.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

from lib import exercises
from lib.exercises.challenges import CHALLENGES
from lib.files import write_text
from notebooks import build
from notebooks.address import address
from notebooks.korean_twins import SUMMARY, digest, numbers

CATALOGUES = build.HERE / "ko"
MARK = re.compile(r"<!-- cell ([0-9a-f]{12}) -->")
EXERCISE = re.compile(r"### Exercise (\S+):")
CHALLENGE = re.compile(r"## Something to win:")
HEADING = re.compile(r"^#+(?: \d+\.)?", re.MULTILINE)
NOTEBOOK = re.compile(r"\b(\d\d_\w+|colab_job)\.ipynb")
SET_UP, SET_UP_KOREAN = "colab.set_up()", 'colab.set_up("ko")'
UNTRANSLATED = "*(이 셀은 아직 번역하지 않았습니다.)*"


class Edition(NamedTuple):
    """A lesson in Korean, and what it lacks: each in words, the cell by its number in the English notebook."""

    notebook: NotebookNode
    cells: int  # Markdown cells that should be in Korean
    untranslated: list[str]
    stale: list[str]
    unlike: list[str]  # cells whose Korean lacks a heading or a number of the English: to be looked at


def key(source: str) -> str:
    """What names an English cell in the catalogue: its words, whatever the address and the tag of the course.

    >>> key("See [it](https://github.com/a/b).") == key("See\\n[it](https://github.com/a/b).") != key("See it.")
    True
    """
    return digest(source.replace(f"/blob/{address()[1]}/", "/blob/main/"))


def read_catalogue(path: Path) -> dict[str, str]:
    """The Korean blocks by key, in their order. Raises ValueError, with the line, for anything that is no block."""
    blocks: dict[str, str] = {}
    current, where = None, path.relative_to(build.HERE.parent) if path.is_relative_to(build.HERE.parent) else path.name
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if found := MARK.fullmatch(line):
            current = found[1]
            if current in blocks:
                raise ValueError(f"{where}, line {number}: a second block {current}. Fix: keep one of the two")
            blocks[current] = ""
        elif line.lstrip().startswith("<!--"):
            raise ValueError(f"{where}, line {number}: {line.strip()!r} should be '<!-- cell 0123456789ab -->'")
        elif current is not None:
            blocks[current] += f"{line}\n"
        elif line.strip():
            raise ValueError(f"{where}, line {number}: text before the first block. Fix: put '<!-- cell ... -->' above")
    if empty := [one for one, text in blocks.items() if not text.strip()]:
        raise ValueError(f"{where}: nothing in block {empty[0]}. Fix: write its text, or delete it")
    return {one: text.strip() for one, text in blocks.items()}


def in_korean(english: NotebookNode, name: str, blocks: dict[str, str]) -> Edition:
    """An executed English notebook with its Markdown in Korean; the given one stays as it is."""
    nb, keep, texts, missing, unlike = deepcopy(english), [], 0, {}, []
    for number, cell in enumerate(nb.cells):
        if cell.cell_type == "code":
            if "setup" in cell.metadata.get("tags", []):
                cell.source = cell.source.replace(SET_UP, SET_UP_KOREAN)
        elif cell.source.startswith(f"## {SUMMARY}"):
            continue
        else:
            texts += 1
            korean = of_the_exercises(cell.source, name) or blocks.get(key(cell.source))
            if korean is None:
                missing[number] = cell.source
                korean = f"{cell.source}\n\n{UNTRANSLATED}"
            elif lacking := lacks(korean, cell.source):
                unlike.append(f"{name}, cell {number} ({start(cell.source)}): the Korean has no {', '.join(lacking)}")
            cell.source = NOTEBOOK.sub(r"\1.ko.ipynb", korean)
        keep.append(cell)
    nb.cells = keep
    untranslated = [f"{name}, cell {number} ({start(text)}): {key(text)}" for number, text in missing.items()]
    stale = list(stale_blocks(english, name, blocks, missing))
    return Edition(build.normalise(nb), texts, untranslated, stale, unlike)


def lacks(korean: str, english: str) -> list[str]:
    """The headings' signs and the numbers, from 10 on or with a decimal, that only the English has.

    >>> lacks("## 2. 색: 클립 96개에서 0.9", "## 3. Colour: 0.95 in 96 clips, 2 runs, 1.5 million numbers")
    ['## 3.', '0.95', '1500000']
    """
    marks, plain = HEADING.findall(korean), re.sub("(?<=[0-9])[만억]", "", korean)  # "0.9만" may be "only 0.9"
    said = numbers(korean) + numbers(plain)
    missing = [f"{number:.10g}" for number in numbers(english) if number not in said and (number >= 10 or number % 1)]
    return [mark for mark in HEADING.findall(english) if mark not in marks] + missing


def of_the_exercises(source: str, name: str) -> str | None:
    """The Korean of a cell that shows an exercise or the challenge of this lesson; None for any other cell."""
    if found := EXERCISE.match(source):
        return next(e for e in exercises.lessons()[found[1][:2]].EXERCISES if e.id == found[1]).markdown("ko")
    if CHALLENGE.match(source):
        return next(challenge for challenge in CHALLENGES if challenge.id == name[:2]).markdown("ko")
    return None


def stale_blocks(english: NotebookNode, name: str, blocks: dict, missing: dict[int, str]) -> Iterator[str]:
    """A sentence for each block that belongs to no cell: it names the cell in its place, if that has no block now."""
    places = {key(cell.source): number for number, cell in enumerate(english.cells) if cell.cell_type == "markdown"}
    free, last = dict(missing), -1
    for one, text in blocks.items():
        if one in places:
            last = places[one]
            continue
        number = next((number for number in free if number > last), None)
        if number is None:
            yield f"{name}: block {one} ({start(text)}) belongs to no cell. Fix: delete it"
        else:
            changed = free.pop(number)
            yield (
                f"{name}, cell {number} ({start(changed)}) changed since its Korean block {one} ({start(text)}) was "
                f"written. Fix: translate what changed, and write {key(changed)} in place of {one}"
            )


def start(text: str) -> str:
    """The first words of a cell, on one line.

    >>> start("## 1. What does a model get\\nwhen it watches?")
    '"## 1. What does a model ..."'
    """
    words = text.split()
    return f'"{" ".join(words[:6])}{" ..." if len(words) > 6 else ""}"'


def edition(name: str) -> Edition:
    """The Korean edition of a committed notebook. Raises ValueError as `read_catalogue` does."""
    path = CATALOGUES / f"{name}.md"
    blocks = read_catalogue(path) if path.exists() else {}  # a new lesson has none: all its cells are counted
    return in_korean(nbformat.read(build.HERE / f"{name}.ipynb", as_version=4), name, blocks)


def main(arguments: list[str] | None = None) -> int:
    """Write the Korean notebooks and say what each lacks; 0, 1 if a block is stale or wrong, 2 for a wrong name."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.korean", description="Write the Korean notebooks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="lessons, for example 01_frames (default: all)")
    try:
        names = [source.stem for source in build.notebooks(parser.parse_args(arguments).names)]
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{'lesson':<24}{'Korean':>7}{'cells':>6}{'stale':>6}")
    lines, wrong = [], False
    for name in names:
        try:
            made = edition(name)
        except (ValueError, OSError) as error:
            print(f"{name:<24}  not written")
            lines, wrong = [*lines, f"error: {error}"], True
            continue
        write_text(build.HERE / f"{name}.ko.ipynb", f"{nbformat.writes(made.notebook)}\n")
        print(f"{name:<24}{made.cells - len(made.untranslated):>7}{made.cells:>6}{len(made.stale):>6}")
        lines += [f"not translated: {cell}" for cell in made.untranslated]
        lines += [f"to be looked at: {line}" for line in made.unlike] + [f"stale: {line}" for line in made.stale]
        wrong = wrong or bool(made.stale)
    print(*lines, sep="\n")
    return int(wrong)


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # for any terminal, as in lib/__init__.py
    sys.exit(main())
