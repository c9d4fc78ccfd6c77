"""The set-up: what is installed agrees everywhere, the commands exist, and an unfit machine is told so in one line."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from notebooks import build

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, TAG = SETTINGS["project"], SETTINGS["tool"]["frames-to-tokens"]["tag"]
DIRECT = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
ADDRESS = PROJECT["urls"]["Repository"]
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = (
    ("Linux", "linux", "posix", "x86_64"),
    ("Linux", "linux", "posix", "aarch64"),
    ("Darwin", "darwin", "posix", "arm64"),
    ("Windows", "win32", "nt", "AMD64"),
)

# What Colab's CPU and GPU runtimes ship (googlecolab/backend-info, pip-freeze.txt of 2026-08-19), Python 3.13.
COLAB = {
    "torch": "2.11.0",
    "transformers": "5.15.0",
    "tokenizers": "0.22.2",
    "huggingface-hub": "1.27.0",
    "peft": "0.20.0",
    "numpy": "2.1.3",
    "pillow": "11.3.0",
    "matplotlib": "3.10.0",
    "scipy": "1.16.3",
    "safetensors": "0.8.0",
    "tqdm": "4.67.3",
    "accelerate": "1.14.0",
    "psutil": "5.9.5",
    "packaging": "26.3",
    "pyyaml": "6.0.3",
}  # and datasets 4.0.0, which TRL finds too old


def requirement_lines(path):
    """The requirements of a pip file: no comments, no empty lines."""
    lines = (line.split(" #")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def pins(lines):
    """{name: version}; a line that is no exact pin, or a name that comes twice, fails here."""
    found = {}
    for requirement in map(Requirement, lines):
        (only,) = requirement.specifier
        assert only.operator == "==" and "*" not in only.version and not requirement.url, requirement
        assert found.setdefault(canonicalize_name(requirement.name), only.version) == only.version, requirement
    assert len(found) == len(lines)
    return found


def environments():
    """Marker environments of every machine that the course is for."""
    for python in PYTHONS:
        for system, platform, name, machine in MACHINES:
            yield {
                "python_version": python,
                "python_full_version": f"{python}.1",
                "platform_system": system,
                "sys_platform": platform,
                "os_name": name,
                "platform_machine": machine,
            }


def applies(requirement, environment):
    return requirement.marker is None or requirement.marker.evaluate(environment)


LOCK_LINES = requirement_lines(ROOT / "requirements.lock")
LOCK = pins(LOCK_LINES)


def test_lock_has_exact_pins_and_nothing_for_cuda():
    assert LOCK["torch"] == "2.13.0"
    assert [line for line in LOCK_LINES if line.startswith("-") or "://" in line or "+" in line] == []
    assert [name for name in LOCK if re.match(r"nvidia|cuda|triton|torchvision", name)] == []


def test_direct_dependencies_are_bounded_and_admit_the_pins():
    for requirement in DIRECT:
        assert LOCK[canonicalize_name(requirement.name)] in requirement.specifier, requirement
        assert any(bound.operator == ">=" for bound in requirement.specifier), requirement
    runtime = map(Requirement, PROJECT["dependencies"])
    assert [str(r) for r in runtime if not any(bound.operator == "<" for bound in r.specifier)] == []


@pytest.mark.parametrize("environment", list(environments()), ids=lambda e: "-".join(list(e.values())[::2]))
def test_lock_serves_every_machine(environment):
    locked = {canonicalize_name(r.name) for r in map(Requirement, LOCK_LINES) if applies(r, environment)}
    assert {canonicalize_name(r.name) for r in DIRECT if applies(r, environment)} <= locked


def test_conda_environment_has_the_same_pins():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    (python,) = [d.removeprefix("python=") for d in conda["dependencies"] if str(d).startswith("python=")]
    (pip,) = [d["pip"] for d in conda["dependencies"] if isinstance(d, dict)]
    lines = []
    for line in pip:
        lines += requirement_lines(ROOT / line.removeprefix("-r ")) if line.startswith("-r ") else [line]
    assert pins(lines) == LOCK
    assert python in PYTHONS and conda["channels"] == ["conda-forge"]


def test_python_versions_agree():
    bounds = SpecifierSet(PROJECT["requires-python"])
    assert [v for v in ("3.10", *PYTHONS, "3.14") if f"{v}.1" in bounds] == list(PYTHONS)
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    (job,) = ci["jobs"].values()
    assert set(job["strategy"]["matrix"]["python"]) <= set(PYTHONS)
    assert {"make course", "make test"} <= {step.get("run") for step in job["steps"]}


def test_installing_on_colab_replaces_nothing():
    bounds = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    assert [name for name, version in COLAB.items() if version not in bounds[name]] == []
    lacking = {Requirement(line).name for line in requirement_lines(ROOT / "requirements-colab.txt")}
    assert set(bounds) - set(COLAB) == lacking - {"pyarrow"}  # which is asked for by datasets alone


def imports(path):
    """Top-level names of everything that a Python file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", [*sorted((ROOT / "lib").rglob("*.py")), *build.lessons()], ids=lambda p: p.stem)
def test_what_is_imported_is_declared(path):
    names = {r.name.replace("-", "_") for r in map(Requirement, PROJECT["dependencies"])}
    declared = names - {"pillow", "pyyaml"} | {"PIL", "yaml", "lib", "IPython", "utils"}
    # IPython is there wherever a notebook runs; lesson 10 imports data/lmms_eval/utils.py as its task file does
    assert {name for name in imports(path) if name not in sys.stdlib_module_names} <= declared


@pytest.mark.parametrize("source", build.notebooks(), ids=lambda p: p.stem)
def test_lesson_names_the_address_of_the_course(source):
    text = source.read_text()
    assert f"git clone -q --depth 1 --branch {TAG} {ADDRESS} " in text
    repository = ADDRESS.removeprefix("https://github.com/")
    badges = re.findall(r"https://colab\.research\.google\.com/github/([^)\s]+)", text)
    assert badges and set(badges) == {f"{repository}/blob/{TAG}/notebooks/{source.stem}.ipynb"}


README = (ROOT / "README.md").read_text()


def test_readme_links_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
    assert ADDRESS in README


def test_readme_maps_every_lesson():
    rows = re.findall(r"^\| (\d\d) \| (.+?) \| .+? \| (.+?) \|$", README, re.MULTILINE)
    assert [number for number, _, _ in rows] == [path.stem[:2] for path in build.lessons()]
    linked = re.findall(r"notebooks/(\w+)\.ipynb", " ".join(lesson for _, lesson, _ in rows))
    assert linked == [path.stem for path in build.lessons()]
    assert [minutes == "coming" for _, _, minutes in rows] == ["ipynb" not in lesson for _, lesson, _ in rows]


def make(*arguments, **environment):
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")} | environment,
    )


def test_make_alone_lists_every_target():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = re.findall(r"^  make ([\w-]+) ", make().stdout, re.MULTILINE)
    assert set(listed) == set(targets)
    steps = {"tiny", "compare", "compare-later", "llama-vid", "korean", "dpo", "aihub-sample", "explorer", "book"}
    tools = {"colab", "doctor", "gpu-check", "new-lesson", "korean-looked", "bench", "progress", "ask", "clean"}
    tools |= {"traced", "rehearse", "real-check"}
    assert set(targets) == steps | tools | {"help", "course", "test", "lab", "notebooks"}


@pytest.mark.parametrize(
    "words",
    [
        "Costs $5?", "it's \"red\"", "a `date` b", "back\\slash \\", "안녕?", "100% $(HOME) $$ ${X}", "#1",
        "two\nlines", "$(shell date) $(error boom)", "*.py ~ ;ls|&!", "a := b", "-5?", "--help",
    ],
)  # fmt: skip
@pytest.mark.parametrize("from_environment", [False, True])
def test_make_hands_on_words_as_they_were_typed(tmp_path, words, from_environment):
    python = tmp_path / "bin" / "python"  # a course that says what it was given
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    python.chmod(0o755)
    (tmp_path / ".ready").touch()

    def given(target, **named):
        typed = [] if from_environment else [f"{name}={value}" for name, value in named.items()]
        done = make("-s", f"VENV={tmp_path}", target, *typed, **(named if from_environment else {}))
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split("\0")[:-1]

    assert given("ask", VIDEO=words, Q=words) == ["-m", "lib", "ask", "--", words, words]
    assert given("new-lesson", NAME="13_x", TITLE=words) == ["-m", "notebooks.new_lesson", "13_x", words]
    assert given("progress", TEAM=words) == ["-m", "lib.exercises", words]
    korean = ["-m", "notebooks.korean", "01_frames", "02_x"]
    assert given("notebooks", NAME="01_frames 02_x") == ["notebooks/build.py", "notebooks", *korean[2:], *korean]
    assert given("colab", REPO="a/b", TAG="v1") == ["-m", "notebooks.address", "a/b", "v1"]


@pytest.mark.parametrize(
    ("version", "fit"),
    [
        ((3, 8, 2), False),
        ((3, 10, 9), False),
        ((3, 11, 0), True),
        ((3, 13, 7), True),
        ((3, 14, 0), False),
    ],
)
def test_make_refuses_an_unfit_python_in_one_clear_sentence(tmp_path, version, fit):
    words = ".".join(map(str, version))
    python = tmp_path / "a python3 of 강의"  # says that it is of that version, and can do nothing but run -c
    python.write_text(f"""#!/bin/sh
case "$1" in
--version) echo Python {words} ;;
-c) exec '{sys.executable}' -c "import sys; sys.version_info = {version}
$2" ;;
*) exit 1 ;;
esac
""")
    python.chmod(0o755)
    done = make("course", f"PYTHON={python}", f"VENV={tmp_path}/a venv")
    assert done.returncode != 0 and not (tmp_path / "a venv").exists()
    assert ("needs Python 3.11, 3.12 or 3.13" in done.stdout and f"Python {words}" in done.stdout) is not fit
    assert ("Setting up" in done.stdout) is fit


@pytest.fixture
def pretended(tmp_path):
    """An environment that looks ready, in an odd folder, and whose Python only says with what it was called."""
    venv = tmp_path / "it's 강의 24"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").write_text('#!/bin/sh\nprintf "%s|" "threads=$OMP_NUM_THREADS" "$@"\n')
    (venv / "bin/python").chmod(0o755)
    (venv / ".ready").touch()
    return venv


def test_environment_is_made_anew_when_the_lock_changes(pretended):
    assert "pip install" not in make("-n", "course", f"VENV={pretended}").stdout
    os.utime(pretended / ".ready", (0, 0))
    assert "pip install" in make("-n", "course", f"VENV={pretended}").stdout


@pytest.mark.parametrize("target", ["course", "test", "explorer", "doctor"])
@pytest.mark.parametrize("ready", [True, False])
def test_a_read_only_folder_is_said_to_be_one(target, ready):
    with tempfile.TemporaryDirectory() as folder:
        for file in ("Makefile", "requirements.lock"):
            shutil.copy(ROOT / file, folder)
        if ready:
            (Path(folder) / "bin").mkdir()
            (Path(folder) / "bin/python").symlink_to("/bin/echo")
            (Path(folder) / ".ready").touch()
        os.chmod(folder, 0o555)
        anybody = {"user": "nobody"} if os.geteuid() == 0 else {}  # root may write everywhere
        command = ["make", "-C", folder, "--no-print-directory", target, "VENV=."]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **anybody)
        os.chmod(folder, 0o755)
    works = ready and target == "doctor"  # which writes nothing
    said = (
        "-m lib.tools.doctor"
        if works
        else "This folder is read-only: copy the course to a folder in which you may write"
    )
    assert done.stdout.startswith(said) and len(done.stdout.splitlines()) == 1 and (done.returncode == 0) is works


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        (["course"], "threads=1|notebooks/build.py|course|"),
        (["course", "NAME=01_frames", "JOBS=1"], "threads=1|notebooks/build.py|course|--jobs=1|01_frames|"),
        (["notebooks"], "threads=1|notebooks/build.py|notebooks|threads=1|-m|notebooks.korean|"),
        (
            ["notebooks", "NAME=01_frames"],
            "threads=1|notebooks/build.py|notebooks|01_frames|threads=1|-m|notebooks.korean|01_frames|",
        ),
        (["test"], "threads=1|-m|pytest|-n|2|--dist|worksteal|"),
        # training from scratch is the one thing that is faster with every core
        (["tiny"], "threads=|-m|lib.workshop.tiny|threads=1|-m|lib.workshop.tiny_card|"),
        (["compare"], "threads=1|-m|lib.workshop.same_budget|"),
        (["compare-later"], "threads=1|-m|lib.workshop.came_after|"),
        (["llama-vid"], "threads=|-m|lib.workshop.llama_vid|threads=1|-m|lib.workshop.llama_vid_scores|"),
        (["korean"], "threads=1|-m|lib.workshop.korean|"),
        (["progress"], "threads=1|-m|lib.exercises|"),
        (["progress", "TEAM=our team"], "threads=1|-m|lib.exercises|our team|"),
        (["bench"], "threads=1|tests/bench_reducers.py|"),
        (["doctor"], "threads=1|-m|lib.tools.doctor|"),
        (["explorer"], "threads=1|-m|lib.tools.explorer|"),
        (
            ["new-lesson", "NAME=13_time", 'TITLE=Is it "time"?'],
            'threads=1|-m|notebooks.new_lesson|13_time|Is it "time"?|',
        ),
        (["new-lesson"], "threads=1|-m|notebooks.new_lesson|||"),
        (["korean-looked"], "threads=1|-m|notebooks.korean_twins|"),
        (["gpu-check"], "threads=1|tests/gpu_check.py|"),
        (["ask", "VIDEO=a b.mp4", 'Q=Is it "red"? `true`'], 'threads=1|-m|lib|ask|--|a b.mp4|Is it "red"? `true`|'),
    ],
)
def test_make_calls(pretended, arguments, called):
    assert make(*arguments, f"VENV={pretended}").stdout == called


@pytest.mark.parametrize("arguments", [[], ["VIDEO=clip.mp4"], ["Q=What moves?"]])
def test_make_ask_says_what_is_missing(pretended, arguments):
    done = make("ask", *arguments, f"VENV={pretended}")
    assert done.returncode == 2 and done.stdout.startswith("Give a video and a question: make ask VIDEO=")


def test_ci_runs_the_documented_command():
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert run.read_text().splitlines()[-1] == "exec make test"
    assert "make test" in README


@pytest.mark.parametrize("arguments", [["check", "--output-format", "concise"], ["format", "--diff"]])
def test_sources_are_clean(arguments):
    ruff = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."]
    done = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
