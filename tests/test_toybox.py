"""Toybox: the same seed gives the same bytes, and what it says is what it drew."""

import hashlib
import itertools
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib import toybox
from lib.toybox import COLOURS, Clip, Flash, Scene, Thing
from lib.toybox.draw import _digit, _mask
from lib.toybox.words import _josa

CLIPS = [toybox.sample(seed) for seed in range(300)]
SHIPPED = Path(__file__).parent.parent / "data" / "clips"


def rgb(colour: str) -> tuple[int, int, int]:
    return COLOURS[colour][0]


def seen(frame: np.ndarray, colour: str) -> np.ndarray:
    return (frame == np.array(rgb(colour), dtype=np.uint8)).all(axis=-1)


def answers(clip: Clip) -> dict[str, str]:
    return {qa.question: qa.answer for qa in toybox.questions(clip)}


def test_same_seed_same_bytes():
    """Fixed here: a change of the world changes the shipped weights' scores and has to be meant."""
    drawn = hashlib.sha256(b"".join(toybox.render(clip).tobytes() for clip in CLIPS[:20]))
    said = hashlib.sha256(repr([toybox.questions(clip) for clip in CLIPS[:20]]).encode())
    assert (drawn.hexdigest()[:16], said.hexdigest()[:16]) == ("b19dd7bd4f9f51af", "401d08130c87b1d7")
    assert toybox.render(toybox.sample(1)).tobytes() != toybox.render(toybox.sample(2)).tobytes()


def test_everything_of_the_world_occurs():
    things = [thing for clip in CLIPS for thing in clip.things]
    assert {t.shape for t in things} == set(toybox.SHAPES) and {t.colour for t in things} == set(COLOURS)
    assert {(t.size, t.motion) for t in things} == set(itertools.product(toybox.SIZES, toybox.MOTIONS))
    assert {t.speed for t in things} == {"", *toybox.SPEEDS}
    assert {len(clip.things) for clip in CLIPS} == {1, 2, 3, 4}
    assert {len(clip.flashes) for clip in CLIPS} == {0, 1, 2} and {len(clip.scenes) for clip in CLIPS} == {1, 2}
    assert all(re.fullmatch(r"\d{3}", clip.code) for clip in CLIPS)
    kinds = {qa.kind for clip in CLIPS for qa in toybox.questions(clip)}
    assert kinds == {
        "colour", "shape", "size", "count", "code", "flash", "order", "motion", "speed", "where", "scenes", "exists",
    }  # fmt: skip


def test_names_are_never_ambiguous():
    for clip in CLIPS:
        assert len({t.shape for t in clip.things}) == len({t.colour for t in clip.things}) == len(clip.things)


@pytest.mark.parametrize("size", [64, 128])
def test_each_thing_is_drawn_whole_where_it_is_said_to_be(size):
    """Nothing is covered by anything else: the pixels of each colour are exactly the mask of its thing."""
    scale = size // 64
    for clip in CLIPS[:60]:
        clip = replace(clip, flashes=())
        for scene, start in zip(clip.scenes, clip.starts, strict=True):
            for time_ in (0, scene.frames - 1):
                frame = toybox.render(clip, size, [start + time_])[0]
                for thing in scene.things:
                    if thing.colour == "white" and scene.code:
                        continue  # the digits are white too
                    mask = _mask(thing.shape, toybox.SIZES[thing.size][0] * scale)
                    x, y = (c * scale - len(mask) // 2 for c in thing.centre(time_, scene.frames))
                    expected = np.zeros((size, size), dtype=bool)
                    expected[y : y + len(mask), x : x + len(mask)] = mask
                    assert np.array_equal(seen(frame, thing.colour), expected)


def test_motion_questions_follow_the_pixels():
    """The centre of the thing's pixels moves as the answers say."""
    asked = 0
    for clip in CLIPS[:100]:
        bare = replace(clip, flashes=(), scenes=tuple(replace(s, code="") for s in clip.scenes))
        for scene, start in zip(bare.scenes, bare.starts, strict=True):
            frames = toybox.render(bare, indices=[start, start + scene.frames - 1])
            for thing in scene.things:
                (y0, x0), (y1, x1) = (np.argwhere(seen(frame, thing.colour)).mean(axis=0) for frame in frames)
                way = {(0, 0): "nowhere", (-1, 0): "left", (1, 0): "right", (0, -1): "up", (0, 1): "down"}
                moved = max(abs(x1 - x0), abs(y1 - y0))
                assert (
                    answers(clip)[f"Which way does the {thing.name} move?"] == way[np.sign(x1 - x0), np.sign(y1 - y0)]
                )
                if moved:
                    assert answers(clip)[f"How fast is the {thing.name}?"] == ("fast" if moved > 20 else "slow")
                assert answers(clip)[f"Where does the {thing.name} start?"] == toybox.place(*thing.start)[0]
                asked += 1
    assert asked > 200


def test_a_flash_is_one_frame_of_background():
    clip = Clip((Scene(16, 0, ()),), (Flash(5, "red"), Flash(9, "blue")))
    video = toybox.render(clip)
    lit = {colour: [t for t in range(16) if seen(video[t], colour).all()] for colour in ("red", "blue")}
    assert lit == {"red": [5], "blue": [9]}
    assert (
        answers(replace(clip, scenes=(Scene(16, 0, (Thing("ring", "cyan", "big", "still", "", (20, 20)),)),)))[
            "Which colour flashes first?"
        ]
        == "red"
    )


def test_codes_are_legible_and_on_the_patch_grid():
    for digit in "0123456789":
        for other in "0123456789":
            assert np.array_equal(_digit(digit, 1), _digit(other, 1)) == (digit == other)
    for clip in CLIPS:
        for scene in clip.scenes:
            assert scene.code_at[0] % 8 == scene.code_at[1] % 8 == 0 and scene.code_at[0] <= 40


def test_korean_reads_as_well_as_english():
    """Every English sentence has a Korean one; particles fit the last syllable; sentences end politely."""
    for clip in CLIPS:
        english, korean = toybox.caption(clip), toybox.caption(clip, "ko")
        assert english.count(".") == korean.count(".") and all(s.endswith("니다") for s in korean.split(".")[:-1])
        for qa in toybox.questions(clip):
            assert re.search("[가-힣]", qa.question_ko) and qa.question_ko.endswith("까?")
            assert qa.answer.isascii() and not re.search("[a-z]", qa.answer_ko)
    for noun, topic, subject in [
        ("원", "은", "이"),
        ("고리", "는", "가"),
        ("마름모", "는", "가"),
        ("삼각형", "은", "이"),
    ]:
        assert _josa(noun, "은", "는") == noun + topic and _josa(noun, "이", "가") == noun + subject


def test_false_captions_differ_in_one_fact():
    """Word by word, a false caption differs from the true one where its fact stands and nowhere else."""
    most_words = {"colour": 1, "shape": 1, "size": 1, "motion": 1, "speed": 1, "code": 1, "flash": 1, "order": 2}
    kinds = set()
    for clip in CLIPS:
        for language in ("en", "ko"):
            true = toybox.caption(clip, language).split()
            for false in toybox.false_captions(clip, language):
                words = false.caption.split()
                assert len(words) == len(true)
                changed = sum(a != b for a, b in zip(true, words, strict=True))
                # in Korean a particle may change with its noun, but it is written as one word with it
                assert 1 <= changed <= most_words[false.kind], (false, " ".join(true))
                kinds.add(false.kind)
    assert kinds == set(most_words)


def test_existence_is_asked_both_ways_and_answered_truly():
    for clip in CLIPS:
        there = {thing.name for thing in clip.things}
        asked = [qa for qa in toybox.questions(clip) if qa.kind == "exists"]
        assert sorted(qa.answer for qa in asked) == ["no", "yes"]
        for qa in asked:
            assert (re.search(r"an? (\w+ \w+)\?", qa.question)[1] in there) == (qa.answer == "yes")


def test_one_frame_is_asked_only_what_it_shows():
    for clip in CLIPS[:100]:
        image = toybox.still(clip, 7)
        assert np.array_equal(toybox.render(image)[0], toybox.render(clip)[7])
        kinds = {qa.kind for qa in toybox.questions(image)}
        assert kinds <= {"colour", "shape", "size", "where", "count", "code", "flash", "exists"}


def test_join_keeps_every_frame():
    parts = CLIPS[:3]
    assert np.array_equal(toybox.render(toybox.join(parts)), np.concatenate([toybox.render(part) for part in parts]))


def test_bad_input_names_the_fix():
    with pytest.raises(ValueError, match="at least 4 frames"):
        toybox.sample(0, frames=3)
    with pytest.raises(ValueError, match="multiples of 64: use 128"):
        toybox.render(CLIPS[0], size=100)
    with pytest.raises(ValueError, match="frames 0 to 15"):
        toybox.render(CLIPS[0], indices=[16])
    with pytest.raises(ValueError, match='"en" or "ko"'):
        toybox.caption(CLIPS[0], "fr")


def test_renders_more_than_300_clips_a_second():
    best = min(_seconds(lambda: [toybox.render(clip) for clip in CLIPS[:60]]) for _ in range(5))
    assert 60 / best > 300


def _seconds(run) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def test_shipped_clips_are_what_their_seeds_draw(tmp_path):
    from lib.video import probe, read_frames

    toybox.write_shipped(tmp_path)
    for name in toybox.SHIPPED_CLIPS:
        assert (tmp_path / f"{name}.json").read_bytes() == (SHIPPED / f"{name}.json").read_bytes()
        clip = toybox.join([toybox.sample(seed) for seed in toybox.SHIPPED_CLIPS[name]])
        decoded = read_frames(SHIPPED / f"{name}.mp4", range(probe(SHIPPED / f"{name}.mp4").frames)).pixels
        drawn = toybox.render(clip, size=64).repeat(4, axis=1).repeat(4, axis=2)
        assert decoded.shape == drawn.shape
        assert np.abs(decoded.astype(int) - drawn).mean() < 6  # H.264 at quality 12, colour at half resolution


def test_truth_is_plain_data():
    assert json.loads(json.dumps(CLIPS[0].truth))["scenes"][0]["frames"] == CLIPS[0].scenes[0].frames


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = toybox.write_mp4(tmp_path / "clip.mp4", toybox.render(CLIPS[0]))
    before = path.read_bytes()
    with pytest.raises(ValueError):
        toybox.write_mp4(path, np.zeros((3, 64, 64), dtype=np.uint8))
    assert path.read_bytes() == before


def test_places_are_the_thirds_of_the_canvas():
    rows, columns = ("top", "", "bottom"), ("left", "", "right")
    for x in range(toybox.CANVAS):
        for y in range(toybox.CANVAS):
            row, column = (int(at > 21) + int(at > 42) for at in (y, x))  # 64 / 3 is 21.3
            named = f"{rows[row]} {columns[column]}".strip() or "middle"
            assert toybox.place(x, y)[0] == named
