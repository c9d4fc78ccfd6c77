"""The house: lib/README.md is its map, and files import only from those before them on it."""

import ast
import pkgutil
import re
from collections import defaultdict
from pathlib import Path

import pytest

from lib.files import ROOT

LIB = ROOT / "lib"
MAP = (LIB / "README.md").read_text("utf-8")
ROWS = re.findall(r"^\| \[`([^`]+)`\]\(([^)]+)\) \| (\d+) \| (.+?) \| (.+?) \|$", MAP, re.MULTILINE)
STREET, DOORS = MAP.split("## The doors")
FILES = [link for _, link, *_ in ROWS]  # in the order of the map: "video.py", "toybox/world.py" ...
ON_STREET = [file for file in FILES if f"({file})" in STREET]
PLACES = {file: number for number, file in enumerate(FILES)}
NO_ROW = {"__init__.py"}  # a package's own file hands on the names of the others


def imports(path: Path) -> set[str]:
    """The files of lib that a file imports, also inside functions; a package stands for its last file on the map."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).with_suffix("").parts[: -node.level] if node.level else ()  # from . import
            module = ".".join([*above, *filter(None, [node.module])])
            found |= {file_of(f"{module}.{name.name}") or file_of(module) for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {file_of(name.name) for name in node.names}
    return found - {None}


def file_of(module: str) -> str | None:
    """The file on the map that a module's name stands for; None for a name that is no module of lib."""
    top, *inner = module.split(".")
    place = "/".join(inner) if top == "lib" else ""
    inside = [file for file in FILES if place and file.startswith(f"{place}/")]
    return f"{place}.py" if f"{place}.py" in FILES else inside[-1] if inside else None


def test_the_map_names_every_file_once():
    there = sorted(path.relative_to(LIB).as_posix() for path in LIB.rglob("*.py") if path.name not in NO_ROW)
    assert sorted(FILES) == there


@pytest.mark.parametrize("name, link, lines, what, lesson", ROWS)
def test_a_row_of_the_map_is_true(name, link, lines, what, lesson):
    assert link.endswith(name)
    real = len((LIB / link).read_text("utf-8").splitlines())
    assert abs(real - int(lines)) <= max(10, real // 10), f"{link} has {real} lines: write that into lib/README.md"
    for number in re.findall(r"\d\d", lesson):
        assert list((ROOT / "notebooks").glob(f"{number}_*.py")), f"there is no lesson {number}"


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_only_from_those_before_it(file):
    after = {other for other in imports(LIB / file) if PLACES[other] > PLACES[file]}
    assert not after, f"{file} imports from {sorted(after)}, which come after it on the map (lib/README.md)"


@pytest.mark.parametrize("file", sorted(path.relative_to(LIB).as_posix() for path in LIB.rglob("__init__.py")))
def test_a_package_imports_only_from_itself_and_those_before_it(file):
    own = file_of(f"lib.{Path(file).parent.name}")  # its last file; none for lib itself, which imports nothing of lib
    after = {other for other in imports(LIB / file) if own is None or PLACES[other] > PLACES[own]}
    assert not after, f"{file} imports from {sorted(after)}, which come after it on the map (lib/README.md)"


def test_the_street_does_not_lead_through_a_door():
    found = {file: imports(LIB / file) - set(ON_STREET) for file in ON_STREET}
    assert not {file: doors for file, doors in found.items() if doors}


def test_nothing_in_lib_builds_on_the_workshop_or_the_tools():
    for file in FILES:
        room = file.partition("/")[0]
        back = {other for other in imports(LIB / file) if other.partition("/")[0] in {"workshop", "tools"} - {room}}
        assert not back or file == "__main__.py", f"{file} imports {sorted(back)}"


def test_the_reference_follows_the_map():
    """docs/api lists the modules in the same order; all but the exercises and the command lines."""
    pages = re.findall(r"^api/(\w+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE)
    texts = [(ROOT / "docs" / "api" / f"{page}.md").read_text("utf-8") for page in pages]
    named = [module for text in texts for module in re.findall(r"automodule:: (lib\.[\w.]+)", text)]
    files = [module.removeprefix("lib.").replace(".", "/") + ".py" for module in named]
    places = [PLACES[file] for file in files if file in PLACES]  # a package's own page is not on the map
    assert places == sorted(places)
    assert [file for file in FILES if file not in files and not re.search(r"lesson_|__main__", file)] == []


def test_a_name_has_one_owner():
    """What two files define under one name, a reader has to tell apart each time. (Exercises stand alone.)"""
    owners = defaultdict(set)
    for file in FILES:
        if "exercises/lesson_" not in file:
            for node in ast.parse((LIB / file).read_text("utf-8")).body:
                for name in defined(node) - {"main"}:
                    owners[name].add(file)
    assert not {name: sorted(files) for name, files in owners.items() if len(files) > 1}


def defined(node: ast.stmt) -> set[str]:
    """The public names that a statement at the top of a file defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        names = {node.name}
    else:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = {name.id for target in targets if target for name in ast.walk(target) if isinstance(name, ast.Name)}
    return {name for name in names if not name.startswith("_")}


NAMED = re.compile(r"`~?(lib(?:\.\w+)+)[`(]", re.ASCII)
LINKED = re.compile(r"\{py:\w+\}`~?(lib[\w.]+)`")
PLACES_OF_TEXT = ("*.md", "docs/**/*.md", "data/*/README.md", "lib/**/*.py", "notebooks/*.py")
TEXTS = [path.relative_to(ROOT).as_posix() for place in PLACES_OF_TEXT for path in sorted(ROOT.glob(place))]


@pytest.mark.parametrize("text", TEXTS)
def test_a_name_of_lib_in_a_text_leads_somewhere(text):
    """In lessons, exercises, pages and docstrings; a link of the website names the file, where the reference has it."""
    content = (ROOT / text).read_text("utf-8")
    for name in NAMED.findall(content):
        pkgutil.resolve_name(name)
    for name in LINKED.findall(content):
        assert pkgutil.resolve_name(name).__module__ == name.rpartition(".")[0]
