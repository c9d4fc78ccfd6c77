"""Figures of scores and their intervals (lessons 00 and 05 to 10)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.plots.base import COLORS, FAMILY_COLOURS, canvas


def detail_against_time(
    pixels: np.ndarray,
    ways: dict[str, tuple[Sequence[int], int, dict[str, tuple[float, float, float, int]]]],
    title: str,
) -> Figure:
    """Methods that spend tokens on a clip (T, H, H, 3): what each reads, and beside it what it gets right.

    ways: name -> the frames that it reads (the others fade), tokens on a side of each, and scores (mean, low, high,
    asked) by kind of question. A bar is green from 80 % right answers on, vermilion below 40 %, orange in between.

    >>> score = {"code": (0.9, 0.8, 0.95, 50), "flash": (0.2, 0.1, 0.3, 50)}
    >>> figure = detail_against_time(np.zeros((4, 8, 8, 3), np.uint8), {"1 frame": ([0], 8, score)}, "one way")
    >>> [text.get_text() for text in figure.axes[1].texts]
    ['90 %', '20 %']
    """
    figure, axes = canvas(0.62 * len(pixels) + 2.9, 1.05 * len(ways) + 0.75, len(ways), 2, width_ratios=(5, 1))
    size, gap = pixels.shape[1], pixels.shape[1] // 16
    for (strip, bars), (name, (read, side, scores)) in zip(axes, ways.items(), strict=True):
        seen = np.isin(range(len(pixels)), read)[:, None, None, None]
        shown = np.where(seen, pixels, 255 - (255 - pixels) // 7)
        strip.imshow(np.hstack(np.pad(shown, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=255)))
        for frame in read:
            edges, left = np.arange(side + 1) * size / side, frame * (size + gap) - 0.5
            strip.hlines(edges - 0.5, left, left + size, color="white", linewidth=0.6)
            strip.vlines(edges + left, -0.5, size - 0.5, color="white", linewidth=0.6)
        strip.set_title(name, loc="left")
        strip.axis("off")
        means = [score[0] for score in scores.values()]
        colours = ["right" if mean >= 0.8 else "newline" if mean >= 0.4 else "wrong" for mean in means]
        bars.barh(list(scores), means, 0.6, color=[COLORS[colour] for colour in colours])
        for place, (mean, low, high, _) in enumerate(scores.values()):
            bars.plot((low, high), (place, place), color=COLORS["line"], linewidth=1)
            bars.text(high + 0.03, place, f"{mean:.0%}".replace("%", " %"), va="center", fontsize=10)
        bars.set(xlim=(0, 1.25), xticks=[], ylim=(len(scores) - 0.5, -0.5))
        bars.spines[["bottom", "left"]].set_visible(False)
        bars.tick_params(length=0)
    axes[0, 1].set_title("right answers →", loc="left")
    figure.suptitle(title, fontsize=13)
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


def paired_scores(scores: dict[str, Sequence[tuple[float, float, float, int]]], names: Sequence[str]) -> Figure:
    """A panel for each score, (mean, low, high, asked) of two systems, each with its own axis.

    >>> figure = paired_scores({"chrF++": [(50, 45, 55, 9), (20, 15, 25, 9)]}, ["after", "before"])
    >>> [cell.get_title() for cell in figure.axes]
    ['chrF++']
    """
    figure, axes = canvas(max(4.5, 1.6 * len(scores)), 3, 1, len(scores))
    for cell, (name, systems) in zip(axes.flat, scores.items(), strict=True):
        for place, ((mean, low, high, _), colour) in enumerate(zip(systems, ("measured", "text"), strict=True)):
            mark = dict(fmt="o", capsize=4, color=COLORS[colour])
            cell.errorbar([place], [mean], [[mean - low], [high - mean]], **mark)
        cell.set_xticks(range(len(names)), names, rotation=30, ha="right")
        cell.set(title=name, xlim=(-0.6, len(names) - 0.4))
        cell.grid(axis="y", color="0.9")
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


def share_table(
    rows: Sequence[str],
    groups: Sequence,
    columns: Sequence[str],
    shares: np.ndarray,
    lower: Sequence[int] = (),
    title: str = "",
) -> Figure:
    """Shares (rows, columns, 3), each a mean with the ends of its interval, as colours and percentages.

    Rows that belong together have the same group; a line is drawn where it changes. `lower` are the numbers of the
    columns in which less is better. So dark means good in every column, and arrows show which direction is better.

    >>> figure = share_table(["a", "b"], [64, 128], ["code"], np.array([[[0.5, 0.47, 0.53]], [[1, 0.98, 1]]]))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['50 ±3', '100 ±1']
    """
    figure, axes = canvas(2.6 + 0.78 * len(columns), 0.5 + 0.29 * len(rows) + 0.3 * bool(title))
    cell, good = axes[0, 0], shares[..., 0].copy()
    if len(lower):
        good[:, lower] = 1 - good[:, lower]
        columns = [f"{name} {'↓' if number in lower else '↑'}" for number, name in enumerate(columns)]
    cell.imshow(good.round(1), cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    figure.suptitle(title, fontsize=12)
    for row, column in np.ndindex(shares.shape[:2]):
        mean, low, high = 100 * shares[row, column]
        ink = "white" if good[row, column] > 0.7 else "black"
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


def pareto(points: Sequence[Point], score: str, guests: Sequence[Point] = (), title: str = "") -> Figure:
    """The score over the tokens, with the Pareto front: methods that no cheaper method beats.

    Guests, drawn hollow, were measured under other conditions, so the front leaves them out.

    >>> points = [("uniform", "1 x 64", 64, (0.5, 0.4, 0.6, 9)), ("uniform", "8 x 16", 128, (0.4, 0.3, 0.5, 9))]
    >>> cell = pareto(points, "share").axes[0]
    >>> cell.lines[-1].get_ydata().tolist(), [text.get_text() for text in cell.texts]
    ([0.5, 0.5], ['8 x 16', '1 x 64'])
    """
    figure, axes = canvas(10, 5)
    cell = axes[0, 0]
    cell.set_title(title, loc="left")
    for group, fill, more in ((points, None, ""), (guests, "white", ", weights of its own")):
        for family in sorted({name for name, *_ in group}, key=list(FAMILY_COLOURS).index):
            mine = np.array([(tokens, *score) for name, _, tokens, score in group if name == family])
            x, mean, low, high, _ = mine.T
            look = {"fmt": "o", "capsize": 3, "color": COLORS[FAMILY_COLOURS[family]], "markerfacecolor": fill}
            cell.errorbar(x, mean, (mean - low, high - mean), label=family + more, **look)
    label_points(cell, [*points, *guests])
    tokens, means = zip(*sorted((tokens, score[0]) for _, _, tokens, score in points), strict=True)
    cell.step(tokens, np.maximum.accumulate(means), where="post", color="0.4", linewidth=1.5, zorder=0)
    cell.set_xscale("log", base=2)
    left = min(count for _, _, count, _ in [*points, *guests])
    ticks = [tick for tick in (32, 64, 128, 256, 512, 1024) if left <= tick <= max(tokens)]
    cell.set_xticks(ticks, ticks)
    cell.set(xlabel="visual tokens (logarithmic)", ylabel=score, xlim=(0.85 * left, 2.1 * max(tokens)))
    cell.grid(axis="y", color="0.9")
    figure.legend(loc="outside upper right", ncols=len(FAMILY_COLOURS))
    return figure


def label_points(axes: Axes, points: Sequence[Point]) -> None:
    """Writes each point's name beside it; a name that would cover another moves, with a line to its point."""
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
