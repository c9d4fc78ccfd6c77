"""Files are written whole or not at all, also where several processes write the same one."""

import os
import signal
import subprocess
import sys

import pytest

from lib.files import ROOT, write_text, written_whole


def test_two_processes_may_write_the_same_file_at_once(tmp_path):
    path = tmp_path / "결과 1.json"
    with written_whole(path) as beside:
        beside.write_text("mine, which is longer")
        code = "import sys; from lib.files import write_text; write_text(sys.argv[1], 'theirs')"
        subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, check=True)
        assert path.read_text() == "theirs"
    assert path.read_text() == "mine, which is longer"
    assert os.listdir(tmp_path) == [path.name]


def test_the_next_write_deletes_what_killed_processes_left_of_this_file_alone(tmp_path):
    path = tmp_path / "결과 [1].json"
    child = "import os, signal, sys; from lib.files import written_whole\n"
    child += (
        "with written_whole(sys.argv[1]) as beside: beside.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.Popen([sys.executable, "-c", child, path], cwd=ROOT)
    assert killed.wait(60) == -signal.SIGKILL
    (piece,) = tmp_path.iterdir()
    assert piece.name == f".{path.name}.{killed.pid}.part"
    kept = [".결과 [1].json.1.part", ".결과 1.json.4194305.part", ".결과 [1].json.x.part", f".{path.name}.{9**30}.part"]
    for name in kept:  # of a running process, of another file (no PID is that large), of no process
        (tmp_path / name).write_text("")
    with pytest.raises(OSError), written_whole(path):
        raise OSError
    assert piece.exists()
    write_text(path, "whole")
    assert {one.name for one in tmp_path.iterdir()} == {path.name, *kept}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_after_an_error_the_old_file_is_there_and_nothing_beside_it(tmp_path, error):
    path = tmp_path / "log.jsonl"
    write_text(path, "old")
    with pytest.raises(error), written_whole(path) as beside:
        beside.write_text("half of the n")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == [path.name]
