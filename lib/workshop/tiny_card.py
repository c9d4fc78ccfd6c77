"""The model card of tiny: its scores on unseen clips, with intervals (`python -m lib.workshop.tiny_card`)."""

import argparse

from lib import toybox
from lib.evaluate.exact import exact_match
from lib.evaluate.intervals import score
from lib.files import write_text
from lib.reducers import SpatialPool
from lib.vlm.loading import TINY, digest, load

TINY_CARD = """# The tiny model

A LLaVA-NeXT-Video of {parameters:,} parameters (`LlavaNextVideoForConditionalGeneration`), trained from nothing by
`make tiny` on Toybox, the course's world of moving shapes. It knows nothing else. It speaks English; its tokenizer
covers any text. Licence: Apache-2.0, as the course.

Share of exactly right answers on {clips:,} clips that it never saw (seeds 0 to {last}), with Wilson 95 % intervals, at
full tokens: {tokens:,} ({frames} frames of {grid} x {grid}, no pooling).

{table}

Recipe: `lib/workshop/tiny.py`. Weights: `model.safetensors`, sha256 `{digest}`.
"""


def tiny_card(vlm, clips: int) -> str:
    """The text of the model card, with scores measured on `clips` clips."""
    frames, full = 16, SpatialPool(stride=1)
    right = exact_match(vlm, [toybox.sample(seed) for seed in range(clips)], full, frames)
    grid = vlm.model.config.vision_config.image_size // vlm.model.config.vision_config.patch_size
    rows = ["| question | share right | 95 % interval | asked |", "|---|---|---|---|"]
    for kind, answers in sorted(right.items()):
        share = score(answers)
        rows.append(f"| {kind} | {share.mean:.3f} | {share.low:.3f} to {share.high:.3f} | {share.asked} |")
    return TINY_CARD.format(
        parameters=vlm.model.num_parameters(),
        clips=clips,
        last=clips - 1,
        tokens=full.count(frames, grid, grid),
        frames=frames,
        grid=grid,
        table="\n".join(rows),
        digest=digest(),
    )


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m lib.workshop.tiny_card",
        description="Score the tiny model on unseen clips and write its model card.",
    ).parse_args()
    write_text(TINY / "README.md", tiny_card(load("tiny"), clips=1000))
    print((TINY / "README.md").read_text(encoding="utf-8"))
