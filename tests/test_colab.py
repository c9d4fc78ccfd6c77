"""The set-up cell's helper, with a Colab that is made up, and the command that moves the course to another address."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from packaging.requirements import Requirement

from lib import colab
from lib.job.settings import read_job
from notebooks import address, build

ROOT = Path(__file__).resolve().parent.parent
LINES = [line.split("#")[0].strip() for line in colab.NEEDED.read_text().splitlines() if not line.startswith("#")]


@pytest.fixture
def on_colab(monkeypatch, tmp_path):
    """Pretends to be Colab, with two packages missing; collects what pip is asked to do."""
    asked = []

    def run(command, **_):
        held = Path(command[command.index("--constraint") + 1]).read_text()
        asked.append((command, held))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr(colab, "NEEDED", tmp_path / "needed.txt")
    colab.NEEDED.write_text("# comment\nno-such-package>=1\npytest>=1\n")
    monkeypatch.setattr(colab.subprocess, "run", run)
    monkeypatch.chdir(tmp_path)
    return asked


def test_elsewhere_nothing_is_installed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(colab.subprocess, "run", None)
    colab.set_up()
    assert Path.cwd() == ROOT / "notebooks"


def start(folder):
    """Runs the lessons' set-up cell in that folder: the `lib` that it found and where it then is, or the error."""
    cells = build.read_source(build.lessons()[0]).cells
    (cell,) = [cell.source for cell in cells if "setup" in cell.metadata.get("tags", [])]
    code = f"{cell}\nimport os; print(os.path.dirname(colab.__file__), os.getcwd(), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() or done.stderr.splitlines()[-1]


@pytest.mark.parametrize("place", ["notebooks", ".", "course", "data/clips"])
def test_a_lesson_started_in_any_folder_of_its_course_finds_that_course(tmp_path, place):
    course = tmp_path / "a course of '24, 강의"
    for folder in ("lib", "notebooks", "data", "course"):
        (course / folder).mkdir(parents=True)
    (course / "data" / "clips").mkdir()
    (tmp_path / "lib").mkdir()  # somebody else's
    for name in ("__init__.py", "colab.py", "files.py", "text.py"):
        shutil.copy(ROOT / "lib" / name, course / "lib")
    assert start(course / place) == [str(course / "lib"), str(course / "notebooks")]


def test_a_lesson_started_outside_of_any_course_says_where_to_start_it(tmp_path):
    (tmp_path / "lib").mkdir()
    words = f"no course in {tmp_path} or above it: start this lesson in the course's folder notebooks"
    assert start(tmp_path) == f"FileNotFoundError: {words}"


def test_only_what_is_missing_is_installed_and_everything_else_is_held(on_colab, capsys):
    colab.set_up()
    ((command, held),) = on_colab
    assert command[-1] == "no-such-package>=1" and "pytest>=1" not in command
    for name in ("torch", "numpy", "transformers", "pytest"):
        assert f"{name}=={version(name)}\n" in held
    assert Path.cwd() == ROOT / "notebooks"
    assert capsys.readouterr().out == "installing what this runtime lacks: no-such-package>=1\n"


def test_a_second_run_installs_nothing(on_colab):
    colab.NEEDED.write_text("pytest>=1\n")
    colab.set_up()
    colab.set_up()
    assert on_colab == []


def test_what_is_too_old_may_move_and_a_replaced_package_asks_for_a_restart(on_colab, monkeypatch):
    colab.NEEDED.write_text("pytest>=1000\n")
    old, new = colab.versions, version("pytest") + ".1"
    monkeypatch.setattr(colab, "versions", lambda names: old(names) | ({"pytest": new} if on_colab else {}))
    with pytest.raises(RuntimeError, match="pytest was replaced while in use. Choose Runtime > Restart session"):
        colab.set_up()
    ((_, held),) = on_colab
    assert "pytest==" not in held and "numpy==" in held


def test_a_failing_pip_is_one_sentence(on_colab, monkeypatch):
    failed = SimpleNamespace(returncode=1, stderr="much\nERROR: no network\n")
    monkeypatch.setattr(colab.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match="could not install no-such-package>=1: ERROR: no network. Fix"):
        colab.set_up()


def test_colab_needs_what_the_project_needs_and_never_the_large_three():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}
    names = {Requirement(line).name: Requirement(line).specifier for line in LINES}
    assert not {"torch", "numpy", "transformers"} & set(names)
    assert set(names) - set(bounds) == {"pyarrow"}  # datasets asks for a newer one than Colab's
    assert [name for name in names if name in bounds and names[name] != bounds[name]] == []


def test_the_helper_starts_without_anything_but_python_and_packaging():
    code = (
        "import sys; from lib import colab; print([n for n in ('torch', 'numpy', 'av', 'psutil') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_new_address_reaches_every_file_and_comes_back(tmp_path, monkeypatch):
    for pattern in address.FILES:
        for path in ROOT.glob(pattern):
            (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path.relative_to(ROOT)).write_text(path.read_text())
    monkeypatch.setattr(address, "ROOT", tmp_path)
    old = address.address()
    assert address.main(["ada/her-course", "v9.9"]) == 0
    assert address.address() == ("ada/her-course", "v9.9")
    texts = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert [path.name for path, text in texts.items() if f"/{old[0]}" in text or "blob/main/notebooks" in text] == []
    lessons = [text for path, text in texts.items() if path.suffix in (".py", ".ipynb")]
    assert lessons and all("ada/her-course/blob/v9.9/notebooks/" in text for text in lessons)
    assert {path.stem for path in texts if path.suffix == ".py"} == {path.stem for path in build.notebooks()}
    assert all("--branch v9.9 https://github.com/ada/her-course " in text for text in lessons)
    assert address.main(list(old)) == 0
    assert all((ROOT / path.relative_to(tmp_path)).read_text() == path.read_text() for path in texts)


def test_a_full_disk_leaves_the_old_address_and_no_pieces(tmp_path, monkeypatch):
    def no_room(*paths):
        raise OSError("No space left on device")

    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.setattr(address, "ROOT", tmp_path)
    monkeypatch.setattr(os, "replace", no_room)
    with pytest.raises(OSError, match="No space"):
        address.main(["ada/her-course", "v9.9"])
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]
    assert address.address()[0] != "ada/her-course"


@pytest.mark.parametrize("wrong", [[], ["name-only", "v1"], ["a/b"], ["a/b", "v 1"], ["a/b/c", "v1"]])
def test_what_is_no_address_changes_nothing(wrong, capsys):
    assert address.main(wrong) == 2
    assert capsys.readouterr().err == "error: say which: make colab REPO=owner/name TAG=v1.0\n"


# The job on Colab


def job_cells():
    return build.read_source(ROOT / "notebooks" / "colab_job.py").cells


def test_the_job_states_aihubs_terms_before_any_code():
    kinds = [cell.cell_type for cell in job_cells()]
    first = "\n".join(cell.source for cell in job_cells()[: kinds.index("code")])
    words = (
        "separate agreement with NIA",
        "names NIA, adapters included",
        "may not be shown to others",
        "한국어 요약",
        "별도 합의",
    )
    assert [word for word in words if word not in first] == [] and "colab-badge.svg" in first


def settings_of_the_job(folder):
    """The names that the settings cell leaves, started in a course at `folder`."""
    (cell,) = [cell.source for cell in job_cells() if "ON_COLAB =" in cell.source]
    names = {"found": [folder], "sys": sys}
    exec(cell, names)
    return names


@pytest.fixture
def course(tmp_path, monkeypatch):
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    monkeypatch.chdir(ROOT)
    return tmp_path


def test_on_colab_the_job_is_the_7bs_and_its_folder_lies_on_drive(course, monkeypatch):
    mounted, google = [], ModuleType("google.colab")
    google.drive = SimpleNamespace(mount=mounted.append)
    monkeypatch.setitem(sys.modules, "google.colab", google)
    names = settings_of_the_job(course)
    job = read_job(ROOT / names["JOB"], names["SETTINGS"])
    assert mounted == ["/content/drive"] and job.four_bit and job.model.endswith("LLaVA-NeXT-Video-7B-hf")
    assert job.data.startswith("/content/drive/MyDrive/") and job.folder == names["RESULTS"]
    assert job.output.startswith("/content/drive/MyDrive/")


def test_elsewhere_the_job_is_rehearsed_with_tiny_in_an_empty_folder(course):
    (course / "runs" / "colab").mkdir(parents=True)
    names = settings_of_the_job(course)
    job = read_job(ROOT / names["JOB"], names["SETTINGS"])
    assert job.model == "tiny" and course / job.folder == names["RESULTS"] and not names["RESULTS"].exists()


def test_a_command_that_fails_fails_the_cell(course, capfd):
    (course / "lib").symlink_to(ROOT / "lib")
    command = settings_of_the_job(course)["command"]
    with pytest.raises(RuntimeError, match="its last line above names the fix"):
        command("plan", "jobs/none.yaml")
    assert "there is no file of settings jobs/none.yaml" in capfd.readouterr().out
