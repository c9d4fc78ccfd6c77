"""Texts about a clip: captions in English and Korean, questions with their answers, false captions."""

import random
from dataclasses import replace
from typing import NamedTuple

from lib.toybox.world import (
    CANVAS,
    COLOURS,
    MOTIONS_KO,
    NUMBERS,
    PLACES,
    SHAPES,
    SIZES,
    SPEEDS,
    Clip,
    Scene,
    Thing,
    _pick,
)

CAPTION_PROMPTS = {"en": "Describe the video.", "ko": "영상을 설명하십시오."}


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
    """Every question that the clip answers. A one-frame clip gets no questions that need several frames.

    >>> from lib.toybox.world import sample
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

    >>> from lib.toybox.world import sample
    >>> from lib.toybox.draw import still
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

    >>> from lib.toybox.world import sample
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
