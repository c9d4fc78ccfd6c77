"""Files are written whole or not at all, also where several processes write the same one."""

import os
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


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_after_an_error_the_old_file_is_there_and_nothing_beside_it(tmp_path, error):
    path = tmp_path / "log.jsonl"
    write_text(path, "old")
    with pytest.raises(error), written_whole(path) as beside:
        beside.write_text("half of the n")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == [path.name]
