"""Figures of frames and time (lesson 01)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lib.plots.base import COLORS, canvas, show_pixels


def frame_strip(pixels: np.ndarray, titles: Sequence[str] | None = None, columns: int = 8) -> Figure:
    """Frames (T, H, W, 3) uint8 in reading order, `columns` to a row, each under its title (default: its number).

    >>> len(frame_strip(np.zeros((10, 4, 4, 3), np.uint8)).axes)
    16
    """
    titles = [f"frame {number}" for number in range(len(pixels))] if titles is None else titles
    rows = -(-len(pixels) // columns)
    figure, axes = canvas(1.35 * columns, 1.6 * rows, rows, columns)
    for cell in axes.flat[len(pixels) :]:
        cell.axis("off")
    for cell, image, title in zip(axes.flat, pixels, titles, strict=False):
        show_pixels(cell, image, title)
    return figure


def packet_order(sizes: Sequence[int], shown_as: Sequence[int], keys: Sequence[bool]) -> Figure:
    """The packets of a file in their stored order: their bytes, and the frame that each one shows.

    >>> len(packet_order([900, 90, 40], [0, 2, 1], [True, False, False]).axes)
    2
    """
    figure, axes = canvas(10, 3.2, columns=2)
    colours = [COLORS["fast"] if key else COLORS["patch"] for key in keys]
    axes[0, 0].bar(range(len(sizes)), sizes, color=colours, width=0.8)
    axes[0, 0].set(xlabel="place in the file", ylabel="bytes")
    axes[0, 1].plot(range(len(sizes)), color="0.8", linewidth=1)
    axes[0, 1].scatter(range(len(sizes)), shown_as, c=colours, s=30)
    axes[0, 1].set(xlabel="place in the file", ylabel="shown as frame")
    for name, colour in (("key frame", "fast"), ("needs other frames", "patch")):
        axes[0, 1].plot([], [], "o", color=COLORS[colour], label=name)
    axes[0, 1].legend(loc="upper left", fontsize=10)
    return figure


def asked_and_got(asked: Sequence[int], got: dict[str, Sequence[int] | None]) -> Figure:
    """One panel per file: the frame returned (vertical) against the frame requested; None means that the reader failed.

    >>> len(asked_and_got([0, 5], {"a.mp4": [0, 5], "b.ts": None}).axes)
    2
    """
    figure, axes = canvas(2.3 * len(got), 2.9, columns=len(got), sharey=True)
    for cell, (name, numbers) in zip(axes.flat, got.items(), strict=True):
        cell.plot(asked, asked, color="0.8", linewidth=1)
        cell.set(title=name, xlabel="asked for")
        if numbers is None:
            cell.text(0.5, 0.5, "refused", transform=cell.transAxes, ha="center", color=COLORS["wrong"])
            continue
        right = np.equal(asked, numbers)
        cell.scatter(asked, numbers, c=[COLORS["right" if same else "wrong"] for same in right], s=30)
        cell.text(0.05, 0.9, f"{len(right) - right.sum()} wrong", transform=cell.transAxes)
    axes[0, 0].set_ylabel("came back")
    return figure


def clock(timestamps: Sequence[float], fps: float) -> Figure:
    """The timestamps of a clip beside the estimate number / rate, and the difference.

    >>> len(clock([0.0, 0.1, 1.0], 2.0).axes)
    2
    """
    numbers = np.arange(len(timestamps))
    figure, axes = canvas(10, 3.2, columns=2)
    axes[0, 0].plot(numbers, timestamps, ".", color=COLORS["measured"], label="timestamp")
    axes[0, 0].plot(numbers, numbers / fps, color=COLORS["predicted"], label="number / average rate")
    axes[0, 0].set(xlabel="frame", ylabel="seconds")
    axes[0, 0].legend(loc="upper left", fontsize=10)
    axes[0, 1].bar(numbers, numbers / fps - timestamps, color=COLORS["wrong"], width=0.8)
    axes[0, 1].axhline(0, color=COLORS["line"], linewidth=1)
    axes[0, 1].set(xlabel="frame", ylabel="error in seconds")
    return figure


def timeline(total: int, rows: dict[str, Sequence[int]], starts: Sequence[int] = (0,)) -> Figure:
    """Which of `total` frames each row picks; of the scenes (first frames in `starts`), every second one is shaded.

    >>> len(timeline(20, {"uniform": [0, 19], "scenes": [5, 12]}, starts=[0, 11, 14]).axes)
    1
    """
    figure, axes = canvas(10, 1.1 + 0.5 * len(rows))
    cell = axes[0, 0]
    for first, last in zip([*starts][1::2], [*starts, total][2::2], strict=False):
        cell.axvspan(first - 0.5, last - 0.5, color="0.93")
    for row, picked in enumerate(rows.values()):
        cell.hlines(row, -0.5, total - 0.5, color="0.8", linewidth=1)
        cell.plot(picked, [row] * len(picked), "|", color=COLORS["patch"], markersize=17, markeredgewidth=2)
    cell.set_yticks(range(len(rows)), rows)
    cell.set(xlim=(-0.5 - total / 60, total - 0.5 + total / 60), ylim=(len(rows) - 0.4, -0.6), xlabel="frame")
    cell.spines["left"].set_visible(False)
    cell.tick_params(left=False)
    return figure


def named_pictures(named: dict[str, np.ndarray], width: float = 9) -> Figure:
    """Images of any shapes (H, W, 3) uint8 in one row, at their relative sizes, the name above each.

    >>> len(named_pictures({"wide": np.zeros((10, 20, 3), np.uint8), "square": np.zeros((10, 10, 3), np.uint8)}).axes)
    2
    """
    shares = [pixels.shape[1] / pixels.shape[0] for pixels in named.values()]
    figure, axes = canvas(width, 0.5 + 0.9 * width / sum(shares), columns=len(named), width_ratios=shares)
    for cell, (name, pixels) in zip(axes[0], named.items(), strict=True):
        show_pixels(cell, pixels, name)
    return figure
