"""The job: settings, formats, training that survives kills and full disks, captions, scores, whole weights."""

import errno
import json
import math
import subprocess
import sys
import unicodedata

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import LlavaNextVideoForConditionalGeneration
from video_files import write

from lib import vlm
from lib.__main__ import main
from lib.budget.cards import CARDS, THIS_MACHINE
from lib.data.formats import read_source
from lib.data.videos import split, toybox_videos
from lib.evaluate.metrics import CHRF_PP, Record
from lib.evaluate.records import measure
from lib.files import ROOT
from lib.finetune import load_adapter
from lib.finetune.checkpoints import Step
from lib.job import planning, training
from lib.job.captioning import caption_clips, read_lines
from lib.job.scoring import on_the_same
from lib.job.settings import read_job, reducer_of
from lib.job.training import alone_in, clips_of, drawn, train_job
from lib.known import GIB
from lib.reducers import LlavaVideo, SlowFastLlava, SpatialPool
from lib.toybox import CAPTION_PROMPTS

JOBS = sorted((ROOT / "jobs").glob("*.yaml"))
TINY = {
    "data": "toybox:1000000:1000040", "model": "tiny", "frames": 4, "steps": 6, "every": 2, "batch": 2,
    "accumulation": 1, "learning_rate": 4e-3, "checkpointing": False, "rank": 4,
}  # fmt: skip


def job_file(folder, **changes):
    """A file of settings whose output is in the same folder."""
    settings = TINY | {"output": str(folder / "run")} | changes
    path = folder / "job.yaml"
    path.write_text("".join(f"{name}: {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings.items()))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A job that was trained."""
    path = job_file(tmp_path_factory.mktemp("job"))
    train_job(read_job(path))
    return path


def run(capsys, *words):
    """Exit code, stdout and stderr of a command."""
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


# Settings


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_the_shipped_files_of_settings_are_read(path):
    job = read_job(path)
    assert job.output == f"runs/{path.stem}" and reducer_of(job.reducer) is None


def test_changes_on_the_command_line_count(trained):
    job = read_job(trained, ["steps=9", "prompts=하나만", "learning_rate=1e-3", "four_bit=true"])
    assert (job.steps, job.prompts, job.learning_rate, job.four_bit) == (9, ["하나만"], 1e-3, True)


@pytest.mark.parametrize("text, kind", [
    ("SpatialPool(4, mode='max')", SpatialPool),
    ("LlavaVideo(slow_every=4)", LlavaVideo),
    ("SlowFastLlava('slowfast-slow_2frms_spatial_1d_max_pool-fast_4x4')", SlowFastLlava),
])  # fmt: skip
def test_a_reducer_is_written_as_in_python(text, kind):
    assert type(reducer_of(text)) is kind


WRONG = {
    "an unknown key": ("stepz: 3", "'stepz' is not a setting: did you mean steps?"),
    "a wrong type": ("steps: many", "steps: invalid int value: 'many'"),
    "a fraction of a step": ("steps: 1.5", "steps: invalid int value: '1.5'"),
    "a choice that is none": ("schedule: sawtooth", "schedule: invalid choice: 'sawtooth'"),
    "nothing at a time": ("batch: 0", "batch is 0: give at least 1"),
    "a rate that is no number": ("learning_rate: .nan", "learning_rate is nan: give at least 0"),
    "shares of all": ("validation: 0.9\ntest: 0.2", "shares of 1 leave nothing to train"),
    "a list where one belongs": ("frames: [4, 8]", "frames: give one value, not [4, 8]"),
    "an unknown reducer": ("reducer: Magic(3)", "reducer 'Magic(3)' is unknown: write default, or a call of Spatial"),
    "code in place of a reducer": ("reducer: SpatialPool(open('x'))", "is unknown: write default"),
    "an impossible reducer": ("reducer: SpatialPool(0)", "stride"),
    "a negative seed": ("seed: -1", "seed is -1: give at least 0"),
    "steps of warmup": ("warmup: 100", "warmup is 100.0: give at most 1"),
    "an empty output": ('output: ""', "output is empty"),
    "an empty prompt": ('prompts: ["하나", ""]', "prompts: '' is not a prompt"),
    "a prompt that looks like an option": ('prompts: ["- x"]', "prompts: '- x' is not a prompt"),
    "a reducer's stride that is no number": ("reducer: SpatialPool(True)", "stride=True: a stride is a whole number"),
    "no data": ("data:", "the following arguments are required: --data"),
    "cut off": ("prompts: [one", "is not YAML, or is cut off"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings_are_one_line_that_names_the_fix(capsys, tmp_path, name):
    line, words = WRONG[name]
    path = job_file(tmp_path)
    kept = [old for old in path.read_text().splitlines() if not line.startswith(old.split(":")[0] + ":")]
    path.write_text("\n".join([*kept, line]))
    code, out, err = run(capsys, "train", path)
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text, words", [
    (None, "there is no file of settings"), ("", "holds no settings"), ("- a list", "holds no settings"),
])  # fmt: skip
def test_no_file_of_settings(capsys, tmp_path, text, words):
    path = tmp_path / "job.yaml"
    if text is not None:
        path.write_text(text)
    code, _, err = run(capsys, "plan", path)
    assert code == 2 and words in err and err.count("\n") == 1


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    job = read_job(job_file(tmp_path, data="~/clips.jsonl", output="~/run", model="~/model"))
    assert [job.data, job.output, job.model] == [str(tmp_path / name) for name in ("clips.jsonl", "run", "model")]


def test_a_change_without_a_value(capsys, trained):
    code, _, err = run(capsys, "train", trained, "steps")
    assert code == 2 and "write key=value" in err


# Data


ASK, SAY = "영상을 설명해 주세요.", "개가 뜁니다."
RECORDS = {
    "captions": {"video": "a.mp4", "caption": SAY},
    "LLaMA-Factory": {
        "messages": [{"role": "user", "content": f"<video>{ASK}"}, {"role": "assistant", "content": SAY}],
        "videos": ["a.mp4"],
    },
    "ShareGPT": {
        "conversations": [{"from": "human", "value": f"<video>\n{ASK}"}, {"from": "gpt", "value": SAY}],
        "videos": ["a.mp4"],
    },
    "TRL": {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "You describe."}]},
            {"role": "user", "content": [{"type": "video", "video": "a.mp4"}, {"type": "text", "text": ASK}]},
            {"role": "assistant", "content": [{"type": "text", "text": SAY}]},
        ]
    },
    "TRL, in two halves": {"prompt": f"<video>{ASK}", "completion": SAY, "videos": ["a.mp4"]},
}


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize("name", RECORDS)
def test_formats_that_people_have(tmp_path, name, suffix):
    (tmp_path / "a.mp4").touch()
    text = json.dumps(RECORDS[name], ensure_ascii=False)
    (tmp_path / f"data{suffix}").write_text(text if suffix == ".jsonl" else f"[{text}]")
    found = read_source(str(tmp_path / f"data{suffix}"), "ko")
    [video] = found.videos
    assert (video.name, video.path, video.captions) == ("a", tmp_path / "a.mp4", {"ko": SAY})
    assert found.prompts == ([] if name == "captions" else [ASK]) and not found.problems


UNUSABLE = {
    "no JSON": ('{"video": "a.mp4"', "not JSON"),
    "a missing file": ('{"video": "b.mp4", "caption": "x"}', "b.mp4 is missing"),
    "an empty caption": ('{"video": "a.mp4", "caption": "  "}', "its caption is empty"),
    "a caption that is no text": ('{"video": "a.mp4", "caption": 3}', "its caption is empty"),
    "no video": ('{"caption": "x"}', "names no video"),
    "two videos": (json.dumps(RECORDS["LLaMA-Factory"] | {"videos": ["a.mp4", "b.mp4"]}), "names no video, or several"),
    "a conversation": (json.dumps({"messages": RECORDS["LLaMA-Factory"]["messages"] * 2}), "holds 4 turns"),
    "a list": ("[1]", "not JSON"),
    "an unknown part": ('{"video": "a.mp4", "caption": "x", "part": "val"}', "its part is 'val': write"),
    "turns that are no turns": ('{"messages": ["a", 3]}', "holds 0 turns"),
    "no list of turns": ('{"messages": 3}', "holds 0 turns"),
    "parts that are no parts": (
        '{"messages": [{"role": "user", "content": ["x"]}, {"role": "assistant", "content": 3}], "videos": "a.mp4"}',
        "names no video",
    ),
    "letters cut in two": (b'{"video": "a.mp4", "caption": "\xeb\xb0', "not JSON"),
    "the same video again": ('{"video": "a.mp4", "caption": "x"}', "has a caption already"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_a_record_lacks_is_listed_with_its_line(tmp_path, name):
    line, words = UNUSABLE[name]
    (tmp_path / "a.mp4").touch()
    good = json.dumps(RECORDS["captions"], ensure_ascii=False)
    line = line if isinstance(line, bytes) else line.encode()
    (tmp_path / "data.jsonl").write_bytes(good.encode() + b"\n\n" + line + b"\n")
    found = read_source(str(tmp_path / "data.jsonl"), "ko")
    [problem] = found.problems
    assert len(found.videos) == 1 and problem.file == "data.jsonl, line 3" and words in problem.what


def test_records_of_windows_and_macos_mean_the_same(tmp_path):
    """CP949, a byte order mark, names of files in pieces (NFD), and separators that are no ends of lines."""
    (tmp_path / "바다.mp4").touch()
    line, found = json.dumps({"video": "바다.mp4", "caption": "개가 뜁니다. 끝."}, ensure_ascii=False), []
    separated = line.replace(" 끝", "\u2028끝")
    for data in (line.encode("cp949"), line.encode("utf-8-sig"), unicodedata.normalize("NFD", line).encode(),
                 line.encode() + b"\r\n", separated.encode()):  # fmt: skip
        (tmp_path / "data.jsonl").write_bytes(data)
        source = read_source(str(tmp_path / "data.jsonl"), "ko")
        assert not source.problems
        found.append((source.videos[0].name, source.videos[0].captions["ko"].replace("\u2028", " ")))
    assert set(found) == {("바다", "개가 뜁니다. 끝.")}


NO_DATA = {
    "no seeds": ("toybox:5:5", {}, "toybox:5:5 holds no clip"),
    "no such folder": ("nowhere", {}, "no such file or folder"),
    "no caption in the language": ("toybox:1000000:1000010", {"language": "fr"}, "has no caption in 'fr'"),
    "one clip": ("toybox:1000002:1000003", {"validation": 0.0, "test": 0.99}, "nothing to train on"),
}


@pytest.mark.parametrize("name", NO_DATA)
def test_data_that_trains_nothing(capsys, tmp_path, name):
    data, changes, words = NO_DATA[name]
    code, out, err = run(capsys, "train", job_file(tmp_path, data=data, **changes))
    assert (code, out) == (2, "") and words in err.splitlines()[-1]


TOO_LONG = {
    "frames": ({"frames": 200}, "exceed the context of 2048: use at most"),
    "an answer": ({"max_new_tokens": 5000}, "exceed the context of 2048"),
    "a pool larger than the frame": ({"reducer": "SpatialPool(100)"}, "cannot be pooled with stride 100"),
    "attention that is not installed": ({"attention": "flash_attention_2"}, "flash_attention_2 is not installed"),
}


@pytest.mark.parametrize("name", TOO_LONG)
def test_what_cannot_be_trained_is_refused_before_features_are_computed(capsys, tmp_path, name):
    changes, words = TOO_LONG[name]
    code, out, err = run(capsys, "train", job_file(tmp_path, **changes))
    assert (code, out) == (2, "") and words in err.splitlines()[-1] and not (tmp_path / "run").exists()


def test_no_clip_to_test_on(capsys, tmp_path):
    path = job_file(tmp_path, data="toybox:1000000:1000004", validation=0.0, test=0.0)
    code, _, err = run(capsys, "caption", path)
    assert code == 2 and "leaves no clip to test on: raise `test`" in err.splitlines()[-1]


def test_an_official_split_is_not_chosen_by():
    """AI-Hub has no test part: scores are of its validation part, so the best checkpoint is chosen by other clips."""
    job = read_job("jobs/tiny.yaml", ["data=data/aihub_sample", "validation=0.5"])
    parts = clips_of(job)[1]
    assert [video.part for video in parts.test] == ["validation"] * 2 == [video.part for video in parts.held_out]
    assert len(parts.train) + len(parts.validation) == 4


def test_prompts_are_drawn_and_a_longer_run_begins_as_a_shorter():
    videos = clips_of(read_job("jobs/tiny.yaml", ["data=toybox:1000000:1000010"]))[1].train
    order = drawn(videos, "ko", ["a", "b"], 40, seed=0)
    assert {example.prompt for example in order} == {"a", "b"}
    assert len({example.video.name for example in order[: len(videos)]}) == len(videos)
    assert order[:15] == drawn(videos, "ko", ["a", "b"], 15, seed=0) != drawn(videos, "ko", ["a", "b"], 15, seed=1)


# Training


def weights_in(folder):
    return load_file(folder / "checkpoint.safetensors") | load_file(folder / "adapter" / "adapter_model.safetensors")


def test_training_is_told_what_the_settings_say(tmp_path, monkeypatch):
    """Clips for training only, none for validation; prompts, pace, adapter, sampling rule and reducer as set."""
    told = {}

    def fit(*arguments):
        told.update(zip(("vlm", "collate", "examples", "plan", "folder", "validation"), arguments, strict=False))
        return []

    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(training, "read_adapter", lambda folder: None)
    changes = {"steps": None, "epochs": 1.6, "accumulation": 3, "warmup": 0.25, "validation": 0.3, "alpha": 7}
    seen = {"prompts": ["하나", "둘"], "reducer": "SpatialPool(4)", "sampling": "huggingface"}
    job = read_job(job_file(tmp_path, **changes, **seen))
    train_job(job)
    assert clips_of(job)[1] == split(toybox_videos(range(1000000, 1000040)), validation=0.3, test=0.1)
    parts, plan, model, collate = clips_of(job)[1], told["plan"], told["vlm"], told["collate"]
    assert {example.video.name for example in told["examples"]} == {video.name for video in parts.train}
    assert {example.prompt for example in told["examples"]} == {"하나", "둘"}
    checked = [(example.video.name, example.prompt) for example in told["validation"]]
    assert checked == [(video.name, "하나") for video in parts.validation] and len(checked) > 2
    steps = math.ceil(1.6 * len(parts.train) / 6)
    assert (plan.steps, plan.step_size, plan.warmup) == (steps, 6, round(steps / 4))
    assert model.model.peft_config["default"].lora_alpha == 7
    video = parts.train[0]
    expected = SpatialPool(4)(model.encode(video.frames(4, "huggingface")), model.project).embeds
    torch.testing.assert_close(collate.reducer(collate.features(video), model.project).embeds, expected)
    assert (video.frames(4) != video.frames(4, "huggingface")).any()


def test_the_adapter_is_kept_where_it_is_the_best(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(training, "save_adapter", lambda *arguments: saved.append(arguments[2:4]))
    monkeypatch.setattr(training, "trainable", lambda model: {})
    watch = training.Watch(read_job(job_file(tmp_path, notice="NIA")), None, None, None, [], "", 1)
    for step, best in ((1, True), (2, False)):
        watch(Step(step, 1.0, 0.1, 1.0, 0.5), best)
    assert saved == [(tmp_path / "run" / "adapter", "NIA")]


def test_what_a_trained_job_leaves(trained):
    folder = trained.parent / "run"
    found = {path.name for path in folder.iterdir()}
    assert found >= {"adapter", "checkpoint.safetensors", "features", "job.yaml", "log.jsonl", "samples.jsonl"}
    assert read_job(folder / "job.yaml") == read_job(trained)
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert {sample["step"] for sample in samples} == {2, 4, 6} and all(sample["caption"] for sample in samples)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if line["validation"] is not None] == [2, 4, 6]


KILLS = """
import os, random, signal, sys, time
from pathlib import Path
from lib import quiet
quiet()
from lib.job.settings import read_job
from lib.job.training import train_job

def child(*changes):
    if (number := os.fork()) == 0:  # torch can train in a fork whose parent has not trained
        train_job(read_job(sys.argv[1], changes))
        os._exit(0)
    return number

def lines():
    log = Path(sys.argv[2], "run", "log.jsonl")
    return len(log.read_text().splitlines()) if log.exists() else 0

lengths, rng = [0], random.Random(0)
assert os.waitpid(child(f"output={sys.argv[2]}/whole"), 0)[1] == 0
while len(lengths) <= 20:
    number = child()
    while lines() == lengths[-1]:  # until it has come further, so that 20 kills do come to an end
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.2))
    os.kill(number, signal.SIGKILL)
    assert os.waitpid(number, 0)[1] == signal.SIGKILL
    lengths.append(lines())
assert os.waitpid(child(), 0)[1] == 0
print(*lengths)
"""


def test_20_kills_and_the_same_weights_to_the_last_bit(tmp_path):
    """With dropout, whose draws have to be the same too. A kill comes at any time, also while files are written."""
    path = job_file(tmp_path, steps=80, every=1, dropout=0.1, validation=0.0, data="toybox:1000000:1000012")
    command = [sys.executable, "-c", KILLS, str(path), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 21 and int(done.stdout.split()[-1]) < 80
    whole, killed = weights_in(tmp_path / "whole"), weights_in(tmp_path / "run")
    assert whole.keys() == killed.keys() and all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_projector_is_trained_and_kept_with_the_adapter(capsys, tmp_path, make_frames):
    path = job_file(tmp_path, projector=True, validation=0.0, notice="NIA")
    assert run(capsys, "train", path)[0] == 0
    folder, base, model = tmp_path / "run" / "adapter", vlm.load("tiny"), vlm.load("tiny")
    load_adapter(model, folder)
    for name, weight in base.model.model.multi_modal_projector.named_parameters():
        assert not torch.equal(weight, model.model.get_parameter(f"model.multi_modal_projector.{name}"))
    assert json.loads((folder / "base.json").read_text())["notice"] == "NIA"


@pytest.mark.parametrize("full", [
    OSError(errno.ENOSPC, "No space left on device"), SafetensorError("I/O error: No space left on device"),
], ids=["by the system", "by safetensors"])  # fmt: skip
def test_a_full_disk_leaves_the_last_checkpoint(capsys, tmp_path, monkeypatch, full):
    from lib.finetune import checkpoints

    path, saved = job_file(tmp_path, validation=0.0), []
    original = checkpoints.save_file

    def save(tensors, file, **options):
        saved.append(file)
        if len(saved) == 2:
            file.write_bytes(b"half")
            raise full
        original(tensors, file, **options)

    monkeypatch.setattr(checkpoints, "save_file", save)
    code, _, err = run(capsys, "train", path)
    assert code == 2 and "No space left on device: make room on the disk" in err.splitlines()[-1]
    monkeypatch.undo()
    names = sorted(file.name for file in (tmp_path / "run").glob("*checkpoint*"))
    assert names == ["checkpoint.safetensors"] and not list((tmp_path / "run").glob(".*"))
    assert run(capsys, "train", path)[0] == 0
    train_job(read_job(path, [f"output={tmp_path / 'whole'}"]))
    whole, resumed = weights_in(tmp_path / "whole"), weights_in(tmp_path / "run")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("full", [
    MemoryError("Unable to allocate 3 GiB"), torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"),
], ids=["of the machine", "of the card"])  # fmt: skip
def test_too_little_memory_is_one_line(capsys, tmp_path, monkeypatch, full):
    def fail(*_):
        raise full

    monkeypatch.setattr("lib.job.training.feature_cache", fail)
    code, _, err = run(capsys, "train", job_file(tmp_path))
    assert code == 2 and "`plan` says what fits" in err.splitlines()[-1]


def test_one_process_at_a_time_works_in_a_folder(capsys, trained):
    (trained.parent / "run" / "captions-of-videos.jsonl").unlink(missing_ok=True)
    with alone_in(trained.parent / "run"):
        for words in (("train", trained), ("caption", trained, ROOT / "data" / "clips")):
            code, out, err = run(capsys, *words)
            assert (code, out) == (2, "") and "another process works in" in err.splitlines()[-1]
    assert run(capsys, "train", trained)[0] == 0


LOST = {
    "plan.json": ("features/plan.json", b"", "plan.json is cut off or damaged: delete it"),
    "plan.json of another kind": ("features/plan.json", b"{}", "plan.json is cut off or damaged: delete it"),
    "manifest.json": ("features/manifest.json", b"[1", "manifest.json is cut off or damaged: delete it"),
    "log.jsonl": ("log.jsonl", None, "ends before its checkpoint (step 6): delete the folder"),
    "the adapter": ("adapter/adapter_model.safetensors", None, "holds no adapter"),
    "half of the adapter": ("adapter/adapter_model.safetensors", b"1234", "is cut off or damaged: restore it"),
    "the adapter's settings": ("adapter/adapter_config.json", b"{", "adapter_config.json is cut off or damaged"),
    "the base's settings": ("adapter/base.json", b"[1]", "base.json is cut off or damaged"),
}


@pytest.mark.parametrize("name", LOST)
def test_a_damaged_file_is_named_with_what_to_do(capsys, trained, name):
    file, content, words = LOST[name]
    path = trained.parent / "run" / file
    whole = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    code, out, err = run(capsys, "train", trained)
    path.write_bytes(whole)
    assert (code, out) == (2, "") and words in err.splitlines()[-1]


def test_a_changed_setting_is_refused_with_its_name_and_more_steps_prolong(capsys, tmp_path):
    path = job_file(tmp_path, validation=0.0)
    assert run(capsys, "train", path)[0] == 0
    code, _, err = run(capsys, "train", path, "learning_rate=0.001")
    assert code == 2 and "begun with other settings (learning_rate: 0.004 before, 0.001 now)" in err.splitlines()[-1]
    assert run(capsys, "train", path, "steps=8")[0] == 0
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_clip_that_cannot_be_read_is_left_out_and_named(capsys, tmp_path):
    lines = []
    for number in range(4):
        write(tmp_path / f"{number}.mp4", 6)
        lines.append({"video": f"{number}.mp4", "caption": "빨간 원이 움직입니다.", "part": "train"})
    (tmp_path / "2.mp4").write_bytes((tmp_path / "2.mp4").read_bytes()[:200])
    lines[3]["part"] = "test"
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = job_file(tmp_path, data=str(tmp_path / "data.jsonl"), steps=1, validation=0.0)
    code, _, err = run(capsys, "train", path)
    assert code == 0 and "left out: 2: " in err and "2 clips, 1 steps" in err
    for number in range(4):
        (tmp_path / f"{number}.mp4").unlink()
    code, _, err = run(capsys, "train", path, "steps=2")
    assert code == 2 and "none of its 4 records can be used; the first: data.jsonl, line 1: 0.mp4 is missing" in err


# The plan


def test_the_7b_on_a_t4_needs_at_most_14_gib_in_training_and_in_captioning():
    """Traced, on AI-Hub's longest caption; with CUDA's own state."""
    need = planning.need_of(read_job(ROOT / "jobs" / "7b-t4.yaml"))
    assert (need.longest, need.answer) == (1572, 1965)
    assert need.train().total < 14.0 * GIB and need.caption().total < 14.0 * GIB


def test_a_plan_has_a_line_for_each_card_and_is_of_the_data_where_that_is_there(capsys, trained):
    code, out, _ = run(capsys, "plan", trained)
    lines = out.splitlines()
    parts = clips_of(read_job(trained))[1]
    assert code == 0 and lines[1].startswith(f"{len(parts.train)} clips to train on, {len(parts.test)} to test on")
    rows = {line[:13].strip(): line[13:].split() for line in lines if line[13:].startswith(("fits", "lacks"))}
    assert set(rows) == {*CARDS, THIS_MACHINE} and rows["T4"][0] == "fits"


def test_the_most_that_fits_does_fit_and_one_more_does_not(trained):
    """The line through two traces against a trace at the limit, of frames, of a batch and of clips at once."""
    need = planning.need_of(read_job(trained))
    for at, trace, name in ((4, need.train, "frames"), (2, need.train, "batch"), (1, need.caption, "batch")):
        limit = trace().total + int(0.03 * GIB)
        most = planning.line_through(at, trace(), trace, name)(limit)
        assert trace(**{name: most}).total <= 1.005 * limit < 1.01 * trace(**{name: most + 1}).total


def test_a_plan_for_a_model_of_unknown_size(capsys, tmp_path):
    code, out, err = run(capsys, "plan", job_file(tmp_path, model="somebody/SomeVLM-7B"))
    assert (code, out) == (2, "") and "is unknown before its download: choose one of llava-hf/" in err


def test_losses_are_shown_only_where_the_package_is(capsys, tmp_path):
    code, out, err = run(capsys, "train", job_file(tmp_path), "log=wandb")
    assert (code, out) == (2, "") and err == "error: log: wandb is not installed: pip install wandb, or log=none\n"


# Captions, scores, whole weights


def test_captions_are_those_of_the_adapter_and_go_on_where_they_were_cut(capsys, trained):
    code, out, _ = run(capsys, "caption", trained)
    path = trained.parent / "run" / "captions.jsonl"
    whole = path.read_bytes()
    settings, *lines = read_lines(path)
    job = read_job(trained)
    videos = clips_of(job)[1].held_out
    assert code == 0 and [json.loads(line) for line in out.splitlines()] == lines
    assert [line["video"] for line in lines] == [video.name for video in videos]
    model = vlm.load("tiny")
    load_adapter(model, trained.parent / "run" / "adapter")
    seen, asked = [video.frames(4) for video in videos], [CAPTION_PROMPTS["ko"]] * len(videos)
    texts = model.answers(seen, asked, None, settings["longest"])
    assert [line["caption"] for line in lines] == texts
    path.write_bytes(whole[: -len(out.splitlines()[-1].encode()) + 20])  # killed in the middle of a line
    code, out, _ = run(capsys, "caption", trained)
    assert code == 0 and len(out.splitlines()) == 1 and path.read_bytes() == whole


def test_captions_follow_the_settings_and_the_base_has_no_adapter(tmp_path):
    """First prompt, sampling rule, reducer; a caption without an end token was cut off."""
    seen = {"prompts": ["What moves?", "What is the code?"], "reducer": "SpatialPool(4)", "sampling": "huggingface"}
    job = read_job(job_file(tmp_path, data="toybox:1000000:1000120", max_new_tokens=3, **seen))
    settings, *lines = read_lines(caption_clips(job, base=True))
    assert (settings["adapter"], settings["longest"]) == (None, 3)
    model, videos = vlm.load("tiny"), clips_of(job)[1].test
    frames, asked = [video.frames(4, "huggingface") for video in videos], ["What moves?"] * len(videos)
    ids = model.generate(frames, asked, SpatialPool(4), 3).tolist()
    ends = [model.tokenizer.eos_token_id in row for row in ids]
    texts = model.tokenizer.batch_decode(ids, skip_special_tokens=True)
    assert [line["caption"] for line in lines] == [text.strip() for text in texts]
    assert [line["cut"] for line in lines] == [not end for end in ends] and len({*ends}) == 2


def test_the_longest_answer_is_that_of_training_and_a_quarter_more(tmp_path):
    short, long = "공이 움직입니다.", "공이 움직입니다. " * 9
    rows = [
        {"video": f"{part}.mp4", "caption": text, "part": part} for part, text in (("train", short), ("test", long))
    ]
    for row in rows:
        write(tmp_path / row["video"], 6)
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = read_lines(caption_clips(read_job(job_file(tmp_path, data=str(tmp_path / "data.jsonl"))), base=True))[0]
    assert settings["longest"] == math.ceil(1.25 * len(vlm.load("tiny").tokenizer(short).input_ids))


def test_captions_are_compared_clip_by_clip_whatever_their_order():
    first, second = ([{"video": name, "of": of} for name in names] for of, names in ((1, "abc"), (2, "dcba")))
    assert [[line["video"] for line in of] for of in on_the_same([first, second])] == [[*"abc"]] * 2


def test_a_cut_within_a_letter_of_hangul_is_a_cut_line(tmp_path):
    path = tmp_path / "captions.jsonl"
    path.write_bytes('{"model": "tiny"}\n{"video": "a", "caption": "바다"}\n{"video": "b'.encode() + "바".encode()[:2])
    assert [line.get("video") for line in read_lines(path)] == [None, "a"]
    for line in ("[1]", '{"a": 1}', "바".encode()[:2]):
        path.write_bytes(b'{"model": "tiny"}\n' + (line if isinstance(line, bytes) else line.encode()) + b"\n")
        with pytest.raises(ValueError, match="is damaged, or not a file of captions"):
            read_lines(path)


def test_captions_of_other_settings_are_not_mixed(capsys, trained):
    run(capsys, "caption", trained)
    other = trained.with_name("other.yaml")
    other.write_text(trained.read_text().replace("frames: 4", "frames: 8"))
    code, out, err = run(capsys, "caption", other)
    assert (code, out) == (2, "") and "made with other settings (frames: 4 before, 8 now)" in err


def test_no_model_is_loaded_where_every_clip_is_captioned(capsys, trained, monkeypatch):
    run(capsys, "caption", trained)
    monkeypatch.setattr("lib.job.captioning.load_base", lambda job: pytest.fail("it loads the model"))
    code, out, err = run(capsys, "caption", trained)
    assert (code, out) == (0, "") and "all of them in" in err
    longer = trained.with_name("longer.yaml")
    longer.write_text(trained.read_text() + "max_new_tokens: 999\n")
    with pytest.raises(pytest.fail.Exception):
        run(capsys, "caption", longer)


def test_videos_of_a_folder_are_captioned_and_a_broken_one_is_a_line(capsys, trained, tmp_path):
    (tmp_path / "clips").mkdir()
    write(tmp_path / "clips" / "가 나.mp4", 6)
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no video")
    code, out, err = run(capsys, "caption", trained, tmp_path / "clips")
    good, broken = [json.loads(line) for line in out.splitlines()][::-1]
    assert code == 0 and "2 clips, 1 of which could not be read" in err
    assert good["video"].endswith("가 나.mp4") and good["caption"] and "error" in broken


def test_a_clip_that_was_mended_is_captioned_and_links_are_followed(capsys, trained, tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "far").mkdir()
    (tmp_path / "clips" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "clips")
    video = write(tmp_path / "far" / "a.mp4", 6)
    whole = video.read_bytes()
    video.write_bytes(whole[:100])
    (tmp_path / "clips" / "._a.mp4").write_bytes(b"what macOS leaves")
    (tmp_path / "clips" / "notes.txt").write_text("no video")
    code, out, err = run(capsys, "caption", trained, tmp_path / "clips")
    assert code == 0 and "1 clips, 1 of which could not be read" in err and "error" in json.loads(out)
    assert run(capsys, "caption", trained, tmp_path / "clips")[1] == ""  # it still cannot be read
    video.write_bytes(whole)
    code, out, err = run(capsys, "caption", trained, tmp_path / "clips")
    assert json.loads(out)["caption"] and "1 clips, 0 of which could not be read" in err
    lines = read_lines(trained.parent / "run" / "captions-of-videos.jsonl")[1:]
    assert [line["video"] for line in lines].count(json.loads(out)["video"]) == 1


def test_scores_are_those_of_the_files_and_paired_with_the_base(capsys, trained):
    code, out, _ = run(capsys, "evaluate", trained)
    folder = trained.parent / "run"
    scores = json.loads((folder / "scores.json").read_text())
    videos = {video.name: video for video in clips_of(read_job(trained))[1].held_out}
    for file, place in (("captions", 0), ("base", 1)):
        lines = read_lines(folder / f"{file}.jsonl")[1:]
        records = [
            Record("", line["video"], "caption", "ko", "", videos[line["video"]].captions["ko"], line["caption"])
            for line in lines
        ]
        assert scores["chrF++"][place] == pytest.approx(list(measure(CHRF_PP, records)))
    assert code == 0 and out == (folder / "report.md").read_text() and "| facts right |" in out
    assert (folder / "report.png").stat().st_size > 5000


def test_another_run_to_compare_with_has_to_be_there(capsys, trained):
    code, _, err = run(capsys, "evaluate", trained, "--against", "nowhere.jsonl")
    assert code == 2 and "there is no file of captions nowhere.jsonl" in err


def test_merged_weights_say_what_the_adapter_says_and_transformers_loads_them(capsys, trained, tmp_path, make_frames):
    code, out, _ = run(capsys, "merge", trained, tmp_path / "merged")
    assert (code, out) == (0, f"{tmp_path / 'merged'}\n")
    merged, model, frames = vlm.load(tmp_path / "merged"), vlm.load("tiny"), make_frames(4)
    load_adapter(model, trained.parent / "run" / "adapter")
    prompt = model.prompt("무엇이 보입니까?")
    torch.testing.assert_close(merged.logits(frames, prompt), model.logits(frames, prompt), atol=1e-4, rtol=0)
    assert LlavaNextVideoForConditionalGeneration.from_pretrained(tmp_path / "merged").num_parameters() > 10**6
    code, _, err = run(capsys, "merge", trained, tmp_path / "merged")
    assert code == 2 and "is not empty: name a new folder" in err


def test_merging_needs_a_place_to_write_before_it_reads(capsys, trained, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / ".empty.999999999.part").mkdir()  # what a killed merge left
    (tmp_path / ".empty.999999999.part" / "model.safetensors").touch()
    code, _, err = run(capsys, "merge", trained, tmp_path / "file")
    assert code == 2 and "is not empty: name a new folder" in err
    assert run(capsys, "merge", trained, tmp_path / "link")[0] == 0
    assert (tmp_path / "empty" / "model.safetensors").exists() and not list(tmp_path.glob(".empty*"))
    monkeypatch.setattr("lib.job.merging.load", lambda *_, **__: pytest.fail("it reads the model"))
    code, _, err = run(capsys, "merge", trained, tmp_path / "file" / "below")
    assert code == 2 and err.count("\n") == 1


def test_an_adapter_of_another_base_and_none(capsys, trained, tmp_path, random_vlm_folder):
    folder = trained.parent / "run"
    code, _, err = run(capsys, "caption", job_file(tmp_path, model=str(random_vlm_folder), output=str(folder)))
    assert code == 2 and "was trained on other weights" in err.splitlines()[-1]
    code, _, err = run(capsys, "caption", job_file(tmp_path))
    assert code == 2 and "holds no adapter" in err.splitlines()[-1]


# In Korean


def columns(line, word):
    """The column on a terminal at which a word begins: Hangul takes two."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in line[: line.index(word)])


def test_the_commands_speak_korean(capsys, trained, monkeypatch):
    monkeypatch.setenv("F2T_LANGUAGE", "ko")
    code, out, err = run(capsys, "plan", trained)
    lines = out.splitlines()
    head, t4, last = lines[5], next(line for line in lines if line.startswith("T4")), lines[-2]
    assert code == 0 and "클립마다 시각 토큰" in lines[0] and last.startswith("이 컴퓨터")
    assert columns(head, "학습") == columns(t4, "들어감") == columns(last, "들어감") == 13
    assert "학습 " in err and "테스트 " in err  # how the clips were split
    code, out, err = run(capsys, "train", trained)
    assert code == 0 and "스텝, 프로세스 1개. 검증 클립" in err
    run(capsys, "caption", trained)
    code, out, err = run(capsys, "caption", trained)
    assert code == 0 and "에 이미 있습니다" in err
    code, out, err = run(capsys, "evaluate", trained)
    assert code == 0 and "| 점수 | captions | base | 차이 |" in out and "최대 길이에서 잘린 비율" in out
    code, _, err = run(capsys, "train", trained, "steps")
    assert code == 2 and err.startswith("오류: 'steps'은(는) 아무것도 바꾸지 않습니다") and err.count("\n") == 1
    code, _, err = run(capsys, "train", trained, "stepps=3")
    assert code == 2 and "비슷한 설정: steps" in err
