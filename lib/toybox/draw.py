"""From a clip's description to pixels, and to the patches that each thing covers."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from lib.toybox.world import BACKGROUNDS, CANVAS, COLOURS, PATCH, SIZES, Clip, Flash, Scene

_PALETTE = np.array(BACKGROUNDS + tuple(rgb for rgb, _, _ in COLOURS.values()), dtype=np.uint8)
_COLOUR_INDEX = {name: len(BACKGROUNDS) + i for i, name in enumerate(COLOURS)}
_DIGITS = (  # 5 wide, 7 high, one string of rows per digit, one bit per unit
    "01110 10001 10011 10101 11001 10001 01110", "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00010 00100 01000 11111", "11111 00010 00100 00010 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010", "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110", "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110", "01110 10001 10001 01111 00001 00010 01100",
)  # fmt: skip


@cache
def _mask(shape: str, across: int) -> np.ndarray:
    """The pixels of a shape that is `across` pixels wide, (across, across) bool."""
    y, x = np.mgrid[0:across, 0:across] * 2 - across + 1  # doubled, so that the centre is a whole number
    radius2, diagonal = x * x + y * y, abs(x) + abs(y)
    return {
        "circle": radius2 <= across * across,
        "square": np.ones((across, across), dtype=bool),
        "triangle": abs(x) * 2 <= y + across,
        "diamond": diagonal <= across,
        "cross": (abs(x) * 3 <= across) | (abs(y) * 3 <= across),
        "ring": (radius2 <= across * across) & (radius2 * 4 >= across * across),
    }[shape]


@cache
def _digit(digit: str, scale: int) -> np.ndarray:
    """The pixels of a digit, (7 * scale, 5 * scale) bool."""
    rows = np.array([[bit == "1" for bit in row] for row in _DIGITS[int(digit)].split()])
    return rows.repeat(scale, axis=0).repeat(scale, axis=1)


def render(clip: Clip, size: int = CANVAS, indices: Sequence[int] | None = None) -> np.ndarray:
    """Draws the frames of a clip: (T, size, size, 3) uint8. `size` is a multiple of 64; `indices` picks frames.

    >>> from lib.toybox.world import sample
    >>> render(sample(7)).shape, render(sample(7), size=128, indices=[0, 15]).shape
    ((16, 64, 64, 3), (2, 128, 128, 3))
    """
    return _PALETTE[_paint(clip, size, indices, _COLOUR_INDEX, _COLOUR_INDEX["white"])]


def _paint(clip: Clip, size: int, indices: Sequence[int] | None, ink: dict[str, int], digit_ink: int) -> np.ndarray:
    """Frames as one number per pixel (T, size, size): the background, `ink[colour]` of a thing, or `digit_ink`."""
    if size < CANVAS or size % CANVAS:
        raise ValueError(f"size is {size}, but Toybox draws multiples of {CANVAS}: use {max(round(size / 64), 1) * 64}")
    indices = range(clip.frames) if indices is None else indices
    if len(indices) and not 0 <= min(indices) <= max(indices) < clip.frames:
        raise ValueError(
            f"the clip has frames 0 to {clip.frames - 1}; frames {min(indices)} to {max(indices)} were asked for"
        )
    flashes = {flash.frame: _COLOUR_INDEX[flash.colour] for flash in clip.flashes}
    canvas = np.empty((len(indices), size, size), dtype=np.uint8)
    for frame, index in zip(canvas, indices, strict=True):
        scene, time = clip.scene_at(index)
        frame[:] = flashes.get(index, scene.background)
        _paint_scene(frame, scene, time, size // CANVAS, ink, digit_ink)
    return canvas


def _paint_scene(frame: np.ndarray, scene: Scene, time: int, scale: int, ink: dict[str, int], digit_ink: int) -> None:
    for thing in scene.things:
        mask = _mask(thing.shape, SIZES[thing.size][0] * scale)
        x, y = (c * scale - len(mask) // 2 for c in thing.centre(time, scene.frames))
        frame[y : y + len(mask), x : x + len(mask)][mask] = ink[thing.colour]
    for i, digit in enumerate(scene.code):
        mask = _digit(digit, scale)
        x, y = (scene.code_at[0] + i * PATCH + 1) * scale, scene.code_at[1] * scale
        frame[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = digit_ink


def coverage(image: Clip) -> list[np.ndarray]:
    """How many units of each 8 x 8 patch each thing of a one-frame clip covers: one (8, 8) array per thing.

    >>> from lib.toybox.world import sample
    >>> [int(area.sum()) for area in coverage(still(sample(2), 0))]
    [204, 200, 400]
    """
    side = CANVAS // PATCH
    areas = []
    for thing in image.scenes[0].things:
        canvas = np.zeros((CANVAS, CANVAS), dtype=int)
        _paint_scene(canvas, Scene(1, 0, (thing,)), 0, 1, {thing.colour: 1}, 0)
        areas.append(canvas.reshape(side, PATCH, side, PATCH).sum(axis=(1, 3)))
    return areas


def still(clip: Clip, frame: int) -> Clip:
    """One frame of a clip as a clip of its own: an image with every thing at its place on that frame.

    >>> from lib.toybox.world import sample
    >>> image = still(sample(7), 5)
    >>> image.frames, bool((render(image)[0] == render(sample(7))[5]).all())
    (1, True)
    """
    scene, time = clip.scene_at(frame)
    things = tuple(
        replace(thing, motion="still", speed="", start=thing.centre(time, scene.frames)) for thing in scene.things
    )
    flashes = tuple(Flash(0, flash.colour) for flash in clip.flashes if flash.frame == frame)
    return Clip((replace(scene, frames=1, things=things),), flashes)
