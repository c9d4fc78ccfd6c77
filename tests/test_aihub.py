"""Folders of AI-Hub, and every way in which they can be wrong: nothing is lost, and no pair or caption is wrong."""

import itertools
import json
import os
import random
import shutil
import string
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from lib import text
from lib.data import aihub, videos
from lib.data.aihub import VIDEO_SUFFIXES, read_aihub
from lib.data.videos import Video, recording, split, toybox_videos
from lib.workshop.aihub_sample import SAMPLE_SEEDS, write_aihub

SAMPLE = Path("data/aihub_sample")
CLIP = SAMPLE / "Training" / "01.원천데이터" / "TS_toybox" / "toybox_000300.mp4"
CAPTION = "파도가 해변으로 밀려옵니다."


def label(caption=CAPTION, **more) -> dict:
    return {"annotation": {"description_kr": caption}} | more


@pytest.fixture
def add(tmp_path):
    """add(path, content) -> the folder with one file more: bytes, or an object as JSON, or else a copy of a clip."""

    def add(path: str, content=None) -> Path:
        file = tmp_path / "aihub" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            shutil.copy(CLIP, file)
        else:
            file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return tmp_path / "aihub"

    return add


@pytest.fixture
def only_problem(add):
    """only_problem() -> the one problem of a folder, in which a good pair more is read all the same."""

    def only_problem() -> str:
        add("원천데이터/good.mp4")
        found = read_aihub(add("라벨링데이터/good.json", label()))
        assert [v.name for v in found.videos] == ["good"]
        assert len(found.problems) == 1, found
        return str(found.problems[0])

    return only_problem


# ------------------------------------------------------------------------------------------------------------- reading


def test_the_sample_is_what_its_command_writes(tmp_path):
    """Byte for byte; so it can be made again, and small enough to ship."""
    write_aihub(tmp_path)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    shipped = {path.relative_to(SAMPLE): path.read_bytes() for path in SAMPLE.rglob("*.*") if path.is_file()}
    shipped.pop(Path("README.md"))
    assert made == shipped
    assert sum(map(len, shipped.values())) < 150_000


def test_the_sample_reads_as_the_toybox_clips_it_was_made_from():
    found = read_aihub(SAMPLE)
    drawn = toybox_videos(SAMPLE_SEEDS)
    assert found.problems == [] and len(found.videos) == len(drawn) == 6
    for read, twin in zip(found.videos, drawn, strict=True):
        assert read.captions == {"ko": twin.captions["ko"]}
        shrunk = read.frames(16)[:, 2::4, 2::4].astype(int)  # written four times as large
        assert np.abs(shrunk - twin.frames(16)).mean() < 6  # H.264 loses a little


@pytest.mark.parametrize(
    "content",
    [
        label(),
        {"annotation": [{"description_kr": CAPTION}]},
        {"annotation": {"description_ko": CAPTION}},
        {"annotations": {"description_kr": CAPTION}},
        {"annotations": [{"description_ko": CAPTION}]},
        [label()],
        {"caption": {"korean": CAPTION, "english": None}},
        {"description_kr": CAPTION},
        {"annotation": {"description_kr": None}, "caption": {"korean": CAPTION}},
        label(f"\n {CAPTION} "),
        label(unicodedata.normalize("NFD", CAPTION)),
    ],
)
def test_a_caption_is_found_in_each_of_its_places(add, content):
    add("clips/v.mp4")
    found = read_aihub(add("labels/v.json", content))
    assert found.problems == [] and found.videos[0].captions == {"ko": CAPTION}


def test_the_first_place_counts(add):
    add("v.mp4")
    found = read_aihub(add("v.json", label() | {"caption": {"korean": "other", "english": "Waves."}}))
    assert found.videos[0].captions == {"ko": CAPTION, "en": "Waves."}


@pytest.mark.parametrize("caption", [CAPTION, "바다"])  # the second in UTF-8 would pass for CP949: "諛붾떎"
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_labels_in_the_encodings_of_korean_data(add, encoding, caption):
    add("v.mp4")
    found = read_aihub(add("v.json", json.dumps(label(caption), ensure_ascii=False).encode(encoding)))
    assert found.videos[0].captions["ko"] == caption


def test_names_are_paired_whatever_wrote_them(add):
    """Hangul whole or in pieces, suffixes in capitals, spaces and dots; videos come sorted by name."""
    add(f"{unicodedata.normalize('NFD', '바다 1.2')}.MP4")
    add("바다 1.2.json", label())
    add("b/산.mp4")
    found = read_aihub(add("a/산.JSON", label()))
    assert [v.name for v in found.videos] == ["바다 1.2", "산"] and not found.problems


@pytest.mark.parametrize("stated", ["v.mp4", "clips/v.mp4", "clips\\v.mp4", "v"])
@pytest.mark.parametrize("key", ["filename", "video_name"])
def test_a_label_may_state_its_clip(add, key, stated):
    add("clips/v.mp4")
    found = read_aihub(add("label-1.json", label(**{key: stated})))
    assert [v.name for v in found.videos] == ["v"] and not found.problems


def test_a_labels_own_name_decides_first(add):
    add("v.mp4")
    add("w.mp4")
    add("w.json", label("w"))
    found = read_aihub(add("v.json", label(filename="w.mp4")))
    assert [(v.name, v.captions["ko"]) for v in found.videos] == [("v", CAPTION), ("w", "w")]


def test_hidden_files_are_passed_over(add):
    add("v.mp4")
    add("v.json", label())
    add("._v.json", b"\0\5\x16\7")  # what macOS leaves on disks that are not its own
    found = read_aihub(add(".cache/v.mp4"))
    assert len(found.videos) == 1 and not found.problems


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (label(["a", "b"]), "annotation.description_kr is not text but list"),
        (label(5), "annotation.description_kr is not text but int"),
        (label("  \n"), "annotation.description_kr is empty"),
        (label() | {"caption": {"english": 1}}, "caption.english is not text but int"),
        ({}, "no Korean caption (looked in annotation.description_kr, annotation.description_ko, caption.korean"),
        ({"annotation": "text"}, "no Korean caption"),
        ({"annotation": [{"description_kr": "a"}, {"description_kr": "b"}]}, "no Korean caption"),
        ({"caption": {"english": "Waves."}}, "no Korean caption"),
        ([[label()]], "it is not a JSON object {...} but list"),
        (5, "it is not a JSON object {...} but int"),
        ([], "it is an empty list"),
        (b"", "it is not JSON"),
        (json.dumps(label()).encode()[:-9], "it is not JSON, perhaps cut off"),
        (b"[" * 100_000, "it is not JSON"),
        (json.dumps(label(), ensure_ascii=False).encode("utf-16"), "neither UTF-8 nor CP949"),
        (label(filename=["v.mp4"]), "its filename is not text but list"),
    ],
)
def test_a_bad_label_is_reported_and_left_out(add, only_problem, content, said):
    add("clips/v.mp4")
    add("labels/v.json", content)
    problem = only_problem()
    assert problem.startswith("labels/v.json: ") and said in problem and "Fix: " in problem


@pytest.mark.parametrize(
    "stated", ["../v.mp4", "clips/../../v.mp4", "..\\v.mp4", "/etc/v.mp4", "C:\\v.mp4", "\\\\server\\share\\v.mp4"]
)
def test_a_stated_path_may_not_lead_out(add, only_problem, stated):
    add("v.mp4")
    add("v.json", label(filename=stated))
    problem = only_problem()
    assert problem.startswith("v.json: its filename") and "could lead out of the folder" in problem


@pytest.mark.parametrize("place", ["v.mp4", "v.json", "more"])
def test_links_may_not_lead_out(add, only_problem, tmp_path, place):
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(CLIP, outside / "v.mp4")
    (outside / "v.json").write_text(json.dumps(label()))
    folder = add("w.json", label())
    add("w.mp4")
    (folder / place).symlink_to(outside if place == "more" else outside / place)
    found = read_aihub(folder)
    assert [v.name for v in found.videos] == ["w"]
    assert [str(p) for p in found.problems] == [
        f"{place}: it leads out of the folder. Fix: copy its target into the folder"
    ]


def test_links_that_stay_inside_are_followed(add):
    folder = add("real/clip.mp4")
    add("v.json", label())
    (folder / "v.mp4").symlink_to(folder / "real" / "clip.mp4")
    (folder / "real" / "self").symlink_to(folder)  # a loop
    found = read_aihub(folder)
    assert [v.name for v in found.videos] == ["v"] and len(found.problems) == 1  # clip.mp4 has no label of its own


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty (0 bytes)"),
        (b"no video", "it is not a video or is broken"),
        (CLIP.read_bytes()[:3000], "it is not a video or is broken"),
    ],
)
def test_a_broken_clip_is_reported_and_left_out(add, only_problem, content, said):
    add("clips/v.mp4", content)
    add("labels/v.json", label())
    problem = only_problem()
    assert problem.startswith("labels/v.json: ") and "v.mp4" in problem and said in problem and "Fix: " in problem


def test_a_missing_clip(add, only_problem):
    add("v.json", label(filename="w.mp4"))
    assert only_problem() == (
        "v.json: there is no v.mp4 and no w.mp4 in the folder. Fix: add the clip, or remove the label"
    )


def test_a_clip_without_a_label(add, only_problem):
    add("a/v.mp4")
    assert only_problem() == "a/v.mp4: no label belongs to it. Fix: add v.json, or remove it"


@pytest.mark.parametrize("suffix", ["mp4", "json"])
def test_two_files_of_one_name(add, only_problem, suffix):
    for path in ("v.mp4", f"b/v.{suffix}"):
        add(path, label() if path.endswith("json") else None)
    add("v.json", label())
    problem = only_problem()
    assert problem.startswith(("v.json: ", "b/v.json: ")) and "2 files have one name (v" in problem
    assert f"b/v.{suffix}" in problem and "Fix: " in problem


def test_two_labels_for_one_clip(add):
    add("v.mp4")
    add("v.json", label())
    found = read_aihub(add("w.json", label(filename="v.mp4")))
    assert [v.name for v in found.videos] == ["v"]
    assert [str(p) for p in found.problems] == [
        "w.json: another label has taken the clip v.mp4. Fix: keep one label for each clip"
    ]


def test_every_problem_is_counted(add):
    for name in "abcd":
        add(f"{name}.mp4", b"broken" if name == "b" else None)
        add(f"{name}.json", label("" if name in "cd" else CAPTION))
    found = read_aihub(add("e.json", label()))
    assert [v.name for v in found.videos] == ["a"]
    assert [p.file for p in found.problems] == ["b.json", "c.json", "d.json", "e.json"]
    assert str(found).startswith("videos: 1, problems: 4\n  b.json: ")


def test_a_problem_with_a_name_that_is_no_utf8_can_be_printed(add):
    """Archives made on Korean Windows unpack to such names."""
    add("good.mp4")
    folder = add("good.json", label())
    (folder / os.fsdecode("바다.json".encode("cp949"))).write_bytes(b"{}")
    assert "there is no" in str(read_aihub(folder)).encode("utf-8").decode()


@pytest.mark.parametrize("only", ["nothing", "v.mp4", "v.json", "both"])
def test_a_folder_without_any_pair(add, only):
    folder = add("readme.txt", b"")
    if only in ("v.mp4", "both"):
        add("v.mp4")
    if only in ("v.json", "both"):
        add("v.json", {})
    with pytest.raises(ValueError, match=r"aihub: none of its . labels .* pair .*Fix: a label and its clip"):
        read_aihub(folder)


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder. Fix: "):
        read_aihub(tmp_path / "nowhere")


# -------------------------------------------------------------------------------------------------------------- names


def names(found) -> list[str]:
    return [video.name for video in found.videos]


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize("suffix", [*VIDEO_SUFFIXES, ".MOV", ".WebM"])
def test_clips_of_every_known_kind(add, suffix):
    add(f"clips/v{suffix}")
    found = read_aihub(add("labels/v.json", label()))
    assert names(found) == ["v"] and found.problems == []


@pytest.mark.parametrize("stated", ["바다 1.2", "바다 1.2.mp4", "바다 1.2.MP4", "clips/바다 1.2", nfd("바다 1.2")])
def test_only_the_suffix_of_a_video_is_taken_off_a_stated_name(add, stated):
    add("바다 1.2.mp4")
    add("바다 1.mp4")  # what remains of the name where ".2" passes for a suffix
    add("바다 1.json", label("다른 영상"))
    found = read_aihub(add("label-1.json", label(filename=stated)))
    assert {v.name: v.captions["ko"] for v in found.videos} == {"바다 1": "다른 영상", "바다 1.2": CAPTION}


def test_a_stated_name_is_tried_whole_before_its_suffix_is_taken_off(add):
    add("v.mp4")
    add("v.mov")
    add("v.mp4.avi")
    add("a.json", label("first", filename="v.mov"))
    found = read_aihub(add("b.json", label("second", filename="v.avi")))
    assert [(v.path.name, v.captions["ko"]) for v in found.videos] == [("v.mov", "first")]
    assert "b.json: 2 files have one name (v.mov, v.mp4)" in str(found)


@pytest.mark.parametrize("name", ["v.mp4.json", "v.MP4.json", "v.MOV.JSON", "v.json"])
def test_a_label_may_be_called_after_the_whole_file_name(add, name):
    add(f"clips/v{'.MOV' if 'MOV' in name else '.mp4'}")
    found = read_aihub(add(f"labels/{name}", label()))
    assert names(found) == ["v"] and found.problems == []


def test_two_labels_that_are_called_after_one_clip(add, only_problem):
    add("v.mp4")
    add("v.json", label("one"))
    add("v.mp4.json", label("other"))
    assert "v.json: 2 files have one name (v.json, v.mp4.json)" in only_problem()


@pytest.mark.parametrize("suffix", [".mp4", ".json"])
def test_twins_in_composed_and_decomposed_hangul_can_be_told_apart(add, suffix):
    add("바다.mp4")
    add("바다.json", label())
    with pytest.raises(ValueError, match="none of its"):
        read_aihub(add(nfd("바다") + suffix, label() if suffix == ".json" else None))
    add("good.mp4")
    problem = str(read_aihub(add("good.json", label())).problems[0])
    assert f"2 files have one name ({nfd('바다')}{suffix} (NFD), 바다{suffix})" in problem


# ------------------------------------------------------------------------------------------------------------ folders


def test_the_official_layout_and_its_split(add):
    """TS_ and TL_ for training, VS_ and VL_ for validation; a name that occurs in both parts is two clips."""
    for part in ("Training", "Validation"):
        for number in (1, 2):
            name = f"D3_DR_0816_{number:06}"
            add(f"{part}/01.원천데이터/{part[0]}S_드라마/{name}.mp4")
            add(f"{part}/02.라벨링데이터/{part[0]}L_D3_드라마/{name}.json", label(f"{part} {number}"))
    found = read_aihub(add("readme.txt", b""))
    assert found.problems == [] and {v.captions["ko"] for v in found.videos if v.part == "train"} == {
        "Training 1",
        "Training 2",
    }
    assert all(v.captions["ko"] == f"{v.path.parts[-4]} {v.path.stem[-1]}" for v in found.videos)
    assert names(found)[0] == "Training/01.원천데이터/TS_드라마/D3_DR_0816_000001.mp4"
    parts = split(found.videos)
    assert [[v.part for v in part] for part in parts] == [["train"] * 2, ["validation"] * 2, []]
    assert str(found).startswith("videos: 4 (train 2, validation 2), problems: 0")
    assert str(parts) == "train: 2, validation: 2, test: 0; split as the data set's own folders say"


@pytest.mark.parametrize(
    ("folders", "part"),
    [
        ("train/videos", "train"), ("val", "validation"), ("TEST", "test"), ("1.Training/[원천]도시", "train"),
        ("[라벨]Validation_2", "validation"), ("TL1", "train"), ("data/VS_드라마_220816", "validation"),
        ("trains", None), ("TSUNAMI", None), ("contest", None), ("Training/Test", None),
    ],
)  # fmt: skip
def test_what_names_a_part_of_the_split(add, folders, part):
    add(f"{folders}/v.mp4")
    assert read_aihub(add(f"{folders}/v.json", label())).videos[0].part == part


@pytest.mark.parametrize(
    ("name", "part"),
    [("Validation", "validation"), ("2.val_1", "validation"), ("TEST", "test"), ("test_of_mine", None)],
)
def test_a_folder_that_is_a_part_itself(add, name, part):
    """Whoever reads Validation alone must not train on it, though no folder inside says so."""
    add(f"{name}/videos/v.mp4")
    add(f"{name}/labels/v.json", label())
    add(f"{name}/Training/w.mp4")
    folder = add(f"{name}/Training/w.json", label()) / name
    assert [(v.name, v.part) for v in read_aihub(folder).videos] == [("v", part), ("w", "train")]


def of_part(part, *numbers, name="D3_DR_{:04}_000001") -> list[Video]:
    return [Video(name.format(number), {}, path=CLIP, part=part) for number in numbers]


def in_parts(parts) -> list[list[str]]:
    return [[video.name for video in part] for part in parts]


def test_the_official_split_counts_where_it_is_complete():
    videos = of_part("train", *range(80)) + of_part("validation", *range(80, 90))
    assert list(map(len, split(videos, 0.4, 0.4))) == [80, 10, 0]
    videos += of_part("test", *range(90, 95))
    assert list(map(len, split(videos, 0.4, 0.4))) == [80, 10, 5]
    assert split(videos).held_out == split(videos).test == videos[90:]


def test_what_is_kept_from_training_is_never_trained_on():
    """In no mixture of parts, and no clip of its recordings that the data set leaves open."""
    parts = [None, "train", "validation", "test"]
    for seed in range(200):
        rng = random.Random(seed)
        some = rng.sample(parts, rng.randrange(1, 5))
        names = rng.sample([f"r_{r:02}_{c}" for r in range(9) for c in range(9)], 40)
        videos = [Video(name, {}, path=CLIP, part=rng.choice(some)) for name in names]
        found, kept = split(videos), {recording(v.name) for v in videos if v.part in ("validation", "test")}
        assert not [v for v in found.train if v.part in ("validation", "test")]
        assert not [v for v in found.train if v.part is None and recording(v.name) in kept]
        assert sorted(v.name for part in found for v in part) == sorted(names)
        assert not kept or all(v in found.train for v in videos if v.part == "train")


def test_clips_outside_of_the_official_folders_go_with_their_recording_or_by_the_hash():
    official = of_part("train", 1) + of_part("validation", 2)
    open_ = of_part(None, *range(1, 300), name="D3_DR_{:04}_000002")
    found = split(official + open_, 0.2, 0.2)
    assert found.train[:2] == [official[0], open_[0]] and found.validation[:2] == [official[1], open_[1]]
    assert found.test == [] and 80 < len(found.validation) < 160  # both shares: AI-Hub has no test part
    assert str(found).endswith("as the data set's own folders say; 299 clips outside of them by their recording")
    tested = split(official + of_part("test", 2, 3)[1:] + open_, 0.2, 0.2)
    assert 30 < len(tested.test) < 90 and open_[2] in tested.test


def test_a_recording_in_two_official_parts_draws_its_open_clips_to_the_stricter():
    official = [
        Video(f"D3_DR_0816_{i}", {}, path=CLIP, part=part) for i, part in enumerate(("test", "train", "validation"))
    ]
    more = Video("more/D3_DR_0816_7.mp4", {}, path=CLIP)
    assert split([more, *official]).test == [more, official[0]]
    assert split([more, *official[::2]]) == ([], [official[2]], [more, official[0]])  # each where its data set has it


def test_validation_alone_leaves_nothing_to_train_on(monkeypatch):
    videos = of_part("validation", *range(20))
    parts = split(videos)
    assert parts == ([], videos, []) and parts.held_out == videos
    assert str(parts) == "train: 0, validation: 20, test: 0; split as the data set's own folders say"
    with pytest.raises(ValueError, match=r"nothing to train on \(train: 0, validation: 20, .*folders say\)\. Fix: add"):
        parts.to_train_on()
    monkeypatch.setenv("F2T_LANGUAGE", "ko")
    with pytest.raises(ValueError, match=r"학습할 클립이 없습니다\(학습 0개, 검증 20개, .*\. 해결: "):
        parts.to_train_on()


@pytest.mark.parametrize("part", ["train", None])
def test_training_alone_is_split_by_the_hash(part):
    videos = of_part("train", *range(50)) + of_part(part, *range(50, 90))
    hashed = split([Video(v.name, {}, path=CLIP) for v in videos])
    assert in_parts(split(videos)) == in_parts(hashed) and all(hashed)
    assert split(videos).to_train_on() == split(videos).train and hashed.held_out == hashed.test
    assert "by a hash of the names of the recordings: the data set's own validation and test" in str(split(videos))
    assert str(hashed).endswith("by a hash of the names of the recordings")


@pytest.mark.parametrize("name", ["D3_DR_{:04}_{:06}", "서울-{:02}-{:03}", "2023-08-{:02}_{}"])
def test_clips_of_one_recording_stay_on_one_side(name):
    videos = [Video(name.format(r, c), {}, path=CLIP) for r in range(60) for c in range(20)]
    sides = [{recording(video.name) for video in part} for part in split(videos, 0.3, 0.3)]
    assert all(sides) and sum(map(len, sides)) == 60


def test_names_without_a_recording_go_where_they_always_went():
    """Numbers that were measured depend on it."""
    assert [len(part) for part in split(toybox_videos(range(100)))] == [80, 7, 13]
    assert [recording(name) for name in ("toybox-7", "toybox_000300", "바다", "clip12")] == [
        "toybox-7",
        "toybox_000300",
        "바다",
        "clip12",
    ]


def test_folders_are_no_part_of_a_recordings_name():
    """Clips of one name are named by their paths (`read_aihub`); their recording is the same as ever."""
    names = ("D3_DR_0816_000001", "a/D3_DR_0816_000001.mp4", "b_1/c/D3_DR_0816_000002.MP4")
    assert {recording(name) for name in names} == {"D3_DR_0816"}
    assert [recording(name) for name in ("a_1/1.mp4", "b_1_2/1.mp4")] == ["a_1/1.mp4", "b_1_2/1.mp4"]


def test_one_folder_for_each_sample(add):
    for name in ("001", "바다", "c"):
        add(f"{name}/video.mp4")
        add(f"{name}/label.json", label(name))
    add("d/video.mp4")
    found = read_aihub(add("e/label.json", label("e")))
    assert {v.name: v.captions["ko"] for v in found.videos} == {"001": "001", "바다": "바다", "c": "c"}
    assert [problem.file for problem in found.problems] == ["d/video.mp4", "e/label.json"]


def test_the_one_label_and_the_one_clip_of_a_plain_name_are_a_pair(add):
    """labels/video.json says nothing, nor does its folder; where another could be meant, it is left out."""
    add("원천데이터/video.mp4")
    add("a.mp4")
    add("a.json", label("a"))
    found = read_aihub(add("라벨링데이터/video.json", label()))
    assert {v.name: v.captions["ko"] for v in found.videos} == {"a": "a", "원천데이터": CAPTION} and not found.problems
    found = read_aihub(add("more/video.mp4"))
    assert names(found) == ["a"] and [p.file for p in found.problems] == [
        "more/video.mp4",
        "라벨링데이터/video.json",
        "원천데이터/video.mp4",
    ]


def test_a_stray_label_of_a_plain_name_takes_no_clip_from_its_own(add):
    add("001/video.mp4")
    add("001/label.json", label())
    found = read_aihub(add("002/video.json", label("wrong")))
    assert {v.name: v.captions["ko"] for v in found.videos} == {"001": CAPTION}
    assert [problem.file for problem in found.problems] == ["002/video.json"]


def test_a_plain_name_does_not_join_two_parts_of_the_split(add):
    add("Training/labels/video.json", label())
    add("Validation/clips/video.mp4")
    add("a.mp4")
    assert names(read_aihub(add("a.json", label()))) == ["a"]


def test_a_list_with_a_plain_name_names_its_clips(add):
    add("clips/video.mp4")
    add("clips/b.mp4")
    entries = [label(name, filename=f"{name}.mp4") for name in ("b", "video")]
    found = read_aihub(add("labels/video.json", entries))
    assert {v.path.name: v.captions["ko"] for v in found.videos} == {"video.mp4": "video", "b.mp4": "b"}


def test_numbers_that_start_anew_in_each_category(add):
    """The clip of one category and the label of another are lost: what is left of them is no pair."""
    for category in "ab":
        for number in (1, 2, 3):
            add(f"TS_{category}/{number}.mp4")
            add(f"TL_{category}/{number}.json", label(f"{category}{number}"))
    folder = add("readme.txt", b"")
    (folder / "TS_a" / "2.mp4").unlink()
    (folder / "TL_b" / "2.json").unlink()
    found = read_aihub(folder)
    assert [(v.name, v.captions["ko"]) for v in found.videos] == [
        (f"TS_{c}/{n}.mp4", f"{c}{n}") for c in "ab" for n in (1, 3)
    ]
    assert [problem.file for problem in found.problems] == ["TL_a/2.json", "TS_b/2.mp4"]


def test_a_label_of_one_part_never_takes_the_clip_of_the_other(add, only_problem):
    add("Validation/v.mp4")
    add("Validation/v.json", label())
    folder = add("Training/v.json", label("wrong"))
    assert [(v.part, v.captions["ko"]) for v in read_aihub(folder).videos] == [("validation", CAPTION)]
    (folder / "Validation" / "v.json").unlink()
    add("good.mp4")
    assert names(read_aihub(add("good.json", label()))) == ["good"]


def test_a_list_of_labels(add):
    for name in "abc":
        add(f"clips/{name}.mp4")
    entries = [label(name, filename=f"{name}.mp4") for name in "ab"] + [label("c"), label(video_name="x"), 5]
    found = read_aihub(add("labels.json", entries + [label(" ", filename="c")]))
    assert {v.name: v.captions["ko"] for v in found.videos} == {"a": "a", "b": "b"}
    assert [problem.what.split(". Fix")[0] for problem in found.problems] == [
        "its label number 3: it does not name its clip",
        "its label number 4: there is no x in the folder",
        "its label number 5: it is not a JSON object {...} but int",
        "its label number 6: c.mp4: its annotation.description_kr is empty",
    ]


def test_a_list_states_clips_of_one_name_by_their_folders(add):
    for part in ("Training", "Validation", "x"):
        add(f"{part}/1.mp4")
    content = [label(part, filename=f"{part}/1.mp4") for part in ("Training", "Validation")]
    found = read_aihub(add("labels.json", [*content, label("either", filename="1.mp4")]))
    assert {v.name: v.captions["ko"] for v in found.videos} == {
        "Training/1.mp4": "Training",
        "Validation/1.mp4": "Validation",
    }
    assert "its label number 3: 3 files have one name (Training/1.mp4, Validation/1.mp4, x/1.mp4)" in str(found)


def test_labels_under_annotations(add):
    for name in "ab":
        add(f"{name}.mp4")
    found = read_aihub(
        add("all.json", {"annotations": [{"filename": f"{n}.mp4", "description_kr": n} for n in "ab"], "version": 1})
    )
    assert {v.name: v.captions["ko"] for v in found.videos} == {"a": "a", "b": "b"} and not found.problems


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    "entry",
    [
        {"description_kr": CAPTION},
        label(),
        {"sentences": [{"timestamps": ["00:01", "00:02"], "sentences_ko": CAPTION}]},
    ],
)
def test_a_list_of_one_label_is_read_as_one_of_several(add, count, entry):
    names = [f"{n}.mp4" for n in range(count)]
    for name in names:
        add(name)
    found = read_aihub(add("all.json", {"annotations": [entry | {"video_name": name} for name in names], "version": 1}))
    assert [(v.path.name, v.captions["ko"]) for v in found.videos] == [(name, CAPTION) for name in names]
    assert not found.problems


def test_a_list_under_annotations_that_holds_no_label(add, only_problem):
    add("labels/v.json", {"annotations": [7], "description_en": "A beach."})
    add("clips/v.mp4")
    assert "labels/v.json: it is not a JSON object {...} but int. Fix: " in only_problem()


# -------------------------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize("raw", ["첫 줄\n둘째 줄", "탭\t다음", "윈도\r\n줄", "제어\x0b문자"])
def test_raw_line_breaks_and_tabs_in_a_caption(add, raw):
    add("v.mp4")
    content = json.dumps(label("HERE")).replace("HERE", raw)
    found = read_aihub(add("v.json", content.encode()))
    assert found.problems == [] and found.videos[0].captions == {"ko": raw}


SILENT = ["", " \n", "\u200b", "\ufeff\u200d", "\u3164", "\u2060 \u00ad", "..."]


@pytest.mark.parametrize("caption", SILENT)
def test_a_caption_in_which_nothing_is_seen_is_empty(add, only_problem, caption):
    add("clips/v.mp4")
    add("labels/label-1.json", label(caption, filename="v.mp4"))
    assert "label-1.json: v.mp4: its annotation.description_kr is empty. Fix: " in only_problem()


@pytest.mark.parametrize("half", ["\\ud83d", "바다 \\ude00", "\\ude00\\ud83d", "\\ud83dx\\ude00"])
@pytest.mark.parametrize("key", ["description_kr", "description_en"])
def test_half_a_character_is_found_where_it_stands(add, only_problem, half, key):
    add("clips/v.mp4")
    content = json.dumps(label() | {"annotation": {"description_kr": CAPTION, key: "HERE"}}).replace("HERE", half)
    add("labels/v.json", content.encode())
    problem = only_problem()
    assert problem.startswith(f"labels/v.json: its annotation.{key} is damaged: it holds half a character (\\ud")


@pytest.mark.parametrize("caption", ["바다\ufffd 보입니다.", "\ufffd\ufffd\ufffd", "a\ufffd"])
def test_what_stands_for_an_unreadable_character_is_damage(add, only_problem, caption):
    add("clips/v.mp4")
    add("labels/v.json", label(caption))
    said = "its annotation.description_kr is damaged: it holds half a character (\\ufffd)"
    assert only_problem().startswith(f"labels/v.json: {said}")


def test_whole_surrogate_pairs_and_zero_width_characters_inside_are_text(add):
    add("v.mp4")
    found = read_aihub(add("v.json", b'{"description_kr": "\\ud83d\\ude00 \\u200bok"}'))
    assert found.videos[0].captions["ko"] == "😀 \u200bok"


@pytest.mark.parametrize("english", [*SILENT, None])
def test_an_empty_english_caption_is_no_reason_to_leave_out_the_korean_one(add, english):
    add("v.mp4")
    found = read_aihub(add("v.json", {"annotation": {"description_kr": CAPTION, "description_en": english}}))
    assert found.problems == [] and found.videos[0].captions == {"ko": CAPTION}


def test_damaged_utf8_does_not_pass_for_cp949(add, only_problem):
    """Read as CP949, it would be "諛붾떎" and the like, without a word."""
    data = json.dumps(label("바다와 산과 강"), ensure_ascii=False).encode()
    lost = bytearray(data)
    del lost[data.index("와".encode()) + 1]
    add("clips/v.mp4")
    add("labels/v.json", bytes(lost))
    assert "labels/v.json: it is neither UTF-8 nor CP949, or damaged" in only_problem()


def dense(*sentences):
    keys = ("timestamps", "sentences_ko", "sentences_en")
    return {"video_name": "v.mp4", "sentences": [dict(zip(keys, one, strict=False)) for one in sentences]}


@pytest.mark.parametrize(
    "sentences",
    [
        [(["00:50.00000", "00:59.0"], "바다입니다.", "Sea."), (["01:05.00000", "01:09.0"], "배가 옵니다.", "A ship.")],
        [(["9.5", "12"], "바다입니다.", "Sea."), (["10", "12"], "배가 옵니다.", "A ship.")],
        [([9.5, 12], "바다입니다.", "Sea."), ([10, 12], "배가 옵니다.", "A ship.")],
        [(["59:59", "60:00"], " 바다입니다.\n", "Sea."), (["1:00:00", "1:00:01"], "배가 옵니다.", "A ship.")],
    ],
)
def test_dense_captions_are_joined_in_the_order_of_time(add, sentences):
    add("v.mp4")
    for order in (sentences, sentences[::-1]):
        found = read_aihub(add("v.json", dense(*order)))
        assert found.problems == []
        assert found.videos[0].captions == {"ko": "바다입니다. 배가 옵니다.", "en": "Sea. A ship."}


def test_an_english_caption_that_lacks_a_sentence_is_none(add):
    add("v.mp4")
    found = read_aihub(add("v.json", dense((["0", "1"], "바다입니다.", "Sea."), (["1", "2"], "배가 옵니다.", ""))))
    assert found.videos[0].captions == {"ko": "바다입니다. 배가 옵니다."}


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ((["soon", "later"], "배"), "its sentences[1].timestamps is no time"),
        (([], "배"), "its sentences[1].timestamps is no time"),
        (([float("nan"), 2], "배"), "its sentences[1].timestamps is no time"),
        ((["1", "2"], ""), "its sentences[1].sentences_ko is empty"),
        ((["1", "2"],), "its sentences[1].sentences_ko is empty"),
        ((["1", "2"], ["배"]), "its sentences[1].sentences_ko is not text but list"),
    ],
)
def test_a_dense_caption_is_whole_or_a_problem(add, only_problem, sentence, said):
    add("clips/v.mp4")
    add("labels/v.json", dense((["0", "1"], "바다입니다."), sentence))
    assert f"labels/v.json: {said}" in only_problem()


# ------------------------------------------------------------------------------------------- what cannot be looked at


@pytest.mark.parametrize(
    "name", ["TS_a.zip", "[원천]a 1.ZIP", "download.tar", "a.tar.gz", "b/c.7z", "a.tar.bz2", "a.txz", "a.zst"]
)
def test_what_is_packed_is_a_problem(add, only_problem, name):
    add(name, b"PK")
    assert f"{name}: it is packed, and nothing in it was read. Fix: unpack it" in only_problem()


@pytest.mark.parametrize(
    "name", ["TS_a.zip.crdownload", "TS_a.zip.part", "TS_a.zip.part0.crdownload", "c/v.mp4.part", "v.MP4.aria2"]
)
def test_a_download_that_has_not_finished_is_a_problem(add, only_problem, name):
    add(name, b"PK")
    assert only_problem() == f"{name}: its download has not finished. Fix: finish it, or download it again"


def test_parts_are_to_be_joined_in_numeric_order(add, only_problem):
    for offset in (0, 1073741824, 10737418240, 2147483648):
        add(f"a/TS 1.zip.part{offset}", b"")
    problem = only_problem()
    order = " ".join(f"'TS 1.zip.part{offset}'" for offset in (0, 1073741824, 2147483648, 10737418240))
    assert "a/TS 1.zip.part0: one of 4 parts of 'TS 1.zip', and nothing in them was read. Fix: " in problem
    assert f"cat {order} > 'TS 1.zip'" in problem


def test_a_joined_archive_is_not_joined_again(add, only_problem):
    add("a.zip", b"")
    add("a.zip.part0", b"")
    problem = only_problem()
    assert problem.startswith("a.zip: it is packed") and "cat" not in problem


def test_a_folder_that_is_still_packed_says_so(add):
    add("Training/02.라벨링데이터/TL_a/v.json", label())
    with pytest.raises(ValueError, match=r"first problem: Training/01.원천데이터/TS_a.zip: it is packed"):
        read_aihub(add("Training/01.원천데이터/TS_a.zip", b"PK"))


def test_a_subfolder_without_permission_is_a_problem(add, only_problem, monkeypatch):
    folder, scandir = add("closed/v.mp4"), os.scandir

    def guarded(path):
        if os.fspath(path) == str(folder / "closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)  # chmod does not stop root
    assert only_problem().startswith("closed: it cannot be opened (Permission denied). Fix: give yourself the right")


def test_a_label_without_permission_is_a_problem(add, only_problem, monkeypatch):
    add("v.mp4")
    read, closed = Path.read_bytes, add("v.json", label()) / "v.json"

    def guarded(path):
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", guarded)
    assert only_problem().startswith("v.json: it cannot be opened (Permission denied). Fix: ")


@pytest.mark.parametrize("name", ["v.json", "v.mp4"])
def test_what_is_no_file_is_not_opened(add, only_problem, name):
    os.mkfifo(add("w.txt", b"") / name)  # reading it would wait for ever
    assert only_problem().startswith(f"{name}: it cannot be opened (not a regular file)")


def test_a_clip_without_permission_is_a_problem(add, only_problem, monkeypatch):
    closed, probe = add("v.mp4") / "v.mp4", aihub.probe
    add("v.json", label())

    def guarded(path):
        if path == closed:
            raise PermissionError(f"{path}: you may not read it. Fix: chmod u+r it")
        return probe(path)

    monkeypatch.setattr(aihub, "probe", guarded)
    assert only_problem().startswith(f"v.json: {closed}: it cannot be opened (PermissionError). Fix: give yourself")


@pytest.mark.parametrize(
    "language, said", [("en", "its filename is not text but "), ("ko", "filename: 텍스트가 아니라 ")]
)
@pytest.mark.parametrize("stated", [0, False, [], {}, 7])
def test_a_stated_name_is_text(add, only_problem, monkeypatch, language, said, stated):
    monkeypatch.setenv("F2T_LANGUAGE", language)
    add("v.mp4")
    add("v.json", label(filename=stated))
    assert said + type(stated).__name__ in only_problem()


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_the_command_that_writes_the_sample_fails_in_one_line(tmp_path, place):
    (tmp_path / "taken").write_text("a file where a folder should be")  # as read-only, but for root too
    command = [sys.executable, "-m", "lib.workshop.aihub_sample", str(tmp_path / place)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and "Fix: name a folder that you may write to" in done.stderr


# ----------------------------------------------------------------------------------------------------------- language


def test_every_sentence_comes_in_korean(add, monkeypatch):
    monkeypatch.setenv("F2T_LANGUAGE", "ko")
    add("Training/v.mp4")
    add("Training/v.json", label())
    add("empty.mp4")
    add("empty.json", label(""))
    add("broken.mp4", b"")
    add("broken.json", label())
    add("list.json", [label(filename="none.mp4"), label()])
    add("a.zip", b"")
    found = read_aihub(add("alone.mp4"))
    assert str(found).startswith("영상 1개 (학습 1), 문제 6개\n")
    assert all("해결: " in problem.what and "Fix: " not in problem.what for problem in found.problems)
    assert "broken.mp4: it is empty (0 bytes)). 해결: " in str(found) and "클립을 읽을 수 없습니다(원문: " in str(found)
    assert "empty.json: annotation.description_kr: 비어 있습니다. 해결: 캡션을 넣거나" in str(found)
    assert str(split(found.videos)).startswith("학습 ")
    with pytest.raises(FileNotFoundError, match="폴더가 없습니다"):
        read_aihub("nowhere")
    monkeypatch.setenv("F2T_LANGUAGE", "xx")
    assert str(found).startswith("videos: 1")


def test_both_languages_of_a_sentence_take_the_same_values():
    for module in (aihub, videos):
        texts = [value for value in vars(module).values() if isinstance(value, text.Text)]
        assert len(texts) > 2
        for one in texts:
            english, korean = ({f for _, f, _, _ in string.Formatter().parse(t) if f} for t in one)
            assert english == korean, one


# ------------------------------------------------------------------------------------------------------ damaged folders


LAYOUTS = {
    "flat": ("{name}.mp4", "{name}.json"),
    "apart": ("원천데이터/{name}.mp4", "라벨링데이터/{name}.json"),
    "official": ("{part}/01.원천데이터/{t}S_{c}/{n}.mp4", "{part}/02.라벨링데이터/{t}L_{c}/{n}.json"),
    "categories": ("{c}/{part}{n}.mp4", "{c}/{part}{n}.json"),
    "samples": ("{name}/video.mp4", "{name}/label.json"),
    "users": ("{part}/videos/{c}{n}.mp4", "{part}/labels/{c}{n}.mp4.json"),
}


class Fuzz:
    """A folder of eight pairs, damaged, and what is known of it: `clips` and `labels`, path -> which pair it is of."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.rng, self.clips, self.labels, self.recoded = folder, random.Random(seed), {}, {}, set()
        clip, label_ = LAYOUTS[list(LAYOUTS)[seed % len(LAYOUTS)]]
        for i, (part, c, n) in enumerate(itertools.product(("Training", "Validation"), ("산", "바다"), "12")):
            values = dict(name=f"{part[0]}_{c}_{n}", part=part, t=part[0], c=c, n=n)
            content = json.dumps(self.content(i), ensure_ascii=False)
            self.write(self.clips, clip.format(**values), CLIP.read_bytes(), i)
            self.write(self.labels, label_.format(**values), content.encode(), i)
        for _ in range(self.rng.randrange(1, 5)):
            self.rng.choice(DAMAGES)(self)

    def content(self, i: int) -> dict:
        text = f"영상 {i}번에는 파도와 해변이 보입니다."
        return [label(text), {"caption": {"korean": text}}, dense((["0:01", "0:02"], text)), [label(text)]][i % 4]

    def write(self, kind: dict, place: str, data: bytes, i: int) -> None:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        kind[path] = i

    def any(self, kind: dict) -> Path:
        return self.rng.choice(sorted(kind))

    def lose(self):
        kind = self.rng.choice((self.clips, self.labels))
        if len(kind) > 2:
            path = self.any(kind)
            path.unlink()
            del kind[path]

    def rename(self):
        kind = self.rng.choice((self.clips, self.labels))
        path = self.any(kind)
        stem, suffix = path.stem, path.suffix
        new = self.rng.choice((f"{nfd(stem)}{suffix}", f"{stem}{suffix.upper()}", f"{stem} 1.2{suffix}"))
        if kind is self.clips:
            new = self.rng.choice((new, f"{stem}.mov", f"{stem}.WEBM"))
        if not (path.parent / new).exists():
            kind[path.rename(path.parent / new)] = kind.pop(path)

    def copy(self):
        kind = self.rng.choice((self.clips, self.labels))
        path = self.any(kind)
        place = self.rng.choice(("", "Training/")) + f"copy{kind[path]}/{path.name}"
        if not (self.folder / place).exists():
            self.write(kind, place, path.read_bytes(), kind[path])

    def twin(self):
        kind = self.rng.choice((self.clips, self.labels))
        path = self.any(kind)
        place = path.relative_to(self.folder).with_name(nfd(path.name)).as_posix()
        if not (self.folder / place).exists():
            self.write(kind, place, path.read_bytes(), kind[path])

    def flip(self):
        path = self.any(self.labels)
        data = bytearray(path.read_bytes())
        for _ in range(self.rng.choice((1, 2, 8))):
            data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
        path.write_bytes(data)

    def cut(self):
        path = self.any(self.rng.choice((self.labels, self.labels, self.clips)))
        data = path.read_bytes()
        path.write_bytes(data[: self.rng.randrange(len(data))])

    def recode(self):
        path = self.any(self.labels)
        try:
            text = path.read_bytes().decode()
            path.write_bytes(text.encode(self.rng.choice(("utf-8-sig", "cp949", "utf-16", "euc-kr"))))
            self.recoded.add(self.labels[path])
        except UnicodeError:
            pass

    def reword(self):
        path = self.any(self.labels)
        data, old = path.read_bytes(), "파도와".encode()
        new = self.rng.choice(("\n", "\t", "\\ud83d", "\\u200b", "\\ud83d\\ude00", '", "x": "', nfd("바다"), "\x00"))
        path.write_bytes(data.replace(old, new.encode()))

    def empty(self):
        path, text = self.any(self.labels), self.rng.choice(("", "\u200b", None, 5, [], {}, "\u3164"))
        path.write_text(json.dumps(self.rng.choice((label(text), [label(text)], {"caption": text}, text))))

    def litter(self):
        name = self.rng.choice(("a.zip", "a.zip.part0", "._v.json", "v.txt", "no.json", "no.mp4", "x.tar"))
        (self.folder / name).write_bytes(self.rng.choice((b"", b"{}", b"\0\1")))

    def pipe(self):
        if not (self.folder / "pipe.json").exists():
            os.mkfifo(self.folder / "pipe.json")
            (self.folder / "gone.mp4").symlink_to(self.folder / "nowhere.mp4")
            (self.folder / "out").symlink_to("/")

    def close(self):
        path = self.any(self.labels)
        (path if self.rng.random() < 0.5 or path.parent == self.folder else path.parent).chmod(0)


DAMAGES = [
    Fuzz.lose, Fuzz.lose, Fuzz.rename, Fuzz.copy, Fuzz.twin, Fuzz.flip, Fuzz.flip, Fuzz.cut, Fuzz.recode, Fuzz.reword,
    Fuzz.empty, Fuzz.litter, Fuzz.pipe, Fuzz.close,
]  # fmt: skip


def texts_in(path: Path, recoded: bool) -> list[str]:
    """All texts in a label, read by the plainest means: what a caption may be."""
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "cp949") if recoded else ("utf-8",):
        try:
            content, texts = [json.loads(data.decode(encoding), strict=False)], []
        except ValueError:
            continue
        while content:
            one = content.pop()
            content += list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
            texts += [unicodedata.normalize("NFC", one.strip())] if isinstance(one, str) else []
        return texts
    return []


@pytest.mark.parametrize("seed", range(60))
def test_damaged_folders(tmp_path, seed):
    """Never an error but ValueError, never a wait; each pair is right; each clip that is not used has a problem."""
    fuzz, began = Fuzz(tmp_path, seed), time.monotonic()
    try:
        found = read_aihub(tmp_path)
    except ValueError as error:
        assert "Fix: " in str(error) and "\n" not in str(error)
        return
    assert time.monotonic() - began < 10
    str(found).encode()
    assert len({video.name for video in found.videos}) == len({video.path for video in found.videos})
    for video in found.videos:
        of = fuzz.clips[video.path]
        mine = [path for path, i in fuzz.labels.items() if i == of]
        assert any(video.captions["ko"] in texts_in(path, of in fuzz.recoded) for path in mine), (video, str(found))
        video.captions["ko"].encode()
    said = unicodedata.normalize("NFC", str(found))
    used = {video.path for video in found.videos}
    for path in set(fuzz.clips) - used:
        name = unicodedata.normalize("NFC", path.stem)
        assert name in said or path.parent.name in said, (path, said)
    assert all("Fix: " in problem.what for problem in found.problems)
