"""The set-up cell's one call: go to the lessons' folder, make libraries quiet; on Colab, install what Colab lacks.

Colab brings torch, numpy, transformers and other packages that work together. pip may add packages but not change
those: it gets every installed package as a constraint. requirements-colab.txt lists what the course needs and Colab
lacks or has too old; torch, numpy and transformers are never in it. Running the cell again changes nothing.

This module runs before anything is installed, so it imports only what every runtime has.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from packaging.requirements import Requirement

from lib import quiet
from lib.files import ROOT
from lib.text import begin_notebook

NEEDED = ROOT / "requirements-colab.txt"
PLAIN = re.compile(r"[\w.+!]+")  # versions that pip can read; a distribution's own packages may have others


def set_up(language: str = "en") -> None:
    """Makes notebooks/ the working folder, so that a lesson's paths are right, and silences libraries.

    On Colab it first installs what is missing. `language` is the notebook's ("en" or "ko"): messages come in it unless
    F2T_LANGUAGE names another. An English notebook leaves the choice to the learner's file and the locale. Raises
    RuntimeError as `install_missing` does.
    """
    if language != "en":
        begin_notebook(language)
    os.chdir(ROOT / "notebooks")
    if "google.colab" in sys.modules:
        install_missing()
    quiet()


def install_missing() -> None:
    """Installs what NEEDED asks for and this runtime lacks.

    Raises RuntimeError, before any weights are downloaded, if pip fails or has replaced a package that this session has
    imported. (The old one stays in memory until a restart.)
    """
    if wanted := missing(NEEDED.read_text(encoding="utf-8").splitlines()):
        before = versions(imported())
        install(wanted)
        if changed := [name for name, old in before.items() if versions([name]).get(name) != old]:
            raise RuntimeError(
                f"{', '.join(changed)} was replaced while in use. Choose Runtime > Restart session, then run this cell "
                "again; nothing has been downloaded for the lesson yet"
            )


def missing(lines: Iterable[str]) -> list[str]:
    """The requirements that are not installed, or only in a version outside the bounds.

    >>> missing(["# a comment", "pip>=1", "pip>=1000", "no-such-package>=2,<3  # why"])
    ['pip>=1000', 'no-such-package>=2,<3']
    """
    wanted = []
    for line in (line.split("#")[0].strip() for line in lines):
        if line and not any(at in Requirement(line).specifier for at in versions([Requirement(line).name]).values()):
            wanted.append(line)
    return wanted


def versions(names: Iterable[str]) -> dict[str, str]:
    """The installed version of each package that is installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def imported() -> list[str]:
    """The installed packages that this session has imported (a module of the same name).

    >>> "pytest" in imported() or "pytest" not in sys.modules
    True
    """
    modules = {name.partition(".")[0].lower() for name in sys.modules}
    return sorted({name for name in installed() if name.lower().replace("-", "_") in modules})


def installed() -> dict[str, str]:
    """Every installed package, with its version."""
    return {found.metadata["Name"]: found.version for found in distributions() if found.metadata["Name"]}


def install(wanted: list[str]) -> None:
    """Runs pip install; installed packages keep their versions. Raises RuntimeError with pip's last line."""
    print(f"installing what this runtime lacks: {', '.join(wanted)}")
    with tempfile.TemporaryDirectory() as folder:
        held, free = Path(folder, "held.txt"), {Requirement(line).name for line in wanted}
        lines = [f"{name}=={at}\n" for name, at in installed().items() if name not in free and PLAIN.fullmatch(at)]
        held.write_text("".join(lines), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(held), *wanted]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"pip could not install {', '.join(wanted)}: {last}. Fix: choose another runtime")
