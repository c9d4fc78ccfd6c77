"""Figures of solved exercises."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lib.plots.base import COLORS, canvas


def progress_board(rows: Sequence[tuple[str, Sequence[str]]], title: str) -> Figure:
    """A row of squares for each lesson: "right" full with a tick, "tried" half full, "new" empty.

    >>> len(progress_board([("00 Start here", ["right", "tried", "new"])], "1 of 3").axes[0].patches)
    4
    """
    longest = max(len(states) for _, states in rows)
    figure, axes = canvas(3 + 0.5 * longest, 0.6 + 0.36 * len(rows))
    cell = axes[0, 0]
    for row, (_, states) in enumerate(rows):
        for column, state in enumerate(states):
            look = {"edgecolor": COLORS["text"], "facecolor": COLORS["right"] if state == "right" else "white"}
            cell.add_patch(Rectangle((column, row), 0.8, 0.8, **look))
            if state == "right":
                cell.text(column + 0.4, row + 0.4, "✓", ha="center", va="center_baseline", color="white")
            elif state == "tried":
                cell.add_patch(Rectangle((column, row + 0.4), 0.8, 0.4, facecolor=COLORS["predicted"]))
    cell.set(xlim=(-0.1, longest), ylim=(len(rows), -0.2), aspect="equal", xticks=[])
    cell.set_yticks([row + 0.4 for row in range(len(rows))], [name for name, _ in rows])
    cell.set_title(title)
    cell.tick_params(length=0)
    cell.spines[:].set_visible(False)
    return figure


def team_board(
    people: Sequence[str], lessons: Sequence[str], solved: Sequence[Sequence[int]], sizes: Sequence[int]
) -> Figure:
    """How many of each lesson's exercises each person has solved; `sizes` holds the totals.

    >>> [text.get_text() for text in team_board(["Kim"], ["00", "01"], [[3, 1]], [3, 4]).axes[0].texts]
    ['3', '1']
    """
    figure, axes = canvas(2.5 + 0.5 * len(lessons), 0.9 + 0.36 * len(people))
    cell = axes[0, 0]
    shares = np.asarray(solved) / np.asarray(sizes)
    cell.imshow(shares, cmap="Greens", vmin=0, vmax=1.25, aspect="auto")
    for row, column in np.ndindex(shares.shape):
        ink = "white" if shares[row, column] > 0.7 else "black"
        cell.text(column, row, str(solved[row][column]), ha="center", va="center", color=ink)
    cell.set_yticks(range(len(people)), people)
    cell.set_xticks(range(len(lessons)), [f"{name}\n/ {size}" for name, size in zip(lessons, sizes, strict=True)])
    cell.xaxis.tick_top()
    cell.tick_params(length=0)
    cell.spines[:].set_visible(False)
    return figure


def guesses_plot(guesses: Mapping[str, tuple[float, float]], title: str) -> Figure:
    """Guesses against measurements, on axes that show small and large numbers alike; on the diagonal they agree.

    >>> len(guesses_plot({"tokens": (576, 144)}, "0 of 1").axes[0].texts)
    1
    """
    figure, axes = canvas(6, 4.5)
    cell = axes[0, 0]
    highest = 2 * max(1, *(abs(number) for pair in guesses.values() for number in pair))
    cell.plot([0, highest], [0, highest], color=COLORS["text"], linestyle="--")
    for name, (guess, measured) in guesses.items():
        cell.plot(measured, guess, "o", color=COLORS["predicted"])
        cell.annotate(name, (measured, guess), xytext=(6, 4), textcoords="offset points", fontsize=9)
    for axis in ("x", "y"):
        getattr(cell, f"set_{axis}scale")("symlog", linthresh=0.1)
    cell.set(xlabel="measured", ylabel="guess", title=title)
    return figure
