"""Toybox clips as files: `python -m lib.toybox.clips` writes data/clips again."""

import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from lib.files import write_text, written_whole
from lib.toybox.draw import render
from lib.toybox.words import caption, questions
from lib.toybox.world import join, sample


def write_mp4(path: str | Path, video: np.ndarray, fps: int = 8, scale: int = 4) -> Path:
    """Writes frames (T, H, W, 3) uint8 as H.264, each pixel as `scale` x `scale`, so that small digits survive.

    An interrupted write does not damage an older file: the new one gets a temporary name and is then renamed.
    """
    path = Path(path)
    with written_whole(path) as beside, av.open(str(beside), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "12", "preset": "medium"})
        stream.height, stream.width = (side * scale for side in video.shape[1:3])
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # the same bytes on machines with more cores
        for pixels in video.repeat(scale, axis=1).repeat(scale, axis=2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


SHIPPED_CLIPS = {  # the clips in data/clips, by name: a seed each; "long" is several clips in a row
    "hello": [12], "flashes": [17], "cut": [4], "still": [104], "crowd": [13], "long": [26, 7, 57, 23, 0],
}  # fmt: skip


def write_shipped(folder: str | Path) -> None:
    """Writes every shipped clip as NAME.mp4, with what was drawn, its captions and its questions in NAME.json."""
    for name, seeds in SHIPPED_CLIPS.items():
        clip = join([sample(seed) for seed in seeds])
        path = write_mp4(Path(folder) / f"{name}.mp4", render(clip))
        truth = {
            "seeds": seeds,
            "caption": caption(clip),
            "caption_ko": caption(clip, "ko"),
            "drawn": clip.truth,
        }
        if len(seeds) == 1:  # a long video has many circles: which one is meant?
            truth["questions"] = [qa._asdict() for qa in questions(clip)]
        write_text(path.with_suffix(".json"), json.dumps(truth, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    write_shipped(sys.argv[1] if len(sys.argv) > 1 else "data/clips")
