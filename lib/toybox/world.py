"""The world of Toybox: things, scenes and clips, and how they are drawn from a seed."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

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
    """The content between two cuts. `code` is "" or three digits; its top left corner is `code_at` (x, y) in units."""

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


FRAMES = 16
GRID = CANVAS // PATCH  # patches on a side
TEST_SEEDS = 10**6  # clips with seeds below this are never trained on


# ---------------------------------------------------------------------------------------------------------------------
# Batches: each a loss, from the model and the randomness of one step
# ---------------------------------------------------------------------------------------------------------------------


def new_clip(rng: random.Random, frames: int = FRAMES) -> Clip:
    return sample(rng.randrange(TEST_SEEDS, 10**12), frames)
