"""Toybox: short videos drawn from a description, so that every caption, question and falsehood has an exact truth.

A *thing* (a shape with a colour and a size) stays still or moves through a *scene*. A scene may carry a small
three-digit *code*. A clip is one or more scenes with *cuts* between them. For exactly one frame the background may
*flash* in a colour. Everything is drawn from one seed. The same seed gives the same bytes on any machine: the code uses
only whole numbers and `random.Random.random`, which Python promises to keep.

Not included: overlapping things, sounds, textures, camera motion.
"""

from lib.toybox.clips import SHIPPED_CLIPS, write_mp4, write_shipped
from lib.toybox.draw import coverage, render, still
from lib.toybox.words import CAPTION_PROMPTS, QA, ask_existence, caption, false_captions, place, questions
from lib.toybox.world import (
    BACKGROUNDS,
    CANVAS,
    COLOURS,
    MOTIONS,
    MOTIONS_KO,
    NUMBERS,
    PATCH,
    SHAPES,
    SIZES,
    SPEEDS,
    Clip,
    Flash,
    Scene,
    Thing,
    join,
    sample,
)
