"""From the source of a lesson (NN_slug.py, percent format) to its executed notebook: one direction only.

    python notebooks/build.py notebooks [NAME ...]    write NAME.ipynb beside NAME.py: the files that are committed
    python notebooks/build.py course [NAME ...]       run every lesson into course/ and print one table

Lessons of the course run side by side, as many as there are cores and memory for, or as many as --jobs says. The
committed ones run one after the other: what they measure is measured on a machine that does nothing else.

What is written is deterministic but for the outputs themselves: cells are numbered 0, 1, 2 ..., metadata are fixed,
nothing holds a time of day. The `*_problems` functions say in words what is wrong with a notebook; the tests use them.
"""

import argparse
import ast
import base64
import math
import multiprocessing
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

HERE = Path(__file__).resolve().parent
COURSE = HERE.parent / "course"
sys.path.insert(0, str(HERE.parent))  # this file is run as a script

from lib.files import write_text, written_whole  # noqa: E402
from lib.machine import cores, free_memory  # noqa: E402
from notebooks.claims import broken_claims, read_claims  # noqa: E402

MAX_BYTES = 400_000  # a notebook with its outputs: it must open fast on GitHub and diff in reason
MAX_SECONDS = 60.0  # a lesson on two CPU cores, of which it keeps one busy
CORES = {"12_scale_out": 2}  # or both: it starts processes side by side
ALONE = ("02_token_math", "12_scale_out")  # they measure time, or start processes of their own
TRAINING_SECONDS = {"08_korean_qlora": 120.0, "09_dpo": 120.0}  # lessons that train for longer
MAX_MEGABYTES = 3_000.0  # its peak memory
MAX_WORDS, MAX_CELLS, MAX_LINE, MAX_IMPORTS = 2_600, 70, 110, 15  # of a lesson; names imported in one cell
IMPORTS = ast.Import | ast.ImportFrom
MIN_SECONDS = 1.0  # importing torch alone takes longer: a lesson faster than this did not run
TIMEOUT = 600  # seconds for one cell, after which the lesson has failed

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SECTIONS = ("## 한국어 요약", "## What to remember")
CARD = ("you will be able to", "minutes", "memory", "downloads", "needs")
SPOKEN_TAGS = {"skip-execution": "not run", "raises-exception": "error"}  # a tag, and what the text before must say
TIMESTAMP = re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d")


@dataclass(frozen=True)
class Run:
    """One lesson, executed: what went wrong (None if nothing), its time, and its kernel's peak memory."""

    name: str
    error: str | None
    seconds: float  # by the clock
    core_seconds: float  # of the kernel and what it started
    megabytes: float


def notebooks(names: list[str] | None = None) -> list[Path]:
    """The sources of all notebooks, or of the named ones ("01_frames" or a path that ends in it), in order.

    They are the lessons, and the job on Colab, which is none: no exercises, no day in the plan.
    """
    sources = {path.stem: path for glob in ("[0-9][0-9]_*.py", "colab_*.py") for path in sorted(HERE.glob(glob))}
    wanted = [Path(name).stem for name in names] if names else list(sources)
    if unknown := [name for name in wanted if name not in sources]:
        raise ValueError(f"no lesson called {', '.join(unknown)}; there are: {', '.join(sources)}")
    return [sources[name] for name in wanted]


def lessons() -> list[Path]:
    """The sources of all lessons, in order."""
    return [path for path in notebooks() if path.stem[:2].isdigit()]


def read_source(path: Path) -> NotebookNode:
    """The notebook that a percent script stands for: no outputs, fixed metadata, cells numbered from 0."""
    return normalise(jupytext.read(path, fmt="py:percent"))


def normalise(nb: NotebookNode) -> NotebookNode:
    """The same notebook without what differs from run to run or from machine to machine (changed in place)."""
    for number, cell in enumerate(nb.cells):
        cell.id = str(number)
        cell.metadata = NotebookNode({"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {})
    nb.metadata = nbformat.from_dict(METADATA)
    nb.nbformat, nb.nbformat_minor = 4, 5
    return nb


def execute(nb: NotebookNode, folder: Path) -> str | None:
    """Run the notebook in place with `folder` as working directory; the error in words, or None."""
    client = NotebookClient(
        nb,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return str(error).strip()
    return None


def write_picture(nb: NotebookNode, path: Path) -> None:
    """The picture of the cell tagged "readme", where there is one: README shows what a lesson drew."""
    for cell in nb.cells:
        if "readme" in cell.metadata.get("tags", []):
            with written_whole(path) as beside:
                beside.write_bytes(base64.b64decode(cell.outputs[-1].data["image/png"]))


def build(source: Path, target: Path) -> Run:
    """Execute a lesson and write it: into course/ even if it failed (one sees where), elsewhere only a clean one.

    Call it in a process of its own: time and peak memory are those of its child, the kernel.
    """
    nb, start = read_source(source), time.perf_counter()
    target.parent.mkdir(exist_ok=True)
    error = execute(nb, target.parent)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    for_course = target.parent == COURSE
    problems = [error] if error else [] if for_course else to_commit_problems(source.stem, nb)
    if for_course or not problems:
        write_text(target, f"{nbformat.writes(normalise(nb))}\n")
    if not for_course and not problems:
        write_picture(nb, target.with_suffix(".png"))
    return Run(source.stem, "; ".join(problems) or None, seconds, used.ru_utime + used.ru_stime, peak)


def build_all(sources: list[Path], folder: Path, jobs: int) -> bool:
    """Build the lessons, up to `jobs` at a time: a table in their order, then what failed; True if nothing did."""
    print(f"{'lesson':<24}{'seconds':>8}{'of a core':>11}{'peak MB':>9}   result", flush=True)
    names, runs = [source.stem for source in sources], {}
    for run in side_by_side(sources, folder, jobs):
        runs[run.name] = run
        while names and names[0] in runs:
            print(line(runs[names.pop(0)], folder), flush=True)
    failed = [run for run in runs.values() if run.error]
    for run in failed:
        print(f"\n{run.name} failed:\n{run.error}", file=sys.stderr)
    return not failed


def side_by_side(sources: list[Path], folder: Path, jobs: int) -> Iterator[Run]:
    """Start lessons in their order, up to `jobs` at a time; each as it ends. If stopped, all their processes end."""
    waiting, running = list(sources), {}
    try:
        while waiting or running:
            while waiting and there_is_room(waiting[0], running.values(), jobs):
                source = waiting.pop(0)
                running[start(source, folder)] = source
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield ended(future, running.pop(future))
    except BaseException:
        for worker in multiprocessing.active_children():
            end(worker.pid)
        raise


def there_is_room(source: Path, running: Collection[Path], jobs: int) -> bool:
    """May this lesson start beside those?"""
    return not running or len(running) < jobs and not any(lesson.stem in ALONE for lesson in (source, *running))


def start(source: Path, folder: Path) -> Future:
    """Build a lesson in a process of its own, whose death harms no other lesson.

    By "spawn", because a fork would inherit this process's memory peak; in a session of its own, so that Ctrl-C reaches
    this process alone, which then ends the others.
    """
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=os.setsid)
    future = pool.submit(build, source, folder / f"{source.stem}.ipynb")
    pool.shutdown(wait=False)  # it takes no second lesson
    return future


def end(pid: int) -> None:
    """End a process with all that it started: a kernel, and what a lesson runs."""
    with suppress(psutil.NoSuchProcess):
        worker = psutil.Process(pid)
        for process in (*worker.children(recursive=True), worker):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def ended(future: Future, source: Path) -> Run:
    """What came of a lesson, also where its process was killed."""
    try:
        return future.result()
    except BrokenProcessPool:
        error = f"its process was killed (out of memory?): try it alone, with make course NAME={source.stem}"
        return Run(source.stem, error, math.nan, math.nan, math.nan)


def line(run: Run, folder: Path) -> str:
    """The line of the table."""
    why = f"FAILED: {run.error.splitlines()[-1][:90]}" if run.error else os.path.relpath(folder / f"{run.name}.ipynb")
    return f"{run.name:<24}{run.seconds:>8.1f}{run.core_seconds:>11.1f}{run.megabytes:>9.0f}   {why}{over(run)}"


def jobs_for(asked: str | None) -> int:
    """How many lessons run side by side: as many as asked for, else one for each core and MAX_MEGABYTES of memory.

    Raises ValueError where what is asked for is no whole number of at least 1.
    """
    if asked is not None:
        if not (asked.isdecimal() and int(asked)):
            raise ValueError(f"JOBS is {asked!r}: give a whole number of at least 1, such as JOBS=1, or leave it out")
        return int(asked)
    return max(1, min(cores(), int(free_memory() / 2**20 / MAX_MEGABYTES)))


def limit_of(name: str) -> float:
    """How many seconds of a core a lesson may take: side by side, each takes longer by the clock."""
    return TRAINING_SECONDS.get(name, MAX_SECONDS) * CORES.get(name, 1)


def over(run: Run) -> str:
    """What to say of a lesson that needs more than it may; nothing of any other."""
    limit = limit_of(run.name)
    return (f"  (over {limit:.0f} s)" if run.core_seconds > limit else "") + (
        f"  (over {MAX_MEGABYTES:.0f} MB)" if run.megabytes > MAX_MEGABYTES else ""
    )


def run_problems(nb: NotebookNode) -> list[str]:
    """What went wrong while the notebook ran: cells that were not executed, errors, anything written to stderr."""
    found = []
    for number, cell in enumerate(nb.cells):
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        if cell.source.strip() and not cell.execution_count and "skip-execution" not in tags:
            found.append(f"cell {number} was not executed")
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags:
                found.append(f"cell {number} failed: {output.ename}: {output.evalue}")
            if output.get("name") == "stderr":
                found.append(f"cell {number} wrote to stderr: {output.text.strip()[:300]}")
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                found.append(f"cell {number} shows a widget, which is lost on GitHub")
    return found


def to_commit_problems(name: str, nb: NotebookNode) -> list[str]:
    """What keeps a lesson just executed from being committed."""
    return run_problems(nb) + committed_problems(normalise(nb)) + broken_claims(nb, read_claims(name))


def committed_problems(nb: NotebookNode) -> list[str]:
    """What keeps an executed notebook from being committed: its size, no outputs, anything not deterministic."""
    found, text = [], nbformat.writes(nb)
    if (size := len(text.encode())) > MAX_BYTES:
        found.append(f"{size:,} bytes with outputs, at most {MAX_BYTES:,} allowed")
    if not any(cell.get("outputs") for cell in nb.cells):
        found.append("no cell has an output")
    if [cell.id for cell in nb.cells] != [str(number) for number in range(len(nb.cells))]:
        found.append("cell ids are not 0, 1, 2 ...")
    if any(set(cell.metadata) - {"tags"} for cell in nb.cells) or nb.metadata != METADATA:
        found.append("metadata beside tags and the fixed kernel")
    if stamp := TIMESTAMP.search(text):
        found.append(f"a time of day: {stamp.group()}")
    if str(HERE.parent) in text:
        found.append(f"a folder of this machine: {HERE.parent}")
    return found


def pair_problems(source: NotebookNode, nb: NotebookNode) -> list[str]:
    """Where a notebook's inputs (code, text, tags) differ from its source."""
    if len(source.cells) != len(nb.cells):
        return [f"{len(nb.cells)} cells, the source has {len(source.cells)}"]
    old, new = ([(c.cell_type, c.source, c.metadata.get("tags", [])) for c in book.cells] for book in (source, nb))
    return [f"cell {number} differs from the source" for number in range(len(old)) if old[number] != new[number]]


def lesson_problems(nb: NotebookNode) -> list[str]:
    """What a lesson lacks: title, badge, card, sections, a prediction, words before a cell that is skipped or fails."""
    texts = [cell.source if cell.cell_type == "markdown" else "" for cell in nb.cells]
    whole = "\n".join(texts)
    card = next((text for text in texts if text.count("\n|") >= len(CARD)), "").lower()
    found = [] if texts and texts[0].startswith("# ") else ["the first cell is no title"]
    found += [] if "colab-badge.svg" in whole else ["no Colab badge"]
    found += [f"the card does not say: {line}" for line in CARD if line not in card]
    found += [f"no section {section!r}" for section in SECTIONS if section not in whole]
    found += [] if "predict before you run" in whole.lower() else ["no prediction is asked for"]
    words = sum(len(text.split()) for text in texts if "## 한국어 요약" not in text)
    found += [] if words <= MAX_WORDS else [f"{words} words, at most {MAX_WORDS}"]
    found += [] if len(nb.cells) <= MAX_CELLS else [f"{len(nb.cells)} cells, at most {MAX_CELLS}"]
    for number, cell in enumerate(nb.cells):
        if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", []):
            found += [f"cell {number} {problem}" for problem in code_problems(cell.source)]
        before = next((text for text in reversed(texts[:number]) if text), "").lower()
        for tag in set(cell.metadata.get("tags", [])) & set(SPOKEN_TAGS):
            if SPOKEN_TAGS[tag] not in before:
                found.append(f"cell {number} is tagged {tag}; the text before it does not say {SPOKEN_TAGS[tag]!r}")
    return found


def code_problems(source: str) -> list[str]:
    """What makes a cell of code hard to read: long lines, many imports."""
    found = [f"has a line of {len(line)}" for line in source.splitlines() if len(line) > MAX_LINE]
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, IMPORTS)]
    names = sum(len(node.names) for node in imports)
    return found + ([f"imports {names} names, at most {MAX_IMPORTS}"] if names > MAX_IMPORTS else [])


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 if all was written, 1 if one failed, 2 for a wrong argument or folder, 130 if stopped."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=("notebooks", "course"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="lessons, for example 01_frames (default: all)")
    parser.add_argument("--jobs", metavar="N", help="lessons side by side (default: as fit here; committed ones: 1)")
    options = parser.parse_intermixed_args(arguments)  # names may stand on both sides of --jobs
    try:
        sources = notebooks(options.names)
        jobs = jobs_for(options.jobs or ("1" if options.what == "notebooks" else None))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads on two busy cores are ten times slower than one
    os.environ |= {"F2T_PROGRESS": "off", "F2T_LANGUAGE": "en"}  # the same outputs, whatever the learner has solved
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        good = build_all(sources, HERE if options.what == "notebooks" else COURSE, jobs)
    except OSError as error:  # a folder that cannot be written to
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped: lessons that had not ended are not written", file=sys.stderr)
        return 130
    if good and options.what == "course":
        print("\nOpen them with `make lab` (the lessons are in notebooks/, these executed copies in course/).")
    return 0 if good else 1


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # for any terminal, as in lib/__init__.py
    sys.exit(main())
