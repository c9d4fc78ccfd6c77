"""Toybox: short videos drawn from a description, so that every caption, question and falsehood has an exact truth.

A *thing* (a shape with a colour and a size) stays still or moves through a *scene*; a scene may carry a small
three-digit *code*; a clip is one or more scenes with *cuts* between them; for exactly one frame the background may
*flash* in a colour. Everything is drawn from one seed: the same seed gives the same bytes, on any machine, because only
whole numbers and `random.Random.random` (which Python promises to keep) are used.

What it does not do: overlapping things, sounds, textures, camera motion.
"""

import json
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from lib.files import write_text, written_whole

CANVAS = 64  # the world is 64 x 64 units; one unit is one pixel at size=64
PATCH = 8  # codes sit on an 8-unit grid, the patch size of the tiny model
GRAIN = 4  # paths start and end on a 4-unit grid
COLOURS = {  # name: (red, green, blue), Korean adjective, Korean noun
    "red": ((225, 40, 40), "빨간", "빨간색"),
    "orange": ((250, 140, 20), "주황색", "주황색"),
    "yellow": ((250, 230, 50), "노란", "노란색"),
    "green": ((40, 180, 70), "초록색", "초록색"),
    "cyan": ((60, 220, 220), "청록색", "청록색"),
    "blue": ((50, 80, 230), "파란", "파란색"),
    "purple": ((170, 60, 210), "보라색", "보라색"),
    "white": ((240, 240, 240), "흰", "흰색"),
}
SHAPES = {
    "circle": "원",
    "square": "사각형",
    "triangle": "삼각형",
    "diamond": "마름모",
    "cross": "십자가",
    "ring": "고리",
}
SIZES = {"small": (12, "작은"), "big": (20, "큰")}  # name: (units across, Korean)
MOTIONS = {"still": (0, 0), "left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
MOTIONS_KO = {"left": "왼쪽", "right": "오른쪽", "up": "위쪽", "down": "아래쪽"}
SPEEDS = {"slow": (12, "천천히"), "fast": (32, "빠르게")}  # name: (units travelled in a scene, Korean)
NUMBERS = {1: ("one", "한 개"), 2: ("two", "두 개"), 3: ("three", "세 개"), 4: ("four", "네 개")}
PLACES = {"top": "위", "middle": "가운데", "bottom": "아래", "left": "왼쪽", "right": "오른쪽"}
BACKGROUNDS = ((8, 8, 12), (30, 30, 34), (52, 50, 48), (14, 22, 40), (16, 34, 24), (42, 20, 26))
CAPTION_PROMPTS = {"en": "Describe the video.", "ko": "영상을 설명하십시오."}
_PALETTE = np.array(BACKGROUNDS + tuple(rgb for rgb, _, _ in COLOURS.values()), dtype=np.uint8)
_COLOUR_INDEX = {name: len(BACKGROUNDS) + i for i, name in enumerate(COLOURS)}
_DIGITS = (  # 5 wide, 7 high, one string of rows per digit, one bit per unit
    "01110 10001 10011 10101 11001 10001 01110", "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00010 00100 01000 11111", "11111 00010 00100 00010 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010", "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110", "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110", "01110 10001 10001 01111 00001 00010 01100",
)  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """One object: what it is and how it moves. `start`: its centre (x, y) in units on the first frame of its scene."""

    shape: str
    colour: str
    size: str
    motion: str
    speed: str  # "" when still
    start: tuple[int, int]

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"

    def centre(self, frame: int, frames: int) -> tuple[int, int]:
        """Where the centre (x, y) is on `frame` of a scene of `frames` frames.

        >>> Thing("circle", "red", "big", "right", "slow", (10, 20)).centre(15, 16)
        (22, 20)
        """
        travelled = SPEEDS[self.speed][0] * frame // max(frames - 1, 1) if self.speed else 0
        dx, dy = MOTIONS[self.motion]
        return self.start[0] + dx * travelled, self.start[1] + dy * travelled


@dataclass(frozen=True)
class Scene:
    """What is seen between two cuts. `code` is "" or three digits; its top left corner is `code_at` (x, y) in units."""

    frames: int
    background: int
    things: tuple[Thing, ...]
    code: str = ""
    code_at: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Flash:
    """The background takes this colour on this one frame of the clip."""

    frame: int
    colour: str


@dataclass(frozen=True)
class Clip:
    """A whole clip: scenes in order, and flashes in order of time."""

    scenes: tuple[Scene, ...]
    flashes: tuple[Flash, ...] = ()

    @cached_property
    def frames(self) -> int:
        return sum(scene.frames for scene in self.scenes)

    @property
    def things(self) -> tuple[Thing, ...]:
        return tuple(thing for scene in self.scenes for thing in scene.things)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first frame of each scene; all but the first are cuts."""
        return tuple(sum(scene.frames for scene in self.scenes[:i]) for i in range(len(self.scenes)))

    @property
    def cuts(self) -> tuple[int, ...]:
        return self.starts[1:]

    def scene_at(self, frame: int) -> tuple[Scene, int]:
        """The scene that a frame belongs to, and which of its frames it is."""
        at = sum(start <= frame for start in self.starts) - 1
        return self.scenes[at], frame - self.starts[at]

    @property
    def code(self) -> str:
        return next((scene.code for scene in self.scenes if scene.code), "")

    @property
    def truth(self) -> dict:
        """Everything that was drawn, as plain data for a JSON file."""
        return asdict(self)


# ---------------------------------------------------------------------------------------------------------------------
# Drawing from a seed
# ---------------------------------------------------------------------------------------------------------------------


def _pick(rng: random.Random, options: Sequence):
    return options[int(rng.random() * len(options))]


def _pick_several(rng: random.Random, options: Iterable, n: int) -> list:
    left = list(options)
    return [left.pop(int(rng.random() * len(left))) for _ in range(n)]


def _between(rng: random.Random, low: int, high: int) -> int:
    return low + int(rng.random() * (high - low + 1))  # both ends included


def sample(seed: int, frames: int = 16) -> Clip:
    """A random clip of `frames` frames (4 or more): one or two scenes, one to four things, a code, up to two flashes.

    All things of a clip differ in colour and in shape, so "the circle" and "the red thing" are never ambiguous.

    >>> sample(7) == sample(7), sample(7).frames, len(sample(7).things) in (1, 2, 3, 4)
    (True, 16, True)
    """
    if frames < 4:
        raise ValueError(f"a Toybox clip needs at least 4 frames, not {frames}: ask for more frames")
    rng = random.Random(f"toybox {seed}")
    lengths = [frames]
    if rng.random() < 0.3:
        cut = _between(rng, frames // 3, frames - frames // 3)
        lengths = [cut, frames - cut]
    wanted = _between(rng, len(lengths), 4)
    shapes, colours = _pick_several(rng, SHAPES, wanted), _pick_several(rng, COLOURS, wanted)
    names = list(zip(shapes, colours, strict=True))
    backgrounds = _pick_several(rng, range(len(BACKGROUNDS)), len(lengths))
    shares = [names] if len(lengths) == 1 else [names[: wanted // 2], names[wanted // 2 :]]
    with_code = _pick(rng, range(len(lengths)))
    scenes = tuple(
        _sample_scene(rng, length, background, share, i == with_code)
        for i, (length, background, share) in enumerate(zip(lengths, backgrounds, shares, strict=True))
    )
    return Clip(scenes, _sample_flashes(rng, frames))


def _sample_flashes(rng: random.Random, frames: int) -> tuple[Flash, ...]:
    n = _pick(rng, (0, 1, 1, 1, 2, 2, 2))
    at = sorted(_pick_several(rng, range(frames), n))
    return tuple(Flash(frame, colour) for frame, colour in zip(at, _pick_several(rng, COLOURS, n), strict=True))


def _sample_scene(rng: random.Random, frames: int, background: int, names: list, with_code: bool) -> Scene:
    """A code, and things whose paths touch nothing else."""
    code, code_at, taken = "", (0, 0), []
    if with_code:
        code = "".join(str(_between(rng, 0, 9)) for _ in range(3))
        code_at = (PATCH * _between(rng, 0, CANVAS // PATCH - 3), PATCH * _between(rng, 0, CANVAS // PATCH - 1))
        taken.append((code_at[0], code_at[1], code_at[0] + 3 * PATCH, code_at[1] + PATCH))
    things = None
    while things is None:  # now and then the first things leave no room for the last
        things = _place_all(rng, names, taken)
    order = list(COLOURS)
    return Scene(frames, background, tuple(sorted(things, key=lambda t: order.index(t.colour))), code, code_at)


def _place_all(rng: random.Random, names: list, taken: list) -> list[Thing] | None:
    things, taken = [], list(taken)
    for shape, colour in names:
        placed = _place(rng, shape, colour, taken)
        if placed is None:
            return None
        things.append(placed[0])
        taken.append(placed[1])
    return things


def _place(rng: random.Random, shape: str, colour: str, taken: list) -> tuple[Thing, tuple[int, int, int, int]] | None:
    """A thing and the box that it sweeps. Crowded out, it slows down, then stands still, then shrinks."""
    size, motion, speed = _pick(rng, tuple(SIZES)), _pick(rng, tuple(MOTIONS)), _pick(rng, tuple(SPEEDS))
    for attempt in range(100):
        if attempt == 20:
            speed = "slow"
        if attempt == 40:
            motion = "still"
        if attempt == 60:
            size = "small"
        thing = Thing(shape, colour, size, motion, "" if motion == "still" else speed, (0, 0))
        width, height, dx, dy = _swept(thing)
        x, y = (GRAIN * _between(rng, 0, (CANVAS - side) // GRAIN) for side in (width, height))
        if all(x >= b[2] or y >= b[3] or x + width <= b[0] or y + height <= b[1] for b in taken):
            half = SIZES[size][0] // 2
            return replace(thing, start=(x + half + max(-dx, 0), y + half + max(-dy, 0))), (x, y, x + width, y + height)
    return None


def _swept(thing: Thing) -> tuple[int, int, int, int]:
    """Width and height of the box that a thing sweeps, and how far it goes in x and y."""
    across, travelled = SIZES[thing.size][0], SPEEDS[thing.speed][0] if thing.speed else 0
    dx, dy = (d * travelled for d in MOTIONS[thing.motion])
    return across + abs(dx), across + abs(dy), dx, dy


def join(clips: Sequence[Clip]) -> Clip:
    """One long clip: all scenes one after the other, flashes moved along. A long video with a needle to find.

    >>> join([sample(1), sample(2)]).frames
    32
    """
    flashes, start = [], 0
    for clip in clips:
        flashes += [Flash(start + flash.frame, flash.colour) for flash in clip.flashes]
        start += clip.frames
    return Clip(tuple(scene for clip in clips for scene in clip.scenes), tuple(flashes))


# ---------------------------------------------------------------------------------------------------------------------
# Rendering
# ---------------------------------------------------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------------------------------------------------
# Words: questions, captions, falsehoods
# ---------------------------------------------------------------------------------------------------------------------


class QA(NamedTuple):
    """A question with its true answer, in English and in Korean."""

    kind: str
    question: str
    answer: str
    question_ko: str
    answer_ko: str


class Falsehood(NamedTuple):
    """A caption that is wrong in exactly one fact, and which fact that is."""

    kind: str
    caption: str


def _josa(word: str, after_consonant: str, after_vowel: str) -> str:
    """Korean particles depend on the last sound of the word: 원은, 고리는.

    >>> _josa("원", "은", "는"), _josa("고리", "은", "는")
    ('원은', '고리는')
    """
    closed = (ord(word[-1]) - ord("가")) % 28 != 0
    return word + (after_consonant if closed else after_vowel)


def _ko(thing: Thing) -> str:
    return f"{COLOURS[thing.colour][1]} {SHAPES[thing.shape]}"


def place(x: int, y: int) -> tuple[str, str]:
    """Names a point of the canvas on a 3 x 3 grid, in English and Korean.

    >>> place(5, 60), place(32, 32)
    (('bottom left', '왼쪽 아래'), ('middle', '가운데'))
    """
    row, column = ("top", "middle", "bottom")[3 * y // CANVAS], ("left", "middle", "right")[3 * x // CANVAS]
    names = [name for name in (row, column) if name != "middle"] or ["middle"]
    return " ".join(names), " ".join(PLACES[name] for name in reversed(names))


def questions(clip: Clip) -> list[QA]:
    """Every question that the clip answers. Things that one frame cannot tell are not asked of a one-frame clip.

    >>> [q.answer for q in questions(sample(7)) if q.kind in ("count", "code", "scenes")]
    ['four', '457', 'two']
    """
    rng = random.Random(repr(clip))  # chooses what "exists" asks for: no part of the truth
    asked = [qa for thing in clip.things for qa in _about_thing(thing)]
    for scene in clip.scenes:
        for thing in scene.things:
            asked += (
                _about_motion(thing, scene) if clip.frames > 1 else [_where(thing, 0, 1, "is", "", "어디에 있습니까")]
            )
    asked += _about_clip(clip) + _about_flashes(clip) + _about_existence(rng, clip)
    return asked


def _about_thing(thing: Thing) -> list[QA]:
    (_, adjective, noun), shape_ko = COLOURS[thing.colour], SHAPES[thing.shape]
    topic = _josa(shape_ko, "은", "는")
    return [
        QA("colour", f"What colour is the {thing.shape}?", thing.colour, f"{topic} 무슨 색입니까?", noun),
        QA("shape", f"What shape is the {thing.colour} thing?", thing.shape,
           f"{adjective} 물체는 무슨 모양입니까?", shape_ko),
        QA("size", f"How big is the {thing.name}?", thing.size, f"{_josa(_ko(thing), '은', '는')} 얼마나 큽니까?",
           "작습니다" if thing.size == "small" else "큽니다"),
    ]  # fmt: skip


def _where(thing: Thing, frame: int, frames: int, verb: str, end: str, verb_ko: str) -> QA:
    place_en, place_ko = place(*thing.centre(frame, frames))
    return QA(
        "where",
        f"Where {verb} the {thing.name}{end}?",
        place_en,
        f"{_josa(_ko(thing), '은', '는')} {verb_ko}?",
        place_ko,
    )


def _about_motion(thing: Thing, scene: Scene) -> list[QA]:
    name, topic, last = thing.name, _josa(_ko(thing), "은", "는"), scene.frames - 1
    moving = thing.motion != "still"
    asked = [
        QA("motion", f"Which way does the {name} move?", thing.motion if moving else "nowhere",
           f"{topic} 어느 쪽으로 움직입니까?", MOTIONS_KO[thing.motion] if moving else "움직이지 않습니다"),
        _where(thing, 0, scene.frames, "does", " start", "처음에 어디에 있습니까"),
        _where(thing, last, scene.frames, "does", " end", "마지막에 어디에 있습니까"),
    ]  # fmt: skip
    if moving:
        asked.append(QA("speed", f"How fast is the {name}?", thing.speed, f"{topic} 얼마나 빠릅니까?",
                        "느립니다" if thing.speed == "slow" else "빠릅니다"))  # fmt: skip
    return asked


def _about_clip(clip: Clip) -> list[QA]:
    count, code = NUMBERS[len(clip.things)], clip.code
    asked = [
        QA("count", "How many things are there?", count[0], "물체는 모두 몇 개입니까?", count[1]),
        QA("code", "What is the code?", code or "none", "코드는 무엇입니까?", code or "없습니다"),
    ]
    if clip.frames > 1 and len(clip.scenes) in NUMBERS:
        scenes = NUMBERS[len(clip.scenes)]
        asked.append(QA("scenes", "How many scenes are there?", scenes[0], "장면은 모두 몇 개입니까?", scenes[1]))
    return asked


def _about_flashes(clip: Clip) -> list[QA]:
    colours = [flash.colour for flash in clip.flashes]
    nouns = [COLOURS[colour][2] for colour in colours]
    if len(colours) < 2:
        answer = (colours[0], nouns[0]) if colours else ("none", "없습니다")
        return [QA("flash", "Which colour flashes?", answer[0], "무슨 색이 번쩍입니까?", answer[1])]
    return [
        QA("order", "Which colour flashes first?", colours[0], "처음에 번쩍이는 색은 무엇입니까?", nouns[0]),
        QA("order", "Which colour flashes last?", colours[-1], "마지막에 번쩍이는 색은 무엇입니까?", nouns[-1]),
    ]


def _about_existence(rng: random.Random, clip: Clip) -> list[QA]:
    """One thing that is there, and one that is not but shares its colour with something that is."""
    there, other = _pick(rng, clip.things), _pick(rng, clip.things)
    missing = _pick(rng, [shape for shape in SHAPES if shape != other.shape])
    return [ask_existence(there.colour, there.shape, True), ask_existence(other.colour, missing, False)]


def ask_existence(colour: str, shape: str, there: bool) -> QA:
    """Whether something is in a clip: "yes" if it is there, else "no".

    >>> ask_existence("orange", "ring", there=False)[:3]
    ('exists', 'Is there an orange ring?', 'no')
    """
    article, subject = "an" if colour == "orange" else "a", _josa(f"{COLOURS[colour][1]} {SHAPES[shape]}", "이", "가")
    answer = ("yes", "네") if there else ("no", "아니요")
    return QA("exists", f"Is there {article} {colour} {shape}?", answer[0], f"{subject} 있습니까?", answer[1])


def caption(clip: Clip, language: str = "en") -> str:
    """Everything that happens in the clip, in whole sentences, in English ("en") or Korean ("ko").

    >>> caption(still(sample(2), 0)).startswith("There is")
    True
    """
    if language not in ("en", "ko"):
        raise ValueError(f'captions are written in "en" or "ko", not {language!r}')
    english = language == "en"
    sentences = []
    for i, scene in enumerate(clip.scenes):
        if i:
            sentences.append("Then the scene changes." if english else "그다음 장면이 바뀝니다.")
        sentences += [(_thing_en if english else _thing_ko)(thing, clip.frames == 1) for thing in scene.things]
        if scene.code:
            sentences.append(f"The code is {scene.code}." if english else f"코드는 {scene.code}입니다.")
    if clip.flashes:
        sentences.append((_flashes_en if english else _flashes_ko)([flash.colour for flash in clip.flashes]))
    return " ".join(sentences)


def _thing_en(thing: Thing, one_frame: bool) -> str:
    if one_frame:
        return f"There is a {thing.size} {thing.name}."
    if thing.motion == "still":
        return f"A {thing.size} {thing.name} stays still."
    return f"A {thing.size} {thing.name} moves {thing.motion} {'slowly' if thing.speed == 'slow' else 'fast'}."


def _thing_ko(thing: Thing, one_frame: bool) -> str:
    subject = f"{SIZES[thing.size][1]} {_ko(thing)}"
    if one_frame:
        return f"{_josa(subject, '이', '가')} 있습니다."
    if thing.motion == "still":
        return f"{_josa(subject, '은', '는')} 가만히 있습니다."
    return f"{_josa(subject, '이', '가')} {MOTIONS_KO[thing.motion]}으로 {SPEEDS[thing.speed][1]} 움직입니다."


def _flashes_en(colours: list[str]) -> str:
    return f"The screen flashes {', then '.join(colours)}."


def _flashes_ko(colours: list[str]) -> str:
    return f"화면이 {', 그다음 '.join(COLOURS[colour][2] + '으로' for colour in colours)} 번쩍입니다."


def false_captions(clip: Clip, language: str = "en") -> list[Falsehood]:
    """Captions that differ from the true one in one fact each: the truth of another clip, so they read just as well.

    >>> clip = sample(7)
    >>> all(false.caption != caption(clip) for false in false_captions(clip))
    True
    """
    rng = random.Random(repr(clip))
    return [Falsehood(kind, caption(altered, language)) for kind, altered in _altered(rng, clip)]


def _altered(rng: random.Random, clip: Clip) -> list[tuple[str, Clip]]:
    thing = _pick(rng, clip.things)
    colours = [c for c in COLOURS if c not in {t.colour for t in clip.things}]
    shapes = [s for s in SHAPES if s not in {t.shape for t in clip.things}]
    changes = [("colour", {"colour": _pick(rng, colours)}), ("shape", {"shape": _pick(rng, shapes)}),
               ("size", {"size": "big" if thing.size == "small" else "small"})]  # fmt: skip
    if thing.speed and clip.frames > 1:
        turned = {"left": "right", "right": "left", "up": "down", "down": "up"}[thing.motion]
        changes += [("motion", {"motion": turned}), ("speed", {"speed": "fast" if thing.speed == "slow" else "slow"})]
    altered = [(kind, _with_thing(clip, thing, replace(thing, **change))) for kind, change in changes]
    if clip.code:
        altered.append(("code", _with_code(clip, _other_code(rng, clip.code))))
    if clip.flashes:
        first, *rest = clip.flashes
        unused = [colour for colour in COLOURS if colour not in {flash.colour for flash in clip.flashes}]
        altered.append(("flash", replace(clip, flashes=(replace(first, colour=_pick(rng, unused)), *rest))))
    if len(clip.flashes) > 1:
        altered.append(("order", replace(clip, flashes=clip.flashes[::-1])))
    return altered


def _with_thing(clip: Clip, old: Thing, new: Thing) -> Clip:
    scenes = (replace(s, things=tuple(new if t == old else t for t in s.things)) for s in clip.scenes)
    return replace(clip, scenes=tuple(scenes))


def _other_code(rng: random.Random, code: str) -> str:
    at = _pick(rng, range(3))
    return code[:at] + _pick(rng, [d for d in "0123456789" if d != code[at]]) + code[at + 1 :]


def _with_code(clip: Clip, code: str) -> Clip:
    return replace(clip, scenes=tuple(replace(s, code=code) if s.code else s for s in clip.scenes))


def still(clip: Clip, frame: int) -> Clip:
    """One frame of a clip as a clip of its own: an image, with every thing where it is on that frame.

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


# ---------------------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------------------


def write_mp4(path: str | Path, video: np.ndarray, fps: int = 8, scale: int = 4) -> Path:
    """Writes frames (T, H, W, 3) uint8 as H.264, each pixel as `scale` x `scale`, so that small digits survive.

    An interrupted write leaves an older file as it was: the new one is written beside it and then renamed.
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


SHIPPED = {  # the clips in data/clips, by name: a seed each; "long" is several clips in a row
    "hello": [12], "flashes": [17], "cut": [4], "still": [104], "crowd": [13], "long": [26, 7, 57, 23, 0],
}  # fmt: skip


def write_shipped(folder: str | Path) -> None:
    """Writes every shipped clip as NAME.mp4, with what was drawn, its captions and its questions in NAME.json."""
    for name, seeds in SHIPPED.items():
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
