"""Every committed lesson is the executed form of its source, runs from top to bottom, and says what it has to say."""

import base64
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import time
from datetime import datetime
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from notebooks import build
from notebooks.claims import broken_claims, read_claims
from tests.test_exercises import ALL as EXERCISES
from tests.test_exercises import ANSWERS

ROOT = Path(__file__).resolve().parent.parent
LESSONS = [path.stem for path in build.lessons()]
NOTEBOOKS = [path.stem for path in build.notebooks()]  # and the job on Colab
IMPORTS = 5.0  # seconds of a core to import lib.vlm on a machine that the limits are for: idle, it took 5.3
SLACK = 1.5  # seconds of a core: busy cores inflate even these; "make course" shows seconds by the clock


def committed(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def seconds(nb):
    """From the kernel taking up the first cell to finishing the last, by the clock that nbmake left in the cells."""
    times = [cell.metadata["execution"] for cell in nb.cells if "execution" in cell.metadata]
    first, last = times[0]["iopub.execute_input"], times[-1]["iopub.status.idle"]
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def time_problems(nb, core_seconds, limit=build.MAX_SECONDS):
    """A lesson that was fast beyond belief has not run; one that needs too much is no lesson for a laptop.

    limit: seconds of a core on this machine.
    """
    if not any("execution" in cell.metadata for cell in nb.cells):
        return ["no cell was executed"]
    took = seconds(nb)
    found = [f"ran in {took:.2f} s, which is no time at all"] if took < build.MIN_SECONDS else []
    slowest = SLACK * limit
    return found + ([f"took {core_seconds:.0f} s of a core, over {slowest:.0f}"] if core_seconds > slowest else [])


def children_seconds():
    """Processor time of all child processes that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="session")
def pace():
    """How many times as long importing lib.vlm takes here and now, at least 1: a slow machine gets more seconds."""
    start = children_seconds()  # nothing has to be compiled: conftest.py imported it before
    subprocess.run([sys.executable, "-c", "import lib.vlm"], cwd=ROOT, check=True)
    return max(1, (children_seconds() - start) / IMPORTS)


def solve_experiments(nb, name):
    """Put the measurement of each experiment in the place of its dots, as a learner would; the ids of those put in."""
    solutions, put = getattr(ANSWERS.get(name[:2]), "EXPERIMENTS", {}), []
    for number, solution in solutions.items():
        for cell in nb.cells:
            dots = re.search(r"^my_\w+ = \.\.\.  #.*$", cell.source, flags=re.M)
            if cell.cell_type == "code" and f'exercises.get("{number}")' in cell.source and dots:
                # in a function of its own: none of its names is the lesson's
                answer, steps = dots[0].split()[0], textwrap.indent(solution.strip(), "    ")
                as_learner = f"def _as_learner():\n{steps}\n    return {answer}\n\n{answer} = _as_learner()"
                cell.source = cell.source.replace(dots[0], as_learner)
                put.append(number)
    return put


def run_with_nbmake(name, folder):
    """Copy a committed lesson into `folder`, run the copy with nbmake; it as executed there, and its core seconds.

    What the lesson asks the learner to measure is measured there.
    """
    (folder / "notebooks").mkdir()
    for part in ("lib", "data", "jobs"):
        (folder / part).symlink_to(ROOT / part)
    copy, nb = folder / "notebooks" / f"{name}.ipynb", committed(name)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)  # what the copy holds afterwards comes from this run alone
    solve_experiments(nb, name)
    nbformat.write(nb, copy)
    command = [sys.executable, "-m", "pytest", "--nbmake", "--overwrite", "--nbmake-timeout=600", "-q", copy.name]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"OMP_NUM_THREADS": "1"}
    start = children_seconds()
    done = subprocess.run(command, cwd=copy.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    return nbformat.read(copy, as_version=4), children_seconds() - start


def experiment_problems(nb, name):
    """The experiments whose measured answer the exercise did not call right."""
    printed = "".join(output.get("text", "") for cell in nb.cells for output in cell.get("outputs", []))
    solutions = getattr(ANSWERS.get(name[:2]), "EXPERIMENTS", {})
    return [f"{number}: what was measured is not right" for number in solutions if f"{number}: right!" not in printed]


def test_there_are_lessons_and_each_has_its_notebook():
    assert LESSONS
    assert NOTEBOOKS == sorted(
        path.stem for path in (ROOT / "notebooks").glob("*.ipynb") if not path.stem.endswith(".ko")
    )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_lesson_runs_from_top_to_bottom(name, tmp_path, pace):
    nb, core_seconds = run_with_nbmake(name, tmp_path)
    assert build.run_problems(nb) == []
    assert time_problems(nb, core_seconds, build.limit_of(name) * pace) == []
    assert broken_claims(nb, read_claims(name)) == []
    assert experiment_problems(nb, name) == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_the_executed_form_of_its_source(name):
    nb, source = committed(name), build.read_source(ROOT / "notebooks" / f"{name}.py")
    assert build.pair_problems(source, nb) == [], f"run: make notebooks NAME={name}"
    assert build.run_problems(nb) == []
    assert build.committed_problems(nb) == []
    assert broken_claims(nb, read_claims(name)) == []


@pytest.mark.parametrize("name", LESSONS)
def test_lesson_says_what_a_lesson_has_to_say(name):
    assert build.lesson_problems(committed(name)) == []


def test_a_lesson_offers_real_models_only_if_its_cells_were_tried_with_them():
    """Lesson 11 alone: its cells run on twins of the real models where REAL is False. Others lead to the job."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in build.lessons()}
    assert {name for name, text in texts.items() if re.search(r"^(MODEL = .*llava-hf|REAL = )", text, re.M)} == {
        "11_real_weights"
    }


def test_set_up_cell_is_the_same_in_every_lesson():
    cells = [[c.source for c in committed(name).cells if "setup" in c.metadata.get("tags", [])] for name in NOTEBOOKS]
    assert [len(found) for found in cells] == [1] * len(NOTEBOOKS)
    assert len({source for (source,) in cells}) == 1


def test_every_experiment_is_measured_when_its_lesson_is_run():
    """An experiment compares what a learner measures with a stored number, so the number is measured by the tests."""
    stored = {name for name, exercise in EXERCISES.items() if exercise.task.en.startswith("An experiment")}
    assert stored == {number for module in ANSWERS.values() for number in getattr(module, "EXPERIMENTS", {})}
    found = [number for name in LESSONS for number in solve_experiments(committed(name), name)]
    assert sorted(found) == sorted(stored)


def test_claims_belong_to_lessons():
    assert {path.stem for path in (ROOT / "notebooks" / "claims").glob("*")} <= set(NOTEBOOKS)


# The checks themselves: each is shown a small notebook that it must refuse.


def good():
    """A lesson that no check has anything against."""
    rows = ("You will be able to | read", "Minutes | 1", "Memory | 1 GB", "Downloads | none", "Needs | a CPU")
    card = "\n".join(["| | |", "|---|---|", *(f"| {row} |" for row in rows)])
    words = "\n\n".join(["**Predict before you run**", *build.SECTIONS])
    cells = [new_markdown_cell(text) for text in ("# Lesson\n\n![Colab](colab-badge.svg)", card, words)]
    output = new_output("stream", name="stdout", text="1\n")
    cells.append(new_code_cell("print(1)", execution_count=1, outputs=[output]))
    return build.normalise(new_notebook(cells=cells))


def changed(change):
    nb = good()
    change(nb, nb.cells[-1])
    return nb


def test_checks_have_nothing_against_a_good_lesson():
    nb = good()
    assert build.run_problems(nb) + build.committed_problems(nb) + build.lesson_problems(nb) == []
    assert build.pair_problems(good(), nb) == []


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("was not executed", lambda nb, cell: cell.update(execution_count=None)),
        ("wrote to stderr", lambda nb, cell: cell.outputs.append(new_output("stream", name="stderr", text="Warning"))),
        (
            "failed: ValueError",
            lambda nb, cell: cell.outputs.append(new_output("error", ename="ValueError", evalue="x")),
        ),
        (
            "widget",
            lambda nb, cell: cell.outputs.append(
                new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})
            ),
        ),
    ],
)
def test_run_check_refuses(words, change):
    (problem,) = build.run_problems(changed(change))
    assert words in problem


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("bytes with outputs", lambda nb, cell: cell.outputs[0].update(text="x" * build.MAX_BYTES)),
        ("no cell has an output", lambda nb, cell: cell.update(outputs=[])),
        ("cell ids", lambda nb, cell: cell.update(id="c0ffee")),
        ("metadata", lambda nb, cell: cell.metadata.update(execution={"iopub.status.idle": "now"})),
        ("metadata", lambda nb, cell: nb.metadata.kernelspec.update(display_name="my kernel")),
        ("time of day", lambda nb, cell: cell.outputs[0].update(text="2026-11-20 18:35:00")),
        ("folder of this machine", lambda nb, cell: cell.outputs[0].update(text=f"no such file in {ROOT}/data")),
    ],
)
def test_commit_check_refuses(words, change):
    (problem,) = build.committed_problems(changed(change))
    assert words in problem


@pytest.mark.parametrize(
    "change",
    [
        lambda nb, cell: cell.update(source="print(2)"),
        lambda nb, cell: nb.cells[0].update(source="# Another title"),
        lambda nb, cell: cell.update(metadata={"tags": ["skip-execution"]}),
        lambda nb, cell: nb.cells.pop(),
    ],
)
def test_pair_check_refuses(change):
    assert len(build.pair_problems(good(), changed(change))) == 1


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("no title", lambda nb, cell: nb.cells[0].update(source="Lesson colab-badge.svg")),
        ("no Colab badge", lambda nb, cell: nb.cells[0].update(source="# Lesson")),
        ("memory", lambda nb, cell: nb.cells[1].update(source=nb.cells[1].source.replace("Memory", "RAM"))),
        ("한국어 요약", lambda nb, cell: nb.cells[2].update(source=nb.cells[2].source.replace("한국어", "국문"))),
        (
            "What to remember",
            lambda nb, cell: nb.cells[2].update(source=nb.cells[2].source.replace("remember", "forget")),
        ),
        ("no prediction", lambda nb, cell: nb.cells[2].update(source=nb.cells[2].source.replace("Predict", "Guess"))),
        ("skip-execution", lambda nb, cell: cell.metadata.update(tags=["skip-execution"])),
        ("raises-exception", lambda nb, cell: cell.metadata.update(tags=["raises-exception"])),
        ("words, at most 2600", lambda nb, cell: nb.cells.append(new_markdown_cell("word " * 2601))),
        ("71 cells, at most 70", lambda nb, cell: nb.cells.extend([new_markdown_cell("")] * (71 - len(nb.cells)))),
        ("has a line of 111", lambda nb, cell: cell.update(source="#" * 111)),
        ("imports 16 names", lambda nb, cell: cell.update(source="from x import " + ", ".join("abcdefghijklmnop"))),
    ],
)
def test_lesson_check_refuses(words, change):
    (problem,) = build.lesson_problems(changed(change))
    assert words in problem


def test_a_skipped_cell_is_fine_once_the_text_says_so():
    def skip(nb, cell):
        cell.update(execution_count=None, outputs=[], metadata={"tags": ["skip-execution"]})
        nb.cells.insert(3, new_markdown_cell("The next cell is not run here: it needs a GPU."))

    assert build.run_problems(changed(skip)) + build.lesson_problems(changed(skip)) == []


def timed(took):
    """A good lesson whose only code cell ran for `took` seconds by the clock."""
    nb, (start, end) = good(), (datetime.fromtimestamp(second).isoformat() for second in (0, took))
    nb.cells[-1].metadata["execution"] = {"iopub.execute_input": start, "iopub.status.idle": end}
    return nb


@pytest.mark.parametrize(("took", "core", "words"), [(0.4, 0.4, "no time at all"), (99, 99, "99 s of a core")])
def test_time_check_refuses(took, core, words):
    (problem,) = time_problems(timed(took), core)
    assert words in problem


def test_lessons_that_train_may_take_longer_and_no_others():
    longer = [name for name in LESSONS if build.limit_of(name) != 60]
    assert longer == [name for name in LESSONS if name[:2] in ("08", "09", "12")]  # 12 keeps two cores busy
    assert {build.limit_of(name) for name in longer} == {120}
    assert time_problems(timed(5), 179, 120) == [] != time_problems(timed(5), 181, 120)
    runs = build.Run("08_korean_qlora", None, 300, 119, 1), build.Run("07", None, 61, 61, 1)  # side by side: 300 s
    assert build.over(runs[0]) == "" != build.over(runs[1])


def test_time_check_refuses_a_lesson_that_never_ran():
    assert time_problems(good(), 5) == ["no cell was executed"]


def test_time_check_accepts_what_waited_for_a_busy_machine():
    assert time_problems(timed(500), 50) == []


# The builder, on lessons of two lines.


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "01_small.py"
    path.write_text("# %% [markdown]\n# # Small\n\n# %%\nprint(6 * 7)\n")
    return path


def test_build_twice_writes_the_same_bytes(source):
    target = source.with_suffix(".ipynb")
    run = build.build(source, target)
    assert (run.error, run.name) == (None, "01_small")
    assert run.seconds > 0 and run.megabytes > 10
    first = target.read_bytes()
    build.build(source, target)
    assert target.read_bytes() == first
    assert build.pair_problems(build.read_source(source), nbformat.read(target, 4)) == []
    assert [p.name for p in sorted(source.parent.iterdir())] == ["01_small.ipynb", "01_small.py"]


def test_picture_for_the_readme_is_what_the_lesson_drew(source):
    (source.parent / "lib").symlink_to(ROOT / "lib")
    source.write_text('# %% tags=["readme"]\nfrom lib import plots\nplots.canvas(1, 1)[0]\n')
    assert build.build(source, source.with_suffix(".ipynb")).error is None
    (cell,) = nbformat.read(source.with_suffix(".ipynb"), 4).cells
    picture = source.with_suffix(".png").read_bytes()
    assert picture.startswith(b"\x89PNG") and base64.b64decode(cell.outputs[0].data["image/png"]) == picture


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import warnings; warnings.warn('old')", "wrote to stderr"),
        ("None", "no cell has an output"),
    ],
)
def test_build_of_a_bad_lesson_leaves_the_old_notebook(source, code, words):
    target = source.with_suffix(".ipynb")
    target.write_text("the old notebook")
    source.write_text(f"# %%\n{code}\n")
    assert words in build.build(source, target).error
    assert target.read_text() == "the old notebook"


def test_course_leaves_a_failed_lesson_open_to_be_read(source, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "COURSE", tmp_path / "course")
    source.write_text("# %%\nprint(6 * 7)\n\n# %%\n1 / 0\n")
    run = build.build(source, tmp_path / "course" / "01_small.ipynb")
    assert "ZeroDivisionError" in run.error
    assert "42" in (tmp_path / "course" / "01_small.ipynb").read_text()


def test_a_folder_that_cannot_be_written_to_is_one_clear_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setattr(build, "COURSE", tmp_path / "file" / "course")
    assert build.main(["course", "00_start_here"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and str(build.COURSE) in error and error.count("\n") == 1


def test_unknown_lesson_is_one_clear_line(capsys):
    assert build.main(["course", "99_nothing"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no lesson called 99_nothing; there are: ") and error.count("\n") == 1


# Lessons side by side.


def lesson(folder, name, code):
    """A lesson of one cell, which leaves its kernel's process number in a file."""
    source = folder / f"{name}.py"
    source.write_text(f"# %%\nimport os, signal, time\nopen('{name}.pid', 'w').write(str(os.getpid()))\n{code}\n")
    return source


def kernels(folder, names, seconds=20):
    """Which of the lessons' kernels are still there: none, after a moment, or something went wrong."""
    numbers, until = {name: int((folder / f"{name}.pid").read_text()) for name in names}, time.monotonic() + seconds
    while (left := [name for name in names if psutil.pid_exists(numbers[name])]) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def test_a_lesson_that_fails_or_is_killed_harms_no_other(tmp_path, capsys):
    codes = {
        "02_wrong": "1 / 0",
        "03_kernel": "os.kill(os.getpid(), signal.SIGKILL)",
        "04_process": "os.kill(os.getppid(), signal.SIGKILL); time.sleep(300)",
        "05_good": "time.sleep(1); print(6 * 7)",
    }
    sources = [lesson(tmp_path, name, code) for name, code in codes.items()]
    assert not build.build_all(sources, tmp_path, jobs=2)
    printed = capsys.readouterr()
    header, *rows = printed.out.splitlines()
    assert header.split()[0] == "lesson" and [row.split()[0] for row in rows] == list(codes)
    for row, words in zip(rows, ("ZeroDivisionError", "ernel died", "was killed", "05_good.ipynb"), strict=True):
        assert words in row and ("FAILED" in row) == (words != "05_good.ipynb")
    assert [f"{name} failed:" in printed.err for name in codes] == [True, True, True, False]
    assert [path.stem for path in tmp_path.glob("*.ipynb")] == ["05_good"]
    assert kernels(tmp_path, codes) == []


@pytest.mark.parametrize("number, everybody", [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_stopping_leaves_no_kernel(tmp_path, number, everybody):
    """Ctrl-C in a terminal goes to all processes, `kill` to one."""
    lesson(tmp_path, "01_long", "time.sleep(300)")
    code = f"from pathlib import Path; from notebooks import build; build.HERE = build.COURSE = Path({str(tmp_path)!r})"
    command = [sys.executable, "-c", f"{code}; raise SystemExit(build.main(['course', '--jobs=2']))"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as stopped:
        while not list(tmp_path.glob("*.pid")) and stopped.poll() is None:
            time.sleep(0.1)
        time.sleep(0.5)
        (os.killpg if everybody else os.kill)(stopped.pid, number)
        error = stopped.communicate(timeout=60)[1]
    assert (stopped.returncode, error.strip()) == (130, "stopped: lessons that had not ended are not written")
    assert kernels(tmp_path, ["01_long"]) == [] and not list(tmp_path.glob("*.ipynb"))


@pytest.mark.parametrize(
    ("name", "running", "room"),
    [
        ("01_frames", [], True),
        ("01_frames", ["00_start_here"], True),
        ("01_frames", ["00_start_here", "03_llava_next_anyres"], False),
        ("02_token_math", [], True),
        ("02_token_math", ["00_start_here"], False),
        ("12_scale_out", ["11_real_weights"], False),
        ("03_llava_next_anyres", ["02_token_math"], False),
    ],
)
def test_lessons_that_measure_time_run_alone(name, running, room):
    assert set(build.ALONE) <= set(LESSONS)
    assert build.there_is_room(Path(f"{name}.py"), [Path(f"{one}.py") for one in running], jobs=2) == room


@pytest.mark.parametrize(("cores", "free", "jobs"), [(1, 96_000, 1), (16, 96_000, 16), (16, 7_000, 2), (2, 1_000, 1)])
def test_as_many_lessons_as_there_are_cores_and_memory_for(monkeypatch, cores, free, jobs):
    monkeypatch.setattr(build, "cores", lambda: cores)
    monkeypatch.setattr(build, "free_memory", lambda: free * 2**20)
    assert (build.jobs_for(None), build.jobs_for("1"), build.jobs_for("12")) == (jobs, 1, 12)


@pytest.mark.parametrize("jobs", ["0", "-1", "two", "1.5", "²"])
def test_jobs_that_make_no_sense_are_one_clear_line(jobs, capsys):
    assert build.main(["course", f"--jobs={jobs}", "01_frames"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: JOBS is '{jobs}': give a whole number of at least 1") and error.count("\n") == 1
