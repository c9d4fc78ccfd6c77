"""Figures of memory, hours and shards (lessons 02, 11 and 12)."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lib.plots.base import COLORS, canvas


def frames_per_card(
    cards: Sequence[str], series: dict[str, Sequence[int]], contexts: dict[str, int], title: str = ""
) -> Figure:
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
    cell.set_title(title, pad=20)
    cell.grid(axis="y", color="0.9")
    figure.legend(loc="outside lower center", ncols=2, fontsize=10)
    return figure


SHARD_COLOURS = {  # the maker of a shard
    "process 0": "patch", "process 1": "newline", "not there": None, "kept": "text", "made": "context",
    "made again": "wrong",
}  # fmt: skip


def shard_map(rows: dict[str, Sequence[str]], title: str = "") -> Figure:
    """What happened to each shard: one row of squares per run, each of them a key of SHARD_COLOURS.

    >>> figure = shard_map({"killed": ["process 0", "process 1", "not there"], "again": ["kept", "kept", "made"]})
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['process 0', 'process 1', 'not there', 'kept', 'made']
    """
    longest = max(map(len, rows.values()))
    figure, axes = canvas(0.32 * longest + 2.6, 0.5 * len(rows) + 1.2)
    cell = axes[0, 0]
    looks = {  # a missing shard is an empty square
        state: {"color": COLORS[name]} if name else {"facecolor": "white", "edgecolor": "0.6", "linestyle": ":"}
        for state, name in SHARD_COLOURS.items()
    }
    for height, states in enumerate(rows.values()):
        for number, state in enumerate(states):
            cell.barh(height, 0.86, 0.7, left=number - 0.43, **looks[state])
    cell.set_yticks(range(len(rows)), rows)
    cell.set_xticks(range(0, longest, 4 if longest > 12 else 1))
    cell.set(xlabel="shard", xlim=(-0.6, longest - 0.4), title=title)
    cell.invert_yaxis()
    cell.tick_params(length=0)
    cell.spines[:].set_visible(False)
    met = [state for state in SHARD_COLOURS if any(state in states for states in rows.values())]
    patches = [Patch(label=state, **looks[state]) for state in met]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(met), fontsize=10)
    return figure


def hour_ranges(hours: dict[str, tuple[float, float]], title: str, x: str) -> Figure:
    """A bar per card from its fewest to its most hours, on a logarithmic axis.

    >>> figure = hour_ranges({"T4": (20.4, 82.0), "H100": (1.6, 3.2)}, "a fiftieth", "hours")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['20', '82', '1.6', '3.2']
    """
    figure, axes = canvas(7.5, 1.3 + 0.42 * len(hours))
    cell = axes[0, 0]
    for height, (low, high) in enumerate(hours.values()):
        cell.barh(height, high - low, 0.5, left=low, color=COLORS["patch"])
        for value, side, shift in ((low, "right", 0.94), (high, "left", 1.06)):
            cell.text(value * shift, height, f"{value:,.{1 if value < 10 else 0}f}", ha=side, va="center", fontsize=10)
    cell.set_xscale("log")
    cell.set_yticks(range(len(hours)), hours)
    cell.xaxis.set_major_formatter("{x:,g}")
    cell.minorticks_off()
    cell.set(title=title, xlabel=x)
    cell.set_xlim(0.6 * min(low for low, _ in hours.values()), 1.6 * max(high for _, high in hours.values()))
    cell.invert_yaxis()
    cell.grid(axis="x", color="0.9")
    return figure
