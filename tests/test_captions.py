"""What a caption claims, read back: exact on every caption that Toybox writes, and calm on broken ones."""

import pytest

from lib import toybox
from lib.toybox.facts import FactCounts, compare, facts, truth, unread

CLIPS = [toybox.sample(seed) for seed in range(500)]
JOINED = [toybox.join([toybox.sample(seed) for seed in range(i, i + 3)]) for i in range(20)]
STILLS = [toybox.still(clip, seed % 16) for seed, clip in enumerate(CLIPS[:100])]
GONE_WITH_A_NAME = {"thing", "size", "motion", "speed"}
CHANGED = {  # kind of falsehood: the kinds of facts that may differ
    "colour": GONE_WITH_A_NAME, "shape": GONE_WITH_A_NAME, "size": {"size"}, "motion": {"motion"}, "speed": {"speed"},
    "code": {"code"}, "flash": {"flash"}, "order": {"flash"},
}  # fmt: skip


def test_the_facts_of_a_caption_written_down_by_hand():
    caption = (
        "A small red circle moves left slowly. The code is 066. Then the scene changes. A big orange ring stays still. "
        "The screen flashes cyan, then white."
    )
    korean = (
        "작은 빨간 원이 왼쪽으로 천천히 움직입니다. 코드는 066입니다. 그다음 장면이 바뀝니다. "
        "큰 주황색 고리는 가만히 있습니다. 화면이 청록색으로, 그다음 흰색으로 번쩍입니다."
    )
    expected = {
        ("thing", "red circle"), ("size", "red circle", "small"), ("motion", "red circle", "left"),
        ("speed", "red circle", "slow"), ("code", "066"), ("scenes", "2"), ("thing", "orange ring"),
        ("size", "orange ring", "big"), ("motion", "orange ring", "still"), ("flash", "1", "cyan"),
        ("flash", "2", "white"),
    }  # fmt: skip
    assert facts(caption, "en") == facts(korean, "ko") == expected


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_true_caption_tells_the_truth_and_nothing_else(language):
    for clip in CLIPS + JOINED + STILLS:
        caption = toybox.caption(clip, language)
        assert facts(caption, language) == truth(clip)
        assert unread(caption, language) == []


def test_one_frame_shows_no_motion():
    assert not {fact for clip in STILLS for fact in truth(clip)} & {
        ("motion", thing.name, "still") for clip in STILLS for thing in clip.things
    }


@pytest.mark.parametrize("language", ["en", "ko"])
def test_each_false_caption_differs_in_its_kind_of_fact_and_in_no_other(language):
    for clip in CLIPS:
        for false in toybox.false_captions(clip, language):
            said, true = facts(false.caption, language), truth(clip)
            invented, missed = said - true, true - said
            assert len(invented) == len(missed) > 0
            assert {fact[0] for fact in invented} <= CHANGED[false.kind], false.kind
            assert len(invented) == 1 or false.kind in ("colour", "shape", "order")


def test_a_wrong_colour_invents_a_thing_with_all_that_is_said_of_it():
    clip = CLIPS[12]
    false = next(f for f in toybox.false_captions(clip) if f.kind == "colour")
    told = compare(false.caption, clip)
    assert told.invented == told.missed == 4 - any(t.motion == "still" for t in clip.things if t.name in false.caption)


def test_broken_sentences_claim_nothing_and_are_given_back():
    caption = "A small red circle stays still. A small pink circle stays still. A small red circ. 화면이. The code is"
    assert facts(caption, "en") == {
        ("thing", "red circle"), ("size", "red circle", "small"), ("motion", "red circle", "still")
    }  # fmt: skip
    assert unread(caption) == ["A small pink circle stays still", "A small red circ", "화면이", "The code is"]


@pytest.mark.parametrize(
    "broken",
    ["", ".", "...", "The screen flashes red, then.", "The screen flashes mauve.", "A red circle stays still.",
     "A small red circle moves still slowly.", "A small red circle stays still slowly.", "There is small red circle.",
     "xA small red circle stays still.", "The code is none."],
)  # fmt: skip
def test_nothing_is_read_out_of_nonsense(broken):
    assert facts(broken, "en") == frozenset()


def test_korean_is_read_with_the_wrong_particle_and_not_with_other_words():
    assert facts("큰 빨간 원는 가만히 있습니다.", "ko") == facts("큰 빨간 원은 가만히 있습니다", "ko")
    assert facts("큰 빨강 원은 가만히 있습니다. 화면이 빨간으로 번쩍입니다.", "ko") == frozenset()
    assert facts(toybox.caption(CLIPS[0], "en"), "ko") == frozenset()


def test_flashes_and_scenes_are_counted_over_the_whole_caption():
    said = "The screen flashes red. Then the scene changes. Then the scene changes. The screen flashes blue."
    assert facts(said) == {("flash", "1", "red"), ("flash", "2", "blue"), ("scenes", "3")}


def test_repeating_a_sentence_neither_helps_nor_hurts():
    clip, once = CLIPS[7], toybox.caption(CLIPS[7])
    first = once.split(". ")[0] + ". "
    assert compare(first * 5 + once, clip) == compare(once, clip)


def test_shares():
    assert FactCounts(3, 1, 2).share_right == 0.75
    assert FactCounts(3, 1, 2).share_invented == 0.4
    assert compare("", CLIPS[0]).share_invented == 0
    assert compare("", CLIPS[0]).share_right == 0


def test_other_languages_are_refused():
    with pytest.raises(ValueError, match='"en" or "ko"'):
        facts("Ein roter Kreis.", "de")
    with pytest.raises(ValueError, match='"en" or "ko"'):
        facts("", "de")
