"""Every figure of the course. A function takes data and returns a Figure; a notebook shows it as a cell's last line.

Figures are made by `canvas`, not by pyplot: pyplot keeps its figures open, and a notebook would show them twice.
"""

import io
import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from lib.files import DATA

FONT = DATA / "fonts" / "NanumSquareR.ttf"

# One colour for one thing throughout the course. Okabe and Ito's palette, which colour-blind readers can tell apart.
COLORS = {
    "patch": "#0072B2",  # blue: a visual token made of patches
    "newline": "#E69F00",  # orange: a learned newline token
    "separator": "#F0E442",  # yellow
    "context": "#009E73",  # green: LLaMA-VID's context token
    "content": "#CC79A7",  # purple: LLaMA-VID's content token
    "text": "#999999",  # grey: a text token
    "slow": "#0072B2",
    "fast": "#D55E00",  # vermilion
    "predicted": "#E69F00",
    "measured": "#0072B2",
    "right": "#009E73",
    "wrong": "#D55E00",
    "line": "#000000",
    "light": "#56B4E9",  # sky blue: a second shade beside blue
}


def style() -> None:
    """Set fonts (Latin and Hangul), sizes and colours for all figures that follow; a notebook calls it once, on top.

    Everything else is matplotlib's default, whatever a learner's own matplotlibrc says.

    Raises FileNotFoundError where the course's data folder is missing.

    >>> style()
    >>> matplotlib.rcParams["font.family"]
    ['DejaVu Sans', 'NanumSquare']
    """
    matplotlib.rcdefaults()
    font_manager.fontManager.addfont(FONT)  # bundled, because most machines have no Hangul font that matplotlib finds
    matplotlib.rcParams.update(
        {
            "font.family": ["DejaVu Sans", "NanumSquare"],  # the second one serves what the first lacks
            "font.size": 11,
            "axes.titlesize": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": matplotlib.cycler(color=list(dict.fromkeys(COLORS.values()))),
            "figure.dpi": 80,
            "figure.constrained_layout.use": True,  # labels never overlap and are never cut off
            "image.interpolation": "nearest",  # a pixel is a square, not a blur
            "legend.frameon": False,
            "text.parse_math": False,  # a $ in a question is a dollar, not the beginning of a formula
        }
    )


class Picture(Figure):
    """A Figure that any notebook shows as a PNG, whichever backend matplotlib has there."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", metadata={"Software": None})  # the same picture, the same bytes
        return file.getvalue()


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """A figure of width x height inches with rows x columns axes (always a 2-D array); options go to `subplots`.

    >>> figure, axes = canvas(8, 2, columns=4)
    >>> axes.shape
    (1, 4)
    """
    figure = Picture(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def show_pixels(axes: Axes, pixels: np.ndarray, title: str = "") -> None:
    """Draw one image (H, W, 3) uint8 into axes, with a thin frame and no ticks."""
    axes.imshow(pixels)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=10)
    axes.spines[:].set_visible(True)


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


# ---------------------------------------------------------------------------------------------------------------------
# Lesson 00: start here
# ---------------------------------------------------------------------------------------------------------------------


def at_a_glance(pixels: np.ndarray, side: int, caption: str, answers: Sequence[tuple[str, str, str]]) -> Figure:
    """Frames (T, H, W, 3) cut into side x side tokens each, and below them rows of (question, answer, truth).

    >>> rows = [("What colour is the circle?", "red", "red"), ("What is the code?", "812", "612")]
    >>> [text.get_text() for text in at_a_glance(np.zeros((4, 8, 8, 3), np.uint8), 2, "", rows).axes[-1].texts[-3:]]
    ['What is the code?', '812', '✗  it is 612']
    """
    figure = Picture(figsize=(1.35 * len(pixels), 1.75 + 0.27 * (len(answers) + 1)))
    top, bottom = figure.subfigures(2, height_ratios=(1.75, 0.27 * (len(answers) + 1)))
    for cell, image in zip(np.atleast_1d(top.subplots(1, len(pixels))), pixels, strict=True):
        show_pixels(cell, image)
        draw_grid(cell, image.shape[0], side)
    top.suptitle(caption, fontsize=12)
    table = bottom.subplots()
    table.axis("off")
    table.set(xlim=(0, 1), ylim=(len(answers) + 0.5, -0.5))
    table.text(0.12, 0, "question", color=COLORS["text"], va="center")
    table.text(0.6, 0, "answer", color=COLORS["text"], va="center")
    for row, (question, answer, truth) in enumerate(answers, start=1):
        colour, verdict = (COLORS["right"], "✓") if answer == truth else (COLORS["wrong"], f"✗  it is {truth}")
        for x, text, ink in ((0.12, question, COLORS["line"]), (0.6, answer, colour), (0.74, verdict, colour)):
            table.text(x, row, text, color=ink, va="center")
    return figure


def score_intervals(
    series: dict[str, dict[str, tuple[float, float, float, int]]], ylabel: str = "share of right answers"
) -> Figure:
    """Scores by kind of question, (mean, low, high, asked) each, one mark per series with its interval as a line.

    >>> scores = {"colour": (0.9, 0.8, 0.95, 50), "code": (0.5, 0.4, 0.6, 50)}
    >>> [label.get_text() for label in score_intervals({"tiny": scores}).axes[0].get_xticklabels()]
    ['colour\\nn=50', 'code\\nn=50']
    """
    first = next(iter(series.values()))
    figure, axes = canvas(max(5.0, 0.9 * len(first) + 1), 3.2)
    cell = axes[0, 0]
    for number, ((name, scores), colour) in enumerate(zip(series.items(), ("patch", "fast", "context"), strict=False)):
        places = np.arange(len(scores)) + 0.18 * (number - (len(series) - 1) / 2)
        mean, low, high, _ = np.array(list(scores.values())).T
        cell.errorbar(places, mean, (mean - low, high - mean), fmt="o", capsize=3, color=COLORS[colour], label=name)
    cell.set_xticks(range(len(first)), [f"{kind}\nn={score[3]}" for kind, score in first.items()])
    cell.set(ylim=(-0.04, 1.05), ylabel=ylabel)  # a mark at 0 is whole, above the axis
    cell.grid(axis="y", color="0.9")
    figure.legend(loc="outside upper right", ncols=len(series))
    return figure


def draw_grid(axes: Axes, size: int, side: int) -> None:
    """Cut an image of size x size pixels that the axes show into side x side squares, by thin lines."""
    edges = np.arange(1, side) * size / side - 0.5
    axes.hlines(edges, -0.5, size - 0.5, color=COLORS["light"], linewidth=0.7)
    axes.vlines(edges, -0.5, size - 0.5, color=COLORS["light"], linewidth=0.7)


# ---------------------------------------------------------------------------------------------------------------------
# Lesson 01: frames
# ---------------------------------------------------------------------------------------------------------------------


def packet_order(sizes: Sequence[int], shown_as: Sequence[int], keys: Sequence[bool]) -> Figure:
    """The packets of a file in the order in which they lie there: their bytes, and as which frame each one is shown.

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
    """One panel per file: which frame came (vertical) for the one asked for; None means that the file was refused.

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
    """The timestamps of a clip beside what number / rate would make of them, and the difference.

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


# ---------------------------------------------------------------------------------------------------------------------
# Lesson 02: token math
# ---------------------------------------------------------------------------------------------------------------------


def token_grids(frame: np.ndarray, patches: int, pooled: int) -> Figure:
    """One frame (H, W, 3): as it is, cut into patches x patches, and into pooled x pooled (the tokens that remain).

    >>> len(token_grids(np.zeros((64, 64, 3), np.uint8), 8, 4).axes)
    3
    """
    figure, axes = canvas(9, 3.3, columns=3)
    titles = ("pixels", f"{patches} x {patches} = {patches**2} patches", f"{pooled} x {pooled} = {pooled**2} tokens")
    for cell, side, title in zip(axes.flat, (1, patches, pooled), titles, strict=True):
        show_pixels(cell, frame, title)
        edges = np.arange(1, side) * frame.shape[0] / side - 0.5
        cell.hlines(edges, -0.5, frame.shape[1] - 0.5, color=COLORS["light"], linewidth=1.2)
        cell.vlines(edges, -0.5, frame.shape[0] - 0.5, color=COLORS["light"], linewidth=1.2)
    return figure


def stacked_bars(
    labels: Sequence[str],
    parts: dict[str, Sequence[float]],
    colours: Sequence[str],
    limits: dict[str, float],
    unit: str,
) -> Figure:
    """One horizontal bar per label, made of the parts (colours: names in COLORS), against lines at the named limits.

    >>> len(stacked_bars(["a", "b"], {"text": [1, 2], "video": [3, 4]}, ["text", "patch"], {"room": 5}, "tokens").axes)
    1
    """
    figure, axes = canvas(9, 1.7 + 0.42 * len(labels))
    cell, left = axes[0, 0], np.zeros(len(labels))
    for (name, values), colour in zip(parts.items(), colours, strict=True):
        cell.barh(labels, values, left=left, color=COLORS[colour], label=name, height=0.62)
        left = left + np.asarray(values)
    for name, value in limits.items():
        cell.axvline(value, color=COLORS["line"], linewidth=1, linestyle="--")
        cell.text(value, -0.62, name, ha="center", va="bottom", fontsize=9)
    cell.set_ylim(len(labels) - 0.5, -0.6)
    cell.set_xlabel(unit)
    figure.legend(loc="outside lower center", ncols=len(parts), fontsize=10)
    return figure


def token_views(pixels: np.ndarray, views: dict[str, tuple[np.ndarray, int]], patches: int) -> Figure:
    """Per method: what one token sees in its frame, and where the tokens of all frames stand in the sequence.

    pixels: a clip (T, H, H, 3). views: name -> (N, 7) of each token its frame, the number of its layout, its kind and
    its box (`explorer.sight`), and which token stands out; boxes are in patches, of which a side has `patches`.

    >>> tokens = np.array([[0, 0, 0, 0, 2, 0, 2], [1, 0, 0, 0, 2, 0, 2]])
    >>> figure = token_views(np.zeros((2, 8, 8, 3), np.uint8), {"whole frames": (tokens, 1)}, patches=2)
    >>> [axes.get_title() for axes in figure.axes]
    ['whole frames\\n2 tokens', 'token 2: frame 2']
    """
    figure, axes = canvas(2.3 * len(views), 4.5, 2, len(views), height_ratios=(1.5, 1))
    size, names = pixels.shape[1], {"slow": "all frames alike, or the fine ones", "fast": "the coarse ones"}
    for (picture, order), (name, (tokens, chosen)) in zip(axes.T, views.items(), strict=True):
        frame, layout = tokens[chosen, :2]
        of_piece = (tokens[:, 0] == frame) & (tokens[:, 1] == layout)
        show_pixels(picture, pixels[frame], f"{name}\n{len(tokens):,} tokens")
        for row0, row1, col0, col1 in tokens[of_piece, 3:] * size / patches:
            corner = (col0 - 0.5, row0 - 0.5)
            picture.add_patch(Rectangle(corner, col1 - col0, row1 - row0, fill=False, edgecolor="white", linewidth=0.5))
        outline(picture, tokens[chosen, 3:] * size / patches)
        for number, colour in enumerate(names):
            place = np.flatnonzero((tokens[:, 1] == number) & (tokens[:, 0] >= 0))
            order.plot(place + 1, tokens[place, 0] + 1, "s", color=COLORS[colour], markersize=3)
        order.plot(chosen + 1, frame + 1, "s", color=COLORS["newline"], markersize=8, markeredgecolor=COLORS["line"])
        order.set_title(f"token {chosen + 1:,}: frame {frame + 1}", fontsize=10)
        order.set_xlabel("place in the sequence")
        order.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        order.label_outer()
    axes[1, 0].set_ylabel("frame")
    handles = [Patch(color=COLORS[colour], label=name) for colour, name in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=10)
    return figure


def scores_by_budget(points: Sequence[tuple[int, int, float]], score: str) -> Figure:
    """Points (frames, tokens per frame, score): score over all visual tokens, one line per tokens per frame.

    >>> len(scores_by_budget([(4, 576, 2.71), (16, 144, 2.76), (32, 144, 3.12)], "VDD").axes[0].lines)
    2
    """
    figure, axes = canvas(8, 3.8)
    cell = axes[0, 0]
    best = {frames * size: value for frames, size, value in sorted(points, key=lambda point: point[2])}
    sizes = sorted({size for _, size, _ in points})
    for size, colour, mark in zip(sizes, ("fast", "patch", "content"), "sod", strict=False):
        line = sorted((frames * size, value, frames) for frames, per_frame, value in points if per_frame == size)
        tokens, values, _ = zip(*line, strict=True)
        cell.plot(tokens, values, marker=mark, color=COLORS[colour], label=f"{size} tokens per frame", linewidth=1)
        for x, y, count in line:  # the label of a budget's best point stands above it, the others below theirs
            offset = (0, 8) if y == best[x] else (0, -16)
            look = {"ha": "center", "fontsize": 9, "color": COLORS[colour]}
            cell.annotate(f"{count} frames", (x, y), offset, textcoords="offset points", **look)
    cell.set_xscale("log", base=2)
    cell.set_xticks(list(best), [f"{tokens:,}" for tokens in best])
    cell.set(xlabel="visual tokens = frames x tokens per frame", ylabel=score)
    cell.margins(x=0.1, y=0.16)
    cell.legend(loc="lower right", fontsize=10)
    return figure


def frames_per_card(cards: Sequence[str], series: dict[str, Sequence[int]], contexts: dict[str, int]) -> Figure:
    """Frames on a logarithmic axis: one row per card, one mark per series, dashed lines where a context is full.

    >>> len(frames_per_card(["T4"], {"notes": [4], "memory": [86]}, {"4,096 positions": 25}).axes)
    1
    """
    figure, axes = canvas(9, 1.9 + 0.5 * len(cards))
    cell = axes[0, 0]
    styles = (("X", "wrong"), ("o", "patch"), ("s", "light"), ("D", "content"))
    for (name, frames), (mark, colour) in zip(series.items(), styles, strict=False):
        cell.plot(frames, cards, mark, color=COLORS[colour], markersize=9, label=name, linestyle="none")
    for name, frames in contexts.items():
        cell.axvline(frames, color=COLORS["line"], linewidth=1, linestyle="--")
        cell.text(frames, -0.62, name, ha="center", va="bottom", fontsize=9)
    cell.set_xscale("log", base=2)
    ticks = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    cell.set_xticks(ticks, ticks)
    cell.set_ylim(len(cards) - 0.5, -0.6)
    cell.set_xlabel("frames at 144 tokens each")
    cell.grid(axis="y", color="0.9")
    figure.legend(loc="outside lower center", ncols=2, fontsize=10)
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Lesson 03: AnyRes
# ---------------------------------------------------------------------------------------------------------------------


def anyres_maps(edges: np.ndarray, grids: np.ndarray, tokens: np.ndarray, extra: np.ndarray) -> Figure:
    """Over image sizes, `edges` pixels wide (right) and high (up), n x n each: the grid by name, tokens, tokens more.

    >>> names = np.array([["1 x 2", "2 x 1"], ["2 x 1", "2 x 2"]])
    >>> figure = anyres_maps(np.array([100, 200]), names, np.ones((2, 2)), np.eye(2))
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['1 x 2', '2 x 1', '2 x 2']
    """
    figure, axes = canvas(12.5, 4.3, columns=3, sharey=True)
    half = (edges[1] - edges[0]) / 2
    place = {"origin": "lower", "extent": (edges[0] - half, edges[-1] + half) * 2}
    colours = dict(zip(np.unique(grids), ("patch", "fast", "context", "newline", "content", "light"), strict=False))
    axes[0, 0].imshow([[to_rgb(COLORS[colours[name]]) for name in row] for row in grids], **place)
    handles = [Patch(color=COLORS[colour], label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(colours), fontsize=10)
    figure.colorbar(axes[0, 1].imshow(tokens, cmap="viridis", **place), shrink=0.85)
    most = np.abs(extra).max()
    figure.colorbar(axes[0, 2].imshow(extra, cmap="RdBu", vmin=-most, vmax=most, **place), shrink=0.85)
    titles = "grid, rows x columns (transformers)", "tokens (transformers)", "original rule: tokens more"
    for cell, title in zip(axes.flat, titles, strict=True):
        cell.set(title=title, xlabel="width in pixels")
    axes[0, 0].set_ylabel("height in pixels")
    return figure


def anyres_crops(image: np.ndarray, on_canvas: np.ndarray, crops: np.ndarray, grid: tuple[int, int]) -> Figure:
    """An image (H, W, 3), the same on its canvas with the cuts of its grid, and the crops: overview, then tiles.

    >>> picture, squares = np.zeros((6, 8, 3), np.uint8), np.zeros((3, 8, 8, 3), np.uint8)
    >>> figure = anyres_crops(picture, np.zeros((8, 16, 3), np.uint8), squares, (1, 2))
    >>> [axes.get_title() for axes in figure.axes]
    ['image, 6 x 8', 'canvas, 8 x 16', 'overview', 'tile 1', 'tile 2']
    """
    titles = [f"{name}, {some.shape[0]} x {some.shape[1]}" for name, some in (("image", image), ("canvas", on_canvas))]
    titles += ["overview", *(f"tile {number}" for number in range(1, len(crops)))]
    figure, axes = canvas(1.75 * len(titles), 2.2, columns=len(titles))
    for cell, pixels, title in zip(axes.flat, [image, on_canvas, *crops], titles, strict=True):
        show_pixels(cell, pixels, title)
    draw_cuts(axes[0, 1], on_canvas, grid)
    return figure


def draw_cuts(axes: Axes, on_canvas: np.ndarray, grid: tuple[int, int]) -> None:
    """The borders between the tiles of a canvas that the axes show."""
    height, width = on_canvas.shape[:2]
    look = {"color": COLORS["newline"], "linewidth": 2}
    axes.hlines(np.arange(1, grid[0]) * height / grid[0] - 0.5, -0.5, width - 0.5, **look)
    axes.vlines(np.arange(1, grid[1]) * width / grid[1] - 0.5, -0.5, height - 0.5, **look)


def anyres_page(on_canvas: np.ndarray, grid: tuple[int, int], side: int, box: tuple[int, int, int, int]) -> Figure:
    """A canvas of tiles, side x side patches each, as the page that is read: the patches in `box`, then newlines.

    Each kept row is labelled with the place of its first token in the sequence; the overview takes the places before.

    >>> figure = anyres_page(np.zeros((16, 16, 3), np.uint8), (2, 2), 2, (1, 3, 0, 4))
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]       # 4 of the overview; rows of 4 + newline
    ['4', '9']
    """
    top, bottom, left, right = box
    patch = on_canvas.shape[0] // (grid[0] * side)
    pixels = on_canvas.astype(float)
    kept = np.zeros(pixels.shape[:2], bool)
    kept[top * patch : bottom * patch, left * patch : right * patch] = True
    pixels[~kept] = 0.25 * pixels[~kept] + 0.75 * 255  # what is cut off fades
    figure, axes = canvas(7, 4.6)
    cell = axes[0, 0]
    cell.imshow(pixels.astype(np.uint8))
    edges_x, edges_y = np.arange(left, right + 1) * patch - 0.5, np.arange(top, bottom + 1) * patch - 0.5
    cell.hlines(edges_y, edges_x[0], edges_x[-1], color=COLORS["light"], linewidth=0.7)
    cell.vlines(edges_x, edges_y[0], edges_y[-1], color=COLORS["light"], linewidth=0.7)
    draw_cuts(cell, on_canvas, grid)
    rows = (np.arange(top, bottom) + 0.5) * patch - 0.5
    cell.barh(rows, 0.8 * patch, 0.8 * patch, edges_x[-1] + 0.1 * patch, color=COLORS["newline"], clip_on=False)
    first = side**2 + np.arange(bottom - top) * (right - left + 1)
    every = max(1, len(rows) // 12)
    cell.set(xticks=[], ylabel="place of the row's first token", xlim=(-0.5, on_canvas.shape[1] + patch - 0.5))
    cell.set_yticks(rows[::every], first[::every])
    cell.set_title("patches (blue grid) and newlines (orange squares); faded: cut off; orange lines: cuts", fontsize=10)
    cell.spines[:].set_visible(False)
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Lesson 04: LLaVA-NeXT-Video
# ---------------------------------------------------------------------------------------------------------------------


def rows_of_grids(rows: dict[str, tuple[np.ndarray, int]]) -> Figure:
    """One row per name: images (N, H, H, 3), each cut into side x side tokens.

    >>> images = np.zeros((5, 16, 16, 3), np.uint8)
    >>> figure = rows_of_grids({"crops": (images, 8), "frames": (images, 4)})
    >>> [axes.get_ylabel() for axes in figure.axes[::5]]
    ['crops\\n5 x 64 = 320', 'frames\\n5 x 16 = 80']
    """
    columns = max(len(images) for images, _ in rows.values())
    figure, axes = canvas(1.6 * columns + 1.3, 1.75 * len(rows), len(rows), columns)
    for line, (name, (images, side)) in zip(axes, rows.items(), strict=True):
        for cell in line[len(images) :]:
            cell.axis("off")
        for cell, image in zip(line, images, strict=False):
            show_pixels(cell, image)
            draw_grid(cell, image.shape[0], side)
        line[0].set_ylabel(f"{name}\n{len(images)} x {side**2} = {len(images) * side**2}", fontsize=10)
    return figure


def feature_colours(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Features (h, w, C) as colours (h, w, 3): the three directions in which the reference (N, C) varies most.

    >>> reference = np.random.default_rng(0).normal(size=(64, 8))
    >>> feature_colours(reference.reshape(8, 8, 8), reference).shape
    (8, 8, 3)
    """
    mean = reference.mean(axis=0)
    directions = np.linalg.svd(reference - mean, full_matrices=False)[2][:3]
    spread = np.abs((reference - mean) @ directions.T).max(axis=0)
    return np.clip(0.5 + 0.5 * (features - mean) @ directions.T / spread, 0, 1)


def pooled_maps(frame: np.ndarray, maps: dict[str, np.ndarray], boxes: Sequence[tuple[int, int, int, int]]) -> Figure:
    """A frame (H, H, 3), then maps (h, w, 3), with one box (row0, row1, col0, col1) outlined on each.

    The first box is the frame's, in pixels; the others are in the cells of their map.

    >>> colours = {"patches": np.zeros((8, 8, 3)), "tokens": np.zeros((4, 4, 3))}
    >>> boxes = [(0, 16, 0, 16), (0, 2, 0, 2), (0, 1, 0, 1)]
    >>> len(pooled_maps(np.zeros((64, 64, 3), np.uint8), colours, boxes).axes)
    3
    """
    figure, axes = canvas(3.1 * (len(maps) + 1), 3.4, columns=len(maps) + 1)
    for cell, (title, pixels), box in zip(axes.flat, {"the frame": frame, **maps}.items(), boxes, strict=True):
        show_pixels(cell, pixels, title)
        outline(cell, box)
    return figure


def outline(axes: Axes, box: tuple[int, int, int, int]) -> None:
    """Frame the rows row0 to row1 and columns col0 to col1 (half-open) of an image that the axes show."""
    row0, row1, col0, col1 = box
    x, y = np.array([col0, col1, col1, col0, col0]) - 0.5, np.array([row0, row0, row1, row1, row0]) - 0.5
    axes.plot(x, y, color=COLORS["newline"], linewidth=3, clip_on=False)


def reading_maps(weights: dict[str, np.ndarray]) -> Figure:
    """Maps (h, w) of how much each patch weighs in all tokens together; patches that no token reads are crossed out.

    >>> figure = reading_maps({"average": np.ones((4, 4)), "bilinear": np.eye(4)})
    >>> [axes.get_title() for axes in figure.axes]
    ['average\\n0 of 16 patches unread', 'bilinear\\n12 of 16 patches unread']
    """
    figure, axes = canvas(3 * len(weights), 3.6, columns=len(weights))
    for cell, (title, weight) in zip(axes.flat, weights.items(), strict=True):
        cell.imshow(weight, cmap="Blues", vmin=0, vmax=1.3 * weight.max())
        row, column = np.nonzero(weight == 0)
        cell.plot(column, row, "x", color=COLORS["wrong"], markersize=60 / len(weight), linestyle="none")
        cell.set(xticks=[], yticks=[])
        cell.set_title(f"{title}\n{len(row)} of {weight.size} patches unread", fontsize=10)
        cell.spines[:].set_visible(True)
    return figure


def token_strips(strips: dict[str, Sequence[str]], names: dict[str, str]) -> Figure:
    """One row of squares per strip, a square per token, coloured by what it is; `names` says it in the legend.

    >>> figure = token_strips({"ids": ["text", "patch", "text"]}, {"text": "a text token", "patch": "a visual token"})
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['a text token', 'a visual token']
    """
    longest = max(map(len, strips.values()))
    figure, axes = canvas(10, 0.9 + 0.42 * len(strips))
    cell = axes[0, 0]
    for row, kinds in enumerate(strips.values()):
        cell.bar(range(len(kinds)), 0.7, 0.86, row - 0.35, color=[COLORS[kind] for kind in kinds])
    cell.set_yticks(range(len(strips)), [f"{name}: {len(kinds)}" for name, kinds in strips.items()])
    cell.set(xlim=(-0.6, longest - 0.4), ylim=(len(strips) - 0.5, -0.5), xticks=[])
    cell.spines[:].set_visible(False)
    cell.tick_params(length=0)
    handles = [Patch(color=COLORS[kind], label=name) for kind, name in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), fontsize=10)
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Lesson 05: SlowFast
# ---------------------------------------------------------------------------------------------------------------------


def token_timelines(sequences: dict[str, tuple[Sequence[int], Sequence[str]]], names: dict[str, str]) -> Figure:
    """Per sequence of tokens, each with its frame and its colour: how many a frame has, and in which order they stand.

    Left, the tokens of every frame; right, the place of each token in the sequence against its frame. `names` holds the
    colours, in the order in which they are stacked, and says in the legend what they mean.

    >>> sequences = {"two frames": ([0, 0, 1], ["slow", "slow", "fast"])}
    >>> [axes.get_title("left") for axes in token_timelines(sequences, {"slow": "detail", "fast": "outline"}).axes]
    ['two frames', '3 tokens in their order']
    """
    figure, axes = canvas(10, 0.6 + 2.2 * len(sequences), len(sequences), 2, width_ratios=(2, 3))
    for (bars, order), (title, (frame, kinds)) in zip(axes, sequences.items(), strict=True):
        frame, kinds = np.asarray(frame), np.asarray(kinds)
        bottom = np.zeros(frame.max() + 1)
        for kind in names:
            place = np.flatnonzero(kinds == kind)
            height = np.bincount(frame[place], minlength=len(bottom))
            bars.bar(range(len(bottom)), height, 0.8, bottom, color=COLORS[kind])
            bottom += height
            order.plot(place, frame[place], "s", color=COLORS[kind], markersize=3)
        bars.set_title(title, loc="left")
        bars.set(xlabel="frame", ylabel="tokens")
        bars.xaxis.set_major_locator(MaxNLocator(integer=True))
        order.set_title(f"{len(frame)} tokens in their order", loc="left")
        order.set(xlabel="place in the sequence", ylabel="frame")
    handles = [Patch(color=COLORS[kind], label=name) for kind, name in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), fontsize=10)
    return figure


def token_numbers(maps: dict[str, np.ndarray]) -> Figure:
    """Maps (h, w) of the number of the token that reads each patch, -1 for none; tokens without a rectangle stand out.

    >>> figure = token_numbers({"pairs of a row of three": np.array([[0, 0, 1], [1, 2, 2]])})
    >>> figure.axes[0].get_title()
    'pairs of a row of three\\n3 tokens, 1 torn; 0 patches unread'
    """
    figure, axes = canvas(4.2 * len(maps), 4.0, columns=len(maps))
    for cell, (title, numbers) in zip(axes.flat, maps.items(), strict=True):
        image, torn = np.ones((*numbers.shape, 3)), 0
        for number in range(numbers.max() + 1):
            rows, columns = np.nonzero(numbers == number)
            whole = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) == len(rows)
            torn += not whole
            colour = ("patch", "light")[number % 2] if whole else "fast"
            image[rows, columns] = 0.5 + 0.5 * np.array(to_rgb(COLORS[colour]))
        cell.imshow(image)
        for (row, column), number in np.ndenumerate(numbers):
            cell.text(column, row, "–" if number < 0 else number, ha="center", va="center")
        cell.set(xticks=[], yticks=[])
        unread = (numbers < 0).sum()
        count = f"{numbers.max() + 1} tokens, {torn} torn; {unread} {'patch' if unread == 1 else 'patches'} unread"
        cell.set_title(f"{title}\n{count}", fontsize=10)
        cell.spines[:].set_visible(True)
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Lesson 06: LLaMA-VID
# ---------------------------------------------------------------------------------------------------------------------


def attention_maps(frame: np.ndarray, maps: dict[str, np.ndarray], columns: int = 4) -> Figure:
    """A frame (H, H, 3), then for each question where it looks in it: a map (h, w), bright where it looks most.

    >>> figure = attention_maps(np.zeros((64, 64, 3), np.uint8), {"What is the code?": np.eye(8) / 8})
    >>> [axes.get_title() for axes in figure.axes if axes.images]
    ['the frame', 'What is the code?']
    """
    rows, size = -(-(len(maps) + 1) // columns), len(frame)
    figure, axes = canvas(2.6 * columns, 2.95 * rows, rows, columns)
    for cell in axes.flat[len(maps) + 1 :]:
        cell.axis("off")
    show_pixels(axes.flat[0], frame, "the frame")
    grey = frame.mean(axis=-1, keepdims=True).repeat(3, axis=-1).astype(np.uint8)
    for cell, (question, weight) in zip(axes.flat[1:], maps.items(), strict=False):
        show_pixels(cell, grey, textwrap.fill(question, 22))
        edges = (-0.5, size - 0.5, size - 0.5, -0.5)
        cell.imshow(weight, cmap="inferno", alpha=0.75, extent=edges, vmin=0)
    return figure


def score_curves(series: dict[str, dict[int, tuple[float, float, float, int]]], x: str, y: str, log=False) -> Figure:
    """Scores (mean, low, high, asked) over a number, one line with its intervals for each series (at most four).

    >>> curves = {"both": {1: (0.9, 0.8, 0.95, 50), 2: (0.8, 0.7, 0.9, 50)}, "one": {1: (0.5, 0.4, 0.6, 50)}}
    >>> figure = score_curves(curves, "things", "share")
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['both', 'one']
    """
    figure, axes = canvas(8, 3.9)
    cell = axes[0, 0]
    for name, colour, mark in zip(series, ("context", "light", "content", "fast"), "osDv", strict=False):
        mean, low, high, _ = np.array(list(series[name].values())).T
        look = {"fmt": f"-{mark}", "capsize": 3, "linewidth": 1, "color": COLORS[colour], "label": name}
        cell.errorbar(list(series[name]), mean, (mean - low, high - mean), **look)
    if log:
        cell.set_xscale("log", base=2)
        cell.minorticks_off()
    ticks = sorted({number for scores in series.values() for number in scores})
    cell.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    cell.set(xlabel=x, ylabel=y)
    cell.grid(axis="y", color="0.9")
    figure.legend(loc="outside upper center", ncols=4, fontsize=10)
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Lesson 07: same budget
# ---------------------------------------------------------------------------------------------------------------------

FAMILY_COLOURS = {  # of ways to spend tokens
    "uniform": "patch", "SlowFast-LLaVA": "fast", "LLaVA-Video": "context", "LLaMA-VID": "content",
}  # fmt: skip


def spent_tokens(pixels: np.ndarray, rows: dict[str, tuple[np.ndarray, np.ndarray]], patches: int) -> Figure:
    """Which part of a clip (T, H, H, 3) becomes a token of its own: one row of frames per name.

    rows: name -> frame (N,) and box (N, 4) of the tokens; boxes are in patches, of which a side has `patches`. Frames
    without a token are faded.

    >>> tokens = np.array([0, 0]), np.array([[0, 8, 0, 4], [0, 8, 4, 8]])          # the first frame, two halves
    >>> figure = spent_tokens(np.zeros((2, 16, 16, 3), np.uint8), {"halves": tokens}, patches=8)
    >>> figure.axes[0].get_ylabel(), len(figure.axes[0].collections)
    ('halves', 2)
    """
    figure, axes = canvas(0.72 * len(pixels) + 1.6, 0.8 * len(rows), len(rows))
    size = pixels.shape[1]
    for cell, (name, (frame, box)) in zip(axes.flat, rows.items(), strict=True):
        seen = np.isin(range(len(pixels)), frame)[:, None, None, None]
        shown = np.where(seen, pixels, 255 - (255 - pixels) // 6)
        cell.imshow(np.hstack(np.pad(shown, ((0, 0), (0, 0), (0, 6), (0, 0)), constant_values=255)))  # gaps between
        for number in np.unique(frame):
            mine, left = box[frame == number] * size / patches, number * (size + 6) - 0.5
            cell.hlines(np.unique(mine[:, :2]) - 0.5, left, left + size, color="white", linewidth=0.6)
            cell.vlines(np.unique(mine[:, 2:]) + left, -0.5, size - 0.5, color="white", linewidth=0.6)
        cell.set_ylabel(name, rotation=0, ha="right", va="center")
        cell.set(xticks=[], yticks=[])
        cell.spines[:].set_visible(False)
    return figure


def share_table(rows: Sequence[str], groups: Sequence, columns: Sequence[str], shares: np.ndarray) -> Figure:
    """Shares (rows, columns, 3), each a mean with the ends of its interval, as colours and percentages.

    Rows that belong together have the same group; a line is drawn where it changes.

    >>> figure = share_table(["a", "b"], [64, 128], ["code"], np.array([[[0.5, 0.47, 0.53]], [[1, 0.98, 1]]]))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['50 ±3', '100 ±1']
    """
    figure, axes = canvas(2.6 + 0.78 * len(columns), 0.5 + 0.29 * len(rows))
    cell = axes[0, 0]
    cell.imshow(shares[..., 0].round(1), cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for row, column in np.ndindex(shares.shape[:2]):
        mean, low, high = 100 * shares[row, column]
        ink = "white" if mean > 70 else "black"
        cell.text(column, row, f"{mean:.0f} ±{(high - low) / 2:.0f}", ha="center", va="center", color=ink, fontsize=10)
    for row in range(1, len(rows)):
        if groups[row] != groups[row - 1]:
            cell.axhline(row - 0.5, color=COLORS["line"], linewidth=1)
    cell.set_yticks(range(len(rows)), rows)
    cell.set_xticks(range(len(columns)), columns)
    cell.xaxis.tick_top()
    cell.tick_params(length=0)
    cell.spines[:].set_visible(False)
    return figure


Point = tuple[str, str, int, tuple[float, float, float, int]]  # family, name, tokens, (mean, low, high, of how many)


def pareto(points: Sequence[Point], score: str, guests: Sequence[Point] = ()) -> Figure:
    """The score over the tokens, with the line that no point is above: nothing with as few tokens scores higher.

    Guests, drawn hollow, were measured under other conditions: the line leaves them out.

    >>> points = [("uniform", "1 x 64", 64, (0.5, 0.4, 0.6, 9)), ("uniform", "8 x 16", 128, (0.4, 0.3, 0.5, 9))]
    >>> cell = pareto(points, "share").axes[0]
    >>> cell.lines[-1].get_ydata().tolist(), [text.get_text() for text in cell.texts]
    ([0.5, 0.5], ['8 x 16', '1 x 64'])
    """
    figure, axes = canvas(10, 5)
    cell = axes[0, 0]
    for group, fill, more in ((points, None, ""), (guests, "white", ", weights of its own")):
        for family in sorted({name for name, *_ in group}, key=list(FAMILY_COLOURS).index):
            mine = np.array([(tokens, *score) for name, _, tokens, score in group if name == family])
            x, mean, low, high, _ = mine.T
            look = {"fmt": "o", "capsize": 3, "color": COLORS[FAMILY_COLOURS[family]], "markerfacecolor": fill}
            cell.errorbar(x, mean, (mean - low, high - mean), label=family + more, **look)
    label_points(cell, [*points, *guests])
    tokens, means = zip(*sorted((tokens, score[0]) for _, _, tokens, score in points), strict=True)
    cell.step(tokens, np.maximum.accumulate(means), where="post", color="0.6", linewidth=1, zorder=0)
    cell.set_xscale("log", base=2)
    left = min(count for _, _, count, _ in [*points, *guests])
    ticks = [tick for tick in (32, 64, 128, 256, 512, 1024) if left <= tick <= max(tokens)]
    cell.set_xticks(ticks, ticks)
    cell.set(xlabel="visual tokens", ylabel=score, xlim=(0.85 * left, 2.1 * max(tokens)))
    cell.grid(axis="y", color="0.9")
    figure.legend(loc="outside upper right", ncols=len(FAMILY_COLOURS))
    return figure


def label_points(axes: Axes, points: Sequence[Point]) -> None:
    """Every point's name to the right of its neighbours; one that would cover another moves, and a line says so."""
    step = 0.05 * (max(score[2] for *_, score in points) - min(score[1] for *_, score in points))
    taken = []  # tokens and height of the names so far
    for family, name, tokens, (mean, *_) in sorted(points, key=lambda point: point[3][0]):
        near = [height for other, height in taken if 0.6 < other / tokens < 1.7]
        heights = [mean, *(height + way * step for height in near for way in (1, -1))]
        free = [height for height in heights if all(abs(height - other) > 0.99 * step for other in near)]
        height = min(free, key=lambda height: abs(height - mean))
        taken.append((tokens, height))
        left = 1.07 * max(other for _, _, other, _ in points if other < 1.2 * tokens)
        colour = COLORS[FAMILY_COLOURS[family]]
        if abs(height - mean) > step / 2:
            axes.plot((tokens, left), (mean, height), color=colour, linewidth=0.6, zorder=1)
        axes.text(left, height, name, va="center", bbox={"color": "white", "pad": 0.5}, fontsize=9, color=colour)


# ---------------------------------------------------------------------------------------------------------------------
# Exercises: what is solved
# ---------------------------------------------------------------------------------------------------------------------


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
    """Who has solved how many of each lesson's exercises; `sizes` says how many there are.

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


# ---------------------------------------------------------------------------------------------------------------------
# Lesson 12: scale out
# ---------------------------------------------------------------------------------------------------------------------

SHARD_COLOURS = {  # who made a shard
    "process 0": "patch", "process 1": "newline", "not there": "separator", "kept": "text", "made": "context",
    "made again": "wrong",
}  # fmt: skip


def shard_map(rows: dict[str, Sequence[str]]) -> Figure:
    """What happened to each shard: one row of squares per run, each of them a key of SHARD_COLOURS.

    >>> figure = shard_map({"killed": ["process 0", "process 1", "not there"], "again": ["kept", "kept", "made"]})
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['process 0', 'process 1', 'not there', 'kept', 'made']
    """
    longest = max(map(len, rows.values()))
    figure, axes = canvas(0.32 * longest + 2.6, 0.5 * len(rows) + 0.9)
    cell = axes[0, 0]
    for height, states in enumerate(rows.values()):
        for number, state in enumerate(states):
            cell.barh(height, 0.86, 0.7, left=number - 0.43, color=COLORS[SHARD_COLOURS[state]])
    cell.set_yticks(range(len(rows)), rows)
    cell.set_xticks(range(0, longest, 4 if longest > 12 else 1))
    cell.set(xlabel="shard", xlim=(-0.6, longest - 0.4))
    cell.invert_yaxis()
    cell.tick_params(length=0)
    cell.spines[:].set_visible(False)
    met = [state for state in SHARD_COLOURS if any(state in states for states in rows.values())]
    patches = [Patch(color=COLORS[SHARD_COLOURS[state]], label=state) for state in met]
    figure.legend(handles=patches, loc="outside upper center", ncols=len(met), fontsize=10)
    return figure


def stacked_hours(hours: dict[str, dict[str, float]], y: str) -> Figure:
    """One bar per card, made of its stages: {card: {stage: hours}}; all cards have the same stages, at most four.

    >>> figure = stacked_hours({"T4": {"encode": 1.0, "answer": 3.0}, "L4": {"encode": 0.5, "answer": 2.5}}, "hours")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['4', '3']
    """
    figure, axes = canvas(7.5, 3.8)
    cell, cards = axes[0, 0], list(hours)
    stages, colours = list(next(iter(hours.values()))), ("patch", "newline", "context", "content")
    bottom = np.zeros(len(cards))
    for stage, colour in zip(stages, colours, strict=False):
        heights = np.array([hours[card][stage] for card in cards])
        cell.bar(cards, heights, 0.6, bottom=bottom, color=COLORS[colour], label=stage)
        bottom += heights
    for number, whole in enumerate(bottom):
        cell.text(number, whole, f"{whole:,.0f}", ha="center", va="bottom")
    cell.set_ylabel(y)
    cell.margins(y=0.12)
    cell.yaxis.set_major_formatter("{x:,.0f}")
    figure.legend(loc="outside upper center", ncols=len(stages), fontsize=10)
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Lesson 08: fine-tuning
# ---------------------------------------------------------------------------------------------------------------------


def loss_curves(losses: dict[str, Sequence[float]], window: int = 1) -> Figure:
    """The loss after each step, a line per run; each point the mean of the last `window` steps.

    >>> figure = loss_curves({"ours": [3.0, 2.0, 1.0], "theirs": [3.0, 2.0, 1.0]}, window=2)
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [3.0, 2.5, 1.5]
    """
    figure, axes = canvas(8, 3.4)
    cell = axes[0, 0]
    colours = ("patch", "newline", "context", "content", "fast", "text")
    for number, ((name, curve), colour) in enumerate(zip(losses.items(), colours, strict=False)):
        smooth = [np.mean(curve[max(0, end - window) : end]) for end in range(1, len(curve) + 1)]
        style = ("-", "--", ":")[number % 3]  # curves that lie on each other can still be told apart
        cell.plot(range(1, len(curve) + 1), smooth, style, color=COLORS[colour], linewidth=2, label=name)
    cell.set(xlabel="step", ylabel="loss")
    cell.xaxis.set_major_locator(MaxNLocator(integer=True))
    cell.grid(axis="y", color="0.9")
    figure.legend(loc="outside upper center", ncols=3, fontsize=10)
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Lesson 11: real weights
# ---------------------------------------------------------------------------------------------------------------------


def pictures(named: dict[str, np.ndarray], width: float = 9) -> Figure:
    """Images of any shapes (H, W, 3) uint8 in one row, as wide as they are in comparison, the name above each.

    >>> len(pictures({"wide": np.zeros((10, 20, 3), np.uint8), "square": np.zeros((10, 10, 3), np.uint8)}).axes)
    2
    """
    shares = [pixels.shape[1] / pixels.shape[0] for pixels in named.values()]
    figure, axes = canvas(width, 0.5 + 0.9 * width / sum(shares), columns=len(named), width_ratios=shares)
    for cell, (name, pixels) in zip(axes[0], named.items(), strict=True):
        show_pixels(cell, pixels, name)
    return figure


def rope_angles(lengths: np.ndarray, angles: dict[str, np.ndarray], trained: tuple[int, float]) -> Figure:
    """The largest angle that a rotary embedding meets in sequences of these lengths, one line for each way to scale.

    trained: the longest sequence of the training, and the largest angle in it: the box of what the model knows.

    >>> lengths = np.array([1, 2])
    >>> len(rope_angles(lengths, {"none": lengths, "linear, factor 2": lengths / 2}, (1, 1.0)).axes[0].lines)
    2
    """
    figure, axes = canvas(8, 3.6)
    cell = axes[0, 0]
    cell.add_patch(Rectangle((0, 0), *trained, color=COLORS["light"], alpha=0.25, label="met in training"))
    looks = zip(("text", "slow", "fast", "content", "context"), ("-", "--", "-.", ":", "-"), strict=True)
    for (name, values), (colour, line) in zip(angles.items(), looks, strict=False):
        cell.plot(lengths, values, line, color=COLORS[colour], linewidth=2, label=name)
    cell.set(xlabel="tokens in the sequence", ylabel="largest angle of the slowest pair", xlim=(0, lengths[-1]), ylim=0)
    cell.xaxis.set_major_formatter("{x:,.0f}")
    figure.legend(loc="outside right upper", fontsize=10)
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# DPO
# ---------------------------------------------------------------------------------------------------------------------


def preference_losses(betas: Sequence[float], margins: np.ndarray) -> Figure:
    """DPO's loss over the margin (how much more the chosen answer gained), and how hard it pulls, a line per beta.

    >>> len(preference_losses([0.1, 1.0], np.linspace(-20, 20, 9)).axes)
    2
    """
    figure, axes = canvas(8, 3, columns=2)
    for beta, colour in zip(betas, ("measured", "predicted", "wrong"), strict=False):
        loss = np.logaddexp(0, -beta * margins)
        pull = beta / (1 + np.exp(beta * margins))
        for cell, values in zip(axes[0], (loss, pull), strict=True):
            cell.plot(margins, values, color=COLORS[colour], label=f"beta {beta:g}")
    axes[0, 0].set(xlabel="margin: gain of chosen - gain of rejected", title="loss of a pair")
    axes[0, 1].set(xlabel="margin", title="pull on the margin", yscale="log", ylim=(1e-3, 1))
    axes[0, 1].yaxis.set_major_formatter("{x:g}")  # the default, 10 to the power of -3, is a formula
    axes[0, 0].axhline(np.log(2), color=COLORS["text"], linewidth=0.8, linestyle="--", label="log 2")
    axes[0, 0].legend(frameon=False)
    return figure


def gains_over_steps(runs: dict[str, Sequence[tuple[float, float]]], window: int = 5) -> Figure:
    """One panel per run: by how much chosen and rejected answers became likelier, step by step, as running means.

    >>> len(gains_over_steps({"a run": [(0, 0), (1, -2)]}).axes[0].lines)
    3
    """
    figure, axes = canvas(max(4, 2.2 * len(runs)), 3, columns=len(runs), sharey=True)
    for cell, (name, gains) in zip(axes[0], runs.items(), strict=True):
        cell.axhline(0, color=COLORS["text"], linewidth=0.8, linestyle="--")
        for column, (which, colour) in enumerate((("chosen", "right"), ("rejected", "wrong"))):
            values = np.array([pair[column] for pair in gains], dtype=float)
            means = [values[max(0, i + 1 - window) : i + 1].mean() for i in range(len(values))]
            cell.plot(range(1, len(values) + 1), means, color=COLORS[colour], label=which)
        cell.set(xlabel="step", title=name)
        cell.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes[0, 0].set_ylabel("gain in log-probability")
    axes[0, 0].legend(frameon=False)
    return figure
