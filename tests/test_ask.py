"""The command line: an answer on stdout, or one line on stderr and exit code 2."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from video_files import write

from lib import vlm
from lib.__main__ import main

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video of 20 frames."""
    return str(write(tmp_path_factory.mktemp("clips") / "clip.mp4", 20))


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command, run in this process."""
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


@pytest.fixture
def asked(monkeypatch, random_vlm):
    """What the model is asked, as (number of frames, question); it answers "a red circle"."""
    calls = []

    def generate(self, clips, questions, reducer, longest, streamer):
        calls.append((len(clips[0]), *questions))
        streamer.on_finalized_text("a red circle", stream_end=True)

    monkeypatch.setattr(vlm, "load", lambda model, four_bit: random_vlm)
    monkeypatch.setattr(vlm.VideoLM, "generate", generate)
    return calls


@pytest.mark.parametrize("options, frames", [((), 16), (("--frames", "3"), 3), (("--frames", "20"), 20)])
def test_question_and_frames_reach_the_model(capsys, asked, clip, options, frames):
    command = ["ask", clip, "무엇이 보입니까?", "--model", "mine", *options]
    assert run(capsys, *command) == (0, "a red circle\n", "")
    assert asked == [(frames, "무엇이 보입니까?")]


def test_a_short_clip_is_looked_at_whole_and_once(capsys, asked, tmp_path):
    assert run(capsys, "ask", write(tmp_path / "short.mp4", 3), "What?", "--model", "mine")[0] == 0
    assert asked == [(3, "What?")]


def test_a_real_answer(capsys, random_vlm, random_vlm_folder, clip):
    from lib import video

    pixels = video.read_frames(clip, video.sample_uniform(20, 16)).pixels
    expected = random_vlm.answer(pixels, "What?")
    options = ["--model", random_vlm_folder, "--max-new-tokens", 32]
    assert run(capsys, "ask", clip, "What?", *options) == (0, expected + "\n", "")


def test_several_videos_are_answered_one_after_the_other(capsys, asked, clip, tmp_path):
    other = write(tmp_path / "other.mp4", 5)
    told = f"{clip}: a red circle\n{other}: a red circle\n"
    assert run(capsys, "ask", clip, other, "What?", "--model", "mine") == (0, told, "")
    assert asked == [(16, "What?"), (5, "What?")]


def test_an_adapter_and_a_prompt_of_ones_own(capsys, monkeypatch, random_vlm_folder, clip, tmp_path):
    """The answer is that of the model with the adapter on, to the prompt as it is written."""
    from lib import finetune, video

    model = vlm.load(random_vlm_folder)
    adapter = finetune.add_lora(model, rank=2)
    for weight in finetune.trainable(model).values():
        weight.data.add_(0.2)
    finetune.save_adapter(model, adapter, tmp_path / "adapter")
    pixels = video.read_frames(clip, video.sample_uniform(20, 16)).pixels
    template = "USER: <video>\nLook! {question} ASSISTANT:"
    expected = replace(model, chat=vlm.Chat.of(template)).answer(pixels, "What?", max_new_tokens=8)
    assert expected != model.answer(pixels, "What?", max_new_tokens=8)
    options = ["--model", random_vlm_folder, "--max-new-tokens", 8, "--adapter", tmp_path / "adapter"]
    assert run(capsys, "ask", clip, "What?", *options, "--prompt", template)[:2] == (0, expected + "\n")


def test_the_longest_answer_is_what_the_context_holds(capsys, random_vlm, random_vlm_folder, clip, monkeypatch):
    asked = []
    original = vlm.VideoLM.generate

    def generate(self, clips, questions, reducer, longest, streamer):
        asked.append(longest)
        return original(self, clips, questions, reducer, longest, streamer)

    monkeypatch.setattr(vlm.VideoLM, "generate", generate)
    assert run(capsys, "ask", clip, "What?", "--model", random_vlm_folder)[0] == 0
    assert asked == [random_vlm.room(16, "What?")] and 32 < asked[0] < 256


def test_tiny_says_what_it_knows_and_how_to_ask_a_real_model(capsys, monkeypatch, random_vlm, clip):
    monkeypatch.setattr(vlm, "load", lambda model, four_bit: random_vlm)
    code, _, notice = run(capsys, "ask", clip, "What?")
    assert code == 0
    assert notice == "tiny knows Toybox clips only; a real model: --model llava-hf/llava-onevision-qwen2-0.5b-ov-hf\n"


def test_four_bit_reaches_the_loader(capsys, monkeypatch, random_vlm, clip):
    calls = []
    monkeypatch.setattr(vlm, "load", lambda *names, **options: calls.append((names, options)) or random_vlm)
    run(capsys, "ask", clip, "What?", "--model", "a/b", "--four-bit")
    assert calls == [(("a/b",), {"four_bit": True})]


BAD = {
    "no command": ([], "command"),
    "no room for an answer": (["ask", "CLIP", "What?", "--max-new-tokens", "0"], "at least 1"),
    "a prompt without a place for the video": (
        ["ask", "CLIP", "What?", "--model", "MODEL", "--prompt", "Tell {question}"],
        "needs <video> once",
    ),
    "unknown command": (["tell"], "invalid choice"),
    "no question": (["ask", "CLIP"], "question"),
    "unknown option": (["ask", "CLIP", "What?", "--size", "3"], "--size"),
    "frames are no number": (["ask", "CLIP", "What?", "--frames", "many"], "invalid int value"),
    "no frames": (["ask", "CLIP", "What?", "--frames", "0"], "give --frames from 1 to 20"),
    "more frames than there are": (["ask", "CLIP", "What?", "--frames", "21"], "give --frames from 1 to 20"),
    "missing file": (["ask", "no-such.mp4", "What?"], "no-such.mp4"),
    "a folder": (["ask", "FOLDER", "What?"], "FOLDER"),
    "no video": (["ask", "TEXT", "What?"], "TEXT"),
    "empty file": (["ask", "EMPTY", "What?"], "EMPTY"),
    "unknown model": (["ask", "CLIP", "What?", "--model", "no/such/model"], "no/such/model"),
    "a wrong question": (["ask", "CLIP", "<video>", "--model", "MODEL"], "<video>"),
    "too long a question": (["ask", "CLIP", "?" * 600, "--model", "MODEL"], "exceed the context of 512"),
}


@pytest.mark.parametrize("arguments, message", BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_code_2(capsys, clip, random_vlm_folder, tmp_path, arguments, message):
    (tmp_path / "text.mp4").write_text("no video at all")
    (tmp_path / "empty.mp4").touch()
    names = {
        "CLIP": clip,
        "MODEL": random_vlm_folder,
        "FOLDER": tmp_path,
        "TEXT": tmp_path / "text.mp4",
        "EMPTY": tmp_path / "empty.mp4",
    }
    code, output, errors = run(capsys, *(names.get(argument, argument) for argument in arguments))
    assert (code, output) == (2, "")
    assert errors.startswith("error: ") and errors.count("\n") == 1 and errors.endswith("\n")
    assert str(names.get(message, message)) in errors


def test_help_is_no_error(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["ask", "--help"])
    assert stop.value.code == 0
    assert "--four-bit" in capsys.readouterr().out


def test_the_module_runs_as_a_command(random_vlm_folder, clip):
    command = [sys.executable, "-m", "lib", "ask", clip, "What?", "--model"]
    good = subprocess.run([*command, str(random_vlm_folder)], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "") and good.stdout.endswith("\n")
    bad = subprocess.run([*command[:4], "no-such.mp4", "What?"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)
    assert "no-such.mp4" in bad.stderr and "Traceback" not in bad.stderr


def test_a_command_without_a_stdout_still_reports_its_mistakes():
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "lib", "ask", "no-such.mp4", "What?"]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: no-such.mp4") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "cp949", "latin-1"])
def test_a_command_loses_nothing_on_a_terminal_of_any_encoding(tmp_path, encoding):
    """A team's folder without a progress file: one line on stdout names what is left out, one on stderr the fix."""
    (tmp_path / "김철수 ◪✓.json").write_text("nothing")
    here = os.environ | {"PYTHONIOENCODING": encoding, "F2T_LANGUAGE": "ko"}
    command = [sys.executable, "-m", "lib.exercises", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=here, capture_output=True, check=False)
    lines = [
        re.sub(r"\\u(\w{4})", lambda of: chr(int(of[1], 16)), text.decode(encoding))
        for text in (done.stdout, done.stderr)
    ]
    assert done.returncode == 2
    assert lines[0].startswith("김철수 ◪✓.json은(는)") and lines[0].count("\n") == 1
    assert lines[1].startswith("error: ") and "팀원의 progress.json을 이름.json으로" in lines[1]
