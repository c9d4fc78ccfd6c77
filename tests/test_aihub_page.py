"""The page on getting AI-Hub's data: its script joins parts in the order of their numbers and reads names in CP949."""

import io
import re
import subprocess
import sys
import zipfile

import pytest

from notebooks.address import ROOT

SCRIPT = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "ko" / "aihub.md").read_text("utf-8"), re.DOTALL)[1]


def archive():
    """A zip whose names are in CP949 and say nothing of it, as those that Windows makes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("ABCDEF/1.json", "{}" * 200)
    return file.getvalue().replace(b"ABCDEF", "라벨링".encode("cp949"))


def parts(folder, size=40, without=()):
    """The archive in parts named after their first byte; there are more than ten."""
    data = archive()
    offsets = range(0, len(data), size)
    assert len(offsets) > 10 and sorted(map(str, offsets)) != [str(offset) for offset in offsets]
    for number, offset in enumerate(offsets):
        if number not in without:
            (folder / f"TS_1.zip.part{offset}").write_bytes(data[offset : offset + size])
    return offsets


def run(folder):
    command = [sys.executable, "-c", SCRIPT, folder]
    return subprocess.run(command, capture_output=True, text=True, env={"PYTHONUTF8": "1"}, encoding="utf-8")


def test_parts_are_joined_in_the_order_of_their_numbers_and_names_are_korean(tmp_path):
    parts(tmp_path)
    done = run(tmp_path)
    assert done.returncode == 0 and "TS_1.zip: 풀었습니다" in done.stdout, done.stderr
    assert (tmp_path / "TS_1.zip").read_bytes() == archive()
    assert (tmp_path / "TS_1" / "라벨링" / "1.json").read_text() == "{}" * 200


@pytest.mark.parametrize("number", [0, 3])
def test_a_missing_part_is_named(tmp_path, number):
    offsets = parts(tmp_path, without=[number])
    done = run(tmp_path)
    assert done.returncode == 1 and f"{offsets[number]} 바이트에서 시작하는 조각이 없습니다" in done.stderr
    assert not (tmp_path / "TS_1.zip").exists()


def test_a_missing_last_part_is_an_error(tmp_path):
    parts(tmp_path, without=[len(range(0, len(archive()), 40)) - 1])
    assert run(tmp_path).returncode == 1
