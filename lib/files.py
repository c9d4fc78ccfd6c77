"""Atomic writes of files (a temporary file, then a rename), and the settings that a folder was begun with."""

import glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # of the course
DATA = ROOT / "data"


@contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path. On success it atomically replaces `path`; on an error it is deleted.

    The temporary path holds the process id, so several processes may write the same file: the last one wins. A killed
    process leaves its temporary file; the next write of the same file deletes it.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        os.replace(beside, path)
        delete_dead_pieces(path)
    finally:
        beside.unlink(missing_ok=True)


def delete_dead_pieces(path: Path) -> None:
    """Deletes the temporary files that killed processes of this machine left. Those of running processes stay."""
    import psutil  # lib.colab imports this file before packages are installed

    for piece in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        pid = piece.name.removeprefix(f".{path.name}.").removesuffix(".part")
        if re.fullmatch(r"[0-9]{1,9}", pid) and not psutil.pid_exists(int(pid)):
            shutil.rmtree(piece) if piece.is_dir() else piece.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text atomically, in UTF-8, and makes its folder if needed."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def differences(before: dict, now: dict, most: int = 5) -> str:
    """Which settings of a folder have changed, with the old and the new value; "" if none has.

    >>> differences({"frames": 8, "seed": 0}, {"frames": 16, "seed": 0})
    'frames: 8 before, 16 now'
    """
    changed = [key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key)]
    told = "; ".join(f"{key}: {before.get(key)} before, {now.get(key)} now" for key in changed[:most])
    return told + (f"; and {len(changed) - most} more" if len(changed) > most else "")
