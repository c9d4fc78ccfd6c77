"""Where the course lives: one command writes its repository and tag into every file that names them.

    python -m notebooks.address OWNER/NAME TAG        or: make colab REPO=OWNER/NAME TAG=v1.0

The truth is in pyproject.toml ([project.urls] and [tool.frames-to-tokens]). Badges, set-up cells and links repeat it,
because GitHub and Colab read files as they are; a test fails when one of them disagrees. Nothing is executed again:
outputs do not name the address.
"""

import re
import sys
import tomllib

from lib.files import ROOT, write_text

FILES = (
    "pyproject.toml", "CITATION.cff", "*.md", "docs/*.md", "docs/ko/*.md",
    "notebooks/[0-9c]*_*.py", "notebooks/*.ipynb", "notebooks/ko/*.md",
)  # fmt: skip
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def address() -> tuple[str, str]:
    """The repository (owner/name) and the tag or branch, as pyproject.toml has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    repository = settings["project"]["urls"]["Repository"].removeprefix("https://github.com/")
    return repository, settings["tool"]["frames-to-tokens"]["tag"]


def moved(text: str, old: tuple[str, str], new: tuple[str, str]) -> str:
    """A file's text with the new address.

    >>> moved("git clone --branch main https://github.com/a/b ...", ("a/b", "main"), ("c/d", "v1"))
    'git clone --branch v1 https://github.com/c/d ...'
    >>> moved("github/a/b/blob/main/notebooks/01.ipynb, a/better", ("a/b", "main"), ("c/d", "v1"))
    'github/c/d/blob/v1/notebooks/01.ipynb, a/better'
    """
    text = text.replace(f"--branch {old[1]} https", f"--branch {new[1]} https")
    text = text.replace(f"{old[0]}/blob/{old[1]}/", f"{old[0]}/blob/{new[1]}/")
    text = text.replace(f'\ntag = "{old[1]}"', f'\ntag = "{new[1]}"')
    return re.sub(rf"(?<=/){re.escape(old[0])}(?![\w-])", lambda _: new[0], text)


def main(arguments: list[str]) -> int:
    """Writes the new address everywhere; 0, or 2 for something that is no address."""
    if len(arguments) != 2 or not REPOSITORY.fullmatch(arguments[0]) or not TAG.fullmatch(arguments[1]):
        print("error: say which: make colab REPO=owner/name TAG=v1.0", file=sys.stderr)
        return 2
    old, new = address(), (arguments[0], arguments[1])
    for path in sorted({path for pattern in FILES for path in ROOT.glob(pattern)}):
        text = path.read_text(encoding="utf-8")
        if (changed := moved(text, old, new)) != text:
            write_text(path, changed)
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
