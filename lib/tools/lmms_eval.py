"""Captioned videos as files for lmms-eval, whose task files are in data/lmms_eval.

python -m lib.tools.lmms_eval toybox_ko --clips 200
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from lib import toybox
from lib.data.aihub import read_aihub
from lib.data.videos import Video, split, toybox_videos
from lib.files import write_text


def write_task(folder: str | Path, videos: Sequence[Video], language: str = "ko") -> Path:
    """Writes test.jsonl, a line per video: clip, video (its full path), question, reference. Drawn clips become mp4s.

    Returns the path of test.jsonl. Raises ValueError for no videos, and for one without a caption in that language.
    """
    if not videos:
        raise ValueError("no clip to score. Fix: --clips 1 or more, or a folder with clips for validation or test")
    if without := [video.name for video in videos if language not in video.captions]:
        raise ValueError(f"{without[0]} has no caption in {language!r}: leave it out, or choose another language")
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for video in videos:
        path = video.path or toybox.write_mp4(folder / f"{video.name}.mp4", toybox.render(video.clip))
        question, reference = toybox.CAPTION_PROMPTS[language], video.captions[language]
        lines.append({"clip": video.name, "video": str(path.resolve()), "question": question, "reference": reference})
    write_text(folder / "test.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return folder / "test.jsonl"


def aihub_to_score(folder: str) -> list[Video]:
    """The clips that `split` keeps from training (`Split.held_out`). Prints what was found and how it was split."""
    found = read_aihub(folder)
    parts = split(found.videos)
    print(f"{found}\n{parts}")
    return parts.held_out


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="where test.jsonl goes, and the clips that are drawn")
    parser.add_argument("--clips", type=int, default=200, help="how many Toybox clips (seeds 0, 1, 2 ...)")
    parser.add_argument("--aihub", help="a folder of AI-Hub's data, in place of Toybox; training clips are left out")
    options = parser.parse_args(arguments)
    try:
        videos = aihub_to_score(options.aihub) if options.aihub else toybox_videos(range(options.clips))
        print(write_task(options.folder, videos))
    except (ValueError, OSError) as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
