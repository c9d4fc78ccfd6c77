"""The task files for lmms-eval: their shape is that of its own tasks, and their scores are those of the course."""

import importlib.util
import inspect
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from lib import toybox
from lib.data import Video, read_aihub, split, toybox_videos
from lib.evaluate import metrics
from lib.evaluate.metrics import Record
from lib.known import REVISIONS
from lib.tools import lmms_eval
from lib.video import probe, read_frames

FOLDER = Path(__file__).parent.parent / "data" / "lmms_eval"
VIDEOS = toybox_videos(range(3))


def utils():
    spec = importlib.util.spec_from_file_location("utils", FOLDER / "utils.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_task(name):
    """A task as lmms-eval reads it: `!function utils.x` is that function, `include` is another file, below this one."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: getattr(utils(), node.value.removeprefix("utils.")))
    task = yaml.load((FOLDER / name).read_text(encoding="utf-8"), Loader)
    return load_task(task.pop("include")) | task if "include" in task else task


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    path = lmms_eval.write_task(tmp_path_factory.mktemp("task"), VIDEOS)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["toybox_ko", "aihub_ko"])
def test_a_task_has_what_lmms_eval_asks_for(name):
    task = load_task(f"{name}.yaml")
    assert task["task"] == name
    assert (task["dataset_path"], task["test_split"], task["output_type"]) == ("json", "test", "generate_until")
    assert task["dataset_kwargs"] == {"data_files": {"test": f"{name}/test.jsonl"}}
    assert task["generation_kwargs"]["do_sample"] is False and "default" in task["lmms_eval_specific_kwargs"]
    assert [len(inspect.signature(task[key]).parameters) for key in ("doc_to_visual", "doc_to_text")] == [1, 2]
    names = [metric["metric"] for metric in task["metric_list"]]
    assert set(names) <= set(utils().SCORES) and len(set(names)) == len(names)
    assert all(metric["aggregation"].__name__ == metric["metric"] for metric in task["metric_list"])
    lower_is_better = {metric["metric"] for metric in task["metric_list"] if not metric["higher_is_better"]}
    assert lower_is_better == {"chair_i", "chair_s"} & set(names)


def test_the_clips_are_files_that_show_the_clips(lines):
    for line, video in zip(lines, VIDEOS, strict=True):
        assert (line["clip"], line["reference"]) == (video.name, video.captions["ko"])
        assert probe(line["video"]).frames == 16
        shown = read_frames(line["video"], [5]).pixels[0, 2::4, 2::4]
        assert abs(shown.astype(int) - toybox.render(video.clip)[5]).mean() < 8


def test_a_task_gives_the_scores_of_the_course(lines):
    task = load_task("toybox_ko.yaml")
    outputs = [lines[0]["reference"], f" {toybox.false_captions(VIDEOS[1].clip, 'ko')[0].caption}\n", "모르겠습니다."]
    results = [task["process_results"](line, [output]) for line, output in zip(lines, outputs, strict=True)]
    scores = {m["metric"]: m["aggregation"]([result[m["metric"]] for result in results]) for m in task["metric_list"]}
    records = [
        Record("mine", line["clip"], "caption", "ko", "", line["reference"], output.strip())
        for line, output in zip(lines, outputs, strict=True)
    ]
    assert scores == {
        "chrf_pp": metrics.CHRF_PP(records), "bleu_char": metrics.bleu("char")(records),
        "cider": metrics.cider("CIDEr", metrics.characters)(records), "distinct": 1,
        "facts_right": metrics.FACTS_RIGHT(records), "chair_i": metrics.CHAIR_I(records), "chair_s": 1 / 3,
    }  # fmt: skip
    assert 0 < scores["chair_i"] < scores["facts_right"] < 1


def test_what_a_model_is_shown_and_asked(lines):
    task, words = load_task("toybox_ko.yaml"), {"pre_prompt": "<", "post_prompt": ">"}
    assert task["doc_to_visual"](lines[0]) == [lines[0]["video"]]
    assert task["doc_to_text"](lines[0]) == toybox.CAPTION_PROMPTS["ko"]
    assert task["doc_to_text"](lines[0], words) == f"<{toybox.CAPTION_PROMPTS['ko']}>"
    assert task["doc_to_target"] in lines[0]


def settings_of(folder, data, **more):
    """A file of settings for a job on these data."""
    path = folder / "job.yaml"
    path.write_text(json.dumps({"data": str(data), "output": str(folder / "run"), "language": "ko"} | more))
    return str(path)


def test_the_command_takes_toybox_or_a_job(tmp_path, capsys):
    lmms_eval.main([str(tmp_path / "toybox_ko"), "--clips", "1"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "toybox_ko" / "test.jsonl")
    job = settings_of(tmp_path, FOLDER.parent / "aihub_sample", prompts=["이 영상을 요약해 주세요.", "묘사해 주세요."])
    lmms_eval.main([str(tmp_path / "aihub_ko"), "--job", job])
    lines = [json.loads(line) for line in (tmp_path / "aihub_ko" / "test.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 2 and all(Path(line["video"]).exists() for line in lines)
    assert {line["question"] for line in lines} == {"이 영상을 요약해 주세요."}  # the one that `caption` uses


def test_the_command_names_the_commit_that_the_course_pins():
    command = (FOLDER / "README.md").read_text(encoding="utf-8")
    ((name, commit),) = re.findall(r"--model_args pretrained=(\S+),revision=(\w+)", command)
    assert REVISIONS[name] == commit


def test_a_video_without_a_caption_is_named(tmp_path):
    video = Video("toybox-7", {"en": "A ring."}, VIDEOS[0].clip)
    with pytest.raises(ValueError, match="toybox-7 has no caption in 'ko'"):
        lmms_eval.write_task(tmp_path, [video])


def test_no_clip_of_aihub_is_scored_that_split_keeps_for_training(tmp_path, capsys):
    def scored(aihub):
        lmms_eval.main([str(tmp_path / "task"), "--job", settings_of(tmp_path, aihub)])
        lines = (tmp_path / "task" / "test.jsonl").read_text("utf-8").splitlines()
        return {json.loads(line)["clip"] for line in lines}

    sample = FOLDER.parent / "aihub_sample"
    assert scored(sample) == {"toybox_000304", "toybox_000305"}
    assert "as the data set's own folders say" in capsys.readouterr().err
    flat = tmp_path / "no split of its own"
    for path in (path for path in sample.rglob("*.*") if path.suffix in (".mp4", ".json")):
        flat.mkdir(exist_ok=True)
        for number in range(5):
            shutil.copy(path, flat / f"{path.stem.replace('_', '-')}{number}{path.suffix}".replace("-", ""))
    parts = split(read_aihub(flat).videos)
    assert scored(flat) == {video.name for video in parts.test} and parts.test


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--job", "nowhere.yaml"], "error: there is no file of settings nowhere.yaml"),
        (["--clips", "0"], "error: no clip to score. Fix: "),
        (["--clips", "-3"], "error: no clip to score. Fix: "),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit) as stop:
        lmms_eval.main([str(tmp_path / "task"), *arguments])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.startswith(words) and said.count("\n") == 1
    assert not (tmp_path / "task").exists()
