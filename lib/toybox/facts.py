"""The facts that a caption claims, compared with the truth of a Toybox clip.

Metrics that compare words give a high score to a caption with one wrong word, and the wrong word may be the one that
matters. Toybox writes its captions by rule, so they can be read by rule. A caption becomes a set of facts, and two sets
can be compared exactly. A fact is a tuple of English words in every language of the caption:

("thing", "red circle"), ("size", "red circle", "small"), ("motion", "red circle", "left"), ("speed", "red circle",
"slow"), ("code", "669"), ("flash", "1", "cyan"), ("scenes", "2")

A model's caption may be broken. A sentence that no rule reads claims nothing; `unread` returns it, so that broken text
does not look like caution. A repeated sentence claims its facts once. Facts about a thing carry its name: a caption
with a wrong colour has invented a thing, with its size and its motion. Missing events are not facts: no flash and one
scene claim nothing. The scene of a thing is not compared.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from lib.text import comparable
from lib.toybox.world import COLOURS, MOTIONS, MOTIONS_KO, SHAPES, SIZES, SPEEDS, Clip

Fact = tuple[str, ...]
_EN = {word: word for word in (*COLOURS, *SHAPES, *SIZES, *MOTIONS)} | {"slowly": "slow", "fast": "fast"}
_KO = (
    {adjective: name for name, (_, adjective, _) in COLOURS.items()}
    | {noun: name for name, (_, _, noun) in COLOURS.items()}
    | {word: name for name, word in (*SHAPES.items(), *MOTIONS_KO.items())}
    | {word: name for name, (_, word) in (*SIZES.items(), *SPEEDS.items())}
)


def _any(words: Iterable[str]) -> str:
    return f"({'|'.join(words)})"


class _Grammar(NamedTuple):
    """The kinds of sentences of one language. Words stand in groups: size, colour, shape, then motion and speed."""

    words: dict[str, str]
    thing: str  # the beginning of a sentence about a thing; what follows is one of the next three
    seen: str
    still: str
    moves: str
    code: str
    flashes: str
    flash_word: str
    change: str


_THING = rf"{_any(SIZES)} {_any(COLOURS)} {_any(SHAPES)}"
_GRAMMARS = {
    "en": _Grammar(
        _EN,
        thing=f"(?:There is )?(?:A|a) {_THING}",
        seen="",
        still=" stays still",
        moves=f" moves {_any(MOTIONS_KO)} (slowly|fast)",
        code=r"The code is (\d+)",
        flashes="The screen flashes (.+)",
        flash_word=rf"(?:then )?{_any(COLOURS)}",
        change="Then the scene changes",
    ),
    "ko": _Grammar(
        _KO,
        thing=f"{_any(word for _, word in SIZES.values())} {_any(word for _, word, _ in COLOURS.values())} "
        f"{_any(SHAPES.values())}(?:은|는|이|가)",  # the wrong particle is bad grammar, and still a claim
        seen=" 있습니다",
        still=" 가만히 있습니다",
        moves=f" {_any(MOTIONS_KO.values())}으로 {_any(word for _, word in SPEEDS.values())} 움직입니다",
        code=r"코드는 (\d+)입니다",
        flashes="화면이 (.+) 번쩍입니다",
        flash_word=f"(?:그다음 )?{_any(word for _, _, word in COLOURS.values())}으로",
        change="그다음 장면이 바뀝니다",
    ),
}


class FactCounts(NamedTuple):
    """How many facts of the clip a caption states, how many it misses, and how many false ones it invents.

    >>> told = FactCounts(right=9, missed=3, invented=1)
    >>> told.share_right, told.share_invented
    (0.75, 0.1)
    """

    right: int
    missed: int
    invented: int

    @property
    def share_right(self) -> float:
        """Of the facts of the clip: right / (right + missed)."""
        return self.right / (self.right + self.missed)

    @property
    def share_invented(self) -> float:
        """Of the facts of the caption: invented / (right + invented), CHAIR_i of one caption; 0 if it states none."""
        return self.invented / max(self.right + self.invented, 1)


def facts(caption: str, language: str = "en") -> frozenset[Fact]:
    """The facts that a caption claims, ours or a model's. Raises ValueError for a language other than "en" and "ko".

    >>> sorted(facts("A small red circle stays still. The code is 669. Blah."))
    [('code', '669'), ('motion', 'red circle', 'still'), ('size', 'red circle', 'small'), ('thing', 'red circle')]
    >>> sorted(facts("화면이 빨간색으로, 그다음 청록색으로 번쩍입니다.", "ko"))
    [('flash', '1', 'red'), ('flash', '2', 'cyan')]
    """
    grammar = _grammar(language)
    said = [fact for sentence in _sentences(caption) for fact in _read(sentence, grammar) or []]
    flashes = [fact[1] for fact in said if fact[0] == "flash"]
    changes = sum(fact == ("change",) for fact in said)
    told = {fact for fact in said if fact[0] not in ("flash", "change")}
    return frozenset(told | _of_clip(flashes, 1 + changes))


def unread(caption: str, language: str = "en") -> list[str]:
    """The sentences of a caption that no rule reads.

    >>> unread("A small red circle stays still. A small red circ")
    ['A small red circ']
    """
    grammar = _grammar(language)
    return [sentence for sentence in _sentences(caption) if _read(sentence, grammar) is None]


def truth(clip: Clip) -> frozenset[Fact]:
    """The facts of a clip: those that its true caption claims.

    >>> from lib import toybox
    >>> clip = toybox.sample(7)
    >>> truth(clip) == facts(toybox.caption(clip, "ko"), "ko")
    True
    """
    told = {("code", scene.code) for scene in clip.scenes if scene.code}
    for thing in clip.things:
        told.update(_of_thing(thing.name, thing.size, thing.motion if clip.frames > 1 else "", thing.speed))
    return frozenset(told | _of_clip([flash.colour for flash in clip.flashes], len(clip.scenes)))


def compare(caption: str, clip: Clip, language: str = "en") -> FactCounts:
    """A caption's facts compared with those of a clip.

    >>> from lib import toybox
    >>> clip = toybox.sample(7)
    >>> compare(toybox.caption(clip), clip)
    FactCounts(right=17, missed=0, invented=0)
    >>> compare("A big yellow square stays still. The code is 123.", clip)
    FactCounts(right=3, missed=14, invented=1)
    """
    said, true = facts(caption, language), truth(clip)
    return FactCounts(len(said & true), len(true - said), len(said - true))


def _grammar(language: str) -> _Grammar:
    if language not in _GRAMMARS:
        raise ValueError(f'captions are read in "en" or "ko", not {language!r}')
    return _GRAMMARS[language]


def _sentences(caption: str) -> list[str]:
    sentences = (" ".join(sentence.split()) for sentence in comparable(caption).split("."))
    return [sentence for sentence in sentences if sentence]


def _read(sentence: str, grammar: _Grammar) -> list[Fact] | None:
    """The facts of one sentence, None if no rule reads it. Flashes and changes do not have their numbers yet."""
    if re.fullmatch(grammar.change, sentence):
        return [("change",)]
    if found := re.fullmatch(grammar.code, sentence):
        return [("code", found[1])]
    if found := re.fullmatch(grammar.flashes, sentence):
        words = [re.fullmatch(grammar.flash_word, part) for part in found[1].split(", ")]
        return [("flash", grammar.words[word[1]]) for word in words] if all(words) else None
    for ending, still in ((grammar.seen, ""), (grammar.still, "still"), (grammar.moves, "")):
        if found := re.fullmatch(grammar.thing + ending, sentence):
            size, colour, shape, *way = (grammar.words[word] for word in found.groups())
            motion, speed = way or (still, "")
            return _of_thing(f"{colour} {shape}", size, motion, speed)
    return None


def _of_thing(name: str, size: str, motion: str, speed: str) -> list[Fact]:
    """Speed is "" for a still thing; motion is "" too if there is only one frame."""
    told = [("thing", name), ("size", name, size), ("motion", name, motion), ("speed", name, speed)]
    return [fact for fact in told if all(fact)]


def _of_clip(flashes: Iterable[str], scenes: int) -> set[Fact]:
    """Flashes by their place in time."""
    told = {("flash", str(i), colour) for i, colour in enumerate(flashes, 1)}
    return told | ({("scenes", str(scenes))} if scenes > 1 else set())
