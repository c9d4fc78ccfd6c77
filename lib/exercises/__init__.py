"""The exercises of the lessons: a check, hints and a solution for each, in English and Korean, and what is solved.

    ex = exercises.get("04.pool")   # an exercise of lesson 04
    ex.check(my_pool)               # one sentence; counted in progress.json
    ex.hint(1); ex.hint(2); ex.solution()
    pool = ex.or_lib(my_pool)       # yours if the check found it right, else lib's: so the lesson goes on
    exercises.language("ko")        # or "en"; remembered. Then `get` prints the statement in Korean, too; in a
                                    # Korean notebook (notebooks/korean.py) all is Korean without it
    exercises.challenge("04")       # the lesson's open task (challenges.py)

One file for each lesson, lesson_NN.py, with TITLE and EXERCISES, in the order of the notebook. To add an exercise:
write it there, put `exercises.get("NN.name").markdown("en")` into a Markdown cell of the notebook and a stub into the
code cell after it, and give tests/answers/lesson_NN.py right and wrong answers to it. Tests fail until all that agrees.
"""

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from matplotlib.figure import Figure

from lib import plots
from lib.exercises.base import Exercise
from lib.exercises.predictions import calibration, predict
from lib.exercises.progress import Text, current_language, language, peek, read_progress, say
from lib.text import notebook_language

__all__ = [
    "Exercise", "board", "calibration", "challenge", "get", "language", "leaders", "lessons", "picture", "predict",
    "report", "team",
]  # fmt: skip

SOLVED = Text("{done} of {all} exercises solved", "전체 {all}문제 중 {done}문제 해결")
NEXT = Text("next: {id}, {title} ({minutes} minutes)", "다음 문제: {id}, {title} ({minutes}분)")
SKIPPED = Text(
    "{name} is no progress file of this version: left out.", "{name}은(는) 이 버전의 진도 파일이 아니므로 제외했습니다."
)
NO_FILES = Text(
    "no progress file in {folder}: collect progress.json of each member there, as NAME.json",
    "{folder}에 진도 파일이 없습니다. 팀원의 progress.json을 이름.json으로 모아 두세요.",
)
MARKS = {"right": "■", "tried": "◪", "new": "□"}


@lru_cache(maxsize=1)
def lessons() -> dict[str, ModuleType]:
    """The lessons that have exercises, by number, in order.

    >>> lessons()["04"].TITLE.en
    'LLaVA-NeXT-Video'
    """
    names = sorted(path.stem for path in Path(__file__).parent.glob("lesson_[0-9][0-9].py"))
    return {name[-2:]: import_module(f"lib.exercises.{name}") for name in names}


def get(identity: str) -> Exercise:
    """The exercise with this id; its statement is printed where the notebook shows it in another language.

    Raises ValueError, listing the lesson's exercises, where there is none of this id.

    >>> get("04.pool").card.minutes
    10
    """
    found = {exercise.id: exercise for lesson in lessons().values() for exercise in lesson.EXERCISES}
    if identity not in found:
        near = [known for known in found if known[:2] == identity[:2]] or list(lessons())
        raise ValueError(f"no exercise {identity!r}: choose one of {', '.join(near)}")
    if current_language() != notebook_language():
        found[identity].statement()
    return found[identity]


def challenge(identity: str):
    """The challenge of a lesson, or "capstone". Raises ValueError where there is none.

    >>> challenge("capstone").goal > challenge("capstone").owns
    True
    """
    from lib.exercises.challenges import CHALLENGES  # they load models, which an exercise need not wait for

    found = {one.id: one for one in CHALLENGES}
    if identity not in found:
        raise ValueError(f"no challenge {identity!r}: choose one of {', '.join(found)}")
    return found[identity]


# One row of the board: a lesson's number and title, and "right", "tried" or "new" for each of its exercises.
Row = tuple[str, list[str]]


def board(data: dict) -> list[Row]:
    """What a progress file says of every exercise.

    >>> board({"exercises": {"04.pool": {"tries": 2, "solved": None}}})[4]
    ('04 LLaVA-NeXT-Video', ['tried', 'new', 'new', 'new', 'new'])
    """
    rows = []
    for number, lesson in lessons().items():
        entries = [data["exercises"].get(exercise.id) for exercise in lesson.EXERCISES]
        states = ["new" if entry is None else "right" if entry["solved"] else "tried" for entry in entries]
        rows.append((f"{number} {say(lesson.TITLE)}", states))
    return rows


def total(rows: list[Row]) -> tuple[int, int]:
    """Exercises solved, and exercises."""
    states = [state for _, row in rows for state in row]
    return states.count("right"), len(states)


def picture() -> Figure:
    """Lessons and exercises as squares: solved, tried, not yet tried."""
    rows = board(peek())
    done, every = total(rows)
    plots.style()
    return plots.progress_board(rows, say(SOLVED.fill(done=done, all=every)))


def report(data: dict) -> str:
    """The same in text, and the first exercise that is not solved."""
    rows = board(data)
    done, every = total(rows)
    lines = [f"{title:<28} {' '.join(MARKS[state] for state in states)}" for title, states in rows]
    lines.append(say(SOLVED.fill(done=done, all=every)))
    open_ones = (e for lesson in lessons().values() for e in lesson.EXERCISES)
    following = next((e for e in open_ones if not data["exercises"].get(e.id, {}).get("solved")), None)
    if following:
        lines.append(say(NEXT.fill(id=following.id, title=say(following.title), minutes=following.card.minutes)))
    return "\n".join(lines)


def team(folder: Path) -> dict[str, dict]:
    """All progress files in a folder, by name of file (NAME.json or NAME/progress.json).

    Says which files it leaves out, and changes none. Raises ValueError where no file is one.
    """
    boards = {}
    for file in sorted(folder.rglob("*.json")):
        name = str(file.relative_to(folder).with_suffix("")).removesuffix("/progress")
        data = read_progress(file)
        if data is None:
            print(say(SKIPPED.fill(name=file.name)))
        else:
            boards[name] = data
    if not boards:
        raise ValueError(say(NO_FILES.fill(folder=folder)))
    return boards


def leaders(files: dict[str, dict]) -> list[tuple[str, int, float | None]]:
    """Of a team's progress files: name, challenges won and the capstone's best score, the best captioner first.

    >>> leaders({"Kim": {}, "Lee": {"challenges": {"capstone": {"best": 0.94, "won": "2026-11-29"}}}})
    [('Lee', 1, 0.94), ('Kim', 0, None)]
    """
    rows = []
    for name, data in files.items():
        tried = data.get("challenges", {})
        won = sum(entry["won"] is not None for entry in tried.values())
        rows.append((name, won, tried.get("capstone", {}).get("best")))
    return sorted(rows, key=lambda row: (-(row[2] or 0), -row[1], row[0]))
