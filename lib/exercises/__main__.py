"""`make progress`: what is solved, in text and as a picture; with a folder of progress files, by each of a team."""

import sys
from pathlib import Path

from lib import exercises, plots
from lib.exercises.progress import PROGRESS_FILE, path, peek

PICTURE = PROGRESS_FILE.with_name("progress.png")


def show_team(folder: Path) -> "plots.Figure":
    """Print who has solved how many exercises of each lesson, and won what; the exercises as a picture."""
    files = exercises.team(folder)
    boards = {name: exercises.board(data) for name, data in files.items()}
    numbers = list(exercises.lessons())
    solved = [[states.count("right") for _, states in rows] for rows in boards.values()]
    sizes = [len(lesson.EXERCISES) for lesson in exercises.lessons().values()]
    width = max(map(len, boards))
    print(f"{'':<{width}}  {'  '.join(numbers)}   of {sum(sizes)}")
    for name, row in zip(boards, solved, strict=True):
        print(f"{name:<{width}}  {'  '.join(f'{count:>2}' for count in row)}   {sum(row):>5}")
    print(f"{'':<{width}}  challenges won, capstone")
    for name, won, capstone in exercises.leaders(files):
        print(f"{name:<{width}}  {won:>14}  {'-' if capstone is None else f'{capstone:.3f}'}")
    return plots.team_board(list(boards), numbers, solved, sizes)


def main(arguments: list[str]) -> int:
    """The command line: no argument, or a folder."""
    plots.style()
    try:
        if arguments:
            figure = show_team(Path(arguments[0]))
        else:
            print(exercises.report(peek()))
            figure = exercises.picture()
        if path():  # F2T_PROGRESS=off writes nothing
            figure.savefig(PICTURE, metadata={"Software": None})
            print(PICTURE)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
