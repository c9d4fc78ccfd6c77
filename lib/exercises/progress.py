"""What a learner has solved: one small JSON file in the repository's root, which git ignores. No account, no server.

{"version": 1, "language": "en", "exercises": {"04.pool": {"tries": 3, "solved": "2026-11-21"}},
 "challenges": {"05": {"best": 0.981, "won": "2026-11-22"}}}

The environment variable F2T_PROGRESS names another file; "off" neither reads nor writes one (that is how lessons are
built and tested). A file that cannot be understood is renamed and kept, a new one begun, and that is said.
"""

import json
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

from lib.files import written_whole
from lib.text import LANGUAGES, Text, spoken, switched

VERSION = 1
PROGRESS_FILE = Path(__file__).resolve().parent.parent.parent / "progress.json"

SWITCHED = Text("Hints and verdicts come in English now.", "이제 힌트와 채점 결과가 한국어로 나옵니다.")
UNREADABLE = Text(
    "{name} could not be understood (damaged, or of another version). It is kept as {kept}; a new one is begun.",
    "{name} 파일을 읽을 수 없습니다(손상되었거나 버전이 다릅니다). {kept}(으)로 보관하고 새 파일을 시작합니다.",
)
UNSAVED = Text("Your progress could not be saved: {error}", "진도를 저장하지 못했습니다: {error}")


def path() -> Path | None:
    """The progress file, or None where F2T_PROGRESS is "off"."""
    named = os.environ.get("F2T_PROGRESS", "")
    return None if named == "off" else Path(named) if named else PROGRESS_FILE


def fresh() -> dict:
    """What a new progress file holds."""
    return {"version": VERSION, "language": None, "exercises": {}}


def understood(data) -> bool:
    """Whether this is the content of a progress file of this version.

    >>> understood(fresh()), understood({"version": 0}), understood([1])
    (True, False, False)
    """
    if not isinstance(data, dict) or data.get("version") != VERSION or data.get("language") not in (None, *LANGUAGES):
        return False
    entries = data.get("exercises")
    return all_entries(entries, "tries", int, "solved") and all_entries(
        data.get("challenges", {}), "best", float | int, "won"
    )


def all_entries(entries, number: str, kind, day: str) -> bool:
    """Whether these are entries by name: each with a number under the one key, and a day or None under the other."""
    return isinstance(entries, dict) and all(
        isinstance(entry, dict) and isinstance(entry.get(number), kind) and isinstance(entry.get(day), str | None)
        for entry in entries.values()
    )


def read_progress(file: Path) -> dict | None:
    """The content of a progress file; None if it cannot be understood. Raises FileNotFoundError."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):  # no JSON, or no text at all
        return None
    return data if understood(data) else None


def keep_aside(file: Path) -> Path:
    """Rename a file to the first free name beside it, and return that."""
    number = 1
    while (kept := file.with_name(f"{file.stem}.kept-{number}.json")).exists():
        number += 1
    os.replace(file, kept)
    return kept


def load_progress() -> dict:
    """The learner's progress; a new one where there is none, or none that can be understood (and then says so).

    Raises OSError where the file cannot be read, or not be renamed.
    """
    file = path()
    if file is None or not file.exists():
        return fresh()
    data = read_progress(file)
    if data is None:
        kept, data = keep_aside(file), fresh()
        print(say(UNREADABLE.fill(name=file.name, kept=kept.name), data))
    return data


def peek() -> dict:
    """The same, and a new one where it cannot be read."""
    try:
        return load_progress()
    except OSError:
        return fresh()


def change(edit: Callable[[dict], None]) -> None:
    """Read the progress, edit it, write it beside and rename. Where that fails, one sentence instead."""
    try:
        data = load_progress()
        edit(data)
        if file := path():
            with written_whole(file) as beside:
                beside.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        print(say(UNSAVED.fill(error=error), fresh()))


def record(exercise: str, right: bool) -> None:
    """Count one more try of an exercise, and the day on which it was first solved."""

    def edit(data: dict) -> None:
        entry = data["exercises"].setdefault(exercise, {"tries": 0, "solved": None})
        entry["tries"] += entry["solved"] is None
        if right and entry["solved"] is None:
            entry["solved"] = date.today().isoformat()

    change(edit)


def record_score(challenge: str, score: float, won: bool) -> None:
    """Keep the best score of a challenge, and the day on which it was first won."""

    def edit(data: dict) -> None:
        entry = data.setdefault("challenges", {}).setdefault(challenge, {"best": score, "won": None})
        entry["best"] = max(entry["best"], round(score, 4))
        if won and entry["won"] is None:
            entry["won"] = date.today().isoformat()

    change(edit)


def current_language(data: dict | None = None) -> str:
    """That of F2T_LANGUAGE, which `language` sets; else what the progress file remembers; else the locale's."""
    return switched() or (peek() if data is None else data)["language"] or spoken()


def say(text: Text, data: dict | None = None) -> str:
    """A sentence in the learner's language."""
    return getattr(text, current_language(data))


def language(name: str) -> None:
    """Switch hints, verdicts and solutions to "en" or "ko"; the progress file remembers it. Else raises ValueError."""
    if name not in LANGUAGES:
        raise ValueError(f"unknown language {name!r}: choose one of {', '.join(LANGUAGES)}")
    os.environ["F2T_LANGUAGE"] = name  # the switch of lib.text
    change(lambda data: data.update(language=name))
    print(say(SWITCHED))
