"""Figures of memory, hours and shards (lessons 02, 11 and 12)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lib.plots.base import COLORS, canvas


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
