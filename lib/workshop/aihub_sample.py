"""The folder data/aihub_sample: Toybox clips laid out like AI-Hub's data, which may not be passed on.

python -m lib.workshop.aihub_sample
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lib import toybox
from lib.files import write_text

SAMPLE_SEEDS = range(300, 306)  # tiny was never trained on these clips


def write_aihub(folder: str | os.PathLike, seeds: Sequence[int] = SAMPLE_SEEDS) -> None:
    """Writes Toybox clips as AI-Hub lays out its own, the last third for validation; the same bytes each time.

    The key `annotation.description_kr` is known from code that reads the real files, `filename` from a user's
    description of them. Nothing else is imitated.
    """
    for number, seed in enumerate(seeds):
        part = "Training" if number < len(seeds) - len(seeds) // 3 else "Validation"
        clips = Path(folder, part, "01.원천데이터", f"{part[0]}S_toybox")
        labels = Path(folder, part, "02.라벨링데이터", f"{part[0]}L_toybox")
        clips.mkdir(parents=True, exist_ok=True)
        clip = toybox.sample(seed)
        path = toybox.write_mp4(clips / f"toybox_{seed:06}.mp4", toybox.render(clip))
        label = {"filename": path.name, "annotation": {"description_kr": toybox.caption(clip, "ko")}}
        write_text(labels / f"{path.stem}.json", json.dumps(label, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    try:
        write_aihub(sys.argv[1] if len(sys.argv) > 1 else "data/aihub_sample")
    except OSError as error:
        print(f"error: {error}. Fix: name a folder that you may write to", file=sys.stderr)
        sys.exit(2)
