"""Captioned videos as files for lmms-eval, whose task files are in data/lmms_eval.

python -m lib.tools.lmms_eval toybox_ko --clips 200
python -m lib.tools.lmms_eval aihub_ko --job jobs/7b-t4.yaml
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from lib import toybox
from lib.data.videos import Video, toybox_videos
from lib.files import write_text
from lib.job.settings import read_job
from lib.job.training import clips_of, prompts_of


def write_task(folder: str | Path, videos: Sequence[Video], language: str = "ko", prompt: str | None = None) -> Path:
    """Writes test.jsonl, a line per video: clip, video (its full path), question, reference. Drawn clips become mp4s.

    prompt: the question; by default the course's request for a caption.

    Returns the path of test.jsonl. Raises ValueError for no videos, and for one without a caption in that language.
    """
    if not videos:
        raise ValueError("no clip to score. Fix: --clips 1 or more, or a job with clips for validation or test")
    if without := [video.name for video in videos if language not in video.captions]:
        raise ValueError(f"{without[0]} has no caption in {language!r}: leave it out, or choose another language")
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for video in videos:
        path = video.path or toybox.write_mp4(folder / f"{video.name}.mp4", toybox.render(video.clip))
        question, reference = prompt or toybox.CAPTION_PROMPTS[language], video.captions[language]
        lines.append({"clip": video.name, "video": str(path.resolve()), "question": question, "reference": reference})
    write_text(folder / "test.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return folder / "test.jsonl"


def write_job_task(folder: str | Path, settings: str) -> Path:
    """The same for a job's test clips, with the prompt that `caption` uses."""
    job = read_job(settings)
    source, parts = clips_of(job)
    return write_task(folder, parts.held_out, job.language, prompts_of(job, source)[0])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="folder for test.jsonl and for drawn clips")
    parser.add_argument("--clips", type=int, default=200, help="how many Toybox clips (seeds 0, 1, 2 ...)")
    parser.add_argument("--job", help="a file of settings: its test clips, in place of Toybox")
    options = parser.parse_args(arguments)
    try:
        if options.job:
            print(write_job_task(options.folder, options.job))
        else:
            print(write_task(options.folder, toybox_videos(range(options.clips))))
    except (ValueError, OSError) as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
