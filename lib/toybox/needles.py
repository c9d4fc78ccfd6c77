"""Needles: questions that exactly one clip in a long row answers, and the patches that a question is about."""

import random
import re
from collections import Counter
from dataclasses import replace

import numpy as np

from lib.toybox.draw import coverage
from lib.toybox.words import QA, questions
from lib.toybox.world import COLOURS, GRID, PATCH, SHAPES, Clip, Thing, new_clip

NEEDLES = ("colour", "shape", "size", "motion", "where", "code", "flash")  # kinds of question that one clip answers


# ---------------------------------------------------------------------------------------------------------------------
# What a question is about, and long videos that answer it once
# ---------------------------------------------------------------------------------------------------------------------


def names_thing(question: str, thing: Thing) -> bool:
    """Whether the thing is all that the question names: "the circle", "the red thing" or "the red circle".

    >>> red_circle = Thing("circle", "red", "big", "still", "", (0, 0))
    >>> names_thing("What colour is the circle?", red_circle), names_thing("How big is the blue circle?", red_circle)
    (True, False)
    """
    named = set(re.findall(r"\w+", question)) & {*COLOURS, *SHAPES}
    return bool(named) and named <= {thing.colour, thing.shape}


def asked_patches(image: Clip, question: str) -> np.ndarray:
    """(8, 8), sums to 1: the patches that a question is about in a clip of one frame; all of them if it is about none.

    >>> from lib.toybox.world import sample
    >>> from lib.toybox.draw import still
    >>> image = still(sample(12), 0)
    >>> [float(asked_patches(image, f"{ask}?").max().round(3)) for ask in ("What is the code", "Which colour flashes")]
    [0.333, 0.016]
    """
    scene, area = image.scenes[0], np.zeros((GRID, GRID))
    if "code" in question and scene.code:
        x, y = (edge // PATCH for edge in scene.code_at)
        area[y, x : x + len(scene.code)] = 1
    for thing, covered in zip(scene.things, coverage(image), strict=True):
        if names_thing(question, thing) or "things" in question:
            area += covered
    return area / area.sum() if area.any() else np.full_like(area, 1 / area.size)


def cleared(clip: Clip, question: str) -> Clip:
    """The clip without anything that also answers the question. If no thing is left, the clip is empty.

    >>> from lib.toybox.world import sample
    >>> clip = sample(7)
    >>> clip.code, cleared(clip, "What is the code?").code
    ('457', '')
    """
    left = [[thing for thing in scene.things if not names_thing(question, thing)] for scene in clip.scenes]
    bare, flashes = not any(left) or "code" in question, () if "flashes" in question else clip.flashes
    scenes = (
        replace(scene, things=tuple(things), code="" if bare else scene.code)
        for scene, things in zip(clip.scenes, left, strict=True)
    )
    return Clip(tuple(scenes), flashes if any(left) else ())


def needle_questions(clip: Clip) -> list[QA]:
    """The questions of a clip that many clips in a row may answer only once. An empty clip answers none."""
    asked = questions(clip) if clip.things else []
    return [qa for qa in asked if qa.kind in NEEDLES and qa.answer != "none"]


def needles(rng: random.Random, length: int, questions: int) -> tuple[list[Clip], list[QA]]:
    """`length` clips to be shown in a row, and up to `questions` questions that exactly one of them answers."""
    clips = [new_clip(rng) for _ in range(length)]
    for at in rng.choices(range(length), k=questions):
        if needle_questions(clips[at]):  # or it was emptied for another question
            question = rng.choice(needle_questions(clips[at])).question
            clips = [clip if number == at else cleared(clip, question) for number, clip in enumerate(clips)]
    asked = [qa for clip in clips for qa in needle_questions(clip)]
    times = Counter(qa.question for qa in asked)
    unique = [qa for qa in asked if times[qa.question] == 1]
    return clips, rng.sample(unique, min(questions, len(unique)))
